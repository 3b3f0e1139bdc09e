// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * bitmap-read.c - the hbitmap: what only reads a bitmap.
 *
 * This file owns looking up, searching, counting and hashing; it changes
 * nothing and allocates nothing.
 *
 * Contexts: any, beside setters too; see bitmap.h for what they see then.
 * A search trusts summary bits that are clear and checks those that are set.
 */
#include "bitmap-internal.h"

/**
 * dtr_bitmap_get() - whether a granule is dirty.
 * @bm: bitmap
 * @bit: granule, < nr_bits
 *
 * Context: any.
 * Return: true if it is.
 */
bool dtr_bitmap_get(const struct dtr_bitmap *bm, u64 bit)
{
	const unsigned long *leaf;

	if (!bm->slots)
		return true;
	leaf = READ_ONCE(bm->slots[bit >> DTR_LEAF_SHIFT]);
	if (!leaf_exists(leaf))
		return leaf;
	return READ_ONCE(leaf[(bit & LEAF_MASK) >> WORD_SHIFT]) >>
	       (bit & (BITS_PER_LONG - 1)) & 1;
}

/* ---- Counting ---- */

unsigned long dtr_leaf_count(const void *leaf, unsigned long lo,
			     unsigned long hi)
{
	const unsigned long *words = leaf;
	unsigned long word = lo >> WORD_SHIFT;
	unsigned long last = hi >> WORD_SHIFT;
	unsigned long mask = mask_from(lo);
	unsigned long count = 0;

	if (!leaf)
		return 0;
	if (!leaf_exists(leaf))
		return hi - lo + 1;
	for (; word < last; word++, mask = ~0UL)
		count += hweight_long(READ_ONCE(words[word]) & mask);
	return count + hweight_long(READ_ONCE(words[last]) & mask & mask_to(hi));
}

/**
 * dtr_bitmap_count_range() - dirty granules of a range.
 * @bm: bitmap
 * @first: first granule
 * @last: last granule, inclusive; @first <= @last < nr_bits
 *
 * Context: any; reads all leaves of the range.
 * Return: number of granules, 0..(@last - @first + 1).
 */
u64 dtr_bitmap_count_range(const struct dtr_bitmap *bm, u64 first, u64 last)
{
	u64 count = 0;
	u64 end;

	if (!bm->slots)
		return last - first + 1;
	for (; first <= last; first = end + 1) {
		end = first | LEAF_MASK;
		if (end > last)
			end = last;
		count += dtr_leaf_count(READ_ONCE(bm->slots[first >>
							    DTR_LEAF_SHIFT]),
					first & LEAF_MASK, end & LEAF_MASK);
	}
	return count;
}

/**
 * dtr_bitmap_dirty_bytes() - count in bytes.
 * @bm: bitmap whose count is right
 *
 * Context: any; O(1).
 * Return: bytes of the device that are dirty: the part of the last granule
 * that lies beyond the device's end is not counted.
 */
u64 dtr_bitmap_dirty_bytes(const struct dtr_bitmap *bm)
{
	u64 bytes = bm->count << bm->shift;

	if (dtr_bitmap_get(bm, bm->nr_bits - 1))
		bytes -= (bm->nr_bits << bm->shift) - bm->size;
	return bytes;
}

/**
 * dtr_bitmap_nr_degraded() - leaves that over-report for want of memory.
 * @bm: bitmap
 *
 * Context: any.
 * Return: number of leaves; all of them when the roots are missing.
 */
unsigned long dtr_bitmap_nr_degraded(const struct dtr_bitmap *bm)
{
	return bm->slots ? READ_ONCE(bm->nr_degraded) : bm->nr_slots;
}

/* ---- Searching ---- */

