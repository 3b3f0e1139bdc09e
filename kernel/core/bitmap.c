// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * bitmap.c - the hbitmap: what changes a bitmap.
 *
 * This file owns roots, leaves and summaries: their allocation, setting,
 * clearing and resizing.  Reading is in bitmap-read.c, what takes two bitmaps
 * in bitmap-merge.c, bytes for disk and wire in format.c.
 *
 * Contexts: setters any, the owner process context; see bitmap.h.
 * Invariants: a summary bit is set before the call that dirtied something
 * below it returns; when memory is missing more becomes dirty, never less.
 */
#include "bitmap-internal.h"

/* ---- Geometry of the roots ---- */

static u64 nr_leaves(u64 nr_bits)
{
	return ((nr_bits - 1) >> DTR_LEAF_SHIFT) + 1;
}

static u64 nr_groups(u64 nr_bits)
{
	return ((nr_bits - 1) >> GROUP_SHIFT) + 1;
}

/* Words that hold @bits bits of a level, which is the bits one level above. */
static u64 nr_words(u64 bits)
{
	return ((bits - 1) >> WORD_SHIFT) + 1;
}

static u64 root_bytes(u64 nr_bits)
{
	u64 bytes = nr_leaves(nr_bits) * sizeof(void *);
	u64 words = nr_groups(nr_bits);

	do {
		words = nr_words(words);
		bytes += words * sizeof(long);
	} while (words > 1);
	return bytes;
}

/* What follows from the size, but for the roots. */
static void set_geometry(struct dtr_bitmap *bm, u64 size)
{
	u64 leaves;

	bm->size = size;
	bm->nr_bits = dtr_nr_granules(size, bm->shift);
	leaves = nr_leaves(bm->nr_bits);
	bm->nr_slots = leaves < ULONG_MAX ? leaves : ULONG_MAX;
}

/*
 * Zeroed roots for @size, slots and levels in one piece so that there are all
 * or none; without memory slots is NULL.
 */
static int alloc_roots(struct dtr_bitmap *bm, u64 size)
{
	unsigned long *level;
	u64 words, bytes;

	set_geometry(bm, size);
	bm->slots = NULL;
	bm->nr_levels = 0;

	bytes = root_bytes(bm->nr_bits);
	words = nr_groups(bm->nr_bits);
	/* Bites on 32-bit only: there are at most 2^39 leaves. */
	if (bytes > LONG_MAX || words > ULONG_MAX)
		return -EOVERFLOW;
	bm->slots = dtr_port_zalloc(bytes);
	if (!bm->slots)
		return -ENOMEM;

	level = (unsigned long *)(bm->slots + bm->nr_slots);
	do {
		words = nr_words(words);
		bm->level[bm->nr_levels++] = level;
		level += words;
	} while (words > 1);
	return 0;
}

/* ---- Summaries ---- */

/*
 * Tells the levels that a group is not clean.  Stopping where a bit is set
 * already is sound although the racing setter who set it may not have reached
 * the level above: it will have before the grace period that must lie between
 * setting and trusting the map.
 */
static void summary_set(struct dtr_bitmap *bm, unsigned long group)
{
	unsigned int k;

	for (k = 0; k < bm->nr_levels; k++) {
		unsigned long *word = &bm->level[k][group >> WORD_SHIFT];
		unsigned long mask = 1UL << (group & (BITS_PER_LONG - 1));

		if (READ_ONCE(*word) & mask)
			return;
		dtr_port_or(word, mask);
		group >>= WORD_SHIFT;
	}
}

static void summary_set_range(struct dtr_bitmap *bm, u64 first, u64 last)
{
	unsigned long group;

	for (group = first >> GROUP_SHIFT; group <= last >> GROUP_SHIFT;
	     group++)
		summary_set(bm, group);
}

static void summary_set_leaf(struct dtr_bitmap *bm, unsigned long slot)
{
	u64 first = (u64)slot << DTR_LEAF_SHIFT;

	summary_set_range(bm, first, first + leaf_nr_bits(bm, slot) - 1);
}

