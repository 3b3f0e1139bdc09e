// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * scan.c - read one source, or two side by side, from a byte to another.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "scan.h"

/* All buffers together; a copy may have its own beside them. */
#define POOL		(4U << 20)
#define DEFAULT_JOBS	16
#define MAX_JOBS	128
#define MIN_CHUNK	(64U << 10)
#define MAX_CHUNK	(1U << 20)
/* How long a wait goes on before it looks for a cancel. */
#define NAP_SECONDS	0.02
/* What any memory alignment asks for. */
#define PAGE		4096U

static unsigned int sources(const struct dtl_scan *s)
{
	return s->source[1] ? 2 : 1;
}

/* ---- Beginning and ending ----------------------------------------------- */

static void choose(struct dtl_scan *s)
{
	unsigned int jobs = s->jobs ? s->jobs : DEFAULT_JOBS;

	if (jobs > MAX_JOBS)
		jobs = MAX_JOBS;
	s->nr = jobs / sources(s);
	if (!s->nr)
		s->nr = 1;
	s->chunk = MAX_CHUNK;
	while (s->chunk > MIN_CHUNK &&
	       (uint64_t)s->chunk * s->nr * sources(s) > POOL)
		s->chunk /= 2;
}

static size_t edge(const struct dtl_scan *s)
{
	size_t most = PAGE;
	unsigned int i;

	for (i = 0; i < sources(s); i++)
		if (s->source[i]->block > most)
			most = s->source[i]->block;
	return most;
}

static int make_pieces(struct dtl_scan *s)
{
	const unsigned int n = sources(s);
	size_t each = s->chunk + edge(s);
	struct dtl_scan_part *part;
	unsigned int i;

	s->room = aligned_alloc(edge(s), each * s->nr * n);
	s->piece = calloc(s->nr, sizeof(*s->piece));
	if (!s->room || !s->piece)
		return -ENOMEM;
	for (i = 0; i < s->nr * n; i++) {
		part = &s->piece[i / n].part[i % n];
		part->source = s->source[i % n];
		part->piece = &s->piece[i / n];
		part->buf = s->room + i * each;
		part->io.owner = part;
	}
	return 0;
}

static bool in_memory(const struct dtl_scan *s)
{
	return s->source[0]->in_memory &&
	       (!s->source[1] || s->source[1]->in_memory);
}

int dtl_scan_open(struct dtl_scan *s)
{
	choose(s);
	s->queue = dtl_queue_open(s->nr * sources(s), in_memory(s));
	if (!s->queue || make_pieces(s))
		return dtl_nomem(s->h);
	dtl_pace_begin(&s->pace, s->speed, dtl_now());
	return 0;
}

void dtl_scan_close(struct dtl_scan *s)
{
	/* First: what a broken queue still does has its buffers. */
	dtl_queue_close(s->queue);
	free(s->piece);
	free(s->room);
	s->queue = NULL;
	s->piece = NULL;
	s->room = NULL;
}

/* ---- Reading ------------------------------------------------------------ */

static void push(struct dtl_scan *s, struct dtl_scan_part *p, uint64_t from)
{
	uint64_t mask = p->source->block - 1;
	uint64_t to = (p->piece->end + mask) & ~mask;

	p->io.buf = p->buf + (from - p->piece->start);
	p->io.len = to - from;
	p->io.offset = from;
	p->io.async = s->nr * sources(s) > 1 && p->source->in_memory;
	p->source->ops->read(p->source, s->queue, &p->io);
}

/* Nothing at all: the source became shorter, or its driver is strange. */
static void end_read(struct dtl_scan *s, struct dtl_scan_part *p)
{
	ssize_t n = p->io.result;
	uint64_t from = p->io.offset + (uint64_t)n;

	if (n > 0 && from < p->piece->end && !(n % p->source->block)) {
		push(s, p, from);
		return;
	}
	if (n <= 0 || from < p->piece->end) {
		p->io.result = n < 0 ? n : -EIO;
		p->piece->failed = p;
	}
	p->piece->running--;
	s->running--;
}

/* Return: seconds to wait before it could begin, or 0 when it has begun. */
static double begin_piece(struct dtl_scan *s)
{
	struct dtl_scan_piece *p = &s->piece[s->next % s->nr];
	uint64_t end = s->stop;
	unsigned int i;
	double wait;

	if (end - s->at > s->chunk)
		end = s->at + s->chunk;
	wait = dtl_pace_spend(&s->pace, end - s->at, dtl_now());
	if (wait > 0)
		return wait;
	p->start = s->at;
	p->end = end;
	p->running = sources(s);
	p->failed = NULL;
	s->running += p->running;
	s->at = end;
	s->next++;
	for (i = 0; i < sources(s); i++)
		push(s, &p->part[i], p->start);
	return 0;
}

static int find(struct dtl_scan *s, uint64_t end)
{
	struct dtrack_range range;
	int ret = s->find(s->opaque, s->at, &range);

	if (ret < 0)
		return ret;
	s->at = ret && range.start < end ? range.start : end;
	s->stop = ret && range.length < end - s->at ? s->at + range.length : end;
	return 0;
}

