// SPDX-License-Identifier: GPL-2.0-only
/*
 * transaction.c - changes of bitmaps, many at one point in time or none.
 *
 * Owns the locking of several trackers, the rotation that they begin with, and
 * the order of applying, undoing and making certain.  What an action does to
 * a bitmap is freeze.c's if it begins or ends a freeze, else lifecycle.c's.
 *
 * Contexts: process context under memalloc_noio; waits for no I/O.
 * Invariant: an action that fails leaves all as it was.  The rotation before it
 * stays, which changes no content (but for 'full' leaves without memory).
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "freeze.h"
#include "lifecycle.h"
#include "rotation.h"

/*
 * Held while more than one tracker is locked, so that lockdep knows that their
 * order is somebody's business.  Taken before any tracker's mutex.
 */
static DEFINE_MUTEX(transaction_mutex);

/**
 * struct participant - a tracker that a transaction is about.
 * @t: the tracker, locked; perhaps not live
 * @next: epoch to be published, NULL: it does not rotate
 * @old: the one before, NULL until then; never followed once it is folded
 */
struct participant {
	struct dtr_tracker *t;
	struct dtr_epoch *next;
	struct dtr_epoch *old;
};

/**
 * struct transaction - a transaction under way.
 * @actions: what is to be done
 * @undo: what each has changed
 * @nr: number of @actions
 * @parts: the trackers, each once, by id
 * @nr_parts: number of @parts
 * @one_part: @parts of a transaction about one tracker
 * @one_undo: @undo of a transaction of one action: with both a bitmap can thaw
 *	without memory
 */
struct transaction {
	struct dtr_action *actions;
	struct dtr_undo *undo;
	unsigned int nr;
	struct participant *parts;
	unsigned int nr_parts;
	struct participant one_part;
	struct dtr_undo one_undo;
};

/* ---- Trackers ---- */

static int by_id(const void *a, const void *b)
{
	const struct participant *x = a, *y = b;

	return x->t->id < y->t->id ? -1 : x->t->id > y->t->id;
}

/* Puts every tracker that is named into @parts, however often it is. */
static unsigned int list_trackers(const struct transaction *tx,
				  struct participant *parts)
{
	unsigned int i, j, n = 0;

	for (i = 0; i < tx->nr; i++) {
		const struct dtr_action *a = &tx->actions[i];

		if (!a->t)
			continue;
		parts[n++].t = a->t;
		for (j = 0; j < a->nr_sources; j++)
			parts[n++].t = a->sources[j].t;
	}
	return n;
}

/* How many are named, and whether it is always the same. */
static unsigned int count_trackers(const struct transaction *tx, bool *same)
{
	const struct dtr_tracker *first = NULL;
	unsigned int i, j, n = 0;

	*same = true;
	for (i = 0; i < tx->nr; i++) {
		const struct dtr_action *a = &tx->actions[i];

		if (!a->t)
			continue;
		first = first ? first : a->t;
		*same = *same && a->t == first;
		for (j = 0; j < a->nr_sources; j++)
			*same = *same && a->sources[j].t == first;
		n += 1 + a->nr_sources;
	}
	return n;
}

static int collect_trackers(struct transaction *tx)
{
	unsigned int i, n;
	bool same;

	n = count_trackers(tx, &same);
	tx->parts = &tx->one_part;
	if (!same)
		tx->parts = kvcalloc(n, sizeof(*tx->parts), GFP_KERNEL);
	if (!tx->parts)
		return -ENOMEM;
	if (same) {
		for (i = 0; i < tx->nr && !tx->one_part.t; i++)
			tx->one_part.t = tx->actions[i].t;
		tx->nr_parts = tx->one_part.t ? 1 : 0;
		return 0;
	}
	list_trackers(tx, tx->parts);
	sort(tx->parts, n, sizeof(*tx->parts), by_id, NULL);
	for (i = 1, tx->nr_parts = 1; i < n; i++)
		if (tx->parts[i].t != tx->parts[tx->nr_parts - 1].t)
			tx->parts[tx->nr_parts++].t = tx->parts[i].t;
	return 0;
}

