// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hold.c - the hooks 'hold' and 'release', frozen file systems, and the process
 * that keeps them.
 */
#include <errno.h>
#include <inttypes.h>
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
 * struct word - what the keeper says: once all is held, once it is released.
 * @failed: something did
 * @late: the limit was reached
 * @why: what
 */
struct word {
	bool failed;
	bool late;
	char why[HOLD_WHY_LEN];
};

/* ---- Time ---------------------------------------------------------------- */

/* In milliseconds. */
static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whether the other side wants no more, or has something to say. */
static bool is_over(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* ---- Holding and releasing ---------------------------------------------- */

static void fail(struct word *w, const char *why)
{
	w->failed = true;
	if (!w->why[0])
		snprintf(w->why, sizeof(w->why), "%s", why);
}

static bool hook(const struct hold *hold, const char *which,
		 const char *command, int fd, struct word *w)
{
	char why[200], line[HOLD_WHY_LEN];

	if (!command[0] ||
	    !hook_run_limited(command, hold->variables,
			      (unsigned int)hold->c->hook_timeout, fd, why,
			      sizeof(why)))
		return true;
	snprintf(line, sizeof(line), "The hook '%s' failed: %s", which, why);
	fail(w, line);
	return false;
}

/**
 * struct patience - how long what is being held may take.
 * @fd: to the other side, which may want no more
 * @until: when the limit is reached
 */
struct patience {
	int fd;
	int64_t until;
};

static int may_freeze(void *opaque)
{
	const struct patience *p = opaque;

	return now() < p->until && !is_over(p->fd, 0);
}

static bool freeze(const struct hold *hold, struct patience *p, struct word *w)
{
	int ret = dtrack_fs_freeze_while(hold->fs, may_freeze, p);
	char line[HOLD_WHY_LEN];

	if (!ret)
		return true;
	snprintf(line, sizeof(line), "It took more than the %" PRIu64 " s of hold-limit",
		 hold->c->hold_limit);
	fail(w, ret == -ETIMEDOUT ? line : dtrack_errmsg(hold->h));
	return false;
}

/* @frozen: result: the file systems are */
static void take(const struct hold *hold, struct patience *p, struct word *w,
		 bool *frozen)
{
	*frozen = hook(hold, "hold", hold->c->hold, p->fd, w) && hold->fs &&
		  freeze(hold, p, w);
}

static void thaw(const struct hold *hold, struct word *w)
{
	char line[HOLD_WHY_LEN];
	int ret = dtrack_fs_thaw(hold->fs);

	if (!ret)
		return;
	snprintf(line, sizeof(line), "%.400s%s", dtrack_errmsg(hold->h),
		 ret == -EINVAL ? "; what was copied may not be of one moment" :
		 "");
	fail(w, line);
}

static void release(const struct hold *hold, bool frozen, struct word *w)
{
	if (frozen)
		thaw(hold, w);
	hook(hold, "release", hold->c->release, -1, w);
}

/* ---- The keeper --------------------------------------------------------- */

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
static bool wait_held(int fd, pid_t run, int64_t until)
{
	int64_t left = until - now();

	if (is_over(fd, left > 0 ? (int)left : 0))
		return false;
	kill(run, SIGALRM);
	is_over(fd, GRACE_MS);
	return true;
}

__attribute__((noreturn))
static void keep(const struct hold *hold, int fd, pid_t run)
{
	struct patience p = {
		.fd = fd,
		.until = now() + (int64_t)hold->c->hold_limit * 1000,
	};
	struct word held = { 0 }, released = { 0 };
	bool frozen;

	become_keeper();
	take(hold, &p, &held, &frozen);
	say(fd, &held);
	if (!held.failed)
		released.late = wait_held(fd, run, p.until);
	release(hold, frozen, &released);
	say(fd, &released);
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

	signals_expect_alarm();
	if (start(hold)) {
		snprintf(why, HOLD_WHY_LEN, "Could not hold anything: %s",
			 strerror(errno));
		return -1;
	}
	while (!is_over(hold->fd, TICK_MS))
		if (signals_cancelled())
			shutdown(hold->fd, SHUT_WR);
	if (!hear(hold, &w)) {
		snprintf(why, HOLD_WHY_LEN,
			 "What holds the devices still was killed");
		return -1;
	}
	memcpy(why, w.why, HOLD_WHY_LEN);
	return w.failed ? -1 : 0;
}

int hold_end(struct hold *hold, char *why)
{
	struct word w = { 0 };

	if (!hold->pid)
		return 0;
	shutdown(hold->fd, SHUT_WR);
	/* Killed: nobody else is left to do it. */
	if (!hear(hold, &w)) {
		memset(&w, 0, sizeof(w));
		release(hold, hold->fs, &w);
	}
	close(hold->fd);
	while (waitpid(hold->pid, NULL, 0) < 0 && errno == EINTR)
		;
	signals_end_alarm();
	hold->pid = 0;
	hold->late = w.late;
	memcpy(why, w.why, HOLD_WHY_LEN);
	return w.failed ? -1 : 0;
}
