// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * signals.c - SIGINT, SIGTERM and SIGHUP cancel what runs, SIGUSR1 lets it go on.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "option.h"
#include "dtrack.h"
#include "signals.h"

/*
 * timeout(1) and others signal a process and then its whole group, which is one
 * wish that comes twice.
 */
#define AGAIN_MS	1000

static const struct signal_ops *ops;
static void *volatile running;
/* When the first signal came that cancels, 0: there was none. */
static _Atomic int64_t cancelled_at;
static volatile sig_atomic_t alarms;

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * The first asks, one that comes a while later goes; the kernel takes the freeze
 * back.
 */
static void on_cancel(int sig)
{
	int64_t first = 0, t = now();

	(void)sig;
	if (atomic_compare_exchange_strong(&cancelled_at, &first, t)) {
		if (running)
			ops->cancel(running);
	} else if (t - first >= AGAIN_MS) {
		_exit(EXIT_FAILED);
	}
}

/* A shell may repeat what the terminal said: it asks, and that is all. */
static void on_hangup(int sig)
{
	if (!signals_cancelled())
		on_cancel(sig);
}

static void on_alarm(int sig)
{
	(void)sig;
	alarms = 1;
	if (running)
		ops->cancel(running);
}

static void on_resume(int sig)
{
	(void)sig;
	if (running)
		ops->resume(running);
}

/* Without SA_RESTART: a wait shall end. */
void signals_catch(void)
{
	struct sigaction cancel = { .sa_handler = on_cancel };
	struct sigaction resume = { .sa_handler = on_resume };
	struct sigaction hangup = { .sa_handler = on_hangup }, old;
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGINT, &cancel, NULL);
	sigaction(SIGTERM, &cancel, NULL);
	/* Not below nohup(1). */
	if (!sigaction(SIGHUP, NULL, &old) && old.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &hangup, NULL);
	sigaction(SIGUSR1, &resume, NULL);
	/* Whoever listened may be gone: what was done is done. */
	sigaction(SIGPIPE, &ignore, NULL);
}

void signals_expect_alarm(void)
{
	struct sigaction alarm = { .sa_handler = on_alarm };

	alarms = 0;
	sigaction(SIGALRM, &alarm, NULL);
}

void signals_end_alarm(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGALRM, &ignore, NULL);
	alarms = 0;
}

void signals_give(const struct signal_ops *to, void *what)
{
	ops = to;
	running = what;
	if (signals_cancelled() || alarms)
		to->cancel(what);
}

void signals_take(void)
{
	running = NULL;
}

bool signals_cancelled(void)
{
	return cancelled_at;
}

void signals_ignore(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGTERM, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGUSR1, &ignore, NULL);
}

/* ---- Transactions ------------------------------------------------------- */

static void cancel_transaction(void *tx)
{
	dtrack_transaction_cancel(tx);
}

static void resume_transaction(void *tx)
{
	dtrack_transaction_resume(tx);
}

const struct signal_ops transaction_signals = {
	.cancel = cancel_transaction,
	.resume = resume_transaction,
};
