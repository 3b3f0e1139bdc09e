// SPDX-License-Identifier: GPL-2.0-only
/*
 * lifecycle.c - what users may do to a named bitmap.
 *
 * Owns the state table and every change of a bitmap's state or content that a
 * user asks for.  When a change happens, beside which others, and whether it
 * stays is transaction.c's, rotation is rotation.c's, bits are core/'s, who asks
 * and how is actions.c's, control.c's and target.c's.
 *
 * Contexts: process context under memalloc_noio; never waits for I/O, so that
 * it can run in a message handler and on a suspended device.
 * Invariant: an operation fails before it has changed anything; where memory
 * is missing and it may not fail, bits are added, never lost.
 */
#include <linux/slab.h>

#include "lifecycle.h"
#include "rotation.h"

/* ---- The state table (SEMANTICS: QEMU's, without what we do not have) ---- */

enum dtr_op {
	OP_REMOVE,
	OP_CLEAR,
	OP_ENABLE,
	OP_DISABLE,
	OP_MERGE_FROM,
	OP_MERGE_INTO,
	OP_FREEZE,
	OP_FREEZE_NEVER,
	OP_LOAD,
	OP_END,
};

/*
 * What refuses an operation, in the order in which it is looked at; 0: nothing.
 * Whose freeze it is that OP_END ends is check_run()'s.
 */
static const struct {
	int idle;
	int busy;
	int readonly;
	int inconsistent;
} states[] = {
	[OP_REMOVE]	  = { 0, -EBUSY, -EROFS, 0 },
	[OP_CLEAR]	  = { 0, -EBUSY, -EROFS, -EUCLEAN },
	[OP_ENABLE]	  = { 0, -EBUSY, 0, -EUCLEAN },
	[OP_DISABLE]	  = { 0, -EBUSY, 0, -EUCLEAN },
	[OP_MERGE_FROM]	  = { 0, -EBUSY, 0, -EUCLEAN },
	[OP_MERGE_INTO]	  = { 0, -EBUSY, -EROFS, -EUCLEAN },
	[OP_FREEZE]	  = { 0, -EBUSY, -EROFS, -EUCLEAN },
	[OP_FREEZE_NEVER] = { 0, -EBUSY, 0, -EUCLEAN },
	[OP_LOAD]	  = { 0, -EBUSY, -EROFS, -EUCLEAN },
	[OP_END]	  = { -ENODATA, 0, 0, 0 },
};

static int check_state(const struct dtr_tracker *t, const struct dtr_named *n,
		       enum dtr_op op)
{
	/* One that is being removed is in use by that. */
	if (n->leaving)
		return -EBUSY;
	if (n->freeze)
		return states[op].busy;
	if (states[op].idle)
		return states[op].idle;
	if (states[op].readonly && dtr_tracker_readonly(t))
		return states[op].readonly;
	return n->inconsistent ? states[op].inconsistent : 0;
}

static struct dtr_named *find_for(struct dtr_tracker *t, const char *name,
				  enum dtr_op op)
{
	struct dtr_named *n;
	int r;

	if (t->gone)
		return ERR_PTR(-ENODEV);
	n = dtr_named_find_locked(t, name);
	r = n ? check_state(t, n, op) : -ENOENT;
	return r ? ERR_PTR(r) : n;
}

/* Locks @t and finds @name; on error nothing stays locked. */
static struct dtr_named *lock_for(struct dtr_tracker *t, const char *name,
				  enum dtr_op op)
{
	struct dtr_named *n;
	int r = dtr_tracker_lock_live(t);

	if (r)
		return ERR_PTR(r);
	n = find_for(t, name, op);
	if (IS_ERR(n))
		mutex_unlock(&t->mutex);
	return n;
}

/* ---- Add, remove, enable, disable, clear ---- */

static void begin_undo(struct dtr_undo *u, struct dtr_named *n)
{
	*u = (struct dtr_undo) {
		.n = n,
		.freeze = n->freeze,
		.generation = n->generation,
		.last_run = n->last_run,
		.recording = n->recording,
		.missing = n->missing,
	};
}

