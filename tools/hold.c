// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hold.c - the hooks 'hold' and 'release', and the process that keeps them.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hold.h"
#include "signals.h"

#define TICK_MS		200
/* What a copy that is told to end may take before what it reads is released. */
#define GRACE_MS	5000

/**
 * struct word - what the keeper says: once of 'hold', once of 'release'.
 * @failed: the hook did
 * @late: the limit was reached
 * @why: how it failed
 */
struct word {
	bool failed;
	bool late;
	char why[HOLD_WHY_LEN];
};

/* ---- The keeper --------------------------------------------------------- */

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Whether the other side wants no more; @ms: -1 waits for ever. */
static bool is_over(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* A terminal, and whoever ends all that has our name, shall not end it. */
static void become_keeper(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
				       SIGPIPE, SIGALRM, SIGUSR1 };
	size_t i;

	setsid();
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
}

static void say(int fd, const struct word *w)
{
	send(fd, w, sizeof(*w), MSG_NOSIGNAL);
}

/* Return: whether the limit was reached. */
static bool wait_held(const struct hold *hold, int fd, pid_t run, time_t until)
{
	time_t left = until - now();

	if (is_over(fd, !hold->c->hold_limit ? -1 :
			left > 0 ? (int)left * 1000 : 0))
		return false;
	kill(run, SIGALRM);
	is_over(fd, GRACE_MS);
	return true;
}

__attribute__((noreturn))
static void keep(const struct hold *hold, int fd, pid_t run)
{
	const struct config *c = hold->c;
	unsigned int seconds = (unsigned int)c->hook_timeout;
	time_t until = now() + (time_t)c->hold_limit;
	struct word w = { 0 };

	become_keeper();
	w.failed = hook_run_limited(c->hold, hold->variables, seconds, fd,
				    w.why, sizeof(w.why));
	say(fd, &w);
	if (!w.failed)
		w.late = wait_held(hold, fd, run, until);
	w.failed = hook_run_limited(c->release, hold->variables, seconds, -1,
				    w.why, sizeof(w.why));
	say(fd, &w);
	_exit(0);
}

/* ---- The other side ----------------------------------------------------- */

static bool hear(const struct hold *hold, struct word *w)
{
	ssize_t n;

	do
		n = recv(hold->fd, w, sizeof(*w), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(*w);
}

static int start(struct hold *hold)
{
	pid_t run = getpid();
	int fd[2];

	hold->fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd))
		return -1;
	hold->pid = fork();
	if (!hold->pid) {
		close(fd[0]);
		keep(hold, fd[1], run);
	}
	hold->fd = fd[0];
	close(fd[1]);
	if (hold->pid > 0)
		return 0;
	close(hold->fd);
	hold->pid = 0;
	return -1;
}

int hold_begin(struct hold *hold, char *why)
{
	struct word w = { 0 };
	bool told = false;

	signals_expect_alarm();
	if (start(hold)) {
		snprintf(why, HOLD_WHY_LEN, "%s", strerror(errno));
		return -1;
	}
	while (!is_over(hold->fd, TICK_MS)) {
		if (!told && signals_cancelled())
			shutdown(hold->fd, SHUT_WR);
		told = told || signals_cancelled();
	}
	if (!hear(hold, &w)) {
		snprintf(why, HOLD_WHY_LEN, "its keeper was killed");
		return -1;
	}
	memcpy(why, w.why, HOLD_WHY_LEN);
	return w.failed ? -1 : 0;
}

/* Nobody else is left to do it. */
static bool release(const struct hold *hold, struct word *w)
{
	return !hook_run_limited(hold->c->release, hold->variables,
				 (unsigned int)hold->c->hook_timeout, -1,
				 w->why, sizeof(w->why));
}

int hold_end(struct hold *hold, char *why)
{
	struct word w = { 0 };

	if (!hold->pid)
		return 0;
	shutdown(hold->fd, SHUT_WR);
	if (!hear(hold, &w))
		w.failed = !release(hold, &w);
	close(hold->fd);
	while (waitpid(hold->pid, NULL, 0) < 0 && errno == EINTR)
		;
	signals_end_alarm();
	hold->pid = 0;
	hold->late = w.late;
	memcpy(why, w.why, HOLD_WHY_LEN);
	return w.failed ? -1 : 0;
}
