// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * openers.c - which processes have a block device open for writing.
 *
 * Most of them claim nothing: a virtual machine's disk, a database on a device.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openers.h"
#include "sysfs.h"

static bool may_write(const char *pid, const char *fd)
{
	char path[DTL_PATH_LEN], line[128];
	unsigned int flags = O_RDONLY;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/fdinfo/%.20s", pid, fd);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f) &&
	       sscanf(line, "flags: %o", &flags) != 1)
		;
	fclose(f);
	return !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY;
}

static bool is_one(const dev_t *devs, unsigned int nr, const struct stat *st)
{
	while (nr--)
		if (devs[nr] == st->st_rdev)
			return true;
	return false;
}

/* Return: the first that @pid may write to, or 0. */
static dev_t open_in(const char *pid, const dev_t *devs, unsigned int nr)
{
	char path[DTL_PATH_LEN];
	struct dirent *e;
	dev_t found = 0;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while (!found && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid,
			 e->d_name);
		if (!stat(path, &st) && S_ISBLK(st.st_mode) &&
		    is_one(devs, nr, &st) && may_write(pid, e->d_name))
			found = st.st_rdev;
	}
	closedir(dir);
	return found;
}

void dtl_openers_find(const dev_t *devs, unsigned int nr,
		      bool (*found)(void *opaque, dev_t dev, const char *pid,
				    const char *comm),
		      void *opaque)
{
	char path[DTL_PATH_LEN], comm[64];
	DIR *dir = opendir("/proc");
	struct dirent *e;
	bool more = true;
	dev_t dev;

	if (!dir)
		return;
	while (more && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    atoi(e->d_name) == getpid())
			continue;
		dev = open_in(e->d_name, devs, nr);
		if (!dev)
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/comm", e->d_name);
		if (!dtl_sysfs_line(path, comm, sizeof(comm)))
			snprintf(comm, sizeof(comm), "?");
		more = found(opaque, dev, e->d_name, comm);
	}
	closedir(dir);
}
