// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * extent.c - runs of dirty bytes of a bitmap or of the union of two.
 *
 * Owns the walk from one run to the next; how a bitmap is searched is in
 * bitmap-read.c.
 *
 * Contexts: any, beside setters; see extent.h.
 */
#include "extent.h"

/*
 * The first run of @live at or after granule @from of a bitmap with @shift,
 * rounded outward to that bitmap's granules: *@start..*@end - 1, *@start not
 * before @from.  May be cut short: look again from *@end.
 */
static bool next_run(const struct dtr_bitmap *live, unsigned int shift, u64 from,
		     u64 *start, u64 *end)
{
	u64 bit, next;

	if (!dtr_bitmap_next_dirty_area(live, from << shift >> live->shift,
					live->nr_bits, live->nr_bits, &bit,
					&next))
		return false;
	*start = bit << live->shift >> shift;
	*end = (((next << live->shift) - 1) >> shift) + 1;
	if (*start < from)
		*start = from;
	return true;
}

bool dtr_extent_next(const struct dtr_bitmap *base,
		     const struct dtr_bitmap *live, u64 from,
		     struct dtr_extent *ext)
{
	unsigned int shift = base->shift;
	u64 nr_bits = base->nr_bits;
	u64 live_start, live_end;
	u64 bit, start, end;
	bool more;

	if (from >= base->size)
		return false;
	bit = from >> shift;

	more = live && next_run(live, shift, bit, &live_start, &live_end);
	if (!dtr_bitmap_next_dirty_area(base, bit, nr_bits, nr_bits, &start,
					&end)) {
		start = nr_bits;
		end = nr_bits;
	}
	if (more && live_start < start) {
		start = live_start;
		end = live_end;
	}
	if (start >= nr_bits)
		return false;

	/* As long as one of both goes on where the run ends, so does the run. */
	while (end < nr_bits) {
		while (more && live_end <= end)
			more = next_run(live, shift, end, &live_start,
					&live_end);
		if (more && live_start <= end)
			end = live_end;
		else if (!dtr_bitmap_get(base, end))
			break;
		else if (!dtr_bitmap_next_clean(base, end, &end))
			end = nr_bits;
	}

	ext->start = start << shift;
	ext->len = (end < nr_bits ? end << shift : base->size) - ext->start;
	return true;
}
