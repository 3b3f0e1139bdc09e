// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test-copy.c - the copy engine over a simulated queue: requests that end in
 * any order, fail, are cut short or never come back, and time that passes when
 * the test says so.
 *
 * Whatever happens: what is reported is on the target, durably, is whole
 * granules of the set, and is all of the set up to some byte.
 *
 * SEED=N repeats a random test.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "copy.h"
#include "random.h"

#define MOST	(1U << 20)	/* bytes of a simulated device */
#define BLOCK	512U		/* its blocks, as mock.c has it */
#define MAX_FLIGHT 1024

/* ---- Chance and time ---------------------------------------------------- */

static bool one_in(uint64_t n)
{
	return n && !chance(n);
}

static double now;

/* What dtl_now() asks. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	ts->tv_sec = (time_t)now;
	ts->tv_nsec = (long)((now - (double)ts->tv_sec) * 1e9);
	return 0;
}

/* ---- The world ---------------------------------------------------------- */

static char source[MOST], volatile_[MOST], snapshot[MOST], durable[MOST];

static struct world {
	/* What goes wrong: once in so many requests; 0 is never. */
	unsigned int fail, cut, time_out, fail_flush;
	/* Bytes that can't be read or written, for so many tries. */
	uint64_t bad_read, bad_write;
	unsigned int bad_tries;
	unsigned int cancel_at, break_at;	/* n-th wait; 0 is never */
	unsigned int no_next_at;	/* extent that is not given; 0 is none */
	bool no_reads, no_writes;	/* until it stops */
	bool no_data;		/* of a device too large to have some */
	double hiccup;		/* seconds that a wait takes longer, at most */

	uint64_t size, granularity;
	struct dtrack_range set[64];
	unsigned int nr_set, given;
	bool scattered;		/* every second granule is the set */

	struct dtl_io *flight[MAX_FLIGHT];
	unsigned int nr_flight, most_flight, waits;
	uint64_t bytes_flight, most_bytes;
	uint64_t high, high_at_cancel, last_read, bytes_read;
	bool out_of_order, refuse_direct;
	unsigned int reports;
	double last_report, longest_gap;
	uint64_t reported, largest_report, progress;
	atomic_int cancel, resume;
	unsigned int stops;

	bool salvage;		/* what is lost is left out */
	bool lost[MOST / BLOCK];
	bool left_out[MOST / BLOCK];
	uint64_t done_to, begun_to;
} w;

static struct dtl_target target;

/* The queue. */

static void sim_push(struct dtl_queue *q, struct dtl_io *io)
{
	(void)q;
	if (w.nr_flight == MAX_FLIGHT)
		abort();
	w.flight[w.nr_flight++] = io;
	if (w.nr_flight > w.most_flight)
		w.most_flight = w.nr_flight;
	w.bytes_flight += io->len;
	if (w.bytes_flight > w.most_bytes)
		w.most_bytes = w.bytes_flight;
	if (io->op == DTL_IO_FLUSH) {
		/* What is durable at least: what had come back by now. */
		if (!w.no_data)
			memcpy(snapshot, volatile_, w.size);
		return;
	}
	CHECK(io->len, "an empty request");
	CHECK(io->offset + io->len <= w.size + BLOCK, "beyond the end");
	if (io->op != DTL_IO_READ)
		return;
	CHECK(!(io->offset % BLOCK) && !(io->len % BLOCK) &&
	      !((uintptr_t)io->buf % BLOCK), "a read that is not aligned");
	w.out_of_order |= io->offset < w.last_read;
	w.last_read = io->offset;
	w.bytes_read += io->len;
	if (io->offset + io->len > w.high)
		w.high = io->offset + io->len;
}

static bool hits(const struct dtl_io *io, uint64_t bad)
{
	if (io->offset > bad || io->offset + io->len <= bad || !w.bad_tries)
		return false;
	w.bad_tries--;
	return true;
}

static bool hits_lost(const struct dtl_io *io)
{
	uint64_t at;

	for (at = io->offset; at < io->offset + io->len; at += BLOCK)
		if (w.salvage && at < w.size && w.lost[at / BLOCK])
			return io->op == DTL_IO_READ;
	return false;
}

