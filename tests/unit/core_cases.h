/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * core_cases.h - the cases of the bitmap core.
 *
 * Written once for the native runner (core.c) and for KUnit in a kernel.  Who
 * includes this defines before:
 *
 *	struct core_test	what a case is given
 *	CORE_TRUE(t, cond)	fails the case, and returns from it, if false
 *	CORE_EQ(t, a, b)	same for two numbers that differ
 *
 * and uses CORE_CASES(X), a list of X(function), behind.  The cases use what
 * port.h offers and nothing else.
 *
 * Sets of granules are written as in the specification: "1 255-256" are the
 * granules 1, 255 and 256, "" is the empty set.
 */
#include "export.h"
#include "extent.h"
#include "le.h"

#define KIB		(1ULL << 10)
#define MIB		(1ULL << 20)
#define GIB		(1ULL << 30)
#define TIB		(1ULL << 40)

#define WORD		BITS_PER_LONG
#define GROUP		((u64)BITS_PER_LONG * BITS_PER_LONG)
#define LEAF		((u64)DTR_LEAF_BITS)

/* ---- Leaves that can run out, and are counted ---- */

struct core_mem {
	long left;		/* leaves still to be had; < 0: no limit */
	long live;		/* leaves not given back */
};

static void *core_alloc(void *ctx, bool atomic)
{
	struct core_mem *mem = ctx;
	void *leaf;

	(void)atomic;
	if (!mem->left)
		return NULL;
	leaf = dtr_port_zalloc(DTR_LEAF_BYTES);
	if (!leaf)
		return NULL;
	if (mem->left > 0)
		mem->left--;
	mem->live++;
	return leaf;
}

static void core_free(void *ctx, void *leaf)
{
	struct core_mem *mem = ctx;

	mem->live--;
	dtr_port_free(leaf);
}

static const struct dtr_leaf_ops core_ops = {
	.alloc = core_alloc,
	.free = core_free,
};

/* ---- Sets in words ---- */

static u64 core_number(const char **at)
{
	u64 value = 0;

	while (**at >= '0' && **at <= '9')
		value = value * 10 + (u64)(*(*at)++ - '0');
	return value;
}

/* The next run of @at, or false at its end. */
static bool core_run(const char **at, u64 *first, u64 *last)
{
	while (**at == ' ')
		(*at)++;
	if (!**at)
		return false;
	*first = core_number(at);
	*last = *first;
	if (**at == '-') {
		(*at)++;
		*last = core_number(at);
	}
	return true;
}

static void core_set(struct dtr_bitmap *bm, const char *runs)
{
	u64 first, last;

	while (core_run(&runs, &first, &last))
		dtr_bitmap_set_range(bm, first, last);
}

/* Whether the bitmap is just that set, as seen by every way to look at it. */
static bool core_is(const struct dtr_bitmap *bm, const char *runs)
{
	u64 first, last, start, end, bit;
	u64 count = 0;
	u64 from = 0;

	while (core_run(&runs, &first, &last)) {
		if (!dtr_bitmap_next_dirty_area(bm, from, ~0ULL, ~0ULL, &start,
						&end) ||
		    start != first || end != last + 1 ||
		    !dtr_bitmap_next_dirty(bm, from, &bit) || bit != first ||
		    !dtr_bitmap_get(bm, first) || !dtr_bitmap_get(bm, last))
			return false;
		if (first > from && dtr_bitmap_get(bm, first - 1))
			return false;
		if (dtr_bitmap_next_clean(bm, first, &bit) !=
		    (end < bm->nr_bits) || (end < bm->nr_bits && bit != end))
			return false;
		count += end - start;
		from = end;
	}
	return !dtr_bitmap_next_dirty(bm, from, &bit) && bm->count == count &&
	       dtr_bitmap_count_range(bm, 0, bm->nr_bits - 1) == count;
}

#define CORE_BITS(t, bm, runs)	CORE_TRUE(t, core_is(bm, runs))

static int core_init(struct dtr_bitmap *bm, u64 size, unsigned int shift,
		     struct core_mem *mem)
{
	mem->left = -1;
	mem->live = 0;
	return dtr_bitmap_init(bm, size, shift, &core_ops, mem);
}

/* A bitmap of @nr granules of 64 KiB. */
static int core_init_bits(struct dtr_bitmap *bm, u64 nr, struct core_mem *mem)
{
	return core_init(bm, nr << 16, 16, mem);
}

/* ---- geometry ---- */

static void test_granularity_shift_limits(struct core_test *t)
{
	static const struct {
		u64 granularity;
		int shift;
	} rows[] = {
		{ 0, -EINVAL }, { 1, -EINVAL }, { 256, -EINVAL },
		{ 511, -EINVAL }, { 512, 9 }, { 513, -EINVAL }, { 4096, 12 },
		{ 65536, 16 }, { 65537, -EINVAL }, { 1ULL << 30, 30 },
		{ 1ULL << 31, 31 }, { 0xffffffff, -EINVAL },
		{ 1ULL << 32, -EINVAL }, { 1ULL << 63, -EINVAL },
		{ ~0ULL, -EINVAL },
	};
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CORE_EQ(t, dtr_granularity_shift(rows[i].granularity),
			rows[i].shift);
}

static void test_nr_granules_partial_last(struct core_test *t)
{
	CORE_EQ(t, dtr_nr_granules(0, 16), 0);
	CORE_EQ(t, dtr_nr_granules(1, 16), 1);
	CORE_EQ(t, dtr_nr_granules(65536, 16), 1);
	CORE_EQ(t, dtr_nr_granules(65537, 16), 2);
	CORE_EQ(t, dtr_nr_granules(DTR_MAX_SIZE, 9), 1ULL << 54);
	CORE_EQ(t, dtr_nr_granules(DTR_MAX_SIZE, 31), 1ULL << 32);
}

static void test_range_valid_overflow(struct core_test *t)
{
	CORE_TRUE(t, dtr_range_valid(0, 0, 0));
	CORE_TRUE(t, dtr_range_valid(100, 0, 100));
	CORE_TRUE(t, dtr_range_valid(0, 100, 100));
	CORE_TRUE(t, !dtr_range_valid(1, 100, 100));
	CORE_TRUE(t, !dtr_range_valid(101, 0, 100));
	CORE_TRUE(t, !dtr_range_valid(2, ~0ULL, 100));
	CORE_TRUE(t, !dtr_range_valid(~0ULL, 2, 100));
}

static void test_range_is_granular_device_end(struct core_test *t)
{
	const u64 size = MIB + 512;

	CORE_TRUE(t, dtr_range_is_granular(0, 0, size, 16));
	CORE_TRUE(t, dtr_range_is_granular(64 * KIB, 128 * KIB, size, 16));
	CORE_TRUE(t, dtr_range_is_granular(MIB, 512, size, 16));
	CORE_TRUE(t, !dtr_range_is_granular(MIB, 256, size, 16));
	CORE_TRUE(t, !dtr_range_is_granular(512, 64 * KIB, size, 16));
	CORE_TRUE(t, !dtr_range_is_granular(0, 512, size, 16));
}

/* ---- init ---- */

static void test_init_refuses_bad_geometry(struct core_test *t)
{
	static const struct {
		u64 size;
		unsigned int shift;
	} rows[] = {
		{ 0, 16 }, { DTR_MAX_SIZE + 1, 16 }, { ~0ULL, 31 },
		{ MIB, 0 }, { MIB, 8 }, { MIB, 32 }, { MIB, 64 },
	};
	struct core_mem mem = { -1, 0 };
	struct dtr_bitmap bm;
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CORE_EQ(t, dtr_bitmap_init(&bm, rows[i].size, rows[i].shift,
					   &core_ops, &mem), -EINVAL);
}

static void test_init_refuses_what_no_memory_holds(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;
	int err;

	/* 2^54 granules: 4 TiB of slots, more than 32 bits can address. */
	CORE_TRUE(t, dtr_bitmap_root_bytes(DTR_MAX_SIZE, 9) > 2 * TIB);
	if (BITS_PER_LONG == 32) {
		err = core_init(&bm, DTR_MAX_SIZE, 9, &mem);
		CORE_EQ(t, err, -EOVERFLOW);
	}
}

static void test_init_smallest(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init(&bm, 1, 31, &mem), 0);
	CORE_EQ(t, bm.nr_bits, 1);
	CORE_BITS(t, &bm, "");
	dtr_bitmap_mark(&bm, 0, 0);
	dtr_bitmap_recount(&bm);
	CORE_BITS(t, &bm, "0");
	CORE_EQ(t, dtr_bitmap_dirty_bytes(&bm), 1);
	dtr_bitmap_exit(&bm);
	CORE_EQ(t, mem.live, 0);
}

static void test_root_bytes_64_tib(struct core_test *t)
{
	u64 roots = dtr_bitmap_root_bytes(64 * TIB, 16);
	u64 flat = (64 * TIB >> 16) / 8;

	/* Figures of the real leaf; a shrunk one has more slots. */
	if (DTR_LEAF_SHIFT < 15)
		return;
	CORE_TRUE(t, roots <= 300 * KIB);
	CORE_TRUE(t, dtr_bitmap_max_bytes(64 * TIB, 16) <= flat + flat / 33);
	CORE_EQ(t, dtr_bitmap_max_bytes(64 * TIB, 16) - roots, flat);
}

static void test_sparse_64_tib(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init(&bm, 64 * TIB, 16, &mem), 0);
	dtr_bitmap_mark(&bm, 0, 0);
	dtr_bitmap_mark(&bm, 536870911, 536870913);
	dtr_bitmap_mark(&bm, 1073741823, 1073741823);
	dtr_bitmap_recount(&bm);
	CORE_BITS(t, &bm, "0 536870911-536870913 1073741823");
	CORE_EQ(t, dtr_bitmap_clear_range(&bm, 1, 1073741822), 0);
	CORE_BITS(t, &bm, "0 1073741823");
	CORE_EQ(t, mem.live, 2);
	dtr_bitmap_exit(&bm);
	CORE_EQ(t, mem.live, 0);
}

