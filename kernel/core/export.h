/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * export.h - the header of a bitmap in a file of its own.
 *
 * A file is a header, the bitmap's chunks (format.h) from granule 0 to the end,
 * none of more than DTR_EXPORT_CHUNK_BYTES, and nothing else.  The header, all
 * numbers little-endian:
 *
 *	0	magic		8 bytes, DTR_EXPORT_MAGIC
 *	8	version		u32	1; whatever changes what follows is another
 *	12	header		u32	bytes of the header: 96 and the name's
 *	16	length		u64	bytes of the file
 *	24	size		u64	bytes of the device, 1..2^63
 *	32	granularity	u64	bytes, a power of two in 512..2^31
 *	40	count		u64	dirty bytes, cut at the device's end
 *	48	generation	u64	of the bitmap, > 0
 *	56	uuid		16 bytes, of the bitmap
 *	72	flags		u32	DTR_EXPORT_*
 *	76	zero		u32
 *	80	hash		u64	dtr_bitmap_hash() of the content
 *	88	checksum	u64	XXH64 of the header, this being 0
 *	96	name		of the bitmap, 1..1023 bytes, no NUL
 *
 * Each chunk has a checksum of its own; length, count and hash tie them to the
 * header, so that one that is missing or of another file is noticed.
 */
#ifndef DTR_EXPORT_H
#define DTR_EXPORT_H

#include "format.h"
#include "name.h"

#define DTR_EXPORT_MAGIC	"DTRBITS\n"
#define DTR_EXPORT_VERSION	1
#define DTR_EXPORT_FIXED_BYTES	96
#define DTR_EXPORT_MAX_BYTES	(DTR_EXPORT_FIXED_BYTES + DTR_NAME_MAX)
/* So that a reader's memory is bounded. */
#define DTR_EXPORT_CHUNK_BYTES	(1U << 20)

/* The bitmap was recording. */
#define DTR_EXPORT_RECORDING	BIT(0)
/* The content was read while it grew: what was dirty before, maybe more. */
#define DTR_EXPORT_AT_LEAST	BIT(1)

/**
 * struct dtr_export - what the header says.
 * @length: bytes of the file
 * @size: bytes of the device
 * @count: dirty bytes, dtr_bitmap_dirty_bytes()
 * @generation: of the bitmap
 * @hash: dtr_bitmap_hash()
 * @shift: log2 of the granularity
 * @flags: DTR_EXPORT_*
 * @uuid: of the bitmap
 * @name: of the bitmap, NUL-terminated
 */
struct dtr_export {
	u64 length;
	u64 size;
	u64 count;
	u64 generation;
	u64 hash;
	unsigned int shift;
	u32 flags;
	u8 uuid[16];
	char name[DTR_NAME_MAX + 1];
};

size_t dtr_export_encode(const struct dtr_export *head, void *buf, size_t len);
long dtr_export_decode(struct dtr_export *head, const void *buf, size_t len,
		       const char **why);
const char *dtr_export_differs(const struct dtr_export *head,
			       const struct dtr_bitmap *bm);

#endif
