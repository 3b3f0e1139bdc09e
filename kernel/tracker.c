// SPDX-License-Identifier: GPL-2.0-only
/*
 * tracker.c - one mapped device's bitmaps.
 *
 * Owns the registry of trackers, the list of bitmaps of each and what a resumed
 * table line changes.  What users may do to a bitmap is lifecycle.c's, when its
 * epochs begin rotation.c's.
 *
 * Contexts: process context under memalloc_noio; dtr_tracker_adopt() runs on a
 * suspended device and never fails.
 */
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "rotation.h"
#include "tracker.h"

static unsigned long max_memory_mb;
module_param(max_memory_mb, ulong, 0644);
MODULE_PARM_DESC(max_memory_mb,
		 "MiB that the bitmaps of one device may need at worst (0: half of the memory)");

/* Protects the registry: trackers, next_id, each tracker's nr_targets. */
static DEFINE_MUTEX(registry_mutex);
static LIST_HEAD(trackers);
static u64 next_id;

/* ---- Named bitmaps ---- */

/**
 * dtr_named_create() - a new, clean, recording bitmap that is in no list.
 * @t: whose leaves it uses
 * @size: bytes of the device
 * @name: valid name
 * @shift: log2 of the granularity
 *
 * Context: process, under memalloc_noio; may sleep.
 * Return: the bitmap, or ERR_PTR(-ENOMEM), ERR_PTR(-EOVERFLOW).
 */
struct dtr_named *dtr_named_create(struct dtr_tracker *t, u64 size,
				   const char *name, unsigned int shift)
{
	struct dtr_named *n;
	int r = -ENOMEM;

	/* Its roots alone could use all memory up. */
	if (dtr_bitmap_max_bytes(size, shift) > dtr_tracker_max_memory())
		return ERR_PTR(-EOVERFLOW);
	n = kzalloc(sizeof(*n), GFP_KERNEL);
	if (!n)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&n->link);
	n->name = kstrdup(name, GFP_KERNEL);
	if (!n->name)
		goto err_named;
	r = dtr_bitmap_init(&n->base, size, shift, &dtr_leaf_ops, &t->pool);
	if (r)
		goto err_name;
	uuid_gen(&n->uuid);
	n->generation = 1;
	n->recording = true;
	return n;

err_name:
	kfree(n->name);
err_named:
	kfree(n);
	return ERR_PTR(r);
}

/**
 * dtr_named_destroy() - free an idle bitmap that is in no list.
 * @n: from dtr_named_create()
 *
 * Context: process; may sleep.
 */
void dtr_named_destroy(struct dtr_named *n)
{
	dtr_bitmap_exit(&n->base);
	kfree(n->name);
	kfree(n);
}

/**
 * dtr_freeze_free() - free what a busy bitmap has beside its frozen content.
 * @f: freeze that no bitmap is in any more
 *
 * Context: process; may sleep.
 */
void dtr_freeze_free(struct dtr_freeze *f)
{
	dtr_bitmap_exit(&f->succ);
	dtr_bitmap_exit(&f->todo);
	put_pid(f->pid);
	kfree(f);
}

static struct dtr_named *find_named(struct list_head *list, const char *name)
{
	struct dtr_named *n;

	list_for_each_entry(n, list, link)
		if (!strcmp(n->name, name))
			return n;
	return NULL;
}

/**
 * dtr_named_find_locked() - a bitmap by its name.
 * @t: tracker
 * @name: NUL-terminated
 *
 * Context: caller holds the tracker's mutex.
 * Return: the bitmap or NULL.
 */
struct dtr_named *dtr_named_find_locked(struct dtr_tracker *t, const char *name)
{
	lockdep_assert_held(&t->mutex);
	return find_named(&t->bitmaps, name);
}

/**
 * dtr_named_recorder() - where the live map is folded to.
 * @n: bitmap
 *
 * Return: the successor of a busy bitmap, else its base.
 */
struct dtr_bitmap *dtr_named_recorder(struct dtr_named *n)
{
	return n->freeze ? &n->freeze->succ : &n->base;
}

/* ---- Limits ---- */