static void summary_clear(struct dtr_bitmap *bm, unsigned long group)
{
	unsigned int k;

	for (k = 0; k < bm->nr_levels; k++) {
		unsigned long *word = &bm->level[k][group >> WORD_SHIFT];

		*word &= ~(1UL << (group & (BITS_PER_LONG - 1)));
		if (*word)
			return;
		group >>= WORD_SHIFT;
	}
}

/* Sets every bit of every level that has something below it. */
static void summary_fill(struct dtr_bitmap *bm)
{
	u64 bits = nr_groups(bm->nr_bits);
	unsigned int k;

	for (k = 0; k < bm->nr_levels; k++) {
		u64 words = nr_words(bits);

		memset(bm->level[k], 0xff, words * sizeof(long));
		bm->level[k][words - 1] = mask_to(bits - 1);
		bits = words;
	}
}

/* Makes the levels above the lowest, all zero, agree with it. */
static void summary_rebuild(struct dtr_bitmap *bm)
{
	u64 words = nr_words(nr_groups(bm->nr_bits));
	unsigned int k;
	u64 word;

	for (k = 1; k < bm->nr_levels; k++) {
		for (word = 0; word < words; word++)
			if (bm->level[k - 1][word])
				bm->level[k][word >> WORD_SHIFT] |=
					1UL << (word & (BITS_PER_LONG - 1));
		words = nr_words(words);
	}
}

/* ---- Leaves ---- */

static void degraded_inc(struct dtr_bitmap *bm)
{
	unsigned long seen;

	do {
		seen = READ_ONCE(bm->nr_degraded);
	} while (cmpxchg(&bm->nr_degraded, seen, seen + 1) != seen);
}

/* The owner gives a slot another value and what it had back. */
static void replace_leaf(struct dtr_bitmap *bm, unsigned long slot, void *leaf)
{
	void *old = bm->slots[slot];

	bm->slots[slot] = leaf;
	if (old == DTR_LEAF_DEGRADED)
		bm->nr_degraded--;
	else if (leaf_exists(old))
		bm->ops->free(bm->ctx, old);
}

/* Ones where the bitmap has granules, zero beyond. */
static void fill_leaf(unsigned long *leaf, unsigned long nr)
{
	unsigned long last = (nr - 1) >> WORD_SHIFT;

	memset(leaf, 0xff, last * sizeof(long));
	leaf[last] = mask_to(nr - 1);
}

/* The last word first: who fills in order has a short look at most times. */
static bool all_ones(const unsigned long *leaf, unsigned long nr)
{
	unsigned long last = (nr - 1) >> WORD_SHIFT;
	unsigned long word;

	if (leaf[last] != mask_to(nr - 1))
		return false;
	for (word = 0; word < last; word++)
		if (~leaf[word])
			return false;
	return true;
}

static void collapse_if_full(struct dtr_bitmap *bm, unsigned long slot)
{
	void *leaf = bm->slots[slot];

	if (leaf_exists(leaf) && all_ones(leaf, leaf_nr_bits(bm, slot)))
		replace_leaf(bm, slot, DTR_LEAF_FULL);
}

/*
 * The leaf of a slot, for the owner to set bits in, or NULL when it is full.
 * Without memory for it the slot becomes full; *@added then counts that.
 */
static unsigned long *leaf_to_set(struct dtr_bitmap *bm, unsigned long slot,
				  u64 *added)
{
	void *leaf = bm->slots[slot];

	if (leaf_is_full(leaf))
		return NULL;
	if (leaf)
		return leaf;

	leaf = bm->ops->alloc(bm->ctx, false);
	if (leaf) {
		bm->slots[slot] = leaf;
		return leaf;
	}
	bm->slots[slot] = DTR_LEAF_DEGRADED;
	bm->nr_degraded++;
	summary_set_leaf(bm, slot);
	*added = leaf_nr_bits(bm, slot);
	return NULL;
}

