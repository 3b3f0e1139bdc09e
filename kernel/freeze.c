// SPDX-License-Identifier: GPL-2.0-only
/*
 * freeze.c - a bitmap's frozen content: how it begins, and how it ends.
 *
 * Owns what a backup is to a bitmap: freezing it, ending that as its mode and the
 * outcome say, whose freeze it is, and what of it has been copied.  In which
 * state that may be done and how it is undone is lifecycle.c's, what an open file
 * remembers of its freezes lease.c's.
 *
 * Contexts: process context under memalloc_noio; never waits for I/O, so that
 * it can run in a message handler and on a suspended device.
 * Invariant: a freeze is made whole or not at all; where memory is missing and
 * its end may not fail, bits are added, never lost.
 */
#include <linux/ktime.h>
#include <linux/pid.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "freeze.h"
#include "rotation.h"

/* ---- Freeze ---- */

/* Whether a freeze of @t has the id @run, or @n's last one had. */
static bool run_is_known(struct dtr_tracker *t, const struct dtr_named *n,
			 u64 run)
{
	const struct dtr_named *other;

	list_for_each_entry(other, &t->bitmaps, link)
		if (other->freeze && other->freeze->run == run)
			return true;
	return n->last_run == run;
}

/* The freeze that @a asks for of @n; @f->todo is for later. */
static struct dtr_freeze *freeze_create(const struct dtr_action *a,
					const struct dtr_named *n)
{
	struct dtr_freeze *f = kzalloc(sizeof(*f), GFP_KERNEL);
	int r;

	if (!f)
		return ERR_PTR(-ENOMEM);
	r = dtr_bitmap_init(&f->succ, a->t->size, n->base.shift, &dtr_leaf_ops,
			    &a->t->pool);
	if (r) {
		kfree(f);
		return ERR_PTR(r);
	}
	f->run = a->run;
	while (!f->run || (!a->run && run_is_known(a->t, n, f->run)))
		f->run = get_random_u64();
	f->mode = a->mode;
	f->set = a->set;
	f->since = ktime_get_real_seconds();
	f->owner = a->owner;
	if (a->owner) {
		f->pid = get_task_pid(current, PIDTYPE_TGID);
		get_task_comm(f->comm, current->group_leader);
	}
	return f;
}

/* Puts the whole set into @f->todo; @base holds the frozen content by now. */
static int freeze_todo(struct dtr_freeze *f, const struct dtr_bitmap *base)
{
	int r;

	if (!dtr_freeze_keeps_todo(f))
		return 0;
	if (f->set == DTRACK_SET_BITMAP)
		return dtr_bitmap_copy(&f->todo, base);
	r = dtr_bitmap_init(&f->todo, base->size, base->shift, base->ops,
			    base->ctx);
	if (!r)
		dtr_bitmap_set_all(&f->todo);
	return r;
}

/**
 * dtr_action_freeze_locked() - freeze a bitmap, so that it can be undone.
 * @a: action without error; out: id and generation
 * @u: out
 *
 * As dtr_action_apply_locked() for other actions.
 *
 * Context: process, under memalloc_noio; may sleep.  Every tracker that the
 * transaction names is locked.
 * Return: 0 or a negative errno (see dtr_transact()), and nothing has changed.
 */
int dtr_action_freeze_locked(struct dtr_action *a, struct dtr_undo *u)
{
	enum dtr_op op = a->mode == DTRACK_MODE_NEVER ? DTR_OP_FREEZE_NEVER :
							DTR_OP_FREEZE;
	struct dtr_freeze *f;
	struct dtr_named *n;
	int r;

	if (a->mode > DTRACK_MODE_ALWAYS || a->set > DTRACK_SET_ALL)
		return -EINVAL;
	n = dtr_named_find_for_locked(a->t, a->name, op);
	if (IS_ERR(n))
		return PTR_ERR(n);
	if (a->run && run_is_known(a->t, n, a->run))
		return -EEXIST;
	if (a->generation && a->generation != n->generation)
		return -ESTALE;
	f = freeze_create(a, n);
	if (IS_ERR(f))
		return PTR_ERR(f);
	r = freeze_todo(f, &n->base);
	if (r) {
		dtr_freeze_free(f);
		return r;
	}
	dtr_undo_begin(u, n);
	n->freeze = f;
	a->run = f->run;
	a->generation = n->generation;
	return 0;
}

