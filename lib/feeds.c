// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * feeds.c - whether writing to one thing writes to another (DESIGN I11).
 *
 * Walks downward from a device or a file to all that its bytes may reach: dm
 * and md slaves, the disk of a partition, the file behind a loop device, the
 * devices of a file system.  What has no block device (tmpfs, NFS, FUSE) ends
 * the walk.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "feeds.h"
#include "mounts.h"
#include "sysfs.h"

/* More than any stack of devices has; what is beyond is taken for a loop. */
#define MAX_DEVS	256
#define MAX_FILES	64

struct file_id {
	dev_t dev;
	ino_t ino;
};

/**
 * struct walk - what was reached.
 * @h: the handle
 * @nr_devs: number of @dev
 * @nr_files: number of @file
 * @unknown: there was more: than room, or than can be told
 * @dev: block devices
 * @file: files behind loop devices
 */
struct walk {
	struct dtrack *h;
	unsigned int nr_devs;
	unsigned int nr_files;
	bool unknown;
	dev_t dev[MAX_DEVS];
	struct file_id file[MAX_FILES];
};

static bool has_dev(const struct walk *w, dev_t dev)
{
	unsigned int i;

	for (i = 0; i < w->nr_devs; i++)
		if (w->dev[i] == dev)
			return true;
	return false;
}

static bool has_file(const struct walk *w, const struct stat *st)
{
	unsigned int i;

	for (i = 0; i < w->nr_files; i++)
		if (w->file[i].dev == st->st_dev && w->file[i].ino == st->st_ino)
			return true;
	return false;
}

static bool add_file(struct walk *w, const struct stat *st)
{
	if (has_file(w, st))
		return false;
	if (w->nr_files == MAX_FILES) {
		w->unknown = true;
		return false;
	}
	w->file[w->nr_files++] = (struct file_id){ st->st_dev, st->st_ino };
	return true;
}

static void walk_dev(struct walk *w, dev_t dev);
static void walk_fd(struct walk *w, int fd);

static void walk_path(struct walk *w, const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return;
	walk_fd(w, fd);
	close(fd);
}

/* ---- File systems ------------------------------------------------------- */

/* All devices of a btrfs, when @one is among them, or is 0. */
static void walk_btrfs_of(struct walk *w, const char *fs, dev_t one)
{
	struct dtl_members m;

	if ((one && !dtl_btrfs_has(fs, one)) || !dtl_members_open(&m, fs))
		return;
	while (dtl_members_next(&m))
		walk_dev(w, m.dev);
	dtl_members_close(&m);
}

/* Of which one cannot be told when @one is 0: of all then. */
static void walk_btrfs(struct walk *w, dev_t one)
{
	DIR *dir = opendir("/sys/fs/btrfs");
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			walk_btrfs_of(w, e->d_name, one);
	closedir(dir);
}

static bool walk_source(struct walk *w, const char *name)
{
	struct stat st;

	if (stat(name, &st) || !S_ISBLK(st.st_mode))
		return false;
	walk_dev(w, st.st_rdev);
	walk_btrfs(w, st.st_rdev);
	return true;
}

/* bcachefs names all its devices.  Return: whether each is one here. */
static bool walk_sources(struct walk *w, char *sources)
{
	char *name, *save = NULL;
	bool all = true;

	if (sources[0] != '/')
		return false;
	if (walk_source(w, sources))
		return true;
	for (name = strtok_r(sources, ":", &save); name;
	     name = strtok_r(NULL, ":", &save))
		all = walk_source(w, name) && all;
	return all;
}

/* Names may be of another namespace: what has devices and does not tell which. */
static void walk_unknown(struct walk *w, const char *type)
{
	if (!strcmp(type, "btrfs"))
		walk_btrfs(w, 0);
	else if (!strcmp(type, "bcachefs"))
		w->unknown = true;
}

/* An overlay writes to its upper directory, and makes new files in the other. */
static void walk_overlay(struct walk *w, const char *pid,
			 const struct dtl_mount *m)
{
	static const char *const key[] = { "upperdir", "workdir" };
	char path[4200];
	unsigned int i;
	char *dir;

	for (i = 0; i < DTL_ARRAY_SIZE(key); i++) {
		dir = dtl_mount_option(m, key[i]);
		if (!dir)
			continue;
		dtl_mount_path(pid, dir, path, sizeof(path));
		walk_path(w, path);
		free(dir);
	}
}

/* Return: whether the mount is among those that a process sees. */
static bool walk_mount_of(struct walk *w, const char *pid, int id,
			  dev_t number)
{
	struct dtl_mounts m;
	bool found = false;

	if (!dtl_mounts_open(&m, pid))
		return false;
	while (!found && dtl_mounts_next(&m)) {
		found = id >= 0 ? m.mount.id == id : m.mount.dev == number;
		if (!found)
			continue;
		if (!walk_sources(w, m.mount.source))
			walk_unknown(w, m.mount.type);
		walk_overlay(w, pid, &m.mount);
	}
	dtl_mounts_close(&m);
	return found;
}

/*
 * A file system whose number is no block device's: ask the mount table.  A
 * subvolume of btrfs has another number than the table says.
 *
 * Return: whether it is there.
 */
static bool walk_mount(struct walk *w, int id, dev_t number)
{
	struct dtl_spaces s;
	bool found = false;

	dtl_spaces_open(&s);
	while (!found && dtl_spaces_next(&s))
		found = walk_mount_of(w, s.pid, id, number);
	dtl_spaces_close(&s);
	return found;
}

