// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz-manifest.c - libFuzzer target: the manifest of a target is hostile, and
 * so is the header of its checksums, which follows after a NUL.
 *
 * What is accepted must survive being judged, and fit no bitmap of another
 * uuid; checksums are read only when every byte of their header is right.
 */
#include <stdlib.h>
#include <string.h>

#include "sums.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge_sums(const uint8_t *header, const struct dtl_manifest *m)
{
	uint64_t units = m->size / m->sums_unit + (m->size % m->sums_unit != 0);

	if (m->sums_unit < DTL_SUMS_MIN_UNIT ||
	    m->sums_unit > DTL_SUMS_MAX_UNIT ||
	    m->sums_unit & (m->sums_unit - 1))
		abort();
	if (dtl_sums_check_header(header, DTL_SUMS_HEADER + 8 * units, m))
		return;
	if (dtl_sums_check_header(header, DTL_SUMS_HEADER + 8 * units + 1, m) ==
	    NULL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dtrack_bitmap_info info = { .generation = 1 };
	const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
	size_t len = nul ? (size_t)(nul - data) : size;
	struct dtl_manifest m;

	if (dtl_manifest_parse((const char *)data, len, &m))
		return 0;
	if (memchr(m.name, '\0', sizeof(m.name)) == NULL ||
	    memchr(m.uuid, '\0', sizeof(m.uuid)) == NULL)
		abort();
	memset(info.uuid, 0xa5, sizeof(info.uuid));
	if (dtl_manifest_fits(&m, &info) &&
	    strcmp(m.uuid, "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5"))
		abort();
	if (m.has_sums && size - len > DTL_SUMS_HEADER)
		judge_sums(nul + 1, &m);
	return 0;
}
