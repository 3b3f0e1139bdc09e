/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * bitmap.h - the hbitmap: one bit for each granule of a device.
 *
 * A radix with 64-way summaries (32-way on 32-bit) over lazily allocated
 * leaves, and a state for what memory could not hold:
 *
 *	slots[]		one word for each leaf: NULL (all clean), DTR_LEAF_FULL
 *			or DTR_LEAF_DEGRADED (all dirty) or a leaf of
 *			DTR_LEAF_BITS bits
 *	level[0]	one bit for each BITS_PER_LONG words of leaf
 *	level[k]	one bit for each word of level[k - 1]
 *	no slots at all	the whole bitmap is dirty: what resize leaves behind
 *			when it finds no memory for the roots
 *
 * A summary bit that is clear says that everything below it is clean; one that
 * is set promises nothing.  Bits beyond nr_bits are zero in leaves that exist.
 *
 * Where memory for a leaf is missing the leaf becomes full: a spurious bit is
 * only slow, a lost bit is data loss.  Such a leaf is degraded and counted in
 * nr_degraded for as long as it over-reports; leaves that are full because
 * every bit was really set are not.
 *
 * Two classes of caller, never at the same time on one bitmap:
 *	setters		dtr_bitmap_mark() alone: from any context, any number
 *			of CPUs at once, no lock; it does not maintain count
 *	the owner	everything else: exclusive by the caller's lock; after
 *			setters were at work, 'after' meaning that something
 *			like an RCU grace period lies between, the owner calls
 *			dtr_bitmap_recount() before it relies on count
 * Readers (get, next_*, count_range, merge from) may run beside setters: they
 * see at least everything that was set before the last such grace period.
 * Nothing may be cleared on their word.
 *
 * Locals with a fixed meaning: bit (index of a granule), leaf (index of a
 * leaf), word (index of a word in a leaf), bm (bitmap).
 */
#ifndef DTR_BITMAP_H
#define DTR_BITMAP_H

#include "geometry.h"

/* 4 KiB: 32,768 granules, 2 GiB of device at 64 KiB.  Tests shrink it to 6. */
#ifndef DTR_LEAF_SHIFT
#define DTR_LEAF_SHIFT		15
#endif
#define DTR_LEAF_BITS		BIT(DTR_LEAF_SHIFT)
#define DTR_LEAF_BYTES		(DTR_LEAF_BITS / 8)
#define DTR_LEAF_DEGRADED	((void *)1UL)
#define DTR_LEAF_FULL		((void *)2UL)
/* 2^54 bits (2^63 bytes by 512) are at most this many levels of 32. */
#define DTR_MAX_LEVELS		10

/**
 * struct dtr_leaf_ops - where leaves come from.
 * @alloc: a zeroed leaf of DTR_LEAF_BYTES, or NULL; @atomic: must not sleep
 *	and may be in hard interrupt context
 * @free: takes back what @alloc gave; as atomic as any @alloc may be
 */
struct dtr_leaf_ops {
	void *(*alloc)(void *ctx, bool atomic);
	void (*free)(void *ctx, void *leaf);
};

/**
 * struct dtr_bitmap - one bit for each granule.
 * @size: bytes of the device, 1..2^63; immutable but for dtr_bitmap_resize()
 * @nr_bits: granules of the device
 * @count: dirty granules; maintained by the owner's operations
 * @nr_degraded: leaves that are full because memory was missing; setters
 *	change it, so read it through dtr_bitmap_nr_degraded()
 * @shift: log2 of the granularity
 * @nr_levels: summary levels in use, >= 1
 * @nr_slots: leaves that cover @nr_bits
 * @slots: the leaves, NULL when everything is dirty for want of memory
 * @level: the summaries
 * @ops: where leaves come from
 * @ctx: first argument of @ops
 */
struct dtr_bitmap {
	u64 size;
	u64 nr_bits;
	u64 count;
	unsigned long nr_degraded;
	unsigned int shift;
	unsigned int nr_levels;
	unsigned long nr_slots;
	void **slots;
	unsigned long *level[DTR_MAX_LEVELS];
	const struct dtr_leaf_ops *ops;
	void *ctx;
};

