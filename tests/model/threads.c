// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * threads.c - setters beside each other, and a reader, for TSan to look at.
 *
 * Usage: threads PREFIX SEED: 'ok PREFIX/NAME' or 'not ok PREFIX/NAME # why'.
 * What all threads marked must be dirty when they have ended; with memory for
 * every leaf that is all, too.
 */
#include <pthread.h>
#include <stdio.h>

#include "extent.h"
#include "format.h"

#define NR_THREADS	4
#define NR_MARKS	4000
#define NR_BITS		(5 * (DTR_LEAF_BITS > 4096 ? DTR_LEAF_BITS : 4096) + 77)
#define ROUNDS		12

static long live_leaves;
static unsigned long asked;
static bool refuse;

static void *leaf_alloc(void *ctx, bool atomic)
{
	(void)ctx;
	(void)atomic;
	if (__atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED) % 3 == 0 && refuse)
		return NULL;
	__atomic_add_fetch(&live_leaves, 1, __ATOMIC_RELAXED);
	return calloc(1, DTR_LEAF_BYTES);
}

static void leaf_free(void *ctx, void *leaf)
{
	(void)ctx;
	__atomic_sub_fetch(&live_leaves, 1, __ATOMIC_RELAXED);
	free(leaf);
}

static const struct dtr_leaf_ops leaf_ops = { leaf_alloc, leaf_free };

struct setter {
	struct dtr_bitmap *bm;
	pthread_barrier_t *barrier;
	u64 random;
	bool reads;
	u8 *marked;		/* what this one did: a byte for each granule */
	const char *why;
};

static u64 random_below(u64 *state, u64 limit)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state % limit;
}

static void *setter_run(void *arg)
{
	struct setter *s = arg;
	unsigned int i;

	pthread_barrier_wait(s->barrier);
	for (i = 0; i < NR_MARKS; i++) {
		u64 first = random_below(&s->random, NR_BITS);
		u64 len = random_below(&s->random, i % 50 ? 3 : 9000);
		u64 last = first + len < NR_BITS ? first + len : NR_BITS - 1;

		/* All want the same leaf at the same time at first. */
		if (i < NR_BITS / 4096) {
			first = (u64)i << 12;
			last = first;
		}
		dtr_bitmap_mark(s->bm, first, last);
		memset(s->marked + first, 1, last - first + 1);
	}
	return NULL;
}

/* Nothing becomes clean while setters alone are at work. */
static void *reader_run(void *arg)
{
	static u8 buf[DTR_CHUNK_MIN_BYTES];
	struct setter *s = arg;
	u64 before = 0;
	unsigned int i;

	pthread_barrier_wait(s->barrier);
	for (i = 0; i < 60; i++) {
		struct dtr_extent ext;
		u64 count = dtr_bitmap_count_range(s->bm, 0, NR_BITS - 1);
		u64 bytes = 0;
		u64 cursor = 0;

		if (count < before)
			s->why = "a granule became clean";
		before = count;
		while (bytes < s->bm->size &&
		       dtr_extent_next(s->bm, NULL, bytes, &ext))
			bytes = ext.start + ext.len;
		dtr_chunk_encode(s->bm, &cursor, buf, sizeof(buf));
	}
	return NULL;
}

static const char *round_run(u64 *random)
{
	struct setter s[NR_THREADS + 1];
	pthread_t threads[NR_THREADS + 1];
	pthread_barrier_t barrier;
	struct dtr_bitmap bm;
	const char *why = NULL;
	u64 bit, got;
	u64 count = 0;
	unsigned int i;

	if (dtr_bitmap_init(&bm, (u64)NR_BITS << 12, 12, &leaf_ops, NULL))
		return "no memory";
	pthread_barrier_init(&barrier, NULL, NR_THREADS + 1);
	for (i = 0; i <= NR_THREADS; i++) {
		s[i] = (struct setter){ .bm = &bm, .barrier = &barrier };
		s[i].random = 1 + random_below(random, ~0ULL);
		s[i].marked = calloc(1, NR_BITS);
		pthread_create(&threads[i], NULL,
			       i < NR_THREADS ? setter_run : reader_run, &s[i]);
	}
	for (i = 0; i <= NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	why = s[NR_THREADS].why;

	dtr_bitmap_recount(&bm);
	for (bit = 0; bit < NR_BITS; bit++) {
		bool marked = false;
		bool dirty = dtr_bitmap_get(&bm, bit);

		for (i = 0; i < NR_THREADS; i++)
			marked |= s[i].marked[bit];
		if (marked && !dirty)
			why = "a lost mark";
		if (dirty && !marked && !refuse)
			why = "a spurious mark";
		/* By way of the summaries. */
		if (dirty && (!dtr_bitmap_next_dirty(&bm, bit ? bit - 1 : 0,
						     &got) || got > bit))
			why = "a mark that no search finds";
		count += dirty;
	}
	/* From one to the next, so that only summaries lead there. */
	for (bit = 0; dtr_bitmap_next_dirty(&bm, bit, &bit); bit++)
		count--;
	if (count)
		why = "searching misses marks";
	if (refuse != !!dtr_bitmap_nr_degraded(&bm))
		why = "leaves without memory are not counted";
	for (i = 0; i <= NR_THREADS; i++)
		free(s[i].marked);
	dtr_bitmap_exit(&bm);
	if (live_leaves)
		why = "leaves are lost";
	return why;
}

static int run(const char *prefix, const char *name, u64 seed)
{
	u64 random = seed * 2 + 1;
	const char *why = NULL;
	unsigned int i;

	for (i = 0; i < ROUNDS && !why; i++)
		why = round_run(&random);
	if (why)
		printf("not ok %s/%s # %s; SEED=%llu\n", prefix, name, why,
		       (unsigned long long)seed);
	else
		printf("ok %s/%s\n", prefix, name);
	fflush(stdout);
	return !!why;
}

int main(int argc, char **argv)
{
	int failed;
	u64 seed;

	if (argc != 3)
		return 2;
	seed = strtoull(argv[2], NULL, 0);
	failed = run(argv[1], "four-setters", seed);
	refuse = true;
	failed |= run(argv[1], "four-setters-refused-memory", seed);
	return failed;
}