/* As leaf_to_set() but for one of many setters. */
static void *leaf_to_mark(struct dtr_bitmap *bm, unsigned long slot)
{
	void *leaf = bm->ops->alloc(bm->ctx, true);
	void *old;

	/*
	 * The full barrier of cmpxchg() makes the zeroes of the leaf visible
	 * before the leaf is; it pairs with the READ_ONCE() of the slot in
	 * dtr_bitmap_mark() and in the readers.
	 */
	old = cmpxchg(&bm->slots[slot], NULL, leaf ? leaf : DTR_LEAF_DEGRADED);
	if (old) {
		if (leaf)
			bm->ops->free(bm->ctx, leaf);
		return old;
	}
	if (leaf)
		return leaf;
	degraded_inc(bm);
	summary_set_leaf(bm, slot);
	return DTR_LEAF_DEGRADED;
}

static void free_leaves(struct dtr_bitmap *bm)
{
	unsigned long slot;

	for (slot = 0; slot < bm->nr_slots; slot++)
		if (leaf_exists(bm->slots[slot]))
			bm->ops->free(bm->ctx, bm->slots[slot]);
}

/* ---- Life ---- */

/**
 * dtr_bitmap_init() - make a clean bitmap.
 * @bm: uninitialised
 * @size: bytes of the device, 1..2^63
 * @shift: log2 of the granularity, 9..31
 * @ops: where leaves come from; must outlive @bm
 * @ctx: first argument of @ops
 *
 * Allocates dtr_bitmap_root_bytes(), no leaf.
 *
 * Context: process, may sleep.
 * Return: 0; -EINVAL for @size or @shift out of range; -EOVERFLOW when the
 * roots are more than this machine can address; -ENOMEM.
 */
int dtr_bitmap_init(struct dtr_bitmap *bm, u64 size, unsigned int shift,
		    const struct dtr_leaf_ops *ops, void *ctx)
{
	if (!size || size > DTR_MAX_SIZE || shift < DTR_MIN_SHIFT ||
	    shift > DTR_MAX_SHIFT)
		return -EINVAL;

	memset(bm, 0, sizeof(*bm));
	bm->shift = shift;
	bm->ops = ops;
	bm->ctx = ctx;
	return alloc_roots(bm, size);
}

/**
 * dtr_bitmap_exit() - free leaves and roots.
 * @bm: initialised, or all zero, or left so by an earlier exit
 *
 * Context: process.
 */
void dtr_bitmap_exit(struct dtr_bitmap *bm)
{
	if (bm->slots)
		free_leaves(bm);
	dtr_port_free(bm->slots);
	memset(bm, 0, sizeof(*bm));
}

/**
 * dtr_bitmap_root_bytes() - memory of a clean bitmap.
 * @size: bytes of the device, 1..2^63
 * @shift: log2 of the granularity, 9..31
 *
 * Context: any.
 * Return: bytes that dtr_bitmap_init() would allocate, whether it could or not.
 */
u64 dtr_bitmap_root_bytes(u64 size, unsigned int shift)
{
	return root_bytes(dtr_nr_granules(size, shift));
}

/**
 * dtr_bitmap_max_bytes() - memory of a bitmap that has all its leaves.
 * @size: bytes of the device, 1..2^63
 * @shift: log2 of the granularity, 9..31
 *
 * Context: any.
 * Return: bytes, roots included; no bitmap of this geometry ever has more.
 */
u64 dtr_bitmap_max_bytes(u64 size, unsigned int shift)
{
	u64 nr_bits = dtr_nr_granules(size, shift);

	return root_bytes(nr_bits) + nr_leaves(nr_bits) * DTR_LEAF_BYTES;
}

/* ---- Setters ---- */

/* Sets bits of one word, @bit being one of them. */
static inline void mark_word(struct dtr_bitmap *bm, u64 bit,
			     unsigned long mask)
{
	unsigned long slot = bit >> DTR_LEAF_SHIFT;
	void *leaf = READ_ONCE(bm->slots[slot]);
	unsigned long *word;

	if (unlikely(!leaf))
		leaf = leaf_to_mark(bm, slot);
	if (!leaf_exists(leaf))
		return;
	word = (unsigned long *)leaf + ((bit & LEAF_MASK) >> WORD_SHIFT);
	/* A dirty word is only read: all CPUs keep it in their caches. */
	if ((READ_ONCE(*word) & mask) == mask)
		return;
	dtr_port_or(word, mask);
	summary_set(bm, bit >> GROUP_SHIFT);
}

