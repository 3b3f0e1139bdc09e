// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * execute.c - many actions at one point in time, or none.
 *
 *	1. plan: the kernel's actions are written down; the runs among them are
 *	   checked against what the actions before them make of their bitmaps.
 *	   Nothing changes.  What is wrong here is told only if the kernel would
 *	   do all the actions before it: it tries them, and aborts.
 *	   Mounted file systems are synced.
 *	2. prepare: the manifests of targets that fit.
 *	3. commit: one transaction of the kernel, freezes included.
 *	4. what was frozen must be what was foreseen.
 *	5. the runs copy and end (group.c).
 *
 * Until 3 everything can be undone, and is; the kernel refuses a freeze of
 * another generation than was foreseen.  4 fails only when somebody else has put
 * another bitmap of that name and generation in its place since 1: then the runs
 * are taken back, and the other actions stay done.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "transaction.h"

/* As QMP calls them; the last three it has not. */
static const char *const words[] = {
	[DTRACK_ACTION_ABORT] = "abort",
	[DTRACK_ACTION_ADD] = "block-dirty-bitmap-add",
	[DTRACK_ACTION_REMOVE] = "block-dirty-bitmap-remove",
	[DTRACK_ACTION_CLEAR] = "block-dirty-bitmap-clear",
	[DTRACK_ACTION_ENABLE] = "block-dirty-bitmap-enable",
	[DTRACK_ACTION_DISABLE] = "block-dirty-bitmap-disable",
	[DTRACK_ACTION_MERGE] = "block-dirty-bitmap-merge",
	[DTL_ACTION_BACKUP] = "blockdev-backup",
	[DTRACK_ACTION_FREEZE] = "block-dirty-bitmap-freeze",
	[DTRACK_ACTION_ABDICATE] = "block-dirty-bitmap-abdicate",
	[DTRACK_ACTION_RECLAIM] = "block-dirty-bitmap-reclaim",
};

/* ---- Errors ------------------------------------------------------------- */

/* An action has failed, or was cancelled: the words are on @h. */
static int note_error(struct dtl_tx_action *a, const struct dtrack *h, int err)
{
	a->result.state = err == -ECANCELED && a->type == DTL_ACTION_BACKUP ?
			  DTRACK_RUN_CANCELLED : DTRACK_RUN_FAILED;
	a->result.err = err;
	a->error = malloc(sizeof(*a->error));
	if (a->error)
		dtl_error_save(h, a->error);
	return err;
}

/* The transaction's error is this action's. */
static int tell(struct dtrack_transaction *tx, unsigned int index)
{
	const struct dtl_tx_action *a = tx->actions[index];

	if (!a->error)
		return dtl_nomem(tx->h);
	return dtl_fail(tx->h, a->result.err, a->error->cls,
			"action %u (%s): %s", index, words[a->type],
			a->error->msg);
}

/* Nothing was done, because of this one. */
static int blame(struct dtrack_transaction *tx, unsigned int index,
		 const struct dtrack *h, int err)
{
	note_error(tx->actions[index], h, err);
	return tell(tx, index);
}

/* What the actions of the kernel before @nr do. */
static int foresee(struct dtrack_transaction *tx, unsigned int nr)
{
	unsigned int i;
	int ret = 0;

	dtl_forecast_exit(&tx->forecast);
	for (i = 0; i < nr && !ret; i++)
		ret = dtl_forecast_apply(tx->h, &tx->forecast, &tx->kernel[i]);
	return ret;
}

/* The kernel refused, and blames @failed of its actions, or none. */
static int refused(struct dtrack_transaction *tx, unsigned int failed, int err)
{
	if (err == -ENOTCONN)
		return tx->h->err;
	if (err == -ENOTTY)
		return dtl_fail(tx->h, -EOPNOTSUPP, NULL,
				"The kernel module knows no transactions");
	if (failed >= tx->nr_kernel)
		return dtl_fail(tx->h, err, NULL, "%s", strerror(-err));
	if (foresee(tx, failed))
		return -ENOMEM;
	dtl_action_error(tx->h, &tx->kernel[failed], &tx->forecast, err);
	return blame(tx, tx->index[failed], tx->h, tx->h->err);
}

