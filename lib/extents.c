// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * extents.c - a bitmap's dirty extents, by cursor.
 *
 * The kernel gives a piece at a time and may cut an extent between two pieces;
 * here they are joined again.  Memory: one piece.
 */
#include <stdlib.h>
#include <string.h>

#include "private.h"

/* 1024 ranges are 16 KiB: an extent costs 1/1024 of a call. */
#define PIECE	1024

/**
 * struct dtrack_extents - a walk.
 * @h: the handle
 * @io: the next call; its cursor is where the next piece begins
 * @end: size of the content; nothing comes from there on
 * @nr: ranges of the present piece
 * @next: the next of them
 * @piece: the ranges
 */
struct dtrack_extents {
	struct dtrack *h;
	struct dtrack_ioc_extents io;
	uint64_t end;
	unsigned int nr;
	unsigned int next;
	struct dtrack_range piece[PIECE];
};

int dtrack_extents_open(struct dtrack *h, struct dtrack_dev dev,
			const char *name, unsigned int flags,
			uint64_t generation, struct dtrack_extents **ext)
{
	const struct dtrack_bitmap_info *info;
	struct dtrack_bitmaps *list;
	struct dtrack_extents *e;
	int ret;

	ret = dtrack_bitmaps_get(h, dev, name, &list);
	if (ret < 0)
		return ret;
	e = calloc(1, sizeof(*e));
	if (!e) {
		dtrack_bitmaps_free(list);
		return dtl_nomem(h);
	}
	info = dtrack_bitmaps_at(list, 0);
	e->h = h;
	e->end = info->bytes;
	if (flags & DTRACK_EXTENTS_SUCCESSOR)
		e->end = info->device_size;
	e->io.size = sizeof(e->io);
	e->io.flags = flags;
	e->io.dev = dev;
	e->io.generation = generation;
	memcpy(e->io.name, info->name, sizeof(e->io.name));
	dtrack_bitmaps_free(list);
	*ext = e;
	return 0;
}

/* Return: 1 if there is a range at @next, 0 at the end, or -errno. */
static int fill(struct dtrack_extents *e)
{
	uint64_t from;
	int ret;

	while (e->next == e->nr) {
		from = e->io.cursor;
		if (from >= e->end)
			return 0;
		e->io.nr = PIECE;
		e->io.ranges = (uintptr_t)e->piece;
		ret = dtl_ioctl(e->h, DTRACK_IOC_EXTENTS, &e->io);
		if (ret == -ESTALE)
			return dtl_fail(e->h, ret, NULL,
					"Bitmap '%s' changed while it was read",
					(const char *)e->io.name);
		if (ret)
			return dtl_bitmap_error(e->h, e->io.dev,
						(const char *)e->io.name, ret);
		e->next = 0;
		e->nr = e->io.nr;
		if (!e->nr && e->io.cursor <= from)
			return 0;
	}
	return 1;
}

int dtrack_extents_next(struct dtrack_extents *e, struct dtrack_range *range)
{
	int ret = fill(e);

	if (ret <= 0)
		return ret;
	*range = e->piece[e->next++];
	for (;;) {
		ret = fill(e);
		if (ret < 0)
			return ret;
		if (!ret || e->piece[e->next].start !=
				    range->start + range->length)
			return 1;
		range->length += e->piece[e->next++].length;
	}
}

void dtrack_extents_close(struct dtrack_extents *ext)
{
	free(ext);
}
