// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * copy.c - the copy engine: from a device to a target.
 *
 * Owns requests, their order, pacing and the rhythm of flushes.  Knows nothing
 * of bitmaps: extents come in by one callback, whole granules that are safely
 * on the target go out by another.
 *
 * Extents are cut into pieces, which are read and then written; many are in
 * flight at once and end in any order.  They wait in a ring until all before
 * them are done, and enter the ledger in order: an error leaves the books as
 * if one piece had been copied after the other.  A flush runs beside them and
 * covers what was in the ledger when it began.  What is to become of a piece
 * that failed is decided when nothing else is in flight (copy-errors.c).
 *
 * Invariant: a granule is told to @flushed only after all of it was written and
 * then flushed.
 */
#include <stdlib.h>
#include <string.h>

#include "copy.h"

/*
 * All buffers together.  With the rest of a process 16 MiB is not reached; 32
 * requests of 256 KiB are as good on disks as 64 or 128 of 64 KiB.
 */
#define POOL		(8U << 20)
#define DEFAULT_JOBS	32
/* What libnbd needs has 4 MiB of memory; more requests bring nothing there. */
#define SERVED_POOL	(4U << 20)
#define SERVED_JOBS	16
#define MAX_JOBS	256
#define MIN_CHUNK	(64U << 10)
/* At queue depth 1 more brings nothing on disk or tmpfs. */
#define MAX_CHUNK	(1U << 20)
/* A processor keeps that in its cache between a read and a write. */
#define MEMORY_CHUNK	(256U << 10)
/* What options may ask for, in all. */
#define MAX_POOL	(32U << 20)
#define MIN_REQUEST	4096U
/* Pieces that may wait for an older one, for each that is in flight. */
#define WINDOW		4

/*
 * DESIGN: reported at least every 64 MiB or second.  So a flush begins at half
 * of that, and nothing new when the other half is full, too.
 */
#define FLUSH_BYTES	(32ULL << 20)
#define FLUSH_SECONDS	0.5
#define MAX_UNFLUSHED	(64ULL << 20)
/* With --speed: so many requests a second. */
#define PACED_REQUESTS	16
/* How long a wait goes on before it looks for a cancel. */
#define NAP_SECONDS	0.02
/* What a target that this run made has already is looked for in steps of: */
#define ZERO_UNIT	(64U << 10)
/* What any memory alignment asks for. */
#define PAGE		4096U

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct dtl_piece *piece(const struct dtl_copy *c, unsigned int nr)
{
	return &c->piece[nr % c->nr_pieces];
}

bool dtl_copy_is_cancelled(const struct dtl_copy *c)
{
	return atomic_load(c->cancel);
}

void dtl_copy_notify(struct dtl_copy *c, enum dtrack_run_event event,
		     const char *message)
{
	if (c->options->notify)
		c->options->notify(c->options->opaque, event, c->written,
				   c->total, message);
}

static int cancelled(struct dtl_copy *c)
{
	return dtl_fail(c->h, -ECANCELED, NULL, "Operation canceled");
}

/* ---- Pieces ------------------------------------------------------------- */

static void fail_piece(struct dtl_copy *c, struct dtl_piece *p, int err)
{
	p->state = DTL_PIECE_FAILED;
	p->err = err;
	p->in_write = p->io.op == DTL_IO_WRITE;
	p->in_look = false;
	c->failed = true;
	c->running--;
}

static void end_piece(struct dtl_copy *c, struct dtl_piece *p)
{
	p->state = DTL_PIECE_DONE;
	c->spare[c->nr_spare++] = p->buf;
	p->buf = NULL;
}

/* All blocks from that of @from on. */
static void push_read(struct dtl_copy *c, struct dtl_piece *p, uint64_t from)
{
	uint64_t to = (p->end + c->block - 1) & ~(uint64_t)(c->block - 1);

	p->io.buf = p->buf + (from - p->base);
	p->io.len = to - from;
	p->io.offset = from;
	p->io.async = c->async;
	c->source->ops->read(c->source, c->queue, &p->io);
}

