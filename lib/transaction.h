/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * transaction.h - transactions, as the files that make them share them.
 */
#ifndef DTL_TRANSACTION_H
#define DTL_TRANSACTION_H

#include "group.h"

/* What is no action of the kernel's. */
#define DTL_ACTION_BACKUP	(DTRACK_ACTION_RECLAIM + 1)

/**
 * struct dtl_tx_action - an action.
 * @tx: its transaction
 * @type: enum dtrack_action_type or DTL_ACTION_BACKUP
 * @bad: what was wrong with it when it was added, or NULL
 * @kernel: what the kernel shall do, but for a run without a bitmap
 * @sources: of a merge
 * @options: of a run, with strings of our own and our own notify
 * @target: owns @options.target
 * @bitmap: owns @options.bitmap
 * @notify: the caller's
 * @opaque: for it
 * @h: a run's handle
 * @run: a run, also in struct dtrack_transaction
 * @prepared: its manifest may have to be put back
 * @error: what went wrong, NULL if nothing
 * @result: for the caller
 */
struct dtl_tx_action {
	struct dtrack_transaction *tx;
	unsigned int type;
	struct dtl_error *bad;
	struct dtrack_action kernel;
	struct dtrack_source *sources;
	struct dtrack_run_options options;
	char *target;
	char *bitmap;
	void (*notify)(void *opaque, enum dtrack_run_event event,
		       uint64_t done, uint64_t total, const char *message);
	void *opaque;
	struct dtrack *h;
	struct dtrack_run *run;
	bool prepared;
	struct dtl_error *error;
	struct dtrack_action_result result;
};

/**
 * struct dtrack_transaction - a transaction.
 * @h: the handle
 * @grouped: completion mode
 * @executed: it was, or is being
 * @committed: its actions were done
 * @nr: number of actions
 * @actions: them
 * @nr_kernel: number of @kernel
 * @kernel: the kernel's actions, and room for one more
 * @index: of each of them among @actions
 * @forecast: what they do
 * @group: the runs
 * @notify_lock: held while a caller's notify is called
 * @cancel: asked to end
 * @runs: of the actions with that index; what a signal handler may follow
 */
struct dtrack_transaction {
	struct dtrack *h;
	bool grouped;
	bool executed;
	bool committed;
	unsigned int nr;
	struct dtl_tx_action *actions[DTRACK_MAX_ACTIONS];
	unsigned int nr_kernel;
	struct dtrack_action *kernel;
	unsigned int index[DTRACK_MAX_ACTIONS];
	struct dtl_forecast forecast;
	struct dtl_group group;
	pthread_mutex_t notify_lock;
	atomic_int cancel;
	_Atomic(struct dtrack_run *) runs[DTRACK_MAX_ACTIONS];
};

#endif