/* The first word of word..last that is not @skip, or last + 1. */
static inline unsigned long skip_words(const unsigned long *words,
				       unsigned long word, unsigned long last,
				       unsigned long skip)
{
	/* Four in one test: a sparse map is one bit in a group of 64 words. */
	for (; word + 3 <= last; word += 4)
		if ((READ_ONCE(words[word]) ^ skip) |
		    (READ_ONCE(words[word + 1]) ^ skip) |
		    (READ_ONCE(words[word + 2]) ^ skip) |
		    (READ_ONCE(words[word + 3]) ^ skip))
			break;
	for (; word <= last; word++)
		if (READ_ONCE(words[word]) != skip)
			break;
	return word;
}

/*
 * The first granule of lo..hi, inside a leaf, that is dirty (@skip 0) or clean
 * (@skip ~0); hi + 1 if there is none.
 */
static inline unsigned long find_in_leaf(const unsigned long *words,
					 unsigned long lo, unsigned long hi,
					 unsigned long skip)
{
	unsigned long word = lo >> WORD_SHIFT;
	unsigned long last = hi >> WORD_SHIFT;
	unsigned long mask = mask_from(lo);
	unsigned long hit;

	/* A setter may fill a word between skip_words() and here: look on. */
	while (!(hit = (READ_ONCE(words[word]) ^ skip) & mask)) {
		mask = ~0UL;
		word = skip_words(words, word + 1, last, skip);
		if (word > last)
			return hi + 1;
	}
	lo = (word << WORD_SHIFT) + __ffs(hit);
	return lo <= hi ? lo : hi + 1;
}

/* Bits that the level has, given what the lowest one has. */
static inline unsigned long level_bits(u64 groups, unsigned int k)
{
	return ((groups - 1) >> (k * WORD_SHIFT)) + 1;
}

/*
 * The first group at or after *@group that is not known to be clean.  Up while
 * a word has nothing more, down where a bit is set; a bit that promised too
 * much is passed by going up again.
 */
static bool next_group(const struct dtr_bitmap *bm, unsigned long *group)
{
	u64 groups = ((bm->nr_bits - 1) >> GROUP_SHIFT) + 1;
	unsigned long pos = *group;
	unsigned int k = 0;

	while (pos < level_bits(groups, k)) {
		unsigned long word = READ_ONCE(bm->level[k][pos >> WORD_SHIFT]) &
				     mask_from(pos);

		pos &= ~(unsigned long)(BITS_PER_LONG - 1);
		if (word) {
			pos += __ffs(word);
			if (!k) {
				*group = pos;
				return true;
			}
			k--;
			pos <<= WORD_SHIFT;
		} else {
			k++;
			if (k == bm->nr_levels)
				return false;
			pos = (pos >> WORD_SHIFT) + 1;
		}
	}
	return false;
}

/* As dtr_bitmap_find_dirty(), of a bitmap with slots. */
static noinline bool find_far(const struct dtr_bitmap *bm, u64 first, u64 last,
			      u64 *bit)
{
	u64 end;

	for (; first <= last; first = end + 1) {
		unsigned long group = first >> GROUP_SHIFT;
		const unsigned long *leaf;
		unsigned long pos;

		end = first | CHUNK_MASK;
		if (end > last)
			end = last;
		leaf = READ_ONCE(bm->slots[first >> DTR_LEAF_SHIFT]);
		if (leaf_is_full(leaf)) {
			*bit = first;
			return true;
		}
		if (leaf) {
			pos = find_in_leaf(leaf, first & LEAF_MASK,
					   end & LEAF_MASK, 0);
			if (pos <= (end & LEAF_MASK)) {
				*bit = (first & ~(u64)LEAF_MASK) + pos;
				return true;
			}
		}

		/* Nothing here: to the next group that may have something. */
		if ((end & GROUP_MASK) != GROUP_MASK)
			continue;
		group++;
		if (!next_group(bm, &group))
			return false;
		end = ((u64)group << GROUP_SHIFT) - 1;
	}
	return false;
}

