// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * holders.c - who uses a block device.
 *
 * The kernel decides (O_EXCL) about claims; /sys and /proc say who has one, and
 * who writes without.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "holders.h"
#include "sysfs.h"
#include "users.h"

bool dtl_is_swap(dev_t dev)
{
	char line[4096 + 128];
	bool found = false;
	struct stat st;
	FILE *f = fopen("/proc/swaps", "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, " \t\n")] = '\0';
		dtl_unescape(line);
		found = line[0] == '/' && !stat(line, &st) &&
			S_ISBLK(st.st_mode) && st.st_rdev == dev;
	}
	fclose(f);
	return found;
}

static bool holder_of(dev_t dev, char *buf, size_t size)
{
	char path[DTL_PATH_LEN], name[128];
	struct dirent *e;
	DIR *dir;

	dtl_sysfs_path(path, dev, "holders");
	dir = opendir(path);
	if (!dir)
		return false;
	do
		e = readdir(dir);
	while (e && e->d_name[0] == '.');
	if (e) {
		snprintf(path, sizeof(path), "/sys/class/block/%.64s/dm/name",
			 e->d_name);
		if (dtl_sysfs_line(path, name, sizeof(name)))
			snprintf(buf, size, "held by %s (%s)", e->d_name, name);
		else
			snprintf(buf, size, "held by %s", e->d_name);
	}
	closedir(dir);
	return e;
}

bool dtl_used_itself(dev_t dev, char *buf, size_t size)
{
	char point[4096];

	if (dtl_mounted_on(dev, point, sizeof(point))) {
		snprintf(buf, size, "mounted on %s", point);
		return true;
	}
	if (dtl_is_swap(dev)) {
		snprintf(buf, size, "used as swap");
		return true;
	}
	return false;
}

static bool used_directly(dev_t dev, char *buf, size_t size)
{
	return dtl_used_itself(dev, buf, size) || holder_of(dev, buf, size);
}

/* Whoever uses a partition keeps the whole disk from being claimed. */
static bool used_in_part(dev_t dev, char *buf, size_t size)
{
	bool found = false;
	struct dtl_kin k;
	char user[4200];

	if (!dtl_kin_open(&k, dev, DTL_KIN_PARTS))
		return false;
	while (!found && dtl_kin_next(&k)) {
		found = used_directly(k.dev, user, sizeof(user));
		if (found)
			snprintf(buf, size, "%s is %s", k.name, user);
	}
	dtl_kin_close(&k);
	return found;
}

void dtl_user_of(dev_t dev, char *buf, size_t size)
{
	if (!used_directly(dev, buf, size) && !used_in_part(dev, buf, size))
		snprintf(buf, size, "used by another program");
}

/* With a claim of ours nothing is mounted: loop devices and processes are left. */
int dtl_check_unwritten(struct dtrack *h, const char *what, const char *path,
			dev_t dev)
{
	char user[DTL_USE_LEN];

	if (!dtl_writer_find(h, dev, user))
		return 0;
	return dtl_fail(h, -EBUSY, NULL, "%s '%s' is in use: %s", what, path,
			user);
}

int dtl_check_unused(struct dtrack *h, const char *path, dev_t dev)
{
	int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	char user[DTL_USE_LEN];

	if (fd >= 0) {
		dtl_close(fd);
		return dtl_check_unwritten(h, "Device", path, dev);
	}
	if (errno != EBUSY)
		return dtl_fail(h, -errno, NULL, "Could not open '%s': %s",
				path, strerror(errno));
	dtl_user_of(dev, user, sizeof(user));
	return dtl_fail(h, -EBUSY, NULL, "Device '%s' is in use: %s", path,
			user);
}