static ssize_t fate(struct dtl_io *io)
{
	size_t len = io->len;
	bool fails;

	if (io->op == DTL_IO_FLUSH) {
		if (one_in(w.fail_flush))
			return -EIO;
		if (!w.no_data)
			memcpy(durable, snapshot, w.size);
		return 0;
	}
	fails = one_in(w.fail) || hits_lost(io) ||
		hits(io, io->op == DTL_IO_READ ? w.bad_read : w.bad_write) ||
		(io->op == DTL_IO_READ ? w.no_reads : w.no_writes);
	if (one_in(w.cut))
		len = len > BLOCK ? BLOCK + chance(len - BLOCK) / BLOCK * BLOCK :
				    len;
	if (w.refuse_direct && io->fd == target.direct)
		return -EINVAL;
	if (io->op == DTL_IO_READ && !fails && !w.no_data)
		memcpy(io->buf, source + io->offset, len);
	/* A write that fails may have done a part. */
	if (io->op == DTL_IO_WRITE && !w.no_data)
		memcpy(volatile_ + io->offset, io->buf,
		       fails ? len / 2 : len);
	return fails ? -EIO : (ssize_t)len;
}

static int sim_wait(struct dtl_queue *q, double seconds, struct dtl_io **io)
{
	unsigned int i;

	(void)q;
	*io = NULL;
	if (++w.waits == w.cancel_at) {
		w.cancel = 1;
		w.high_at_cancel = w.high;
	}
	if (w.waits == w.break_at)
		return -EIO;
	if (w.hiccup)
		now += w.hiccup * (double)chance(1000) / 1000;
	if (!w.nr_flight || one_in(w.time_out)) {
		now += seconds;
		return 0;
	}
	i = (unsigned int)chance(w.nr_flight);
	*io = w.flight[i];
	w.flight[i] = w.flight[--w.nr_flight];
	w.bytes_flight -= (*io)->len;
	(*io)->result = fate(*io);
	return 0;
}

static void sim_close(struct dtl_queue *q)
{
	(void)q;
	CHECK(!w.nr_flight || w.break_at, "%u requests are abandoned",
	      w.nr_flight);
}

static const struct dtl_queue_ops sim_ops = {
	.push = sim_push,
	.wait = sim_wait,
	.close = sim_close,
};

static struct dtl_queue *sim_open(unsigned int depth, bool in_memory)
{
	static struct dtl_queue q = { .ops = &sim_ops };

	(void)depth;
	(void)in_memory;
	return &q;
}

/* The target. */

static void sim_unit(struct dtl_target *t, uint64_t unit)
{
	CHECK(unit && !(unit & (unit - 1)) && !(w.granularity % unit) &&
	      !(w.size % unit), "unit %" PRIu64, unit);
	t->is_direct = w.refuse_direct;
}

static void sim_write(struct dtl_target *t, struct dtl_queue *q,
		      struct dtl_io *io)
{
	io->op = DTL_IO_WRITE;
	io->fd = t->is_direct ? t->direct : t->fd;
	dtl_queue_push(q, io);
}

static void sim_flush(struct dtl_target *t, struct dtl_queue *q,
		      struct dtl_io *io)
{
	(void)t;
	io->op = DTL_IO_FLUSH;
	io->len = 0;
	dtl_queue_push(q, io);
}

static bool sim_retry(struct dtl_target *t, const struct dtl_io *io)
{
	if (io->result != -EINVAL || io->fd != t->direct)
		return false;
	t->is_direct = false;
	return true;
}

static const struct dtl_target_ops sim_target = {
	.unit = sim_unit,
	.write = sim_write,
	.flush = sim_flush,
	.retry = sim_retry,
};

/* The run. */

static int sim_next(void *opaque, struct dtrack_range *range)
{
	if (w.no_next_at && w.given == w.no_next_at)
		return dtl_fail(*(struct dtrack **)opaque, -EBADMSG, NULL,
				"no next one");
	if (w.scattered) {
		*range = (struct dtrack_range){ 2 * w.granularity * w.given++,
						w.granularity };
		return range->start < w.size;
	}
	if (w.given == w.nr_set)
		return 0;
	*range = w.set[w.given++];
	return 1;
}

