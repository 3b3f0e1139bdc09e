// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * copy.c - the copy engine: from a device to a target, in order.
 *
 * Owns requests, error policies, pacing and the rhythm of flushes.  Knows
 * nothing of bitmaps: extents come in by one callback, whole granules that are
 * safely on the target go out by another.
 *
 * Invariant: a granule is told to @flushed only after all of it was written and
 * then flushed.
 */
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "copy.h"

/*
 * 1 MiB a request: at queue depth 1 more brings nothing on disk or tmpfs, less
 * costs up to a third.
 */
#define MAX_CHUNK	(1U << 20)
/* DESIGN: reported at least every 64 MiB or second. */
#define FLUSH_BYTES	(64ULL << 20)
#define FLUSH_SECONDS	1.0
/* 16 bytes each: 1 MiB. */
#define MAX_LIST	DTRACK_MAX_RANGES
#define IGNORE_TRIES	3
/* How long a wait goes on before it looks for a cancel. */
#define NAP_NS		(20 * 1000 * 1000)

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool is_cancelled(const struct dtl_copy *c)
{
	return atomic_load(c->cancel);
}

static void nap(void)
{
	struct timespec ts = { .tv_nsec = NAP_NS };

	nanosleep(&ts, NULL);
}

static void notify(struct dtl_copy *c, enum dtrack_run_event event,
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

/* ---- Flushing ----------------------------------------------------------- */

/* The last granule may be only begun: its bytes stay for the next report. */
static struct dtrack_range cut_partial(struct dtl_copy *c)
{
	struct dtrack_range *last = &c->list[c->nr - 1];
	struct dtrack_range rest = { 0 };
	uint64_t end = last->start + last->length;

	if (end == c->size || !(end & (c->granularity - 1)))
		return rest;
	rest.start = end & ~(c->granularity - 1);
	if (rest.start < last->start)
		rest.start = last->start;
	rest.length = end - rest.start;
	last->length -= rest.length;
	if (!last->length)
		c->nr--;
	return rest;
}

static int report(struct dtl_copy *c)
{
	struct dtrack_range rest;
	unsigned int i;
	int ret = 0;

	if (!c->nr)
		return 0;
	rest = cut_partial(c);
	if (c->nr)
		ret = c->flushed(c->opaque, c->list, c->nr);
	if (ret)
		return ret;
	for (i = 0; i < c->nr; i++)
		c->copied += c->list[i].length;
	c->nr = 0;
	if (rest.length)
		c->list[c->nr++] = rest;
	return 0;
}

/*
 * After a failed flush nobody knows what is on the target, and another flush
 * may lie: no policy but to fail.
 */
static int flush(struct dtl_copy *c)
{
	int ret = 0;

	if (c->unflushed)
		ret = c->target->ops->flush(c->target);
	if (ret) {
		c->nr = 0;
		return dtl_fail(c->h, ret, dtl_os_class(ret),
				"Could not flush '%s': %s", c->target->path,
				strerror(-ret));
	}
	c->unflushed = 0;
	c->last_flush = dtl_now();
	return report(c);
}

static int flush_if_due(struct dtl_copy *c)
{
	if (c->unflushed < FLUSH_BYTES && c->nr < MAX_LIST &&
	    dtl_now() - c->last_flush < FLUSH_SECONDS)
		return 0;
	return flush(c);
}

static void note_written(struct dtl_copy *c, uint64_t start, uint64_t end)
{
	struct dtrack_range *last = c->nr ? &c->list[c->nr - 1] : NULL;

	if (start == end)
		return;
	c->written += end - start;
	c->unflushed += end - start;
	if (last && last->start + last->length == start)
		last->length += end - start;
	else
		c->list[c->nr++] = (struct dtrack_range){ start, end - start };
}

/* ---- Errors ------------------------------------------------------------- */

static int wait_stopped(struct dtl_copy *c, int err)
{
	double until = dtl_now() + c->options->stop_timeout;
	int ret;

	/* It may wait for long: what is written shall count. */
	ret = flush(c);
	if (ret)
		return ret;
	atomic_store(c->resume, 0);
	notify(c, DTRACK_RUN_STOPPED, c->h->msg);
	while (!is_cancelled(c) && !atomic_load(c->resume)) {
		if (dtl_now() >= until)
			return err;
		nap();
	}
	if (is_cancelled(c))
		return cancelled(c);
	notify(c, DTRACK_RUN_RESUMED, NULL);
	return 0;
}

/*
 * Return: 0 to try again, or what ends the copy, with words.
 */
static int decide(struct dtl_copy *c, int policy, uint64_t spot, int err,
		  const char *verb, const char *name)
{
	c->tries = c->spot == spot ? c->tries + 1 : 1;
	c->spot = spot;
	dtl_fail(c->h, err, dtl_os_class(err),
		 "Could not %s '%s' at byte %" PRIu64 ": %s", verb, name, spot,
		 strerror(-err));
	if (policy == DTRACK_ON_ERROR_STOP)
		return wait_stopped(c, err);
	if (policy == DTRACK_ON_ERROR_IGNORE && c->tries <= IGNORE_TRIES)
		return 0;
	return err;
}

/* ---- Requests ----------------------------------------------------------- */

/* @start and @end are bytes inside [@base, @base + room). */
static int read_span(struct dtl_copy *c, uint64_t start, uint64_t end)
{
	uint64_t from = start & ~(uint64_t)(c->block - 1);
	uint64_t to = (end + c->block - 1) & ~(uint64_t)(c->block - 1);
	ssize_t n;

	while (from < end) {
		n = pread(c->source, c->room + (from - c->base), to - from,
			  (off_t)from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
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
static uint64_t find_bad(struct dtl_copy *c, uint64_t start, uint64_t end)
{
	uint64_t unit = min_u64(c->granularity, MAX_CHUNK);
	uint64_t from, to;

	for (from = start; from < end && !is_cancelled(c); from = to) {
		to = min_u64((from & ~(unit - 1)) + unit, end);
		if (read_span(c, from, to))
			return from;
	}
	return start;
}

static bool is_zero(const char *buf, size_t len)
{
	return !len || (!buf[0] && !memcmp(buf, buf + 1, len - 1));
}

/* @start grows by what was written. */
static int write_span(struct dtl_copy *c, uint64_t *start, uint64_t end)
{
	const uint64_t unit = 64 << 10;
	size_t done;
	int ret = 0;

	while (!ret && *start < end) {
		const char *buf = c->room + (*start - c->base);
		uint64_t len = end - *start;

		/* A target that this run made has zeroes already. */
		if (c->target->created) {
			len = min_u64(len, unit - *start % unit);
			if (is_zero(buf, len)) {
				note_written(c, *start, *start + len);
				*start += len;
				continue;
			}
		}
		ret = c->target->ops->write(c->target, buf, len, *start, &done);
		note_written(c, *start, *start + done);
		*start += done;
	}
	return ret;
}

/* @start grows by what was copied; 0 with a part of it means: try again. */
static int copy_chunk(struct dtl_copy *c, uint64_t *start, uint64_t end)
{
	uint64_t good = end;
	int failed, ret;

	c->base = *start & ~(uint64_t)(c->block - 1);
	failed = read_span(c, *start, end);
	if (failed)
		good = find_bad(c, *start, end);
	ret = write_span(c, start, good);
	if (ret)
		return decide(c, c->options->on_target_error, *start, ret,
			      "write to", c->target->path);
	if (failed)
		return decide(c, c->options->on_source_error, *start, failed,
			      "read", c->source_name);
	return 0;
}

/* Bytes that were due by now at --speed; the first request is free. */
static int pace(struct dtl_copy *c)
{
	int ret = 0;

	if (!c->options->speed)
		return 0;
	while (!ret && !is_cancelled(c) &&
	       (double)c->written >
		       (dtl_now() - c->began) * (double)c->options->speed) {
		nap();
		notify(c, DTRACK_RUN_PROGRESS, NULL);
		ret = flush_if_due(c);
	}
	return ret;
}

static int copy_extent(struct dtl_copy *c, const struct dtrack_range *range)
{
	uint64_t start = range->start, end = start + range->length;
	int ret = 0;

	while (!ret && start < end) {
		/* Requests end at multiples of their size. */
		uint64_t stop = min_u64(start - start % c->chunk + c->chunk,
					end);

		ret = pace(c);
		if (!ret && is_cancelled(c))
			ret = cancelled(c);
		if (!ret)
			ret = copy_chunk(c, &start, stop);
		if (!ret)
			ret = flush_if_due(c);
		notify(c, DTRACK_RUN_PROGRESS, NULL);
	}
	return ret;
}

/* ---- The copy ----------------------------------------------------------- */

/* Slow copies use short requests, about four a second, but whole granules. */
static uint32_t chunk_for(const struct dtl_copy *c)
{
	uint64_t unit = min_u64(c->granularity, MAX_CHUNK);
	uint64_t chunk = MAX_CHUNK;

	while (c->options->speed && chunk > unit && chunk > 4096 &&
	       chunk > c->options->speed / 4)
		chunk /= 2;
	return (uint32_t)chunk;
}

static int prepare(struct dtl_copy *c)
{
	unsigned int block;

	if (ioctl(c->source, BLKSSZGET, &block))
		return dtl_fail(c->h, -errno, DTL_CLASS_GENERIC,
				"Could not get the block size of '%s': %s",
				c->source_name, strerror(errno));
	c->block = block;
	c->chunk = chunk_for(c);
	c->list = calloc(MAX_LIST + 1, sizeof(*c->list));
	/* 4096: what any memory alignment asks for; and a block at each end. */
	c->room = aligned_alloc(block > 4096 ? block : 4096,
				MAX_CHUNK + 2 * (block > 4096 ? block : 4096));
	if (!c->list || !c->room)
		return dtl_nomem(c->h);
	c->began = dtl_now();
	c->last_flush = c->began;
	c->spot = UINT64_MAX;
	return 0;
}

static int copy_all(struct dtl_copy *c)
{
	struct dtrack_range range;
	int ret;

	do {
		ret = c->next(c->opaque, &range);
		if (ret > 0)
			ret = copy_extent(c, &range) ? : 1;
	} while (ret > 0);
	return ret;
}

int dtl_copy_run(struct dtl_copy *c)
{
	struct dtl_error first;
	int ret, last;

	ret = prepare(c);
	if (!ret) {
		notify(c, DTRACK_RUN_PROGRESS, NULL);
		ret = copy_all(c);
		dtl_error_save(c->h, &first);
		last = flush(c);
		if (ret)
			dtl_error_restore(c->h, &first);
		else
			ret = last;
	}
	free(c->room);
	free(c->list);
	c->room = NULL;
	c->list = NULL;
	return ret;
}
