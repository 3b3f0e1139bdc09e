// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * preload-night.c - LD_PRELOADed: a night that is over soon, at a time that a
 * test names, and what may happen to files in it.
 *
 *	DTR_CLOCK=SECONDS	a process begins then, seconds since 1970
 *	DTR_FILES_AT=N		the N-th change of a file is the last thing that
 *				the process dtrack does, 1 is the first
 *	DTR_FILES_SIGNAL=N	by this signal, not SIGKILL; before that change
 *	DTR_STUCK=INODE		a file that nobody can unlink
 *	DTR_NO_SYNC=1		nothing is synced: processes die, but no machine
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static atomic_ulong changes;

static void *real(const char *name)
{
	void *fn = dlsym(RTLD_NEXT, name);

	if (!fn)
		abort();
	return fn;
}

/* ---- The clock ---------------------------------------------------------- */

static int64_t ahead(void)
{
	static int (*get)(clockid_t, struct timespec *);
	static int64_t value;
	static atomic_bool known;
	const char *text = getenv("DTR_CLOCK");
	struct timespec t;

	if (known || !text)
		return value;
	*(void **)&get = real("clock_gettime");
	get(CLOCK_REALTIME, &t);
	value = strtoll(text, NULL, 10) - t.tv_sec;
	known = true;
	return value;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	static int (*get)(clockid_t, struct timespec *);
	int ret;

	if (!get)
		*(void **)&get = real("clock_gettime");
	ret = get(clock, t);
	if (!ret && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		t->tv_sec += ahead();
	return ret;
}

time_t time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

int gettimeofday(struct timeval *tv, void *zone)
{
	struct timespec t;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}

/* ---- Changes of files --------------------------------------------------- */

static void change(void)
{
	const char *at = getenv("DTR_FILES_AT");
	const char *sig = getenv("DTR_FILES_SIGNAL");

	if (!at || strcmp(program_invocation_short_name, "dtrack"))
		return;
	if (++changes == strtoul(at, NULL, 10))
		kill(getpid(), sig ? atoi(sig) : SIGKILL);
}

static int is_stuck(int dir, const char *path)
{
	const char *stuck = getenv("DTR_STUCK");
	struct stat st;

	return stuck && !fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) &&
	       st.st_ino == strtoull(stuck, NULL, 10);
}

void night_opens(int flags);

/* What the mock opens for others. */
void night_opens(int flags)
{
	if (flags & O_CREAT)
		change();
}

#define PATHS(name, params, dir, path, ...)				\
	int name params							\
	{								\
		int (*fn) params;					\
									\
		change();						\
		if (is_stuck(dir, path)) {				\
			errno = EPERM;					\
			return -1;					\
		}							\
		*(void **)&fn = real(#name);				\
		return fn(__VA_ARGS__);					\
	}

PATHS(unlink, (const char *path), AT_FDCWD, path, path)
PATHS(remove, (const char *path), AT_FDCWD, path, path)
PATHS(rmdir, (const char *path), AT_FDCWD, path, path)
PATHS(unlinkat, (int dir, const char *path, int flags), dir, path, dir, path,
      flags)

#define CHANGE(type, name, params, ...)					\
	type name params						\
	{								\
		type (*fn) params;					\
									\
		change();						\
		*(void **)&fn = real(#name);				\
		return fn(__VA_ARGS__);					\
	}

CHANGE(ssize_t, write, (int fd, const void *buf, size_t n), fd, buf, n)
CHANGE(ssize_t, pwrite, (int fd, const void *buf, size_t n, off_t at), fd, buf, n,
     at)
CHANGE(ssize_t, pwrite64, (int fd, const void *buf, size_t n, off64_t at), fd, buf,
     n, at)
CHANGE(int, mkdir, (const char *path, mode_t mode), path, mode)
CHANGE(int, rename, (const char *from, const char *to), from, to)
CHANGE(int, ftruncate, (int fd, off_t size), fd, size)
CHANGE(int, ftruncate64, (int fd, off64_t size), fd, size)
CHANGE(ssize_t, copy_file_range, (int in, off64_t *from, int out, off64_t *to,
				size_t n, unsigned int flags),
     in, from, out, to, n, flags)

/* Without the journal; what is not written cannot be dropped from memory. */
static int written(int fd)
{
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
			SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
	return 0;
}

#define SYNC(name)							\
	int name(int fd)						\
	{								\
		int (*fn)(int);						\
									\
		change();						\
		*(void **)&fn = real(#name);				\
		return getenv("DTR_NO_SYNC") ? written(fd) : fn(fd);	\
	}

SYNC(fsync)
SYNC(fdatasync)