/* The first byte of the set after so many of its bytes. */
static uint64_t set_at(uint64_t bytes)
{
	unsigned int i;

	if (w.scattered)
		return 2 * bytes;
	for (i = 0; i < w.nr_set && bytes >= w.set[i].length; i++)
		bytes -= w.set[i].length;
	return i == w.nr_set ? UINT64_MAX : w.set[i].start + bytes;
}

static int sim_flushed(void *opaque, const struct dtrack_range *ranges,
		       unsigned int nr)
{
	uint64_t start, end, all = 0;
	unsigned int i;

	(void)opaque;
	CHECK(nr && nr <= DTRACK_MAX_RANGES, "%u ranges", nr);
	for (i = 0; i < nr && w.salvage; i++)
		w.reported += ranges[i].length;
	for (i = 0; i < nr && !w.salvage; i++) {
		start = ranges[i].start;
		end = start + ranges[i].length;
		CHECK(!(start % w.granularity) &&
		      (end == w.size || !(end % w.granularity)),
		      "%" PRIu64 "-%" PRIu64 " are not whole granules", start,
		      end);
		CHECK_INT(set_at(w.reported), start);
		CHECK(w.no_data || !memcmp(durable + start, source + start,
					   end - start),
		      "%" PRIu64 "-%" PRIu64 " is reported and not durable",
		      start, end);
		w.reported += end - start;
		all += end - start;
	}
	if (all > w.largest_report)
		w.largest_report = all;
	if (now - w.last_report > w.longest_gap)
		w.longest_gap = now - w.last_report;
	w.last_report = now;
	w.reports++;
	return 0;
}

static void sim_unread(void *opaque, uint64_t start, uint64_t len)
{
	uint64_t at;

	(void)opaque;
	CHECK(len && !(start % BLOCK), "%" PRIu64 "+%" PRIu64, start, len);
	for (at = start; at < start + len; at += BLOCK) {
		CHECK(!w.left_out[at / BLOCK], "twice");
		w.left_out[at / BLOCK] = true;
	}
}

static void sim_notify(void *opaque, enum dtrack_run_event event,
		       uint64_t done, uint64_t total, const char *message)
{
	(void)opaque;
	CHECK(done >= w.progress && done <= total, "progress went from %" PRIu64
	      " to %" PRIu64 " of %" PRIu64, w.progress, done, total);
	w.progress = done;
	if (event != DTRACK_RUN_STOPPED)
		return;
	CHECK(strstr(message, "Could not"), "%s", message);
	w.stops++;
	w.no_reads = w.no_writes = false;
	w.resume = 1;
}

/* ---- A copy ------------------------------------------------------------- */

static struct dtrack_run_options o;

/* A world where all goes well. */
static void new_world(uint64_t size, uint64_t granularity)
{
	uint64_t i;

	memset(&w, 0, sizeof(w));
	w.bad_read = w.bad_write = UINT64_MAX;
	w.bad_tries = UINT32_MAX;
	w.size = size;
	w.granularity = granularity;
	w.no_data = size > MOST;
	now = 1;
	w.last_report = 1;
	memset(&target, 0, sizeof(target));
	target.ops = &sim_target;
	target.fd = 3;
	target.direct = 4;
	strcpy(target.path, "target");
	o = (struct dtrack_run_options)DTRACK_RUN_OPTIONS_INIT;
	o.notify = sim_notify;
	if (w.no_data)
		return;
	for (i = 0; i < size; i++)
		source[i] = (char)(i % 251 + i / 4096 + 1);
	memset(volatile_, 0xee, sizeof(volatile_));
	memset(durable, 0xee, sizeof(durable));
}

static void add_extent(uint64_t start, uint64_t length)
{
	if (start + length > w.size)
		length = w.size - start;
	w.set[w.nr_set++] = (struct dtrack_range){ start, length };
}

static uint64_t set_bytes(void)
{
	uint64_t bytes = w.scattered ? w.size / 2 : 0;
	unsigned int i;

	for (i = 0; i < w.nr_set; i++)
		bytes += w.set[i].length;
	return bytes;
}

static uint64_t set_before(uint64_t end)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; i < w.nr_set && w.set[i].start < end; i++)
		bytes += w.set[i].start + w.set[i].length < end ?
				 w.set[i].length : end - w.set[i].start;
	return bytes;
}