/* Where dirt is dense the word at hand has it: that pays for no loop. */
bool dtr_bitmap_find_dirty(const struct dtr_bitmap *bm, u64 first, u64 last,
			   u64 *bit)
{
	const unsigned long *leaf = DTR_LEAF_FULL;
	unsigned long word;

	if (first > last)
		return false;
	if (bm->slots)
		leaf = READ_ONCE(bm->slots[first >> DTR_LEAF_SHIFT]);
	if (!leaf)
		return find_far(bm, first, last, bit);
	if (leaf_exists(leaf)) {
		word = READ_ONCE(leaf[(first & LEAF_MASK) >> WORD_SHIFT]) &
		       mask_from(first);
		first &= ~(u64)(BITS_PER_LONG - 1);
		if (!word)
			return find_far(bm, first + BITS_PER_LONG, last, bit);
		first += __ffs(word);
		if (first > last)
			return false;
	}
	*bit = first;
	return true;
}

/**
 * dtr_bitmap_next_dirty() - the first dirty granule at or after one.
 * @bm: bitmap
 * @from: granule; nr_bits and more finds nothing
 * @bit: result, not changed when there is none
 *
 * Context: any.
 * Return: whether there is one.
 */
bool dtr_bitmap_next_dirty(const struct dtr_bitmap *bm, u64 from, u64 *bit)
{
	return dtr_bitmap_find_dirty(bm, from, bm->nr_bits - 1, bit);
}

/* The first clean granule at or after @from; nr_bits or more: there is none. */
static inline u64 find_clean(const struct dtr_bitmap *bm, u64 from)
{
	const void *leaf;
	unsigned long pos;

	if (!bm->slots)
		return bm->nr_bits;
	for (; from < bm->nr_bits; from = (from | LEAF_MASK) + 1) {
		leaf = READ_ONCE(bm->slots[from >> DTR_LEAF_SHIFT]);
		if (!leaf)
			return from;
		if (!leaf_exists(leaf))
			continue;
		/* What is beyond the end is zero and ends the search. */
		pos = find_in_leaf(leaf, from & LEAF_MASK, LEAF_MASK, ~0UL);
		if (pos <= LEAF_MASK)
			return (from & ~(u64)LEAF_MASK) + pos;
	}
	return from;
}

/**
 * dtr_bitmap_next_clean() - the first clean granule at or after one.
 * @bm: bitmap
 * @from: granule; nr_bits and more finds nothing
 * @bit: result, not changed when there is none
 *
 * Context: any.
 * Return: whether there is one.
 */
bool dtr_bitmap_next_clean(const struct dtr_bitmap *bm, u64 from, u64 *bit)
{
	from = find_clean(bm, from);
	if (from >= bm->nr_bits)
		return false;
	*bit = from;
	return true;
}

/**
 * dtr_bitmap_next_dirty_area() - the first run of dirty granules in a range.
 * @bm: bitmap
 * @start: first granule of the range
 * @end: granule behind the range; more than nr_bits means nr_bits
 * @max: the run is cut to so many granules, > 0
 * @area_start: result: first granule of the run
 * @area_end: result: granule behind the run; <= @end
 *
 * The run is the longest there is, but for @end and @max.
 *
 * Context: any.
 * Return: whether there is one; the results are not changed otherwise.
 */
bool dtr_bitmap_next_dirty_area(const struct dtr_bitmap *bm, u64 start, u64 end,
				u64 max, u64 *area_start, u64 *area_end)
{
	u64 clean;

	if (end > bm->nr_bits)
		end = bm->nr_bits;
	if (start >= end || !dtr_bitmap_find_dirty(bm, start, end - 1, &start))
		return false;

	if (end - start > max)
		end = start + max;
	clean = find_clean(bm, start + 1);
	*area_start = start;
	*area_end = clean < end ? clean : end;
	return true;
}

/* ---- Raw bits ---- */

/* Bits first..first + nr - 1, all in one word. */
static unsigned long get_word(const struct dtr_bitmap *bm, u64 first,
			      unsigned int nr)
{
	const unsigned long *leaf;
	unsigned long word;

	if (!bm->slots)
		return mask_to(nr - 1);
	leaf = READ_ONCE(bm->slots[first >> DTR_LEAF_SHIFT]);
	if (!leaf)
		return 0;
	word = leaf_exists(leaf) ?
	       READ_ONCE(leaf[(first & LEAF_MASK) >> WORD_SHIFT]) : ~0UL;
	return word >> (first & (BITS_PER_LONG - 1)) & mask_to(nr - 1);
}

