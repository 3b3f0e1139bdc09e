/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * continuity.h - whether a device was tracked all the time between two tables.
 */
#ifndef DTR_CONTINUITY_H
#define DTR_CONTINUITY_H

#include "plan.h"

void dtr_plan_swap_in(struct dtr_plan *plan);
void dtr_tracker_suspended(struct dtr_tracker *t, struct dm_table *table);
bool dtr_tracker_continue_locked(struct dtr_tracker *t, struct dtr_plan *plan,
				 struct dm_table *table);
void dtr_tracker_forget_table(struct dtr_tracker *t, struct dtr_plan *plan,
			      struct dm_table *table);
void dtr_tracker_lose_locked(struct dtr_tracker *t, bool gap);

#endif