static void test_largest_device(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	/* 2^63 bytes by 2 GiB: 2^32 granules.  A tiny leaf has 2^26 slots. */
	if (DTR_LEAF_SHIFT < 15)
		return;
	CORE_EQ(t, core_init(&bm, DTR_MAX_SIZE, 31, &mem), 0);
	CORE_EQ(t, bm.nr_bits, 1ULL << 32);
	dtr_bitmap_mark(&bm, 0xffffffff, 0xffffffff);
	dtr_bitmap_mark(&bm, 2147483647, 2147483648);
	dtr_bitmap_recount(&bm);
	CORE_BITS(t, &bm, "2147483647-2147483648 4294967295");
	CORE_EQ(t, dtr_bitmap_dirty_bytes(&bm), 3ULL << 31);
	dtr_bitmap_set_all(&bm);
	CORE_BITS(t, &bm, "0-4294967295");
	CORE_EQ(t, dtr_bitmap_dirty_bytes(&bm), DTR_MAX_SIZE);
	CORE_EQ(t, mem.live, 0);
	dtr_bitmap_exit(&bm);
}

/* ---- mark ---- */

static void test_mark_boundaries(struct core_test *t)
{
	const u64 nr = 3 * (LEAF > GROUP ? LEAF : GROUP) + 5;
	const u64 edges[] = { 0, 1, WORD - 1, WORD, 2 * WORD, GROUP - 1, GROUP,
			      LEAF - 1, LEAF, LEAF + 1, 2 * LEAF, nr - 2,
			      nr - 1 };
	const unsigned int nr_edges = sizeof(edges) / sizeof(edges[0]);
	struct core_mem mem;
	struct dtr_bitmap bm;
	unsigned int i, k;

	for (i = 0; i < nr_edges; i++)
		for (k = 0; k < nr_edges; k++) {
			u64 first = edges[i];
			u64 last = edges[k];
			u64 start, end;

			if (first > last)
				continue;
			CORE_EQ(t, core_init_bits(&bm, nr, &mem), 0);
			dtr_bitmap_mark(&bm, first, last);
			CORE_EQ(t, bm.count, 0);
			dtr_bitmap_recount(&bm);
			CORE_EQ(t, bm.count, last - first + 1);
			CORE_TRUE(t, dtr_bitmap_next_dirty_area(&bm, 0, nr, nr,
								&start, &end));
			CORE_EQ(t, start, first);
			CORE_EQ(t, end, last + 1);
			dtr_bitmap_exit(&bm);
			CORE_EQ(t, mem.live, 0);
		}
}

static void test_mark_dirty_allocates_nothing(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init_bits(&bm, 64, &mem), 0);
	dtr_bitmap_mark(&bm, 3, 7);
	mem.left = 0;
	dtr_bitmap_mark(&bm, 5, 5);
	dtr_bitmap_mark(&bm, 3, 7);
	dtr_bitmap_recount(&bm);
	CORE_BITS(t, &bm, "3-7");
	CORE_EQ(t, dtr_bitmap_nr_degraded(&bm), 0);
	dtr_bitmap_exit(&bm);
}

static void test_mark_without_memory(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 bit;

	CORE_EQ(t, core_init_bits(&bm, 4 * LEAF - 3, &mem), 0);
	mem.left = 0;
	dtr_bitmap_mark(&bm, 3 * LEAF + 1, 3 * LEAF + 1);
	dtr_bitmap_mark(&bm, LEAF + 1, LEAF + 1);
	dtr_bitmap_mark(&bm, LEAF + 2, LEAF + 2);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&bm), 2);
	dtr_bitmap_recount(&bm);
	CORE_EQ(t, bm.count, 2 * LEAF - 3);
	CORE_TRUE(t, dtr_bitmap_next_dirty(&bm, 0, &bit));
	CORE_EQ(t, bit, LEAF);
	CORE_TRUE(t, dtr_bitmap_next_clean(&bm, LEAF, &bit));
	CORE_EQ(t, bit, 2 * LEAF);
	CORE_TRUE(t, dtr_bitmap_next_dirty(&bm, 2 * LEAF, &bit));
	CORE_EQ(t, bit, 3 * LEAF);
	CORE_TRUE(t, !dtr_bitmap_next_clean(&bm, 3 * LEAF, &bit));
	dtr_bitmap_exit(&bm);
}

/* ---- set_range ---- */

static void test_set_range_counts_fresh(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init_bits(&bm, 3 * LEAF, &mem), 0);
	CORE_EQ(t, dtr_bitmap_set_range(&bm, 10, 19), 10);
	CORE_EQ(t, dtr_bitmap_set_range(&bm, 5, 24), 10);
	CORE_EQ(t, dtr_bitmap_set_range(&bm, 5, 24), 0);
	CORE_BITS(t, &bm, "5-24");
	CORE_EQ(t, dtr_bitmap_set_range(&bm, 0, 3 * LEAF - 1), 3 * LEAF - 20);
	CORE_EQ(t, bm.count, 3 * LEAF);
	dtr_bitmap_exit(&bm);
}

static void test_set_range_full_leaf_collapses(struct core_test *t)
{
	const u64 nr = 2 * LEAF - 7;
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 bit;

	CORE_EQ(t, core_init_bits(&bm, nr, &mem), 0);
	for (bit = 0; bit < LEAF; bit++)
		CORE_EQ(t, dtr_bitmap_set_range(&bm, bit, bit), 1);
	CORE_EQ(t, mem.live, 0);
	for (bit = nr - 1; bit >= LEAF; bit--)
		CORE_EQ(t, dtr_bitmap_set_range(&bm, bit, bit), 1);
	CORE_EQ(t, mem.live, 0);
	CORE_EQ(t, bm.count, nr);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&bm), 0);
	dtr_bitmap_exit(&bm);
}

static void test_set_range_without_memory(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init_bits(&bm, 3 * LEAF, &mem), 0);
	mem.left = 0;
	CORE_EQ(t, dtr_bitmap_set_range(&bm, LEAF + 3, LEAF + 3), LEAF);
	CORE_EQ(t, bm.count, LEAF);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&bm), 1);
	/* What is really set is no longer degraded. */
	CORE_EQ(t, dtr_bitmap_set_range(&bm, LEAF, 2 * LEAF - 1), 0);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&bm), 0);
	dtr_bitmap_exit(&bm);
}

static void test_set_all_needs_no_memory(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init_bits(&bm, 2 * GROUP + 2 * LEAF + 1, &mem), 0);
	core_set(&bm, "3 9");
	mem.left = 0;
	dtr_bitmap_set_all(&bm);
	CORE_EQ(t, bm.count, 2 * GROUP + 2 * LEAF + 1);
	CORE_EQ(t, mem.live, 0);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&bm), 0);
	CORE_EQ(t, dtr_bitmap_clear_all(&bm), 0);
	CORE_BITS(t, &bm, "");
	dtr_bitmap_exit(&bm);
}

/* ---- clear ---- */

static void test_clear_range_exact(struct core_test *t)
{
	static const struct {
		const char *before;
		u64 first, last;
		const char *after;
	} rows[] = {
		{ "", 0, 299, "" },
		{ "5", 5, 5, "" },
		{ "0-299", 0, 0, "1-299" },
		{ "0-299", 299, 299, "0-298" },
		{ "0-299", 63, 64, "0-62 65-299" },
		{ "0-299", 64, 127, "0-63 128-299" },
		{ "0-299", 31, 256, "0-30 257-299" },
		{ "0 100 200", 1, 199, "0 200" },
		{ "0-10 20-30", 5, 25, "0-4 26-30" },
	};
	struct core_mem mem;
	struct dtr_bitmap bm;
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CORE_EQ(t, core_init_bits(&bm, 300, &mem), 0);
		core_set(&bm, rows[i].before);
		CORE_EQ(t, dtr_bitmap_clear_range(&bm, rows[i].first,
						  rows[i].last), 0);
		CORE_BITS(t, &bm, rows[i].after);
		dtr_bitmap_exit(&bm);
	}
}

static void test_clear_range_frees_leaves(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 bit;

	CORE_EQ(t, core_init_bits(&bm, 3 * LEAF, &mem), 0);
	for (bit = 1; bit < 3 * LEAF; bit += LEAF)
		dtr_bitmap_mark(&bm, bit, bit + 1);
	dtr_bitmap_recount(&bm);
	CORE_EQ(t, mem.live, 3);
	CORE_EQ(t, dtr_bitmap_clear_range(&bm, 1, LEAF + 1), 0);
	CORE_EQ(t, mem.live, 2);
	CORE_EQ(t, bm.count, 3);
	CORE_EQ(t, dtr_bitmap_clear_range(&bm, LEAF + 2, 3 * LEAF - 1), 0);
	CORE_EQ(t, mem.live, 0);
	CORE_BITS(t, &bm, "");
	dtr_bitmap_exit(&bm);
}

static void test_clear_range_splits_full(struct core_test *t)
{
	const u64 nr = 3 * LEAF - 5;
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 bit;

	CORE_EQ(t, core_init_bits(&bm, nr, &mem), 0);
	dtr_bitmap_set_all(&bm);
	CORE_EQ(t, dtr_bitmap_clear_range(&bm, 7, nr - 2), 0);
	CORE_EQ(t, bm.count, 8);
	CORE_EQ(t, mem.live, 2);
	CORE_TRUE(t, dtr_bitmap_next_clean(&bm, 0, &bit));
	CORE_EQ(t, bit, 7);
	CORE_TRUE(t, dtr_bitmap_next_dirty(&bm, 7, &bit));
	CORE_EQ(t, bit, nr - 1);
	CORE_EQ(t, dtr_bitmap_count_range(&bm, 0, nr - 1), 8);
	dtr_bitmap_exit(&bm);
}

