// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * bitmap-merge.c - the hbitmap: what takes two bitmaps.
 *
 * This file owns the union of two bitmaps of any granularities, made (merge)
 * or counted (count_union).  What the other bitmap says is rounded outward: a
 * granule of it dirties every granule that shares a byte with it.  Only what
 * lies beyond the last granule is ignored, so that sizes may differ.
 *
 * Contexts: merge the owner of the destination, count_union any; setters may
 * be at work on the other bitmap.
 */
#include "bitmap-internal.h"

/*
 * Where the walk over the other bitmap takes what it finds, in granules of the
 * destination, each at most once.  Both return how many were clean there.
 */
struct sink {
	/* from word @word on, all in one chunk */
	u64 (*words)(struct dtr_bitmap *bm, u64 word, unsigned long nr,
		     const unsigned long *words);
	/* @first..@last, inclusive */
	u64 (*range)(struct dtr_bitmap *bm, u64 first, u64 last);
};

static const struct sink merge_sink = {
	.words = dtr_bitmap_or_words,
	.range = dtr_bitmap_set_range,
};

static u64 count_clean_words(struct dtr_bitmap *bm, u64 word, unsigned long nr,
			     const unsigned long *words)
{
	const unsigned long *leaf;
	unsigned long i;
	u64 count = 0;

	if (!bm->slots)
		return 0;
	leaf = READ_ONCE(bm->slots[word >> (DTR_LEAF_SHIFT - WORD_SHIFT)]);
	if (leaf_is_full(leaf))
		return 0;
	if (!leaf)
		return dtr_leaf_count(words, 0, nr * BITS_PER_LONG - 1);
	leaf += word & (LEAF_WORDS - 1);
	for (i = 0; i < nr; i++)
		count += hweight_long(READ_ONCE(words[i]) & ~READ_ONCE(leaf[i]));
	return count;
}

static u64 count_clean_range(struct dtr_bitmap *bm, u64 first, u64 last)
{
	return last - first + 1 - dtr_bitmap_count_range(bm, first, last);
}

static const struct sink count_sink = {
	.words = count_clean_words,
	.range = count_clean_range,
};

/* ---- The same granularity ---- */

/* Granules @first..@last, the first of a leaf and more, of the source. */
static u64 walk_leaf(struct dtr_bitmap *bm, const struct dtr_bitmap *src,
		     const unsigned long *leaf, u64 first, u64 last,
		     const struct sink *sink)
{
	u64 word = first >> WORD_SHIFT;
	u64 end = (last + 1) >> WORD_SHIFT;
	unsigned long nr, tail;
	u64 sum = 0;

	for (; word < end; word += nr, leaf += nr) {
		nr = end - word < CHUNK_WORDS ? end - word : CHUNK_WORDS;
		if (group_is_set(src, word << WORD_SHIFT))
			sum += sink->words(bm, word, nr, leaf);
	}
	/* The destination may end before the source does. */
	if ((last + 1) & (BITS_PER_LONG - 1)) {
		tail = READ_ONCE(*leaf) & mask_to(last);
		sum += sink->words(bm, word, 1, &tail);
	}
	return sum;
}

static u64 walk_same(struct dtr_bitmap *bm, const struct dtr_bitmap *src,
		     const struct sink *sink)
{
	u64 nr_bits = bm->nr_bits < src->nr_bits ? bm->nr_bits : src->nr_bits;
	u64 sum = 0;
	u64 bit = 0;
	u64 end;

	for (; bit < nr_bits; bit = end + 1) {
		const void *leaf = READ_ONCE(src->slots[bit >> DTR_LEAF_SHIFT]);

		end = bit | LEAF_MASK;
		if (end >= nr_bits)
			end = nr_bits - 1;
		if (leaf_is_full(leaf))
			sum += sink->range(bm, bit, end);
		else if (leaf)
			sum += walk_leaf(bm, src, leaf, bit, end, sink);
	}
	return sum;
}

/* ---- From fine to coarse, less than a word to a granule ---- */

/*
 * Moves the bits at even positions to the lower half of the word and those at
 * odd ones to the upper half, in their order (Hacker's Delight 7-2); that is,
 * it rotates the number of a bit's position right by one.
 */