/* Apart from mark_word() so that a single granule does not pay for the loop. */
static noinline void mark_words(struct dtr_bitmap *bm, u64 first, u64 last)
{
	u64 end = first | (BITS_PER_LONG - 1);

	while (end < last) {
		mark_word(bm, first, mask_from(first));
		first = end + 1;
		end += BITS_PER_LONG;
	}
	mark_word(bm, first, mask_from(first) & mask_to(last));
}

/**
 * dtr_bitmap_mark_slow() - what dtr_bitmap_mark() does not do inline.
 * @bm: bitmap that has slots
 * @first: first granule
 * @last: last granule, inclusive; @first <= @last < nr_bits
 *
 * Cost: one test for each word of the range, two atomic ors at least for each
 * that is not wholly dirty yet.
 *
 * Context: any, hard interrupt included; takes no lock; beside other setters.
 */
void dtr_bitmap_mark_slow(struct dtr_bitmap *bm, u64 first, u64 last)
{
	if ((first ^ last) >> WORD_SHIFT)
		mark_words(bm, first, last);
	else
		mark_word(bm, first, mask_from(first) & mask_to(last));
}

/* ---- The owner: setting ---- */

static u64 set_words(unsigned long *leaf, unsigned long lo, unsigned long hi)
{
	unsigned long word = lo >> WORD_SHIFT;
	unsigned long last = hi >> WORD_SHIFT;
	unsigned long mask = mask_from(lo);
	u64 added = 0;

	for (; word <= last; word++, mask = ~0UL) {
		if (word == last)
			mask &= mask_to(hi);
		added += hweight_long(mask & ~leaf[word]);
		leaf[word] |= mask;
	}
	return added;
}

static u64 set_in_leaf(struct dtr_bitmap *bm, unsigned long slot,
		       unsigned long lo, unsigned long hi)
{
	u64 first = (u64)slot << DTR_LEAF_SHIFT;
	unsigned long nr = leaf_nr_bits(bm, slot);
	unsigned long *leaf;
	u64 added = 0;

	if (!lo && hi == nr - 1) {
		added = nr - dtr_leaf_count(bm->slots[slot], 0, nr - 1);
		replace_leaf(bm, slot, DTR_LEAF_FULL);
		if (added)
			summary_set_leaf(bm, slot);
		return added;
	}

	leaf = leaf_to_set(bm, slot, &added);
	if (!leaf)
		return added;
	added = set_words(leaf, lo, hi);
	if (added) {
		summary_set_range(bm, first + lo, first + hi);
		collapse_if_full(bm, slot);
	}
	return added;
}

/**
 * dtr_bitmap_set_range() - make granules dirty.
 * @bm: bitmap
 * @first: first granule
 * @last: last granule, inclusive; @first <= @last < nr_bits
 *
 * Leaves without a clean granule give their memory back.  Where memory for a
 * leaf is missing all of the leaf becomes dirty.
 *
 * Context: process, may sleep; the owner.
 * Return: granules that went from clean to dirty, also added to count.
 */
u64 dtr_bitmap_set_range(struct dtr_bitmap *bm, u64 first, u64 last)
{
	u64 added = 0;
	u64 end;

	if (!bm->slots)
		return 0;
	for (; first <= last; first = end + 1) {
		end = first | LEAF_MASK;
		if (end > last)
			end = last;
		added += set_in_leaf(bm, first >> DTR_LEAF_SHIFT,
				     first & LEAF_MASK, end & LEAF_MASK);
	}
	bm->count += added;
	return added;
}

static bool all_zero(const unsigned long *words, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++)
		if (READ_ONCE(words[i]))
			return false;
	return true;
}

/*
 * Counts the bits of words.  Words that have none in common are counted as one:
 * where dirt is sparse counting is dearer than all else.
 */
struct tally {
	u64 count;
	unsigned long batch;
};

static inline void tally_word(struct tally *tally, unsigned long word)
{
	if (tally->batch & word) {
		tally->count += hweight_long(tally->batch);
		tally->batch = 0;
	}
	tally->batch |= word;
}

/* Ors a word, which others may be setting bits in, and counts what is new. */
static inline void or_word(unsigned long *to, const unsigned long *from,
			   struct tally *tally)
{
	unsigned long word = READ_ONCE(*from);

