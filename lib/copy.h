/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * copy.h - the copy engine: from a device to a target.
 */
#ifndef DTL_COPY_H
#define DTL_COPY_H

#include <stdatomic.h>

#include "ledger.h"
#include "pace.h"
#include "source.h"
#include "target.h"

/** enum dtl_piece_state - where a piece is. */
enum dtl_piece_state {
	DTL_PIECE_RUNNING,
	DTL_PIECE_DONE,
	DTL_PIECE_FAILED,
};

/**
 * struct dtl_piece - what one request reads and one or more write.
 * @io: the request that is in flight
 * @state: where it is
 * @start: first byte that is not in the ledger
 * @at: first byte that is not written
 * @end: after the last byte
 * @base: byte of the source that is at @buf[0]
 * @buf: a buffer while it runs, or has failed
 * @err: why it failed, negative
 * @in_write: in a write
 * @in_look: @seen refused it
 */
struct dtl_piece {
	struct dtl_io io;
	enum dtl_piece_state state;
	uint64_t start;
	uint64_t at;
	uint64_t end;
	uint64_t base;
	char *buf;
	int err;
	bool in_write;
	bool in_look;
};

/**
 * struct dtl_copy - one copy.  The caller fills in the first part.
 * @h: the handle
 * @source: open
 * @target: begun
 * @size: bytes of the content that is copied
 * @granularity: bytes; the unit of @flushed
 * @total: bytes of the set
 * @options: speed, jobs, error policies, notify
 * @cancel: set from outside: end soon
 * @resume: set from outside: try again
 * @open_queue: NULL for the best there is
 * @next: gives the next extent of the set, ascending: 1, 0 at the end, or
 *	-errno
 * @seen: shown what is about to be written, or NULL; what is written anew is
 *	shown anew; -errno, with words, is an error of the target
 * @flushed: told of whole granules that are safely on the target; -errno ends
 *	the copy
 * @unread: told of what the source's disk cannot read: it is left as it is on the
 *	target, and what is told to @flushed need not be whole granules; or NULL:
 *	an error, see @options
 * @opaque: handed to all
 *
 * @copied: bytes that @flushed was told of
 * @written: bytes written, flushed or not, up to the first that is not
 * @done_to: at the end: up to this byte all of the set is on the target, durably,
 *	but for what @unread was told
 * @begun_to: at the end: from this byte on nothing was written
 *
 * The rest is the engine's.
 * @queue: where requests are in flight
 * @block: what reads begin and end at
 * @jobs: most pieces in flight
 * @chunk: most bytes of a piece
 * @async: reads are copies from memory
 * @room: all buffers
 * @spare: buffers that nobody uses
 * @nr_spare: number of them
 * @piece: a ring of pieces in the order of the set
 * @nr_pieces: size of it
 * @first: number of the oldest piece; those before are in @ledger
 * @next_piece: number of the next piece
 * @running: pieces in flight
 * @ahead: bytes of pieces from @first on
 * @failed: a piece failed: nothing new begins until that is settled
 * @given: @next has no more
 * @range_at: what is left of the present extent
 * @range_end: where it ends
 * @pace: of --speed
 * @wait: seconds until the next piece may begin
 * @ledger: what was written, and what of it may be reported
 * @flush_io: the flush
 * @flushing: it is in flight
 * @broken: the queue is: nothing comes back from it
 * @flush_err: why it failed: from then on nothing is reported
 * @last_flush: when it began
 * @tries: how often the present spot failed in a row
 * @spot: the byte
 * @resumed: when the copy was last let go on pieces before this one had begun
 */
struct dtl_copy {
	struct dtrack *h;
	struct dtl_source *source;
	struct dtl_target *target;
	uint64_t size;
	uint64_t granularity;
	uint64_t total;
	const struct dtrack_run_options *options;
	const atomic_int *cancel;
	atomic_int *resume;
	struct dtl_queue *(*open_queue)(unsigned int depth, bool in_memory);
	int (*next)(void *opaque, struct dtrack_range *range);
	int (*seen)(void *opaque, uint64_t start, const char *data,
		    size_t len);
	int (*flushed)(void *opaque, const struct dtrack_range *ranges,
		       unsigned int nr);
	void (*unread)(void *opaque, uint64_t start, uint64_t len);
	void *opaque;

	uint64_t copied;
	uint64_t written;
	uint64_t done_to;
	uint64_t begun_to;

	struct dtl_queue *queue;
	uint32_t block;
	unsigned int jobs;
	uint32_t chunk;
	bool async;
	char *room;
	char **spare;
	unsigned int nr_spare;
	struct dtl_piece *piece;
	unsigned int nr_pieces;
	unsigned int first;
	unsigned int next_piece;
	unsigned int running;
	uint64_t ahead;
	bool failed;
	bool given;
	uint64_t range_at;
	uint64_t range_end;
	struct dtl_pace pace;
	double wait;
	struct dtl_ledger ledger;
	struct dtl_io flush_io;
	bool flushing;
	bool broken;
	int flush_err;
	double last_flush;
	unsigned int tries;
	uint64_t spot;
	unsigned int resumed;
};

/**
 * dtl_copy_run() - copy all extents.
 * @c: the copy
 *
 * Pieces begin in ascending order, at most so many at once, and are told to
 * @flushed in that order, whichever is through first: what was reported is the
 * set up to some byte, as if one had been copied after the other.  Beyond that
 * byte more may be on the target.
 *
 * What was written is flushed and reported at least every 64 MiB or second, and
 * at the end, also of a failed or cancelled copy: what is on the target counts.
 *
 * Return: 0; -ECANCELED; or what failed, with words.
 */
int dtl_copy_run(struct dtl_copy *c);

/* ---- Between the engine and its error policies -------------------------- */

bool dtl_copy_is_cancelled(const struct dtl_copy *c);
void dtl_copy_notify(struct dtl_copy *c, enum dtrack_run_event event,
		     const char *message);

/**
 * dtl_copy_do() - do one request now.
 * @c: the copy; nothing is in flight
 * @io: the request; read where @op says so, else written to the target
 *
 * Return: bytes, or -errno; a broken queue is the request's error.
 */
ssize_t dtl_copy_do(struct dtl_copy *c, struct dtl_io *io);

/**
 * dtl_copy_to_write() - what of a piece is to be written next.
 * @c: the copy
 * @p: the piece; @at goes over zeroes that the target has already
 *
 * Return: bytes from @at on; 0 at its end.
 */
uint64_t dtl_copy_to_write(const struct dtl_copy *c, struct dtl_piece *p);

/**
 * dtl_copy_show() - show what is about to be written of a piece.
 * @c: the copy
 * @p: the piece, from @at on
 * @end: up to here
 *
 * Return: 0, or -errno with words.
 */
int dtl_copy_show(struct dtl_copy *c, const struct dtl_piece *p, uint64_t end);

/** dtl_copy_enter() - put what is written of the oldest piece into the books. */
int dtl_copy_enter(struct dtl_copy *c, struct dtl_piece *p);

/**
 * dtl_copy_flush() - flush and report all that was written; wait for it.
 * @c: the copy; no piece is in flight
 *
 * Return: 0, or what failed, with words.
 */
int dtl_copy_flush(struct dtl_copy *c);

/**
 * dtl_copy_repair() - what becomes of a piece that failed, by policy.
 * @c: the copy; nothing is in flight
 * @p: the oldest piece
 *
 * Granule by granule, so that it is known which of them are good.
 *
 * Return: 0 when it is copied now, -ECANCELED, or what failed, with words.
 */
int dtl_copy_repair(struct dtl_copy *c, struct dtl_piece *p);

#endif
