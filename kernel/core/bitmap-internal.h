/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * bitmap-internal.h - what the bitmap's own files share.
 *
 * A group is the granules below one bit of level[0]: BITS_PER_LONG words of
 * BITS_PER_LONG granules, 4096 (1024 on 32-bit).  A leaf is 8 (32) groups
 * except where a test shrinks it; a chunk is the smaller of both, so that it
 * lies in one leaf and in one group.
 *
 * Locals with a fixed meaning, beside those of bitmap.h: lo, hi (granules
 * inside a leaf, inclusive), nr (granules of a leaf that exist, which is less
 * than DTR_LEAF_BITS in the last one only).
 */
#ifndef DTR_BITMAP_INTERNAL_H
#define DTR_BITMAP_INTERNAL_H

#include "bitmap.h"

#define WORD_SHIFT		(BITS_PER_LONG == 64 ? 6 : 5)
#define GROUP_SHIFT		(2 * WORD_SHIFT)
#define GROUP_MASK		(BIT(GROUP_SHIFT) - 1)
#define LEAF_MASK		(DTR_LEAF_BITS - 1)
#define CHUNK_MASK		(GROUP_MASK & LEAF_MASK)
#define CHUNK_WORDS		((CHUNK_MASK + 1) / BITS_PER_LONG)
#define LEAF_WORDS		(DTR_LEAF_BITS / BITS_PER_LONG)

/* Whether a slot's value is a leaf: neither absent nor full. */
static inline bool leaf_exists(const void *leaf)
{
	return (unsigned long)leaf > (unsigned long)DTR_LEAF_FULL;
}

static inline bool leaf_is_full(const void *leaf)
{
	return leaf && !leaf_exists(leaf);
}

static inline unsigned long leaf_nr_bits(const struct dtr_bitmap *bm,
					 unsigned long slot)
{
	u64 left = bm->nr_bits - ((u64)slot << DTR_LEAF_SHIFT);

	return left < DTR_LEAF_BITS ? left : DTR_LEAF_BITS;
}

/* The bits of a word from @bit on, and up to @bit; only bit % BITS_PER_LONG. */
static inline unsigned long mask_from(u64 bit)
{
	return ~0UL << (bit & (BITS_PER_LONG - 1));
}

static inline unsigned long mask_to(u64 bit)
{
	return ~0UL >> (BITS_PER_LONG - 1 - (bit & (BITS_PER_LONG - 1)));
}

/* A word to and from raw bits at any address. */
static inline unsigned long load_word(const u8 *at)
{
	__le64 le64;
	__le32 le32;

	if (BITS_PER_LONG == 64) {
		memcpy(&le64, at, sizeof(le64));
		return le64_to_cpu(le64);
	}
	memcpy(&le32, at, sizeof(le32));
	return le32_to_cpu(le32);
}

static inline void store_word(u8 *at, unsigned long word)
{
	__le64 le64 = cpu_to_le64(word);
	__le32 le32 = cpu_to_le32(word);

	if (BITS_PER_LONG == 64)
		memcpy(at, &le64, sizeof(le64));
	else
		memcpy(at, &le32, sizeof(le32));
}

/* Whether the group of a granule is not known to be clean. */
static inline bool group_is_set(const struct dtr_bitmap *bm, u64 bit)
{
	unsigned long group = bit >> GROUP_SHIFT;

	return READ_ONCE(bm->level[0][group >> WORD_SHIFT]) >>
	       (group & (BITS_PER_LONG - 1)) & 1;
}

/* Words that are gathered on the stack before they go to a leaf: 256 bytes. */
#define BITS_BATCH		(2048 / BITS_PER_LONG)

/* Dirty granules lo..hi of a slot's value. */
unsigned long dtr_leaf_count(const void *leaf, unsigned long lo,
			     unsigned long hi);

/* As dtr_bitmap_next_dirty() but looks at first..last only. */
bool dtr_bitmap_find_dirty(const struct dtr_bitmap *bm, u64 first, u64 last,
			   u64 *bit);

/*
 * Ors @nr words, all in one chunk, into the bitmap from its word @word on.
 * Bits beyond the bitmap's end must be zero in @words, which others may be
 * setting bits in.  Returns how many granules became dirty.
 */
u64 dtr_bitmap_or_words(struct dtr_bitmap *bm, u64 word, unsigned long nr,
			const unsigned long *words);

#endif
