/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * feeds.h - whether writing to one thing writes to another.
 */
#ifndef DTL_FEEDS_H
#define DTL_FEEDS_H

#include "private.h"

/**
 * dtl_check_feeds() - refuse a target that lies on a device, or under it.
 * @h: the handle
 * @source: the tracked device
 * @fd: the target: a block device, a file, or the folder of a file to come
 * @path: its name, for messages
 *
 * Refused are the device itself; anything stacked on it (a file on its file
 * system, a loop device over such a file, an LV, a partition); and what it is
 * made of (its lower devices, a disk that holds one, a partition of one, the
 * file behind a loop device).
 *
 * Return: 0 or -ELOOP with words.
 */
int dtl_check_feeds(struct dtrack *h, struct dtrack_dev source, int fd,
		    const char *path);

#endif