static char words[8192];

static int copy(void)
{
	struct dtl_source src = {
		.ops = &dtl_source_raw, .fd = -1, .block = BLOCK,
		.in_memory = true, .path = "source",
	};
	struct dtrack *h;
	struct dtl_copy c = {
		.source = &src,
		.target = &target,
		.size = w.size,
		.granularity = w.granularity,
		.total = set_bytes(),
		.options = &o,
		.cancel = &w.cancel,
		.resume = &w.resume,
		.open_queue = sim_open,
		.next = sim_next,
		.flushed = sim_flushed,
		.unread = w.salvage ? sim_unread : NULL,
		.opaque = &h,
	};
	int ret;

	dtrack_new(&h);
	c.h = h;
	ret = dtl_copy_run(&c);
	snprintf(words, sizeof(words), "%s", ret ? dtrack_errmsg(h) : "");
	w.done_to = c.done_to;
	w.begun_to = c.begun_to;
	CHECK_INT(w.reported, c.copied);
	CHECK(c.copied <= c.written && c.written <= c.total, "bytes");
	CHECK(ret || w.salvage || c.copied == c.total,
	      "%" PRIu64 " of %" PRIu64 " copied", c.copied, c.total);
	CHECK(!ret || words[0], "no words");
	dtrack_free(h);
	return ret;
}

/* As the engine says: this far it went. */
static void check_ends(bool success)
{
	const char before = target.created ? 0 : (char)0xee;
	uint64_t at, stop, i;

	CHECK(w.done_to <= w.begun_to && w.begun_to <= w.size, "%" PRIu64
	      " and %" PRIu64, w.done_to, w.begun_to);
	if (success && w.nr_set)
		CHECK_INT(w.set[w.nr_set - 1].start +
			  w.set[w.nr_set - 1].length, w.done_to);
	for (i = 0; i < w.nr_set; i++) {
		stop = w.set[i].start + w.set[i].length;
		for (at = w.set[i].start; at < stop && at < w.done_to; at++)
			if (!w.left_out[at / BLOCK] && durable[at] != source[at])
				break;
		CHECK(at >= stop || at >= w.done_to, "byte %" PRIu64
		      " before %" PRIu64 " is not copied", at, w.done_to);
	}
	for (at = w.begun_to; at < w.size && volatile_[at] == before; at++)
		;
	CHECK_INT(w.size, at);
}

/* Outside the set nothing changed; inside, after success, all is equal. */
static void check_target(bool success)
{
	const char before = target.created ? 0 : (char)0xee;
	uint64_t at = 0;
	unsigned int i;

	for (i = 0; i <= w.nr_set; i++) {
		uint64_t stop = i < w.nr_set ? w.set[i].start : w.size;

		while (at < stop && volatile_[at] == before)
			at++;
		CHECK(at == stop, "byte %" PRIu64 " is not of the set", at);
		if (i == w.nr_set)
			break;
		at = stop + w.set[i].length;
		CHECK(!success || w.salvage ||
		      !memcmp(durable + stop, source + stop, w.set[i].length),
		      "the extent at %" PRIu64 " is not copied", stop);
	}
	if (!w.no_data)
		check_ends(success);
}

/* ---- Whatever happens --------------------------------------------------- */

static void random_set(void)
{
	uint64_t granules = (w.size + w.granularity - 1) / w.granularity;
	uint64_t at = chance(3), run;

	while (at < granules && w.nr_set < 64) {
		run = 1 + chance(one_in(3) ? granules : 4);
		if (run > granules - at)
			run = granules - at;
		add_extent(at * w.granularity, run * w.granularity);
		at += run + 1 + chance(granules / 16 + 2);
	}
}

static void random_options(void)
{
	static const unsigned int jobs[] = { 0, 1, 2, 3, 8, 64, 1000 };

	o.jobs = jobs[chance(7)];
	o.request_size = one_in(2) ? 0 : 1 + chance(256 << 10);
	o.speed = one_in(4) ? 1 + chance(4 << 20) : 0;
	o.on_source_error = (int)chance(3);
	o.on_target_error = (int)chance(3);
}