/* @n's content becomes @base; the one before is kept in @u. */
static void replace_base(struct dtr_undo *u, struct dtr_named *n,
			 const struct dtr_bitmap *base)
{
	begin_undo(u, n);
	u->replaced = true;
	u->base = n->base;
	n->base = *base;
}

/*
 * The bitmap is made before the transaction rotates, which has to know how fine
 * it is; what is wrong with it is told when its turn comes.
 */
static struct dtr_named *create_named(const struct dtr_action *a)
{
	int shift = a->granularity ? dtr_granularity_shift(a->granularity) :
				     DTR_DEFAULT_SHIFT;
	struct dtr_named *n;

	if (dtr_name_check(a->name, strlen(a->name)) || shift < 0)
		return ERR_PTR(-EINVAL);
	n = dtr_named_create(a->t, a->t->size, a->name, shift);
	if (!IS_ERR(n))
		n->recording = !a->disabled;
	return n;
}

static int apply_add(struct dtr_action *a, struct dtr_undo *u)
{
	struct dtr_tracker *t = a->t;
	struct dtr_named *n = u->fresh;
	LIST_HEAD(more);
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (dtr_named_find_locked(t, n->name))
		return -EEXIST;
	list_add(&n->link, &more);
	r = dtr_tracker_check_limits_locked(t, t->size, &more);
	list_del_init(&n->link);
	if (r)
		return r;
	list_add_tail(&n->link, &t->bitmaps);
	t->nr_bitmaps++;
	a->uuid = n->uuid;
	begin_undo(u, n);
	return 0;
}

static void drop_named(struct dtr_tracker *t, struct dtr_named *n)
{
	list_del(&n->link);
	t->nr_bitmaps--;
	dtr_named_destroy(n);
}

/* It goes when all is certain, and has its name until then. */
static int apply_remove(const struct dtr_action *a, struct dtr_undo *u)
{
	struct dtr_named *n = find_for(a->t, a->name, OP_REMOVE);

	if (IS_ERR(n))
		return PTR_ERR(n);
	begin_undo(u, n);
	n->leaving = true;
	return 0;
}

static int apply_clear(const struct dtr_action *a, struct dtr_undo *u)
{
	struct dtr_named *n = find_for(a->t, a->name, OP_CLEAR);
	struct dtr_bitmap empty;
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	r = dtr_bitmap_init(&empty, a->t->size, n->base.shift, &dtr_leaf_ops,
			    &a->t->pool);
	if (r)
		return r;
	replace_base(u, n, &empty);
	n->generation++;
	return 0;
}

/*
 * A copy that was made while the bitmap did not record fits its generation, and
 * lacks what was written since: no more from here on.
 */
static int apply_enable(const struct dtr_action *a, struct dtr_undo *u)
{
	struct dtr_named *n = find_for(a->t, a->name, OP_ENABLE);

	if (IS_ERR(n))
		return PTR_ERR(n);
	begin_undo(u, n);
	if (n->missing)
		n->generation++;
	n->missing = false;
	n->recording = true;
	return 0;
}

/* The generation steps on, because what is written from here on is missed. */
static int apply_disable(const struct dtr_action *a, struct dtr_undo *u)
{
	struct dtr_named *n = find_for(a->t, a->name, OP_DISABLE);

	if (IS_ERR(n))
		return PTR_ERR(n);
	begin_undo(u, n);
	if (n->recording)
		n->generation++;
	n->recording = false;
	return 0;
}

/* ---- Merge ---- */

/*
 * @sum becomes @a | @b, of the same size, or nothing is allocated: a leaf that
 * there is no memory for is none that may be spurious.
 */
static int unite_exactly(struct dtr_bitmap *sum, const struct dtr_bitmap *a,
			 const struct dtr_bitmap *b)
{
	unsigned long degraded = dtr_bitmap_nr_degraded(a);
	int r = dtr_bitmap_copy(sum, a);

	if (r)
		return r;
	dtr_bitmap_merge(sum, b);
	if (dtr_bitmap_nr_degraded(sum) > degraded) {
		dtr_bitmap_exit(sum);
		return -ENOMEM;
	}
	/* By what @b is known to say too much, @sum does. */
	sum->nr_degraded += dtr_bitmap_nr_degraded(b);
	return 0;
}