/* ---- Abdicate, reclaim ---- */

/*
 * Unites the successor with the base, where that may not fail.  Where the device
 * was resized meanwhile the successor has its size, and the base is cut or has a
 * dirty tail to come.
 */
static void unite(struct dtr_bitmap *base, struct dtr_bitmap *succ)
{
	unsigned long degraded = dtr_bitmap_nr_degraded(base) +
				 dtr_bitmap_nr_degraded(succ);
	bool resized = base->size != succ->size;
	struct dtr_bitmap *to = resized ? succ : base;
	struct dtr_bitmap *from = resized ? base : succ;

	dtr_bitmap_merge(to, from);
	to->nr_degraded = max(to->nr_degraded, degraded);
	dtr_bitmap_exit(from);
	if (resized)
		swap(*base, *succ);
}

static void note_end(struct dtr_named *n, const struct dtr_freeze *f,
		     bool abdicate)
{
	if (abdicate || f->mode == DTRACK_MODE_ALWAYS) {
		n->generation++;
		n->last_run = f->run;
		n->missing = !n->recording;
	}
	n->freeze = NULL;
}

/*
 * Ends the freeze of @n as its mode and @abdicate say, for good and without
 * memory.
 */
static void thaw(struct dtr_tracker *t, struct dtr_named *n, bool abdicate)
{
	struct dtr_freeze *f = n->freeze;

	if (f->mode == DTRACK_MODE_ALWAYS)
		swap(n->base, f->todo);
	if (abdicate && f->mode != DTRACK_MODE_ALWAYS)
		swap(n->base, f->succ);
	else
		unite(&n->base, &f->succ);
	note_end(n, f, abdicate);
	dtr_freeze_free(f);
	dtr_tracker_event_locked(t);
}

/* The content that thaw() would give, and the freeze is as it was. */
static int thawed_base(const struct dtr_named *n, struct dtr_bitmap *base)
{
	const struct dtr_freeze *f = n->freeze;
	const struct dtr_bitmap *kept = f->mode == DTRACK_MODE_ALWAYS ?
					&f->todo : &n->base;

	if (kept->size == f->succ.size)
		return dtr_unite_exactly(base, kept, &f->succ);
	return dtr_unite_exactly(base, &f->succ, kept);
}

/* The same as thaw(), to be undone if a later action fails. */
static int thaw_for_now(struct dtr_undo *u, struct dtr_named *n, bool abdicate)
{
	struct dtr_freeze *f = n->freeze;
	struct dtr_bitmap base;
	bool moved = abdicate && f->mode != DTRACK_MODE_ALWAYS;
	int r;

	if (moved) {
		base = f->succ;
		memset(&f->succ, 0, sizeof(f->succ));
	} else {
		r = thawed_base(n, &base);
		if (r)
			return r;
	}
	dtr_undo_replace_base(u, n, &base);
	u->moved = moved;
	u->ended = true;
	note_end(n, f, abdicate);
	return 0;
}

/* Whether @run may act on the freeze that @n is in. */
static int check_run(const struct dtr_named *n, const struct dtr_run *run)
{
	const struct dtr_freeze *f = n->freeze;

	if (run->run && run->run != f->run)
		return -ESTALE;
	if (run->force || !f->owner)
		return 0;
	return run->run && run->owner == f->owner ? 0 : -EBUSY;
}

static struct dtr_named *find_run(struct dtr_tracker *t, const char *name,
				  const struct dtr_run *run)
{
	struct dtr_named *n = dtr_named_find_for_locked(t, name, DTR_OP_END);
	int r;

	/* Who names a run had one. */
	if (n == ERR_PTR(-ENODATA) && run->run)
		return ERR_PTR(-ESTALE);
	if (IS_ERR(n))
		return n;
	r = check_run(n, run);
	return r ? ERR_PTR(r) : n;
}

/**
 * dtr_action_end_locked() - end a freeze: abdicate or reclaim.
 * @a: action without error; out: generation
 * @u: out; unchanged with @last
 * @last: nothing follows that could fail: the freeze is ended for good, which
 *	needs no memory
 *
 * Else as dtr_action_apply_locked() for other actions.
 *
 * Context: process, under memalloc_noio; may sleep.  Every tracker that the
 * transaction names is locked.
 * Return: 0 or a negative errno (see dtr_transact()), and nothing has changed.
 */
