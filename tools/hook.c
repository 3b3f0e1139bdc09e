// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hook.c - commands before and after a run.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hook.h"
#include "signals.h"

static void set_environment(const struct hook_variable *v)
{
	char name[64];

	for (; v->name; v++) {
		snprintf(name, sizeof(name), "DTRACK_%s", v->name);
		setenv(name, v->value, 1);
	}
}

__attribute__((noreturn))
static void become(const char *command, const struct hook_variable *variables)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGUSR1 };
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	set_environment(variables);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(126);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* waitpid() ends with each signal; the first that cancels is the hook's, too. */
static int wait_for(pid_t pid, bool cancelled)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
		if (!cancelled && signals_cancelled()) {
			kill(pid, SIGTERM);
			cancelled = true;
		}
	}
	return status;
}

int hook_run(const char *command, const struct hook_variable *variables,
	     char *why, size_t size)
{
	bool cancelled = signals_cancelled();
	pid_t pid = fork();
	int status;

	if (!pid)
		become(command, variables);
	status = pid < 0 ? -1 : wait_for(pid, cancelled);
	if (status < 0)
		snprintf(why, size, "%s", strerror(errno));
	else if (WIFSIGNALED(status))
		snprintf(why, size, "signal %d", WTERMSIG(status));
	else
		snprintf(why, size, "exit status %d", WEXITSTATUS(status));
	return status ? -1 : 0;
}
