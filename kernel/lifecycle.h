/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lifecycle.h - what users may do to a named bitmap, and read of it.
 *
 * What begins and ends a freeze is in freeze.h.
 *
 * The same functions serve the control device and dmsetup messages.  Changes
 * are actions of transactions (transaction.h); what is not takes the tracker's
 * mutex for itself and is all or nothing.  All run in process context under
 * memalloc_noio; errnos are those of the uapi header.  Names are
 * NUL-terminated, 'owner' is the open file that asks or NULL.
 */
#ifndef DTR_LIFECYCLE_H
#define DTR_LIFECYCLE_H

#include "transaction.h"

/* What may be done to a bitmap, as the state table has it. */
enum dtr_op {
	DTR_OP_REMOVE,
	DTR_OP_CLEAR,
	DTR_OP_ENABLE,
	DTR_OP_DISABLE,
	DTR_OP_MERGE_FROM,
	DTR_OP_MERGE_INTO,
	DTR_OP_FREEZE,
	DTR_OP_FREEZE_NEVER,
	DTR_OP_LOAD,
	DTR_OP_END,
};

/**
 * struct dtr_undo - what an action has changed, until it is certain.
 * @fresh: for an add: the new bitmap or why there is none
 * @n: the bitmap; NULL: nothing changed, or it is certain already
 * @replaced: @n has another base now, @base is the one before
 * @moved: its base now is the successor of @freeze, not a bitmap of its own
 * @base: the base before
 * @ended: @freeze was ended, and is kept
 * @freeze: the freeze before, or NULL
 * @generation: before
 * @last_run: before
 * @recording: before
 * @missing: before
 */
struct dtr_undo {
	struct dtr_named *fresh;
	struct dtr_named *n;
	bool replaced;
	bool moved;
	bool ended;
	struct dtr_bitmap base;
	struct dtr_freeze *freeze;
	u64 generation;
	u64 last_run;
	bool recording;
	bool missing;
};

/**
 * struct dtr_staging - content that is being loaded, chunk by chunk.
 * @uuid: of the bitmap it is for
 * @generation: of that bitmap when the loading began
 * @bits: what has come so far
 */
struct dtr_staging {
	uuid_t uuid;
	u64 generation;
	struct dtr_bitmap bits;
};

/* actions, for transaction.c; every tracker that they name is locked */
void dtr_action_prepare_locked(const struct dtr_action *a, struct dtr_undo *u);
int dtr_action_apply_locked(struct dtr_action *a, struct dtr_undo *u);
void dtr_action_undo_locked(const struct dtr_action *a, struct dtr_undo *u);
void dtr_action_commit_locked(const struct dtr_action *a, struct dtr_undo *u);
void dtr_action_finish_locked(struct dtr_undo *u);

/* for actions; the tracker of the bitmap is locked */
struct dtr_named *dtr_named_find_for_locked(struct dtr_tracker *t,
					    const char *name, enum dtr_op op);
void dtr_undo_begin(struct dtr_undo *u, struct dtr_named *n);
void dtr_undo_replace_base(struct dtr_undo *u, struct dtr_named *n,
			   const struct dtr_bitmap *base);
int dtr_unite_exactly(struct dtr_bitmap *sum, const struct dtr_bitmap *a,
		      const struct dtr_bitmap *b);

/* beside transactions */
int dtr_named_load_begin(struct dtr_tracker *t, const char *name,
			 u64 generation, struct dtr_staging *staging);
int dtr_named_load_check(struct dtr_tracker *t, const char *name,
			 u64 generation, const struct dtr_staging *staging);
int dtr_named_load_commit(struct dtr_tracker *t, const char *name,
			  struct dtr_staging *staging, bool merge);

/* query.c */
int dtr_tracker_lock_live(struct dtr_tracker *t);
void dtr_named_info_locked(struct dtr_tracker *t, struct dtr_named *n,
			   struct dtrack_bitmap_info *info);
int dtr_tracker_info(struct dtr_tracker *t, struct dtrack_ioc_info *arg,
		     struct dtrack_bitmap_info *infos, u32 room);
int dtr_named_extents(struct dtr_tracker *t, struct dtrack_ioc_extents *arg,
		      struct dtrack_range *ranges, u32 room);
int dtr_named_get_bits(struct dtr_tracker *t, struct dtrack_ioc_bits *arg,
		       void *buf);
int dtr_bits_range(u64 start, u64 length, u64 size, unsigned int shift,
		   u64 *first, u64 *nr);

#endif