static bool is_zero(const char *buf, size_t len)
{
	return !len || (!buf[0] && !memcmp(buf, buf + 1, len - 1));
}

/* Up to the end of the zero unit that byte @at is in. */
static uint64_t unit_end(const struct dtl_piece *p, uint64_t at)
{
	return min_u64(at - at % ZERO_UNIT + ZERO_UNIT, p->end);
}

static bool zero_at(const struct dtl_piece *p, uint64_t at)
{
	return is_zero(p->buf + (at - p->base), unit_end(p, at) - at);
}

uint64_t dtl_copy_to_write(const struct dtl_copy *c, struct dtl_piece *p)
{
	uint64_t to;

	if (!c->target->created)
		return p->end - p->at;
	while (p->at < p->end && zero_at(p, p->at))
		p->at = unit_end(p, p->at);
	for (to = p->at; to < p->end && (to == p->at || !zero_at(p, to));)
		to = unit_end(p, to);
	return to - p->at;
}

static void write_on(struct dtl_copy *c, struct dtl_piece *p)
{
	uint64_t len = dtl_copy_to_write(c, p);

	if (!len) {
		end_piece(c, p);
		c->running--;
		return;
	}
	p->io.buf = p->buf + (p->at - p->base);
	p->io.len = len;
	p->io.offset = p->at;
	c->target->ops->write(c->target, c->queue, &p->io);
}

int dtl_copy_show(struct dtl_copy *c, const struct dtl_piece *p, uint64_t end)
{
	if (!c->seen || p->at == end)
		return 0;
	return c->seen(c->opaque, p->at, p->buf + (p->at - p->base),
		       end - p->at);
}

static void begin_write(struct dtl_copy *c, struct dtl_piece *p)
{
	int ret = dtl_copy_show(c, p, p->end);

	if (!ret) {
		write_on(c, p);
		return;
	}
	fail_piece(c, p, ret);
	p->in_look = true;
}

static void end_read(struct dtl_copy *c, struct dtl_piece *p)
{
	uint64_t from = p->io.offset + (uint64_t)p->io.result;

	if (from >= p->end)
		begin_write(c, p);
	else if (p->io.result % c->block)
		fail_piece(c, p, -EIO);
	else
		push_read(c, p, from);
}

static void end_write(struct dtl_copy *c, struct dtl_piece *p)
{
	p->at += (uint64_t)p->io.result;
	write_on(c, p);
}

/* Nothing at all: the device became shorter, or its driver is strange. */
static void end_request(struct dtl_copy *c, struct dtl_piece *p)
{
	if (p->io.result <= 0)
		fail_piece(c, p, p->io.result ? (int)p->io.result : -EIO);
	else if (p->io.op == DTL_IO_READ)
		end_read(c, p);
	else
		end_write(c, p);
}

/* Return: 1 with something at range_at, 0 at the end, or -errno. */
static int look_ahead(struct dtl_copy *c)
{
	struct dtrack_range range;
	int ret;

	while (c->range_at == c->range_end) {
		if (c->given)
			return 0;
		ret = c->next(c->opaque, &range);
		if (ret < 0)
			return ret;
		c->given = !ret;
		if (ret) {
			c->range_at = range.start;
			c->range_end = range.start + range.length;
		}
	}
	return 1;
}

static void begin_piece(struct dtl_copy *c, uint64_t end)
{
	struct dtl_piece *p = piece(c, c->next_piece++);

	p->state = DTL_PIECE_RUNNING;
	p->start = c->range_at;
	p->at = c->range_at;
	p->end = end;
	p->base = p->start & ~(uint64_t)(c->block - 1);
	p->buf = c->spare[--c->nr_spare];
	p->io.owner = p;
	c->range_at = end;
	c->ahead += end - p->start;
	c->running++;
	push_read(c, p, p->base);
}

