// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * model.c - random sequences of operations on bitmaps and on their model.
 *
 * Usage: model PREFIX SEED SEQUENCES: a line for each case, 'ok PREFIX/NAME'
 * or 'not ok PREFIX/NAME # why', and ends with the first that fails.  The same
 * seed does the same again.
 */
#include <unistd.h>

#include "model.h"

static const char *prefix, *test;
static u64 seed;
static unsigned int nr_sequence;

static void model_fail(int line, const char *what)
{
	printf("not ok %s/%s # model.h or model.c line %d: %s; SEED=%llu, sequence %u, allocation %ld refused\n",
	       prefix, test, line, what, seed, nr_sequence, memory.fail_at);
	fflush(stdout);
	_exit(1);
}

static void begin(const char *name)
{
	test = name;
	nr_sequence = 0;
}

static void pass(void)
{
	printf("ok %s/%s\n", prefix, test);
	fflush(stdout);
}

/* What the choices of a sequence are made from. */
static u64 seed_of(unsigned int nr)
{
	return seed * 1000003 + nr;
}

static void test_sequences(unsigned int nr)
{
	begin("sequences");
	for (; nr_sequence < nr; nr_sequence++) {
		memory_refuse(-1, false);
		choices.random = seed_of(nr_sequence);
		sequence(10 + pick(30));
	}
	pass();
}

/* ---- Refused memory ---- */

/* Each operation that may need memory, where it does. */
static void fixed_sequence(void)
{
	const u64 nr = 2 * LEAF + LEAF / 2;
	const u64 size = (nr << 16) - 5;

	if (pair_init(&pairs[0], size, 16) || pair_init(&pairs[1], size, 16) ||
	    pair_init(&pairs[2], size, 17))
		goto out;
	do_mark(&pairs[0], LEAF - 1, LEAF);
	check_pairs();
	do_set_range(&pairs[1], 3, LEAF + 3);
	check_pairs();
	do_merge(&pairs[0], &pairs[1]);
	check_pairs();
	do_merge(&pairs[2], &pairs[0]);
	check_pairs();
	do_set_all(&pairs[1]);
	do_clear_range(&pairs[1], 1, nr - 2);
	check_pairs();
	do_merge(&pairs[1], &pairs[2]);
	check_pairs();
	do_copy(&pairs[2], &pairs[0]);
	check_pairs();
	do_resize(&pairs[0], 3 * size);
	check_pairs();
	do_clear_range(&pairs[0], LEAF / 2, 4 * LEAF);
	check_pairs();
	do_resize(&pairs[0], size / 2);
	check_pairs();
	do_clear_range(&pairs[0], 5, 5);
	check_pairs();
	do_resize(&pairs[0], size);
	check_pairs();
	do_clear_all(&pairs[0]);
	check_pairs();
	do_load(&pairs[0], &pairs[1]);
	check_pairs();
	do_clear_all(&pairs[2]);
	do_put_bits(&pairs[2], 7, nr - 9);
	check_pairs();
	do_set_list(&pairs[2], LEAF - 2);
	check_pairs();
out:
	pairs_exit();
}

static void random_sequence(void)
{
	sequence(25);
}

/*
 * The sequence as it is, then with each of its allocations refused, alone and
 * together with all that follow.
 */
static void refuse_each(void (*run)(void))
{
	long nr, at;
	int on;

	for (on = 0; on < 2; on++) {
		/* A refusal changes what follows; so the end is looked for. */
		for (at = -1, nr = 0; at < nr; at++) {
			memory_refuse(at, on);
			choices.random = seed_of(nr_sequence);
			run();
			nr = memory.asked;
		}
	}
}

static void test_refused_memory(unsigned int nr)
{
	begin("refused-memory-in-each-operation");
	refuse_each(fixed_sequence);
	pass();

	begin("refused-memory-in-sequences");
	for (; nr_sequence < nr; nr_sequence++)
		refuse_each(random_sequence);
	pass();
}

/* ---- Sparse ---- */

/*
 * 64 TiB, of which some windows are used: the model has these only, and as
 * nothing is dirty elsewhere whatever lies between two of them is not either.
 */
#define WINDOW		300ULL
#define NR_WINDOWS	9
#define SPARSE_BITS	(NR_WINDOWS * WINDOW)

static u64 window_start[NR_WINDOWS];

static u64 window_bit(u64 pos)
{
	return window_start[pos / WINDOW] + pos % WINDOW;
}

