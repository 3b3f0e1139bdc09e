// SPDX-License-Identifier: GPL-2.0-only
/*
 * lifecycle.c - what users may do to a named bitmap.
 *
 * Owns the state table, how a change is undone, and every change of a bitmap's
 * state or content that a user asks for but to freeze it, which is freeze.c's.
 * When a change happens, beside which others, and whether it stays is
 * transaction.c's, rotation is rotation.c's, bits are core/'s, who asks and how
 * is actions.c's, control.c's and target.c's.
 *
 * Contexts: process context under memalloc_noio; never waits for I/O, so that
 * it can run in a message handler and on a suspended device.
 * Invariant: an operation fails before it has changed anything.
 */
#include <linux/slab.h>

#include "lifecycle.h"
#include "rotation.h"

/* ---- The state table (SEMANTICS: QEMU's, without what we do not have) ---- */

/*
 * What refuses an operation, in the order in which it is looked at; 0: nothing.
 * Whose freeze it is that DTR_OP_END ends is freeze.c's.
 */
static const struct {
	int idle;
	int busy;
	int readonly;
	int inconsistent;
} states[] = {
	[DTR_OP_REMOVE]		= { 0, -EBUSY, -EROFS, 0 },
	[DTR_OP_CLEAR]		= { 0, -EBUSY, -EROFS, -EUCLEAN },
	[DTR_OP_ENABLE]		= { 0, -EBUSY, 0, -EUCLEAN },
	[DTR_OP_DISABLE]	= { 0, -EBUSY, 0, -EUCLEAN },
	[DTR_OP_MERGE_FROM]	= { 0, -EBUSY, 0, -EUCLEAN },
	[DTR_OP_MERGE_INTO]	= { 0, -EBUSY, -EROFS, -EUCLEAN },
	[DTR_OP_FREEZE]		= { 0, -EBUSY, -EROFS, -EUCLEAN },
	[DTR_OP_FREEZE_NEVER]	= { 0, -EBUSY, 0, -EUCLEAN },
	[DTR_OP_LOAD]		= { 0, -EBUSY, -EROFS, -EUCLEAN },
	[DTR_OP_END]		= { -ENODATA, 0, 0, 0 },
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

/**
 * dtr_named_find_for_locked() - a bitmap by its name, if its state allows.
 * @t: tracker, perhaps not live
 * @name: NUL-terminated
 * @op: what is to be done to it
 *
 * Context: caller holds the tracker's mutex.
 * Return: the bitmap; ERR_PTR(-ENODEV), ERR_PTR(-ENOENT), or what the state
 * table says.
 */
struct dtr_named *dtr_named_find_for_locked(struct dtr_tracker *t,
					    const char *name, enum dtr_op op)
{
	struct dtr_named *n;
	int r;

	if (!dtr_tracker_is_live(t))
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
	n = dtr_named_find_for_locked(t, name, op);
	if (IS_ERR(n))
		mutex_unlock(&t->mutex);
	return n;
}

/* ---- Undo ---- */

/**
 * dtr_undo_begin() - note a bitmap's state before an action changes it.
 * @u: out, all of it
 * @n: bitmap
 *
 * Context: caller holds the mutex of the bitmap's tracker.
 */
void dtr_undo_begin(struct dtr_undo *u, struct dtr_named *n)
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

/**
 * dtr_undo_replace_base() - another content, so that it can be undone.
 * @u: out, all of it; keeps the content before
 * @n: bitmap
 * @base: its content from here on, owned by @n
 *
 * Context: caller holds the mutex of the bitmap's tracker.
 */
void dtr_undo_replace_base(struct dtr_undo *u, struct dtr_named *n,
			   const struct dtr_bitmap *base)
{
	dtr_undo_begin(u, n);
	u->replaced = true;
	u->base = n->base;
	n->base = *base;
}

/* ---- Add, remove, enable, disable, clear ---- */

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
	dtr_undo_begin(u, n);
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
	struct dtr_named *n = dtr_named_find_for_locked(a->t, a->name,
							DTR_OP_REMOVE);

	if (IS_ERR(n))
		return PTR_ERR(n);
	dtr_undo_begin(u, n);
	n->leaving = true;
	return 0;
}

static int apply_clear(const struct dtr_action *a, struct dtr_undo *u)
{
	struct dtr_named *n = dtr_named_find_for_locked(a->t, a->name,
							DTR_OP_CLEAR);
	struct dtr_bitmap empty;
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	r = dtr_bitmap_init(&empty, a->t->size, n->base.shift, &dtr_leaf_ops,
			    &a->t->pool);
	if (r)
		return r;
	dtr_undo_replace_base(u, n, &empty);
	n->generation++;
	return 0;
}

/*
 * A copy that was made while the bitmap did not record fits its generation, and
 * lacks what was written since: no more from here on.
 */