	if (word) {
		tally_word(tally, word & ~*to);
		*to |= word;
	}
}

static inline void or_four(unsigned long *to, const unsigned long *from,
			   struct tally *tally)
{
	or_word(to, from, tally);
	or_word(to + 1, from + 1, tally);
	or_word(to + 2, from + 2, tally);
	or_word(to + 3, from + 3, tally);
}

/* Ors words; returns how many bits were not set. */
static u64 or_words(unsigned long *to, const unsigned long *from,
		    unsigned long nr)
{
	struct tally tally = { 0, 0 };
	unsigned long eights;

	/* Where dirt is sparse a loop by words would be half of the cost. */
	for (eights = nr / 8; eights; eights--, from += 8, to += 8) {
		or_four(to, from, &tally);
		or_four(to + 4, from + 4, &tally);
	}
	for (nr %= 8; nr; nr--)
		or_word(to++, from++, &tally);
	return tally.count + hweight_long(tally.batch);
}

u64 dtr_bitmap_or_words(struct dtr_bitmap *bm, u64 word, unsigned long nr,
			const unsigned long *words)
{
	unsigned long slot = word >> (DTR_LEAF_SHIFT - WORD_SHIFT);
	unsigned long *leaf;
	u64 added = 0;

	dtr_port_relax();
	if (!bm->slots || (!bm->slots[slot] && all_zero(words, nr)))
		return 0;

	leaf = leaf_to_set(bm, slot, &added);
	if (leaf) {
		added = or_words(leaf + (word & (LEAF_WORDS - 1)), words, nr);
		if (added) {
			summary_set(bm, word >> WORD_SHIFT);
			collapse_if_full(bm, slot);
		}
	}
	bm->count += added;
	return added;
}

/**
 * dtr_bitmap_set_list() - make single granules dirty.
 * @bm: bitmap
 * @first: granule that @offsets count from
 * @offsets: ascending; @first + each < nr_bits
 * @nr: entries of @offsets
 *
 * As dtr_bitmap_set_range() for each, at a fifth of its cost.
 *
 * Context: process, may sleep; the owner.
 */
void dtr_bitmap_set_list(struct dtr_bitmap *bm, u64 first, const u16 *offsets,
			 unsigned int nr)
{
	unsigned int i = 0;

	while (bm->slots && i < nr) {
		u64 bit = first + offsets[i];
		u64 end = bit | CHUNK_MASK;
		unsigned long slot = bit >> DTR_LEAF_SHIFT;
		u64 added = 0;
		unsigned long *leaf = leaf_to_set(bm, slot, &added);

		for (; i < nr && (bit = first + offsets[i]) <= end; i++) {
			unsigned long mask = 1UL << (bit & (BITS_PER_LONG - 1));
			unsigned long *word;

			if (!leaf)
				continue;
			word = leaf + ((bit & LEAF_MASK) >> WORD_SHIFT);
			added += !(*word & mask);
			*word |= mask;
		}
		if (added && leaf) {
			summary_set(bm, end >> GROUP_SHIFT);
			collapse_if_full(bm, slot);
		}
		bm->count += added;
	}
}

/* Bits @pos..@pos + @nr - 1 of a byte array, 1 <= @nr <= BITS_PER_LONG. */
static unsigned long load_bits(const u8 *buf, u64 pos, unsigned int nr)
{
	unsigned long bits = 0;
	unsigned int have = 0;

	buf += pos >> 3;
	pos &= 7;
	if (!pos && nr == BITS_PER_LONG)
		return load_word(buf);
	for (; have < nr; buf++, pos = 0) {
		bits |= (unsigned long)(*buf >> pos) << have;
		have += 8 - pos;
	}
	return bits & mask_to(nr - 1);
}

/**
 * dtr_bitmap_put_bits() - make the granules dirty whose bit is set.
 * @bm: bitmap
 * @first: granule of the first bit
 * @nr: bits; @first + @nr <= nr_bits
 * @buf: (@nr + 7) / 8 bytes; bit k is bit k % 8 of byte k / 8
 *
 * Bits that are zero change nothing: to load a bitmap begin with a clean one.
 * Without memory as dtr_bitmap_set_range().
 *
 * Context: process, may sleep; the owner.
 */
