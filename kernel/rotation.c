// SPDX-License-Identifier: GPL-2.0-only
/*
 * rotation.c - a tracker's epochs: how one begins, and what becomes of the last.
 *
 * Owns how fine the live map is, the folding of a replaced one into the bitmaps
 * that recorded, and the sum of all epochs' writes.  What marks and counts in
 * an epoch is epoch.c's, why a new one is due its caller's, freeing those that
 * are retired tracker.c's.
 *
 * Contexts: process context under memalloc_noio, the tracker's mutex held; waits
 * for grace periods and for no I/O.
 * Invariants: every recording bitmap's granularity is at least that of the live
 * map, or clock.overflow is set; no map is folded before the grace period after
 * which nobody marks in it.
 */
#include <linux/jiffies.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>

#include "rotation.h"

/* ---- Rotation ---- */

/**
 * dtr_tracker_live_shift_locked() - how fine the live map has to be.
 * @t: tracker
 * @shift: log2 of the finest granularity that is going to record beside what
 *	does already, or -1
 *
 * Context: caller holds the tracker's mutex.
 * Return: log2 of the finest of these granularities, -1: nothing records.
 */
int dtr_tracker_live_shift_locked(struct dtr_tracker *t, int shift)
{
	struct dtr_named *n;

	list_for_each_entry(n, &t->bitmaps, link)
		if (n->recording && (shift < 0 || n->base.shift < shift))
			shift = n->base.shift;
	return shift;
}

/**
 * dtr_tracker_prepare_locked() - the epoch that a rotation will publish.
 * @t: tracker
 * @shift: log2 of the finest granularity that is going to record beside what
 *	does already, or -1
 *
 * Context: process; caller holds the tracker's mutex; may sleep.
 * Return: the epoch, for dtr_tracker_rotate_locked(),
 * dtr_tracker_publish_locked() or dtr_epoch_destroy(); ERR_PTR(-ENOMEM) or
 * ERR_PTR(-EOVERFLOW).
 */
struct dtr_epoch *dtr_tracker_prepare_locked(struct dtr_tracker *t, int shift)
{
	lockdep_assert_held(&t->mutex);
	return dtr_epoch_create(t->size, dtr_tracker_live_shift_locked(t, shift),
				&t->pool);
}

static struct dtr_epoch *current_epoch(struct dtr_tracker *t)
{
	return rcu_dereference_protected(t->clock.epoch,
					 lockdep_is_held(&t->mutex));
}

/*
 * Makes everything dirty in @n because marks are missing, and steps the
 * generation, once: the next fold may find the overflow still there.
 */
static void lose(struct dtr_named *n)
{
	struct dtr_bitmap *to = dtr_named_recorder(n);
	u64 clean;

	if (!dtr_bitmap_next_clean(to, 0, &clean))
		return;
	dtr_bitmap_set_all(to);
	n->generation++;
}

/* Unites a map that nobody marks any more with what recorded under it. */
static void fold(struct dtr_tracker *t, const struct dtr_bitmap *map)
{
	bool all = READ_ONCE(t->clock.overflow);
	struct dtr_named *n;

	list_for_each_entry(n, &t->bitmaps, link) {
		struct dtr_bitmap *to = dtr_named_recorder(n);

		if (!n->recording)
			continue;
		if (all) {
			lose(n);
		} else if (map->nr_bits) {
			dtr_bitmap_merge(to, map);
			to->nr_degraded += dtr_bitmap_nr_degraded(map);
		}
	}
}

static void retire(struct dtr_tracker *t, struct dtr_epoch *old)
{
	dtr_bitmap_exit(&old->map);
	dtr_epoch_count(old, &t->writes);
	list_add_tail(&old->link, &t->clock.retired);
	/* The last write may have ended before the epoch was in the list. */
	schedule_work(&t->reap);
}

/**
 * dtr_tracker_publish_locked() - begin a new epoch.
 * @t: tracker
 * @next: from dtr_tracker_prepare_locked(), owned by the tracker from here on
 *
 * Context: process; caller holds the tracker's mutex.
 * Return: the epoch before, for dtr_tracker_fold_locked() after
 * dtr_tracker_sync().
 */
struct dtr_epoch *dtr_tracker_publish_locked(struct dtr_tracker *t,
					     struct dtr_epoch *next)
{
	struct dtr_epoch *old = current_epoch(t);

	/* Publishes an initialised map; pairs with dtr_write_begin(). */
	rcu_assign_pointer(t->clock.epoch, next);
	return old;
}

/**
 * dtr_tracker_fold_locked() - fold an epoch that nobody marks any more.
 * @t: tracker
 * @old: from dtr_tracker_publish_locked(), a grace period ago
 *
 * Context: process; caller holds the tracker's mutex; may sleep.
 */
void dtr_tracker_fold_locked(struct dtr_tracker *t, struct dtr_epoch *old)
{
	fold(t, &old->map);
	WRITE_ONCE(t->clock.overflow, false);
	retire(t, old);
}

