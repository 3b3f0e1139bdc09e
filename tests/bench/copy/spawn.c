// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * spawn.c - run a program and print what it cost.
 *
 * Usage: spawn PROGRAM [ARGUMENT...]
 *
 * On stderr, last line: WALL CPU RSS READ WRITTEN: seconds, seconds, KiB at the
 * peak, bytes from and to storage (/proc/PID/io).  Small itself: what forks is
 * part of the peak that the kernel tells.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

/* Of a zombie: all its threads have been counted. */
static void read_io(pid_t pid, uint64_t *from, uint64_t *to)
{
	char path[64], line[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "read_bytes: %" SCNu64, from);
		sscanf(line, "write_bytes: %" SCNu64, to);
	}
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	uint64_t from = 0, to = 0;
	struct rusage ru;
	siginfo_t info;
	double began;
	int status;
	pid_t pid;

	if (argc < 2)
		return 2;
	began = now();
	pid = fork();
	if (!pid) {
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (pid < 0 || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT))
		return 1;
	began = now() - began;
	read_io(pid, &from, &to);
	if (wait4(pid, &status, 0, &ru) != pid)
		return 1;
	fprintf(stderr, "%.6f %.6f %ld %" PRIu64 " %" PRIu64 "\n", began,
		seconds(ru.ru_utime) + seconds(ru.ru_stime), ru.ru_maxrss,
		from, to);
	return !WIFEXITED(status) || WEXITSTATUS(status);
}