static bool may_begin(const struct dtl_copy *c)
{
	return !c->failed && c->nr_spare &&
	       c->next_piece - c->first < c->nr_pieces &&
	       !(c->jobs == 1 && c->flushing) &&
	       c->ledger.unflushed + c->ledger.in_flush + c->ahead +
			       c->chunk <= MAX_UNFLUSHED;
}

/* As many as may be.  They end at multiples of their size. */
static int begin_pieces(struct dtl_copy *c)
{
	uint64_t end;
	int ret = 1;

	c->wait = 0;
	while (may_begin(c)) {
		ret = look_ahead(c);
		if (ret <= 0)
			break;
		end = min_u64(c->range_at - c->range_at % c->chunk + c->chunk,
			      c->range_end);
		c->wait = dtl_pace_spend(&c->pace, end - c->range_at,
					 dtl_now());
		if (c->wait > 0)
			break;
		begin_piece(c, end);
	}
	return ret < 0 ? ret : 0;
}

/* ---- Flushing ----------------------------------------------------------- */

static void begin_flush(struct dtl_copy *c)
{
	dtl_ledger_cut(&c->ledger);
	c->last_flush = dtl_now();
	c->flushing = true;
	c->flush_io.owner = NULL;
	c->target->ops->flush(c->target, c->queue, &c->flush_io);
}

/*
 * After a failed flush nobody knows what is on the target, and another flush
 * may lie: no policy but to fail.
 */
static int end_flush(struct dtl_copy *c)
{
	struct dtl_ledger_list list = dtl_ledger_take(&c->ledger);
	int ret = (int)c->flush_io.result;
	unsigned int i;

	c->flushing = false;
	if (ret < 0)
		ret = dtl_fail(c->h, ret, dtl_os_class(ret),
			       "Could not flush '%s': %s", c->target->path,
			       dtl_target_why(c->target, ret));
	else if (list.nr)
		ret = c->flushed(c->opaque, list.range, list.nr);
	c->flush_err = ret < 0 ? ret : 0;
	for (i = 0; i < list.nr && !c->flush_err; i++)
		c->copied += list.range[i].length;
	return c->flush_err;
}

static void flush_if_due(struct dtl_copy *c)
{
	if (c->flushing || c->flush_err || !c->ledger.unflushed ||
	    (c->jobs == 1 && c->running))
		return;
	if (c->ledger.unflushed >= FLUSH_BYTES || dtl_ledger_full(&c->ledger) ||
	    dtl_now() - c->last_flush >= FLUSH_SECONDS)
		begin_flush(c);
}

/* ---- Waiting ------------------------------------------------------------ */

int dtl_copy_enter(struct dtl_copy *c, struct dtl_piece *p)
{
	int ret = 0;

	if (dtl_ledger_full(&c->ledger))
		ret = dtl_copy_flush(c);
	if (ret)
		return ret;
	dtl_ledger_add(&c->ledger, p->start, p->at);
	c->ahead -= p->at - p->start;
	c->written += p->at - p->start;
	p->start = p->at;
	return 0;
}

/* What is done, in order.  When the ledger is full they wait for a flush. */
static void retire(struct dtl_copy *c)
{
	while (c->first != c->next_piece && !dtl_ledger_full(&c->ledger) &&
	       piece(c, c->first)->state == DTL_PIECE_DONE) {
		dtl_copy_enter(c, piece(c, c->first));
		c->first++;
	}
}

/* One request, or a moment without one. */
static int await(struct dtl_copy *c, double seconds)
{
	struct dtl_io *io;
	int ret = dtl_queue_wait(c->queue, seconds, &io);

	if (ret) {
		c->broken = true;
		return dtl_fail(c->h, ret, DTL_CLASS_GENERIC,
				"Could not wait for requests: %s",
				strerror(-ret));
	}
	if (io == &c->flush_io)
		ret = end_flush(c);
	else if (io)
		end_request(c, io->owner);
	retire(c);
	return ret;
}

