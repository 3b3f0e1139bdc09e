// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * source.c - raw sources: a file or a block device.
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

#include "source.h"
#include "target.h"

static int open_error(struct dtrack *h, const char *path)
{
	return dtl_fail(h, -errno, dtl_os_class(-errno), "Could not open '%s': %s",
			path, strerror(errno));
}

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

static int measure(struct dtrack *h, struct dtl_source *s)
{
	struct stat st;

	if (fstat(s->fd, &st))
		return open_error(h, s->path);
	s->is_block = S_ISBLK(st.st_mode);
	s->size = (uint64_t)st.st_size;
	if (s->is_block && ioctl(s->fd, BLKGETSIZE64, &s->size))
		return open_error(h, s->path);
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
	return measure(h, s);
}

/* A run holds a lock while it writes, and it is the process's. */
static int lock(struct dtrack *h, struct dtl_source *s)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	if (!fcntl(s->fd, F_SETLK, &lock))
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return dtl_fail(h, -errno, NULL, "Could not lock '%s': %s",
				s->path, strerror(errno));
	return dtl_fail(h, -EBUSY, NULL, "Target '%s' is used by a run",
			s->path);
}

static int open_raw(struct dtrack *h, struct dtl_source *s)
{
	struct stat st;

	/* Opening a tape or a terminal may do something. */
	if (stat(s->path, &st))
		return open_error(h, s->path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return dtl_fail(h, -EINVAL, NULL,
				"Target '%s' is neither a file nor a block device",
				s->path);
	s->fd = open(s->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	/* A block device can do it: see dtl_source_open_device(). */
	if (s->fd < 0 && errno == EINVAL && S_ISREG(st.st_mode))
		s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		return open_error(h, s->path);
	s->ops = &dtl_source_raw;
	return measure(h, s);
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

static bool is_later(const char *name)
{
	static const char *const later[] = {
		"nbd://", "nbds://", "nbd+unix://", "nbds+unix://", "qcow2:",
	};
	size_t i;

	for (i = 0; i < DTL_ARRAY_SIZE(later); i++)
		if (!strncmp(name, later[i], strlen(later[i])))
			return true;
	return false;
}

int dtl_source_open(struct dtrack *h, const char *name, struct dtl_source *s)
{
	int ret;

	dtl_source_init(s);
	if (is_later(name))
		return dtl_fail(h, -EOPNOTSUPP, NULL,
				"Target '%s' is of a kind that is not supported yet",
				name);
	if (!strncmp(name, "raw:", 4))
		name += 4;
	if (!*name)
		return dtl_fail(h, -EINVAL, DTL_CLASS_USAGE,
				"The target has no name");
	ret = name_files(h, name, s);
	if (!ret)
		ret = open_raw(h, s);
	if (!ret && !s->is_block)
		ret = lock(h, s);
	return ret;
}
