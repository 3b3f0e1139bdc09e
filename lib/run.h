/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run.h - a backup run, as the files that make it share it.
 */
#ifndef DTL_RUN_H
#define DTL_RUN_H

#include <stdatomic.h>

#include "manifest.h"
#include "target.h"

/**
 * struct dtrack_run - a run.
 * @h: the handle
 * @dev: the tracked device
 * @options: with strings of our own
 * @target_name: owns @options.target
 * @bitmap: owns @options.bitmap
 * @mode: enum dtrack_mode, settled
 * @set: enum dtrack_set
 * @info: the bitmap before the freeze, valid with a bitmap
 * @size: bytes of the device
 * @granularity: the copy unit
 * @source: its file, O_DIRECT
 * @source_path: its node
 * @target: where it goes
 * @fits: the target fits the bitmap's generation
 * @before: the manifest that says so
 * @manifest: to be written
 * @frozen: we hold a freeze
 * @freeze: it; its id is drawn before
 * @extents: the walk over the frozen bitmap
 * @all_given: the walk over 'everything' is done
 * @cancel: asked to end
 * @resume: asked to go on
 * @result: for the caller
 */
struct dtrack_run {
	struct dtrack *h;
	struct dtrack_dev dev;
	struct dtrack_run_options options;
	char *target_name;
	char *bitmap;
	unsigned int mode;
	unsigned int set;
	struct dtrack_bitmap_info info;
	uint64_t size;
	uint64_t granularity;
	int source;
	char source_path[512];
	struct dtl_target target;
	bool fits;
	struct dtl_manifest before;
	struct dtl_manifest manifest;
	bool frozen;
	struct dtrack_freeze freeze;
	struct dtrack_extents *extents;
	bool all_given;
	atomic_int cancel;
	atomic_int resume;
	struct dtrack_run_result result;
};

/** dtl_sync_name() - what users call an enum dtrack_sync. */
const char *dtl_sync_name(int sync);

/** dtl_mode_name() - what users call an enum dtrack_mode. */
const char *dtl_mode_name(unsigned int mode);

/**
 * dtl_check_options() - whether the options make sense, and the bitmap is fit.
 * @run: @options in; @mode, @set, @info, @size, @granularity out
 *
 * In QEMU's order, with QEMU's words.
 */
int dtl_check_options(struct dtrack_run *run);

/**
 * dtl_check_target() - whether the target may take this run.
 * @run: @target in; @fits, @before out
 */
int dtl_check_target(struct dtrack_run *run);

/**
 * dtl_fsfreeze() - hold the file system on a device still for a call.
 * @h: the handle
 * @dev: the device; nothing is held when it is not mounted
 * @call: what to do meanwhile; must not touch files
 * @opaque: for @call
 *
 * Signals are blocked meanwhile, but a SIGKILL leaves the file system frozen.
 *
 * Return: what @call returned, or why the file system could not be held.
 */
int dtl_fsfreeze(struct dtrack *h, struct dtrack_dev dev,
		 int (*call)(void *opaque), void *opaque);

#endif
