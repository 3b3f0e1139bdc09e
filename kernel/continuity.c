// SPDX-License-Identifier: GPL-2.0-only
/*
 * continuity.c - whether a device was tracked all the time between two tables.
 *
 * A table of ours continues the tracking of the one that was adopted before it
 * if device-mapper replaced that one by it directly.  Everything else is a gap:
 * another target was live in between, and its writes are in no bitmap.  After a
 * gap everything counts as dirty, whatever the table line says.
 *
 * Device-mapper tells a target neither what was live before it nor that it was
 * replaced, and destroys a replaced table only after the next one was resumed.
 * Two facts decide:
 *
 *	- A table that was destroyed was replaced before.  If that was the table
 *	  adopted last, the device is not tracked, and the next table of ours
 *	  comes after a gap.
 *	- The task that swaps a table in is the one that destroys the table which
 *	  it replaced, in one ioctl (do_resume() in dm-ioctl.c).  So where the
 *	  adopted table still exists when the next one is adopted, continuity is
 *	  proven when it is destroyed, and disproven if another task does that.
 *
 * Until the proof is there the disk's counters are believed: a device that was
 * written to between the suspension of one table and the resume of the next had
 * another table in between.  That alone is no proof, for users may switch the
 * counters off and a device can be written to beside them (DAX).
 *
 * Contexts: process context under memalloc_noio.
 * Invariant: a gap that cannot be excluded is one.
 */
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/part_stat.h>
#include <linux/sched.h>

#include "continuity.h"
#include "rotation.h"

/**
 * dtr_plan_swap_in() - device-mapper is about to make a table the live one.
 * @plan: plan of the table
 *
 * To be called by io_hints, which device-mapper calls last when it swaps tables,
 * under the mapped device's suspend_lock.  Earlier calls do no harm.
 */
void dtr_plan_swap_in(struct dtr_plan *plan)
{
	if (!plan->done)
		plan->swapper = current;
}

/**
 * dtr_tracker_lose_locked() - the bitmaps do not say what differs any more.
 * @t: tracker
 * @gap: because writes may have been missed
 *
 * Everything is dirty in every bitmap, in the successor of a busy one.  Frozen
 * content stays.  After a gap its run can only be reclaimed: the copy has
 * writes that are in no bitmap, beside older data.
 *
 * Context: process, under memalloc_noio; caller holds t->mutex; may sleep.
 */
void dtr_tracker_lose_locked(struct dtr_tracker *t, bool gap)
{
	struct dtr_named *n;

	lockdep_assert_held(&t->mutex);
	list_for_each_entry(n, &t->bitmaps, link) {
		dtr_bitmap_set_all(dtr_named_recorder(n));
		n->generation++;
		if (n->freeze && gap)
			n->freeze->void_run = true;
	}
}

/* Writes of the disk that are done, by whatever table. */
static u64 disk_writes(const struct dtr_tracker *t)
{
	struct block_device *part = dm_disk(t->md)->part0;

	return part_stat_read(part, ios[STAT_WRITE]) +
	       part_stat_read(part, ios[STAT_DISCARD]);
}

/**
 * dtr_tracker_suspended() - no write is in flight under a table any more.
 * @t: tracker
 * @table: the table
 *
 * Context: process, in postsuspend; may sleep.
 */
void dtr_tracker_suspended(struct dtr_tracker *t, struct dm_table *table)
{
	mutex_lock(&t->mutex);
	if (t->table == table)
		t->disk_writes = disk_writes(t);
	mutex_unlock(&t->mutex);
}

/**
 * dtr_tracker_continue_locked() - a table is resumed for the first time.
 * @t: tracker
 * @plan: plan of the table
 * @table: the table
 *
 * Makes @table the adopted one and the tracker live.
 *
 * Context: caller holds t->mutex; the device is suspended.
 * Return: whether the device was tracked since the table before was adopted, as
 * far as anybody knows.
 */
bool dtr_tracker_continue_locked(struct dtr_tracker *t, struct dtr_plan *plan,
				 struct dm_table *table)
{
	bool first = !t->size;
	bool unbroken;

	lockdep_assert_held(&t->mutex);
	unbroken = t->table && disk_writes(t) == t->disk_writes;
	if (unbroken) {
		plan->before = t->table;
		list_add(&plan->unproven, &t->unproven);
	}
	t->table = table;
	WRITE_ONCE(t->live, true);
	return first || unbroken;
}

/* Whether all tables that continue @table were swapped in for it. */
static bool prove(struct dtr_tracker *t, const struct dm_table *table)
{
	struct dtr_plan *plan, *next;
	bool proven = true;

	list_for_each_entry_safe(plan, next, &t->unproven, unproven) {
		if (plan->before != table)
			continue;
		list_del_init(&plan->unproven);
		proven = proven && plan->swapper == current;
	}
	return proven;
}

/**
 * dtr_tracker_forget_table() - a table is being destroyed.
 * @t: tracker of the table
 * @plan: plan of the table
 * @table: the table
 *
 * Context: process; may sleep.
 */
void dtr_tracker_forget_table(struct dtr_tracker *t, struct dtr_plan *plan,
			      struct dm_table *table)
{
	bool proven;

	mutex_lock(&t->mutex);
	proven = prove(t, table);
	/* Two tasks swap at once: the proof for this table comes too late. */
	if (!list_empty(&plan->unproven)) {
		list_del_init(&plan->unproven);
		proven = false;
	}
	if (t->table == table) {
		t->table = NULL;
		WRITE_ONCE(t->live, false);
	} else if (!proven) {
		dtr_tracker_lose_locked(t, true);
	}
	mutex_unlock(&t->mutex);
}

