// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * group.c - runs that were begun together.
 *
 * One thread for each run, which sees only its own run and handle; what ends
 * all of them is done by the caller's thread when the others have gone.
 *
 * Invariant: grouped, no run is ended before the kernel has ended all.
 */
#include <signal.h>
#include <string.h>

#include "group.h"

/* ---- Copying ------------------------------------------------------------ */

static void cancel_all(struct dtl_group *g)
{
	unsigned int i;

	for (i = 0; i < g->nr; i++)
		dtrack_run_cancel(g->members[i].run);
}

static void *copy(void *opaque)
{
	struct dtl_member *m = opaque;

	m->ret = dtl_run_transfer(m->run);
	if (!m->group->grouped)
		m->ret = dtl_run_end(m->run, m->ret);
	else if (m->ret)
		cancel_all(m->group);
	return NULL;
}

static void start(struct dtl_member *m)
{
	int err = pthread_create(&m->thread, NULL, copy, m);

	m->started = !err;
	if (!err)
		return;
	m->ret = dtl_fail(m->run->h, -err, NULL,
			  "Could not start a thread: %s", strerror(err));
	if (m->group->grouped)
		cancel_all(m->group);
	else
		dtl_run_end(m->run, m->ret);
}

/* Signals are for the program's threads, not for ours. */
static void start_all(struct dtl_group *g)
{
	sigset_t all, old;
	unsigned int i;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (i = 0; i < g->nr; i++)
		start(&g->members[i]);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void join_all(struct dtl_group *g)
{
	unsigned int i;

	for (i = 0; i < g->nr; i++)
		if (g->members[i].started)
			pthread_join(g->members[i].thread, NULL);
}

/* ---- Ending all at once ------------------------------------------------- */

/* The ends of all freezes that are held, in one transaction of the kernel. */
static int end_freezes(struct dtl_group *g, bool good, unsigned int *failed)
{
	unsigned int i, nr = 0;

	for (i = 0; i < g->nr; i++) {
		struct dtl_member *m = &g->members[i];

		if (!m->run->frozen ||
		    dtl_run_end_action(m->run, good, &g->actions[nr]))
			continue;
		g->which[nr++] = m;
	}
	g->which[nr] = NULL;
	*failed = nr;
	return nr ? dtl_transact(g->h, g->actions, nr, failed) : 0;
}

void dtl_group_take_back(struct dtl_group *g)
{
	unsigned int i, failed;
	int err;

	/* One whose freeze was taken away must not keep the others frozen. */
	while ((err = end_freezes(g, false, &failed)) && g->which[failed])
		dtl_run_take_back(g->which[failed]->run);
	for (i = 0; i < g->nr; i++)
		if (err)
			dtl_run_take_back(g->members[i].run);
		else
			g->members[i].run->frozen = false;
}

static bool all_good(const struct dtl_group *g)
{
	unsigned int i;

	for (i = 0; i < g->nr; i++)
		if (g->members[i].ret || atomic_load(&g->members[i].run->cancel))
			return false;
	return true;
}

/*
 * A run in mode 'always' that is taken back leaves its bitmap without what it
 * had copied: that is on the target, and nowhere else.
 */
static void cancelled(struct dtl_member *m)
{
	struct dtrack_run *run = m->run;

	if (run->frozen && run->mode == DTRACK_MODE_ALWAYS &&
	    run->result.bytes_copied)
		m->ret = dtl_fail(run->h, -ECANCELED, NULL,
				  "Operation canceled; bitmap '%s' no longer has what was copied: target '%s' must be kept",
				  run->bitmap, run->target.path);
	else
		m->ret = dtl_fail(run->h, -ECANCELED, NULL,
				  "Operation canceled");
}

static void fail_all(struct dtl_group *g)
{
	unsigned int i;

	for (i = 0; i < g->nr; i++)
		if (!g->members[i].ret || g->members[i].ret == -ECANCELED)
			cancelled(&g->members[i]);
	dtl_group_take_back(g);
}

/* The kernel would not end them: if it says no more it is the first's error. */
static void not_ended(struct dtl_group *g, unsigned int failed, int err)
{
	static const struct dtl_forecast none;
	unsigned int i = g->which[failed] ? failed : 0;
	struct dtl_member *m = g->which[i];

	m->ret = dtl_action_error(m->run->h, &g->actions[i], &none, err);
	fail_all(g);
}

static void give_up(struct dtl_group *g)
{
	unsigned int i, failed;
	int err = end_freezes(g, true, &failed);

	if (err) {
		not_ended(g, failed, err);
		return;
	}
	for (i = 0; g->which[i]; i++)
		g->which[i]->ret = dtl_run_ended(g->which[i]->run,
						 g->actions[i].generation);
	for (i = 0; i < g->nr; i++)
		if (!g->members[i].run->bitmap)
			g->members[i].ret = dtl_run_ended(g->members[i].run, 0);
}

static void end_grouped(struct dtl_group *g)
{
	unsigned int i;

	if (all_good(g))
		give_up(g);
	else
		fail_all(g);
	for (i = 0; i < g->nr; i++)
		dtl_run_settle(g->members[i].run, g->members[i].ret);
}

void dtl_group_run(struct dtl_group *g)
{
	start_all(g);
	join_all(g);
	if (g->grouped)
		end_grouped(g);
}