static void test_clear_range_without_memory(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;
	long left;

	for (left = 0; left < 2; left++) {
		CORE_EQ(t, core_init_bits(&bm, 3 * LEAF, &mem), 0);
		dtr_bitmap_set_all(&bm);
		mem.left = left;
		CORE_EQ(t, dtr_bitmap_clear_range(&bm, 1, 3 * LEAF - 2),
			-ENOMEM);
		CORE_EQ(t, bm.count, 3 * LEAF);
		CORE_EQ(t, dtr_bitmap_count_range(&bm, 0, 3 * LEAF - 1),
			3 * LEAF);
		CORE_EQ(t, mem.live, 0);
		/* Whole leaves need none. */
		mem.left = 0;
		CORE_EQ(t, dtr_bitmap_clear_range(&bm, LEAF, 2 * LEAF - 1), 0);
		CORE_EQ(t, bm.count, 2 * LEAF);
		dtr_bitmap_exit(&bm);
	}
}

static void test_clear_range_ends_degradation(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init_bits(&bm, 2 * LEAF, &mem), 0);
	mem.left = 0;
	dtr_bitmap_mark(&bm, 1, 1);
	dtr_bitmap_mark(&bm, LEAF, LEAF);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&bm), 2);
	dtr_bitmap_recount(&bm);
	mem.left = 1;
	CORE_EQ(t, dtr_bitmap_clear_range(&bm, 0, 0), 0);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&bm), 1);
	CORE_EQ(t, dtr_bitmap_clear_all(&bm), 0);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&bm), 0);
	CORE_EQ(t, mem.live, 0);
	dtr_bitmap_exit(&bm);
}

/* ---- searching ---- */

static void test_next_dirty_beyond_end(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 bit = 7777;

	CORE_EQ(t, core_init_bits(&bm, LEAF + 3, &mem), 0);
	dtr_bitmap_set_all(&bm);
	CORE_TRUE(t, dtr_bitmap_next_dirty(&bm, LEAF + 2, &bit));
	CORE_EQ(t, bit, LEAF + 2);
	bit = 7777;
	CORE_TRUE(t, !dtr_bitmap_next_dirty(&bm, LEAF + 3, &bit));
	CORE_TRUE(t, !dtr_bitmap_next_dirty(&bm, ~0ULL, &bit));
	CORE_TRUE(t, !dtr_bitmap_next_clean(&bm, 0, &bit));
	CORE_TRUE(t, !dtr_bitmap_next_clean(&bm, ~0ULL, &bit));
	CORE_EQ(t, bit, 7777);
	dtr_bitmap_exit(&bm);
}

static void test_next_dirty_far(struct core_test *t)
{
	const u64 nr = 40 * GROUP * WORD;
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 at, bit;

	/* One granule at every power of two: each level is climbed. */
	CORE_EQ(t, core_init_bits(&bm, nr, &mem), 0);
	for (at = 1; at < nr; at *= 2)
		dtr_bitmap_mark(&bm, at, at);
	for (at = 1; at < nr; at *= 2) {
		CORE_TRUE(t, dtr_bitmap_next_dirty(&bm, at / 2 + 1, &bit));
		CORE_EQ(t, bit, at);
	}
	CORE_TRUE(t, !dtr_bitmap_next_dirty(&bm, at / 2 + 1, &bit));
	/* Cleared again from below: no summary leads astray. */
	for (at = 1; at < nr / 2; at *= 2) {
		CORE_EQ(t, dtr_bitmap_clear_range(&bm, at, at), 0);
		CORE_TRUE(t, dtr_bitmap_next_dirty(&bm, 0, &bit));
		CORE_EQ(t, bit, 2 * at);
	}
	dtr_bitmap_exit(&bm);
}

static void test_next_dirty_area_limits(struct core_test *t)
{
	static const struct {
		u64 start, end, max;
		u64 area_start, area_end;	/* both 0: none */
	} rows[] = {
		/* dirty: 10-19 and 100-299 of 300 */
		{ 0, 300, 300, 10, 20 },
		{ 10, 300, 300, 10, 20 },
		{ 15, 300, 300, 15, 20 },
		{ 19, 300, 300, 19, 20 },
		{ 20, 300, 300, 100, 300 },
		{ 0, 10, 300, 0, 0 },
		{ 0, 11, 300, 10, 11 },
		{ 0, 300, 1, 10, 11 },
		{ 0, 300, 9, 10, 19 },
		{ 0, 300, 11, 10, 20 },
		{ 20, 100, 300, 0, 0 },
		{ 150, ~0ULL, ~0ULL, 150, 300 },
		{ 299, 300, 5, 299, 300 },
		{ 300, 301, 5, 0, 0 },
		{ 5, 5, 5, 0, 0 },
		{ 12, 12, 5, 0, 0 },
		{ ~0ULL, ~0ULL, 5, 0, 0 },
	};
	struct core_mem mem;
	struct dtr_bitmap bm;
	unsigned int i;

	CORE_EQ(t, core_init_bits(&bm, 300, &mem), 0);
	core_set(&bm, "10-19 100-299");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		u64 start = 0;
		u64 end = 0;

		dtr_bitmap_next_dirty_area(&bm, rows[i].start, rows[i].end,
					   rows[i].max, &start, &end);
		CORE_EQ(t, start, rows[i].area_start);
		CORE_EQ(t, end, rows[i].area_end);
	}
	dtr_bitmap_exit(&bm);
}

static void test_count_range_edges(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init_bits(&bm, 3 * LEAF, &mem), 0);
	dtr_bitmap_set_range(&bm, LEAF - 2, 2 * LEAF + 1);
	CORE_EQ(t, dtr_bitmap_count_range(&bm, 0, 3 * LEAF - 1), LEAF + 4);
	CORE_EQ(t, dtr_bitmap_count_range(&bm, 0, LEAF - 2), 1);
	CORE_EQ(t, dtr_bitmap_count_range(&bm, LEAF - 1, 2 * LEAF), LEAF + 2);
	CORE_EQ(t, dtr_bitmap_count_range(&bm, LEAF + 5, LEAF + 5), 1);
	CORE_EQ(t, dtr_bitmap_count_range(&bm, 2 * LEAF + 2, 3 * LEAF - 1), 0);
	dtr_bitmap_exit(&bm);
}

static void test_dirty_bytes_clamped(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	/* T11: 1 MiB + 512 by 64 KiB, the tail granule has 512 bytes. */
	CORE_EQ(t, core_init(&bm, MIB + 512, 16, &mem), 0);
	CORE_EQ(t, bm.nr_bits, 17);
	core_set(&bm, "16");
	CORE_EQ(t, bm.count, 1);
	CORE_EQ(t, dtr_bitmap_dirty_bytes(&bm), 512);
	core_set(&bm, "0");
	CORE_EQ(t, dtr_bitmap_dirty_bytes(&bm), 64 * KIB + 512);
	dtr_bitmap_exit(&bm);

	/* T12: 64 KiB by 2 GiB. */
	CORE_EQ(t, core_init(&bm, 64 * KIB, 31, &mem), 0);
	core_set(&bm, "0");
	CORE_EQ(t, bm.count, 1);
	CORE_EQ(t, dtr_bitmap_dirty_bytes(&bm), 64 * KIB);
	dtr_bitmap_exit(&bm);
}

/* ---- resize ---- */

static void test_resize_specification(struct core_test *t)
{
	static const struct {
		u64 size;
		const char *set;	/* before the resize */
		const char *after;
	} rows[] = {
		/* R01, where growth marks the tail instead of losing it */
		{ 5 * MIB, "48 63", "48 63-79" },
		{ 4 * MIB - 32 * KIB, "", "48 63" },
		{ 5 * MIB, "", "48 63-79" },
		{ 3 * MIB, "", "" },
		{ 4 * MIB, "", "48-63" },
		/* R03 */
		{ 5 * MIB, "", "48-79" },
		/* a partial granule: the same bit, more bytes */
		{ MIB + 512, "", "" },
		{ MIB + 1024, "", "16" },
		{ MIB, "", "" },
		{ MIB + 1, "", "16" },
	};
	struct core_mem mem;
	struct dtr_bitmap bm;
	unsigned int i;

	CORE_EQ(t, core_init(&bm, 4 * MIB, 16, &mem), 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		core_set(&bm, rows[i].set);
		dtr_bitmap_resize(&bm, rows[i].size);
		CORE_EQ(t, bm.size, rows[i].size);
		CORE_BITS(t, &bm, rows[i].after);
	}
	dtr_bitmap_exit(&bm);
	CORE_EQ(t, mem.live, 0);
}

static void test_resize_across_levels(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 nr, bit;

	/* Each doubling adds slots, some a level; what was dirty stays. */
	CORE_EQ(t, core_init_bits(&bm, 1, &mem), 0);
	dtr_bitmap_mark(&bm, 0, 0);
	for (nr = 2; nr <= 64 * GROUP; nr *= 2) {
		dtr_bitmap_resize(&bm, nr << 16);
		CORE_EQ(t, bm.nr_bits, nr);
		CORE_EQ(t, bm.count, nr / 2 + 1);
		CORE_TRUE(t, dtr_bitmap_next_dirty(&bm, 1, &bit));
		CORE_EQ(t, bit, nr / 2);
		CORE_EQ(t, dtr_bitmap_clear_range(&bm, 1, nr - 1), 0);
		CORE_TRUE(t, !dtr_bitmap_next_dirty(&bm, 1, &bit));
	}
	dtr_bitmap_mark(&bm, 63 * GROUP, 63 * GROUP);
	dtr_bitmap_resize(&bm, (63 * GROUP + 1) << 16);
	CORE_EQ(t, bm.count, 2);
	dtr_bitmap_resize(&bm, (63 * GROUP) << 16);
	CORE_BITS(t, &bm, "0");
	dtr_bitmap_exit(&bm);
	CORE_EQ(t, mem.live, 0);
}