void dtr_bitmap_put_bits(struct dtr_bitmap *bm, u64 first, u64 nr,
			 const void *buf)
{
	unsigned long words[BITS_BATCH];
	u64 bit = first;
	u64 end = first + nr;

	while (bit < end) {
		u64 word = bit >> WORD_SHIFT;
		unsigned int i = 0;

		do {
			unsigned int skip = bit & (BITS_PER_LONG - 1);
			unsigned int take = BITS_PER_LONG - skip;

			if (take > end - bit)
				take = end - bit;
			words[i++] = load_bits(buf, bit - first, take) << skip;
			bit += take;
		} while (i < BITS_BATCH && bit < end && bit & CHUNK_MASK);
		dtr_bitmap_or_words(bm, word, i, words);
	}
}

/**
 * dtr_bitmap_set_all() - make everything dirty.
 * @bm: bitmap
 *
 * Needs no memory and gives that of all leaves back.
 *
 * Context: any that may free leaves; the owner.
 */
void dtr_bitmap_set_all(struct dtr_bitmap *bm)
{
	unsigned long slot;

	bm->count = bm->nr_bits;
	if (!bm->slots)
		return;
	for (slot = 0; slot < bm->nr_slots; slot++)
		replace_leaf(bm, slot, DTR_LEAF_FULL);
	summary_fill(bm);
}

/* ---- The owner: clearing ---- */

/* Roots for a bitmap that had no memory for them: all dirty as before. */
static int regain_roots(struct dtr_bitmap *bm)
{
	unsigned long slot;
	int err;

	if (bm->slots)
		return 0;
	err = alloc_roots(bm, bm->size);
	if (err)
		return err;
	for (slot = 0; slot < bm->nr_slots; slot++)
		bm->slots[slot] = DTR_LEAF_DEGRADED;
	bm->nr_degraded = bm->nr_slots;
	summary_fill(bm);
	return 0;
}

static bool is_clean(const struct dtr_bitmap *bm, u64 first, u64 last)
{
	u64 bit;

	return !dtr_bitmap_find_dirty(bm, first, last, &bit);
}

static void clear_words(unsigned long *leaf, unsigned long lo, unsigned long hi)
{
	unsigned long word = lo >> WORD_SHIFT;
	unsigned long last = hi >> WORD_SHIFT;

	if (word == last) {
		leaf[word] &= ~(mask_from(lo) & mask_to(hi));
		return;
	}
	leaf[word] &= ~mask_from(lo);
	memset(leaf + word + 1, 0, (last - word - 1) * sizeof(long));
	leaf[last] &= ~mask_to(hi);
}

/* Whether clearing first..last leaves something of a full slot. */
static bool splits_full(const struct dtr_bitmap *bm, unsigned long slot,
			u64 first, u64 last)
{
	u64 start = (u64)slot << DTR_LEAF_SHIFT;

	return leaf_is_full(bm->slots[slot]) &&
	       (first > start || last < start + leaf_nr_bits(bm, slot) - 1);
}

/* The leaf for a full slot that is cleared in part. */
static void *alloc_full(struct dtr_bitmap *bm, unsigned long slot)
{
	unsigned long *leaf = bm->ops->alloc(bm->ctx, false);

	if (leaf)
		fill_leaf(leaf, leaf_nr_bits(bm, slot));
	return leaf;
}

static u64 clear_in_leaf(struct dtr_bitmap *bm, unsigned long slot,
			 unsigned long lo, unsigned long hi)
{
	u64 start = (u64)slot << DTR_LEAF_SHIFT;
	unsigned long nr = leaf_nr_bits(bm, slot);
	u64 removed = dtr_leaf_count(bm->slots[slot], lo, hi);

	if (!lo && hi == nr - 1) {
		replace_leaf(bm, slot, NULL);
	} else if (removed) {
		clear_words(bm->slots[slot], lo, hi);
		if (is_clean(bm, start, start + nr - 1))
			replace_leaf(bm, slot, NULL);
	}
	return removed;
}

