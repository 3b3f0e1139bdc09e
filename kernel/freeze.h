/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * freeze.h - a bitmap's frozen content: how it begins, and how it ends.
 *
 * What a busy bitmap has is struct dtr_freeze, in tracker.h, and protected as
 * it says there.  To freeze and to end a freeze are actions of transactions
 * (transaction.h); what is not takes the tracker's mutex for itself.
 */
#ifndef DTR_FREEZE_H
#define DTR_FREEZE_H

#include "lifecycle.h"

/**
 * struct dtr_run - how an open file names a freeze.
 * @owner: the file
 * @run: id, or 0 for a freeze without owner
 * @force: end it whoever owns it
 */
struct dtr_run {
	const void *owner;
	u64 run;
	bool force;
};

/* actions, for transaction.c; every tracker that they name is locked */
int dtr_action_freeze_locked(struct dtr_action *a, struct dtr_undo *u);
int dtr_action_end_locked(struct dtr_action *a, struct dtr_undo *u, bool last);

/* beside transactions */
void dtr_named_reclaim_run(struct dtr_tracker *t, const void *owner, u64 run);
int dtr_named_report(struct dtr_tracker *t, const char *name,
		     const struct dtr_run *run,
		     const struct dtrack_range *ranges, u32 nr);

#endif