static void test_resize_full_last_leaf(struct core_test *t)
{
	const u64 nr = LEAF + 3;
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 bit;

	/* The last leaf is full by three granules and grows to many groups. */
	CORE_EQ(t, core_init_bits(&bm, nr, &mem), 0);
	dtr_bitmap_set_range(&bm, LEAF, nr - 1);
	CORE_EQ(t, mem.live, 0);
	dtr_bitmap_resize(&bm, (4 * LEAF + 4 * GROUP) << 16);
	CORE_EQ(t, bm.count, 3 * LEAF + 4 * GROUP);
	CORE_TRUE(t, dtr_bitmap_next_dirty(&bm, 0, &bit));
	CORE_EQ(t, bit, LEAF);
	for (bit = nr; bit < bm.nr_bits; bit += GROUP / 2) {
		u64 found;

		CORE_TRUE(t, dtr_bitmap_next_dirty(&bm, bit, &found));
		CORE_EQ(t, found, bit);
	}
	dtr_bitmap_exit(&bm);
}

#ifdef DTR_PORT_FAIL
static void test_resize_without_memory(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm, other;
	struct dtr_extent ext;
	u64 bit, start, end;
	u8 raw[2];

	CORE_EQ(t, core_init_bits(&bm, 2 * LEAF, &mem), 0);
	core_set(&bm, "3");
	core_fail_roots = true;
	dtr_bitmap_resize(&bm, (4 * LEAF) << 16);
	CORE_EQ(t, mem.live, 0);
	CORE_EQ(t, bm.count, 4 * LEAF);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&bm), bm.nr_slots);

	/* All there is to ask it. */
	CORE_TRUE(t, dtr_bitmap_get(&bm, 0));
	CORE_EQ(t, dtr_bitmap_count_range(&bm, 5, 9), 5);
	CORE_EQ(t, dtr_bitmap_dirty_bytes(&bm), (4 * LEAF) << 16);
	CORE_TRUE(t, dtr_bitmap_next_dirty(&bm, 7, &bit));
	CORE_EQ(t, bit, 7);
	CORE_TRUE(t, !dtr_bitmap_next_dirty(&bm, 4 * LEAF, &bit));
	CORE_TRUE(t, !dtr_bitmap_next_clean(&bm, 0, &bit));
	CORE_TRUE(t, dtr_bitmap_next_dirty_area(&bm, 9, 99, 999, &start, &end));
	CORE_EQ(t, start, 9);
	CORE_EQ(t, end, 99);
	dtr_bitmap_get_bits(&bm, 3, 9, raw);
	CORE_EQ(t, raw[0], 0xff);
	CORE_EQ(t, raw[1], 1);
	CORE_TRUE(t, dtr_extent_next(&bm, NULL, 65536, &ext));
	CORE_EQ(t, ext.start, 65536);
	CORE_EQ(t, ext.len, (4 * LEAF - 1) << 16);

	/* All there is to do with it, still without memory. */
	CORE_EQ(t, dtr_bitmap_set_range(&bm, 0, 5), 0);
	dtr_bitmap_put_bits(&bm, 0, 9, raw);
	dtr_bitmap_set_all(&bm);
	dtr_bitmap_recount(&bm);
	dtr_bitmap_resize(&bm, (3 * LEAF) << 16);
	CORE_EQ(t, bm.count, 3 * LEAF);
	CORE_EQ(t, dtr_bitmap_clear_range(&bm, 0, 5), -ENOMEM);
	CORE_EQ(t, dtr_bitmap_clear_all(&bm), -ENOMEM);
	CORE_EQ(t, bm.count, 3 * LEAF);
	CORE_EQ(t, dtr_bitmap_copy(&other, &bm), 0);
	CORE_EQ(t, other.count, 3 * LEAF);
	CORE_EQ(t, dtr_bitmap_hash(&other), dtr_bitmap_hash(&bm));
	dtr_bitmap_exit(&other);

	/* Into and out of one that has memory. */
	core_fail_roots = false;
	CORE_EQ(t, dtr_bitmap_init(&other, (5 * LEAF) << 16, 16, &core_ops,
				   &mem), 0);
	dtr_bitmap_merge(&bm, &other);
	CORE_EQ(t, bm.count, 3 * LEAF);
	CORE_EQ(t, dtr_bitmap_count_union(&bm, &other), 3 * LEAF);
	CORE_EQ(t, dtr_bitmap_count_union(&other, &bm), 3 * LEAF);
	dtr_bitmap_merge(&other, &bm);
	CORE_EQ(t, other.count, 3 * LEAF);
	dtr_bitmap_exit(&other);

	/* And back to life. */
	CORE_EQ(t, dtr_bitmap_clear_range(&bm, 1, 3 * LEAF - 2), 0);
	CORE_EQ(t, bm.count, 2);
	dtr_bitmap_mark(&bm, LEAF, LEAF);
	core_fail_roots = true;
	dtr_bitmap_resize(&bm, (2 * LEAF) << 16);
	core_fail_roots = false;
	CORE_EQ(t, bm.count, 2 * LEAF);
	CORE_EQ(t, dtr_bitmap_clear_all(&bm), 0);
	CORE_BITS(t, &bm, "");
	dtr_bitmap_exit(&bm);
	CORE_EQ(t, mem.live, 0);
}

static void test_init_without_memory(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;
	int err;

	core_fail_roots = true;
	err = core_init_bits(&bm, 9, &mem);
	core_fail_roots = false;
	CORE_EQ(t, err, -ENOMEM);
	dtr_bitmap_exit(&bm);
}

static void test_copy_without_roots(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm, copy;
	int err;

	CORE_EQ(t, core_init_bits(&bm, 9, &mem), 0);
	core_fail_roots = true;
	err = dtr_bitmap_copy(&copy, &bm);
	core_fail_roots = false;
	CORE_EQ(t, err, -ENOMEM);
	dtr_bitmap_exit(&copy);
	dtr_bitmap_exit(&bm);
}
#endif

/* ---- merge and copy ---- */

static void test_merge_specification(struct core_test *t)
{
	static const struct {
		unsigned int src_shift;
		const char *src;
		unsigned int dst_shift;
		const char *dst;
		const char *after;
	} rows[] = {
		/* M01 */
		{ 12, "1 255-256", 16, "", "0 15-16" },
		{ 12, "1 255-256", 20, "", "0-1" },
		{ 16, "0 15-16", 20, "", "0-1" },
		/* M02 */
		{ 20, "0-1", 12, "", "0-511" },
		/* M03 */
		{ 16, "0 15-16", 12, "1 255-256", "0-15 240-271" },
		{ 16, "0 2", 16, "1 2", "0-2" },
		{ 16, "", 16, "1 2", "1-2" },
		{ 16, "3", 16, "", "3" },
		{ 9, "0", 22, "", "0" },
		{ 9, "8191", 22, "", "0" },
		{ 9, "2047-2048", 20, "", "0-1" },
		{ 22, "0", 12, "", "0-1023" },
		{ 13, "0-511", 16, "", "0-63" },
		/* every distance below a word, one granule in each half */
		{ 15, "126", 16, "", "63" },
		{ 14, "200", 16, "", "50" },
		{ 13, "7-8 500", 16, "", "0-1 62" },
		{ 12, "16 1023", 16, "", "1 63" },
		{ 11, "31-32 1000", 16, "", "0-1 31" },
		{ 10, "63-64 2000", 16, "", "0-1 31" },
		{ 9, "127-128 8000", 16, "", "0-1 62" },
	};
	struct core_mem mem;
	struct dtr_bitmap src, dst;
	unsigned int i;
	u64 count;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CORE_EQ(t, core_init(&src, 4 * MIB, rows[i].src_shift, &mem),
			0);
		CORE_EQ(t, dtr_bitmap_init(&dst, 4 * MIB, rows[i].dst_shift,
					   &core_ops, &mem), 0);
		core_set(&src, rows[i].src);
		core_set(&dst, rows[i].dst);
		count = dtr_bitmap_count_union(&dst, &src);
		dtr_bitmap_merge(&dst, &src);
		CORE_EQ(t, dst.count, count);
		CORE_BITS(t, &dst, rows[i].after);
		CORE_BITS(t, &src, rows[i].src);
		dtr_bitmap_exit(&src);
		dtr_bitmap_exit(&dst);
		CORE_EQ(t, mem.live, 0);
	}
}

static void test_merge_self(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init_bits(&bm, 100, &mem), 0);
	core_set(&bm, "3 50-60");
	dtr_bitmap_merge(&bm, &bm);
	CORE_BITS(t, &bm, "3 50-60");
	CORE_EQ(t, dtr_bitmap_count_union(&bm, &bm), 12);
	dtr_bitmap_exit(&bm);
}

static void test_merge_ignores_beyond_end(struct core_test *t)
{
	static const unsigned int shifts[] = { 9, 12, 15, 16, 17, 24 };
	struct core_mem mem;
	struct dtr_bitmap src, dst;
	unsigned int i;

	/* From a larger one, all dirty, and from one only marked so. */
	for (i = 0; i < sizeof(shifts) / sizeof(shifts[0]); i++) {
		CORE_EQ(t, core_init(&src, 100 * MIB, shifts[i], &mem), 0);
		CORE_EQ(t, dtr_bitmap_init(&dst, MIB + 512, 16, &core_ops,
					   &mem), 0);
		dtr_bitmap_set_all(&src);
		CORE_EQ(t, dtr_bitmap_count_union(&dst, &src), 17);
		dtr_bitmap_merge(&dst, &src);
		CORE_BITS(t, &dst, "0-16");

		CORE_EQ(t, dtr_bitmap_clear_all(&src), 0);
		CORE_EQ(t, dtr_bitmap_clear_all(&dst), 0);
		dtr_bitmap_mark(&src, 0, src.nr_bits - 1);
		CORE_EQ(t, dtr_bitmap_count_union(&dst, &src), 17);
		dtr_bitmap_merge(&dst, &src);
		CORE_BITS(t, &dst, "0-16");
		dtr_bitmap_exit(&src);
		dtr_bitmap_exit(&dst);
	}
	CORE_EQ(t, mem.live, 0);
}

