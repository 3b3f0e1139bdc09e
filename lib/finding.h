/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * finding.h - bytes that are not as they should be, gathered into ranges.
 */
#ifndef DTL_FINDING_H
#define DTL_FINDING_H

#include "sums.h"

struct dtr_bitmap;

/**
 * struct dtl_finding - what was found.
 * @found: told of each range, or NULL
 * @opaque: handed to it
 * @range: the present one, which may grow; none when it is empty
 * @bytes: of all
 * @known: where it is set what has a checksum, in granules of at most a unit; or
 *	NULL
 */
struct dtl_finding {
	void (*found)(void *opaque, const struct dtrack_range *range,
		      const char *why);
	void *opaque;
	struct dtrack_range range;
	uint64_t bytes;
	struct dtr_bitmap *known;
};

/** dtl_finding_add() - bytes; not before those that were added before. */
void dtl_finding_add(struct dtl_finding *f, uint64_t start, uint64_t length);

/** dtl_finding_end() - what was added last will not grow. */
void dtl_finding_end(struct dtl_finding *f);

/**
 * dtl_finding_sums() - compare content with its checksums.
 * @h: the handle
 * @s: them, open
 * @start: of the content, a multiple of the unit
 * @data: it
 * @len: bytes of it; whole units, the last may end with the content
 * @f: what differs is added
 *
 * Return: 0 or an errno with words.
 */
int dtl_finding_sums(struct dtrack *h, const struct dtl_sums *s, uint64_t start,
		     const char *data, size_t len, struct dtl_finding *f);

/**
 * dtl_finding_compare() - compare content with other content.
 * @start: of it, a multiple of @unit
 * @a: it
 * @b: the other
 * @len: bytes
 * @unit: in which it is added
 * @f: what differs is added
 */
void dtl_finding_compare(uint64_t start, const char *a, const char *b,
			 size_t len, uint64_t unit, struct dtl_finding *f);

#endif
