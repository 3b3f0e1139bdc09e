/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * epoch.h - the live map, and the writes that are in flight under it.
 *
 * However many bitmaps a device has, a write marks one: the live map of the
 * current epoch, which is at least as fine as every bitmap that records.  A
 * rotation publishes a new epoch, waits for an RCU grace period, after which
 * nobody marks in the old map any more, and folds that map into the bitmaps
 * that recorded (lifecycle.c).  A write that was in flight across the rotation
 * is marked again, in the epoch that is current when it completes: the copy
 * that the rotation made way for may have read the device before it landed.
 *
 * In-flight writes are counted for each CPU, without a shared cache line.
 * After the grace period nothing is added to an old epoch's count, so that the
 * sum over the CPUs only falls and zero means drained.
 */
#ifndef DTR_EPOCH_H
#define DTR_EPOCH_H

#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>

#include "core/bitmap.h"

struct dtr_leaf_pool;

/**
 * struct dtr_epoch - a live map and its writes.
 * @inflight: writes that map() began and end_io() has not ended, by the CPU
 *	that did so: only the sum means something
 * @map: the live map; has no bits (nr_bits 0) while nothing records.
 *	Marked under preempt_disable() by whoever found this epoch current,
 *	owned by the tracker's mutex after the grace period that retires it
 * @link: in the list of retired epochs; protected by the tracker's mutex
 */
struct dtr_epoch {
	unsigned long __percpu *inflight;
	struct dtr_bitmap map;
	struct list_head link;
};

/**
 * struct dtr_clock - where the current epoch is found.
 * @epoch: never NULL; replaced under the tracker's mutex, read under
 *	preempt_disable()
 * @overflow: set by a mark that the live map is too small for, so that
 *	everything must count as dirty; cleared under the tracker's mutex
 * @retired: epochs with writes in flight; protected by the tracker's mutex
 * @reap: frees them; queued by the write that ends in a retired epoch
 */
struct dtr_clock {
	struct dtr_epoch __rcu *epoch;
	bool overflow;
	struct list_head retired;
	struct work_struct *reap;
};

/**
 * struct dtr_write - what a write in flight remembers, in its bio's data.
 * @epoch: where it is counted
 * @sector: first sector, relative to the device
 * @nr_sectors: > 0
 */
struct dtr_write {
	struct dtr_epoch *epoch;
	u64 sector;
	u32 nr_sectors;
};

struct dtr_epoch *dtr_epoch_create(u64 size, int shift,
				   struct dtr_leaf_pool *pool);
void dtr_epoch_destroy(struct dtr_epoch *epoch);
bool dtr_epoch_idle(const struct dtr_epoch *epoch);
void dtr_clock_overflow(struct dtr_clock *clock, const struct dtr_epoch *epoch);
void dtr_write_end_late(struct dtr_clock *clock, struct dtr_write *write);

/* Caller is in the preempt-off section in which it found @epoch current. */
static __always_inline void dtr_epoch_mark(struct dtr_clock *clock,
					   struct dtr_epoch *epoch, u64 sector,
					   u32 nr_sectors)
{
	unsigned int shift = epoch->map.shift - DTR_SECTOR_SHIFT;
	u64 first = sector >> shift;
	u64 last = (sector + nr_sectors - 1) >> shift;

	if (unlikely(last >= epoch->map.nr_bits))
		dtr_clock_overflow(clock, epoch);
	else
		dtr_bitmap_mark(&epoch->map, first, last);
}

/**
 * dtr_write_begin() - count and mark a write, before it goes down.
 * @clock: the device's
 * @write: filled in
 * @sector: first sector, relative to the device
 * @nr_sectors: > 0
 *
 * Context: any; does not sleep.
 */
static __always_inline void dtr_write_begin(struct dtr_clock *clock,
					    struct dtr_write *write, u64 sector,
					    u32 nr_sectors)
{
	struct dtr_epoch *epoch;

	write->sector = sector;
	write->nr_sectors = nr_sectors;
	preempt_disable();
	epoch = rcu_dereference_sched(clock->epoch);
	this_cpu_inc(*epoch->inflight);
	dtr_epoch_mark(clock, epoch, sector, nr_sectors);
	preempt_enable();
	write->epoch = epoch;
}

/**
 * dtr_write_end() - the write has come back from below, failed or not.
 * @clock: the device's
 * @write: from dtr_write_begin(); the epoch it names may be gone afterwards
 *
 * To be called before the bio is ended.  That the epoch may be replaced just
 * after the comparison does no harm: the data has landed, whoever reads the
 * device because of that rotation reads it, and the mark is in what it folds.
 *
 * Context: any, hard interrupt included.
 */
static __always_inline void dtr_write_end(struct dtr_clock *clock,
					  struct dtr_write *write)
{
	if (likely(rcu_access_pointer(clock->epoch) == write->epoch))
		this_cpu_dec(*write->epoch->inflight);
	else
		dtr_write_end_late(clock, write);
}

#endif
