// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * copy-errors.c - what becomes of a piece that could not be read or written.
 *
 * Nothing else is in flight here: one request after the other.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "copy.h"

#define IGNORE_TRIES	3
/* What a disk loses at once, or more. */
#define PAGE		4096U
/* How long a wait goes on before it looks for a cancel. */
#define NAP_NS		(20 * 1000 * 1000)

static void nap(void)
{
	struct timespec ts = { .tv_nsec = NAP_NS };

	nanosleep(&ts, NULL);
}

static int cancelled(struct dtl_copy *c)
{
	return dtl_fail(c->h, -ECANCELED, NULL, "Operation canceled");
}

/* ---- Policies ----------------------------------------------------------- */

static int wait_stopped(struct dtl_copy *c, int err)
{
	double until = dtl_now() + c->options->stop_timeout;
	struct dtl_error why;
	int ret;

	/* It may wait for long: what is written shall count. */
	dtl_error_save(c->h, &why);
	ret = dtl_copy_flush(c);
	if (ret)
		return ret;
	dtl_error_restore(c->h, &why);
	atomic_store(c->resume, 0);
	dtl_copy_notify(c, DTRACK_RUN_STOPPED, c->h->msg);
	while (!dtl_copy_is_cancelled(c) && !atomic_load(c->resume)) {
		if (dtl_now() >= until)
			return err;
		nap();
	}
	if (dtl_copy_is_cancelled(c))
		return cancelled(c);
	c->resumed = c->next_piece;
	dtl_copy_notify(c, DTRACK_RUN_RESUMED, NULL);
	return 0;
}

/*
 * One word to go on is for all that had failed when it came.  Numbers of pieces
 * wrap: whoever is taken for one of them by mistake is tried once more.
 */
static bool was_resumed(const struct dtl_copy *c, const struct dtl_piece *p)
{
	int policy = p->in_write || p->in_look ? c->options->on_target_error :
						 c->options->on_source_error;

	return policy == DTRACK_ON_ERROR_STOP &&
	       (int)(c->first - c->resumed) < 0;
}

/*
 * @err has words.  Return: 0 to try again, or what ends the copy, with words.
 */
static int decide(struct dtl_copy *c, int policy, uint64_t spot, int err)
{
	c->tries = c->spot == spot ? c->tries + 1 : 1;
	c->spot = spot;
	if (c->broken)
		return err;
	if (policy == DTRACK_ON_ERROR_STOP)
		return wait_stopped(c, err);
	if (policy == DTRACK_ON_ERROR_IGNORE && c->tries <= IGNORE_TRIES)
		return 0;
	return err;
}

static int say(struct dtl_copy *c, uint64_t spot, int err, const char *verb,
	       const char *name, const char *why)
{
	return dtl_fail(c->h, err, dtl_os_class(err),
			"Could not %s '%s' at byte %" PRIu64 ": %s", verb,
			name, spot, why);
}

static int read_failed(struct dtl_copy *c, struct dtl_piece *p, int err)
{
	say(c, p->at, err, "read", c->source->path,
	    dtl_source_why(c->source, err));
	return decide(c, c->options->on_source_error, p->at, err);
}

static int look_failed(struct dtl_copy *c, struct dtl_piece *p, int err)
{
	return decide(c, c->options->on_target_error, p->at, err);
}

static int write_failed(struct dtl_copy *c, struct dtl_piece *p, int err)
{
	const struct dtl_target *t = c->target;
	int policy = c->options->on_target_error;

	if (t->ops->retry(c->target, &p->io))
		return 0;
	/* Nothing would bring it back. */
	if (t->ops->lost && t->ops->lost(t))
		policy = DTRACK_ON_ERROR_REPORT;
	say(c, p->at, err, "write to", t->path, dtl_target_why(t, err));
	return decide(c, policy, p->at, err);
}

/* ---- One request after the other ---------------------------------------- */

/* @start and @end are bytes of the piece. */
static int read_span(struct dtl_copy *c, struct dtl_piece *p, uint64_t start,
		     uint64_t end)
{
	uint64_t from = start & ~(uint64_t)(c->block - 1);
	uint64_t to = (end + c->block - 1) & ~(uint64_t)(c->block - 1);
	ssize_t n;

	while (from < end) {
		p->io.op = DTL_IO_READ;
		p->io.buf = p->buf + (from - p->base);
		p->io.len = to - from;
		p->io.offset = from;
		p->io.async = false;
		n = dtl_copy_do(c, &p->io);
		if (n < 0)
			return (int)n;
		/* The device became shorter, or its driver is strange. */
		if (!n || (from + (uint64_t)n < end && n % c->block))
			return -EIO;
		from += (uint64_t)n;
	}
	return 0;
}

