// SPDX-License-Identifier: GPL-2.0-only
/*
 * lifecycle.c - what users may do to a named bitmap.
 *
 * Owns the state table and every change of a bitmap's state or content that a
 * user asks for.  Rotation is tracker.c's, bits are core/'s, who asks and how
 * is control.c's and target.c's.
 *
 * Contexts: process context under memalloc_noio; never waits for I/O, so that
 * it can run in a message handler and on a suspended device.
 * Invariant: every operation checks and allocates before it publishes; where
 * memory is missing after that, bits are added, never lost.
 */
#include <linux/slab.h>

#include "lifecycle.h"

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
};

/* No operation is allowed on a busy bitmap; these are on a read-only device. */
static const bool readonly_ok[] = {
	[OP_REMOVE] = false,
	[OP_CLEAR] = false,
	[OP_ENABLE] = true,
	[OP_DISABLE] = true,
	[OP_MERGE_FROM] = true,
	[OP_MERGE_INTO] = false,
	[OP_FREEZE] = false,
	[OP_FREEZE_NEVER] = true,
	[OP_LOAD] = false,
};

static struct dtr_named *find_for(struct dtr_tracker *t, const char *name,
				  enum dtr_op op)
{
	struct dtr_named *n = dtr_named_find_locked(t, name);