/* Merges @from into @sum exactly, or fails. */
static int add_exactly(struct dtr_bitmap *sum, const struct dtr_bitmap *from)
{
	unsigned long degraded = dtr_bitmap_nr_degraded(sum);

	dtr_bitmap_merge(sum, from);
	if (dtr_bitmap_nr_degraded(sum) > degraded)
		return -ENOMEM;
	sum->nr_degraded += dtr_bitmap_nr_degraded(from);
	return 0;
}

/*
 * Merges the live map into @sum as @n has it: by whole granules of its own, as
 * it would be folded.
 */
static int add_live(struct dtr_bitmap *sum, const struct dtr_named *n,
		    const struct dtr_bitmap *live)
{
	struct dtr_bitmap own;
	int r;

	if (live->shift == n->base.shift)
		return add_exactly(sum, live);
	r = dtr_bitmap_init(&own, live->size, n->base.shift, n->base.ops,
			    n->base.ctx);
	if (r)
		return r;
	r = add_exactly(&own, live);
	if (!r)
		r = add_exactly(sum, &own);
	dtr_bitmap_exit(&own);
	return r;
}

/* Adds the content of @source to @sum, the future content of @target. */
static int add_source(const struct dtr_source *source, struct dtr_bitmap *sum,
		      const struct dtr_named *target)
{
	struct dtr_named *n = find_for(source->t, source->name, OP_MERGE_FROM);
	const struct dtr_bitmap *live;
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (source->t->size != sum->size)
		return -ERANGE;
	if (n == target)
		return 0;
	r = add_exactly(sum, &n->base);
	if (r || source->t->at_point)
		return r;
	live = dtr_tracker_live_locked(source->t, n);
	if (!live)
		return 0;
	dtr_tracker_sync();
	return add_live(sum, n, live);
}

static int apply_merge(const struct dtr_action *a, struct dtr_undo *u)
{
	struct dtr_named *n = find_for(a->t, a->name, OP_MERGE_INTO);
	struct dtr_bitmap sum;
	unsigned int i;
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (!a->nr_sources)
		return 0;
	r = dtr_bitmap_copy(&sum, &n->base);
	if (r)
		return r;
	for (i = 0; !r && i < a->nr_sources; i++)
		r = add_source(&a->sources[i], &sum, n);
	if (r)
		dtr_bitmap_exit(&sum);
	else
		replace_base(u, n, &sum);
	return r;
}

/* ---- Freeze, abdicate, reclaim ---- */

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

static int apply_freeze(struct dtr_action *a, struct dtr_undo *u)
{
	enum dtr_op op = a->mode == DTRACK_MODE_NEVER ? OP_FREEZE_NEVER :
							OP_FREEZE;
	struct dtr_freeze *f;
	struct dtr_named *n;
	int r;

	if (a->mode > DTRACK_MODE_ALWAYS || a->set > DTRACK_SET_ALL)
		return -EINVAL;
	n = find_for(a->t, a->name, op);
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
	begin_undo(u, n);
	n->freeze = f;
	a->run = f->run;
	a->generation = n->generation;
	return 0;
}

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
		return unite_exactly(base, kept, &f->succ);
	return unite_exactly(base, &f->succ, kept);
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
	replace_base(u, n, &base);
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
	struct dtr_named *n = find_for(t, name, OP_END);
	int r;

	/* Who names a run had one. */
	if (n == ERR_PTR(-ENODATA) && run->run)
		return ERR_PTR(-ESTALE);
	if (IS_ERR(n))
		return n;
	r = check_run(n, run);
	return r ? ERR_PTR(r) : n;
}

static int apply_end(struct dtr_action *a, struct dtr_undo *u, bool last)
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
	if (last)
		thaw(a->t, n, abdicate);
	else
		r = thaw_for_now(u, n, abdicate);
	a->generation = n->generation;
	return r;
}

