/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * format.h - bitmaps as bytes, for disks, files and wires.
 *
 * A bitmap is a sequence of chunks that follow each other from granule 0 to
 * the end, each of as many bytes as the writer had room for.  All numbers are
 * little-endian and nothing is aligned.  A chunk:
 *
 *	0	magic		u32	DTR_CHUNK_MAGIC
 *	4	version		u16	1
 *	6	shift		u16	log2 of the granularity
 *	8	payload		u32	bytes behind the header
 *	12	zero		u32
 *	16	size		u64	bytes of the device
 *	24	first		u64	first granule that the chunk speaks of
 *	32	next		u64	granule behind the last one it speaks of
 *	40	checksum	u64	XXH64 of header and payload, this being 0
 *	48	records
 *
 * A block is 32,768 granules, whatever a leaf is; 'first' is a multiple of
 * that and so is 'next' but at the bitmap's end.  What no record speaks of is
 * clean.  Records have ascending blocks; each begins with
 *
 *	0	block		u32	from the chunk's first on
 *	4	kind		u16
 *
 * and goes on by kind:
 *
 *	1..2047		so many u16, ascending: the dirty granules of the block
 *	0x8000		the block's raw bits: 4,096 bytes, in the bitmap's last
 *			block (granules + 7) / 8; bit k is bit k % 8 of byte
 *			k / 8; no bit is set beyond the end
 *	0x8001		u32 n > 0: this block and the following, n in all, are
 *			wholly dirty
 *
 * Sizes: 10,737 random granules of 64 TiB at 64 KiB are 76 KB; random ones of
 * half of the device 1.002 times its raw bits; a map that is all clean or all
 * dirty is one chunk of 48 or 58 bytes.
 */
#ifndef DTR_FORMAT_H
#define DTR_FORMAT_H

#include "bitmap.h"

#define DTR_CHUNK_MAGIC		0x42525444	/* "DTRB" */
#define DTR_CHUNK_VERSION	1
#define DTR_CHUNK_HEAD_BYTES	48
/* The least room for a chunk: a header and the largest record. */
#define DTR_CHUNK_MIN_BYTES	(DTR_CHUNK_HEAD_BYTES + 6 + 4096)

size_t dtr_chunk_encode(const struct dtr_bitmap *bm, u64 *cursor, void *buf,
			size_t len);
long dtr_chunk_decode(struct dtr_bitmap *bm, u64 *cursor, const void *buf,
		      size_t len);

#endif
