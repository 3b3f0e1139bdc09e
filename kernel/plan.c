// SPDX-License-Identifier: GPL-2.0-only
/*
 * plan.c - what a table line asks of a tracker, from its constructor to resume.
 *
 * Owns the bitmaps that a line names, the check of a line against what there is,
 * and what resume changes: new bitmaps, another size, another device below.
 * The words of a line are target.c's, limits and the list of bitmaps tracker.c's.
 *
 * Contexts: process context under memalloc_noio; dtr_tracker_adopt() runs on a
 * suspended device and never fails.
 * Invariant: what resume needs is allocated or refused in the constructor; where
 * that does not do any more, everything counts as dirty.
 */
#include <linux/list.h>
#include <linux/string.h>

#include "continuity.h"
#include "plan.h"
#include "rotation.h"

/**
 * dtr_plan_init() - an empty plan.
 * @plan: plan
 */
void dtr_plan_init(struct dtr_plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	INIT_LIST_HEAD(&plan->bitmaps);
	INIT_LIST_HEAD(&plan->pending);
	INIT_LIST_HEAD(&plan->unproven);
}

/**
 * dtr_plan_exit() - free what a plan still owns.
 * @plan: plan, adopted or not
 */
void dtr_plan_exit(struct dtr_plan *plan)
{
	struct dtr_named *n, *next;

	if (plan->t) {
		mutex_lock(&plan->t->mutex);
		list_del_init(&plan->pending);
		mutex_unlock(&plan->t->mutex);
	}
	list_for_each_entry_safe(n, next, &plan->bitmaps, link) {
		list_del(&n->link);
		dtr_named_destroy(n);
	}
	dtr_epoch_destroy(plan->epoch);
	plan->epoch = NULL;
}

static char beyond_limits[] =
	"Bitmaps need more memory than max_memory_mb allows, or are too many";

/**
 * dtr_plan_add_bitmap() - a bitmap that a table line names.
 * @plan: plan whose size is set
 * @t: its tracker
 * @name: from the line
 * @granularity: bytes, from the line
 * @clean: whether it starts clean, else all dirty
 * @error: a sentence on failure
 *
 * Context: process, under memalloc_noio; may sleep.
 * Return: 0, -EINVAL, -EEXIST, -ENOMEM or -EOVERFLOW.
 */
int dtr_plan_add_bitmap(struct dtr_plan *plan, struct dtr_tracker *t,
			const char *name, u64 granularity, bool clean,
			char **error)
{
	int shift = dtr_granularity_shift(granularity);
	struct dtr_named *n;

	*error = "Invalid bitmap name";
	if (dtr_name_check(name, strlen(name)))
		return -EINVAL;
	*error = "Granularity must be power of 2, at least 512 and at most 2147483648";
	if (shift < 0)
		return -EINVAL;
	*error = "Bitmap named twice";
	if (dtr_named_find_in(&plan->bitmaps, name))
		return -EEXIST;
	n = dtr_named_create(t, plan->size, name, shift);
	*error = PTR_ERR_OR_ZERO(n) == -EOVERFLOW ? beyond_limits :
						    "Cannot allocate bitmap";
	if (IS_ERR(n))
		return PTR_ERR(n);
	if (!clean)
		dtr_bitmap_set_all(&n->base);
	list_add_tail(&n->link, &plan->bitmaps);
	*error = NULL;
	return 0;
}

/* Whether the line grows the device or names a bitmap that does not exist. */
static bool needs_more(const struct dtr_plan *plan, struct dtr_tracker *t)
{
	struct dtr_named *n;

	list_for_each_entry(n, &plan->bitmaps, link)
		if (!dtr_named_find_locked(t, n->name))
			return true;
	return plan->size > t->size;
}

static int check_plan(struct dtr_plan *plan, struct dtr_tracker *t,
		      char **error)
{
	struct dtr_named *n, *old;

	list_for_each_entry(n, &t->bitmaps, link) {
		*error = "Cannot shrink the device while a bitmap is frozen";
		if (n->freeze && plan->size < t->size)
			return -EBUSY;
	}
	list_for_each_entry(n, &plan->bitmaps, link) {
		old = dtr_named_find_locked(t, n->name);
		*error = "Bitmap exists with another granularity";
		if (old && old->base.shift != n->base.shift)
			return -EINVAL;
	}
	/* The limit may be lower by now than what there is. */
	if (!needs_more(plan, t))
		return 0;
	*error = beyond_limits;
	return dtr_tracker_check_limits_locked(t, plan->size, &plan->bitmaps);
}

