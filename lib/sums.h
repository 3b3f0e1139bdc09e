/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sums.h - checksums of what a target holds, in a file beside its manifest.
 *
 * MANIFEST.sums is a header and then 8 bytes for each unit of the content, its
 * XXH3-64 or 0 where it is not known; a hash that is 0 is put as 1.  Format 1,
 * little-endian:
 *
 *	0	magic	"DTRSUMS\n"
 *	8	version	4 bytes, 1
 *	12	zero	4 bytes
 *	16	size	8 bytes: of the content
 *	24	unit	8 bytes: a power of two in 512 .. 64 KiB
 *	32	id	8 bytes: the same is in the manifest
 *	40	zero	16 bytes
 *	56	sum	8 bytes: XXH3-64 of the 56 before
 *	64	the sums
 *
 * Invariant: of a target whose manifest says 'complete', each sum that is known
 * is that of what was written.  Sums are put before the data is written, and
 * are durable before it is reported or the run ends.  A run that is killed
 * leaves sums and data that may differ where nothing was reported; there the
 * bitmap is still dirty, so that the run which completes the target puts both
 * anew.  One that is not known to do so (--force) begins with none.
 */
#ifndef DTL_SUMS_H
#define DTL_SUMS_H

#include "manifest.h"

#define DTL_SUMS_HEADER		64
#define DTL_SUMS_MIN_UNIT	512U
#define DTL_SUMS_MAX_UNIT	65536U

/**
 * struct dtl_sums - the file.
 * @fd: -1 when it is not open
 * @size: bytes of the content
 * @unit: bytes
 * @changed: since it was made durable
 * @fresh: its entry in the folder is not durable yet
 * @medium: what is read of it comes from the medium
 * @path: its name
 */
struct dtl_sums {
	int fd;
	uint64_t size;
	uint64_t unit;
	bool changed;
	bool fresh;
	bool medium;
	char path[4096 + 8];
};

/** dtl_sum() - the sum of a unit; never 0. */
uint64_t dtl_sum(const void *data, size_t len);

/** dtl_sums_init() - a file that is not open. */
void dtl_sums_init(struct dtl_sums *s);

/**
 * dtl_sums_check_header() - whether a header is right; it is hostile.
 * @header: the first DTL_SUMS_HEADER bytes of the file
 * @bytes: of the file
 * @m: the manifest that it is to belong to
 *
 * Return: NULL, or what is wrong with it, a constant.
 */
const char *dtl_sums_check_header(const unsigned char *header, uint64_t bytes,
				  const struct dtl_manifest *m);

/**
 * dtl_sums_open() - open the sums that a manifest speaks of.
 * @h: the handle
 * @manifest: its path
 * @m: it
 * @write: also to put some
 * @s: result; dtl_sums_close() it
 *
 * Return: 0; -EBADMSG when they are damaged or another manifest's, or the errno
 * of opening them; with words.
 */
int dtl_sums_open(struct dtrack *h, const char *manifest,
		  const struct dtl_manifest *m, bool write, struct dtl_sums *s);

/**
 * dtl_sums_create() - make or replace them: none is known.
 * @h: the handle
 * @manifest: path of the manifest
 * @m: it, stored
 * @s: result; dtl_sums_close() it
 *
 * Durable with the first dtl_sums_sync(): until then a loss of power leaves none,
 * or older ones, which have another id.
 *
 * Return: 0 or an errno with words.
 */
int dtl_sums_create(struct dtrack *h, const char *manifest,
		    const struct dtl_manifest *m, struct dtl_sums *s);

/**
 * dtl_sums_put() - put the sums of data that is about to be written.
 * @h: the handle
 * @s: open to put
 * @start: of the data
 * @data: it
 * @len: bytes of it
 *
 * A unit of which it is only a part is not known from here on.
 *
 * Return: 0 or an errno with words.
 */
int dtl_sums_put(struct dtrack *h, struct dtl_sums *s, uint64_t start,
		 const char *data, size_t len);

/** dtl_sums_sync() - make what was put durable.  Return: 0, or an errno with words. */
int dtl_sums_sync(struct dtrack *h, struct dtl_sums *s);

/**
 * dtl_sums_get() - read sums.
 * @h: the handle
 * @s: open
 * @first: number of the first unit
 * @sum: result: 0 where it is not known
 * @nr: how many; there are as many
 *
 * Return: 0 or an errno with words.
 */
int dtl_sums_get(struct dtrack *h, const struct dtl_sums *s, uint64_t first,
		 uint64_t *sum, size_t nr);

/**
 * dtl_sums_find() - find what has sums.
 * @h: the handle
 * @s: open
 * @at: where to begin, a multiple of the unit
 * @range: result: bytes whose sums are known; there may be more behind them
 *
 * Return: 1, 0 when there is nothing known from @at on, or an errno with words.
 */
int dtl_sums_find(struct dtrack *h, const struct dtl_sums *s, uint64_t at,
		  struct dtrack_range *range);

/** dtl_sums_close() - close the file, if it is open. */
void dtl_sums_close(struct dtl_sums *s);

#endif
