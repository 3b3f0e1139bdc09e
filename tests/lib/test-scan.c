// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test-scan.c - reading sources side by side, and what cannot be read.
 *
 * Where a source is bad the request goes to /proc/self/mem, which gives EIO for
 * what is not mapped, as a disk does for what is lost.
 *
 * SEED=N repeats the random test.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "random.h"
#include "scan.h"

#define SIZE	((8U << 20) + 1024)
#define ROOM	((8U << 20) + 4096)	/* whole blocks */
#define BLOCK	512U

/* What a queue still has must not be on a stack that was left. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_stack_use_after_return=1";
}

/* ---- Sources ------------------------------------------------------------ */

static char memory[2][ROOM];
static bool bad[ROOM / BLOCK];
static unsigned int reads, cancel_at;
static atomic_int cancel;
static int err_fd;

static void mem_read(struct dtl_source *s, struct dtl_queue *q,
		     struct dtl_io *io)
{
	uint64_t i;

	CHECK(io->len && !(io->offset % BLOCK) && !(io->len % BLOCK) &&
	      io->offset + io->len <= ROOM, "a request of %zu at %" PRIu64,
	      io->len, io->offset);
	if (++reads == cancel_at)
		cancel = 1;
	io->op = DTL_IO_READ;
	io->fd = s->fd;
	for (i = io->offset / BLOCK; i < (io->offset + io->len) / BLOCK; i++)
		if (s->path[0] == '0' && bad[i])
			io->fd = err_fd;
	dtl_queue_push(q, io);
}

static void mem_close(struct dtl_source *s)
{
	(void)s;
}

static const struct dtl_source_ops mem_ops = {
	.read = mem_read,
	.close = mem_close,
};

/* ---- A queue that breaks ------------------------------------------------- */

/**
 * struct broken - a queue that breaks.
 * @q: what others see
 * @real: what does it
 * @io: what is in flight
 * @nr: number of them
 */
struct broken {
	struct dtl_queue q;
	struct dtl_queue *real;
	struct dtl_io *io[64];
	unsigned int nr;
};

static unsigned int waits, break_at;

static void broken_push(struct dtl_queue *q, struct dtl_io *io)
{
	struct broken *b = (struct broken *)q;

	b->io[b->nr++] = io;
	dtl_queue_push(b->real, io);
}

static int broken_wait(struct dtl_queue *q, double seconds, struct dtl_io **io)
{
	struct broken *b = (struct broken *)q;
	unsigned int i;
	int ret;

	if (++waits >= break_at)
		return -EBADF;
	ret = dtl_queue_wait(b->real, seconds, io);
	for (i = 0; !ret && *io && i < b->nr; i++)
		if (b->io[i] == *io)
			b->io[i--] = b->io[--b->nr];
	return ret;
}

/* They are the queue's until now. */
static void broken_close(struct dtl_queue *q)
{
	struct broken *b = (struct broken *)q;

	while (b->nr)
		b->io[--b->nr]->result = -ECANCELED;
	dtl_queue_close(b->real);
}

static const struct dtl_queue_ops broken_ops = {
	.push = broken_push,
	.wait = broken_wait,
	.close = broken_close,
};

/* ---- Scans -------------------------------------------------------------- */

static uint64_t looked_at, lost;
static char words[8192];
static bool wanted[ROOM / 4096];
static unsigned int seen[ROOM / 4096];
static int find_ends;

/* All that is wanted, cut as it comes. */
static int find(void *opaque, uint64_t at, struct dtrack_range *range)
{
	uint64_t i = at / 4096, n;

	(void)opaque;
	CHECK_INT(0, at % 4096);
	while (i * 4096 < SIZE && !wanted[i])
		i++;
	if (i * 4096 >= SIZE)
		return find_ends;
	for (n = 1; (i + n) * 4096 < SIZE && wanted[i + n] && chance(50); n++)
		;
	range->start = i * 4096;
	range->length = n * 4096;
	if (range->length > SIZE - range->start)
		range->length = SIZE - range->start;
	return 1;
}

static int look_at_found(void *opaque, uint64_t start, size_t len,
			 const char *const data[DTL_SCAN_SOURCES])
{
	uint64_t i;

	(void)opaque;
	CHECK(start >= looked_at && !(start % 4096), "%" PRIu64, start);
	CHECK(!memcmp(data[0], memory[0] + start, len), "the content");
	looked_at = start + len;
	for (i = start / 4096; i * 4096 < looked_at; i++)
		seen[i]++;
	return 0;
}

static int look(void *opaque, uint64_t start, size_t len,
		const char *const data[DTL_SCAN_SOURCES])
{
	struct dtl_scan *s = opaque;

	CHECK_INT(looked_at, start);
	CHECK(!memcmp(data[0], memory[0] + start, len), "of the first source");
	if (s->source[1])
		CHECK(!memcmp(data[1], memory[1] + start, len),
		      "of the second source");
	looked_at = start + len;
	return 0;
}

static void unread(void *opaque, uint64_t start, size_t len)
{
	uint64_t i;
	bool any = false;

	(void)opaque;
	CHECK_INT(looked_at, start);
	for (i = start / BLOCK; i < (start + len + BLOCK - 1) / BLOCK; i++)
		any |= bad[i];
	CHECK(any, "what is good is lost at %" PRIu64, start);
	looked_at = start + len;
	lost += len;
}

static bool finds;