static void random_trouble(void)
{
	w.fail = one_in(2) ? 0 : 4 + (unsigned int)chance(60);
	w.cut = one_in(2) ? 0 : 2 + (unsigned int)chance(20);
	w.time_out = one_in(2) ? 0 : 2 + (unsigned int)chance(20);
	w.fail_flush = one_in(6) ? 1 + (unsigned int)chance(5) : 0;
	w.cancel_at = one_in(4) ? 1 + (unsigned int)chance(60) : 0;
	w.break_at = one_in(12) ? 1 + (unsigned int)chance(60) : 0;
	w.no_next_at = one_in(6) ? (unsigned int)chance(w.nr_set + 1) : 0;
	w.hiccup = one_in(2) ? 0.2 : 0;
	w.refuse_direct = one_in(4);
	if (one_in(4))
		w.bad_read = chance(w.size);
	if (one_in(4))
		w.bad_write = chance(w.size);
	if (one_in(2) || o.on_source_error == DTRACK_ON_ERROR_STOP ||
	    o.on_target_error == DTRACK_ON_ERROR_STOP)
		w.bad_tries = 1 + (unsigned int)chance(9);
	target.created = one_in(3);
	if (target.created) {
		memset(volatile_, 0, sizeof(volatile_));
		memset(durable, 0, sizeof(durable));
		memset(source, 0, chance(w.size));
	}
}

static void test_whatever_happens(void)
{
	static const uint64_t granularity[] = { 512, 4096, 65536, 1 << 20 };
	unsigned int i, done = 0, failed = 0;
	int ret;

	for (i = 0; i < 600 && !check_why[0]; i++) {
		new_world((1 + chance(MOST / BLOCK)) * BLOCK,
			  granularity[chance(4)]);
		random_set();
		random_options();
		random_trouble();
		ret = copy();
		check_target(!ret);
		if (!ret)
			done++;
		else
			failed++;
		CHECK(w.most_flight <= (o.jobs == 1 ? 1 : 257), "%u in flight",
		      w.most_flight);
		CHECK(!w.cancel || w.high == w.high_at_cancel,
		      "it went on after a cancel");
	}
	CHECK(check_why[0] || (done > 50 && failed > 50),
	      "%u went well, %u failed", done, failed);
	if (check_why[0])
		sprintf(check_why + strlen(check_why), " (copy %u, SEED=%" PRIu64
			")", i, seed);
}

/* What is lost is left out, 4 KiB or a granule around it, and no more. */
static void test_salvage(void)
{
	static const uint64_t granularity[] = { 512, 4096, 65536 };
	uint64_t i, k, n, unit, first;
	bool bad;
	int ret;

	for (i = 0; i < 200 && !check_why[0]; i++) {
		new_world((1 + chance(MOST / BLOCK)) * BLOCK,
			  granularity[chance(3)]);
		random_set();
		random_options();
		w.salvage = true;
		w.cut = one_in(2) ? 0 : 2 + (unsigned int)chance(20);
		w.cancel_at = one_in(8) ? 1 + (unsigned int)chance(60) : 0;
		n = chance(one_in(2) ? 3 : 200);
		while (n--)
			w.lost[chance(w.size / BLOCK)] = true;
		ret = copy();
		/* A cancel may come in the last flush. */
		if (ret || !w.cancel)
			CHECK_INT(w.cancel ? -ECANCELED : 0, ret);
		check_target(!ret);
		unit = (w.granularity < 4096 ? w.granularity : 4096) / BLOCK;
		for (k = 0; k < w.size / BLOCK && !ret; k++) {
			first = k - k % unit;
			for (n = 0, bad = false; n < unit; n++)
				bad |= first + n < w.size / BLOCK &&
				       w.lost[first + n];
			if (set_before(k * BLOCK + 1) == set_before(k * BLOCK))
				bad = false;
			CHECK(bad == w.left_out[k], "block %" PRIu64
			      " (copy %" PRIu64 ", SEED=%" PRIu64 ")", k, i,
			      seed);
			CHECK(!bad || volatile_[k * BLOCK] == (char)0xee,
			      "it was written");
		}
	}
}

/* ---- One thing at a time ------------------------------------------------ */

