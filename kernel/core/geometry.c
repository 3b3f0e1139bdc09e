// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * geometry.c - bytes, sectors and granules: what is more than one line.
 *
 * Contexts: pure arithmetic, any context.
 */
#include "geometry.h"

int dtr_granularity_shift(u64 granularity)
{
	unsigned int shift;

	for (shift = DTR_MIN_SHIFT; shift <= DTR_MAX_SHIFT; shift++)
		if (granularity == 1ULL << shift)
			return shift;
	return -EINVAL;
}
