// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * core.c - the work of which the bitmap core's cost is measured.
 *
 * Usage: core instructions	under callgrind, which it tells when to look:
 *				a dump for each line 'NAME operations'
 *	  core threads		one and two threads on dirty granules, as
 *				'NAME ns1 ns2', medians per mark and thread
 *	  core sizes		'NAME bytes' of memory and of chunks
 *
 * The map is 1 TiB at 64 KiB unless said otherwise.  Random numbers are drawn
 * beforehand, with a fixed seed: what is counted is the core and a loop.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <valgrind/callgrind.h>

#include "extent.h"
#include "format.h"

#define TIB		(1ULL << 40)
#define OPS		100000

static size_t leaf_bytes;

static void *leaf_alloc(void *ctx, bool atomic)
{
	(void)ctx;
	(void)atomic;
	leaf_bytes += DTR_LEAF_BYTES;
	return calloc(1, DTR_LEAF_BYTES);
}

static void leaf_free(void *ctx, void *leaf)
{
	(void)ctx;
	leaf_bytes -= DTR_LEAF_BYTES;
	free(leaf);
}

static const struct dtr_leaf_ops leaf_ops = { leaf_alloc, leaf_free };

static u64 random_state = 88172645463325252ULL;

static u64 random_below(u64 limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static void init(struct dtr_bitmap *bm, u64 size, unsigned int shift)
{
	if (dtr_bitmap_init(bm, size, shift, &leaf_ops, NULL)) {
		fprintf(stderr, "core: no memory\n");
		exit(2);
	}
}

/* @ppm millionths of all granules, at random; 1000000: every one, as leaves. */
static void fill(struct dtr_bitmap *bm, u64 ppm)
{
	u64 nr = bm->nr_bits / 1000000 * ppm +
		 bm->nr_bits % 1000000 * ppm / 1000000;
	u64 bit;

	if (ppm == 1000000)
		dtr_bitmap_mark(bm, 0, bm->nr_bits - 1);
	else if (ppm >= 100000)
		for (bit = 0; bit < bm->nr_bits; bit++) {
			if (random_below(1000000) < ppm)
				dtr_bitmap_mark(bm, bit, bit);
		}
	else
		while (nr--) {
			bit = random_below(bm->nr_bits);
			dtr_bitmap_mark(bm, bit, bit);
		}
	dtr_bitmap_recount(bm);
}

/* ---- Instructions ---- */

static void begin(void)
{
	CALLGRIND_START_INSTRUMENTATION;
	CALLGRIND_ZERO_STATS;
}

#define end(...)							\
do {									\
	CALLGRIND_DUMP_STATS;						\
	CALLGRIND_STOP_INSTRUMENTATION;					\
	printf(__VA_ARGS__);						\
	putchar('\n');							\
} while (0)

static u64 positions[OPS];

static void count_marks(void)
{
	struct dtr_bitmap bm;
	unsigned int i, span;

	for (span = 1; span <= 16; span += 15) {
		const char *what = span == 1 ? "set" : "range";

		init(&bm, TIB, 16);
		for (i = 0; i < OPS; i++)
			positions[i] = random_below(bm.nr_bits - span);
		begin();
		for (i = 0; i < OPS; i++)
			dtr_bitmap_mark(&bm, positions[i],
					positions[i] + span - 1);
		end("%s-clean %u", what, OPS);
		begin();
		for (i = 0; i < OPS; i++)
			dtr_bitmap_mark(&bm, positions[i],
					positions[i] + span - 1);
		end("%s-dirty %u", what, OPS);
		dtr_bitmap_exit(&bm);
	}
}

/* Of @bm, and of @live, too, unless that is NULL. */
static void walk_extents(const struct dtr_bitmap *bm,
			 const struct dtr_bitmap *live, const char *name)
{
	struct dtr_extent ext;
	unsigned int nr = 0;
	u64 from = 0;

	begin();
	while (dtr_extent_next(bm, live, from, &ext)) {
		from = ext.start + ext.len;
		nr++;
	}
	end("%s %u", name, nr);
}

static void count_extents(u64 ppm)
{
	struct dtr_bitmap bm, live;
	char name[32];

	init(&bm, TIB, 16);
	fill(&bm, ppm);
	snprintf(name, sizeof(name), "extents-%llu", ppm);
	walk_extents(&bm, NULL, name);
	if (ppm < 100000) {
		init(&live, TIB, 16);
		fill(&live, ppm);
		snprintf(name, sizeof(name), "extents-live-%llu", ppm);
		walk_extents(&bm, &live, name);
		dtr_bitmap_exit(&live);
	}
	dtr_bitmap_exit(&bm);
}

static void count_collapsed_extents(void)
{
	struct dtr_bitmap bm;

	init(&bm, TIB, 16);
	dtr_bitmap_set_all(&bm);
	walk_extents(&bm, NULL, "extents-collapsed-1000000");
	dtr_bitmap_exit(&bm);
}

static void count_merge(unsigned int src_shift, unsigned int dst_shift, u64 ppm)
{
	struct dtr_bitmap src, dst;

	init(&src, TIB, src_shift);
	init(&dst, TIB, dst_shift);
	fill(&src, ppm);
	if (src_shift == dst_shift)
		fill(&dst, ppm);
	begin();
	dtr_bitmap_merge(&dst, &src);
	end("merge-%u-%u-%llu 1", src_shift, dst_shift, ppm);
	dtr_bitmap_exit(&src);
	dtr_bitmap_exit(&dst);
}

static void count_union(u64 ppm)
{
	struct dtr_bitmap a, b;
	volatile u64 count;

	init(&a, TIB, 16);
	init(&b, TIB, 16);
	fill(&a, ppm);
	fill(&b, ppm);
	begin();
	count = dtr_bitmap_count_range(&a, 0, a.nr_bits - 1);
	end("count-range-%llu 1", ppm);
	begin();
	count = dtr_bitmap_count_union(&a, &b);
	end("count-union-%llu 1", ppm);
	begin();
	count = a.count;
	end("count-%llu 1", ppm);
	(void)count;
	dtr_bitmap_exit(&a);
	dtr_bitmap_exit(&b);
}

static void count_decode(u64 ppm)
{
	struct dtr_bitmap a, b;
	u64 cursor = 0;
	size_t room = 4 << 20;
	size_t len;
	u8 *buf = malloc(room);

	init(&a, TIB, 16);
	init(&b, TIB, 16);
	fill(&a, ppm);
	len = dtr_chunk_encode(&a, &cursor, buf, room);
	cursor = 0;
	begin();
	dtr_chunk_decode(&b, &cursor, buf, len);
	end("decode-%llu 1", ppm);
	if (cursor != a.nr_bits || b.count != a.count)
		exit(2);
	dtr_bitmap_exit(&a);
	dtr_bitmap_exit(&b);
	free(buf);
}

static void instructions(void)
{
	static const u64 ppms[] = { 10, 6000, 10000, 500000, 1000000 };
	unsigned int i;

	count_marks();
	for (i = 0; i < 5; i++) {
		count_extents(ppms[i]);
		count_merge(16, 16, ppms[i]);
		count_merge(16, 20, ppms[i]);
		count_merge(20, 16, ppms[i]);
		count_union(ppms[i]);
		count_decode(ppms[i]);
	}
	count_collapsed_extents();
}

/* ---- Two threads ---- */

#define ROUNDS		15
#define MARKS		2000000

struct marker {
	pthread_barrier_t *barrier;
	struct dtr_bitmap *bm;
	const u64 *bits;	/* MARKS + ROUNDS of them, a power of two - 1 */
	u64 mask;
	int cpu;
	double ns;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static void *marker_run(void *arg)
{
	struct marker *m = arg;
	cpu_set_t cpus;
	double start;
	u64 i;

	CPU_ZERO(&cpus);
	CPU_SET(m->cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	pthread_barrier_wait(m->barrier);
	start = now();
	for (i = 0; i < MARKS; i++) {
		u64 bit = m->bits[i & m->mask];

		dtr_bitmap_mark(m->bm, bit, bit);
	}
	m->ns = (now() - start) / MARKS;
	return NULL;
}

/* Nanoseconds of a mark with @nr threads, the slowest of them. */
static double mark_ns(struct dtr_bitmap *bm, unsigned int nr, const u64 *bits,
		      u64 mask)
{
	pthread_barrier_t barrier;
	struct marker markers[2];
	pthread_t threads[2];
	unsigned int i;

	pthread_barrier_init(&barrier, NULL, nr);
	for (i = 0; i < nr; i++) {
		markers[i] = (struct marker){ &barrier, bm, bits + i * 8, mask,
					      i, 0 };
		pthread_create(&threads[i], NULL, marker_run, &markers[i]);
	}
	for (i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	return nr == 2 && markers[1].ns > markers[0].ns ? markers[1].ns :
							  markers[0].ns;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static void two_threads(void)
{
	static u64 bits[(1 << 16) + 16];
	double ns[2][ROUNDS];
	struct dtr_bitmap bm;
	unsigned int word, i, r;

	init(&bm, TIB, 16);
	fill(&bm, 1000000);
	for (word = 0; word < 2; word++) {
		for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
			bits[i] = word ? i % 64 : random_below(bm.nr_bits);
		for (r = 0; r < ROUNDS; r++)
			for (i = 0; i < 2; i++)
				ns[i][r] = mark_ns(&bm, i + 1, bits, 0xffff);
		for (i = 0; i < 2; i++)
			qsort(ns[i], ROUNDS, sizeof(double), by_value);
		printf("%s %.2f %.2f\n", word ? "same-word" : "random",
		       ns[0][ROUNDS / 2], ns[1][ROUNDS / 2]);
	}
	dtr_bitmap_exit(&bm);
}

/* ---- Sizes ---- */

static size_t encoded(const struct dtr_bitmap *bm)
{
	size_t room = 1 << 20;
	size_t sum = 0;
	u64 cursor = 0;
	u8 *buf = malloc(room);

	while (cursor < bm->nr_bits)
		sum += dtr_chunk_encode(bm, &cursor, buf, room);
	free(buf);
	return sum;
}

static void sizes(void)
{
	struct dtr_bitmap bm, full;
	u64 roots = dtr_bitmap_root_bytes(64 * TIB, 16);

	init(&bm, 64 * TIB, 16);
	printf("memory-empty %llu\n", roots);
	printf("memory-most %llu\n", dtr_bitmap_max_bytes(64 * TIB, 16));
	fill(&bm, 10);
	printf("memory-10 %llu\n", roots + leaf_bytes);
	printf("chunks-10 %zu\n", encoded(&bm));
	dtr_bitmap_exit(&bm);

	init(&bm, 64 * TIB, 16);
	fill(&bm, 500000);
	printf("chunks-500000 %zu\n", encoded(&bm));
	dtr_bitmap_mark(&bm, 0, bm.nr_bits - 1);
	init(&full, 64 * TIB, 16);
	leaf_bytes = 0;
	dtr_bitmap_merge(&full, &bm);
	printf("memory-full %llu\n", roots + leaf_bytes);
	printf("chunks-1000000 %zu\n", encoded(&full));
	dtr_bitmap_exit(&full);
	dtr_bitmap_exit(&bm);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "instructions"))
		instructions();
	else if (!strcmp(what, "threads"))
		two_threads();
	else if (!strcmp(what, "sizes"))
		sizes();
	else
		return 2;
	return 0;
}