/* What is in flight ends; its errors are only noted. */
static int drain(struct dtl_copy *c)
{
	int ret = 0, err;

	while (!c->broken && (c->running || c->flushing)) {
		err = await(c, NAP_SECONDS);
		ret = ret ? : err;
	}
	return ret;
}

int dtl_copy_flush(struct dtl_copy *c)
{
	int ret = drain(c);

	/* Once more for what the ledger had no room for. */
	while (!ret && !c->broken && !c->flush_err && c->ledger.unflushed) {
		begin_flush(c);
		ret = drain(c);
	}
	return ret;
}

ssize_t dtl_copy_do(struct dtl_copy *c, struct dtl_io *io)
{
	struct dtl_io *done = NULL;
	int ret = 0;

	if (c->broken)
		return -EIO;
	if (io->op == DTL_IO_READ)
		c->source->ops->read(c->source, c->queue, io);
	else
		c->target->ops->write(c->target, c->queue, io);
	while (!done && !ret)
		ret = dtl_queue_wait(c->queue, NAP_SECONDS, &done);
	if (ret)
		c->broken = true;
	return ret ? ret : done->result;
}

/* All that was begun is done now, or has come to nothing. */
static int settle(struct dtl_copy *c)
{
	struct dtl_piece *p;
	int ret = drain(c);

	while (!ret && c->failed && c->first != c->next_piece) {
		p = piece(c, c->first);
		if (p->state == DTL_PIECE_FAILED) {
			ret = dtl_copy_repair(c, p);
			if (!ret)
				end_piece(c, p);
		} else if (dtl_ledger_full(&c->ledger)) {
			ret = dtl_copy_flush(c);
		}
		if (!ret)
			retire(c);
	}
	if (!ret && c->failed)
		dtl_pace_begin(&c->pace, c->options->speed, dtl_now());
	c->failed = c->failed && ret;
	return ret;
}

/* ---- The copy ----------------------------------------------------------- */

static bool is_through(const struct dtl_copy *c)
{
	return c->given && c->range_at == c->range_end &&
	       c->first == c->next_piece;
}

static double time_to_wait(const struct dtl_copy *c)
{
	if (c->wait > 0)
		return c->wait < NAP_SECONDS ? c->wait : NAP_SECONDS;
	return c->running || c->flushing ? FLUSH_SECONDS : NAP_SECONDS;
}

static int copy_all(struct dtl_copy *c)
{
	int ret = 0;

	while (!ret) {
		if (dtl_copy_is_cancelled(c))
			return settle(c) ? : cancelled(c);
		if (c->failed) {
			ret = settle(c);
			continue;
		}
		ret = begin_pieces(c);
		if (!ret && is_through(c))
			break;
		if (!ret)
			ret = await(c, time_to_wait(c));
		if (!ret)
			flush_if_due(c);
		dtl_copy_notify(c, DTRACK_RUN_PROGRESS, NULL);
	}
	return ret;
}

/* ---- Beginning and ending ----------------------------------------------- */

static uint32_t power_of_two(uint64_t n)
{
	uint32_t p = MIN_REQUEST;

	while (2ULL * p <= n)
		p *= 2;
	return p;
}

static bool in_memory(const struct dtl_copy *c)
{
	return c->source->in_memory && c->target->in_memory;
}

/* Source or target is a server's. */
static bool is_served(const struct dtl_copy *c)
{
	return c->source->nbd || c->target->nbd;
}

static unsigned int default_jobs(const struct dtl_copy *c)
{
	if (in_memory(c))
		return 4 * dtl_processors();
	return is_served(c) ? SERVED_JOBS : DEFAULT_JOBS;
}

