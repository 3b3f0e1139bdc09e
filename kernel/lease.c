// SPDX-License-Identifier: GPL-2.0-only
/*
 * lease.c - the freezes that belong to an open control file.
 *
 * Owns what the file remembers of them, so that the kernel can reclaim when its
 * process goes without a word.  The freeze itself is freeze.c's.
 *
 * Contexts: process context under memalloc_noio.
 */
#include <linux/sched.h>
#include <linux/slab.h>

#include "freeze.h"
#include "lease.h"

/**
 * struct dtr_lease - a freeze that belongs to an open file.
 * @link: in the file's list
 * @t: its tracker, with a reference
 * @run: its id; it may have been ended by others since
 * @files: the owning process's table of open files, compared and never
 *	followed: a child that inherited the file does not keep the freeze
 */
struct dtr_lease {
	struct list_head link;
	struct dtr_tracker *t;
	u64 run;
	fl_owner_t files;
};

/**
 * dtr_leases_init() - an open file without freezes.
 * @leases: uninitialised
 */
void dtr_leases_init(struct dtr_leases *leases)
{
	mutex_init(&leases->mutex);
	INIT_LIST_HEAD(&leases->list);
}

/**
 * dtr_lease_create() - memory for a freeze that is about to be made.
 * @t: its tracker
 *
 * Context: process; may sleep.
 * Return: for dtr_leases_add() or dtr_lease_destroy(); NULL: no memory.
 */
struct dtr_lease *dtr_lease_create(struct dtr_tracker *t)
{
	struct dtr_lease *lease = kzalloc(sizeof(*lease), GFP_KERNEL);

	if (lease)
		lease->t = dtr_tracker_get(t);
	return lease;
}

/**
 * dtr_lease_destroy() - free one that is in no list.
 * @lease: it, or NULL
 */
void dtr_lease_destroy(struct dtr_lease *lease)
{
	if (!lease)
		return;
	dtr_tracker_put(lease->t);
	kfree(lease);
}

/**
 * dtr_leases_add() - a freeze belongs to the file and to this process.
 * @leases: of the file
 * @lease: from dtr_lease_create()
 * @run: id of the freeze
 *
 * A close of the file that comes before this does not find it; the last one
 * does.
 *
 * Context: process; sleeps.
 */
void dtr_leases_add(struct dtr_leases *leases, struct dtr_lease *lease, u64 run)
{
	lease->run = run;
	lease->files = current->files;
	mutex_lock(&leases->mutex);
	list_add_tail(&lease->link, &leases->list);
	mutex_unlock(&leases->mutex);
}

/**
 * dtr_leases_drop() - a freeze has been ended by its owner's command.
 * @leases: of the file
 * @t: tracker of the freeze: those of other devices may have the same id
 * @run: id of the freeze
 *
 * Context: process; sleeps.
 */
void dtr_leases_drop(struct dtr_leases *leases, const struct dtr_tracker *t,
		     u64 run)
{
	struct dtr_lease *lease;

	mutex_lock(&leases->mutex);
	list_for_each_entry(lease, &leases->list, link) {
		if (lease->t == t && lease->run == run) {
			list_del(&lease->link);
			dtr_lease_destroy(lease);
			break;
		}
	}
	mutex_unlock(&leases->mutex);
}

/**
 * dtr_leases_reclaim() - the file is closed.
 * @leases: of the file
 * @files: by the process that has this table of open files; NULL: for good
 *
 * Context: process; sleeps.
 */
void dtr_leases_reclaim(struct dtr_leases *leases, fl_owner_t files)
{
	struct dtr_lease *lease, *next;

	mutex_lock(&leases->mutex);
	list_for_each_entry_safe(lease, next, &leases->list, link) {
		if (files && lease->files != files)
			continue;
		list_del(&lease->link);
		dtr_named_reclaim_run(lease->t, leases, lease->run);
		dtr_lease_destroy(lease);
	}
	mutex_unlock(&leases->mutex);
}
