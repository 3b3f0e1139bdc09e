// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * transaction.c - transactions: what they are to do, and what came of it.
 *
 * How they do it is execute.c's.
 */
#include <stdlib.h>
#include <string.h>

#include "transaction.h"

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

static void action_free(struct dtl_tx_action *a)
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
		  struct dtrack_dev dev, struct dtl_tx_action **result)
{
	struct dtl_tx_action *a;

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
static int set_aside(struct dtl_tx_action *a)
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
			struct dtl_tx_action **result)
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
	struct dtl_tx_action *a;

	return append(tx, DTRACK_ACTION_ABORT, none, &a);
}

int dtrack_transaction_add(struct dtrack_transaction *tx,
			   struct dtrack_dev dev, const char *name,
			   uint64_t granularity, unsigned int flags)
{
	struct dtl_tx_action *a;
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
	struct dtl_tx_action *a;

	return append_named(tx, DTRACK_ACTION_REMOVE, dev, name, &a);
}

int dtrack_transaction_clear(struct dtrack_transaction *tx,
			     struct dtrack_dev dev, const char *name)
{
	struct dtl_tx_action *a;

	return append_named(tx, DTRACK_ACTION_CLEAR, dev, name, &a);
}

int dtrack_transaction_enable(struct dtrack_transaction *tx,
			      struct dtrack_dev dev, const char *name)
{
	struct dtl_tx_action *a;

	return append_named(tx, DTRACK_ACTION_ENABLE, dev, name, &a);
}

int dtrack_transaction_disable(struct dtrack_transaction *tx,
			       struct dtrack_dev dev, const char *name)
{
	struct dtl_tx_action *a;

	return append_named(tx, DTRACK_ACTION_DISABLE, dev, name, &a);
}

int dtrack_transaction_merge(struct dtrack_transaction *tx,
			     struct dtrack_dev dev, const char *name,
			     const struct dtrack_source *sources,
			     unsigned int nr)
{
	struct dtl_tx_action *a;
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
	struct dtl_tx_action *a;
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
	struct dtl_tx_action *a;
	int index = append_named(tx, DTRACK_ACTION_ABDICATE, dev, name, &a);

	if (index >= 0)
		a->kernel.run = run;
	return index;
}

int dtrack_transaction_reclaim(struct dtrack_transaction *tx,
			       struct dtrack_dev dev, const char *name,
			       uint64_t run, unsigned int flags)
{
	struct dtl_tx_action *a;
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
	struct dtl_tx_action *a = opaque;

	pthread_mutex_lock(&a->tx->notify_lock);
	a->notify(a->opaque, event, done, total, message);
	pthread_mutex_unlock(&a->tx->notify_lock);
}

static int copy_options(struct dtl_tx_action *a,
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
	struct dtl_tx_action *a;
	int index = append(tx, DTL_ACTION_BACKUP, dev, &a);
	int ret;

	if (index < 0)
		return index;
	ret = copy_options(a, options);
	return ret ? drop_last(tx, ret) : index;
}

/* ---- During and after --------------------------------------------------- */

int dtrack_transaction_result(const struct dtrack_transaction *tx,
			      unsigned int index,
			      struct dtrack_action_result *result, size_t size)
{
	struct dtrack_action_result r;
	const struct dtl_tx_action *a;

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
