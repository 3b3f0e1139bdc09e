// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * extent.c - runs of dirty bytes of a bitmap or of the union of two.
 *
 * Owns the walk from one run to the next; how a bitmap is searched is in
 * bitmap-read.c.
 *
 * Contexts: any, beside setters; see extent.h.
 */
#include "bitmap-internal.h"
#include "extent.h"

/*
 * The first of the granules @first..@last of a bitmap with @shift that has a
 * byte in common with a dirty granule of @live: *@bit, which is one of @live.
 */
static bool find_live(const struct dtr_bitmap *live, unsigned int shift,
		      u64 first, u64 last, u64 *bit)
{
	u64 from = first << shift >> live->shift;
	u64 to = (((last + 1) << shift) - 1) >> live->shift;

	if (to >= live->nr_bits)
		to = live->nr_bits - 1;
	return dtr_bitmap_find_dirty(live, from, to, bit);
}

/* Where a run of @live ends that @at is in, rounded outward; @at: in none. */
static u64 live_end(const struct dtr_bitmap *live, unsigned int shift, u64 at)
{
	u64 bit;

	if (!find_live(live, shift, at, at, &bit))
		return at;
	if (!dtr_bitmap_next_clean(live, bit, &bit))
		bit = live->nr_bits;
	return (((bit << live->shift) - 1) >> shift) + 1;
}

/* The first run of both at or after @from; *@end may be beyond the end. */
static noinline bool next_union(const struct dtr_bitmap *base,
				const struct dtr_bitmap *live, u64 from,
				u64 *start, u64 *end)
{
	unsigned int shift = base->shift;
	u64 nr_bits = base->nr_bits;
	u64 bit, next;

	if (!dtr_bitmap_next_dirty_area(base, from, nr_bits, nr_bits, start,
					end)) {
		*start = nr_bits;
		*end = nr_bits;
	}
	/* Of the other one only what begins before that can matter. */
	if (*start > from && find_live(live, shift, from, *start - 1, &bit)) {
		next = bit << live->shift >> shift;
		*start = next > from ? next : from;
		*end = *start;
	}

	/* As long as one of both goes on where the run ends, so does the run. */
	while (*end < nr_bits) {
		next = live_end(live, shift, *end);
		if (next > *end)
			*end = next;
		else if (!dtr_bitmap_get(base, *end))
			break;
		else if (!dtr_bitmap_next_clean(base, *end, end))
			*end = nr_bits;
	}
	return *start < nr_bits;
}

bool dtr_extent_next(const struct dtr_bitmap *base,
		     const struct dtr_bitmap *live, u64 from,
		     struct dtr_extent *ext)
{
	unsigned int shift = base->shift;
	u64 nr_bits = base->nr_bits;
	u64 start, end;
	bool found;

	if (from >= base->size)
		return false;
	from >>= shift;
	if (live)
		found = next_union(base, live, from, &start, &end);
	else
		found = dtr_bitmap_next_dirty_area(base, from, nr_bits, nr_bits,
						   &start, &end);
	if (!found)
		return false;
	ext->start = start << shift;
	ext->len = (end < nr_bits ? end << shift : base->size) - ext->start;
	return true;
}