/**
 * dtr_tracker_rotate_locked() - begin a new epoch, fold the old one.
 * @t: tracker
 * @next: from dtr_tracker_prepare_locked(), owned by the tracker from here on
 *
 * Afterwards the base of every bitmap (the successor of a busy one) that
 * records holds all that was written before, and the live map what comes
 * later.  What is to change about a bitmap is changed after this and before
 * the mutex is let go.  Waits for an RCU grace period and for no I/O.
 *
 * Context: process; caller holds the tracker's mutex; sleeps.
 */
void dtr_tracker_rotate_locked(struct dtr_tracker *t, struct dtr_epoch *next)
{
	struct dtr_epoch *old = dtr_tracker_publish_locked(t, next);

	dtr_tracker_sync();
	dtr_tracker_fold_locked(t, old);
}

/**
 * dtr_tracker_trim_locked() - a coarser live map, if one will do.
 * @t: tracker
 *
 * Without memory the one there is goes on.
 *
 * Context: process; caller holds the tracker's mutex; sleeps.
 */
void dtr_tracker_trim_locked(struct dtr_tracker *t)
{
	const struct dtr_bitmap *map = &current_epoch(t)->map;
	int shift = dtr_tracker_live_shift_locked(t, -1);
	struct dtr_epoch *next;

	if (!map->nr_bits || (int)map->shift == shift)
		return;
	next = dtr_tracker_prepare_locked(t, -1);
	if (!IS_ERR(next))
		dtr_tracker_rotate_locked(t, next);
}

/**
 * dtr_tracker_settle_locked() - mend a live map that was too small.
 * @t: tracker
 *
 * To be called first by every operation that reads or changes content.  Does
 * nothing unless a table was resumed without memory for its live map.
 *
 * Context: process; caller holds the tracker's mutex; may sleep.
 */
void dtr_tracker_settle_locked(struct dtr_tracker *t)
{
	struct dtr_epoch *next;

	lockdep_assert_held(&t->mutex);
	if (likely(!READ_ONCE(t->clock.overflow)))
		return;
	next = dtr_tracker_prepare_locked(t, -1);
	if (IS_ERR(next))
		fold(t, &current_epoch(t)->map);
	else
		dtr_tracker_rotate_locked(t, next);
}

/* ---- What readers see of the current epoch ---- */

/**
 * dtr_tracker_live_locked() - the live map as a part of a bitmap's content.
 * @t: tracker
 * @n: one of its bitmaps
 *
 * A reader that must see every write that was submitted before it began calls
 * dtr_tracker_sync() first.
 *
 * Context: caller holds the tracker's mutex, and reads no longer than it does.
 * Return: the map, or NULL when @n does not record.
 */
const struct dtr_bitmap *dtr_tracker_live_locked(struct dtr_tracker *t,
						 const struct dtr_named *n)
{
	struct dtr_epoch *epoch = current_epoch(t);

	return n->recording && epoch->map.nr_bits ? &epoch->map : NULL;
}

/**
 * dtr_tracker_sync() - make all marks so far visible from the summaries down.
 *
 * A write's mark may have been left to another one that had set the bit and
 * not yet the summary above it; afterwards that one has.
 *
 * Context: process; sleeps.
 */
void dtr_tracker_sync(void)
{
	synchronize_rcu_expedited();
}

/* ---- The writes of all epochs ---- */

static void put_tally(struct dtrack_tally *tally, const struct dtr_writes *sum,
		      enum dtr_kind kind)
{
	tally->nr = sum->of_nr[kind];
	tally->bytes = sum->of_sectors[kind] << SECTOR_SHIFT;
}

/**
 * dtr_tracker_writes_locked() - what has been written since the device was made.
 * @t: tracker
 * @writes: out
 *
 * Context: caller holds the tracker's mutex.
 */
void dtr_tracker_writes_locked(struct dtr_tracker *t,
			       struct dtrack_writes *writes)
{
	struct dtr_writes sum = t->writes;
	u64 now, special = 0, special_sectors = 0;
	int i;

	dtr_epoch_count(current_epoch(t), &sum);
	for (i = 0; i < DTR_NR_KINDS; i++) {
		special += sum.of_nr[i];
		special_sectors += sum.of_sectors[i];
	}
	/* A write that is being counted may be of a kind and not of all yet. */
	writes->writes.nr = max(sum.nr, special) - special;
	writes->writes.bytes = (max(sum.sectors, special_sectors) -
				special_sectors) << SECTOR_SHIFT;
	put_tally(&writes->discards, &sum, DTR_DISCARDS);
	put_tally(&writes->zeroes, &sum, DTR_ZEROES);
	put_tally(&writes->others, &sum, DTR_OTHERS);
	writes->idle = U64_MAX;
	if (!sum.nr)
		return;
	/* In 64 bits: 50 days without a write are more than 2^32 ms. */
	now = get_jiffies_64();
	writes->idle = time_after64(now, sum.last) ?
		       jiffies64_to_msecs(now - sum.last) : 0;
}
