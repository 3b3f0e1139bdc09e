// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * source.c - sources, and raw ones: a file or a block device.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "direct.h"
#include "manifest.h"
#include "medium.h"
#include "nbd.h"
#include "source.h"
#include "target.h"

/* ---- Reading ------------------------------------------------------------ */

static void raw_read(struct dtl_source *s, struct dtl_queue *q,
		     struct dtl_io *io)
{
	io->op = DTL_IO_READ;
	io->fd = s->fd;
	dtl_queue_push(q, io);
}

static void raw_close(struct dtl_source *s)
{
	dtl_close(s->fd);
	s->fd = -1;
}

const struct dtl_source_ops dtl_source_raw = {
	.read = raw_read,
	.close = raw_close,
};

/* ---- Opening ------------------------------------------------------------ */

void dtl_source_init(struct dtl_source *s)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

void dtl_source_close(struct dtl_source *s)
{
	if (s->ops)
		s->ops->close(s);
	s->ops = NULL;
}

bool dtl_source_bad_spot(const struct dtl_source *s, int err)
{
	if (s->ops->lost && s->ops->lost(s))
		return false;
	switch (err) {
	case -EIO:
	case -ENODATA: /* of a medium */
	case -EILSEQ: /* of its checksum */
		return true;
	case -EINVAL: /* a server has no word for these */
		return s->nbd;
	default:
		return false;
	}
}

const char *dtl_source_why(const struct dtl_source *s, int err)
{
	const char *lost = s->ops && s->ops->lost ? s->ops->lost(s) : NULL;

	return lost ? : strerror(-err);
}

static int measure(struct dtrack *h, struct dtl_source *s)
{
	struct stat st;

	if (fstat(s->fd, &st))
		return dtl_open_error(h, s->path);
	s->is_block = S_ISBLK(st.st_mode);
	s->size = (uint64_t)st.st_size;
	if (s->is_block && ioctl(s->fd, BLKGETSIZE64, &s->size))
		return dtl_open_error(h, s->path);
	s->block = dtl_direct_unit(s->fd);
	s->in_memory = dtl_in_memory(s->fd);
	return 0;
}

int dtl_source_open_device(struct dtrack *h, const char *path,
			   struct dtl_source *s)
{
	dtl_source_init(s);
	snprintf(s->path, sizeof(s->path), "%s", path);
	s->fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (s->fd < 0)
		return dtl_fail(h, -errno, dtl_os_class(-errno),
				"Could not open '%s' for direct reads: %s",
				path, strerror(errno));
	s->ops = &dtl_source_raw;
	s->medium = true;
	return measure(h, s);
}

/*
 * A run holds a lock while it writes, and it is the process's.  @len: bytes, or 0
 * for all; qemu has locks of its own further behind.
 */
static int lock(struct dtrack *h, struct dtl_source *s, off_t len)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET,
			      .l_len = len };

	if (!fcntl(s->fd, F_SETLK, &lock))
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return dtl_fail(h, -errno, NULL, "Could not lock '%s': %s",
				s->path, strerror(errno));
	return dtl_fail(h, -EBUSY, NULL, "Target '%s' is used by a run",
			s->path);
}

/* Opening a tape or a terminal may do something. */
static int check_kind(struct dtrack *h, const struct dtl_source *s,
		      struct stat *st)
{
	if (stat(s->path, st))
		return dtl_open_error(h, s->path);
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return dtl_fail(h, -EINVAL, NULL,
				"Target '%s' is neither a file nor a block device",
				s->path);
	return 0;
}

static int open_raw(struct dtrack *h, struct dtl_source *s)
{
	bool direct = true;
	struct stat st;
	int ret = check_kind(h, s, &st);

	if (ret)
		return ret;
	s->fd = open(s->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	/* A block device can do it: see dtl_source_open_device(). */
	if (s->fd < 0 && errno == EINVAL && S_ISREG(st.st_mode)) {
		s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
		direct = false;
	}
	if (s->fd < 0)
		return dtl_open_error(h, s->path);
	s->ops = &dtl_source_raw;
	ret = measure(h, s);
	if (!ret && !s->is_block)
		ret = lock(h, s, 0);
	if (!ret)
		s->medium = dtl_medium_refresh(s->fd, direct);
	return ret;
}

/* The file is ours for the lock, and to ask where it lies. */
static int open_qcow2(struct dtrack *h, struct dtl_source *s)
{
	struct stat st;
	int ret = check_kind(h, s, &st);

	if (ret)
		return ret;
	s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		return dtl_open_error(h, s->path);
	s->ops = &dtl_source_raw;
	ret = S_ISREG(st.st_mode) ? lock(h, s, 1) : 0;
	return ret ? ret : dtl_source_serve_qcow2(h, s);
}

/* What has none of ours is a raw image; one manifest, by whatever link. */
static int name_files(struct dtrack *h, const char *name, struct dtl_source *s)
{
	char real[PATH_MAX];
	struct stat st;

	if (snprintf(s->path, sizeof(s->path), "%s", name) >=
	    (int)sizeof(s->path))
		return dtl_fail(h, -ENAMETOOLONG, NULL,
				"The name of the target is too long");
	if (!stat(name, &st) && S_ISBLK(st.st_mode))
		return 0;
	if (realpath(name, real))
		name = real;
	if (snprintf(s->manifest, sizeof(s->manifest), "%s.dtrack", name) >=
	    (int)sizeof(s->manifest))
		return dtl_fail(h, -ENAMETOOLONG, NULL,
				"The name of target '%s' is too long", s->path);
	return 0;
}

/* Of a file; on a device it may be what the device has. */
static bool looks_like_qcow2(const char *path)
{
	static const char magic[4] = { 'Q', 'F', 'I', '\xfb' };
	char head[sizeof(magic)];
	struct stat st;
	bool found;
	int fd;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	found = fd >= 0 &&
		pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
		!memcmp(head, magic, sizeof(magic));
	dtl_close(fd);
	return found;
}

/*
 * Without a prefix its manifest alone says what a file is: what a guest has
 * written must not be taken for an image.  Nor is an image that has lost its
 * manifest a raw one: restored as that it would ruin the device.
 */
static int find_form(struct dtrack *h, const struct dtl_source *s, bool *qcow2)
{
	struct dtl_manifest m;

	if (s->manifest[0] && !dtl_manifest_load(h, s->manifest, &m)) {
		*qcow2 = m.image[0];
		return 0;
	}
	if (!looks_like_qcow2(s->path))
		return 0;
	return dtl_fail(h, -EINVAL, NULL,
			"Target '%s' looks like a qcow2 image, and no manifest says what it is: put qcow2: or raw: before its name",
			s->path);
}

int dtl_source_open(struct dtrack *h, const char *name, struct dtl_source *s)
{
	bool raw = !strncmp(name, "raw:", 4), qcow2 = dtl_target_is_qcow2(name);
	int ret;

	if (dtl_target_is_nbd(name))
		return dtl_source_open_nbd(h, name, s);
	if (raw || qcow2)
		name = strchr(name, ':') + 1;
	if (!*name)
		return dtl_fail(h, -EINVAL, DTL_CLASS_USAGE,
				"The target has no name");
	ret = name_files(h, name, s);
	if (!ret && !raw && !qcow2)
		ret = find_form(h, s, &qcow2);
	if (ret)
		return ret;
	return qcow2 ? open_qcow2(h, s) : open_raw(h, s);
}
