// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * target-raw.c - targets that are a file or a block device.
 */
#include <fcntl.h>
#include <libgen.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "direct.h"
#include "feeds.h"
#include "files.h"
#include "holders.h"
#include "target.h"

/*
 * Two runs onto one file would each ruin the other's.  The lock is the
 * process's, as the freeze is: it goes when the process is killed, whatever
 * children still have the file open.
 */
static int lock_file(struct dtrack *h, struct dtl_target *t)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(t->fd, F_SETLK, &lock))
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return dtl_fail(h, -errno, NULL, "Could not lock '%s': %s",
				t->path, strerror(errno));
	return dtl_fail(h, -EBUSY, NULL, "Target '%s' is used by another run",
			t->path);
}

/* ---- Writing ------------------------------------------------------------ */

static int raw_begin(struct dtrack *h, struct dtl_target *t, uint64_t size)
{
	struct stat st;
	int ret;

	if (t->is_block)
		return 0;
	if (!t->exists) {
		t->fd = open(t->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
			     0600);
		if (t->fd < 0)
			return dtl_open_error(h, t->path);
		t->created = true;
		ret = lock_file(h, t);
		if (ret)
			return ret;
	}
	t->in_memory = dtl_in_memory(t->fd);
	if (fstat(t->fd, &st))
		return dtl_open_error(h, t->path);
	if ((uint64_t)st.st_size < size && ftruncate(t->fd, (off_t)size))
		return dtl_fail(h, -errno, NULL, "Could not extend '%s': %s",
				t->path, strerror(errno));
	return 0;
}

/* By /proc: the path may lead elsewhere by now. */
static void raw_unit(struct dtl_target *t, uint64_t unit)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", t->fd);
	t->direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	t->is_direct = t->direct >= 0 && !(unit % dtl_direct_unit(t->direct));
}

static void raw_write(struct dtl_target *t, struct dtl_queue *q,
		      struct dtl_io *io)
{
	io->op = DTL_IO_WRITE;
	io->fd = t->is_direct ? t->direct : t->fd;
	io->async = t->in_memory || !t->is_direct;
	dtl_queue_push(q, io);
}

static void raw_flush(struct dtl_target *t, struct dtl_queue *q,
		      struct dtl_io *io)
{
	io->op = DTL_IO_FLUSH;
	io->fd = t->fd;
	io->async = false;
	dtl_queue_push(q, io);
}

/* What direct I/O asks for beyond what can be asked is found out so. */
static bool raw_retry(struct dtl_target *t, const struct dtl_io *io)
{
	if (io->result != -EINVAL || io->fd != t->direct)
		return false;
	t->is_direct = false;
	return true;
}

static int raw_finish(struct dtl_target *t)
{
	if (fsync(t->fd))
		return -errno;
	return t->created ? dtl_sync_dir(t->path) : 0;
}

/* ---- Comparing ---------------------------------------------------------- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Of files to come: the same name in the same folder. */
static bool same_place(const struct dtl_target *a, const struct dtl_target *b)
{
	char folder_a[sizeof(a->path)], folder_b[sizeof(b->path)];
	char name_a[sizeof(a->path)], name_b[sizeof(b->path)];
	struct stat st_a, st_b;

	memcpy(folder_a, a->path, sizeof(folder_a));
	memcpy(folder_b, b->path, sizeof(folder_b));
	memcpy(name_a, a->path, sizeof(name_a));
	memcpy(name_b, b->path, sizeof(name_b));
	return !strcmp(basename(name_a), basename(name_b)) &&
	       !stat(dirname(folder_a), &st_a) &&
	       !stat(dirname(folder_b), &st_b) && same_file(&st_a, &st_b);
}

static bool raw_same(const struct dtl_target *a, const struct dtl_target *b)
{
	struct stat st_a, st_b;

	if (a->exists != b->exists)
		return false;
	if (!a->exists)
		return same_place(a, b);
	return !fstat(a->fd, &st_a) && !fstat(b->fd, &st_b) &&
	       same_file(&st_a, &st_b);
}

static void raw_close(struct dtl_target *t)
{
	/* Not before: that would let go of the lock. */
	dtl_close(t->direct);
	dtl_close(t->fd);
}

static const struct dtl_target_ops raw_ops = {
	.begin = raw_begin,
	.unit = raw_unit,
	.write = raw_write,
	.flush = raw_flush,
	.retry = raw_retry,
	.finish = raw_finish,
	.same = raw_same,
	.close = raw_close,
};

/* ---- Opening ------------------------------------------------------------ */

static int open_block(struct dtrack *h, struct dtl_target *t, dev_t dev)
{
	char user[4400];
	int is_readonly, ret;

	t->is_block = true;
	t->fd = open(t->path, O_RDWR | O_EXCL | O_CLOEXEC);
	if (t->fd < 0 && errno == EBUSY) {
		dtl_user_of(dev, user, sizeof(user));
		return dtl_fail(h, -EBUSY, NULL, "Target '%s' is in use: %s",
				t->path, user);
	}
	if (t->fd < 0 || ioctl(t->fd, BLKGETSIZE64, &t->size))
		return dtl_open_error(h, t->path);
	ret = dtl_check_unwritten(h, "Target", t->path, dev);
	if (ret)
		return ret;
	/* To open it for writing does not fail, to write does. */
	if (!ioctl(t->fd, BLKROGET, &is_readonly) && is_readonly)
		return dtl_fail(h, -EROFS, NULL, "Device '%s' is read-only",
				t->path);
	return 0;
}

static int open_file(struct dtrack *h, struct dtl_target *t)
{
	struct stat st;
	int ret;

	t->fd = open(t->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->fd < 0 || fstat(t->fd, &st))
		return dtl_open_error(h, t->path);
	t->size = (uint64_t)st.st_size;
	ret = lock_file(h, t);
	return ret ? ret : dtl_target_name_manifest(h, t);
}

/* What it lies on is asked first, through a file that claims nothing. */
static int check_place(struct dtrack *h, struct dtrack_dev source,
		       struct dtl_target *t)
{
	int fd = open(t->path, O_PATH | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return dtl_open_error(h, t->path);
	ret = dtl_check_feeds(h, source, fd, t->path);
	dtl_close(fd);
	return ret;
}

static int open_existing(struct dtrack *h, struct dtrack_dev source,
			 struct dtl_target *t, const struct stat *st)
{
	int ret;

	t->exists = true;
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return dtl_fail(h, -EINVAL, NULL,
				"Target '%s' is neither a file nor a block device",
				t->path);
	ret = check_place(h, source, t);
	if (ret)
		return ret;
	return S_ISBLK(st->st_mode) ? open_block(h, t, st->st_rdev) :
				      open_file(h, t);
}

int dtl_target_open_raw(struct dtrack *h, const char *name,
			struct dtrack_dev source, struct dtl_target *t)
{
	struct stat st;
	int ret;

	t->ops = &raw_ops;
	ret = dtl_target_set_path(h, strncmp(name, "raw:", 4) ? name : name + 4,
				  t);
	if (ret)
		return ret;
	if (!stat(t->path, &st))
		return open_existing(h, source, t, &st);
	if (errno != ENOENT)
		return dtl_open_error(h, t->path);
	/* It would be made wherever the link points to: unchecked. */
	if (!lstat(t->path, &st))
		return dtl_fail(h, -ENOENT, DTL_CLASS_GENERIC,
				"Target '%s' is a symbolic link to nothing",
				t->path);
	return dtl_target_check_folder(h, source, t);
}
