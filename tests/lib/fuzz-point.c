// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz-point.c - libFuzzer target: point.json of a restore point is hostile.
 *
 * No image of what is accepted is outside of the folder.
 */
#include <stdlib.h>
#include <string.h>

#include "point.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct point p = { 0 };
	unsigned int i;

	/* As file_read() has it. */
	memcpy(text, data, size);
	text[size] = '\0';
	if (!point_parse(text, size, &p)) {
		if (!p.nr || p.nr > CONFIG_MAX_DEVICES)
			abort();
		for (i = 0; i < p.nr; i++)
			if (!p.image[i].file[0] || p.image[i].file[0] == '.' ||
			    strchr(p.image[i].file, '/'))
				abort();
	}
	point_free(&p);
	free(text);
	return 0;
}
