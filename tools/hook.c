// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hook.c - commands of a job: before and after it, and around the copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hook.h"
#include "signals.h"

/* A signal that comes between the look and the wait is seen this much later. */
#define TICK_MS	200
/* Seconds between SIGTERM and SIGKILL. */
#define GRACE	5

/**
 * struct limits - when a hook has to end.
 * @seconds: 0: at no time
 * @fd: when it can be read, or -1
 * @by_signal: when there was a signal that cancels
 */
struct limits {
	unsigned int seconds;
	int fd;
	bool by_signal;
};

/* ---- The child ---------------------------------------------------------- */

static void set_environment(const struct hook_variable *v)
{
	char name[64];

	for (; v->name; v++) {
		snprintf(name, sizeof(name), "DTRACK_%s", v->name);
		setenv(name, v->value, 1);
	}
}

/* It does not outlive us: nobody would wait for it. */
__attribute__((noreturn))
static void become(const char *command, const struct hook_variable *variables)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
				       SIGPIPE, SIGALRM, SIGUSR1 };
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	size_t i;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	set_environment(variables);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(126);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* ---- Waiting ------------------------------------------------------------ */

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Asks it to end when there is a reason to, once; @late: that was the time. */
static void wait_for(pid_t pid, int pidfd, const struct limits *l, bool *late)
{
	struct pollfd p[] = { { .fd = pidfd, .events = POLLIN },
			      { .fd = l->fd, .events = POLLIN } };
	bool by_signal = l->by_signal && !signals_cancelled();
	time_t until = now() + (time_t)l->seconds;
	bool asked = false, over;

	while (poll(p, 2, TICK_MS) <= 0 || !p[0].revents) {
		over = l->seconds && now() >= until;
		if (asked && over) {
			kill(-pid, SIGKILL);
		} else if (!asked && (over || p[1].revents ||
				      (by_signal && signals_cancelled()))) {
			kill(-pid, SIGTERM);
			asked = true;
			*late = over;
			p[1].fd = -1;
			until = now() + GRACE;
		}
	}
}

/* Return: as waitpid() has it, or -1. */
static int end_of(pid_t pid, const struct limits *l, bool *late)
{
	int status, pidfd = pidfd_open(pid, 0);

	if (pidfd < 0)
		kill(-pid, SIGKILL);
	else
		wait_for(pid, pidfd, l, late);
	close(pidfd);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

static int run(const char *command, const struct hook_variable *variables,
	       const struct limits *l, char *why, size_t size)
{
	bool late = false;
	pid_t pid = fork();
	int status;

	if (!pid)
		become(command, variables);
	/* Here, too: whoever is first. */
	setpgid(pid, pid);
	status = pid < 0 ? -1 : end_of(pid, l, &late);
	if (status < 0)
		snprintf(why, size, "%s", strerror(errno));
	else if (late)
		snprintf(why, size, "it took more than %u s", l->seconds);
	else if (WIFSIGNALED(status))
		snprintf(why, size, "signal %d", WTERMSIG(status));
	else
		snprintf(why, size, "exit status %d", WEXITSTATUS(status));
	return status || late ? -1 : 0;
}

int hook_run(const char *command, const struct hook_variable *variables,
	     char *why, size_t size)
{
	const struct limits l = { .fd = -1, .by_signal = true };

	return run(command, variables, &l, why, size);
}

int hook_run_limited(const char *command, const struct hook_variable *variables,
		     unsigned int seconds, int fd, char *why, size_t size)
{
	const struct limits l = { .seconds = seconds, .fd = fd };

	return run(command, variables, &l, why, size);
}
