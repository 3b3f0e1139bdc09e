// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sysfs.c - what /sys and /proc know about block devices and mounts.
 *
 * Reads only.  What follows from it is holders.c's and feeds.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
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

/* Whether one file system lies on both. */
static bool share_btrfs(dev_t a, dev_t b)
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
static bool kernel_node(dev_t dev, char *buf, size_t size)
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
		if (strncmp(line, "DEVNAME=", 8))
			continue;
		snprintf(buf, size, "/dev/%s", line + 8);
		found = is_node_of(buf, dev);
	}
	fclose(f);
	return found;
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

/* ---- Mounts ------------------------------------------------------------- */

/* Blanks and the like are written as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 |
				       (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* ID PARENT MAJ:MIN ROOT POINT OPTS [TAGS...] - TYPE SOURCE SUPEROPTS */
static bool tear(char *line, struct dtl_mount *m)
{
	char *field[6], *rest, *save = NULL;
	unsigned int maj, min, i;

	line[strcspn(line, "\n")] = '\0';
	rest = strstr(line, " - ");
	if (!rest)
		return false;
	*rest = '\0';
	rest += 3;
	for (i = 0; i < DTL_ARRAY_SIZE(field); i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return false;
	}
	if (sscanf(field[2], "%u:%u", &maj, &min) != 2)
		return false;
	m->type = strtok_r(rest, " ", &save);
	m->source = m->type ? strtok_r(NULL, " ", &save) : NULL;
	m->options = m->source ? strtok_r(NULL, " ", &save) : NULL;
	if (!m->options)
		return false;
	m->id = atoi(field[0]);
	m->dev = makedev(maj, min);
	m->point = field[4];
	unescape(m->point);
	unescape(m->source);
	return true;
}

bool dtl_mounts_open(struct dtl_mounts *m)
{
	memset(m, 0, sizeof(*m));
	m->file = fopen("/proc/self/mountinfo", "re");
	return m->file;
}

bool dtl_mounts_next(struct dtl_mounts *m)
{
	while (getline(&m->line, &m->room, m->file) > 0)
		if (tear(m->line, &m->mount))
			return true;
	return false;
}

void dtl_mounts_close(struct dtl_mounts *m)
{
	free(m->line);
	fclose(m->file);
}

/*
 * btrfs and its like have a number of their own; their source is the device, or one
 * of them.
 */
static bool is_mount_of(const struct dtl_mount *m, dev_t dev)
{
	struct stat st;

	if (m->dev == dev)
		return true;
	if (major(m->dev) || m->source[0] != '/' || stat(m->source, &st) ||
	    !S_ISBLK(st.st_mode))
		return false;
	return st.st_rdev == dev || share_btrfs(st.st_rdev, dev);
}

bool dtl_mounted_on(dev_t dev, char *buf, size_t size)
{
	struct dtl_mounts m;
	bool found = false;

	if (!dtl_mounts_open(&m))
		return false;
	while (!found && dtl_mounts_next(&m)) {
		found = is_mount_of(&m.mount, dev);
		if (found && buf)
			snprintf(buf, size, "%s", m.mount.point);
	}
	dtl_mounts_close(&m);
	return found;
}

/* Its path may lead to another one, or nowhere. */
static int open_mount(const struct dtl_mount *m)
{
	int fd = open(m->point, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct statx st = { 0 };

	if (fd < 0)
		return errno == ENOENT ? -EXDEV : -errno;
	if (!statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) &&
	    st.stx_mask & STATX_MNT_ID && st.stx_mnt_id == (uint64_t)m->id)
		return fd;
	close(fd);
	return st.stx_mask & STATX_MNT_ID ? -EXDEV : -EOPNOTSUPP;
}

int dtl_mount_open(dev_t dev, char *buf, size_t size)
{
	struct dtl_mounts m;
	int ret = -ENOENT;

	if (!dtl_mounts_open(&m))
		return -errno;
	while (ret < 0 && dtl_mounts_next(&m))
		if (is_mount_of(&m.mount, dev)) {
			ret = open_mount(&m.mount);
			snprintf(buf, size, "%s", m.mount.point);
		}
	dtl_mounts_close(&m);
	return ret;
}