/*
 * A request that failed is read again unit by unit, to know which of its
 * granules are good.  If none fails now, none counts as good: an error is an
 * error, even one that goes away.
 *
 * Return: the first byte that could not be read.
 */
static uint64_t find_bad(struct dtl_copy *c, struct dtl_piece *p)
{
	uint64_t unit = c->granularity < c->chunk ? c->granularity : c->chunk;
	uint64_t from, to;

	for (from = p->at; from < p->end && !dtl_copy_is_cancelled(c);
	     from = to) {
		to = (from & ~(unit - 1)) + unit;
		if (to > p->end)
			to = p->end;
		if (read_span(c, p, from, to))
			return from;
	}
	return p->at;
}

/* Up to @good.  What is written grows @at. */
static int write_span(struct dtl_copy *c, struct dtl_piece *p, uint64_t good)
{
	const uint64_t end = p->end;
	uint64_t len;
	ssize_t n = 1;

	p->end = good;
	for (;;) {
		len = dtl_copy_to_write(c, p);
		if (!len || n <= 0)
			break;
		p->io.op = DTL_IO_WRITE;
		p->io.buf = p->buf + (p->at - p->base);
		p->io.len = len;
		p->io.offset = p->at;
		n = dtl_copy_do(c, &p->io);
		if (n > 0)
			p->at += (uint64_t)n;
	}
	p->end = end;
	return n > 0 ? 0 : n ? (int)n : -EIO;
}

/* @failed: why the first read did, or 0.  Return: 0 to go on. */
static int copy_span(struct dtl_copy *c, struct dtl_piece *p, int failed)
{
	uint64_t good = failed ? find_bad(c, p) : p->end;
	int ret, err;

	ret = dtl_copy_show(c, p, good);
	if (ret)
		return look_failed(c, p, ret);
	err = write_span(c, p, good);
	ret = dtl_copy_enter(c, p);
	if (ret)
		return ret;
	if (err)
		return write_failed(c, p, err);
	return failed ? read_failed(c, p, failed) : 0;
}

/* ---- Leaving out what cannot be read ------------------------------------ */

/* All up to @to.  Return: 0; 1 when some of it cannot be read; or -errno. */
static int salvage_span(struct dtl_copy *c, struct dtl_piece *p, uint64_t to)
{
	const uint64_t end = p->end;
	int ret = read_span(c, p, p->at, to);

	if (ret && dtl_source_bad_spot(c->source, ret))
		return 1;
	if (ret)
		return read_failed(c, p, ret);
	p->end = to;
	ret = copy_span(c, p, 0);
	p->end = end;
	return ret;
}

static void leave_out(struct dtl_copy *c, struct dtl_piece *p, uint64_t to)
{
	c->unread(c->opaque, p->at, to - p->at);
	c->ahead -= to - p->at;
	p->at = to;
	p->start = to;
}

/* A granule may have a checksum; what it cannot give is looked for in it. */
static int salvage(struct dtl_copy *c, struct dtl_piece *p)
{
	const uint64_t least = c->block > PAGE ? c->block : PAGE;
	uint64_t unit = c->granularity, to;
	int ret = 0;

	while (ret >= 0 && p->at < p->end) {
		if (dtl_copy_is_cancelled(c))
			return cancelled(c);
		if (!ret && !(p->at & (c->granularity - 1)))
			unit = c->granularity;
		to = (p->at & ~(unit - 1)) + unit;
		if (to > p->end)
			to = p->end;
		ret = salvage_span(c, p, to);
		if (ret == 1 && unit <= least) {
			leave_out(c, p, to);
			ret = 0;
		} else if (ret == 1) {
			unit = least;
		}
	}
	return ret;
}

int dtl_copy_repair(struct dtl_copy *c, struct dtl_piece *p)
{
	int ret = dtl_copy_enter(c, p);
	bool again = was_resumed(c, p);

	if (!ret && !again && p->in_write)
		ret = write_failed(c, p, p->err);
	else if (!ret && !again && !c->unread)
		ret = copy_span(c, p, p->in_look ? 0 : p->err);
	if (!ret && c->unread)
		return salvage(c, p);
	while (!ret && p->at < p->end) {
		if (dtl_copy_is_cancelled(c))
			return cancelled(c);
		ret = copy_span(c, p, read_span(c, p, p->at, p->end));
	}
	return ret;
}
