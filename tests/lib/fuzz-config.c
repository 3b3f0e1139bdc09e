// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz-config.c - libFuzzer target: what 'dtrack run' reads.
 *
 * What is refused says why, and what is accepted is a job that can be done.
 */
#include <stdlib.h>
#include <string.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_device(const struct config_device *d)
{
	if (!d->name[0] || strchr(d->name, '/') || d->name[0] == '.' ||
	    !d->device[0] || !d->bitmap[0])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config c;
	unsigned int i;

	if (!config_parse((const char *)data, size, &c)) {
		if (!c.why[0])
			abort();
		return 0;
	}
	if (c.why[0] || c.folder[0] != '/' || !c.nr || !c.keep ||
	    !c.full_every || c.nr > CONFIG_MAX_DEVICES)
		abort();
	for (i = 0; i < c.nr; i++)
		check_device(&c.device[i]);
	return 0;
}