/* Clears the summary bits of groups that have nothing dirty any more. */
static void summary_tidy(struct dtr_bitmap *bm, u64 first, u64 last)
{
	unsigned long group;

	for (group = first >> GROUP_SHIFT; group <= last >> GROUP_SHIFT;
	     group++) {
		u64 start = (u64)group << GROUP_SHIFT;
		u64 end = start | GROUP_MASK;

		if (end >= bm->nr_bits)
			end = bm->nr_bits - 1;
		if (is_clean(bm, start, end))
			summary_clear(bm, group);
	}
}

/**
 * dtr_bitmap_clear_range() - make granules clean.
 * @bm: bitmap
 * @first: first granule
 * @last: last granule, inclusive; @first <= @last < nr_bits
 *
 * Leaves that have no dirty granule left give their memory back.
 *
 * Context: process, may sleep; the owner.
 * Return: 0; -ENOMEM when a full leaf is cleared in part, or roots are
 * missing, and there is no memory for it: everything is as dirty as before.
 */
int dtr_bitmap_clear_range(struct dtr_bitmap *bm, u64 first, u64 last)
{
	unsigned long slot1 = first >> DTR_LEAF_SHIFT;
	unsigned long slot2 = last >> DTR_LEAF_SHIFT;
	void *leaf1 = NULL;
	u64 end;

	if (regain_roots(bm))
		return -ENOMEM;

	/* Only the two ends can need memory: take it before any change. */
	if (splits_full(bm, slot1, first, last)) {
		leaf1 = alloc_full(bm, slot1);
		if (!leaf1)
			return -ENOMEM;
	}
	if (slot2 != slot1 && splits_full(bm, slot2, first, last)) {
		void *leaf2 = alloc_full(bm, slot2);

		if (!leaf2)
			goto err_free_leaf1;
		replace_leaf(bm, slot2, leaf2);
	}
	if (leaf1)
		replace_leaf(bm, slot1, leaf1);

	for (end = first; end <= last; end++) {
		u64 bit = end;

		end |= LEAF_MASK;
		if (end > last)
			end = last;
		bm->count -= clear_in_leaf(bm, bit >> DTR_LEAF_SHIFT,
					   bit & LEAF_MASK, end & LEAF_MASK);
	}
	summary_tidy(bm, first, last);
	return 0;

err_free_leaf1:
	if (leaf1)
		bm->ops->free(bm->ctx, leaf1);
	return -ENOMEM;
}

/**
 * dtr_bitmap_clear_all() - make everything clean.
 * @bm: bitmap
 *
 * Gives the memory of all leaves back.
 *
 * Context: process, may sleep; the owner.
 * Return: 0; -ENOMEM when @bm has no roots and there is no memory for them:
 * it stays all dirty then.  Cannot fail for a bitmap that was never resized.
 */
int dtr_bitmap_clear_all(struct dtr_bitmap *bm)
{
	if (bm->slots) {
		free_leaves(bm);
		memset(bm->slots, 0, root_bytes(bm->nr_bits));
	} else if (alloc_roots(bm, bm->size)) {
		return -ENOMEM;
	}
	bm->count = 0;
	bm->nr_degraded = 0;
	return 0;
}

/* ---- The owner: as a whole ---- */

/**
 * dtr_bitmap_copy() - make a bitmap that equals another.
 * @dst: uninitialised; takes leaves from where @src does
 * @src: bitmap that no setter is at work on
 *
 * Context: process, may sleep; the owner of @src.
 * Return: 0; -ENOMEM: @dst is all zero then.
 */
int dtr_bitmap_copy(struct dtr_bitmap *dst, const struct dtr_bitmap *src)
{
	unsigned long slot;

	*dst = *src;
	if (!src->slots)
		return 0;
	if (alloc_roots(dst, src->size))
		goto err_exit;

	for (slot = 0; slot < src->nr_slots; slot++) {
		void *leaf = src->slots[slot];

		if (leaf_exists(leaf)) {
			void *copy = dst->ops->alloc(dst->ctx, false);

			if (!copy)
				goto err_exit;
			leaf = memcpy(copy, leaf, DTR_LEAF_BYTES);
		}
		dst->slots[slot] = leaf;
		dtr_port_relax();
	}
	/* The levels follow the slots in one piece. */
	memcpy(dst->level[0], src->level[0],
	       root_bytes(src->nr_bits) - src->nr_slots * sizeof(void *));
	return 0;

err_exit:
	dtr_bitmap_exit(dst);
	return -ENOMEM;
}

