/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tracker.h - one mapped device's bitmaps.
 *
 * A tracker belongs to a mapped device, not to a table: it is found again by
 * the constructor of a reloaded table, so that bitmaps survive a reload.  The
 * registry drops it with the last target of the device; open files that still
 * have a reference then find it 'gone'.
 *
 * Lock order: registry_mutex -> tracker->mutex -> leaf pool's lock.  Who locks
 * more than one tracker holds transaction.c's mutex first, and takes the lower
 * id first.  No user memory is touched and no device is
 * waited for under any of them.  They are taken under memalloc_noio_save(),
 * for the device may be suspended and memory be waiting for it.
 */
#ifndef DTR_TRACKER_H
#define DTR_TRACKER_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/uuid.h>

#include "core/name.h"
#include "epoch.h"
#include "leaf.h"
#include <linux/dm-dirtytrack.h>

struct dm_table;
struct mapped_device;

/**
 * struct dtr_freeze - what a busy bitmap has beside its frozen content.
 * @succ: the successor: what was recorded since the freeze
 * @todo: granules of the set that are not reported as copied; only in mode
 *	'always' (see dtr_freeze_keeps_todo())
 * @run: id, random, not 0
 * @mode: enum dtrack_mode
 * @set: enum dtrack_set
 * @since: when, seconds since 1970
 * @void_run: writes may have been missed since: the run can only be reclaimed
 * @owner: the open file it belongs to, compared and never followed; NULL: none
 * @pid: the owning process, NULL when there is no owner
 * @comm: its name
 *
 * Protected by the tracker's mutex.
 */
struct dtr_freeze {
	struct dtr_bitmap succ;
	struct dtr_bitmap todo;
	u64 run;
	u32 mode;
	u32 set;
	time64_t since;
	bool void_run;
	const void *owner;
	struct pid *pid;
	char comm[TASK_COMM_LEN];
};

/**
 * struct dtr_named - a named bitmap.
 * @link: in the tracker's list, in order of creation
 * @name: NUL-terminated
 * @uuid: immutable
 * @generation: see struct dtrack_bitmap_info
 * @last_run: see struct dtrack_bitmap_info
 * @recording: whether the live map belongs to the content
 * @missing: a run ended while it did not record: what was written since is
 *	missing in what the run copied and in the content
 * @inconsistent: the content is not to be trusted; reserved for persistent
 *	bitmaps, never set yet
 * @leaving: a transaction that is not certain yet removes it
 * @base: content = base, united with the live map if @recording; the frozen
 *	content while busy
 * @freeze: NULL when idle
 *
 * Protected by the tracker's mutex.
 */
struct dtr_named {
	struct list_head link;
	char *name;
	uuid_t uuid;
	u64 generation;
	u64 last_run;
	bool recording;
	bool missing;
	bool inconsistent;
	bool leaving;
	struct dtr_bitmap base;
	struct dtr_freeze *freeze;
};

/**
 * struct dtr_tracker - one mapped device's bitmaps.
 * @clock: the current epoch; first, for the write path
 * @pool: leaves of all its bitmaps
 * @ref: targets, open files
 * @id: order of creation, for the lock order; immutable
 * @devt: of the mapped device; immutable
 * @md: the mapped device; valid while registered, no reference
 * @link: in the registry; protected by registry_mutex
 * @nr_targets: live and inactive; protected by registry_mutex
 * @reap: frees retired epochs
 * @event: raises a dm event
 * @mutex: protects all below, and the fields that say so in @clock
 * @table: the table that was adopted last, NULL when it was destroyed
 * @disk_writes: writes that the disk had done when @table was suspended
 * @unproven: struct dtr_plan of tables that continue one which still exists
 * @event_due: @event has one to raise
 * @live: @table is the live one, as far as is known: visible to the control
 *	device
 * @gone: the last target went away
 * @at_point: the live map has nothing that the transaction which holds @mutex
 *	is to see
 * @writes: of epochs that are retired
 * @size: bytes of the device, 0 until a table was adopted
 * @lower: the device below
 * @lower_start: where we begin on it, bytes
 * @plans: struct dtr_plan that are prepared and not adopted: the limits count
 *	what they add, too
 * @nr_bitmaps: in @bitmaps
 * @bitmaps: struct dtr_named, in order of creation
 */
struct dtr_tracker {
	struct dtr_clock clock;
	struct dtr_leaf_pool pool;
	struct kref ref;
	u64 id;
	dev_t devt;
	struct mapped_device *md;
	struct list_head link;
	unsigned int nr_targets;
	struct work_struct reap;
	struct work_struct event;

	struct mutex mutex;	/* protects the rest */
	struct dm_table *table;
	u64 disk_writes;
	struct list_head unproven;
	bool event_due;
	bool live;
	bool gone;
	bool at_point;
	struct dtr_writes writes;
	u64 size;
	dev_t lower;
	u64 lower_start;
	struct list_head plans;
	unsigned int nr_bitmaps;
	struct list_head bitmaps;
};

/* registry */
struct dtr_tracker *dtr_tracker_attach(struct mapped_device *md);
void dtr_tracker_detach(struct dtr_tracker *t);
struct dtr_tracker *dtr_tracker_find(dev_t devt);
struct dtr_tracker *dtr_tracker_get(struct dtr_tracker *t);
void dtr_tracker_put(struct dtr_tracker *t);
u32 dtr_tracker_list(struct dtrack_dev *devs, u32 room);
bool dtr_tracker_readonly(const struct dtr_tracker *t);
u64 dtr_tracker_max_memory(void);

/* bitmaps; caller holds the tracker's mutex, of those that are in its list */
struct dtr_named *dtr_named_create(struct dtr_tracker *t, u64 size,
				   const char *name, unsigned int shift);
void dtr_named_destroy(struct dtr_named *n);
void dtr_freeze_free(struct dtr_freeze *f);
struct dtr_named *dtr_named_find_in(struct list_head *list, const char *name);
struct dtr_named *dtr_named_find_locked(struct dtr_tracker *t,
					const char *name);
struct dtr_bitmap *dtr_named_recorder(struct dtr_named *n);
int dtr_tracker_check_limits_locked(struct dtr_tracker *t, u64 size,
				    const struct list_head *more);

/* events */
void dtr_tracker_event_locked(struct dtr_tracker *t);

/* Whether the device has a table of ours; caller holds the tracker's mutex. */
static inline bool dtr_tracker_is_live(const struct dtr_tracker *t)
{
	return t->live && !t->gone;
}

static inline bool dtr_freeze_keeps_todo(const struct dtr_freeze *f)
{
	return f->mode == DTRACK_MODE_ALWAYS;
}

#endif
