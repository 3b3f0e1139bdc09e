/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * copy.h - the copy engine: from a device to a target, in order.
 */
#ifndef DTL_COPY_H
#define DTL_COPY_H

#include <stdatomic.h>

#include "target.h"

/**
 * struct dtl_copy - one copy.  The caller fills in the first part.
 * @h: the handle
 * @source: file of the device, O_DIRECT
 * @source_name: for messages
 * @target: begun
 * @size: bytes of the content that is copied
 * @granularity: bytes; the unit of @flushed
 * @total: bytes of the set
 * @options: speed, error policies, notify
 * @cancel: set from outside: end soon
 * @resume: set from outside: try again
 * @next: gives the next extent of the set: 1, 0 at the end, or -errno
 * @flushed: told of whole granules that are safely on the target; -errno ends
 *	the copy
 * @opaque: handed to both
 *
 * @copied: bytes that @flushed was told of
 * @written: bytes written, flushed or not
 *
 * The rest is copy.c's.
 * @block: logical block size of the source
 * @chunk: most bytes of one request
 * @room: aligned buffer, a chunk rounded out to blocks
 * @base: byte of the source that is at @room[0]
 * @list: what was written and not yet told to @flushed; ascending
 * @nr: number of them
 * @unflushed: bytes written since the last flush
 * @began: when the copy did, by dtl_now()
 * @last_flush: when
 * @tries: how often the present spot failed in a row
 * @spot: the byte
 */
struct dtl_copy {
	struct dtrack *h;
	int source;
	const char *source_name;
	struct dtl_target *target;
	uint64_t size;
	uint64_t granularity;
	uint64_t total;
	const struct dtrack_run_options *options;
	const atomic_int *cancel;
	atomic_int *resume;
	int (*next)(void *opaque, struct dtrack_range *range);
	int (*flushed)(void *opaque, const struct dtrack_range *ranges,
		       unsigned int nr);
	void *opaque;

	uint64_t copied;
	uint64_t written;

	uint32_t block;
	uint32_t chunk;
	char *room;
	uint64_t base;
	struct dtrack_range *list;
	unsigned int nr;
	uint64_t unflushed;
	double began;
	double last_flush;
	unsigned int tries;
	uint64_t spot;
};

/**
 * dtl_copy_run() - copy all extents in ascending order, one request at a time.
 * @c: the copy
 *
 * What was written is flushed and reported at least every 64 MiB or second, and
 * at the end, also of a failed or cancelled copy: what is on the target counts.
 *
 * Return: 0; -ECANCELED; or what failed, with words.
 */
int dtl_copy_run(struct dtl_copy *c);

#endif