/**
 * dtr_tracker_max_memory() - bytes that one device's bitmaps may need.
 *
 * Context: any.
 */
u64 dtr_tracker_max_memory(void)
{
	u64 mb = READ_ONCE(max_memory_mb);

	return mb ? mb << 20 : (u64)totalram_pages() << (PAGE_SHIFT - 1);
}

/* Adds the worst case of @n to @sum; the finest shift so far is in @finest. */
static void add_worst_case(const struct dtr_named *n, u64 size, u64 *sum,
			   unsigned int *finest)
{
	u64 bytes = dtr_bitmap_max_bytes(size, n->base.shift);

	*sum = *sum + bytes < bytes ? U64_MAX : *sum + bytes;
	*finest = min(*finest, n->base.shift);
}

/**
 * dtr_tracker_check_limits_locked() - whether bitmaps may be as many and large.
 * @t: tracker
 * @size: bytes that the device has or will have
 * @more: list of struct dtr_named to come
 *
 * The sum is what all bitmaps and a live map for the finest of them need when
 * every leaf exists.
 *
 * Context: caller holds the tracker's mutex.
 * Return: 0 or -EOVERFLOW.
 */
int dtr_tracker_check_limits_locked(struct dtr_tracker *t, u64 size,
				    const struct list_head *more)
{
	unsigned int finest = DTR_MAX_SHIFT, nr = t->nr_bitmaps;
	u64 live, sum = 0;
	struct dtr_named *n;

	lockdep_assert_held(&t->mutex);
	list_for_each_entry(n, &t->bitmaps, link)
		add_worst_case(n, size, &sum, &finest);
	list_for_each_entry(n, more, link) {
		add_worst_case(n, size, &sum, &finest);
		nr++;
	}
	if (!nr)
		return 0;
	live = dtr_bitmap_max_bytes(size, finest);
	if (nr > DTRACK_MAX_BITMAPS || sum + live < live ||
	    sum + live > dtr_tracker_max_memory())
		return -EOVERFLOW;
	return 0;
}

/* ---- Retired epochs ---- */

static void reap_epochs(struct work_struct *work)
{
	struct dtr_tracker *t = container_of(work, struct dtr_tracker, reap);
	struct dtr_epoch *epoch, *tmp;

	mutex_lock(&t->mutex);
	list_for_each_entry_safe(epoch, tmp, &t->clock.retired, link) {
		if (!dtr_epoch_idle(epoch))
			continue;
		list_del(&epoch->link);
		dtr_epoch_destroy(epoch);
	}
	mutex_unlock(&t->mutex);
}

/* ---- Events ---- */

static void raise_event(struct work_struct *work)
{
	struct dtr_tracker *t = container_of(work, struct dtr_tracker, event);
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&t->mutex);
	if (t->event_due && t->table)
		dm_table_event(t->table);
	t->event_due = false;
	mutex_unlock(&t->mutex);
	memalloc_noio_restore(noio);
}

/**
 * dtr_tracker_event_locked() - wake those who wait for an event of the device.
 * @t: tracker
 *
 * A worker raises it, after the mutex: one, however many the caller asks for.
 *
 * Context: caller holds the tracker's mutex.
 */
void dtr_tracker_event_locked(struct dtr_tracker *t)
{
	lockdep_assert_held(&t->mutex);
	t->event_due = true;
	schedule_work(&t->event);
}

/**
 * dtr_tracker_forget_table() - a table is being destroyed.
 * @t: its tracker
 * @table: it
 *
 * Context: process; may sleep.
 */
void dtr_tracker_forget_table(struct dtr_tracker *t, struct dm_table *table)
{
	mutex_lock(&t->mutex);
	if (t->table == table)
		t->table = NULL;
	mutex_unlock(&t->mutex);
}

/* ---- Registry ---- */

static struct dtr_tracker *tracker_create(struct mapped_device *md)
{
	struct dtr_tracker *t = kzalloc(sizeof(*t), GFP_KERNEL);
	struct dtr_epoch *epoch;

