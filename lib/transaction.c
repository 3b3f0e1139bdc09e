// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * transaction.c - many actions at one point in time, or none.
 *
 *	1. plan: the kernel's actions are written down; the runs among them are
 *	   checked against what the actions before them make of their bitmaps.
 *	   Nothing changes.  What is wrong here is told only if the kernel would
 *	   do all the actions before it: it tries them, and aborts.
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

#include "group.h"

/* What is no action of the kernel's. */
#define TYPE_BACKUP	(DTRACK_ACTION_RECLAIM + 1)

/* As QMP calls them; the last three it has not. */
static const char *const words[] = {
	[DTRACK_ACTION_ABORT] = "abort",
	[DTRACK_ACTION_ADD] = "block-dirty-bitmap-add",
	[DTRACK_ACTION_REMOVE] = "block-dirty-bitmap-remove",
	[DTRACK_ACTION_CLEAR] = "block-dirty-bitmap-clear",
	[DTRACK_ACTION_ENABLE] = "block-dirty-bitmap-enable",
	[DTRACK_ACTION_DISABLE] = "block-dirty-bitmap-disable",
	[DTRACK_ACTION_MERGE] = "block-dirty-bitmap-merge",
	[TYPE_BACKUP] = "blockdev-backup",
	[DTRACK_ACTION_FREEZE] = "block-dirty-bitmap-freeze",
	[DTRACK_ACTION_ABDICATE] = "block-dirty-bitmap-abdicate",
	[DTRACK_ACTION_RECLAIM] = "block-dirty-bitmap-reclaim",
};

/**
 * struct action - an action.
 * @tx: its transaction
 * @type: enum dtrack_action_type or TYPE_BACKUP
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
struct action {
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
	struct action *actions[DTRACK_MAX_ACTIONS];
	unsigned int nr_kernel;
	struct dtrack_action *kernel;
	unsigned int index[DTRACK_MAX_ACTIONS];
	struct dtl_forecast forecast;
	struct dtl_group group;
	pthread_mutex_t notify_lock;
	atomic_int cancel;
	_Atomic(struct dtrack_run *) runs[DTRACK_MAX_ACTIONS];
};

/* ---- Building ----------------------------------------------------------- */

int dtrack_transaction_new(struct dtrack *h, int completion,
			   struct dtrack_transaction **tx)
{
	if (completion != DTRACK_COMPLETION_INDIVIDUAL &&
	    completion != DTRACK_COMPLETION_GROUPED)
		return dtl_fail(h, -EINVAL, DTL_CLASS_USAGE,
				"The completion mode is unknown");
	*tx = calloc(1, sizeof(**tx));
	if (!*tx)
		return dtl_nomem(h);
	(*tx)->h = h;
	(*tx)->grouped = completion == DTRACK_COMPLETION_GROUPED;
	pthread_mutex_init(&(*tx)->notify_lock, NULL);
	return 0;
}

static void action_free(struct action *a)
{
	dtrack_run_free(a->run);
	dtrack_free(a->h);
	free(a->bad);
	free(a->error);
	free(a->sources);
	free(a->target);
	free(a->bitmap);
	free(a);
}

void dtrack_transaction_free(struct dtrack_transaction *tx)
{
	unsigned int i;

	if (!tx)
		return;
	for (i = 0; i < tx->nr; i++) {
		atomic_store(&tx->runs[i], NULL);
		action_free(tx->actions[i]);
	}
	dtl_forecast_exit(&tx->forecast);
	free(tx->group.members);
	free(tx->group.actions);
	free(tx->group.which);
	free(tx->kernel);
	pthread_mutex_destroy(&tx->notify_lock);
	free(tx);
}

static int append(struct dtrack_transaction *tx, unsigned int type,
		  struct dtrack_dev dev, struct action **result)
{
	struct action *a;

	if (tx->executed)
		return dtl_fail(tx->h, -EINVAL, NULL,
				"The transaction has been executed");
	if (tx->nr == DTRACK_MAX_ACTIONS)
		return dtl_fail(tx->h, -EOVERFLOW, NULL,
				"A transaction has at most %d actions",
				DTRACK_MAX_ACTIONS);
	a = calloc(1, sizeof(*a));
	if (!a)
		return dtl_nomem(tx->h);
	a->tx = tx;
	a->type = type;
	a->kernel.type = type;
	a->kernel.dev = dev;
	tx->actions[tx->nr++] = a;
	*result = a;
	return (int)tx->nr - 1;
}

