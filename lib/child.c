// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * child.c - programs that the library runs.
 *
 * What they say goes into files in memory, and nobody has to read while they run,
 * unless it may be too much for that.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

extern char **environ;

static size_t read_text(int fd, off_t from, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, from);

	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

void dtl_child_last_line(int fd, char *buf, size_t size)
{
	off_t end = lseek(fd, 0, SEEK_END);
	size_t len = read_text(fd, end < (off_t)size ? 0 :
						       end - (off_t)size + 1,
			       buf, size);
	char *line;

	while (len && buf[len - 1] == '\n')
		buf[--len] = '\0';
	line = strrchr(buf, '\n');
	if (line)
		memmove(buf, line + 1, strlen(line));
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   128 + WTERMSIG(status);
}

/* Return: 0 or -errno. */
static int start(char *const argv[], int out, int err, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, defaults;
	int ret;

	sigemptyset(&none);
	/* It would be inherited where it is ignored. */
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, err, 2);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
					POSIX_SPAWN_SETSIGDEF |
					POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	ret = -posix_spawnp(pid, argv[0], &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return ret;
}

/* Return: as dtl_child_run(). */
static int spawn(char *const argv[], int out, int err)
{
	pid_t pid;
	int ret = start(argv, out, err, &pid);

	return ret ? ret : wait_for(pid);
}

int dtl_child_run_into(char *const argv[], int out,
		       struct dtl_child_text *text)
{
	int err = memfd_create("err", MFD_CLOEXEC);
	int ret = out < 0 || err < 0 ? -errno : spawn(argv, out, err);

	text->err[0] = '\0';
	if (err >= 0)
		dtl_child_last_line(err, text->err, sizeof(text->err));
	dtl_close(err);
	return ret;
}

int dtl_child_run(char *const argv[], struct dtl_child_text *text)
{
	int out = memfd_create("out", MFD_CLOEXEC);
	int ret = dtl_child_run_into(argv, out, text);

	dtl_close(out);
	return ret;
}

/* Return: as dtl_child_run(). */
static int spawn_and_read(char *const argv[], int err,
			  void (*read)(void *opaque, FILE *out), void *opaque)
{
	int ret, ends[2];
	pid_t pid;
	FILE *out;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	out = fdopen(ends[0], "r");
	ret = out ? start(argv, ends[1], err, &pid) : -ENOMEM;
	close(ends[1]);
	if (!ret) {
		read(opaque, out);
		ret = wait_for(pid);
	}
	if (out)
		fclose(out);
	else
		close(ends[0]);
	return ret;
}

int dtl_child_read(char *const argv[], void (*read)(void *opaque, FILE *out),
		   void *opaque, struct dtl_child_text *text)
{
	int err = memfd_create("err", MFD_CLOEXEC);
	int ret = err < 0 ? -errno : spawn_and_read(argv, err, read, opaque);

	text->err[0] = '\0';
	if (err >= 0)
		dtl_child_last_line(err, text->err, sizeof(text->err));
	dtl_close(err);
	return ret;
}