int dtr_action_end_locked(struct dtr_action *a, struct dtr_undo *u, bool last)
{
	const struct dtr_run run = {
		.owner = a->owner,
		.run = a->run,
		.force = a->force,
	};
	bool abdicate = a->type == DTRACK_ACTION_ABDICATE;
	struct dtr_named *n = find_run(a->t, a->name, &run);
	int r = 0;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (abdicate && n->freeze->mode == DTRACK_MODE_NEVER)
		return -EINVAL;
	if (abdicate && n->freeze->void_run)
		return -ESTALE;
	if (last)
		thaw(a->t, n, abdicate);
	else
		r = thaw_for_now(u, n, abdicate);
	a->generation = n->generation;
	return r;
}

/* ---- Beside transactions: the end of an owner, reports ---- */

/**
 * dtr_named_reclaim_run() - the owner of a freeze has gone without a word.
 * @t: tracker, perhaps gone
 * @owner: the open file
 * @run: id of the freeze, perhaps ended, and then perhaps another's by now
 */
void dtr_named_reclaim_run(struct dtr_tracker *t, const void *owner, u64 run)
{
	struct dtr_named *n;

	/* Also while the device is not tracked: the owner does not come back. */
	mutex_lock(&t->mutex);
	if (!t->gone)
		dtr_tracker_settle_locked(t);
	list_for_each_entry(n, &t->bitmaps, link) {
		if (n->freeze && n->freeze->run == run &&
		    n->freeze->owner == owner) {
			thaw(t, n, false);
			break;
		}
	}
	mutex_unlock(&t->mutex);
}

/*
 * Whether all of a range is in the set of @n's freeze, by whole granules.  A
 * device of @size bytes that has shrunk since cuts the last one.
 */
static bool range_in_set(const struct dtr_named *n, u64 size,
			 const struct dtrack_range *range)
{
	const struct dtr_bitmap *base = &n->base;
	u64 first, last, clean;

	size = min(size, base->size);
	if (!range->length ||
	    !dtr_range_valid(range->start, range->length, size) ||
	    !dtr_range_is_granular(range->start, range->length, size,
				   base->shift))
		return false;
	if (n->freeze->set == DTRACK_SET_ALL)
		return true;
	first = range->start >> base->shift;
	last = (range->start + range->length - 1) >> base->shift;
	return !dtr_bitmap_next_clean(base, first, &clean) || clean > last;
}

static int take_ranges(struct dtr_named *n, const struct dtrack_range *ranges,
		       u32 nr)
{
	struct dtr_bitmap *todo = &n->freeze->todo;
	u32 i;
	int r = 0;

	for (i = 0; !r && i < nr; i++) {
		u64 end = ranges[i].start + ranges[i].length;

		r = dtr_bitmap_clear_range(todo, ranges[i].start >> todo->shift,
					   (end - 1) >> todo->shift);
	}
	return r;
}

/**
 * dtr_named_report() - what is safely on the target.
 * @t: tracker
 * @name: the frozen bitmap
 * @run: who asks
 * @ranges: whole granules inside the set, bytes
 * @nr: number of @ranges
 *
 * Return: 0, -EINVAL, -ENOENT, -ENODATA, -ESTALE, -EBUSY, -ENODEV, and nothing
 * is taken; -ENOMEM, and some ranges may have been.
 */
int dtr_named_report(struct dtr_tracker *t, const char *name,
		     const struct dtr_run *run,
		     const struct dtrack_range *ranges, u32 nr)
{
	struct dtr_named *n;
	int r = dtr_tracker_lock_live(t);
	u32 i;

	if (r)
		return r;
	n = find_run(t, name, run);
	r = PTR_ERR_OR_ZERO(n);
	if (!r && n->freeze->void_run)
		r = -ESTALE;
	for (i = 0; !r && i < nr; i++)
		if (!range_in_set(n, t->size, &ranges[i]))
			r = -EINVAL;
	if (!r && dtr_freeze_keeps_todo(n->freeze))
		r = take_ranges(n, ranges, nr);
	mutex_unlock(&t->mutex);
	return r;
}