/* The handle says what is wrong with it: to be told when its turn comes. */
static int set_aside(struct action *a)
{
	a->bad = malloc(sizeof(*a->bad));
	if (!a->bad)
		return dtl_nomem(a->tx->h);
	dtl_error_save(a->tx->h, a->bad);
	return 0;
}

/* Takes back what append() did. */
static int drop_last(struct dtrack_transaction *tx, int err)
{
	action_free(tx->actions[--tx->nr]);
	return err;
}

static int append_named(struct dtrack_transaction *tx, unsigned int type,
			struct dtrack_dev dev, const char *name,
			struct action **result)
{
	int index = append(tx, type, dev, result), bad;

	if (index < 0)
		return index;
	bad = type == DTRACK_ACTION_ADD ?
	      dtl_new_name_copy(tx->h, (*result)->kernel.name, name) :
	      dtl_name_copy(tx->h, (*result)->kernel.name, name);
	if (bad && set_aside(*result))
		return drop_last(tx, -ENOMEM);
	return index;
}

int dtrack_transaction_abort(struct dtrack_transaction *tx)
{
	struct dtrack_dev none = { 0 };
	struct action *a;

	return append(tx, DTRACK_ACTION_ABORT, none, &a);
}

int dtrack_transaction_add(struct dtrack_transaction *tx,
			   struct dtrack_dev dev, const char *name,
			   uint64_t granularity, unsigned int flags)
{
	struct action *a;
	int index = append_named(tx, DTRACK_ACTION_ADD, dev, name, &a);

	if (index < 0)
		return index;
	a->kernel.granularity = granularity;
	a->kernel.flags = flags;
	return index;
}

int dtrack_transaction_remove(struct dtrack_transaction *tx,
			      struct dtrack_dev dev, const char *name)
{
	struct action *a;

	return append_named(tx, DTRACK_ACTION_REMOVE, dev, name, &a);
}

int dtrack_transaction_clear(struct dtrack_transaction *tx,
			     struct dtrack_dev dev, const char *name)
{
	struct action *a;

	return append_named(tx, DTRACK_ACTION_CLEAR, dev, name, &a);
}

int dtrack_transaction_enable(struct dtrack_transaction *tx,
			      struct dtrack_dev dev, const char *name)
{
	struct action *a;

	return append_named(tx, DTRACK_ACTION_ENABLE, dev, name, &a);
}

int dtrack_transaction_disable(struct dtrack_transaction *tx,
			       struct dtrack_dev dev, const char *name)
{
	struct action *a;

	return append_named(tx, DTRACK_ACTION_DISABLE, dev, name, &a);
}

int dtrack_transaction_merge(struct dtrack_transaction *tx,
			     struct dtrack_dev dev, const char *name,
			     const struct dtrack_source *sources,
			     unsigned int nr)
{
	struct action *a;
	int index = append_named(tx, DTRACK_ACTION_MERGE, dev, name, &a);

	if (index < 0 || a->bad)
		return index;
	if (nr > DTRACK_MAX_BITMAPS) {
		dtl_too_many_sources(tx->h);
		return set_aside(a) ? drop_last(tx, -ENOMEM) : index;
	}
	a->sources = calloc(nr + 1, sizeof(*sources));
	if (!a->sources) {
		dtl_nomem(tx->h);
		return drop_last(tx, -ENOMEM);
	}
	if (nr)
		memcpy(a->sources, sources, nr * sizeof(*sources));
	a->kernel.nr = nr;
	a->kernel.sources = (uintptr_t)a->sources;
	return index;
}

int dtrack_transaction_freeze(struct dtrack_transaction *tx,
			      struct dtrack_dev dev, const char *name,
			      unsigned int mode, unsigned int set,
			      unsigned int flags)
{
	struct action *a;
	int index = append_named(tx, DTRACK_ACTION_FREEZE, dev, name, &a);

	if (index < 0)
		return index;
	a->kernel.mode = mode;
	a->kernel.set = set;
	a->kernel.flags = flags;
	return index;
}

