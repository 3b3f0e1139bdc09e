/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * epoch.h - the live map, and the writes that are in flight under it.
 *
 * However many bitmaps a device has, a write marks one: the live map of the
 * current epoch, which is at least as fine as every bitmap that records.  A
 * rotation publishes a new epoch, waits for an RCU grace period, after which
 * nobody marks in the old map any more, and folds that map into the bitmaps
 * that recorded (rotation.c).  A write that was in flight across the rotation
 * is marked again, in the epoch that is current when it completes: the copy
 * that the rotation made way for may have read the device before it landed.
 *
 * Writes are counted for each CPU, without a shared cache line, as they begin
 * and as they end.  After the grace period none begins in an old epoch, so that
 * the sum of those that ended only rises, and what began has ended when both
 * are the same.  The count of those that began is also what users are shown.
 */
#ifndef DTR_EPOCH_H
#define DTR_EPOCH_H

#include <linux/blk_types.h>
#include <linux/jiffies.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>

#include "core/bitmap.h"

struct dtr_leaf_pool;

/* Writes that are counted by themselves, beside all. */
enum dtr_kind {
	DTR_DISCARDS,
	DTR_ZEROES,
	DTR_OTHERS,
	DTR_NR_KINDS,
};

/* On 32 bits these are modulo 2^32. */
struct dtr_tally {
	unsigned long nr;
	unsigned long sectors;
};

/**
 * struct dtr_cpu_writes - one CPU's writes of an epoch.
 * @all: those that began here
 * @ended: writes that ended here, wherever they began
 * @last: when the last one began, jiffies
 * @of: what of @all is no plain write
 *
 * The first half is all that a plain write touches, of one cache line.
 */
struct dtr_cpu_writes {
	struct dtr_tally all;
	unsigned long ended;
	unsigned long last;
	struct dtr_tally of[DTR_NR_KINDS];
} __aligned(4 * sizeof(long));

/**
 * struct dtr_writes - writes of many CPUs and epochs, each when it began.
 * @nr: of all kinds
 * @sectors: of all kinds
 * @of_nr: of those, by kind
 * @of_sectors: of those, by kind
 * @last: when the last one began, 64-bit jiffies; means nothing when @nr is 0
 */
struct dtr_writes {
	u64 nr;
	u64 sectors;
	u64 of_nr[DTR_NR_KINDS];
	u64 of_sectors[DTR_NR_KINDS];
	u64 last;
};

/**
 * struct dtr_epoch - a live map and its writes.
 * @cpus: counts, by the CPU that map() or end_io() ran on: only the sums mean
 *	something
 * @map: the live map; has no bits (nr_bits 0) while nothing records.
 *	Marked between dtr_epoch_pin() and dtr_epoch_unpin() by whoever found
 *	this epoch current, owned by the tracker's mutex after the grace
 *	period that retires it
 * @link: in the list of retired epochs; protected by the tracker's mutex
 */
struct dtr_epoch {
	struct dtr_cpu_writes __percpu *cpus;
	struct dtr_bitmap map;
	struct list_head link;
};

/**
 * struct dtr_clock - where the current epoch is found.
 * @epoch: never NULL; replaced under the tracker's mutex, read with
 *	dtr_epoch_current()
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
 * @epoch: where it is counted; NULL: it changes nothing and is not
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
void dtr_epoch_count(const struct dtr_epoch *epoch, struct dtr_writes *sum);
void dtr_clock_count_kind(struct dtr_clock *clock, enum req_op op,
			  u32 nr_sectors);
void dtr_clock_overflow(struct dtr_clock *clock, const struct dtr_epoch *epoch);
void dtr_write_end_late(struct dtr_clock *clock, struct dtr_write *write);

/*
 * Keeps the current epoch from being folded.  Without preemption that costs two
 * instructions and, since a first touch takes a leaf from the slab cache, is not
 * legal on PREEMPT_RT, where slab caches have sleeping locks.  Grace periods
 * wait for either.
 */
static __always_inline void dtr_epoch_pin(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		rcu_read_lock();
	else
		preempt_disable();
}

static __always_inline void dtr_epoch_unpin(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		rcu_read_unlock();
	else
		preempt_enable();
}

/* The current epoch; to be used until dtr_epoch_unpin(). */
static __always_inline struct dtr_epoch *
dtr_epoch_current(const struct dtr_clock *clock)
{
	return rcu_dereference_check(clock->epoch, rcu_read_lock_sched_held());
}

/*
 * One CPU's figures, while an epoch is pinned.  An interrupt in between spoils a
 * figure at most; on PREEMPT_RT another thread would, and often.
 */
static __always_inline void dtr_cpu_note(struct dtr_cpu_writes __percpu *cpus,
					 u32 nr_sectors)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		this_cpu_add(cpus->all.sectors, nr_sectors);
		this_cpu_write(cpus->last, jiffies);
	} else {
		__this_cpu_add(cpus->all.sectors, nr_sectors);
		__this_cpu_write(cpus->last, jiffies);
	}
}

/* Caller has had @epoch pinned since it found that one current. */
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
	struct dtr_cpu_writes __percpu *cpus;
	struct dtr_epoch *epoch;

	write->sector = sector;
	write->nr_sectors = nr_sectors;
	dtr_epoch_pin();
	epoch = dtr_epoch_current(clock);
	cpus = epoch->cpus;
	this_cpu_inc(cpus->all.nr);
	dtr_cpu_note(cpus, nr_sectors);
	dtr_epoch_mark(clock, epoch, sector, nr_sectors);
	dtr_epoch_unpin();
	write->epoch = epoch;
}

/**
 * dtr_write_end() - the write has come back from below, failed or not.
 * @clock: the device's
 * @write: from dtr_write_begin(), or of no epoch; the epoch it names may be
 *	gone afterwards
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
		this_cpu_inc(write->epoch->cpus->ended);
	else
		dtr_write_end_late(clock, write);
}

#endif