static void lock_trackers(struct transaction *tx)
{
	unsigned int i;

	if (tx->nr_parts > 1)
		mutex_lock(&transaction_mutex);
	for (i = 0; i < tx->nr_parts; i++) {
		struct dtr_tracker *t = tx->parts[i].t;

		if (tx->nr_parts > 1)
			mutex_lock_nest_lock(&t->mutex, &transaction_mutex);
		else
			mutex_lock(&t->mutex);
		if (dtr_tracker_is_live(t))
			dtr_tracker_settle_locked(t);
	}
}

static void unlock_trackers(struct transaction *tx)
{
	unsigned int i;

	for (i = tx->nr_parts; i--;) {
		tx->parts[i].t->at_point = false;
		mutex_unlock(&tx->parts[i].t->mutex);
	}
	if (tx->nr_parts > 1)
		mutex_unlock(&transaction_mutex);
}

/* ---- Rotation ---- */

/*
 * Whether @a needs to tell the writes to @t before from those after.  A bitmap
 * that records during the transaction did so before, or an action makes it.
 */
static bool tells_apart(const struct transaction *tx,
			const struct dtr_action *a, struct dtr_tracker *t)
{
	const struct dtr_named *n = dtr_named_find_locked(t, a->name);
	bool alone = tx->nr == 1;

	switch (a->type) {
	case DTRACK_ACTION_ADD:
		return !n && !a->disabled;
	case DTRACK_ACTION_ENABLE:
		return n ? !n->recording : !alone;
	case DTRACK_ACTION_CLEAR:
	case DTRACK_ACTION_DISABLE:
	case DTRACK_ACTION_FREEZE:
		/* Alone it is refused if the bitmap is frozen. */
		return n && n->recording && !(alone && n->freeze);
	default:
		return false;
	}
}

/* The same of the sources of a merge; one alone reads the live map instead. */
static bool reads_apart(const struct transaction *tx,
			const struct dtr_action *a, struct dtr_tracker *t)
{
	const struct dtr_named *n;
	unsigned int i;

	for (i = 0; tx->nr > 1 && i < a->nr_sources; i++) {
		if (a->sources[i].t != t)
			continue;
		n = dtr_named_find_locked(t, a->sources[i].name);
		if (n && n->recording)
			return true;
	}
	return false;
}

/* log2 of the granularity with which @a may let a bitmap record, or -1. */
static int recorder_shift(const struct dtr_action *a, const struct dtr_undo *u)
{
	const struct dtr_named *n;

	if (a->type == DTRACK_ACTION_ADD)
		return IS_ERR_OR_NULL(u->fresh) ? -1 : (int)u->fresh->base.shift;
	if (a->type != DTRACK_ACTION_ENABLE)
		return -1;
	n = dtr_named_find_locked(a->t, a->name);
	return n ? (int)n->base.shift : -1;
}

/*
 * The live map must do for what records now, should the transaction fail, and
 * for what may record when it does not.
 */
static int prepare_rotation(const struct transaction *tx, struct participant *p)
{
	int shift, finest = -1;
	struct dtr_epoch *next;
	bool rotates = false;
	unsigned int i;

	for (i = 0; i < tx->nr; i++) {
		const struct dtr_action *a = &tx->actions[i];

		cond_resched();
		rotates = rotates || reads_apart(tx, a, p->t);
		if (a->t != p->t)
			continue;
		rotates = rotates || tells_apart(tx, a, p->t);
		shift = recorder_shift(a, &tx->undo[i]);
		if (shift >= 0 && (finest < 0 || shift < finest))
			finest = shift;
	}
	if (!rotates)
		return 0;
	next = dtr_tracker_prepare_locked(p->t, finest);
	if (IS_ERR(next))
		return PTR_ERR(next);
	p->next = next;
	return 0;
}

static void drop_rotations(struct transaction *tx)
{
	unsigned int i;

	for (i = 0; i < tx->nr_parts; i++)
		dtr_epoch_destroy(tx->parts[i].next);
}

/* All published, one grace period, all folded. */
static int rotate_trackers(struct transaction *tx)
{
	struct participant *p, *end = tx->parts + tx->nr_parts;
	bool any = false;
	int r;

	for (p = tx->parts; p < end; p++) {
		r = dtr_tracker_is_live(p->t) ? prepare_rotation(tx, p) : 0;
		if (r) {
			drop_rotations(tx);
			return r;
		}
		any = any || p->next;
	}
	if (!any)
		return 0;
	for (p = tx->parts; p < end; p++)
		if (p->next)
			p->old = dtr_tracker_publish_locked(p->t, p->next);
	dtr_tracker_sync();
	for (p = tx->parts; p < end; p++) {
		if (p->next) {
			dtr_tracker_fold_locked(p->t, p->old);
			p->t->at_point = true;
		}
	}
	return 0;
}