int dtrack_transaction_abdicate(struct dtrack_transaction *tx,
				struct dtrack_dev dev, const char *name,
				uint64_t run)
{
	struct action *a;
	int index = append_named(tx, DTRACK_ACTION_ABDICATE, dev, name, &a);

	if (index >= 0)
		a->kernel.run = run;
	return index;
}

int dtrack_transaction_reclaim(struct dtrack_transaction *tx,
			       struct dtrack_dev dev, const char *name,
			       uint64_t run, unsigned int flags)
{
	struct action *a;
	int index = append_named(tx, DTRACK_ACTION_RECLAIM, dev, name, &a);

	if (index < 0)
		return index;
	a->kernel.run = run;
	a->kernel.flags = flags;
	return index;
}

static void notify(void *opaque, enum dtrack_run_event event, uint64_t done,
		   uint64_t total, const char *message)
{
	struct action *a = opaque;

	pthread_mutex_lock(&a->tx->notify_lock);
	a->notify(a->opaque, event, done, total, message);
	pthread_mutex_unlock(&a->tx->notify_lock);
}

static int copy_options(struct action *a,
			const struct dtrack_run_options *options)
{
	struct dtrack_run_options *o = &a->options;

	if (options->size < sizeof(size_t) || options->size > sizeof(*o))
		return dtl_fail(a->tx->h, -EINVAL, NULL,
				"struct dtrack_run_options is of another version");
	memcpy(o, options, options->size);
	a->target = o->target ? strdup(o->target) : NULL;
	a->bitmap = o->bitmap ? strdup(o->bitmap) : NULL;
	if ((o->target && !a->target) || (o->bitmap && !a->bitmap))
		return dtl_nomem(a->tx->h);
	o->target = a->target;
	o->bitmap = a->bitmap;
	a->notify = o->notify;
	a->opaque = o->opaque;
	if (o->notify) {
		o->notify = notify;
		o->opaque = a;
	}
	return 0;
}

int dtrack_transaction_backup(struct dtrack_transaction *tx,
			      struct dtrack_dev dev,
			      const struct dtrack_run_options *options)
{
	struct action *a;
	int index = append(tx, TYPE_BACKUP, dev, &a);
	int ret;

	if (index < 0)
		return index;
	ret = copy_options(a, options);
	return ret ? drop_last(tx, ret) : index;
}

/* ---- Errors ------------------------------------------------------------- */

/* An action has failed, or was cancelled: the words are on @h. */
static int note_error(struct action *a, const struct dtrack *h, int err)
{
	a->result.state = err == -ECANCELED && a->type == TYPE_BACKUP ?
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
	const struct action *a = tx->actions[index];

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
		if (tx->actions[i]->type == TYPE_BACKUP)
			continue;
		ret = dtl_fail(tx->h, -EINVAL, DTL_CLASS_GENERIC,
			       "Action '%s' does not support transaction property completion-mode = grouped",
			       words[tx->actions[i]->type]);
		return blame(tx, i, tx->h, ret);
	}
	return 0;
}

static int check_targets(struct dtrack_transaction *tx, const struct action *a)
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
	struct action *a = tx->actions[index];
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
	struct action *a = tx->actions[index];

	if (a->bad) {
		dtl_error_restore(tx->h, a->bad);
		return a->bad->err;
	}
	if (a->type == TYPE_BACKUP)
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
		struct action *a = tx->actions[i];

		if (a->type == TYPE_BACKUP && dtl_share(tx->h, &a->h))
			return -ENOMEM;
		ret = plan_action(tx, i);
		if (ret)
			return try_before(tx, i, a->h ? a->h : tx->h, ret);
		if (a->type == TYPE_BACKUP && !a->bitmap)
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
		struct action *a = tx->actions[tx->index[i]];

		if (a->type != TYPE_BACKUP)
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

static bool wants_stillness(const struct action *a)
{
	return a->type == TYPE_BACKUP &&
	       a->options.flags & DTRACK_RUN_FSFREEZE;
}

