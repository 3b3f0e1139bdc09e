// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * size.c - sizes as people write them.
 */
#include <string.h>

#include "private.h"

int dtrack_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KkMmGgTt";
	const char *p = text, *unit;
	uint64_t value = 0;
	unsigned int shift = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	if (*p) {
		unit = strchr(units, *p);
		if (!unit || p[1])
			return -EINVAL;
		shift = 10 * (unsigned int)((unit - units) / 2 + 1);
	}
	if (value << shift >> shift != value)
		return -ERANGE;
	*bytes = value << shift;
	return 0;
}