static void test_merge_smaller(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap src, dst;

	/* A partial last granule of the source counts as a whole one. */
	CORE_EQ(t, core_init(&src, 3 * MIB + 512, 20, &mem), 0);
	CORE_EQ(t, dtr_bitmap_init(&dst, 8 * MIB, 16, &core_ops, &mem), 0);
	dtr_bitmap_set_all(&src);
	dtr_bitmap_merge(&dst, &src);
	CORE_BITS(t, &dst, "0-63");
	dtr_bitmap_exit(&src);
	CORE_EQ(t, dtr_bitmap_init(&src, 3 * MIB + 512, 16, &core_ops, &mem),
		0);
	dtr_bitmap_set_all(&src);
	CORE_EQ(t, dtr_bitmap_clear_all(&dst), 0);
	CORE_EQ(t, dtr_bitmap_count_union(&dst, &src), 49);
	dtr_bitmap_merge(&dst, &src);
	CORE_BITS(t, &dst, "0-48");
	dtr_bitmap_exit(&src);
	dtr_bitmap_exit(&dst);
	CORE_EQ(t, mem.live, 0);
}

static void test_merge_without_memory(struct core_test *t)
{
	static const unsigned int shifts[] = { 13, 16, 19 };
	struct core_mem mem, other_mem;
	struct dtr_bitmap src, dst;
	unsigned int i;

	for (i = 0; i < sizeof(shifts) / sizeof(shifts[0]); i++) {
		CORE_EQ(t, core_init(&src, (3 * LEAF) << 16, shifts[i],
				     &other_mem), 0);
		CORE_EQ(t, core_init(&dst, (3 * LEAF) << 16, 16, &mem), 0);
		dtr_bitmap_set_range(&src, (LEAF << 16 >> shifts[i]) + 1,
				     (LEAF << 16 >> shifts[i]) + 1);
		mem.left = 0;
		dtr_bitmap_merge(&dst, &src);
		CORE_EQ(t, dst.count, LEAF);
		CORE_EQ(t, dtr_bitmap_count_range(&dst, LEAF, 2 * LEAF - 1),
			LEAF);
		CORE_EQ(t, dtr_bitmap_nr_degraded(&dst), 1);
		dtr_bitmap_exit(&src);
		dtr_bitmap_exit(&dst);
	}
}

static void test_merge_collapses(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap src, dst;

	CORE_EQ(t, core_init_bits(&src, 2 * LEAF - 1, &mem), 0);
	CORE_EQ(t, dtr_bitmap_init(&dst, src.size, 16, &core_ops, &mem), 0);
	dtr_bitmap_mark(&src, 0, 2 * LEAF - 2);
	CORE_EQ(t, mem.live, 2);
	dtr_bitmap_merge(&dst, &src);
	CORE_EQ(t, mem.live, 2);
	CORE_EQ(t, dst.count, 2 * LEAF - 1);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&dst), 0);
	CORE_EQ(t, dtr_bitmap_hash(&dst), dtr_bitmap_hash(&src));
	dtr_bitmap_exit(&src);
	dtr_bitmap_exit(&dst);
	CORE_EQ(t, mem.live, 0);
}

static void test_count_union_tables(struct core_test *t)
{
	static const struct {
		unsigned int shift;
		const char *other;
		u64 count;		/* with 1 and 15-16 of 64 */
	} rows[] = {
		{ 16, "", 3 }, { 16, "1", 3 }, { 16, "0-63", 64 },
		{ 16, "0 16-17", 5 }, { 12, "16-31", 3 }, { 12, "0 1023", 5 },
		{ 12, "0-1023", 64 }, { 20, "0", 17 }, { 20, "1", 18 },
		{ 20, "0-3", 64 }, { 9, "0 8191", 5 }, { 22, "0", 64 },
	};
	struct core_mem mem;
	struct dtr_bitmap a, b;
	unsigned int i;

	CORE_EQ(t, core_init(&a, 4 * MIB, 16, &mem), 0);
	core_set(&a, "1 15-16");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CORE_EQ(t, dtr_bitmap_init(&b, 4 * MIB, rows[i].shift,
					   &core_ops, &mem), 0);
		core_set(&b, rows[i].other);
		CORE_EQ(t, dtr_bitmap_count_union(&a, &b), rows[i].count);
		CORE_BITS(t, &a, "1 15-16");
		dtr_bitmap_exit(&b);
	}
	dtr_bitmap_exit(&a);
}

static void test_copy_is_equal(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm, copy;

	CORE_EQ(t, core_init_bits(&bm, 4 * LEAF, &mem), 0);
	dtr_bitmap_set_range(&bm, 2, LEAF + 1);
	mem.left = 0;
	dtr_bitmap_mark(&bm, 3 * LEAF, 3 * LEAF);
	mem.left = -1;
	dtr_bitmap_recount(&bm);
	CORE_EQ(t, dtr_bitmap_copy(&copy, &bm), 0);
	CORE_EQ(t, copy.count, bm.count);
	CORE_EQ(t, dtr_bitmap_nr_degraded(&copy), 1);
	CORE_EQ(t, dtr_bitmap_hash(&copy), dtr_bitmap_hash(&bm));
	CORE_EQ(t, dtr_bitmap_clear_all(&bm), 0);
	CORE_EQ(t, dtr_bitmap_count_range(&copy, 0, 4 * LEAF - 1), copy.count);
	dtr_bitmap_exit(&bm);
	dtr_bitmap_exit(&copy);
	CORE_EQ(t, mem.live, 0);
}

static void test_copy_without_memory(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm, copy;

	CORE_EQ(t, core_init_bits(&bm, 3 * LEAF, &mem), 0);
	dtr_bitmap_mark(&bm, 0, 0);
	dtr_bitmap_mark(&bm, 2 * LEAF, 2 * LEAF);
	mem.left = 1;
	CORE_EQ(t, dtr_bitmap_copy(&copy, &bm), -ENOMEM);
	CORE_EQ(t, mem.live, 2);
	dtr_bitmap_exit(&copy);
	dtr_bitmap_exit(&bm);
	CORE_EQ(t, mem.live, 0);
}

/* ---- raw bits and hash ---- */

static void test_get_bits_order(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;
	u8 buf[17];

	CORE_EQ(t, core_init_bits(&bm, 132, &mem), 0);
	core_set(&bm, "0 9 64 131");
	dtr_bitmap_get_bits(&bm, 0, 132, buf);
	CORE_EQ(t, buf[0], 1);
	CORE_EQ(t, buf[1], 2);
	CORE_EQ(t, buf[8], 1);
	CORE_EQ(t, buf[16], 8);
	buf[1] = 0xff;
	dtr_bitmap_get_bits(&bm, 5, 5, buf);
	CORE_EQ(t, buf[0], 0x10);
	CORE_EQ(t, buf[1], 0xff);
	dtr_bitmap_exit(&bm);
}

static void test_put_bits_any_offset(struct core_test *t)
{
	static const u8 raw[] = { 0x05, 0x80, 0, 0, 0, 0, 0, 0, 0x81, 0xff };
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 first, k;

	for (first = 0; first < 3 * WORD; first++) {
		CORE_EQ(t, core_init_bits(&bm, 3 * WORD + 80, &mem), 0);
		/* the last four bits are not of the range */
		dtr_bitmap_put_bits(&bm, first, 76, raw);
		CORE_EQ(t, bm.count, 3 + 2 + 4);
		for (k = 0; k < 76; k++)
			CORE_EQ(t, dtr_bitmap_get(&bm, first + k),
				raw[k / 8] >> (k % 8) & 1);
		dtr_bitmap_exit(&bm);
	}
}

static void test_put_bits_keeps_others(struct core_test *t)
{
	static const u8 raw[] = { 0x02 };
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init_bits(&bm, 100, &mem), 0);
	core_set(&bm, "10-12 40");
	dtr_bitmap_put_bits(&bm, 8, 8, raw);
	CORE_BITS(t, &bm, "9-12 40");
	dtr_bitmap_exit(&bm);
}

static void test_hash_is_of_content(struct core_test *t)
{
	const u64 nr = 2 * LEAF + 77;
	struct core_mem mem;
	struct dtr_bitmap a, b;
	u64 clean;

	CORE_EQ(t, core_init_bits(&a, nr, &mem), 0);
	CORE_EQ(t, dtr_bitmap_init(&b, a.size, 16, &core_ops, &mem), 0);
	clean = dtr_bitmap_hash(&a);
	CORE_EQ(t, dtr_bitmap_hash(&b), clean);
	/* Full by set_all, all ones by mark. */
	dtr_bitmap_set_all(&a);
	dtr_bitmap_mark(&b, 0, nr - 1);
	CORE_TRUE(t, mem.live > 0);
	CORE_EQ(t, dtr_bitmap_hash(&b), dtr_bitmap_hash(&a));
	CORE_TRUE(t, dtr_bitmap_hash(&a) != clean);
	/* One granule makes a difference, back again makes none. */
	CORE_EQ(t, dtr_bitmap_clear_range(&a, LEAF + 9, LEAF + 9), 0);
	CORE_TRUE(t, dtr_bitmap_hash(&b) != dtr_bitmap_hash(&a));
	dtr_bitmap_set_range(&a, LEAF + 9, LEAF + 9);
	CORE_EQ(t, dtr_bitmap_hash(&b), dtr_bitmap_hash(&a));
	CORE_EQ(t, dtr_bitmap_clear_all(&a), 0);
	CORE_EQ(t, dtr_bitmap_hash(&a), clean);
	dtr_bitmap_exit(&a);
	dtr_bitmap_exit(&b);
}