static void test_one_job(void)
{
	new_world(MOST, 65536);
	add_extent(0, 3 * 65536);
	add_extent(5 * 65536, MOST);
	o.jobs = 1;
	CHECK_INT(0, copy());
	CHECK_INT(1, w.most_flight);
	CHECK(!w.out_of_order, "not in ascending order");
	CHECK_INT(set_bytes(), w.bytes_read);
}

/* A device of any size, any wish: within the bounds, nothing read twice. */
static void test_bounds(void)
{
	static const struct {
		unsigned int jobs;
		uint64_t request;
		uint64_t most;
	} wish[] = {
		{ 0, 0, 8 << 20 }, { 1, 0, 1 << 20 }, { 8, 0, 8 << 20 },
		{ 256, 0, 16 << 20 }, { UINT32_MAX, UINT64_MAX, 32 << 20 },
		{ 1, 4096, 4096 }, { 0, 1, 32 * 4096 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(wish) / sizeof(wish[0]); i++) {
		new_world(256ULL << 20, 65536);
		add_extent(0, w.size);
		o.jobs = wish[i].jobs;
		o.request_size = wish[i].request;
		CHECK_INT(0, copy());
		CHECK(w.most_bytes <= wish[i].most, "%u: %" PRIu64
		      " bytes in flight", i, w.most_bytes);
		CHECK(w.most_bytes > wish[i].most / 2, "%u: only %" PRIu64
		      " bytes in flight", i, w.most_bytes);
		CHECK_INT(256ULL << 20, w.bytes_read);
		CHECK(w.largest_report <= 64 << 20, "%" PRIu64 " in one report",
		      w.largest_report);
	}
}

/* Granules beside each other are one request; nothing between is read. */
static void test_joined(void)
{
	new_world(MOST, 4096);
	add_extent(4096, 64 * 4096);
	add_extent(MOST / 2, 4096);
	CHECK_INT(0, copy());
	CHECK_INT(65 * 4096, w.bytes_read);
	check_target(true);
}

/* What the books say after an error does not depend on the depth. */
static void test_error_is_exact(void)
{
	static const unsigned int jobs[] = { 1, 2, 32, 256 };
	unsigned int i, kind;

	for (i = 0; i < 8; i++) {
		kind = i & 1;
		new_world(MOST, 65536);
		add_extent(0, 4 * 65536);
		add_extent(6 * 65536, MOST);
		o.jobs = jobs[i / 2];
		*(kind ? &w.bad_read : &w.bad_write) = 11 * 65536 + 5000;
		CHECK_INT(-EIO, copy());
		/* A write has done what a write does up to the error. */
		CHECK(kind ? w.reported == set_before(11 * 65536) :
			     w.reported <= set_before(11 * 65536),
		      "%u: %" PRIu64 " reported", i, w.reported);
		CHECK(!kind || !strcmp(words, "Could not read 'source' at byte 720896: Input/output error"),
		      "%s", words);
		check_target(false);
	}
}

static void test_ignore(void)
{
	new_world(MOST, 65536);
	add_extent(0, MOST);
	o.on_source_error = DTRACK_ON_ERROR_IGNORE;
	w.bad_read = 300000;
	/* The first, which one is bad, and three tries. */
	w.bad_tries = 5;
	CHECK_INT(0, copy());
	CHECK_INT(0, w.bad_tries);
	new_world(MOST, 65536);
	add_extent(0, MOST);
	o.on_source_error = DTRACK_ON_ERROR_IGNORE;
	w.bad_read = 300000;
	CHECK_INT(-EIO, copy());
	CHECK_INT(4 * 65536, w.reported);
}

static void test_stop(void)
{
	new_world(MOST, 65536);
	add_extent(0, MOST);
	o.on_target_error = DTRACK_ON_ERROR_STOP;
	w.bad_write = 300000;
	w.bad_tries = 4;
	CHECK_INT(0, copy());
	CHECK_INT(4, w.stops);
	check_target(true);
}

/* All that has failed by then is tried again when one of them is. */
static void test_stop_once(void)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		new_world(MOST, 65536);
		add_extent(0, MOST);
		o.jobs = i < 4 ? 8 : 64;
		o.on_source_error = DTRACK_ON_ERROR_STOP;
		o.on_target_error = DTRACK_ON_ERROR_STOP;
		*(i & 1 ? &w.no_reads : &w.no_writes) = true;
		CHECK_INT(0, copy());
		CHECK_INT(1, w.stops);
		check_target(true);
	}
}