/* ---- Planning ----------------------------------------------------------- */

/* All of them, before anything is done. */
static int check_grouped(struct dtrack_transaction *tx)
{
	unsigned int i;
	int ret;

	for (i = 0; i < tx->nr && tx->grouped; i++) {
		if (tx->actions[i]->type == DTL_ACTION_BACKUP)
			continue;
		ret = dtl_fail(tx->h, -EINVAL, DTL_CLASS_GENERIC,
			       "Action '%s' does not support transaction property completion-mode = grouped",
			       words[tx->actions[i]->type]);
		return blame(tx, i, tx->h, ret);
	}
	return 0;
}

static int check_targets(struct dtrack_transaction *tx,
			 const struct dtl_tx_action *a)
{
	unsigned int i;

	for (i = 0; tx->actions[i] != a; i++) {
		const struct dtrack_run *other = tx->actions[i]->run;

		if (other && dtl_target_same(&other->target, &a->run->target))
			return dtl_fail(a->h, -EBUSY, NULL,
					"Target '%s' is used by another run",
					a->run->target.path);
	}
	return 0;
}

/* From here on it can be cancelled, and was, if the transaction was. */
static void publish(struct dtrack_transaction *tx, unsigned int index,
		    struct dtrack_run *run)
{
	tx->actions[index]->run = run;
	atomic_store(&tx->runs[index], run);
	if (atomic_load(&tx->cancel))
		dtrack_run_cancel(run);
}

static int plan_backup(struct dtrack_transaction *tx, unsigned int index)
{
	struct dtl_tx_action *a = tx->actions[index];
	const struct dtl_outlook *outlook = NULL;
	struct dtrack_run *run;
	int ret;

	if (a->bitmap)
		outlook = dtl_forecast_find(&tx->forecast, a->kernel.dev,
					    a->bitmap);
	ret = dtl_run_new(a->h, a->kernel.dev, &a->options, outlook, &run);
	if (ret)
		return ret;
	publish(tx, index, run);
	ret = check_targets(tx, a);
	if (!ret && run->bitmap)
		ret = dtl_run_freeze_action(run, &a->kernel);
	return ret;
}

/* With the words on the action's handle, a run's own or the transaction's. */
static int plan_action(struct dtrack_transaction *tx, unsigned int index)
{
	struct dtl_tx_action *a = tx->actions[index];

	if (a->bad) {
		dtl_error_restore(tx->h, a->bad);
		return a->bad->err;
	}
	if (a->type == DTL_ACTION_BACKUP)
		return plan_backup(tx, index);
	return 0;
}

/*
 * @index is bad.  But is it the first?  The kernel tries what comes before, and
 * undoes it.
 */
static int try_before(struct dtrack_transaction *tx, unsigned int index,
		      const struct dtrack *h, int err)
{
	struct dtrack_action *abort = &tx->kernel[tx->nr_kernel];
	struct dtl_error bad;
	unsigned int failed;
	int ret;

	dtl_error_save(h, &bad);
	memset(abort, 0, sizeof(*abort));
	abort->type = DTRACK_ACTION_ABORT;
	ret = dtl_transact(tx->h, tx->kernel, tx->nr_kernel + 1, &failed);
	if (failed < tx->nr_kernel)
		return refused(tx, failed, ret);
	dtl_error_restore(tx->h, &bad);
	return blame(tx, index, tx->h, err);
}

static int plan(struct dtrack_transaction *tx)
{
	unsigned int i;
	int ret;

	for (i = 0; i < tx->nr; i++) {
		struct dtl_tx_action *a = tx->actions[i];

		if (a->type == DTL_ACTION_BACKUP && dtl_share(tx->h, &a->h))
			return -ENOMEM;
		ret = plan_action(tx, i);
		if (ret)
			return try_before(tx, i, a->h ? a->h : tx->h, ret);
		if (a->type == DTL_ACTION_BACKUP && !a->bitmap)
			continue;
		tx->index[tx->nr_kernel] = i;
		tx->kernel[tx->nr_kernel++] = a->kernel;
		ret = dtl_forecast_apply(tx->h, &tx->forecast, &a->kernel);
		if (ret)
			return ret;
	}
	return 0;
}