static void test_hash_covers_geometry(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap a, b, c;

	CORE_EQ(t, core_init(&a, MIB, 16, &mem), 0);
	CORE_EQ(t, dtr_bitmap_init(&b, MIB - 1, 16, &core_ops, &mem), 0);
	CORE_EQ(t, dtr_bitmap_init(&c, MIB, 17, &core_ops, &mem), 0);
	CORE_TRUE(t, dtr_bitmap_hash(&a) != dtr_bitmap_hash(&b));
	CORE_TRUE(t, dtr_bitmap_hash(&a) != dtr_bitmap_hash(&c));
	dtr_bitmap_exit(&a);
	dtr_bitmap_exit(&b);
	dtr_bitmap_exit(&c);
}

static void test_hash_known_values(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;

	/* The same in every build and machine: it goes into manifests. */
	CORE_EQ(t, core_init(&bm, 4 * MIB, 16, &mem), 0);
	CORE_EQ(t, dtr_bitmap_hash(&bm), 0xe28d46f42833365bULL);
	core_set(&bm, "0 15-16");
	CORE_EQ(t, dtr_bitmap_hash(&bm), 0xbaa658e19f454bc2ULL);
	dtr_bitmap_set_all(&bm);
	CORE_EQ(t, dtr_bitmap_hash(&bm), 0x41d3f18aae4535acULL);
	dtr_bitmap_exit(&bm);
}

/* ---- extents ---- */

struct core_extent_row {
	u64 from;
	u64 start;		/* start and len 0: none */
	u64 len;
};

static bool core_extents_are(const struct dtr_bitmap *base,
			     const struct dtr_bitmap *live,
			     const struct core_extent_row *rows, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct dtr_extent ext = { 0, 0 };

		if (dtr_extent_next(base, live, rows[i].from, &ext) !=
		    !!rows[i].len || ext.start != rows[i].start ||
		    ext.len != rows[i].len)
			return false;
	}
	return true;
}

static void test_extent_next_cut_at_device_end(struct core_test *t)
{
	static const struct core_extent_row rows[] = {
		{ 0, 0, 128 * KIB },
		{ 1, 0, 128 * KIB },
		{ 64 * KIB, 64 * KIB, 64 * KIB },
		{ 128 * KIB, 15 * 64 * KIB, 64 * KIB + 512 },
		{ MIB, MIB, 512 },
		{ MIB + 511, MIB, 512 },
		{ MIB + 512, 0, 0 },
	};
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_EQ(t, core_init(&bm, MIB + 512, 16, &mem), 0);
	core_set(&bm, "0-1 15-16");
	CORE_TRUE(t, core_extents_are(&bm, NULL, rows,
				      sizeof(rows) / sizeof(rows[0])));
	dtr_bitmap_exit(&bm);
}

static void test_extent_next_union(struct core_test *t)
{
	static const struct {
		unsigned int shift;
		const char *live;
		struct core_extent_row rows[3];
	} rows[] = {
		/* base: 1, 4-5 of 64 granules of 64 KiB */
		{ 16, "", { { 0, 65536, 65536 }, { 131072, 262144, 131072 },
			    { 393216, 0, 0 } } },
		{ 16, "2-3 6", { { 0, 65536, 6 * 65536 },
				 { 200000, 196608, 4 * 65536 },
				 { 458752, 0, 0 } } },
		{ 12, "32 95", { { 0, 65536, 131072 },
				 { 196608, 262144, 131072 },
				 { 393216, 0, 0 } } },
		{ 12, "47-48", { { 0, 65536, 5 * 65536 },
				 { 393216, 0, 0 },
				 { 0, 65536, 5 * 65536 } } },
		{ 20, "0", { { 0, 0, MIB }, { 70000, 65536, MIB - 65536 },
			     { MIB, 0, 0 } } },
		{ 20, "3", { { 0, 65536, 65536 }, { 393216, 3 * MIB, MIB },
			     { 4 * MIB, 0, 0 } } },
		{ 9, "8191", { { 393216, 63 * 65536, 65536 },
			       { 0, 65536, 65536 },
			       { 131072, 262144, 131072 } } },
	};
	struct core_mem mem;
	struct dtr_bitmap base, live;
	unsigned int i;

	CORE_EQ(t, core_init(&base, 4 * MIB, 16, &mem), 0);
	core_set(&base, "1 4-5");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CORE_EQ(t, dtr_bitmap_init(&live, 4 * MIB, rows[i].shift,
					   &core_ops, &mem), 0);
		core_set(&live, rows[i].live);
		CORE_TRUE(t, core_extents_are(&base, &live, rows[i].rows, 3));
		dtr_bitmap_exit(&live);
	}
	dtr_bitmap_exit(&base);
}

static void test_extent_next_other_sizes(struct core_test *t)
{
	static const struct core_extent_row larger[] = {
		{ 0, 0, MIB + 512 }, { MIB + 512, 0, 0 },
	};
	static const struct core_extent_row smaller[] = {
		{ 0, 0, 128 * KIB }, { 128 * KIB, MIB, 512 },
	};
	struct core_mem mem;
	struct dtr_bitmap base, live;

	CORE_EQ(t, core_init(&base, MIB + 512, 16, &mem), 0);
	CORE_EQ(t, dtr_bitmap_init(&live, 9 * MIB, 12, &core_ops, &mem), 0);
	dtr_bitmap_set_all(&live);
	CORE_TRUE(t, core_extents_are(&base, &live, larger, 2));
	dtr_bitmap_exit(&live);
	CORE_EQ(t, dtr_bitmap_init(&live, 65537, 12, &core_ops, &mem), 0);
	dtr_bitmap_set_all(&live);
	core_set(&base, "16");
	CORE_TRUE(t, core_extents_are(&base, &live, smaller, 2));
	dtr_bitmap_exit(&live);
	dtr_bitmap_exit(&base);
}

/* ---- chunks ---- */

/* Encodes by chunks of @room bytes and decodes each; returns the chunks. */
static long core_roundtrip(const struct dtr_bitmap *from, struct dtr_bitmap *to,
			   u8 *buf, size_t room)
{
	u64 written = 0;
	u64 read = 0;
	long chunks = 0;

	while (written < from->nr_bits) {
		size_t len = dtr_chunk_encode(from, &written, buf, room);

		if (!len || len > room)
			return -1;
		if (dtr_chunk_decode(to, &read, buf, len) != (long)len)
			return -2;
		if (read != written)
			return -3;
		chunks++;
	}
	if (dtr_chunk_encode(from, &written, buf, room))
		return -4;
	return chunks;
}

static void test_chunk_roundtrip(struct core_test *t)
{
	static const u64 sizes[] = { 1, 7, 32767, 32768, 32769, 3 * 32768 - 1 };
	struct core_mem mem;
	struct dtr_bitmap a, b;
	unsigned int i, kind;
	u8 *buf = dtr_port_zalloc(20000);
	u64 bit;

	CORE_TRUE(t, buf);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (kind = 0; kind < 5; kind++) {
			CORE_EQ(t, core_init_bits(&a, sizes[i], &mem), 0);
			CORE_EQ(t, dtr_bitmap_init(&b, a.size, 16, &core_ops,
						   &mem), 0);
			switch (kind) {
			case 1:		/* raw */
				for (bit = 0; bit < a.nr_bits; bit += 3)
					dtr_bitmap_mark(&a, bit, bit);
				break;
			case 2:		/* sparse */
				for (bit = 0; bit < a.nr_bits; bit += 1000)
					dtr_bitmap_mark(&a, bit, bit);
				break;
			case 3:		/* full, with a hole */
				dtr_bitmap_set_all(&a);
				dtr_bitmap_clear_range(&a, a.nr_bits / 2,
						       a.nr_bits / 2);
				break;
			case 4:
				dtr_bitmap_set_all(&a);
				break;
			}
			dtr_bitmap_recount(&a);
			CORE_TRUE(t, core_roundtrip(&a, &b, buf, 20000) == 1);
			CORE_EQ(t, b.count, a.count);
			CORE_EQ(t, dtr_bitmap_hash(&b), dtr_bitmap_hash(&a));
			/* By the smallest buffer, at an odd address. */
			CORE_EQ(t, dtr_bitmap_clear_all(&b), 0);
			CORE_TRUE(t, core_roundtrip(&a, &b, buf + 1,
						    DTR_CHUNK_MIN_BYTES) > 0);
			CORE_EQ(t, dtr_bitmap_hash(&b), dtr_bitmap_hash(&a));
			dtr_bitmap_exit(&a);
			dtr_bitmap_exit(&b);
		}
	CORE_EQ(t, mem.live, 0);
	dtr_port_free(buf);
}

static void test_chunk_encode_sizes(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 cursor = 0;
	u8 *buf = dtr_port_zalloc(20000);

	CORE_TRUE(t, buf);
	CORE_EQ(t, core_init_bits(&bm, 1000000, &mem), 0);
	CORE_EQ(t, dtr_chunk_encode(&bm, &cursor, buf, DTR_CHUNK_MIN_BYTES - 1),
		0);
	CORE_EQ(t, cursor, 0);
	CORE_EQ(t, dtr_chunk_encode(&bm, &cursor, buf, 20000), 48);
	CORE_EQ(t, cursor, 1000000);
	dtr_bitmap_set_all(&bm);
	cursor = 0;
	CORE_EQ(t, dtr_chunk_encode(&bm, &cursor, buf, 20000), 58);
	CORE_EQ(t, dtr_bitmap_clear_all(&bm), 0);
	core_set(&bm, "5 999999");
	cursor = 0;
	CORE_EQ(t, dtr_chunk_encode(&bm, &cursor, buf, 20000), 48 + 2 * 8);
	dtr_bitmap_exit(&bm);
	dtr_port_free(buf);
}

