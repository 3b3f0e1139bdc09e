// SPDX-License-Identifier: GPL-2.0-only
/*
 * epoch.c - the live map, and the writes that are in flight under it.
 *
 * Owns epochs and the slow ways of the write path.  How a new one begins and
 * what becomes of an old map is rotation.c's.
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
	epoch->cpus = alloc_percpu(struct dtr_cpu_writes);
	if (!epoch->cpus)
		goto err_epoch;
	if (shift >= 0) {
		r = dtr_bitmap_init(&epoch->map, size, shift, &dtr_leaf_ops,
				    pool);
		if (r)
			goto err_cpus;
	}
	return epoch;

err_cpus:
	free_percpu(epoch->cpus);
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
	free_percpu(epoch->cpus);
	kfree(epoch);
}

/**
 * dtr_epoch_idle() - whether no write is in flight in a retired epoch.
 * @epoch: retired: a grace period has passed since it was replaced
 *
 * What began does not change any more, and each CPU's count of what ended only
 * rises, so that a sum read meanwhile is at most the sum at the end of the
 * reading: it is never equal too early.
 *
 * Context: any.
 */
bool dtr_epoch_idle(const struct dtr_epoch *epoch)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct dtr_cpu_writes *w = per_cpu_ptr(epoch->cpus, cpu);

		sum += READ_ONCE(w->all.nr) - READ_ONCE(w->ended);
	}
	/* Pairs with smp_wmb() in dtr_write_end_late(): idle => re-marked. */
	smp_rmb();
	return !sum;
}

/*
 * When the CPU's last write began, in 64 bits.  On 32 bits that is right for as
 * long as the write is less than 2^32 jiffies ago.
 */
static u64 last_write(const struct dtr_cpu_writes *w)
{
	unsigned long last = READ_ONCE(w->last);
	u64 now;

	/*
	 * The clock after the write's time, or it may be behind it.  Pairs with
	 * dtr_write_begin(), whose store of @last depends on its reading of the
	 * clock.
	 */
	smp_rmb();
	now = get_jiffies_64();
	return now - ((unsigned long)now - last);
}

static void add_cpu(struct dtr_writes *sum, const struct dtr_cpu_writes *w)
{
	unsigned long nr = READ_ONCE(w->all.nr);
	u64 last = last_write(w);
	int i;

	if (nr && (!sum->nr || time_after64(last, sum->last)))
		sum->last = last;
	sum->nr += nr;
	sum->sectors += READ_ONCE(w->all.sectors);
	for (i = 0; i < DTR_NR_KINDS; i++) {
		sum->of_nr[i] += READ_ONCE(w->of[i].nr);
		sum->of_sectors[i] += READ_ONCE(w->of[i].sectors);
	}
}

/**
 * dtr_epoch_count() - add an epoch's writes to a sum.
 * @epoch: exact once it has been retired for a grace period
 * @sum: in and out
 *
 * Context: any.
 */
void dtr_epoch_count(const struct dtr_epoch *epoch, struct dtr_writes *sum)
{
	int cpu;

	for_each_possible_cpu(cpu)
		add_cpu(sum, per_cpu_ptr(epoch->cpus, cpu));
}

/**
 * dtr_clock_count_kind() - count what is no plain write by itself, too.
 * @clock: the device's
 * @op: what it is; what is not known is one of the others
 * @nr_sectors: of it
 *
 * To be called before dtr_write_begin().
 *
 * Context: any.
 */
void dtr_clock_count_kind(struct dtr_clock *clock, enum req_op op,
			  u32 nr_sectors)
{
	struct dtr_epoch *epoch;
	enum dtr_kind kind = op == REQ_OP_DISCARD ? DTR_DISCARDS :
			     op == REQ_OP_WRITE_ZEROES ? DTR_ZEROES :
			     DTR_OTHERS;

	if (!nr_sectors)
		return;
	dtr_epoch_pin();
	epoch = dtr_epoch_current(clock);
	this_cpu_inc(epoch->cpus->of[kind].nr);
	this_cpu_add(epoch->cpus->of[kind].sectors, nr_sectors);
	dtr_epoch_unpin();
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

	if (!write->epoch)
		return;
	dtr_epoch_pin();
	now = dtr_epoch_current(clock);
	dtr_epoch_mark(clock, now, write->sector, write->nr_sectors);
	dtr_epoch_unpin();
	/* Pairs with smp_rmb() in dtr_epoch_idle(): marked before drained. */
	smp_wmb();
	this_cpu_inc(write->epoch->cpus->ended);
	/* The epoch may be gone; the clock stays until the bio has ended. */
	schedule_work(clock->reap);
}