/*
 * Moves the leaves of @old, and what its summaries say, to the empty roots of
 * @bm, and frees the roots of @old.  What lies beyond @bm's end falls away.
 */
static void adopt(struct dtr_bitmap *bm, struct dtr_bitmap *old)
{
	u64 groups = nr_groups(bm->nr_bits);
	u64 words = nr_words(groups);
	u64 old_words = nr_words(nr_groups(old->nr_bits));
	unsigned long slot;

	memcpy(bm->level[0], old->level[0],
	       (words < old_words ? words : old_words) * sizeof(long));
	bm->level[0][words - 1] &= mask_to(groups - 1);
	summary_rebuild(bm);

	for (slot = 0; slot < old->nr_slots; slot++)
		if (slot < bm->nr_slots)
			bm->slots[slot] = old->slots[slot];
		else
			replace_leaf(old, slot, NULL);
	bm->nr_degraded = old->nr_degraded;
	dtr_port_free(old->slots);
}

/* Zeroes what the last leaf has beyond the end. */
static void mask_tail(struct dtr_bitmap *bm)
{
	unsigned long slot = bm->nr_slots - 1;
	unsigned long nr = leaf_nr_bits(bm, slot);

	if (leaf_exists(bm->slots[slot]) && nr < DTR_LEAF_BITS)
		clear_words(bm->slots[slot], nr, LEAF_MASK);
}

static bool same_roots(u64 nr_bits1, u64 nr_bits2)
{
	return nr_leaves(nr_bits1) == nr_leaves(nr_bits2) &&
	       nr_groups(nr_bits1) == nr_groups(nr_bits2);
}

/**
 * dtr_bitmap_resize() - follow a device to another size.
 * @bm: bitmap
 * @size: new size in bytes, 1..2^63
 *
 * Growth makes dirty every granule that has a byte in [old size, @size), the
 * one that was partial included: what was written there before is not known.
 * Shrinking clears what lies wholly beyond @size; a granule that becomes
 * partial keeps its bit.
 *
 * Never fails: without memory for new roots the whole bitmap is dirty, has no
 * memory at all and must not be given to dtr_bitmap_mark() until
 * dtr_bitmap_clear_all() or dtr_bitmap_clear_range() has succeeded.
 *
 * Context: process, may sleep; the owner.
 */
void dtr_bitmap_resize(struct dtr_bitmap *bm, u64 size)
{
	struct dtr_bitmap old = *bm;
	u64 nr_bits = dtr_nr_granules(size, old.shift);
	u64 first = old.size >> old.shift;

	if (!old.slots || same_roots(old.nr_bits, nr_bits)) {
		set_geometry(bm, size);
	} else if (!alloc_roots(bm, size)) {
		adopt(bm, &old);
	} else {
		free_leaves(&old);
		dtr_port_free(old.slots);
		bm->nr_degraded = 0;
	}

	if (bm->slots) {
		mask_tail(bm);
		if (size > old.size) {
			/* A last leaf that is full has more groups now. */
			summary_set_range(bm, first, nr_bits - 1);
			dtr_bitmap_set_range(bm, first, nr_bits - 1);
		}
	}
	dtr_bitmap_recount(bm);
}

/**
 * dtr_bitmap_recount() - count anew what setters made dirty.
 * @bm: bitmap; its setters have ended before a grace period
 *
 * Cost: reads every leaf.
 *
 * Context: process, may sleep; the owner.
 */
void dtr_bitmap_recount(struct dtr_bitmap *bm)
{
	unsigned long slot;

	bm->count = bm->nr_bits;
	if (!bm->slots)
		return;
	bm->count = 0;
	for (slot = 0; slot < bm->nr_slots; slot++) {
		bm->count += dtr_leaf_count(bm->slots[slot], 0,
					    leaf_nr_bits(bm, slot) - 1);
		dtr_port_relax();
	}
}