	if (!t)
		return NULL;
	dtr_leaf_pool_init(&t->pool);
	epoch = dtr_epoch_create(0, -1, &t->pool);
	if (IS_ERR(epoch)) {
		dtr_leaf_pool_exit(&t->pool);
		kfree(t);
		return NULL;
	}
	RCU_INIT_POINTER(t->clock.epoch, epoch);
	INIT_LIST_HEAD(&t->clock.retired);
	t->clock.reap = &t->reap;
	INIT_WORK(&t->reap, reap_epochs);
	INIT_WORK(&t->event, raise_event);
	kref_init(&t->ref);
	t->md = md;
	t->devt = disk_devt(dm_disk(md));
	mutex_init(&t->mutex);
	INIT_LIST_HEAD(&t->bitmaps);
	return t;
}

static void tracker_release(struct kref *ref)
{
	kfree(container_of(ref, struct dtr_tracker, ref));
}

/**
 * dtr_tracker_get() - take another reference.
 * @t: tracker to which the caller has one
 *
 * Return: @t.
 */
struct dtr_tracker *dtr_tracker_get(struct dtr_tracker *t)
{
	kref_get(&t->ref);
	return t;
}

/**
 * dtr_tracker_put() - drop a reference.
 * @t: tracker; may be gone afterwards
 *
 * Context: any.
 */
void dtr_tracker_put(struct dtr_tracker *t)
{
	kref_put(&t->ref, tracker_release);
}

/* The last target is gone, so no write is in flight: frees all but @t. */
static void tracker_retire(struct dtr_tracker *t)
{
	struct dtr_epoch *epoch, *next_epoch;
	struct dtr_named *n, *next;

	mutex_lock(&t->mutex);
	t->gone = true;
	list_for_each_entry_safe(n, next, &t->bitmaps, link) {
		list_del(&n->link);
		if (n->freeze)
			dtr_freeze_free(n->freeze);
		dtr_named_destroy(n);
	}
	t->nr_bitmaps = 0;
	mutex_unlock(&t->mutex);

	cancel_work_sync(&t->reap);
	cancel_work_sync(&t->event);
	list_for_each_entry_safe(epoch, next_epoch, &t->clock.retired, link) {
		WARN_ON_ONCE(!dtr_epoch_idle(epoch));
		list_del(&epoch->link);
		dtr_epoch_destroy(epoch);
	}
	epoch = rcu_dereference_protected(t->clock.epoch, true);
	WARN_ON_ONCE(!dtr_epoch_idle(epoch));
	dtr_epoch_destroy(epoch);
	dtr_leaf_pool_exit(&t->pool);
}

static struct dtr_tracker *registry_find(const struct mapped_device *md,
					 dev_t devt)
{
	struct dtr_tracker *t;

	list_for_each_entry(t, &trackers, link)
		if (t->md == md || (!md && t->devt == devt))
			return t;
	return NULL;
}

/**
 * dtr_tracker_attach() - the tracker of a mapped device, made if need be.
 * @md: mapped device to which a target is being constructed
 *
 * Context: process, under memalloc_noio; may sleep.
 * Return: the tracker with a reference and counted as used by a target, to be
 * given back by dtr_tracker_detach(); NULL when memory is missing.
 */
struct dtr_tracker *dtr_tracker_attach(struct mapped_device *md)
{
	struct dtr_tracker *t;

	mutex_lock(&registry_mutex);
	t = registry_find(md, 0);
	if (t) {
		dtr_tracker_get(t);
	} else {
		t = tracker_create(md);
		if (!t)
			goto out;
		t->id = next_id++;
		list_add_tail(&t->link, &trackers);
	}
	t->nr_targets++;
out:
	mutex_unlock(&registry_mutex);
	return t;
}

/**
 * dtr_tracker_detach() - a target is being destroyed.
 * @t: from dtr_tracker_attach()
 *
 * With the last target the tracker leaves the registry and its bitmaps are
 * freed; open files find it gone (ENODEV).
 *
 * Context: process, under memalloc_noio; may sleep.
 */
void dtr_tracker_detach(struct dtr_tracker *t)
{
	bool last;

	mutex_lock(&registry_mutex);
	last = !--t->nr_targets;
	if (last)
		list_del(&t->link);
	mutex_unlock(&registry_mutex);
	if (last)
		tracker_retire(t);
	dtr_tracker_put(t);
}