/* The finest of all bitmaps, recording or not: good for what may come. */
static int plan_shift(struct dtr_plan *plan, struct dtr_tracker *t)
{
	unsigned int finest = DTR_MAX_SHIFT;
	struct dtr_named *n;

	if (list_empty(&plan->bitmaps) && list_empty(&t->bitmaps))
		return -1;
	list_for_each_entry(n, &plan->bitmaps, link)
		finest = min(finest, n->base.shift);
	list_for_each_entry(n, &t->bitmaps, link)
		finest = min(finest, n->base.shift);
	return finest;
}

/**
 * dtr_plan_prepare() - check a complete plan and allocate what resume needs.
 * @plan: plan
 * @t: its tracker; not changed
 * @error: a sentence on failure
 *
 * Context: process, under memalloc_noio; may sleep.
 * Return: 0; -EBUSY for a shrink with a frozen bitmap; -EINVAL, -ENOMEM,
 * -EOVERFLOW.
 */
int dtr_plan_prepare(struct dtr_plan *plan, struct dtr_tracker *t, char **error)
{
	int r;

	mutex_lock(&t->mutex);
	r = check_plan(plan, t, error);
	if (!r && (plan->size != t->size || !list_empty(&plan->bitmaps))) {
		*error = "Cannot allocate the live map";
		plan->epoch = dtr_epoch_create(plan->size, plan_shift(plan, t),
					       &t->pool);
		r = PTR_ERR_OR_ZERO(plan->epoch);
	}
	if (!r) {
		plan->t = t;
		list_add_tail(&plan->pending, &t->plans);
	}
	mutex_unlock(&t->mutex);
	if (!r)
		*error = NULL;
	return r;
}

/* Moves the line's bitmaps that do not exist yet to the end of @new. */
static void pick_new_bitmaps(struct dtr_tracker *t, struct dtr_plan *plan,
			     struct list_head *new)
{
	struct dtr_named *n, *next;

	list_for_each_entry_safe(n, next, &plan->bitmaps, link)
		if (!dtr_named_find_locked(t, n->name))
			list_move_tail(&n->link, new);
}

/* The plan's epoch if it still fits what will record, else one made now. */
static struct dtr_epoch *adopted_epoch(struct dtr_tracker *t,
				       struct dtr_plan *plan,
				       const struct list_head *new)
{
	struct dtr_epoch *epoch = plan->epoch;
	int shift = dtr_tracker_live_shift_locked(t, -1);
	struct dtr_named *n;

	list_for_each_entry(n, new, link)
		if (shift < 0 || n->base.shift < shift)
			shift = n->base.shift;
	if (epoch && shift >= 0 && epoch->map.nr_bits &&
	    epoch->map.shift <= shift) {
		plan->epoch = NULL;
		return epoch;
	}
	return dtr_epoch_create(plan->size, shift, &t->pool);
}

static bool is_moved(const struct dtr_tracker *t, const struct dtr_plan *plan)
{
	return !plan->same_data && (t->lower != plan->lower ||
				    t->lower_start != plan->lower_start);
}

static void adopt_geometry(struct dtr_tracker *t, const struct dtr_plan *plan,
			   bool unbroken)
{
	struct dtr_named *n;

	list_for_each_entry(n, &t->bitmaps, link)
		if (t->size != plan->size)
			dtr_bitmap_resize(dtr_named_recorder(n), plan->size);
	if (!unbroken || is_moved(t, plan))
		dtr_tracker_lose_locked(t, !unbroken);
	t->size = plan->size;
	t->lower = plan->lower;
	t->lower_start = plan->lower_start;
}

/**
 * dtr_tracker_adopt() - a table is resumed: make the tracker as its line says.
 * @t: tracker
 * @plan: prepared; adopted only once, however often the table is resumed
 * @table: the table
 *
 * Never fails: without memory for a larger live map everything counts as
 * dirty until there is some.
 *
 * Context: process, under memalloc_noio; no I/O is in flight on the device.
 */
void dtr_tracker_adopt(struct dtr_tracker *t, struct dtr_plan *plan,
		       struct dm_table *table)
{
	struct dtr_epoch *next;
	struct dtr_named *n;
	LIST_HEAD(new);
	bool unbroken;

	mutex_lock(&t->mutex);
	if (plan->done)
		goto out;
	plan->done = true;
	list_del_init(&plan->pending);
	unbroken = dtr_tracker_continue_locked(t, plan, table);
	pick_new_bitmaps(t, plan, &new);
	if (t->size != plan->size || !list_empty(&new)) {
		next = adopted_epoch(t, plan, &new);
		if (IS_ERR(next))
			WRITE_ONCE(t->clock.overflow, true);
		else
			dtr_tracker_rotate_locked(t, next);
	}
	adopt_geometry(t, plan, unbroken);
	list_for_each_entry(n, &new, link)
		t->nr_bitmaps++;
	list_splice_tail(&new, &t->bitmaps);
out:
	mutex_unlock(&t->mutex);
}