/* The first chunk of a bitmap in 80 bytes, to be spoiled. */
struct core_chunk {
	struct core_mem mem;
	struct dtr_bitmap bm;
	u8 *buf;
	size_t len;
};

static bool core_chunk_begin(struct core_chunk *c, u64 nr, const char *runs)
{
	u64 cursor = 0;

	c->buf = dtr_port_zalloc(20000);
	if (!c->buf || core_init_bits(&c->bm, nr, &c->mem))
		return false;
	core_set(&c->bm, runs);
	c->len = dtr_chunk_encode(&c->bm, &cursor, c->buf, 20000);
	return cursor == nr && !dtr_bitmap_clear_all(&c->bm);
}

/* Makes the checksum right again, as somebody hostile would. */
static void core_chunk_sign(struct core_chunk *c)
{
	u64 sum, i;

	memset(c->buf + 40, 0, 8);
	sum = dtr_port_hash(c->buf + 48, c->len - 48,
			    dtr_port_hash(c->buf, 48, 0));
	for (i = 0; i < 8; i++)
		c->buf[40 + i] = sum >> (8 * i);
}

static long core_chunk_decode(struct core_chunk *c)
{
	u64 cursor = 0;
	long r = dtr_chunk_decode(&c->bm, &cursor, c->buf, c->len);

	/* Whatever is refused leaves no trace. */
	if (r < 0 && (cursor || c->bm.count))
		return 0;
	return r;
}

static void core_chunk_end(struct core_chunk *c)
{
	dtr_bitmap_exit(&c->bm);
	dtr_port_free(c->buf);
}

static void test_chunk_decode_spoiled(struct core_test *t)
{
	static const struct {
		unsigned int at;
		u8 value;
		bool sign;
		long err;
	} rows[] = {
		{ 0, 'X', true, -EINVAL },		/* magic */
		{ 4, 2, true, -EOPNOTSUPP },		/* version */
		{ 6, 17, true, -ERANGE },		/* shift */
		{ 8, 200, true, -EINVAL },		/* payload */
		{ 12, 1, true, -EINVAL },		/* zero */
		{ 16, 1, true, -ERANGE },		/* size */
		{ 24, 1, true, -EINVAL },		/* first */
		{ 33, 1, true, -EINVAL },		/* next: 232 + 256 */
		{ 33, 4, true, -EINVAL },		/* next: > nr_bits */
		{ 40, 1, false, -EBADMSG },		/* checksum */
		{ 54, 9, false, -EBADMSG },		/* a granule */
		{ 48, 1, true, -EINVAL },		/* block */
		{ 51, 0xff, true, -EINVAL },
		{ 52, 0, true, -EINVAL },		/* kind 0 */
		{ 52, 3, true, -EINVAL },		/* kind: too few */
		{ 52, 1, true, -EINVAL },		/* kind: too many */
		{ 53, 0x80, true, -EINVAL },		/* raw: too short */
		{ 54, 8, true, -EINVAL },		/* not ascending */
		{ 55, 8, true, -EINVAL },
		{ 57, 3, true, -EINVAL },		/* 776 < 1000 */
		{ 57, 4, true, -EINVAL },		/* beyond the end */
		{ 57, 0xff, true, -EINVAL },
	};
	struct core_chunk c;
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool fine = rows[i].at == 57 && rows[i].value == 3;

		CORE_TRUE(t, core_chunk_begin(&c, 1000, "5 8"));
		CORE_EQ(t, c.len, 58);
		c.buf[rows[i].at] = rows[i].value;
		if (rows[i].sign)
			core_chunk_sign(&c);
		CORE_EQ(t, core_chunk_decode(&c), fine ? 58 : rows[i].err);
		core_chunk_end(&c);
	}
}

static void test_chunk_decode_cut_short(struct core_test *t)
{
	struct core_chunk c;
	size_t len;

	CORE_TRUE(t, core_chunk_begin(&c, 1000, "5 8 900"));
	for (len = c.len, c.len = 0; c.len < len; c.len++)
		CORE_EQ(t, core_chunk_decode(&c), -EINVAL);
	/* More behind it is none of its business. */
	c.len = len + 9;
	CORE_EQ(t, core_chunk_decode(&c), (long)len);
	CORE_BITS(t, &c.bm, "5 8 900");
	core_chunk_end(&c);
}

static void test_chunk_decode_beyond_end(struct core_test *t)
{
	struct core_chunk c;

	/* Raw bits of 1000 granules end with a whole byte, of 1003 do not. */
	CORE_TRUE(t, core_chunk_begin(&c, 1003, "1002"));
	c.buf[53] = 0x80;
	c.buf[52] = 0;
	memset(c.buf + 54, 0, 200);
	c.buf[8] = 6 + 126;
	c.len = 48 + 6 + 126;
	c.buf[54 + 125] = 4;
	core_chunk_sign(&c);
	CORE_EQ(t, core_chunk_decode(&c), (long)c.len);
	CORE_BITS(t, &c.bm, "1002");
	CORE_EQ(t, dtr_bitmap_clear_all(&c.bm), 0);
	c.buf[54 + 125] = 8;
	core_chunk_sign(&c);
	CORE_EQ(t, core_chunk_decode(&c), -EINVAL);
	core_chunk_end(&c);

	/* A run of full blocks: as many as there are, one more, none. */
	CORE_TRUE(t, core_chunk_begin(&c, 3 * 32768 + 1, "0-98304"));
	CORE_EQ(t, c.len, 58);
	CORE_EQ(t, c.buf[54], 4);
	CORE_EQ(t, core_chunk_decode(&c), 58);
	CORE_EQ(t, c.bm.count, 98305);
	CORE_EQ(t, dtr_bitmap_clear_all(&c.bm), 0);
	c.buf[54] = 5;
	core_chunk_sign(&c);
	CORE_EQ(t, core_chunk_decode(&c), -EINVAL);
	c.buf[54] = 0;
	core_chunk_sign(&c);
	CORE_EQ(t, core_chunk_decode(&c), -EINVAL);
	core_chunk_end(&c);
}

static void test_chunk_decode_out_of_order(struct core_test *t)
{
	struct core_mem mem;
	struct dtr_bitmap bm;
	u64 written = 0;
	u64 read = 0;
	size_t len;
	u8 *buf = dtr_port_zalloc(DTR_CHUNK_MIN_BYTES);
	u64 bit;

	CORE_TRUE(t, buf);
	CORE_EQ(t, core_init_bits(&bm, 4 * 32768, &mem), 0);
	for (bit = 0; bit < bm.nr_bits; bit += 2)
		dtr_bitmap_mark(&bm, bit, bit);
	len = dtr_chunk_encode(&bm, &written, buf, DTR_CHUNK_MIN_BYTES);
	CORE_EQ(t, written, 32768);
	CORE_EQ(t, dtr_chunk_decode(&bm, &read, buf, len), (long)len);
	/* The same chunk again, and the third where the second is due. */
	CORE_EQ(t, dtr_chunk_decode(&bm, &read, buf, len), -EINVAL);
	len = dtr_chunk_encode(&bm, &written, buf, DTR_CHUNK_MIN_BYTES);
	len = dtr_chunk_encode(&bm, &written, buf, DTR_CHUNK_MIN_BYTES);
	CORE_EQ(t, dtr_chunk_decode(&bm, &read, buf, len), -EINVAL);
	CORE_EQ(t, read, 32768);
	dtr_bitmap_exit(&bm);
	dtr_port_free(buf);
}

/* ---- the header of a file ---- */

struct core_export {
	struct dtr_export in;
	struct dtr_export out;
	u8 *buf;
	size_t len;
};

static struct core_export *core_export_begin(const char *name)
{
	struct core_export *e = dtr_port_zalloc(sizeof(*e));
	unsigned int i;

	if (!e)
		return NULL;
	e->buf = dtr_port_zalloc(DTR_EXPORT_MAX_BYTES + 1);
	if (!e->buf) {
		dtr_port_free(e);
		return NULL;
	}
	e->in.length = 1000000;
	e->in.size = MIB + 512;
	e->in.count = 65536;
	e->in.generation = 7;
	e->in.hash = 0x123456789abcdef0ULL;
	e->in.shift = 16;
	e->in.flags = DTR_EXPORT_RECORDING | DTR_EXPORT_AT_LEAST;
	for (i = 0; i < sizeof(e->in.uuid); i++)
		e->in.uuid[i] = 0xf0 + i;
	memcpy(e->in.name, name, strlen(name));
	/* An odd address. */
	e->len = dtr_export_encode(&e->in, e->buf + 1, DTR_EXPORT_MAX_BYTES);
	return e;
}

static void core_export_end(struct core_export *e)
{
	dtr_port_free(e->buf);
	dtr_port_free(e);
}

/* Makes the checksum right again, as somebody hostile would. */
static void core_export_sign(struct core_export *e)
{
	u8 *at = e->buf + 1;

	dtr_put64(at + 88, 0);
	dtr_put64(at + 88, dtr_port_hash(at + 96, e->len - 96,
					 dtr_port_hash(at, 96, 0)));
}

static long core_export_decode(struct core_export *e, const char **why)
{
	*why = "";
	return dtr_export_decode(&e->out, e->buf + 1, e->len, why);
}

/* Up to its colon @why is @field. */
static bool core_is_field(const char *why, const char *field)
{
	size_t len = strlen(field);

	return why && !strncmp(why, field, len) && why[len] == ':';
}