/* But not what failed on the side that does not wait. */
static void test_stop_is_of_one_side(void)
{
	new_world(MOST, 65536);
	add_extent(0, MOST);
	o.jobs = 8;
	o.request_size = 65536;
	o.on_target_error = DTRACK_ON_ERROR_STOP;
	w.no_writes = true;
	w.bad_read = 5 * 65536;
	w.bad_tries = 1;
	CHECK_INT(-EIO, copy());
	CHECK_INT(1, w.stops);
	CHECK_STR("Could not read 'source' at byte 327680: Input/output error",
		  words);
	CHECK_INT(5 * 65536, w.reported);
}

/* No file system is made to take what it does not. */
static void test_direct_refused(void)
{
	new_world(MOST, 65536);
	add_extent(0, MOST);
	w.refuse_direct = true;
	CHECK_INT(0, copy());
	CHECK(!target.is_direct, "still direct");
	check_target(true);
}

static void test_flush_fails(void)
{
	new_world(MOST, 65536);
	add_extent(0, MOST);
	o.on_target_error = DTRACK_ON_ERROR_STOP;
	w.fail_flush = 1;
	CHECK_INT(-EIO, copy());
	CHECK_STR("Could not flush 'target': Input/output error", words);
	CHECK_INT(0, w.reported);
	CHECK_INT(0, w.stops);
}

/* Up to where it went is what a flush came after. */
static void test_ends_are_durable(void)
{
	unsigned int i;

	/* What was written of a piece that then failed. */
	for (i = 0; i < 100; i++) {
		new_world(MOST, 65536);
		add_extent(0, 65536);
		o.jobs = 2;
		w.no_next_at = 1;
		w.cut = 2;
		w.fail = 4;
		CHECK_INT(-EBADMSG, copy());
		check_target(false);
	}
	/* What came when there was no more room in the books. */
	for (i = 0; i < 4; i++) {
		new_world(256 << 20, 512);
		w.scattered = true;
		o.jobs = 256;
		w.cancel_at = 2 * 65536 - 512 + 128 * i;
		CHECK_INT(-ECANCELED, copy());
		CHECK_INT(w.reported * 2, w.done_to + 512);
	}
}

/* N bytes take N / speed seconds, and are reported every second. */
static void test_speed(void)
{
	static const uint64_t speed[] = {
		100 << 10, 1 << 20, 10 << 20, 300 << 20,
	};
	double seconds, want;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		new_world(1ULL << 30, 65536);
		o.speed = speed[i % 4];
		add_extent(0, o.speed * 10 / 65536 * 65536);
		w.hiccup = i < 4 ? 0 : 0.0003;
		CHECK_INT(0, copy());
		seconds = now - 1;
		want = (double)set_bytes() / (double)o.speed;
		CHECK(seconds > 0.95 * want && seconds < 1.05 * want,
		      "%" PRIu64 " a second: %f s instead of %f", o.speed,
		      seconds, want);
		CHECK(w.longest_gap <= 1.0, "%f s without a report",
		      w.longest_gap);
	}
}

int main(void)
{
	static const struct check checks[] = {
		{ "copy-whatever-happens", test_whatever_happens },
		{ "copy-what-can-be-read", test_salvage },
		{ "copy-one-job", test_one_job },
		{ "copy-bounds", test_bounds },
		{ "copy-joined", test_joined },
		{ "copy-error-is-exact", test_error_is_exact },
		{ "copy-ignore", test_ignore },
		{ "copy-stop", test_stop },
		{ "copy-stop-once", test_stop_once },
		{ "copy-stop-is-of-one-side", test_stop_is_of_one_side },
		{ "copy-direct-refused", test_direct_refused },
		{ "copy-flush-fails", test_flush_fails },
		{ "copy-ends-are-durable", test_ends_are_durable },
		{ "copy-speed", test_speed },
		{ 0 },
	};

	take_seed();
	return run_checks(checks);
}