static unsigned long unshuffle(unsigned long x)
{
	static const u64 swap[] = {
		0x2222222222222222, 0x0c0c0c0c0c0c0c0c, 0x00f000f000f000f0,
		0x0000ff000000ff00, 0x00000000ffff0000,
	};
	unsigned int i;

	for (i = 0; i < WORD_SHIFT - 1; i++) {
		unsigned long t = (x ^ (x >> (1 << i))) & (unsigned long)swap[i];

		x ^= t ^ (t << (1 << i));
	}
	return x;
}

/* All bits of each lane of 2^@d bits but its top one. */
static unsigned long lane_low(unsigned int d)
{
	unsigned int lane = 1U << d;

	return ~0UL / ((1UL << lane) - 1) * ((1UL << (lane - 1)) - 1);
}

/*
 * Folds @nr <= 2^@d words, the words @skip.. of 2^@d, into one: bit k is set
 * if any of the bits (k << @d).. of the 2^@d words is.  @low is lane_low(@d).
 *
 * A word is lanes of 2^@d bits.  Adding all ones but the top bit to a lane
 * carries into its top bit if anything is set; or-ed with the lane itself the
 * top bit says whether the lane is dirty.  Pushing these in from the top, word
 * after word, leaves what word i says of lane j in bit j * 2^@d + i, and it
 * belongs into bit i * (lanes of a word) + j: a rotation by @d.
 */
static unsigned long fold_words(const unsigned long *words, unsigned int nr,
				unsigned int skip, unsigned int d,
				unsigned long low)
{
	unsigned long acc = 0;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		unsigned long word = READ_ONCE(words[i]);

		acc = acc >> 1 | ((((word & low) + low) | word) & ~low);
	}
	acc >>= (1 << d) - skip - nr;

	if (!acc || !~acc)
		return acc;
	for (i = 0; i < d; i++)
		acc = unshuffle(acc);
	return acc;
}

/* Folds a leaf; @d < WORD_SHIFT. */
static u64 fold_leaf(struct dtr_bitmap *bm, const unsigned long *leaf,
		     u64 first_word, unsigned int d, const struct sink *sink)
{
	u64 to = first_word >> d;
	u64 nr_words = ((bm->nr_bits - 1) >> WORD_SHIFT) + 1;
	unsigned int step = 1U << d;
	unsigned int skip = first_word & (step - 1);
	unsigned long low = lane_low(d);
	unsigned long batch[BITS_BATCH];
	unsigned long from = 0;
	u64 sum = 0;

	if (step > LEAF_WORDS)
		step = LEAF_WORDS;
	while (from < LEAF_WORDS && to < nr_words) {
		u64 start = to;
		unsigned int i = 0;

		do {
			batch[i++] = fold_words(leaf + from, step, skip, d,
						low);
			from += step;
			to++;
		} while (i < BITS_BATCH && from < LEAF_WORDS &&
			 to < nr_words && to & (CHUNK_WORDS - 1));
		if (to == nr_words)
			batch[i - 1] &= mask_to(bm->nr_bits - 1);
		sum += sink->words(bm, start, i, batch);
	}
	return sum;
}

static u64 walk_fold(struct dtr_bitmap *bm, const struct dtr_bitmap *src,
		     const struct sink *sink)
{
	unsigned int d = bm->shift - src->shift;
	unsigned long slot;
	u64 sum = 0;

	for (slot = 0; slot < src->nr_slots; slot++) {
		const unsigned long *leaf = READ_ONCE(src->slots[slot]);
		u64 start = (u64)slot << DTR_LEAF_SHIFT;
		u64 last = (start + leaf_nr_bits(src, slot) - 1) >> d;

		if (start >> d >= bm->nr_bits)
			break;
		if (last >= bm->nr_bits)
			last = bm->nr_bits - 1;
		if (leaf_is_full(leaf))
			sum += sink->range(bm, start >> d, last);
		else if (leaf)
			sum += fold_leaf(bm, leaf, start >> WORD_SHIFT, d, sink);
	}
	return sum;
}

/* ---- Any granularities, run by run ---- */

/* What granule @bit of @src rounds outward to in @bm: its first, its last. */
static u64 scale_first(const struct dtr_bitmap *bm,
		       const struct dtr_bitmap *src, u64 bit)
{
	return bit << src->shift >> bm->shift;
}

static u64 scale_last(const struct dtr_bitmap *bm,
		      const struct dtr_bitmap *src, u64 bit)
{
	return (((bit + 1) << src->shift) - 1) >> bm->shift;
}

