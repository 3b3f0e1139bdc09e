/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * scan.h - read one source, or two side by side, from a byte to another.
 *
 * Many reads are in flight; what comes of them is looked at in order.
 */
#ifndef DTL_SCAN_H
#define DTL_SCAN_H

#include <stdatomic.h>

#include "pace.h"
#include "source.h"

#define DTL_SCAN_SOURCES	2

struct dtl_scan_piece;

/**
 * struct dtl_scan_part - of a piece, what is read from one source.
 * @io: the request that is in flight
 * @source: from where
 * @piece: of what
 * @buf: a buffer
 */
struct dtl_scan_part {
	struct dtl_io io;
	struct dtl_source *source;
	struct dtl_scan_piece *piece;
	char *buf;
};

/**
 * struct dtl_scan_piece - what is looked at at once.
 * @start: first byte
 * @end: after the last
 * @running: reads in flight
 * @failed: the read that failed, or NULL
 * @part: of each source
 */
struct dtl_scan_piece {
	uint64_t start;
	uint64_t end;
	unsigned int running;
	struct dtl_scan_part *failed;
	struct dtl_scan_part part[DTL_SCAN_SOURCES];
};

/**
 * struct dtl_scan - the reader.  The caller fills in the first part.
 * @h: the handle
 * @source: what is read; the second may be NULL
 * @jobs: most reads in flight, or 0
 * @speed: bytes a second, or 0
 * @cancel: set from outside: end soon
 * @find: what to read at or after byte @at: 1 and a range, 0 when that was all,
 *	or -errno with words, which ends the scan; a range begins at a multiple
 *	of every source's block; so it ends, or with or beyond the scan; NULL:
 *	everything
 * @look: given the content of each source, in ascending order; -errno, with
 *	words, ends the scan
 * @unread: told of what a disk cannot read, of either source, in order with
 *	@look, and the scan goes on; or NULL
 * @unit: in which that is told
 * @opaque: handed to all
 *
 * The rest is scan.c's.
 * @queue: where reads are in flight
 * @chunk: most bytes of a piece
 * @room: all buffers
 * @piece: a ring
 * @part: a part of one of them, which is read by itself
 * @nr: of pieces in the ring
 * @first: number of the oldest
 * @next: number of the next
 * @at: where that begins
 * @stop: up to there all is to be read
 * @running: reads in flight
 * @pace: of @speed
 */
struct dtl_scan {
	struct dtrack *h;
	struct dtl_source *source[DTL_SCAN_SOURCES];
	unsigned int jobs;
	uint64_t speed;
	const atomic_int *cancel;
	int (*find)(void *opaque, uint64_t at, struct dtrack_range *range);
	int (*look)(void *opaque, uint64_t start, size_t len,
		    const char *const data[DTL_SCAN_SOURCES]);
	void (*unread)(void *opaque, uint64_t start, size_t len);
	uint64_t unit;
	void *opaque;

	struct dtl_queue *queue;
	uint32_t chunk;
	char *room;
	struct dtl_scan_piece *piece;
	struct dtl_scan_piece part;
	unsigned int nr;
	unsigned int first;
	unsigned int next;
	uint64_t at;
	uint64_t stop;
	unsigned int running;
	struct dtl_pace pace;
};

/** dtl_scan_open() - make it ready.  Return: 0 or -ENOMEM; dtl_scan_close() it. */
int dtl_scan_open(struct dtl_scan *s);

/**
 * dtl_scan_run() - read from a byte to another.
 * @s: ready
 * @start: a multiple of 1 MiB
 * @end: not beyond what all sources have
 *
 * Return: 0; -ECANCELED; what @look said; or the errno of a read that failed;
 * with words.
 */
int dtl_scan_run(struct dtl_scan *s, uint64_t start, uint64_t end);

/** dtl_scan_close() - free what dtl_scan_open() made, if it did. */
void dtl_scan_close(struct dtl_scan *s);

#endif
