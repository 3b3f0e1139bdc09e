// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fssync.c - have what file systems keep in memory written before a freeze.
 *
 * A file that was just written is in no bitmap: nothing has reached the device.
 * syncfs(2) can wait for ever, so a process of its own calls it, and is left to
 * itself when it takes too long.
 *
 * Invariant: that process keeps no file of ours but the file systems.  It could
 * keep a freeze of the kernel's alive, or a lock.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

/* What a slow disk may have to write; then the copy goes on without. */
#define LIMIT_MS	30000
/* How soon a cancel is seen. */
#define TICK_MS		200

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* @files: ascending.  Only what may be called in a child of threads. */
__attribute__((noreturn))
static void sync_all(const int *files, unsigned int nr, int result)
{
	unsigned int i, first = 0;
	char bad = 0;

	for (i = 0; i < nr; i++) {
		if ((unsigned int)files[i] > first)
			close_range(first, (unsigned int)files[i] - 1, 0);
		first = (unsigned int)files[i] + 1;
	}
	close_range(first, ~0U, 0);
	for (i = 0; i < nr; i++)
		if (files[i] != result && syncfs(files[i]))
			bad = 1;
	if (write(result, &bad, 1) != 1)
		bad = 1;
	_exit(bad);
}

/* Its parent ends at once, so that nobody has to wait for it. */
static bool start(const int *files, unsigned int nr, int result)
{
	sigset_t all, old;
	pid_t child;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	child = fork();
	if (!child) {
		if (!fork())
			sync_all(files, nr, result);
		_exit(0);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (child < 0)
		return false;
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return true;
}

/* In milliseconds. */
static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool await(int fd, const atomic_int *cancel)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	const int64_t until = now() + LIMIT_MS;
	char bad = 1;

	while (now() < until && !atomic_load(cancel))
		if (poll(&p, 1, TICK_MS) > 0)
			return read(fd, &bad, 1) == 1 && !bad;
	return false;
}

static bool sync_files(int *files, unsigned int nr, const atomic_int *cancel)
{
	bool done = false;
	int fd[2];

	if (pipe2(fd, O_CLOEXEC))
		return false;
	files[nr++] = fd[1];
	qsort(files, nr, sizeof(*files), by_number);
	if (start(files, nr, fd[1])) {
		close(fd[1]);
		done = await(fd[0], cancel);
	} else {
		close(fd[1]);
	}
	close(fd[0]);
	return done;
}

bool dtl_sync(struct dtrack *h, const struct dtrack_dev *devs, unsigned int nr,
	      const atomic_int *cancel)
{
	struct dtl_error first;
	struct dtrack_fs *fs;
	bool done = true;
	unsigned int nr_files;
	int *files;

	dtl_error_save(h, &first);
	if (dtl_fs_find(h, devs, nr, &fs)) {
		dtl_error_restore(h, &first);
		return false;
	}
	files = dtl_fs_files(fs, &nr_files);
	if (!files)
		done = false;
	else if (nr_files)
		done = sync_files(files, nr_files, cancel);
	free(files);
	dtrack_fs_free(fs);
	return done;
}