int dtr_bitmap_init(struct dtr_bitmap *bm, u64 size, unsigned int shift,
		    const struct dtr_leaf_ops *ops, void *ctx);
void dtr_bitmap_exit(struct dtr_bitmap *bm);
u64 dtr_bitmap_root_bytes(u64 size, unsigned int shift);
u64 dtr_bitmap_max_bytes(u64 size, unsigned int shift);

/* setters */
void dtr_bitmap_mark_slow(struct dtr_bitmap *bm, u64 first, u64 last);

/**
 * dtr_bitmap_mark() - mark granules dirty, beside other setters.
 * @bm: bitmap that has slots (never resized: see dtr_bitmap_resize())
 * @first: first granule
 * @last: last granule, inclusive; @first <= @last < nr_bits
 *
 * A granule that is dirty already costs loads only.  Never fails: a leaf for
 * which there is no memory becomes full.  The early exit is sound only because
 * the truth is read after a grace period (a racing setter may have set the bit
 * and not yet the summary above it).
 *
 * Context: any, hard interrupt included; takes no lock.
 */
static __always_inline void dtr_bitmap_mark(struct dtr_bitmap *bm, u64 first,
					    u64 last)
{
	if (likely(first == last)) {
		void *leaf = READ_ONCE(bm->slots[first >> DTR_LEAF_SHIFT]);

		if (likely((unsigned long)leaf > (unsigned long)DTR_LEAF_FULL)) {
			unsigned long in = first & (DTR_LEAF_BITS - 1);
			unsigned long *word = (unsigned long *)leaf +
					      in / BITS_PER_LONG;

			if (READ_ONCE(*word) & (1UL << (in % BITS_PER_LONG)))
				return;
		}
	}
	dtr_bitmap_mark_slow(bm, first, last);
}

/* the owner */
u64 dtr_bitmap_set_range(struct dtr_bitmap *bm, u64 first, u64 last);
void dtr_bitmap_set_list(struct dtr_bitmap *bm, u64 first, const u16 *offsets,
			 unsigned int nr);
int dtr_bitmap_clear_range(struct dtr_bitmap *bm, u64 first, u64 last);
void dtr_bitmap_set_all(struct dtr_bitmap *bm);
int dtr_bitmap_clear_all(struct dtr_bitmap *bm);
int dtr_bitmap_copy(struct dtr_bitmap *dst, const struct dtr_bitmap *src);
void dtr_bitmap_merge(struct dtr_bitmap *dst, const struct dtr_bitmap *src);
void dtr_bitmap_resize(struct dtr_bitmap *bm, u64 size);
void dtr_bitmap_recount(struct dtr_bitmap *bm);

/* readers */
bool dtr_bitmap_get(const struct dtr_bitmap *bm, u64 bit);
u64 dtr_bitmap_count_range(const struct dtr_bitmap *bm, u64 first, u64 last);
u64 dtr_bitmap_count_union(const struct dtr_bitmap *a,
			   const struct dtr_bitmap *b);
u64 dtr_bitmap_dirty_bytes(const struct dtr_bitmap *bm);
bool dtr_bitmap_next_dirty(const struct dtr_bitmap *bm, u64 from, u64 *bit);
bool dtr_bitmap_next_clean(const struct dtr_bitmap *bm, u64 from, u64 *bit);
bool dtr_bitmap_next_dirty_area(const struct dtr_bitmap *bm, u64 start, u64 end,
				u64 max, u64 *area_start, u64 *area_end);
unsigned long dtr_bitmap_nr_degraded(const struct dtr_bitmap *bm);

/* raw bits: bit k of the range is bit k % 8 of byte k / 8, as QEMU has it */
void dtr_bitmap_get_bits(const struct dtr_bitmap *bm, u64 first, u64 nr,
			 void *buf);
void dtr_bitmap_put_bits(struct dtr_bitmap *bm, u64 first, u64 nr,
			 const void *buf);
u64 dtr_bitmap_hash(const struct dtr_bitmap *bm);

#endif