/* ---- Actions of a transaction ---- */

/**
 * dtr_action_prepare_locked() - what an action needs before epochs rotate.
 * @a: action; every tracker that it names is locked, as for all that follow
 * @u: what it will have changed; zero
 *
 * Context: process, under memalloc_noio; may sleep.  To be followed by
 * dtr_action_finish_locked().
 */
void dtr_action_prepare_locked(const struct dtr_action *a, struct dtr_undo *u)
{
	if (a->type == DTRACK_ACTION_ADD && !a->error)
		u->fresh = a->t->gone ? ERR_PTR(-ENODEV) : create_named(a);
}

/**
 * dtr_action_apply_locked() - do it, so that it can be undone.
 * @a: prepared action
 * @u: out
 * @last: nothing follows that could fail: what ends a freeze is done for good,
 *	which needs no memory
 *
 * Bases and successors hold what was written before the transaction's point;
 * of a tracker that is not at_point so does the live map.
 *
 * Context: process, under memalloc_noio; may sleep.
 * Return: 0 or a negative errno (see dtr_transact()), and nothing has changed.
 */
int dtr_action_apply_locked(struct dtr_action *a, struct dtr_undo *u, bool last)
{
	if (a->error)
		return a->error;
	switch (a->type) {
	case DTRACK_ACTION_ABORT:
		return -ECANCELED;
	case DTRACK_ACTION_ADD:
		return apply_add(a, u);
	case DTRACK_ACTION_REMOVE:
		return apply_remove(a, u);
	case DTRACK_ACTION_CLEAR:
		return apply_clear(a, u);
	case DTRACK_ACTION_ENABLE:
		return apply_enable(a, u);
	case DTRACK_ACTION_DISABLE:
		return apply_disable(a, u);
	case DTRACK_ACTION_MERGE:
		return apply_merge(a, u);
	case DTRACK_ACTION_FREEZE:
		return apply_freeze(a, u);
	case DTRACK_ACTION_ABDICATE:
	case DTRACK_ACTION_RECLAIM:
		return apply_end(a, u, last);
	}
	return -EINVAL;
}

/**
 * dtr_action_undo_locked() - put everything back.
 * @a: action that was applied, and none after it that has not been undone
 * @u: what it has changed
 */
void dtr_action_undo_locked(const struct dtr_action *a, struct dtr_undo *u)
{
	struct dtr_named *n = u->n;

	if (!n)
		return;
	if (a->type == DTRACK_ACTION_ADD) {
		drop_named(a->t, n);
		return;
	}
	if (u->moved)
		u->freeze->succ = n->base;
	else if (u->replaced)
		dtr_bitmap_exit(&n->base);
	if (u->replaced)
		n->base = u->base;
	if (n->freeze && n->freeze != u->freeze)
		dtr_freeze_free(n->freeze);
	n->freeze = u->freeze;
	n->generation = u->generation;
	n->last_run = u->last_run;
	n->recording = u->recording;
	n->missing = u->missing;
	n->leaving = false;
}

/**
 * dtr_action_commit_locked() - free what undoing would need.
 * @a: action that was applied; those before it have been committed
 * @u: what it has changed
 */
void dtr_action_commit_locked(const struct dtr_action *a, struct dtr_undo *u)
{
	if (!u->n)
		return;
	if (a->type == DTRACK_ACTION_REMOVE)
		drop_named(a->t, u->n);
	if (u->replaced)
		dtr_bitmap_exit(&u->base);
	if (u->ended) {
		dtr_freeze_free(u->freeze);
		dtr_tracker_event_locked(a->t);
	}
}

/**
 * dtr_action_finish_locked() - free what was prepared and not used.
 * @u: what its action has changed, whatever became of it
 */
void dtr_action_finish_locked(struct dtr_undo *u)
{
	if (!IS_ERR_OR_NULL(u->fresh))
		dtr_named_destroy(u->fresh);
}

/* ---- Beside transactions: the end of an owner, reports, loading ---- */

