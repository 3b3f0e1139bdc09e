// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * file.c - files and folders of 'dtrack run'.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

/* A cancel shall not wait for long. */
#define PIECE	(8 << 20)
#define BUFFER	(1 << 20)

/* ---- Folders ------------------------------------------------------------ */

int file_each(const char *path, int (*see)(void *opaque, const char *name),
	      void *opaque)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int ret = 0;

	if (!dir)
		return -errno;
	while (!ret) {
		errno = 0;
		e = readdir(dir);
		if (!e)
			break;
		if (e->d_name[0] != '.')
			ret = see(opaque, e->d_name);
	}
	if (!e && errno)
		ret = -errno;
	closedir(dir);
	return ret;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) && errno != ENOENT ? -errno : 0;
}

int file_remove_tree(const char *path)
{
	int ret = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	if (ret == -1)
		return errno == ENOENT ? 0 : -errno;
	return ret;
}

/* ---- Cloning ------------------------------------------------------------ */

/* What copy_file_range() does not do. */
static ssize_t copy_by_hand(int from, int to, off_t at, size_t len)
{
	static char buf[BUFFER];
	ssize_t n = pread(from, buf, len < sizeof(buf) ? len : sizeof(buf), at);

	return n > 0 ? pwrite(to, buf, (size_t)n, at) : n;
}

static int copy_range(int from, int to, off_t at, off_t end,
		      bool (*cancelled)(void))
{
	bool by_hand = false;
	ssize_t n;

	while (at < end) {
		off_t in = at, out = at;
		size_t len = end - at < PIECE ? (size_t)(end - at) : PIECE;

		if (cancelled())
			return -ECANCELED;
		n = by_hand ? copy_by_hand(from, to, at, len) :
			      copy_file_range(from, &in, to, &out, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (by_hand || errno == ENOSPC || errno == EIO))
			return -errno;
		/* It became shorter: that it did is found out elsewhere. */
		if (!n && by_hand)
			return 0;
		by_hand = by_hand || n <= 0;
		at += n > 0 ? n : 0;
	}
	return 0;
}

static int copy_data(int from, int to, off_t size, bool (*cancelled)(void))
{
	off_t data, hole = 0;
	int ret = 0;

	if (ftruncate(to, size))
		return -errno;
	while (!ret && hole < size) {
		data = lseek(from, hole, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		ret = copy_range(from, to, data, hole, cancelled);
	}
	return ret;
}

static int clone_files(int from, int to, bool (*cancelled)(void))
{
	struct stat st;

	if (fstat(from, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (!ioctl(to, FICLONE, from))
		return 0;
	return copy_data(from, to, st.st_size, cancelled);
}

int file_clone(const char *from, const char *to, bool (*cancelled)(void))
{
	int in = open(from, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	int out, ret;

	if (in < 0)
		return -errno;
	out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ret = out < 0 ? -errno : clone_files(in, out, cancelled);
	if (!ret && fsync(out))
		ret = -errno;
	if (out >= 0 && close(out) && !ret)
		ret = -errno;
	close(in);
	return ret;
}