/*
 * In vain, the live maps may be finer than what records and the limit allow
 * for.
 */
static void trim_trackers(struct transaction *tx)
{
	unsigned int i;

	for (i = 0; i < tx->nr_parts; i++)
		if (tx->parts[i].old)
			dtr_tracker_trim_locked(tx->parts[i].t);
}

/* ---- Actions ---- */

static void make_certain(struct transaction *tx)
{
	unsigned int i;

	for (i = 0; i < tx->nr; i++)
		dtr_action_commit_locked(&tx->actions[i], &tx->undo[i]);
	/* Where fewer record a coarser live map may do. */
	for (i = 0; i < tx->nr; i++) {
		struct dtr_action *a = &tx->actions[i];

		if (a->type == DTRACK_ACTION_REMOVE ||
		    a->type == DTRACK_ACTION_DISABLE)
			dtr_tracker_trim_locked(a->t);
	}
}

static int apply_action(struct dtr_action *a, struct dtr_undo *u, bool last)
{
	if (a->error)
		return a->error;
	switch (a->type) {
	case DTRACK_ACTION_FREEZE:
		return dtr_action_freeze_locked(a, u);
	case DTRACK_ACTION_ABDICATE:
	case DTRACK_ACTION_RECLAIM:
		return dtr_action_end_locked(a, u, last);
	default:
		return dtr_action_apply_locked(a, u);
	}
}

static int apply_all(struct transaction *tx, unsigned int *failed)
{
	unsigned int i;
	int r = 0;

	for (i = 0; i < tx->nr; i++) {
		cond_resched();
		r = apply_action(&tx->actions[i], &tx->undo[i],
				 i == tx->nr - 1);
		if (r)
			break;
	}
	if (!r) {
		make_certain(tx);
		return 0;
	}
	*failed = i;
	while (i--)
		dtr_action_undo_locked(&tx->actions[i], &tx->undo[i]);
	trim_trackers(tx);
	return r;
}

static int transact_locked(struct transaction *tx, unsigned int *failed)
{
	unsigned int i;
	int r;

	for (i = 0; i < tx->nr; i++)
		dtr_action_prepare_locked(&tx->actions[i], &tx->undo[i]);
	r = rotate_trackers(tx);
	if (!r)
		r = apply_all(tx, failed);
	for (i = 0; i < tx->nr; i++)
		dtr_action_finish_locked(&tx->undo[i]);
	return r;
}

/**
 * dtr_transact() - execute actions, all of them or none.
 * @actions: what is to be done, in order; results in @generation, @run, @uuid
 * @nr: number of @actions
 * @failed: out, index of the action that failed; @nr when none is to blame
 *
 * Later actions see what earlier ones did.  One alone that ends a freeze needs
 * no memory.
 *
 * Context: process, under memalloc_noio; sleeps.  No tracker is locked.
 * Return: 0, or of the first action that fails -EINVAL, -ENOENT, -EEXIST,
 * -EBUSY, -ENODATA, -ESTALE, -ERANGE, -EROFS, -EUCLEAN, -EOVERFLOW, -ENODEV,
 * -ECANCELED, -ENOMEM (see the uapi header), and nothing has changed.
 */
int dtr_transact(struct dtr_action *actions, unsigned int nr,
		 unsigned int *failed)
{
	struct transaction tx = { .actions = actions, .nr = nr };
	int r;

	*failed = nr;
	tx.undo = &tx.one_undo;
	if (nr > 1)
		tx.undo = kvcalloc(nr, sizeof(*tx.undo), GFP_KERNEL);
	if (!tx.undo)
		return -ENOMEM;
	r = collect_trackers(&tx);
	if (!r) {
		lock_trackers(&tx);
		r = transact_locked(&tx, failed);
		unlock_trackers(&tx);
	}
	if (tx.parts != &tx.one_part)
		kvfree(tx.parts);
	if (tx.undo != &tx.one_undo)
		kvfree(tx.undo);
	return r;
}
