/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bypass.h - who writes to the device below a tracked one, past the tracker.
 */
#ifndef DTL_BYPASS_H
#define DTL_BYPASS_H

#include "private.h"

/**
 * struct dtl_bypass - what to look for.
 * @h: the handle
 * @top: the tracked device; what it does itself is none
 * @lower: the device below
 * @start: first byte of @lower that is tracked
 * @length: bytes that are
 * @found: told of each way, in words: "'/dev/sdb' is mounted on /mnt"
 * @opaque: handed to @found
 */
struct dtl_bypass {
	struct dtrack *h;
	dev_t top;
	dev_t lower;
	uint64_t start;
	uint64_t length;
	void (*found)(void *opaque, const char *how);
	void *opaque;
};

/**
 * dtl_bypass_find() - find all ways past a tracker that can be seen.
 * @b: what to look for
 *
 * Mounts of all namespaces, swap, device-mapper, md and other holders,
 * loop devices and processes that may write, of the lower device, its
 * partitions and, when it is one, of its disk.  Not seen are mounts of a
 * namespace without a process, and what lies beneath the lower device.
 */
void dtl_bypass_find(const struct dtl_bypass *b);

#endif