/* How many requests of which size: what is not given follows from the rest. */
static void choose(struct dtl_copy *c)
{
	const struct dtrack_run_options *o = c->options;
	uint64_t chunk = o->request_size;
	uint64_t paced = o->speed / PACED_REQUESTS;
	uint64_t pool = is_served(c) ? SERVED_POOL : POOL;

	c->jobs = o->jobs ? o->jobs : default_jobs(c);
	if (c->jobs > MAX_JOBS)
		c->jobs = MAX_JOBS;
	if (!chunk) {
		chunk = in_memory(c) ? MEMORY_CHUNK :
				       min_u64(pool / c->jobs, MAX_CHUNK);
		if (chunk < MIN_CHUNK)
			chunk = MIN_CHUNK;
	}
	if (o->speed)
		chunk = min_u64(chunk, paced > MIN_CHUNK ? paced : MIN_CHUNK);
	chunk = min_u64(chunk, MAX_POOL / c->jobs);
	c->chunk = power_of_two(chunk);
	if (c->chunk < c->block)
		c->chunk = c->block;
}

/* Each with a block at either end. */
static int make_buffers(struct dtl_copy *c)
{
	size_t edge = c->block > PAGE ? c->block : PAGE;
	size_t each = c->chunk + 2 * edge;
	unsigned int i;

	c->room = aligned_alloc(edge, each * c->jobs);
	c->spare = calloc(c->jobs, sizeof(*c->spare));
	c->nr_pieces = c->jobs * WINDOW;
	c->piece = calloc(c->nr_pieces, sizeof(*c->piece));
	if (!c->room || !c->spare || !c->piece)
		return -ENOMEM;
	for (i = 0; i < c->jobs; i++)
		c->spare[c->nr_spare++] = c->room + i * each;
	return 0;
}

/* The largest power of two that all granules, and the end, are multiples of. */
static uint64_t unit(const struct dtl_copy *c)
{
	uint64_t all = c->granularity | c->size | c->chunk;

	return all & -all;
}

static int prepare(struct dtl_copy *c)
{
	c->block = c->source->block;
	choose(c);
	c->async = c->jobs > 1 && c->source->in_memory;
	c->ledger.granularity = c->granularity;
	c->ledger.size = c->size;
	/* One more for the flush. */
	c->queue = (c->open_queue ? : dtl_queue_open)(c->jobs + 1,
						     in_memory(c));
	if (!c->queue || make_buffers(c) || dtl_ledger_open(&c->ledger))
		return dtl_nomem(c->h);
	c->target->ops->unit(c->target, unit(c));
	c->last_flush = dtl_now();
	dtl_pace_begin(&c->pace, c->options->speed, c->last_flush);
	c->spot = UINT64_MAX;
	return 0;
}

static void release(struct dtl_copy *c)
{
	/* First: what a broken queue still does has its buffers. */
	dtl_queue_close(c->queue);
	dtl_ledger_close(&c->ledger);
	free(c->piece);
	free(c->spare);
	free(c->room);
	c->queue = NULL;
	c->piece = NULL;
	c->spare = NULL;
	c->room = NULL;
}

static void note_ends(struct dtl_copy *c)
{
	c->begun_to = c->range_at;
	if (c->broken || c->flush_err)
		return;
	c->done_to = c->first == c->next_piece ? c->range_at :
						 piece(c, c->first)->start;
}

int dtl_copy_run(struct dtl_copy *c)
{
	struct dtl_error first;
	int ret, last;

	ret = prepare(c);
	if (!ret) {
		dtl_copy_notify(c, DTRACK_RUN_PROGRESS, NULL);
		ret = copy_all(c);
		dtl_error_save(c->h, &first);
		last = dtl_copy_flush(c);
		if (ret)
			dtl_error_restore(c->h, &first);
		else
			ret = last;
		note_ends(c);
	}
	release(c);
	return ret;
}
