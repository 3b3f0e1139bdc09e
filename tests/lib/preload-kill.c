// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * preload-kill.c - LD_PRELOADed: kill a process at its n-th ioctl on
 * /dev/dirtytrack.
 *
 *	DTR_KILL_AT=N		1 is the first; without it nothing happens
 *	DTR_KILL_AT=NAME	the first of that name
 *	DTR_KILL_REACHES=N	of REPORTs only one that ends at byte N or behind
 *	DTR_KILL_SIGNAL=N	not SIGKILL but another: SIGSTOP holds it there
 *	DTR_KILL_WHEN=before	the kernel never sees that ioctl (default)
 *	DTR_KILL_WHEN=after	it was done, the process learns nothing of it
 *	DTR_KILL_CHILD=1	a child survives with all files open; it sleeps
 *				DTR_KILL_CHILD_SECONDS (default 30)
 *	DTR_KILL_LOG=FILE	a line 'N NAME' for each ioctl
 *
 * Counted are ioctls of the ABI's type, whatever the file and thread.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dm-dirtytrack.h>

#include "ioctl-names.h"

static atomic_ulong total;
/* This thread's last one. */
static _Thread_local unsigned long count;
static int done;

static void note(unsigned long cmd)
{
	const char *path = getenv("DTR_KILL_LOG");
	char line[64];
	int fd, len;

	if (!path)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	len = snprintf(line, sizeof(line), "%lu %s\n", count, ioctl_name(cmd));
	if (fd < 0 || write(fd, line, (size_t)len) != len)
		abort();
	close(fd);
}

static void leave_child(void)
{
	const char *seconds = getenv("DTR_KILL_CHILD_SECONDS");

	if (getenv("DTR_KILL_CHILD") && !fork()) {
		sleep(seconds ? (unsigned int)atoi(seconds) : 30);
		_exit(0);
	}
}

static int reaches(unsigned long cmd, const void *arg)
{
	const char *end = getenv("DTR_KILL_REACHES");
	const struct dtrack_ioc_report *report = arg;
	const struct dtrack_range *last;

	if (!end || cmd != DTRACK_IOC_REPORT)
		return 1;
	last = (const struct dtrack_range *)(uintptr_t)report->ranges +
	       report->nr - 1;
	return last->start + last->length >= strtoull(end, NULL, 10);
}

static int is_there(const char *at, unsigned long cmd, const void *arg)
{
	return at && !done && reaches(cmd, arg) &&
	       (strtoul(at, NULL, 10) == count ||
		!strcmp(at, ioctl_name(cmd)));
}

static void maybe_kill(const char *now, unsigned long cmd, const void *arg)
{
	const char *when = getenv("DTR_KILL_WHEN");
	const char *sig = getenv("DTR_KILL_SIGNAL");

	if (!is_there(getenv("DTR_KILL_AT"), cmd, arg) ||
	    strcmp(when ? when : "before", now))
		return;
	done = 1;
	leave_child();
	kill(getpid(), sig ? atoi(sig) : SIGKILL);
}

int ioctl(int fd, unsigned long cmd, ...)
{
	static int (*real)(int fd, unsigned long cmd, void *arg);
	va_list ap;
	void *arg;
	int ret;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "ioctl");
	if (_IOC_TYPE(cmd) != DTRACK_IOC_TYPE)
		return real(fd, cmd, arg);
	count = ++total;
	note(cmd);
	maybe_kill("before", cmd, arg);
	ret = real(fd, cmd, arg);
	maybe_kill("after", cmd, arg);
	return ret;
}