static int apply_enable(const struct dtr_action *a, struct dtr_undo *u)
{
	struct dtr_named *n = dtr_named_find_for_locked(a->t, a->name,
							DTR_OP_ENABLE);

	if (IS_ERR(n))
		return PTR_ERR(n);
	dtr_undo_begin(u, n);
	if (n->missing)
		n->generation++;
	n->missing = false;
	n->recording = true;
	return 0;
}

/* The generation steps on, because what is written from here on is missed. */
static int apply_disable(const struct dtr_action *a, struct dtr_undo *u)
{
	struct dtr_named *n = dtr_named_find_for_locked(a->t, a->name,
							DTR_OP_DISABLE);

	if (IS_ERR(n))
		return PTR_ERR(n);
	dtr_undo_begin(u, n);
	if (n->recording)
		n->generation++;
	n->recording = false;
	return 0;
}

/* ---- Merge ---- */

/**
 * dtr_unite_exactly() - a content that is the union of two.
 * @sum: out, uninitialised; nothing is allocated on error
 * @a: content
 * @b: content of the same size
 *
 * A leaf that there is no memory for is none that may be spurious.
 *
 * Context: process, under memalloc_noio; may sleep.
 * Return: 0 or -ENOMEM.
 */
int dtr_unite_exactly(struct dtr_bitmap *sum, const struct dtr_bitmap *a,
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
	struct dtr_named *n = dtr_named_find_for_locked(source->t, source->name,
							DTR_OP_MERGE_FROM);
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
	struct dtr_named *n = dtr_named_find_for_locked(a->t, a->name,
							DTR_OP_MERGE_INTO);
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
		dtr_undo_replace_base(u, n, &sum);
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
		u->fresh = dtr_tracker_is_live(a->t) ? create_named(a) :
						       ERR_PTR(-ENODEV);
}

/**
 * dtr_action_apply_locked() - do it, so that it can be undone.
 * @a: prepared action without error, which neither freezes nor ends a freeze
 * @u: out
 *
 * Bases and successors hold what was written before the transaction's point;
 * of a tracker that is not at_point so does the live map.
 *
 * Context: process, under memalloc_noio; may sleep.
 * Return: 0 or a negative errno (see dtr_transact()), and nothing has changed.
 */
int dtr_action_apply_locked(struct dtr_action *a, struct dtr_undo *u)
{
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
	default:
		return -EINVAL;
	}
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

/* ---- Beside transactions: loading ---- */

/**
 * dtr_named_load_begin() - an empty staging area for a bitmap.
 * @t: tracker
 * @name: the bitmap
 * @generation: that the caller relies on, or 0
 * @staging: out on success; @staging->bits to be given to dtr_bitmap_exit()
 *
 * Return: 0, -ENOENT, -EBUSY, -EROFS, -ENOMEM, -ENODEV; -ESTALE when the
 * bitmap has another generation.
 */
int dtr_named_load_begin(struct dtr_tracker *t, const char *name,
			 u64 generation, struct dtr_staging *staging)
{
	struct dtr_named *n = lock_for(t, name, DTR_OP_LOAD);
	int r = -ESTALE;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (generation && generation != n->generation)
		goto out;
	staging->uuid = n->uuid;
	staging->generation = n->generation;
	r = dtr_bitmap_init(&staging->bits, t->size, n->base.shift,
			    &dtr_leaf_ops, &t->pool);
out:
	mutex_unlock(&t->mutex);
	return r;
}

/* Whether @staging is for @n as it is now. */
static bool staged_for(const struct dtr_staging *staging,
		       const struct dtr_named *n)
{
	return uuid_equal(&n->uuid, &staging->uuid) &&
	       n->generation == staging->generation &&
	       n->base.size == staging->bits.size;
}

/**
 * dtr_named_load_check() - whether a chunk may still be staged.
 * @t: tracker
 * @name: the bitmap, as the caller names it
 * @generation: that the caller relies on, or 0
 * @staging: from dtr_named_load_begin()
 *
 * Return: 0, -ENOENT, -EBUSY, -EROFS, -ENODEV; -ESTALE when the bitmap is
 * another one, has changed its size or generation since, or has not the
 * generation @generation.
 */
int dtr_named_load_check(struct dtr_tracker *t, const char *name,
			 u64 generation, const struct dtr_staging *staging)
{
	struct dtr_named *n = lock_for(t, name, DTR_OP_LOAD);
	bool fits;

	if (IS_ERR(n))
		return PTR_ERR(n);
	fits = staged_for(staging, n) &&
	       (!generation || generation == n->generation);
	mutex_unlock(&t->mutex);
	return fits ? 0 : -ESTALE;
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
	int r = dtr_unite_exactly(&sum, &n->base, bits);

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
	struct dtr_named *n = lock_for(t, name, DTR_OP_LOAD);
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (!staged_for(staging, n))
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
