/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * extent.h - runs of dirty bytes, and where a reader goes on.
 *
 * An extent is a maximal run of dirty granules of one bitmap or of the union
 * of two, in bytes, cut at the device's end.  The second bitmap of a union may
 * have another granularity: it is rounded outward to the first one's.
 *
 * Context: as the readers of bitmap.h; allocates nothing, takes no lock.
 */
#ifndef DTR_EXTENT_H
#define DTR_EXTENT_H

#include "bitmap.h"

/**
 * struct dtr_extent - dirty bytes.
 * @start: first byte, a multiple of the granularity
 * @len: bytes, > 0; a multiple of the granularity but at the device's end
 */
struct dtr_extent {
	u64 start;
	u64 len;
};

/**
 * dtr_extent_next() - the first extent at or after a byte.
 * @base: bitmap that gives size and granularity
 * @live: bitmap to unite with it, or NULL; any granularity, any size
 *	(what lies beyond @base's size is ignored)
 * @from: the cursor: a byte, 0..@base->size; an extent that it falls into is
 *	returned from the start of the granule @from is in
 * @ext: result
 *
 * Return: true and @ext, or false when nothing is dirty from @from on.
 */
bool dtr_extent_next(const struct dtr_bitmap *base,
		     const struct dtr_bitmap *live, u64 from,
		     struct dtr_extent *ext);

#endif