static int mount_id(int fd)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) ||
	    !(stx.stx_mask & STATX_MNT_ID))
		return -1;
	return (int)stx.stx_mnt_id;
}

static bool is_btrfs(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == BTRFS_SUPER_MAGIC;
}

static void walk_fd(struct walk *w, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return;
	if (S_ISBLK(st.st_mode))
		walk_dev(w, st.st_rdev);
	else if (!add_file(w, &st))
		return;
	else if (major(st.st_dev))
		walk_dev(w, st.st_dev);
	/* What is mounted out of our sight is not in the table. */
	else if (!walk_mount(w, mount_id(fd), st.st_dev) && is_btrfs(fd))
		walk_btrfs(w, 0);
}

/* ---- Block devices ------------------------------------------------------ */

static void walk_slaves(struct walk *w, dev_t dev)
{
	struct dtl_kin k;

	if (!dtl_kin_open(&k, dev, DTL_KIN_SLAVES))
		return;
	while (dtl_kin_next(&k))
		walk_dev(w, k.dev);
	dtl_kin_close(&k);
}

/* The name may be of another namespace or gone; then the number must do. */
static void walk_loop_number(struct walk *w, dev_t dev)
{
	struct loop_info64 info;
	char node[DTL_PATH_LEN];
	int fd;

	if (!dtl_sysfs_node(w->h, dev, node, sizeof(node)))
		return;
	fd = open(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!ioctl(fd, LOOP_GET_STATUS64, &info)) {
		struct stat st = {
			.st_dev = (dev_t)info.lo_device,
			.st_ino = (ino_t)info.lo_inode,
		};

		/* Of a subvolume nothing else is known by its number. */
		if (add_file(w, &st) && !major(st.st_dev) &&
		    !walk_mount(w, -1, st.st_dev))
			walk_btrfs(w, 0);
		if (major(st.st_dev))
			walk_dev(w, st.st_dev);
	}
	close(fd);
}

static void walk_loop(struct walk *w, dev_t dev)
{
	char path[DTL_PATH_LEN], file[4096];

	dtl_sysfs_path(path, dev, "loop/backing_file");
	if (!dtl_sysfs_line(path, file, sizeof(file)))
		return;
	walk_path(w, file);
	walk_loop_number(w, dev);
}

static void walk_dev(struct walk *w, dev_t dev)
{
	dev_t disk;

	if (has_dev(w, dev))
		return;
	if (w->nr_devs == MAX_DEVS) {
		w->unknown = true;
		return;
	}
	w->dev[w->nr_devs++] = dev;
	walk_slaves(w, dev);
	walk_loop(w, dev);
	if (dtl_sysfs_disk(dev, &disk))
		walk_dev(w, disk);
}

/* ---- The question ------------------------------------------------------- */

/*
 * A target that the source is made of.  Sharing a disk is no harm, so a disk
 * that the walk reached through a partition counts only as a whole, not its
 * other partitions.
 */
static bool is_part_of(const struct walk *source, const struct stat *st)
{
	unsigned int i;
	dev_t disk, other;

	if (!S_ISBLK(st->st_mode))
		return has_file(source, st);
	if (has_dev(source, st->st_rdev))
		return true;
	if (!dtl_sysfs_disk(st->st_rdev, &disk) || !has_dev(source, disk))
		return false;
	for (i = 0; i < source->nr_devs; i++)
		if (dtl_sysfs_disk(source->dev[i], &other) && other == disk)
			return false;
	return true;
}

static int refuse(struct dtrack *h, struct dtrack_dev source, const char *path,
		  const char *how)
{
	char buf[32];

	return dtl_fail(h, -ELOOP, DTL_CLASS_GENERIC,
			"Target '%s' %s the tracked device '%s'", path, how,
			dtl_label(h, source, buf, sizeof(buf)));
}

static int judge(struct dtrack *h, struct dtrack_dev source, int fd,
		 const char *path, struct walk *above, struct walk *below)
{
	dev_t dev = dtl_dev_t(source);
	struct stat st;

	if (fstat(fd, &st))
		return dtl_fail(h, -errno, NULL, "Could not open '%s': %s",
				path, strerror(errno));
	if (S_ISBLK(st.st_mode) && st.st_rdev == dev)
		return dtl_fail(h, -ELOOP, DTL_CLASS_GENERIC,
				"Source and target cannot be the same");
	above->h = h;
	below->h = h;
	walk_fd(above, fd);
	walk_dev(below, dev);
	if (has_dev(above, dev) || above->unknown)
		return refuse(h, source, path, "lies on");
	if (is_part_of(below, &st) || below->unknown)
		return refuse(h, source, path, "is a part of");
	return 0;
}

int dtl_check_feeds(struct dtrack *h, struct dtrack_dev source, int fd,
		    const char *path)
{
	struct walk *w = calloc(2, sizeof(*w));
	int ret;

	if (!w)
		return dtl_nomem(h);
	ret = judge(h, source, fd, path, &w[0], &w[1]);
	free(w);
	return ret;
}

int dtrack_dev_carries(struct dtrack *h, struct dtrack_dev dev,
		       const char *path)
{
	int ret, fd = open(path, O_PATH | O_CLOEXEC);
	struct walk *w;

	if (fd < 0)
		return dtl_open_error(h, path);
	w = calloc(1, sizeof(*w));
	if (w) {
		w->h = h;
		walk_fd(w, fd);
		ret = w->unknown || has_dev(w, dtl_dev_t(dev));
	} else {
		ret = dtl_nomem(h);
	}
	free(w);
	close(fd);
	return ret;
}