static void test_export_roundtrip(struct core_test *t)
{
	static char name[DTR_NAME_MAX + 1];
	static const unsigned int lens[] = { 1, 7, DTR_NAME_MAX };
	struct core_export *e;
	const char *why;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		memset(name, 0, sizeof(name));
		memset(name, 'n', lens[i]);
		e = core_export_begin(name);
		CORE_TRUE(t, e);
		CORE_EQ(t, e->len, 96 + lens[i]);
		CORE_EQ(t, core_export_decode(e, &why), (long)e->len);
		CORE_TRUE(t, !memcmp(&e->in, &e->out, sizeof(e->in)));
		/* More behind it is none of its business. */
		CORE_EQ(t, dtr_export_decode(&e->out, e->buf + 1, e->len + 9,
					     &why), (long)e->len);
		CORE_EQ(t, dtr_export_encode(&e->in, e->buf, e->len - 1), 0);
		core_export_end(e);
	}
}

/* The bytes that other programs rely on. */
static void test_export_layout(struct core_test *t)
{
	struct core_export *e = core_export_begin("b");
	u8 *at;

	CORE_TRUE(t, e);
	at = e->buf + 1;
	CORE_TRUE(t, !memcmp(at, "DTRBITS\n", 8));
	CORE_EQ(t, dtr_get32(at + 8), 1);
	CORE_EQ(t, dtr_get32(at + 12), 97);
	CORE_EQ(t, dtr_get64(at + 16), 1000000);
	CORE_EQ(t, dtr_get64(at + 24), 1049088);
	CORE_EQ(t, dtr_get64(at + 32), 65536);
	CORE_EQ(t, dtr_get64(at + 40), 65536);
	CORE_EQ(t, dtr_get64(at + 48), 7);
	CORE_EQ(t, at[56], 0xf0);
	CORE_EQ(t, at[71], 0xff);
	CORE_EQ(t, dtr_get32(at + 72), 3);
	CORE_EQ(t, dtr_get32(at + 76), 0);
	CORE_TRUE(t, dtr_get64(at + 80) == 0x123456789abcdef0ULL);
	CORE_EQ(t, at[96], 'b');
	core_export_end(e);
}

static void test_export_decode_damaged(struct core_test *t)
{
	struct core_export *e = core_export_begin("bitmap");
	const char *why;
	size_t len, i;
	long r;

	CORE_TRUE(t, e);
	for (len = e->len, e->len = 0; e->len < len; e->len++) {
		CORE_EQ(t, core_export_decode(e, &why), -EINVAL);
		CORE_TRUE(t, core_is_field(why, e->len < 16 ? "magic" :
						"header"));
	}
	for (i = 0; i < 8 * len; i++) {
		e->buf[1 + i / 8] ^= 1 << i % 8;
		r = core_export_decode(e, &why);
		CORE_TRUE(t, r == -EINVAL || r == -EOPNOTSUPP || r == -EBADMSG);
		CORE_TRUE(t, *why);
		e->buf[1 + i / 8] ^= 1 << i % 8;
	}
	CORE_EQ(t, core_export_decode(e, &why), (long)len);
	core_export_end(e);
}

/* One who knows the checksum gets no further. */
static void test_export_decode_hostile(struct core_test *t)
{
	static const struct {
		unsigned int at;
		u64 value;
		unsigned int bytes;
		long err;
		const char *field;
	} rows[] = {
		{ 0, 'd', 1, -EINVAL, "magic" },
		{ 8, 0, 4, -EOPNOTSUPP, "version" },
		{ 8, 2, 4, -EOPNOTSUPP, "version" },
		{ 8, 0x10001, 4, -EOPNOTSUPP, "version" },
		{ 12, 0, 4, -EINVAL, "header" },
		{ 12, 96, 4, -EINVAL, "header" },
		{ 12, 98, 4, -EINVAL, "header" },
		{ 12, 1120, 4, -EINVAL, "header" },
		{ 12, U32_MAX, 4, -EINVAL, "header" },
		{ 16, 96, 8, -EINVAL, "length" },
		{ 24, 0, 8, -EINVAL, "size" },
		{ 24, (1ULL << 63) + 1, 8, -EINVAL, "size" },
		{ 32, 0, 8, -EINVAL, "granularity" },
		{ 32, 256, 8, -EINVAL, "granularity" },
		{ 32, 1000, 8, -EINVAL, "granularity" },
		{ 32, 1ULL << 32, 8, -EINVAL, "granularity" },
		{ 40, MIB + 513, 8, -EINVAL, "count" },
		{ 48, 0, 8, -EINVAL, "generation" },
		{ 72, 4, 4, -EINVAL, "flags" },
		{ 72, 1U << 31, 4, -EINVAL, "flags" },
		{ 76, 1, 4, -EINVAL, "zero" },
		{ 96, 0, 1, -EINVAL, "name" },
		{ 96, '/', 1, -EINVAL, "name" },
		{ 96, 0xff, 1, -EINVAL, "name" },
		/* and what is just allowed */
		{ 16, 97, 8, 97, "" },
		{ 24, 1ULL << 63, 8, 97, "" },
		{ 32, 512, 8, 97, "" },
		{ 32, 1ULL << 31, 8, 97, "" },
		{ 40, MIB + 512, 8, 97, "" },
		{ 48, ~0ULL, 8, 97, "" },
	};
	struct core_export *e;
	const char *why;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		e = core_export_begin("b");
		CORE_TRUE(t, e);
		if (rows[i].bytes == 1)
			e->buf[1 + rows[i].at] = rows[i].value;
		else if (rows[i].bytes == 4)
			dtr_put32(e->buf + 1 + rows[i].at, rows[i].value);
		else
			dtr_put64(e->buf + 1 + rows[i].at, rows[i].value);
		core_export_sign(e);
		CORE_EQ(t, core_export_decode(e, &why), rows[i].err);
		CORE_TRUE(t, rows[i].err > 0 || core_is_field(why,
							      rows[i].field));
		core_export_end(e);
	}
}

static void test_export_differs(struct core_test *t)
{
	struct dtr_export *head = dtr_port_zalloc(sizeof(*head));
	struct core_mem mem;
	struct dtr_bitmap bm;

	CORE_TRUE(t, head);
	CORE_EQ(t, core_init_bits(&bm, 1000, &mem), 0);
	core_set(&bm, "5 8");
	head->count = dtr_bitmap_dirty_bytes(&bm);
	head->hash = dtr_bitmap_hash(&bm);
	CORE_TRUE(t, !dtr_export_differs(head, &bm));
	/* As many, but others. */
	CORE_EQ(t, dtr_bitmap_clear_range(&bm, 8, 8), 0);
	CORE_TRUE(t, core_is_field(dtr_export_differs(head, &bm), "count"));
	core_set(&bm, "9");
	CORE_TRUE(t, core_is_field(dtr_export_differs(head, &bm), "hash"));
	dtr_bitmap_exit(&bm);
	dtr_port_free(head);
}

/* ---- the list ---- */

#ifdef DTR_PORT_FAIL
#define CORE_CASES_WITHOUT_ROOTS(X)					\
	X(test_init_without_memory)					\
	X(test_resize_without_memory)					\
	X(test_copy_without_roots)
#else
#define CORE_CASES_WITHOUT_ROOTS(X)
#endif

#define CORE_CASES(X)							\
	X(test_granularity_shift_limits)				\
	X(test_nr_granules_partial_last)				\
	X(test_range_valid_overflow)					\
	X(test_range_is_granular_device_end)				\
	X(test_init_refuses_bad_geometry)				\
	X(test_init_refuses_what_no_memory_holds)			\
	X(test_init_smallest)						\
	X(test_root_bytes_64_tib)					\
	X(test_sparse_64_tib)						\
	X(test_largest_device)						\
	X(test_mark_boundaries)						\
	X(test_mark_dirty_allocates_nothing)				\
	X(test_mark_without_memory)					\
	X(test_set_range_counts_fresh)					\
	X(test_set_range_full_leaf_collapses)				\
	X(test_set_range_without_memory)				\
	X(test_set_all_needs_no_memory)					\
	X(test_clear_range_exact)					\
	X(test_clear_range_frees_leaves)				\
	X(test_clear_range_splits_full)					\
	X(test_clear_range_without_memory)				\
	X(test_clear_range_ends_degradation)				\
	X(test_next_dirty_beyond_end)					\
	X(test_next_dirty_far)						\
	X(test_next_dirty_area_limits)					\
	X(test_count_range_edges)					\
	X(test_dirty_bytes_clamped)					\
	X(test_resize_specification)					\
	X(test_resize_across_levels)					\
	X(test_resize_full_last_leaf)					\
	X(test_merge_specification)					\
	X(test_merge_self)						\
	X(test_merge_ignores_beyond_end)				\
	X(test_merge_smaller)						\
	X(test_merge_without_memory)					\
	X(test_merge_collapses)						\
	X(test_count_union_tables)					\
	X(test_copy_is_equal)						\
	X(test_copy_without_memory)					\
	X(test_get_bits_order)						\
	X(test_put_bits_any_offset)					\
	X(test_put_bits_keeps_others)					\
	X(test_hash_is_of_content)					\
	X(test_hash_covers_geometry)					\
	X(test_hash_known_values)					\
	X(test_extent_next_cut_at_device_end)				\
	X(test_extent_next_union)					\
	X(test_extent_next_other_sizes)					\
	X(test_chunk_roundtrip)						\
	X(test_chunk_encode_sizes)					\
	X(test_chunk_decode_spoiled)					\
	X(test_chunk_decode_cut_short)					\
	X(test_chunk_decode_beyond_end)					\
	X(test_chunk_decode_out_of_order)				\
	X(test_export_roundtrip)					\
	X(test_export_layout)						\
	X(test_export_decode_damaged)					\
	X(test_export_decode_hostile)					\
	X(test_export_differs)						\
	CORE_CASES_WITHOUT_ROOTS(X)
