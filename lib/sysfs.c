// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sysfs.c - what /sys knows about block devices.
 *
 * Reads only.  See users.c, holders.c and feeds.c for what follows from that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dm.h"
#include "sysfs.h"

void dtl_sysfs_path(char *buf, dev_t dev, const char *entry)
{
	snprintf(buf, DTL_PATH_LEN, "/sys/dev/block/%u:%u/%s", major(dev),
		 minor(dev), entry);
}

bool dtl_sysfs_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	bool got;

	if (!f)
		return false;
	got = fgets(buf, (int)size, f);
	fclose(f);
	if (got)
		buf[strcspn(buf, "\n")] = '\0';
	return got;
}

bool dtl_sysfs_dev(const char *path, dev_t *dev)
{
	unsigned int maj, min;
	char line[32];

	if (!dtl_sysfs_line(path, line, sizeof(line)) ||
	    sscanf(line, "%u:%u", &maj, &min) != 2)
		return false;
	*dev = makedev(maj, min);
	return true;
}

bool dtl_sysfs_disk(dev_t part, dev_t *disk)
{
	char path[DTL_PATH_LEN], line[32];

	dtl_sysfs_path(path, part, "partition");
	if (!dtl_sysfs_line(path, line, sizeof(line)))
		return false;
	dtl_sysfs_path(path, part, "../dev");
	return dtl_sysfs_dev(path, disk);
}

bool dtl_kin_open(struct dtl_kin *k, dev_t of, const char *kind)
{
	char path[DTL_PATH_LEN];

	dtl_sysfs_path(path, of, kind);
	k->of = of;
	k->kind = kind;
	k->dir = opendir(path);
	return k->dir;
}

static void kin_path(const struct dtl_kin *k, const char *entry, char *path)
{
	char below[300];

	snprintf(below, sizeof(below), "%s/%s/%s", k->kind, k->name, entry);
	dtl_sysfs_path(path, k->of, below);
}

/* In a disk's own folder are others than those of its partitions. */
static bool is_kin(struct dtl_kin *k)
{
	char path[DTL_PATH_LEN], line[32];

	if (k->name[0] == '.')
		return false;
	kin_path(k, "partition", path);
	if (!strcmp(k->kind, DTL_KIN_PARTS) &&
	    !dtl_sysfs_line(path, line, sizeof(line)))
		return false;
	kin_path(k, "dev", path);
	return dtl_sysfs_dev(path, &k->dev);
}

bool dtl_kin_next(struct dtl_kin *k)
{
	struct dirent *e;

	while ((e = readdir(k->dir))) {
		k->name = e->d_name;
		if (is_kin(k))
			return true;
	}
	return false;
}

void dtl_kin_close(struct dtl_kin *k)
{
	closedir(k->dir);
}

/* ---- btrfs -------------------------------------------------------------- */

#define BTRFS	"/sys/fs/btrfs"

bool dtl_members_open(struct dtl_members *m, const char *fs)
{
	char path[DTL_PATH_LEN];

	snprintf(path, sizeof(path), BTRFS "/%.64s/devices", fs);
	m->dir = opendir(path);
	m->fs = fs;
	return m->dir;
}

bool dtl_members_next(struct dtl_members *m)
{
	char path[DTL_PATH_LEN];
	struct dirent *e;

	while ((e = readdir(m->dir))) {
		snprintf(path, sizeof(path), BTRFS "/%.64s/devices/%.64s/dev",
			 m->fs, e->d_name);
		if (e->d_name[0] != '.' && dtl_sysfs_dev(path, &m->dev))
			return true;
	}
	return false;
}

void dtl_members_close(struct dtl_members *m)
{
	closedir(m->dir);
}

bool dtl_btrfs_has(const char *fs, dev_t dev)
{
	struct dtl_members m;
	bool found = false;

	if (!dtl_members_open(&m, fs))
		return false;
	while (!found && dtl_members_next(&m))
		found = m.dev == dev;
	dtl_members_close(&m);
	return found;
}

bool dtl_share_btrfs(dev_t a, dev_t b)
{
	DIR *dir = opendir(BTRFS);
	bool found = false;
	struct dirent *e;

	if (!dir)
		return false;
	while (!found && (e = readdir(dir)))
		found = e->d_name[0] != '.' && dtl_btrfs_has(e->d_name, a) &&
			dtl_btrfs_has(e->d_name, b);
	closedir(dir);
	return found;
}

/* ---- Nodes -------------------------------------------------------------- */

static bool is_node_of(const char *path, dev_t dev)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode) && st.st_rdev == dev;
}

/* DEVNAME of the uevent file: where devtmpfs puts the node. */
static bool kernel_name(dev_t dev, char *buf, size_t size)
{
	char path[DTL_PATH_LEN], line[256];
	bool found = false;
	FILE *f;

	dtl_sysfs_path(path, dev, "uevent");
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strncmp(line, "DEVNAME=", 8);
	}
	fclose(f);
	if (found)
		snprintf(buf, size, "%s", line + 8);
	return found;
}

static bool kernel_node(dev_t dev, char *buf, size_t size)
{
	char name[256];

	if (!kernel_name(dev, name, sizeof(name)))
		return false;
	snprintf(buf, size, "/dev/%s", name);
	return is_node_of(buf, dev);
}

bool dtl_sysfs_node(struct dtrack *h, dev_t dev, char *buf, size_t size)
{
	struct dtrack_dev number = { major(dev), minor(dev) };
	struct dtl_dm_info info;

	if (!dtl_dm_by_dev(h, number, &info)) {
		snprintf(buf, size, "/dev/mapper/%s", info.name);
		if (is_node_of(buf, dev))
			return true;
	}
	return kernel_node(dev, buf, size);
}

void dtl_sysfs_name(struct dtrack *h, dev_t dev, char *buf, size_t size)
{
	struct dtrack_dev number = { major(dev), minor(dev) };
	char node[DTL_PATH_LEN];
	struct dtl_dm_info info;

	if (!kernel_name(dev, node, sizeof(node)))
		snprintf(node, sizeof(node), "%u:%u", major(dev), minor(dev));
	if (dtl_dm_by_dev(h, number, &info))
		snprintf(buf, size, "%.100s", node);
	else
		snprintf(buf, size, "%.40s (%.127s)", node, info.name);
}
