/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * openers.h - which processes have a block device open for writing.
 */
#ifndef DTL_OPENERS_H
#define DTL_OPENERS_H

#include "private.h"

/**
 * dtl_openers_find() - find processes that have block devices open for writing.
 * @devs: the devices
 * @nr: number of them
 * @found: told of each process and device; returns false for no more
 * @opaque: handed to @found
 *
 * Those of which the caller may know: all of them only for root.  The caller
 * itself does not count.
 */
void dtl_openers_find(const dev_t *devs, unsigned int nr,
		      bool (*found)(void *opaque, dev_t dev, const char *pid,
				    const char *comm),
		      void *opaque);

#endif
