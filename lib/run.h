/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run.h - a backup run, as the files that make it share it.
 */
#ifndef DTL_RUN_H
#define DTL_RUN_H

#include <stdatomic.h>

#include "action.h"
#include "manifest.h"
#include "source.h"
#include "sums.h"
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
 * @foreseen: @info is, because earlier actions of a transaction change it
 * @fresh: the bitmap is one that they add
 * @info: the bitmap before the freeze, valid with a bitmap
 * @size: bytes of the device
 * @granularity: the copy unit
 * @device_lock: keeps restores of the device away, or -1
 * @source: it, to be read
 * @target: where it goes
 * @unused: nothing used the device just before the freeze
 * @fits: the target fits the bitmap's generation
 * @links: what the target, an image, is to lie over does
 * @before: the manifest that says so
 * @manifest: to be written
 * @sums: checksums; open while it copies onto a target that has a manifest
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
	bool foreseen;
	bool fresh;
	struct dtrack_bitmap_info info;
	uint64_t size;
	uint64_t granularity;
	int device_lock;
	struct dtl_source source;
	struct dtl_target target;
	bool unused;
	bool fits;
	bool links;
	struct dtl_manifest before;
	struct dtl_manifest manifest;
	struct dtl_sums sums;
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

/* ---- Stages of a run, for what drives several ---------------------------- */

/**
 * dtl_run_new() - dtrack_run_new() for a run in a transaction.
 * @h: a handle of the run's own
 * @dev: as there
 * @options: as there
 * @outlook: the bitmap at its freeze, or NULL when it is as it is
 * @run: as there
 *
 * Return: as there.
 */
int dtl_run_new(struct dtrack *h, struct dtrack_dev dev,
		const struct dtrack_run_options *options,
		const struct dtl_outlook *outlook, struct dtrack_run **run);

/**
 * dtl_run_prepare() - the last steps before the freeze.
 * @run: of a bitmap
 *
 * Draws the id, and stores the manifest where the target fits.
 *
 * Return: 0 or a negative errno with words.
 */
int dtl_run_prepare(struct dtrack_run *run);

/**
 * dtl_run_unprepare() - there was no freeze: the manifest is what it was.
 * @run: prepared
 */
void dtl_run_unprepare(struct dtrack_run *run);

/**
 * dtl_run_freeze_action() - the action that freezes a run's bitmap.
 * @run: @freeze.run is 0 before dtl_run_prepare()
 * @a: result
 *
 * Return: 0 or -ENOENT with words.
 */
int dtl_run_freeze_action(struct dtrack_run *run, struct dtrack_action *a);

/**
 * dtl_run_frozen() - the action was done.
 * @run: it holds a freeze from now on
 * @a: the action
 */
void dtl_run_frozen(struct dtrack_run *run, const struct dtrack_action *a);

/**
 * dtl_run_check_frozen() - whether what was checked is what was frozen.
 * @run: frozen
 *
 * Return: 0; -EAGAIN when it is not, or another errno; with words.
 */
int dtl_run_check_frozen(struct dtrack_run *run);

/**
 * dtl_run_transfer() - copy, until the target is durable.
 * @run: its bitmap, if it has one, is frozen
 *
 * Return: 0; -ECANCELED; or another errno with words.
 */
int dtl_run_transfer(struct dtrack_run *run);

/**
 * dtl_run_end_action() - the action that ends a run's freeze.
 * @run: frozen
 * @good: it is to end well
 * @a: result
 *
 * Return: 0 or -ENOENT with words.
 */
int dtl_run_end_action(struct dtrack_run *run, bool good,
		       struct dtrack_action *a);

/**
 * dtl_run_ended() - the freeze has ended well: say so in the manifest.
 * @run: holds no freeze from now on
 * @generation: that the target fits
 *
 * Return: 0 or a negative errno with words.
 */
int dtl_run_ended(struct dtrack_run *run, uint64_t generation);

/**
 * dtl_run_take_back() - thaw the bitmap, if it is frozen; the error stays.
 * @run: the run
 */
void dtl_run_take_back(struct dtrack_run *run);

/**
 * dtl_run_end() - all that comes after dtl_run_transfer().
 * @run: the run
 * @ret: what that returned
 *
 * Return: what came of the run.
 */
int dtl_run_end(struct dtrack_run *run, int ret);

/**
 * dtl_run_settle() - note what came of a run.
 * @run: it holds no freeze
 * @ret: 0, -ECANCELED or another errno
 */
void dtl_run_settle(struct dtrack_run *run, int ret);

/* ---- Consistency --------------------------------------------------------- */

/**
 * dtl_run_look_for_users() - note whether anything uses the device.
 * @run: @unused out; not frozen yet
 */
void dtl_run_look_for_users(struct dtrack_run *run);

/**
 * dtl_run_settle_consistency() - note what the copy is a copy of.
 * @run: all of it has been read, and it is still frozen; @result and @manifest
 *	out
 */
void dtl_run_settle_consistency(struct dtrack_run *run);

/* ---- The file system ----------------------------------------------------- */

/**
 * dtl_fsfreeze() - hold the file systems on devices still for a call.
 * @h: the handle
 * @devs: the devices, as for dtrack_fs_new()
 * @nr: number of them
 * @call: what to do meanwhile; must not touch files
 * @opaque: for @call
 *
 * Signals are blocked meanwhile, but a SIGKILL leaves them frozen.
 *
 * Return: what @call returned, or why they could not be held.
 */
int dtl_fsfreeze(struct dtrack *h, const struct dtrack_dev *devs,
		 unsigned int nr, int (*call)(void *opaque), void *opaque);

/**
 * dtl_fs_find() - find the file systems on devices, as far as possible.
 * @h: the handle
 * @devs: the devices, as for dtrack_fs_new()
 * @nr: number of them
 * @fs: result; dtrack_fs_free() it
 *
 * Unlike dtrack_fs_new() leaves out what cannot be opened, and does not care
 * whether something else uses a device.
 *
 * Return: 0 or -ENOMEM with words.
 */
int dtl_fs_find(struct dtrack *h, const struct dtrack_dev *devs,
		unsigned int nr, struct dtrack_fs **fs);

/**
 * dtl_fs_files() - the open files of file systems.
 * @fs: the file systems; owns the files
 * @nr: result: number of files
 *
 * Return: an array with room for one more, to be free()d, or NULL without memory.
 */
int *dtl_fs_files(const struct dtrack_fs *fs, unsigned int *nr);

/**
 * dtl_sync() - have what file systems on devices keep in memory written.
 * @h: the handle; its words stay
 * @devs: the devices, as for dtrack_fs_new()
 * @nr: number of them
 * @cancel: set from outside: do not wait any more
 *
 * Waits for half a minute at most.
 *
 * Return: whether all was written.
 */
bool dtl_sync(struct dtrack *h, const struct dtrack_dev *devs, unsigned int nr,
	      const atomic_int *cancel);

#endif