/**
 * dtr_tracker_find() - a tracked device by its number.
 * @devt: of the mapped device
 *
 * Context: process; may sleep.
 * Return: the tracker with a reference, or NULL.
 */
struct dtr_tracker *dtr_tracker_find(dev_t devt)
{
	struct dtr_tracker *t;

	mutex_lock(&registry_mutex);
	t = registry_find(NULL, devt);
	if (t && READ_ONCE(t->live))
		dtr_tracker_get(t);
	else
		t = NULL;
	mutex_unlock(&registry_mutex);
	return t;
}

/**
 * dtr_tracker_list() - the numbers of the tracked devices.
 * @devs: room for @room of them
 * @room: entries
 *
 * Context: process; may sleep.
 * Return: how many devices there are, even if more than @room.
 */
u32 dtr_tracker_list(struct dtrack_dev *devs, u32 room)
{
	struct dtr_tracker *t;
	u32 nr = 0;

	mutex_lock(&registry_mutex);
	list_for_each_entry(t, &trackers, link) {
		if (!READ_ONCE(t->live))
			continue;
		if (nr < room) {
			devs[nr].major = MAJOR(t->devt);
			devs[nr].minor = MINOR(t->devt);
		}
		nr++;
	}
	mutex_unlock(&registry_mutex);
	return nr;
}

/**
 * dtr_tracker_readonly() - whether the live table is read-only.
 * @t: tracker that is not gone: caller holds its mutex and has looked
 *
 * Return: as device-mapper set the disk when it swapped the table.
 */
bool dtr_tracker_readonly(const struct dtr_tracker *t)
{
	return get_disk_ro(dm_disk(t->md));
}

/* ---- Tables ---- */

/**
 * dtr_plan_init() - an empty plan.
 * @plan: plan
 */
void dtr_plan_init(struct dtr_plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	INIT_LIST_HEAD(&plan->bitmaps);
}

/**
 * dtr_plan_exit() - free what a plan still owns.
 * @plan: plan, adopted or not
 */
void dtr_plan_exit(struct dtr_plan *plan)
{
	struct dtr_named *n, *next;

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
	if (find_named(&plan->bitmaps, name))
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
		old = find_named(&t->bitmaps, n->name);
		*error = "Bitmap exists with another granularity";
		if (old && old->base.shift != n->base.shift)
			return -EINVAL;
	}
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
		if (!find_named(&t->bitmaps, n->name))
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

static void adopt_geometry(struct dtr_tracker *t, const struct dtr_plan *plan)
{
	bool moved = t->live && !plan->same_data &&
		     (t->lower != plan->lower ||
		      t->lower_start != plan->lower_start);
	struct dtr_named *n;

	list_for_each_entry(n, &t->bitmaps, link) {
		if (t->size != plan->size)
			dtr_bitmap_resize(dtr_named_recorder(n), plan->size);
		if (moved) {
			dtr_bitmap_set_all(dtr_named_recorder(n));
			n->generation++;
		}
	}
	t->size = plan->size;
	t->lower = plan->lower;
	t->lower_start = plan->lower_start;
}

/**
 * dtr_tracker_adopt() - a table is resumed: make the tracker as its line says.
 * @t: tracker
 * @plan: prepared; adopted only once, however often the table is resumed
 * @table: the table, for events
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

	mutex_lock(&t->mutex);
	t->table = table;
	if (plan->done)
		goto out;
	plan->done = true;
	pick_new_bitmaps(t, plan, &new);
	if (t->size != plan->size || !list_empty(&new)) {
		next = adopted_epoch(t, plan, &new);
		if (IS_ERR(next))
			WRITE_ONCE(t->clock.overflow, true);
		else
			dtr_tracker_rotate_locked(t, next);
	}
	adopt_geometry(t, plan);
	list_for_each_entry(n, &new, link)
		t->nr_bitmaps++;
	list_splice_tail(&new, &t->bitmaps);
	WRITE_ONCE(t->live, true);
out:
	mutex_unlock(&t->mutex);
}