/* The inverse of load_bits() in bitmap.c, onto zeroes. */
static void store_bits(u8 *buf, u64 pos, unsigned int nr, unsigned long bits)
{
	unsigned int have = 0;

	buf += pos >> 3;
	pos &= 7;
	if (!pos && nr == BITS_PER_LONG) {
		store_word(buf, bits);
		return;
	}
	for (; have < nr; buf++, pos = 0) {
		*buf |= bits << pos;
		bits >>= 8 - pos;
		have += 8 - pos;
	}
}

/**
 * dtr_bitmap_get_bits() - a range as raw bits.
 * @bm: bitmap
 * @first: granule of the first bit
 * @nr: bits; @first + @nr <= nr_bits
 * @buf: (@nr + 7) / 8 bytes, all written; bit k is bit k % 8 of byte k / 8,
 *	what is over in the last byte is zero
 *
 * Context: any.
 */
void dtr_bitmap_get_bits(const struct dtr_bitmap *bm, u64 first, u64 nr,
			 void *buf)
{
	u64 bit = first;
	u64 end = first + nr;

	memset(buf, 0, (nr + 7) >> 3);
	while (bit < end) {
		unsigned int take = BITS_PER_LONG - (bit & (BITS_PER_LONG - 1));

		if (take > end - bit)
			take = end - bit;
		store_bits(buf, bit - first, take, get_word(bm, bit, take));
		bit += take;
	}
}

/* ---- Hashing ---- */

/* A block of the hash: 512 bytes of raw bits, independent of word and leaf. */
#define HASH_SHIFT		12
#define HASH_BYTES		((1U << HASH_SHIFT) / 8)

/* Blocks from..to - 1: either all dirty or one whose bits follow. */
static u64 hash_blocks(u64 seed, u64 from, u64 to, bool dirty)
{
	__le64 head[3] = { cpu_to_le64(from), cpu_to_le64(to),
			   cpu_to_le64(dirty) };

	return dtr_port_hash(head, sizeof(head), seed);
}

/**
 * dtr_bitmap_hash() - a number that equal bitmaps have in common.
 * @bm: bitmap
 *
 * Covers size, granularity and bits, not how they are held: a full leaf and
 * one of all ones make no difference, nor do machine or build.  XXH64: guards
 * against accidents, not against somebody who wants a collision.  Clean and
 * all dirty areas cost next to nothing.
 *
 * Context: any; meaningful for a bitmap without setters only.
 * Return: the hash.
 */
u64 dtr_bitmap_hash(const struct dtr_bitmap *bm)
{
	u64 hash = hash_blocks(bm->shift, bm->size, 0, false);
	u8 bits[HASH_BYTES];
	u64 bit = 0;

	while (dtr_bitmap_next_dirty(bm, bit, &bit)) {
		u64 block = bit >> HASH_SHIFT;
		u64 first = block << HASH_SHIFT;
		u64 nr = bm->nr_bits - first;
		u64 to;

		/* All dirty up to where?  The end counts as a whole block. */
		if (dtr_bitmap_next_clean(bm, first, &to))
			to >>= HASH_SHIFT;
		else
			to = ((bm->nr_bits - 1) >> HASH_SHIFT) + 1;
		if (to > block) {
			hash = hash_blocks(hash, block, to, true);
		} else {
			to = block + 1;
			hash = hash_blocks(hash, block, to, false);
			if (nr > 8 * HASH_BYTES)
				nr = 8 * HASH_BYTES;
			dtr_bitmap_get_bits(bm, first, nr, bits);
			hash = dtr_port_hash(bits, (nr + 7) >> 3, hash);
		}
		bit = to << HASH_SHIFT;
	}
	return hash;
}