static void check_sparse(const struct dtr_bitmap *bm, const struct model *m)
{
	u64 end = SPARSE_BITS;
	u64 pos, last, from, got;

	CHECK(bm->count == model_count(m, 0, end - 1));
	from = 0;
	for (pos = model_next(m, 0, end, true); pos < end;
	     pos = model_next(m, pos + 1, end, true)) {
		CHECK(dtr_bitmap_next_dirty(bm, from, &got));
		CHECK(got == window_bit(pos));
		from = got + 1;
	}
	CHECK(!dtr_bitmap_next_dirty(bm, from, &got));

	pick_range(end, &pos, &last);
	CHECK(dtr_bitmap_count_range(bm, window_bit(pos), window_bit(last)) ==
	      model_count(m, pos, last));
	CHECK(dtr_bitmap_get(bm, window_bit(pos)) == m->dirty[pos]);
}

static void sparse_sequence(void)
{
	/* A tiny leaf has 500 times the slots: fewer granules, then. */
	const unsigned int shift = DTR_LEAF_SHIFT < 15 ? 22 : 16;
	const u64 nr = (1ULL << 46) >> shift;
	struct dtr_bitmap bm, back;
	struct model m;
	unsigned int i;
	u64 first, last, cursor = 0;
	size_t len, at = 0;
	u8 *bytes;

	for (i = 0; i < NR_WINDOWS; i++) {
		u64 start = nr / NR_WINDOWS * i;

		start += pick(nr / NR_WINDOWS - WINDOW - 2 * LEAF);
		/* On the edge of a leaf, or anywhere. */
		if (pick(2))
			start = (start | LEAF_MASK) + 1 - pick(WINDOW);
		window_start[i] = start;
	}
	window_start[0] = 0;
	window_start[NR_WINDOWS - 1] = nr - WINDOW;

	model_init(&m, SPARSE_BITS << 9, 9);
	CHECK(!dtr_bitmap_init(&bm, 1ULL << 46, shift, &model_ops, NULL));
	for (i = 0; i < 40; i++) {
		pick_range(SPARSE_BITS, &first, &last);
		if (pick(3)) {
			/* Setting stays in its window. */
			if (last / WINDOW > first / WINDOW)
				last = first | 15;
			if (last / WINDOW > first / WINDOW)
				last = first;
			if (pick(2)) {
				dtr_bitmap_mark(&bm, window_bit(first),
						window_bit(last));
				dtr_bitmap_recount(&bm);
			} else {
				dtr_bitmap_set_range(&bm, window_bit(first),
						     window_bit(last));
			}
			model_set(&m, first, last, true);
		} else {
			CHECK(!dtr_bitmap_clear_range(&bm, window_bit(first),
						      window_bit(last)));
			model_set(&m, first, last, false);
		}
		check_sparse(&bm, &m);
	}

	CHECK(!dtr_bitmap_init(&back, 1ULL << 46, shift, &model_ops, NULL));
	len = encode(&bm, DTR_CHUNK_MIN_BYTES, &bytes);
	while (at < len)
		at += dtr_chunk_decode(&back, &cursor, bytes + at, len - at);
	CHECK(at == len && cursor == nr);
	check_sparse(&back, &m);
	CHECK(dtr_bitmap_hash(&back) == dtr_bitmap_hash(&bm));
	CHECK(!dtr_bitmap_clear_all(&back));
	dtr_bitmap_merge(&back, &bm);
	check_sparse(&back, &m);
	CHECK(dtr_bitmap_count_union(&back, &bm) == bm.count);

	free(bytes);
	free(m.dirty);
	dtr_bitmap_exit(&back);
	dtr_bitmap_exit(&bm);
	CHECK(!memory.live);
}

static void test_sparse(unsigned int nr)
{
	begin("sparse-64-tib");
	for (; nr_sequence < nr; nr_sequence++) {
		memory_refuse(-1, false);
		choices.random = seed_of(nr_sequence);
		sparse_sequence();
	}
	pass();
}

int main(int argc, char **argv)
{
	unsigned int nr;

	if (argc != 4)
		return 2;
	prefix = argv[1];
	seed = strtoull(argv[2], NULL, 0);
	nr = strtoul(argv[3], NULL, 0);

	test_sequences(nr);
	test_refused_memory(nr / 50 + 1);
	test_sparse(nr / 50 + 1);
	return 0;
}