static u64 walk_runs(struct dtr_bitmap *bm, const struct dtr_bitmap *src,
		     const struct sink *sink)
{
	u64 bit = 0;
	u64 sum = 0;
	u64 end;

	while (dtr_bitmap_next_dirty_area(src, bit, src->nr_bits, src->nr_bits,
					  &bit, &end)) {
		u64 first = scale_first(bm, src, bit);
		u64 last = scale_last(bm, src, end - 1);

		if (first >= bm->nr_bits)
			break;
		if (last >= bm->nr_bits)
			last = bm->nr_bits - 1;
		sum += sink->range(bm, first, last);
		/* Past what @last covers, which has been taken as a whole. */
		bit = scale_last(src, bm, last) + 1;
	}
	return sum;
}

static u64 walk(struct dtr_bitmap *bm, const struct dtr_bitmap *src,
		const struct sink *sink)
{
	if (src->slots && src->shift == bm->shift)
		return walk_same(bm, src, sink);
	if (src->slots && src->shift < bm->shift &&
	    bm->shift - src->shift < WORD_SHIFT)
		return walk_fold(bm, src, sink);
	return walk_runs(bm, src, sink);
}

/**
 * dtr_bitmap_merge() - add what is dirty in another bitmap.
 * @dst: bitmap
 * @src: the other one, maybe @dst itself; any granularity and size
 *
 * Rounds outward.  Where memory for a leaf of @dst is missing all of the leaf
 * becomes dirty; a leaf that is degraded in @src is merely full in @dst.
 *
 * Context: process, may sleep; the owner of @dst.  Setters may be at work on
 * @src.
 */
void dtr_bitmap_merge(struct dtr_bitmap *dst, const struct dtr_bitmap *src)
{
	if (dst != src && dst->slots)
		walk(dst, src, &merge_sink);
}

static u64 count_union_leaf(const unsigned long *a, const unsigned long *b,
			    unsigned long nr)
{
	unsigned long last = (nr - 1) >> WORD_SHIFT;
	unsigned long word;
	u64 count = 0;

	for (word = 0; word < last; word++)
		count += hweight_long(READ_ONCE(a[word]) | READ_ONCE(b[word]));
	return count + hweight_long((READ_ONCE(a[last]) | READ_ONCE(b[last])) &
				    mask_to(nr - 1));
}

static u64 count_union_same(const struct dtr_bitmap *a,
			    const struct dtr_bitmap *b)
{
	unsigned long slot;
	u64 count = 0;

	for (slot = 0; slot < a->nr_slots; slot++) {
		const void *leaf_a = READ_ONCE(a->slots[slot]);
		const void *leaf_b = NULL;
		unsigned long nr = leaf_nr_bits(a, slot);
		unsigned long nr_b = 0;

		if (slot < b->nr_slots) {
			leaf_b = READ_ONCE(b->slots[slot]);
			nr_b = leaf_nr_bits(b, slot);
			if (nr_b > nr)
				nr_b = nr;
		}
		if (leaf_exists(leaf_a) && leaf_exists(leaf_b)) {
			count += count_union_leaf(leaf_a, leaf_b, nr);
			continue;
		}
		/* One of both says nothing or everything. */
		count += dtr_leaf_count(leaf_a, 0, nr - 1);
		if (leaf_is_full(leaf_b))
			count += nr_b - dtr_leaf_count(leaf_a, 0, nr_b - 1);
		else if (leaf_b && !leaf_a)
			count += dtr_leaf_count(leaf_b, 0, nr_b - 1);
	}
	return count;
}

/**
 * dtr_bitmap_count_union() - dirty granules of two bitmaps together.
 * @a: bitmap that gives size and granularity
 * @b: the other one; any granularity and size, rounded outward
 *
 * Context: any; reads the leaves of both.
 * Return: granules of @a's granularity that are dirty in @a or in @b: what
 * count would be after merging @b into @a, given memory.
 */
u64 dtr_bitmap_count_union(const struct dtr_bitmap *a,
			   const struct dtr_bitmap *b)
{
	if (a->slots && b->slots && a->shift == b->shift)
		return count_union_same(a, b);

	/* The sink that counts does not change the bitmap. */
	return dtr_bitmap_count_range(a, 0, a->nr_bits - 1) +
	       walk((struct dtr_bitmap *)a, b, &count_sink);
}
