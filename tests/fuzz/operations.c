// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * operations.c - any sequence of operations on bitmaps and on their model.
 *
 * The first bytes say which allocation is refused, if any; the others are the
 * choices that model.h makes from random numbers elsewhere.
 */
#include "model.h"

static void model_fail(int line, const char *what)
{
	fprintf(stderr, "operations: line %d: %s\n", line, what);
	abort();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	if (len < 2)
		return 0;
	memory_refuse(data[0] & 1 ? data[0] >> 1 : -1, data[1] & 1);
	choices.bytes = data + 2;
	choices.left = len - 2;
	sequence(60);
	return 0;
}