	if (!n)
		return ERR_PTR(-ENOENT);
	if (n->freeze)
		return ERR_PTR(-EBUSY);
	if (!readonly_ok[op] && dtr_tracker_readonly(t))
		return ERR_PTR(-EROFS);
	return n;
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

/* A rotation that changes the recorders by @with and @without, or an error. */
static int rotate(struct dtr_tracker *t, const struct dtr_named *with,
		  const struct dtr_named *without)
{
	struct dtr_epoch *next = dtr_tracker_prepare_locked(t, with, without);

	if (IS_ERR(next))
		return PTR_ERR(next);
	dtr_tracker_rotate_locked(t, next);
	return 0;
}

/* ---- Add, remove, enable, disable, clear ---- */

static int insert_named(struct dtr_tracker *t, struct dtr_named *n)
{
	LIST_HEAD(more);
	int r;

	if (dtr_named_find_locked(t, n->name))
		return -EEXIST;
	list_add(&n->link, &more);
	r = dtr_tracker_check_limits_locked(t, t->size, &more);
	list_del_init(&n->link);
	if (!r && n->recording)
		r = rotate(t, n, NULL);
	if (r)
		return r;
	list_add_tail(&n->link, &t->bitmaps);
	t->nr_bitmaps++;
	return 0;
}

/**
 * dtr_named_add() - a new, clean bitmap.
 * @t: tracker
 * @name: its name, checked here
 * @granularity: bytes; 0: the default
 * @disabled: whether it starts without recording
 * @uuid: out, or NULL
 *
 * Writes in flight are dirty in it when they complete.
 *
 * Return: 0, -EINVAL, -EEXIST, -EOVERFLOW, -ENOMEM, -ENODEV.
 */
int dtr_named_add(struct dtr_tracker *t, const char *name, u64 granularity,
		  bool disabled, uuid_t *uuid)
{
	int shift = granularity ? dtr_granularity_shift(granularity) :
				  DTR_DEFAULT_SHIFT;
	struct dtr_named *n;
	int r;

	if (dtr_name_check(name, strlen(name)) || shift < 0)
		return -EINVAL;
	r = dtr_tracker_lock_live(t);
	if (r)
		return r;
	n = dtr_named_create(t, t->size, name, shift);
	r = PTR_ERR_OR_ZERO(n);
	if (r)
		goto out;
	n->recording = !disabled;
	if (uuid)
		*uuid = n->uuid;
	r = insert_named(t, n);
	if (r)
		dtr_named_destroy(n);
out:
	mutex_unlock(&t->mutex);
	return r;
}

/**
 * dtr_named_remove() - drop a bitmap.
 * @t: tracker
 * @name: the bitmap
 *
 * Return: 0, -ENOENT, -EBUSY, -EROFS, -ENODEV.
 */
int dtr_named_remove(struct dtr_tracker *t, const char *name)
{
	struct dtr_named *n = lock_for(t, name, OP_REMOVE);

	if (IS_ERR(n))
		return PTR_ERR(n);
	/* Only to make the live map smaller: without memory it stays as it is. */
	if (n->recording)
		rotate(t, NULL, n);
	list_del(&n->link);
	t->nr_bitmaps--;
	dtr_named_destroy(n);
	mutex_unlock(&t->mutex);
	return 0;
}

/**
 * dtr_named_clear() - make everything clean.
 * @t: tracker
 * @name: the bitmap
 *
 * Writes in flight are dirty in it when they complete.
 *
 * Return: 0, -ENOENT, -EBUSY, -EROFS, -ENOMEM, -ENODEV.
 */
int dtr_named_clear(struct dtr_tracker *t, const char *name)
{
	struct dtr_named *n = lock_for(t, name, OP_CLEAR);
	struct dtr_bitmap empty;
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	r = dtr_bitmap_init(&empty, t->size, n->base.shift, &dtr_leaf_ops,
			    &t->pool);
	if (r)
		goto out;
	if (n->recording)
		r = rotate(t, NULL, NULL);
	if (r) {
		dtr_bitmap_exit(&empty);
		goto out;
	}
	dtr_bitmap_exit(&n->base);
	n->base = empty;
	n->generation++;
out:
	mutex_unlock(&t->mutex);
	return r;
}

/**
 * dtr_named_enable() - record from here on.
 * @t: tracker
 * @name: the bitmap; one that records already is left as it is
 *
 * Return: 0, -ENOENT, -EBUSY, -ENOMEM, -EOVERFLOW, -ENODEV.
 */
int dtr_named_enable(struct dtr_tracker *t, const char *name)
{
	struct dtr_named *n = lock_for(t, name, OP_ENABLE);
	int r = 0;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (!n->recording)
		r = rotate(t, n, NULL);
	if (!r)
		n->recording = true;
	mutex_unlock(&t->mutex);
	return r;
}

/**
 * dtr_named_disable() - record no more.
 * @t: tracker
 * @name: the bitmap; one that does not record is left as it is
 *
 * The generation steps on, because what is written from here on is missed.
 *
 * Return: 0, -ENOENT, -EBUSY, -ENOMEM, -ENODEV.
 */
int dtr_named_disable(struct dtr_tracker *t, const char *name)
{
	struct dtr_named *n = lock_for(t, name, OP_DISABLE);
	int r = 0;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (n->recording) {
		r = rotate(t, NULL, n);
		if (!r) {
			n->recording = false;
			n->generation++;
		}
	}
	mutex_unlock(&t->mutex);
	return r;
}

/* ---- Merge and load ---- */

/*
 * @n's base becomes base | @more, whose size is the same, or nothing changes.
 * @degraded: leaves by which @more is known to say too much.
 */
static int merge_exactly(struct dtr_named *n, const struct dtr_bitmap *more,
			 unsigned long degraded)
{
	struct dtr_bitmap sum;
	int r = dtr_bitmap_copy(&sum, &n->base);

	if (r)
		return r;
	dtr_bitmap_merge(&sum, more);
	if (dtr_bitmap_nr_degraded(&sum) > dtr_bitmap_nr_degraded(&n->base)) {
		dtr_bitmap_exit(&sum);
		return -ENOMEM;
	}
	sum.nr_degraded += degraded;
	dtr_bitmap_exit(&n->base);
	n->base = sum;
	return 0;
}

/* Adds the content of @source to @sum, and to @degraded. */
static int add_source(const struct dtr_source *source, struct dtr_bitmap *sum,
		      unsigned long *degraded)
{
	struct dtr_named *n = lock_for(source->t, source->name, OP_MERGE_FROM);
	const struct dtr_bitmap *live;
	int r = 0;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (source->t->size != sum->size) {
		r = -ERANGE;
		goto out;
	}
	dtr_bitmap_merge(sum, &n->base);
	*degraded += dtr_bitmap_nr_degraded(&n->base);
	live = dtr_tracker_live_locked(source->t, n);
	if (live) {
		dtr_tracker_sync();
		dtr_bitmap_merge(sum, live);
		*degraded += dtr_bitmap_nr_degraded(live);
	}
	if (dtr_bitmap_nr_degraded(sum))
		r = -ENOMEM;
out:
	mutex_unlock(&source->t->mutex);
	return r;
}

/* An empty bitmap like the target of a merge, and the target's uuid. */
static int begin_sum(struct dtr_tracker *t, const char *name,
		     struct dtr_bitmap *sum, uuid_t *uuid)
{
	struct dtr_named *n = lock_for(t, name, OP_MERGE_INTO);
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	*uuid = n->uuid;
	r = dtr_bitmap_init(sum, t->size, n->base.shift, &dtr_leaf_ops,
			    &t->pool);
	mutex_unlock(&t->mutex);
	return r;
}

static int end_sum(struct dtr_tracker *t, const char *name,
		   const struct dtr_bitmap *sum, const uuid_t *uuid,
		   unsigned long degraded)
{
	struct dtr_named *n = lock_for(t, name, OP_MERGE_INTO);
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (!uuid_equal(&n->uuid, uuid))
		r = -ENOENT;
	else if (n->base.size != sum->size)
		r = -ERANGE;
	else
		r = merge_exactly(n, sum, degraded);
	mutex_unlock(&t->mutex);
	return r;
}

/**
 * dtr_named_merge() - unite bitmaps into one.
 * @t: the target's tracker
 * @name: the target
 * @sources: bitmaps, of this or other devices of the same size; may name the
 *	target
 * @nr: number of @sources; 0 changes nothing
 *
 * One tracker's mutex is held at a time: the sources are first added up.
 *
 * Return: 0; -ENOENT, -EBUSY, -EROFS, -ERANGE, -ENOMEM, -ENODEV, and nothing
 * is changed.
 */
int dtr_named_merge(struct dtr_tracker *t, const char *name,
		    const struct dtr_source *sources, unsigned int nr)
{
	unsigned long degraded = 0;
	struct dtr_bitmap sum;
	unsigned int i;
	uuid_t uuid;
	int r = begin_sum(t, name, &sum, &uuid);

	if (r)
		return r;
	for (i = 0; !r && i < nr; i++)
		r = add_source(&sources[i], &sum, &degraded);
	if (!r)
		r = end_sum(t, name, &sum, &uuid, degraded);
	dtr_bitmap_exit(&sum);
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
static int replace_base(struct dtr_tracker *t, struct dtr_named *n,
			struct dtr_bitmap *bits)
{
	int r = n->recording ? rotate(t, NULL, NULL) : 0;

	if (r)
		return r;
	dtr_bitmap_exit(&n->base);
	n->base = *bits;
	memset(bits, 0, sizeof(*bits));
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
		r = merge_exactly(n, &staging->bits, 0);
	else
		r = replace_base(t, n, &staging->bits);
	if (!r)
		n->generation++;
	mutex_unlock(&t->mutex);
	return r;
}

/* ---- Freeze, abdicate, reclaim ---- */

static struct dtr_freeze *freeze_create(struct dtr_tracker *t,
					const struct dtr_named *n, u32 mode,
					u32 set, const void *owner)
{
	struct dtr_freeze *f = kzalloc(sizeof(*f), GFP_KERNEL);
	int r;

	if (!f)
		return ERR_PTR(-ENOMEM);
	r = dtr_bitmap_init(&f->succ, t->size, n->base.shift, &dtr_leaf_ops,
			    &t->pool);
	if (r) {
		kfree(f);
		return ERR_PTR(r);
	}
	do {
		f->run = get_random_u64();
	} while (!f->run);
	f->mode = mode;
	f->set = set;
	f->since = ktime_get_real_seconds();
	f->owner = owner;
	if (owner) {
		f->pid = get_task_pid(current, PIDTYPE_TGID);
		get_task_comm(f->comm, current->group_leader);
	}
	return f;
}

/* @f->succ is the caller's again, or has been freed by it. */
static void freeze_free(struct dtr_freeze *f)
{
	put_pid(f->pid);
	kfree(f);
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
 * dtr_named_freeze() - begin a run.
 * @t: tracker
 * @name: the bitmap; one that does not record has a successor that does not
 * @mode: enum dtrack_mode
 * @set: enum dtrack_set
 * @owner: the open file it shall belong to, or NULL
 * @run: out, id
 * @generation: out, of the frozen content
 *
 * The content is immutable from here on; a write in flight is in it and, when
 * it completes, in the successor.  Waits for no I/O.
 *
 * Return: 0, -EINVAL, -ENOENT, -EBUSY, -EROFS, -ENOMEM, -ENODEV.
 */
int dtr_named_freeze(struct dtr_tracker *t, const char *name, u32 mode, u32 set,
		     const void *owner, u64 *run, u64 *generation)
{
	struct dtr_freeze *f;
	struct dtr_named *n;
	int r;

	if (mode > DTRACK_MODE_ALWAYS || set > DTRACK_SET_ALL)
		return -EINVAL;
	n = lock_for(t, name, mode == DTRACK_MODE_NEVER ? OP_FREEZE_NEVER :
							  OP_FREEZE);
	if (IS_ERR(n))
		return PTR_ERR(n);
	f = freeze_create(t, n, mode, set, owner);
	r = PTR_ERR_OR_ZERO(f);
	if (r)
		goto out;
	if (n->recording)
		r = rotate(t, NULL, NULL);
	if (!r)
		r = freeze_todo(f, &n->base);
	if (r) {
		dtr_bitmap_exit(&f->succ);
		freeze_free(f);
		goto out;
	}
	n->freeze = f;
	*run = f->run;
	*generation = n->generation;
out:
	mutex_unlock(&t->mutex);
	return r;
}

/*
 * Unites the successor with the base.  Where the device was resized meanwhile
 * the successor has its size, and the base is cut or has a dirty tail to come.
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
		*base = *succ;
}

/* Ends the freeze of @n as its mode and @abdicate say. */
static void thaw(struct dtr_named *n, bool abdicate)
{
	struct dtr_freeze *f = n->freeze;

	if (f->mode == DTRACK_MODE_ALWAYS) {
		dtr_bitmap_exit(&n->base);
		n->base = f->todo;
		unite(&n->base, &f->succ);
	} else if (abdicate) {
		dtr_bitmap_exit(&n->base);
		n->base = f->succ;
	} else {
		unite(&n->base, &f->succ);
	}
	if (abdicate || f->mode == DTRACK_MODE_ALWAYS) {
		n->generation++;
		n->last_run = f->run;
	}
	n->freeze = NULL;
	freeze_free(f);
}

/* Whether @run may act on the freeze of @n. */
static int check_run(const struct dtr_named *n, const struct dtr_run *run)
{
	const struct dtr_freeze *f = n->freeze;

	if (!f)
		return run->run ? -ESTALE : -ENODATA;
	if (run->run && run->run != f->run)
		return -ESTALE;
	if (run->force || !f->owner)
		return 0;
	return run->run && run->owner == f->owner ? 0 : -EBUSY;
}

static struct dtr_named *lock_run(struct dtr_tracker *t, const char *name,
				  const struct dtr_run *run)
{
	struct dtr_named *n;
	int r = dtr_tracker_lock_live(t);

	if (r)
		return ERR_PTR(r);
	n = dtr_named_find_locked(t, name);
	r = n ? check_run(n, run) : -ENOENT;
	if (!r)
		return n;
	mutex_unlock(&t->mutex);
	return ERR_PTR(r);
}

/**
 * dtr_named_abdicate() - the run has succeeded: the successor takes over.
 * @t: tracker
 * @name: the frozen bitmap
 * @run: who asks
 * @generation: out, afterwards
 *
 * In mode 'always' what was not reported as copied stays dirty.
 *
 * Return: 0, -EINVAL (mode 'never'), -ENOENT, -ENODATA, -ESTALE, -EBUSY,
 * -ENODEV.
 */
int dtr_named_abdicate(struct dtr_tracker *t, const char *name,
		       const struct dtr_run *run, u64 *generation)
{
	struct dtr_named *n = lock_run(t, name, run);
	int r = 0;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (n->freeze->mode == DTRACK_MODE_NEVER)
		r = -EINVAL;
	else
		thaw(n, true);
	*generation = n->generation;
	mutex_unlock(&t->mutex);
	return r;
}

/**
 * dtr_named_reclaim() - the run has ended: the successor is merged back.
 * @t: tracker
 * @name: the frozen bitmap
 * @run: who asks
 * @generation: out, afterwards
 *
 * Return: 0, -ENOENT, -ENODATA, -ESTALE, -EBUSY, -ENODEV.
 */
int dtr_named_reclaim(struct dtr_tracker *t, const char *name,
		      const struct dtr_run *run, u64 *generation)
{
	struct dtr_named *n = lock_run(t, name, run);

	if (IS_ERR(n))
		return PTR_ERR(n);
	thaw(n, false);
	*generation = n->generation;
	mutex_unlock(&t->mutex);
	return 0;
}

/**
 * dtr_named_reclaim_run() - the owner of a freeze has gone without a word.
 * @t: tracker, perhaps gone
 * @run: id of the freeze, perhaps ended
 */
void dtr_named_reclaim_run(struct dtr_tracker *t, u64 run)
{
	struct dtr_named *n;

	if (dtr_tracker_lock_live(t))
		return;
	list_for_each_entry(n, &t->bitmaps, link) {
		if (n->freeze && n->freeze->run == run) {
			thaw(n, false);
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
	struct dtr_named *n = lock_run(t, name, run);
	int r = 0;
	u32 i;

	if (IS_ERR(n))
		return PTR_ERR(n);
	for (i = 0; !r && i < nr; i++)
		if (!range_in_set(n, &ranges[i]))
			r = -EINVAL;
	if (!r && dtr_freeze_keeps_todo(n->freeze))
		r = take_ranges(n, ranges, nr);
	mutex_unlock(&t->mutex);
	return r;
}
