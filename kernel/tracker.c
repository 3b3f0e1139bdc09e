// SPDX-License-Identifier: GPL-2.0-only
/*
 * tracker.c - one mapped device's bitmaps.
 *
 * Owns the registry of trackers, the list of bitmaps of each and how many and
 * large they may be.  What users may do to a bitmap is lifecycle.c's, how epochs
 * begin rotation.c's, what a resumed table line changes plan.c's.
 *
 * Contexts: process context under memalloc_noio.
 */
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "plan.h"
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

/**
 * dtr_named_find_in() - a bitmap by its name, in a list.
 * @list: struct dtr_named
 * @name: NUL-terminated
 *
 * Context: caller holds what protects the list.
 * Return: the bitmap or NULL.
 */
struct dtr_named *dtr_named_find_in(struct list_head *list, const char *name)
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
	return dtr_named_find_in(&t->bitmaps, name);
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

/* Adds the worst case of what @list adds to @t; the number of bitmaps. */
static unsigned int add_new(struct dtr_tracker *t, const struct list_head *list,
			    u64 size, u64 *sum, unsigned int *finest)
{
	unsigned int nr = 0;
	struct dtr_named *n;

	list_for_each_entry(n, list, link) {
		if (dtr_named_find_locked(t, n->name))
			continue;
		add_worst_case(n, size, sum, finest);
		nr++;
	}
	return nr;
}

/**
 * dtr_tracker_check_limits_locked() - whether bitmaps may be as many and large.
 * @t: tracker
 * @size: bytes that the device has or will have
 * @more: list of struct dtr_named to come; those that exist do not count
 *
 * The sum is what all bitmaps and a live map for the finest of them need when
 * every leaf exists.  Tables that are loaded and not resumed count as if they
 * were, because a resume refuses nothing.
 *
 * Context: caller holds the tracker's mutex.
 * Return: 0 or -EOVERFLOW.
 */
int dtr_tracker_check_limits_locked(struct dtr_tracker *t, u64 size,
				    const struct list_head *more)
{
	unsigned int finest = DTR_MAX_SHIFT, nr = t->nr_bitmaps;
	u64 live, sum = 0;
	struct dtr_plan *plan;
	struct dtr_named *n;

	lockdep_assert_held(&t->mutex);
	list_for_each_entry(plan, &t->plans, pending)
		size = max(size, plan->size);
	list_for_each_entry(n, &t->bitmaps, link)
		add_worst_case(n, size, &sum, &finest);
	list_for_each_entry(plan, &t->plans, pending)
		nr += add_new(t, &plan->bitmaps, size, &sum, &finest);
	nr += add_new(t, more, size, &sum, &finest);
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
	INIT_LIST_HEAD(&t->unproven);
	INIT_LIST_HEAD(&t->plans);
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