/* A file system is held once, however many runs copy its device. */
static bool is_held(const struct dtrack_transaction *tx, unsigned int index)
{
	unsigned int i;

	for (i = 0; i < index; i++)
		if (wants_stillness(tx->actions[i]) &&
		    dtl_same_dev(tx->actions[i]->kernel.dev,
				 tx->actions[index]->kernel.dev))
			return true;
	return false;
}

/**
 * struct stillness - the way into the file systems that are to be held.
 * @tx: the transaction
 * @next: index of the action whose file system comes next
 * @failed: the action that the kernel blames
 * @asked: the kernel was asked
 * @ret: what it said
 */
struct stillness {
	struct dtrack_transaction *tx;
	unsigned int next;
	unsigned int failed;
	bool asked;
	int ret;
};

/* One inside the other, and inside all of them the kernel. */
static int transact(void *opaque)
{
	struct stillness *s = opaque;
	struct dtrack_transaction *tx = s->tx;
	unsigned int i = s->next++;

	while (i < tx->nr && (!wants_stillness(tx->actions[i]) || is_held(tx, i)))
		i = s->next++;
	if (i < tx->nr)
		return dtl_fsfreeze(tx->h, tx->actions[i]->kernel.dev, transact,
				    s);
	s->asked = true;
	if (tx->nr_kernel)
		s->ret = dtl_transact(tx->h, tx->kernel, tx->nr_kernel,
				      &s->failed);
	return s->ret;
}

/*
 * Everything happens here, or nothing does.  When it has, but a file system
 * did not thaw, that is an error, too, and tx->committed.
 */
static int commit(struct dtrack_transaction *tx)
{
	struct stillness s = { .tx = tx };
	int ret = check_cancel(tx);

	if (!ret)
		ret = transact(&s);
	tx->committed = s.asked && !s.ret;
	if (s.ret)
		ret = refused(tx, s.failed, s.ret);
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
		struct action *a = tx->actions[tx->index[i]];

		a->result.run = tx->kernel[i].run;
		a->result.generation = tx->kernel[i].generation;
		if (a->type == TYPE_BACKUP)
			dtl_run_frozen(a->run, &tx->kernel[i]);
	}
	for (i = 0; i < tx->nr; i++) {
		struct action *a = tx->actions[i];

		if (a->type == TYPE_BACKUP)
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
		struct action *a = tx->actions[i];

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
		struct action *a = tx->actions[i];
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
		struct action *a = tx->actions[i];
		int ret;

		if (a->type != TYPE_BACKUP)
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

/* ---- Public ------------------------------------------------------------- */

int dtrack_transaction_result(const struct dtrack_transaction *tx,
			      unsigned int index,
			      struct dtrack_action_result *result, size_t size)
{
	struct dtrack_action_result r;
	const struct action *a;

	if (index >= tx->nr)
		return dtl_fail(tx->h, -EINVAL, NULL,
				"There is no action %u", index);
	a = tx->actions[index];
	r = a->result;
	r.errclass = a->error ? dtl_class(a->error->err, a->error->cls) : "";
	r.errmsg = a->error ? a->error->msg : "";
	if (a->run) {
		r.consistency = a->run->result.consistency;
		r.bytes_total = a->run->result.bytes_total;
		r.bytes_copied = a->run->result.bytes_copied;
	}
	memset(result, 0, size);
	memcpy(result, &r, size < sizeof(r) ? size : sizeof(r));
	return 0;
}

void dtrack_transaction_cancel(struct dtrack_transaction *tx)
{
	struct dtrack_run *run;
	unsigned int i;

	atomic_store(&tx->cancel, 1);
	for (i = 0; i < DTRACK_MAX_ACTIONS; i++) {
		run = atomic_load(&tx->runs[i]);
		if (run)
			dtrack_run_cancel(run);
	}
}

void dtrack_transaction_resume(struct dtrack_transaction *tx)
{
	struct dtrack_run *run;
	unsigned int i;

	for (i = 0; i < DTRACK_MAX_ACTIONS; i++) {
		run = atomic_load(&tx->runs[i]);
		if (run)
			dtrack_run_resume(run);
	}
}