/* What is needed later, when failing is no longer easy. */
static int allocate(struct dtrack_transaction *tx)
{
	struct dtl_group *g = &tx->group;

	tx->kernel = calloc(tx->nr + 1, sizeof(*tx->kernel));
	g->members = calloc(tx->nr + 1, sizeof(*g->members));
	g->actions = calloc(tx->nr + 1, sizeof(*g->actions));
	g->which = calloc(tx->nr + 1, sizeof(*g->which));
	if (!tx->kernel || !g->members || !g->actions || !g->which)
		return dtl_nomem(tx->h);
	g->h = tx->h;
	g->grouped = tx->grouped;
	return 0;
}

/* ---- Beginning ---------------------------------------------------------- */

static void unprepare(struct dtrack_transaction *tx)
{
	unsigned int i;

	for (i = 0; i < tx->nr; i++)
		if (tx->actions[i]->prepared)
			dtl_run_unprepare(tx->actions[i]->run);
}

static int prepare(struct dtrack_transaction *tx)
{
	unsigned int i;
	int ret;

	for (i = 0; i < tx->nr_kernel; i++) {
		struct dtl_tx_action *a = tx->actions[tx->index[i]];

		if (a->type != DTL_ACTION_BACKUP)
			continue;
		ret = dtl_run_prepare(a->run);
		if (ret) {
			unprepare(tx);
			return blame(tx, tx->index[i], a->h, ret);
		}
		a->prepared = true;
		tx->kernel[i].run = a->run->freeze.run;
	}
	return 0;
}

static int check_cancel(struct dtrack_transaction *tx)
{
	if (!atomic_load(&tx->cancel))
		return 0;
	return dtl_fail(tx->h, -ECANCELED, NULL, "Operation canceled");
}

static bool wants_stillness(const struct dtl_tx_action *a)
{
	return a->type == DTL_ACTION_BACKUP &&
	       a->options.flags & DTRACK_RUN_FSFREEZE;
}

/* Whose file systems are to be held; one may be there twice. */
static unsigned int still_devices(const struct dtrack_transaction *tx,
				  struct dtrack_dev *devs)
{
	unsigned int i, nr = 0;

	for (i = 0; i < tx->nr; i++)
		if (wants_stillness(tx->actions[i]))
			devs[nr++] = tx->actions[i]->kernel.dev;
	return nr;
}

/* Before anything is prepared: it may take a while. */
static int write_back(struct dtrack_transaction *tx)
{
	struct dtrack_dev devs[DTRACK_MAX_ACTIONS];
	unsigned int i, nr = 0;
	bool done;

	for (i = 0; i < tx->nr; i++)
		if (tx->actions[i]->type == DTL_ACTION_BACKUP &&
		    !(tx->actions[i]->options.flags & DTRACK_RUN_FROZEN))
			devs[nr++] = tx->actions[i]->kernel.dev;
	done = !nr || dtl_sync(tx->h, devs, nr, &tx->cancel);
	for (i = 0; i < tx->nr; i++)
		tx->actions[i]->result.unsynced =
			tx->actions[i]->type == DTL_ACTION_BACKUP && !done;
	return check_cancel(tx);
}

/**
 * struct question - what the kernel is asked.
 * @tx: the transaction
 * @failed: the action that it blames
 * @asked: it was asked
 * @ret: what it said
 */
struct question {
	struct dtrack_transaction *tx;
	unsigned int failed;
	bool asked;
	int ret;
};

static int ask(void *opaque)
{
	struct question *q = opaque;

	q->asked = true;
	if (q->tx->nr_kernel)
		q->ret = dtl_transact(q->tx->h, q->tx->kernel,
				      q->tx->nr_kernel, &q->failed);
	return q->ret;
}

/*
 * Everything happens here, or nothing does.  When it has, but a file system
 * did not thaw, that is an error, too, and tx->committed.
 */
static int commit(struct dtrack_transaction *tx)
{
	struct dtrack_dev devs[DTRACK_MAX_ACTIONS];
	unsigned int nr = still_devices(tx, devs);
	struct question q = { .tx = tx };
	int ret = check_cancel(tx);

	if (!ret)
		ret = nr ? dtl_fsfreeze(tx->h, devs, nr, ask, &q) : ask(&q);
	tx->committed = q.asked && !q.ret;
	if (q.ret)
		ret = refused(tx, q.failed, q.ret);
	if (!tx->committed)
		unprepare(tx);
	return ret;
}

