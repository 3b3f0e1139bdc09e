/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan.h - what a table line asks of a tracker, from its constructor to resume.
 *
 * A plan is its target's alone, and needs no lock: device-mapper constructs,
 * resumes and destroys a table one after the other.  What it is compared with
 * and what it changes is the tracker's, whose mutex is taken inside.
 */
#ifndef DTR_PLAN_H
#define DTR_PLAN_H

#include "tracker.h"

/**
 * struct dtr_plan - what a table line asks for, until it is resumed.
 * @size: bytes of the device
 * @lower: the device below
 * @lower_start: where we begin on it, bytes
 * @same_data: another lower device holds the same data
 * @bitmaps: struct dtr_named that the line names, with their first content
 * @epoch: allocated in the constructor, because resume must not fail; or NULL
 * @t: tracker whose list has @pending, NULL before it is prepared
 * @pending: in the tracker's list of plans until it is adopted
 * @done: it has been adopted
 * @swapper: task that made the table the live one; compared, never followed
 * @before: table that was adopted before, while that exists
 * @unproven: in the tracker's list while it is not proven that nothing was live
 *	between @before and this table; see continuity.c
 */
struct dtr_plan {
	u64 size;
	dev_t lower;
	u64 lower_start;
	bool same_data;
	struct list_head bitmaps;
	struct dtr_epoch *epoch;
	struct dtr_tracker *t;
	struct list_head pending;
	bool done;
	const struct task_struct *swapper;
	const struct dm_table *before;
	struct list_head unproven;
};

void dtr_plan_init(struct dtr_plan *plan);
void dtr_plan_exit(struct dtr_plan *plan);
int dtr_plan_add_bitmap(struct dtr_plan *plan, struct dtr_tracker *t,
			const char *name, u64 granularity, bool clean,
			char **error);
int dtr_plan_prepare(struct dtr_plan *plan, struct dtr_tracker *t,
		     char **error);
void dtr_tracker_adopt(struct dtr_tracker *t, struct dtr_plan *plan,
		       struct dm_table *table);

#endif