/**
 * dtr_named_reclaim_run() - the owner of a freeze has gone without a word.
 * @t: tracker, perhaps gone
 * @owner: the open file
 * @run: id of the freeze, perhaps ended, and then perhaps another's by now
 */
void dtr_named_reclaim_run(struct dtr_tracker *t, const void *owner, u64 run)
{
	struct dtr_named *n;

	if (dtr_tracker_lock_live(t))
		return;
	list_for_each_entry(n, &t->bitmaps, link) {
		if (n->freeze && n->freeze->run == run &&
		    n->freeze->owner == owner) {
			thaw(t, n, false);
			break;
		}
	}
	mutex_unlock(&t->mutex);
}

/* Whether all of a range is in the set of @n's freeze, by whole granules. */
static bool range_in_set(const struct dtr_named *n,
			 const struct dtrack_range *range)
{
	const struct dtr_bitmap *base = &n->base;
	u64 first, last, clean;

	if (!range->length ||
	    !dtr_range_valid(range->start, range->length, base->size) ||
	    !dtr_range_is_granular(range->start, range->length, base->size,
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
	for (i = 0; !r && i < nr; i++)
		if (!range_in_set(n, &ranges[i]))
			r = -EINVAL;
	if (!r && dtr_freeze_keeps_todo(n->freeze))
		r = take_ranges(n, ranges, nr);
	mutex_unlock(&t->mutex);
	return r;
}

/**
 * dtr_named_load_begin() - an empty staging area for a bitmap.
 * @t: tracker
 * @name: the bitmap
 * @staging: out; @staging->bits to be given to dtr_bitmap_exit()
 *
 * Return: 0, -ENOENT, -EBUSY, -EROFS, -ENOMEM, -ENODEV.
 */
int dtr_named_load_begin(struct dtr_tracker *t, const char *name,
			 struct dtr_staging *staging)
{
	struct dtr_named *n = lock_for(t, name, OP_LOAD);
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	staging->uuid = n->uuid;
	staging->generation = n->generation;
	r = dtr_bitmap_init(&staging->bits, t->size, n->base.shift,
			    &dtr_leaf_ops, &t->pool);
	mutex_unlock(&t->mutex);
	return r;
}

/* @n's base becomes @bits, which is left uninitialised, or nothing changes. */
static int load_replacing(struct dtr_tracker *t, struct dtr_named *n,
			  struct dtr_bitmap *bits)
{
	struct dtr_epoch *next;

	if (n->recording) {
		next = dtr_tracker_prepare_locked(t, -1);
		if (IS_ERR(next))
			return PTR_ERR(next);
		dtr_tracker_rotate_locked(t, next);
	}
	dtr_bitmap_exit(&n->base);
	n->base = *bits;
	memset(bits, 0, sizeof(*bits));
	return 0;
}

static int load_uniting(struct dtr_named *n, const struct dtr_bitmap *bits)
{
	struct dtr_bitmap sum;
	int r = unite_exactly(&sum, &n->base, bits);

	if (r)
		return r;
	dtr_bitmap_exit(&n->base);
	n->base = sum;
	return 0;
}

/**
 * dtr_named_load_commit() - what was staged becomes the content.
 * @t: tracker
 * @name: the bitmap
 * @staging: from dtr_named_load_begin(); without bits (nr_bits 0) after a
 *	successful replacement
 * @merge: unite with the content instead of replacing it
 *
 * Return: 0, -ENOENT, -EBUSY, -EROFS, -ENOMEM, -ENODEV; -ESTALE when the
 * bitmap is another one or has changed its size or generation since.
 */
int dtr_named_load_commit(struct dtr_tracker *t, const char *name,
			  struct dtr_staging *staging, bool merge)
{
	struct dtr_named *n = lock_for(t, name, OP_LOAD);
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (!uuid_equal(&n->uuid, &staging->uuid) ||
	    n->generation != staging->generation ||
	    n->base.size != staging->bits.size)
		r = -ESTALE;
	else if (merge)
		r = load_uniting(n, &staging->bits);
	else
		r = load_replacing(t, n, &staging->bits);
	if (!r)
		n->generation++;
	mutex_unlock(&t->mutex);
	return r;
}