/* It has happened. */
static void begin_runs(struct dtrack_transaction *tx)
{
	struct dtl_group *g = &tx->group;
	unsigned int i;

	for (i = 0; i < tx->nr_kernel; i++) {
		struct dtl_tx_action *a = tx->actions[tx->index[i]];

		a->result.run = tx->kernel[i].run;
		a->result.generation = tx->kernel[i].generation;
		if (a->type == DTL_ACTION_BACKUP)
			dtl_run_frozen(a->run, &tx->kernel[i]);
	}
	for (i = 0; i < tx->nr; i++) {
		struct dtl_tx_action *a = tx->actions[i];

		if (a->type == DTL_ACTION_BACKUP)
			g->members[g->nr++] = (struct dtl_member){
				.group = g, .run = a->run,
			};
		else
			a->result.state = DTRACK_RUN_COMPLETED;
	}
}

/* The first that was changed by others decides. */
static int check_frozen(struct dtrack_transaction *tx)
{
	unsigned int i;
	int ret;

	for (i = 0; i < tx->nr; i++) {
		struct dtl_tx_action *a = tx->actions[i];

		if (!a->bitmap)
			continue;
		ret = dtl_run_check_frozen(a->run);
		if (ret) {
			dtl_group_take_back(&tx->group);
			return blame(tx, i, a->h, ret);
		}
	}
	return 0;
}

/* ---- Ending ------------------------------------------------------------- */

/* What is not completed and has not failed was cancelled. */
static void settle(struct dtrack_transaction *tx)
{
	unsigned int i;

	for (i = 0; i < tx->nr; i++) {
		struct dtl_tx_action *a = tx->actions[i];
		struct dtl_error *e;

		if (a->result.state != DTRACK_RUN_READY)
			continue;
		a->result.state = DTRACK_RUN_CANCELLED;
		a->result.err = -ECANCELED;
		e = calloc(1, sizeof(*e));
		if (!e)
			continue;
		e->err = -ECANCELED;
		strcpy(e->msg, "Operation canceled");
		a->error = e;
	}
}

/* What came of the runs; the first that failed, or else was cancelled, counts. */
static int collect(struct dtrack_transaction *tx)
{
	unsigned int i, member = 0, first = tx->nr;

	for (i = 0; i < tx->nr; i++) {
		struct dtl_tx_action *a = tx->actions[i];
		int ret;

		if (a->type != DTL_ACTION_BACKUP)
			continue;
		ret = tx->group.members[member++].ret;
		if (!ret) {
			a->result.state = DTRACK_RUN_COMPLETED;
			continue;
		}
		note_error(a, a->h, ret);
		if (first == tx->nr ||
		    (tx->actions[first]->result.state == DTRACK_RUN_CANCELLED &&
		     a->result.state == DTRACK_RUN_FAILED))
			first = i;
	}
	return first == tx->nr ? 0 : tell(tx, first);
}

static int execute(struct dtrack_transaction *tx)
{
	int ret = check_grouped(tx);

	if (!ret)
		ret = dtrack_open(tx->h);
	if (!ret)
		ret = allocate(tx);
	if (!ret)
		ret = plan(tx);
	if (!ret)
		ret = write_back(tx);
	if (!ret)
		ret = prepare(tx);
	if (!ret)
		ret = commit(tx);
	if (!tx->committed)
		return ret;
	begin_runs(tx);
	if (ret) {
		dtl_group_take_back(&tx->group);
		return ret;
	}
	ret = check_frozen(tx);
	if (ret)
		return ret;
	dtl_group_run(&tx->group);
	return collect(tx);
}

int dtrack_transaction_execute(struct dtrack_transaction *tx)
{
	int ret;

	if (tx->executed)
		return dtl_fail(tx->h, -EINVAL, NULL,
				"A transaction can be executed once");
	tx->executed = true;
	ret = execute(tx);
	settle(tx);
	return ret;
}
