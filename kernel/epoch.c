// SPDX-License-Identifier: GPL-2.0-only
/*
 * epoch.c - the live map, and the writes that are in flight under it.
 *
 * Owns epochs and the slow ways of the write path.  When to rotate and what to
 * do with an old map is lifecycle.c's.
 *
 * Contexts: marking in any, hard interrupt included; create and destroy in
 * process context under memalloc_noio.
 */
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "epoch.h"
#include "leaf.h"

/**
 * dtr_epoch_create() - a new epoch with a clean live map.
 * @size: bytes of the device
 * @shift: log2 of the live map's granularity, negative when nothing records
 * @pool: where the map's leaves come from
 *
 * Context: process, under memalloc_noio; may sleep.
 * Return: the epoch, or ERR_PTR(-ENOMEM), ERR_PTR(-EOVERFLOW).
 */
struct dtr_epoch *dtr_epoch_create(u64 size, int shift,
				   struct dtr_leaf_pool *pool)
{
	struct dtr_epoch *epoch = kzalloc(sizeof(*epoch), GFP_KERNEL);
	int r = -ENOMEM;

	if (!epoch)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&epoch->link);
	epoch->map.shift = DTR_MIN_SHIFT;
	epoch->inflight = alloc_percpu(unsigned long);
	if (!epoch->inflight)
		goto err_epoch;
	if (shift >= 0) {
		r = dtr_bitmap_init(&epoch->map, size, shift, &dtr_leaf_ops,
				    pool);
		if (r)
			goto err_inflight;
	}
	return epoch;

err_inflight:
	free_percpu(epoch->inflight);
err_epoch:
	kfree(epoch);
	return ERR_PTR(r);
}

/**
 * dtr_epoch_destroy() - free an epoch.
 * @epoch: never published, or retired and idle; NULL and ERR_PTR allowed
 *
 * Context: process; may sleep.
 */
void dtr_epoch_destroy(struct dtr_epoch *epoch)
{
	if (IS_ERR_OR_NULL(epoch))
		return;
	dtr_bitmap_exit(&epoch->map);
	free_percpu(epoch->inflight);
	kfree(epoch);
}

/**
 * dtr_epoch_idle() - whether no write is in flight in a retired epoch.
 * @epoch: retired: a grace period has passed since it was replaced
 *
 * Each CPU's count only falls by now, so that a sum read while others fall is
 * at least the sum at the end of the reading: zero is never read too early.
 *
 * Context: any.
 */
bool dtr_epoch_idle(const struct dtr_epoch *epoch)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(epoch->inflight, cpu));
	/* Pairs with smp_wmb() in dtr_write_end_late(): idle => re-marked. */
	smp_rmb();
	return !sum;
}

/**
 * dtr_clock_overflow() - a mark that is beyond the live map.
 * @clock: the device's
 * @epoch: current
 *
 * Harmless when nothing records.  Otherwise the device has grown and there was
 * no memory for a larger map: everything counts as dirty.
 *
 * Context: any.
 */
void dtr_clock_overflow(struct dtr_clock *clock, const struct dtr_epoch *epoch)
{
	if (epoch->map.nr_bits)
		WRITE_ONCE(clock->overflow, true);
}

/**
 * dtr_write_end_late() - end a write that was in flight across a rotation.
 * @clock: the device's
 * @write: see dtr_write_end()
 *
 * Context: any, hard interrupt included.
 */
void dtr_write_end_late(struct dtr_clock *clock, struct dtr_write *write)
{
	struct dtr_epoch *now;

	preempt_disable();
	now = rcu_dereference_sched(clock->epoch);
	dtr_epoch_mark(clock, now, write->sector, write->nr_sectors);
	preempt_enable();
	/* Pairs with smp_rmb() in dtr_epoch_idle(): marked before drained. */
	smp_wmb();
	this_cpu_dec(*write->epoch->inflight);
	/* The epoch may be gone; the clock stays until the bio has ended. */
	schedule_work(clock->reap);
}
