/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rotation.h - a tracker's epochs: how one begins, and what becomes of the last.
 *
 * A new epoch begins so that writes before a point in time can be told from
 * those after it: it is prepared while that may still fail, published, a grace
 * period passes, and the map of the one before is folded into the bitmaps that
 * recorded (epoch.h).  Where several trackers are to have one point in common,
 * all are published, one grace period passes, all are folded.
 *
 * All but dtr_tracker_sync() are called with the tracker's mutex held; it
 * protects the pointer to the current epoch and the list of retired ones
 * (struct dtr_clock), and every map that a grace period has passed for.
 */
#ifndef DTR_ROTATION_H
#define DTR_ROTATION_H

#include "tracker.h"

int dtr_tracker_live_shift_locked(struct dtr_tracker *t, int shift);
struct dtr_epoch *dtr_tracker_prepare_locked(struct dtr_tracker *t, int shift);
struct dtr_epoch *dtr_tracker_publish_locked(struct dtr_tracker *t,
					     struct dtr_epoch *next);
void dtr_tracker_fold_locked(struct dtr_tracker *t, struct dtr_epoch *old);
void dtr_tracker_rotate_locked(struct dtr_tracker *t, struct dtr_epoch *next);
void dtr_tracker_trim_locked(struct dtr_tracker *t);
void dtr_tracker_settle_locked(struct dtr_tracker *t);
const struct dtr_bitmap *dtr_tracker_live_locked(struct dtr_tracker *t,
						 const struct dtr_named *n);
void dtr_tracker_sync(void);
void dtr_tracker_writes_locked(struct dtr_tracker *t,
			       struct dtrack_writes *writes);

#endif