static int scan(unsigned int sources, bool may_lose, uint64_t unit,
		uint64_t size)
{
	struct dtl_source source[2] = {
		{ .ops = &mem_ops, .block = BLOCK, .path = "0" },
		{ .ops = &mem_ops, .block = BLOCK, .path = "1" },
	};
	struct dtl_scan s = {
		.source = { &source[0], sources > 1 ? &source[1] : NULL },
		.jobs = (unsigned int)chance(40),
		.cancel = &cancel,
		.find = finds ? find : NULL,
		.look = finds ? look_at_found : look,
		.unread = may_lose ? unread : NULL,
		.unit = unit,
		.opaque = &s,
	};
	struct broken broken = { .q.ops = &broken_ops };
	int ret, i;

	for (i = 0; i < 2; i++) {
		char name[] = "/tmp/dtrack-test-XXXXXX";

		source[i].fd = mkstemp(name);
		unlink(name);
		if (pwrite(source[i].fd, memory[i], ROOM, 0) != ROOM)
			abort();
	}
	looked_at = 0;
	lost = 0;
	reads = 0;
	cancel = 0;
	dtrack_new(&s.h);
	waits = 0;
	ret = dtl_scan_open(&s);
	if (!ret && break_at) {
		broken.real = s.queue;
		s.queue = &broken.q;
	}
	if (!ret)
		ret = dtl_scan_run(&s, 0, size);
	dtl_scan_close(&s);
	snprintf(words, sizeof(words), "%s", dtrack_errmsg(s.h));
	dtrack_free(s.h);
	close(source[0].fd);
	close(source[1].fd);
	return ret;
}

static void fresh(unsigned int nr_bad)
{
	size_t i;

	for (i = 0; i < ROOM; i++) {
		memory[0][i] = (char)(i * 31 / 17);
		memory[1][i] = (char)(i * 13 / 7);
	}
	memset(bad, 0, sizeof(bad));
	cancel_at = 0;
	while (nr_bad--)
		bad[chance(SIZE / BLOCK)] = true;
}

static void test_order(void)
{
	unsigned int i;

	for (i = 0; i < 6; i++) {
		fresh(0);
		CHECK_INT(0, scan(1 + i % 2, false, 4096, SIZE));
		CHECK_INT(SIZE, looked_at);
	}
	CHECK_INT(0, scan(1, false, 4096, 0));
	CHECK_INT(0, looked_at);
}

/* All before it was looked at, and nothing after it. */
static void test_error(void)
{
	fresh(0);
	bad[(5 << 20) / BLOCK] = true;
	bad[(7 << 20) / BLOCK] = true;
	CHECK_INT(-EIO, scan(1, false, 4096, SIZE));
	CHECK(looked_at <= 5 << 20 && looked_at > 3 << 20, "%" PRIu64, looked_at);
	CHECK(strstr(words, "Could not read '0' at byte "), "%s", words);
	CHECK_INT(-EIO, scan(2, false, 4096, SIZE));
}

static void test_unread(void)
{
	static const uint64_t units[] = { 512, 4096, 65536 };
	unsigned int i;
	uint64_t at, k, want;

	for (i = 0; i < 12 && !check_why[0]; i++) {
		fresh(1 + (unsigned int)chance(30));
		CHECK_INT(0, scan(1 + i % 2, true, units[i % 3], SIZE));
		CHECK_INT(SIZE, looked_at);
		for (at = 0, want = 0; at < SIZE; at += units[i % 3]) {
			uint64_t end = at + units[i % 3] < SIZE ?
				       at + units[i % 3] : SIZE;
			bool any = false;

			for (k = at / BLOCK; k * BLOCK < end; k++)
				any |= bad[k];
			want += any ? end - at : 0;
		}
		CHECK_INT(want, lost);
	}
}

/* What is found is looked at once, and nothing else is read. */
static void test_find(void)
{
	unsigned int i, k, few;

	finds = true;
	for (k = 0; k < 20 && !check_why[0]; k++) {
		fresh(0);
		few = 1 + (unsigned int)chance(40);
		memset(seen, 0, sizeof(seen));
		for (i = 0; i < ROOM / 4096; i++) {
			wanted[i] = i * 4096 < SIZE && k && !chance(few);
			bad[i * 8] = !wanted[i];
		}
		find_ends = k % 3 == 1 ? -ENODATA : 0;
		if (find_ends)
			wanted[SIZE / 4096] = false;
		CHECK_INT(find_ends, scan(1, false, 4096, SIZE));
		for (i = 0; !find_ends && i < ROOM / 4096; i++)
			CHECK_INT(wanted[i], seen[i]);
	}
	finds = false;
}

/* Whenever it does, also while a bad place is looked at closely. */
static void test_broken(void)
{
	unsigned int k;

	for (k = 1; k < 40 && !check_why[0]; k++) {
		fresh(0);
		memset(bad, true, sizeof(bad));
		break_at = k;
		CHECK_INT(-EBADF, scan(1 + k % 2, true, 4096, SIZE));
		CHECK(strstr(words, "Could not wait for requests: "), "%s",
		      words);
	}
	break_at = 0;
}

static void test_cancel(void)
{
	fresh(0);
	cancel_at = 3;
	CHECK_INT(-ECANCELED, scan(2, false, 4096, SIZE));
	CHECK_STR("Operation canceled", words);
	fresh(0);
	memset(bad, true, sizeof(bad));
	cancel_at = 60;
	CHECK_INT(-ECANCELED, scan(1, true, 512, SIZE));
	CHECK(looked_at < 1 << 20, "%" PRIu64 " bytes", looked_at);
}

int main(void)
{
	static const struct check checks[] = {
		{ "scan-in-order", test_order },
		{ "scan-error", test_error },
		{ "scan-unread", test_unread },
		{ "scan-find", test_find },
		{ "scan-broken", test_broken },
		{ "scan-cancel", test_cancel },
		{ 0 },
	};

	take_seed();
	err_fd = open("/proc/self/mem", O_RDONLY);
	return err_fd < 0 ? 1 : run_checks(checks);
}