/* @wait: result: how long at most, until more could begin. */
static int begin_pieces(struct dtl_scan *s, uint64_t end, double *wait)
{
	double due = 0;
	int ret = 0;

	while (!ret && due <= 0 && s->at < end && s->next - s->first < s->nr) {
		if (s->at < s->stop)
			due = begin_piece(s);
		else
			ret = find(s, end);
	}
	*wait = due > 0 && due < NAP_SECONDS ? due : NAP_SECONDS;
	return ret;
}

/* One read, or a moment without one. */
static int await(struct dtl_scan *s, double seconds)
{
	struct dtl_io *io;
	int ret = dtl_queue_wait(s->queue, seconds, &io);

	if (ret) {
		s->running = 0;
		return dtl_fail(s->h, ret, DTL_CLASS_GENERIC,
				"Could not wait for requests: %s",
				strerror(-ret));
	}
	if (io)
		end_read(s, io->owner);
	return 0;
}

static int read_error(struct dtl_scan *s, const struct dtl_scan_part *p)
{
	int err = (int)p->io.result;

	return dtl_fail(s->h, err, dtl_os_class(err),
			"Could not read '%s' at byte %" PRIu64 ": %s",
			p->source->path, (uint64_t)p->io.offset,
			dtl_source_why(p->source, err));
}

static int cancelled(struct dtl_scan *s)
{
	return dtl_fail(s->h, -ECANCELED, NULL, "Operation canceled");
}

static bool is_bad_spot(const struct dtl_scan *s, const struct dtl_scan_part *p)
{
	return s->unread && dtl_source_bad_spot(p->source, (int)p->io.result);
}

/* Reads and looks at [@from, @to) of a piece; nothing else is in flight. */
static int look_at_part(struct dtl_scan *s, const struct dtl_scan_piece *p,
			uint64_t from, uint64_t to)
{
	const char *data[DTL_SCAN_SOURCES] = { NULL };
	/* A broken queue may have its requests until it is closed. */
	struct dtl_scan_piece *part = &s->part;
	unsigned int i;
	int ret = 0;

	*part = *p;
	part->end = to;
	part->running = sources(s);
	part->failed = NULL;
	s->running += part->running;
	for (i = 0; i < sources(s); i++) {
		data[i] = part->part[i].buf + (from - p->start);
		part->part[i].piece = part;
		part->part[i].io.owner = &part->part[i];
		push(s, &part->part[i], from);
	}
	while (!ret && part->running)
		ret = await(s, NAP_SECONDS);
	if (ret)
		return ret;
	if (!part->failed)
		return s->look(s->opaque, from, to - from, data);
	if (!is_bad_spot(s, part->failed))
		return read_error(s, part->failed);
	s->unread(s->opaque, from, to - from);
	return 0;
}

/* A piece that could not be read, unit by unit. */
static int look_closer(struct dtl_scan *s, const struct dtl_scan_piece *p)
{
	const struct dtl_scan_part *bad = p->failed;
	uint64_t unit = s->unit, from, to;
	unsigned int i;
	int ret = 0;

	if (!is_bad_spot(s, bad))
		return read_error(s, bad);
	for (i = 0; i < sources(s); i++)
		if (unit < s->source[i]->block)
			unit = s->source[i]->block;
	while (!ret && s->running)
		ret = await(s, NAP_SECONDS);
	for (from = p->start; !ret && from < p->end; from = to) {
		to = p->end - from < unit ? p->end : from + unit;
		ret = atomic_load(s->cancel) ? cancelled(s) :
					       look_at_part(s, p, from, to);
	}
	return ret;
}

static int look_at_done(struct dtl_scan *s)
{
	const char *data[DTL_SCAN_SOURCES];
	struct dtl_scan_piece *p;
	int ret = 0;

	for (; !ret && s->first != s->next; s->first++) {
		p = &s->piece[s->first % s->nr];
		if (p->running)
			break;
		data[0] = p->part[0].buf;
		data[1] = p->part[1].buf;
		ret = p->failed ? look_closer(s, p) :
				  s->look(s->opaque, p->start,
					  p->end - p->start, data);
	}
	return ret;
}

/* What is in flight ends; nobody looks at it. */
static void drain(struct dtl_scan *s)
{
	struct dtl_error first;

	dtl_error_save(s->h, &first);
	while (s->running && !await(s, NAP_SECONDS))
		;
	dtl_error_restore(s->h, &first);
}

int dtl_scan_run(struct dtl_scan *s, uint64_t start, uint64_t end)
{
	double wait;
	int ret = 0;

	s->at = start;
	s->stop = s->find ? start : end;
	s->first = 0;
	s->next = 0;
	while (!ret && (s->at < end || s->first != s->next)) {
		if (atomic_load(s->cancel)) {
			ret = cancelled(s);
			break;
		}
		ret = begin_pieces(s, end, &wait);
		if (!ret && (s->at < end || s->running))
			ret = await(s, wait);
		if (!ret)
			ret = look_at_done(s);
	}
	drain(s);
	return ret;
}
