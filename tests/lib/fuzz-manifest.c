// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz-manifest.c - libFuzzer target: the manifest of a target is hostile.
 *
 * What is accepted must survive being judged, and fit no bitmap of another
 * uuid.
 */
#include <stdlib.h>
#include <string.h>

#include "manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dtrack_bitmap_info info = { .generation = 1 };
	struct dtl_manifest m;

	if (dtl_manifest_parse((const char *)data, size, &m))
		return 0;
	if (memchr(m.name, '\0', sizeof(m.name)) == NULL ||
	    memchr(m.uuid, '\0', sizeof(m.uuid)) == NULL)
		abort();
	memset(info.uuid, 0xa5, sizeof(info.uuid));
	if (dtl_manifest_fits(&m, &info) &&
	    strcmp(m.uuid, "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5"))
		abort();
	return 0;
}
