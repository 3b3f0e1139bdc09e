/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * group.h - runs that were begun together.
 */
#ifndef DTL_GROUP_H
#define DTL_GROUP_H

#include <pthread.h>

#include "run.h"

struct dtl_group;

/**
 * struct dtl_member - a run of a group.
 * @group: its group
 * @run: the run, with a handle of its own
 * @thread: that copies
 * @started: there is one
 * @ret: what came of it, 0 or a negative errno; the words are the handle's
 */
struct dtl_member {
	struct dtl_group *group;
	struct dtrack_run *run;
	pthread_t thread;
	bool started;
	int ret;
};

/**
 * struct dtl_group - the runs of a transaction.
 * @h: the handle that owns their freezes
 * @grouped: all or none
 * @nr: number of members
 * @members: them
 * @actions: room for @nr
 * @which: room for @nr + 1: the member of each action, then NULL
 */
struct dtl_group {
	struct dtrack *h;
	bool grouped;
	unsigned int nr;
	struct dtl_member *members;
	struct dtrack_action *actions;
	struct dtl_member **which;
};

/**
 * dtl_group_run() - copy all runs at the same time, and end them.
 * @g: the group; freezes are held
 *
 * Grouped, none ends before all have copied; when one fails or is cancelled the
 * others are cancelled; and all end at one point in time.  Otherwise each ends
 * by itself.  Nothing is frozen afterwards, and each run's result is settled.
 */
void dtl_group_run(struct dtl_group *g);

/**
 * dtl_group_take_back() - thaw all bitmaps that are frozen, at once if possible.
 * @g: the group
 */
void dtl_group_take_back(struct dtl_group *g);

#endif
