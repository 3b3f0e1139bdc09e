// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * finding.c - bytes that are not as they should be, gathered into ranges.
 */
#include <string.h>

#include "bits.h"
#include "finding.h"

/* Sums that are read with one call. */
#define BATCH		512

void dtl_finding_end(struct dtl_finding *f)
{
	struct dtrack_range range = f->range;

	f->range.length = 0;
	if (range.length && f->found)
		f->found(f->opaque, &range, NULL);
}

void dtl_finding_add(struct dtl_finding *f, uint64_t start, uint64_t length)
{
	f->bytes += length;
	if (f->range.length && f->range.start + f->range.length == start) {
		f->range.length += length;
		return;
	}
	dtl_finding_end(f);
	f->range = (struct dtrack_range){ start, length };
}

/* @nr units from @start on. */
static void judge(uint64_t start, const char *data, size_t len, uint64_t unit,
		  const uint64_t *sum, size_t nr, struct dtl_finding *f)
{
	size_t i, at, n;

	for (i = 0; i < nr; i++) {
		at = i * unit;
		n = len - at < unit ? len - at : unit;
		if (!sum[i])
			continue;
		/* Of what lies below, some may be beyond the end. */
		if (f->known)
			dtl_bits_set(f->known, start + at, n);
		if (sum[i] != dtl_sum(data + at, n))
			dtl_finding_add(f, start + at, n);
	}
}

int dtl_finding_sums(struct dtrack *h, const struct dtl_sums *s, uint64_t start,
		     const char *data, size_t len, struct dtl_finding *f)
{
	uint64_t sum[BATCH];
	size_t at, n;
	int ret = 0;

	for (at = 0; !ret && at < len; at += n) {
		n = len - at < BATCH * s->unit ? len - at : BATCH * s->unit;
		ret = dtl_sums_get(h, s, (start + at) / s->unit, sum,
				   (n + s->unit - 1) / s->unit);
		if (!ret)
			judge(start + at, data + at, n, s->unit, sum,
			      (n + s->unit - 1) / s->unit, f);
	}
	return ret;
}

void dtl_finding_compare(uint64_t start, const char *a, const char *b,
			 size_t len, uint64_t unit, struct dtl_finding *f)
{
	size_t at, n;

	for (at = 0; at < len; at += n) {
		n = len - at < unit ? len - at : unit;
		if (memcmp(a + at, b + at, n))
			dtl_finding_add(f, start + at, n);
	}
}
