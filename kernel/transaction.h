/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * transaction.h - changes of bitmaps, many at one point in time or none.
 *
 * Every change that a user asks for is an action; one alone is a transaction
 * of one.  dtr_transact()
 *
 *	1. locks the trackers that the actions name, by id,
 *	2. begins a new epoch on each whose writes the actions tell apart: all
 *	   are published, one grace period passes, all are folded.  From here on
 *	   bases and successors hold what was written before that point and the
 *	   live maps what came later; content is what it was,
 *	3. applies the actions in order (lifecycle.c, freeze.c).  Content is
 *	   replaced, never changed in place, and what was there before is kept
 *	   in the action,
 *	4. frees what was kept, or puts it back, last action first.
 *
 * Nobody else sees anything between 1 and 4: readers take the trackers' mutex,
 * the write path knows epochs only.
 */
#ifndef DTR_TRANSACTION_H
#define DTR_TRANSACTION_H

#include "tracker.h"

/**
 * struct dtr_source - a source of a merge.
 * @t: its tracker
 * @name: its name
 */
struct dtr_source {
	struct dtr_tracker *t;
	const char *name;
};

/**
 * struct dtr_action - one change of a bitmap, asked for by a user.
 * @type: enum dtrack_action_type
 * @error: why it cannot be done, found by the caller and told when its turn
 *	comes; or 0
 * @t: tracker, with a reference of the caller's; NULL for
 *	DTRACK_ACTION_ABORT and, perhaps, with @error
 * @name: the bitmap, NUL-terminated
 * @granularity: add: bytes, 0: the default
 * @disabled: add: it does not record
 * @mode: freeze: enum dtrack_mode
 * @set: freeze: enum dtrack_set
 * @owner: freeze, abdicate, reclaim: the open file that asks, or NULL
 * @run: freeze: id or 0, afterwards the id; abdicate, reclaim: id, or 0 for a
 *	freeze without owner
 * @force: reclaim: whoever owns it
 * @sources: merge: bitmaps of this or other devices of the same size; the
 *	target may be among them
 * @nr_sources: merge: number of @sources
 * @generation: freeze: that the content must have, or 0; out, freeze: of the
 *	frozen content; abdicate, reclaim: afterwards
 * @uuid: out, add: the new bitmap's
 */
struct dtr_action {
	enum dtrack_action_type type;
	int error;
	struct dtr_tracker *t;
	const char *name;
	u64 granularity;
	bool disabled;
	u32 mode;
	u32 set;
	const void *owner;
	u64 run;
	bool force;
	const struct dtr_source *sources;
	unsigned int nr_sources;

	u64 generation;
	uuid_t uuid;
};

int dtr_transact(struct dtr_action *actions, unsigned int nr,
		 unsigned int *failed);

#endif
