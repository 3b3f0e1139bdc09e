// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fsfreeze.c - holding file systems still.
 */
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feeds.h"
#include "run.h"
#include "sysfs.h"

/**
 * struct place - a mounted file system.
 * @fd: on it
 * @dev: what it is on
 * @frozen: by us, as far as this process knows
 * @point: where it is mounted
 */
struct place {
	int fd;
	struct dtrack_dev dev;
	bool frozen;
	char point[4096];
};

/**
 * struct dtrack_fs - the file systems on some devices.
 * @h: the handle
 * @nr: number of places
 * @place: them
 */
struct dtrack_fs {
	struct dtrack *h;
	unsigned int nr;
	struct place place[];
};

/* One may lie on several devices. */
static bool is_known(const struct dtrack_fs *fs, int fd)
{
	struct stat a, b;
	unsigned int i;

	if (fstat(fd, &a))
		return false;
	for (i = 0; i < fs->nr; i++)
		if (!fstat(fs->place[i].fd, &b) && a.st_dev == b.st_dev &&
		    a.st_ino == b.st_ino)
			return true;
	return false;
}

static int open_place(struct dtrack_fs *fs, struct dtrack_dev dev)
{
	struct place *p = &fs->place[fs->nr];

	p->fd = dtl_mount_open(dtl_dev_t(dev), p->point, sizeof(p->point));
	if (p->fd == -ENOENT)
		return 0;
	if (p->fd == -EXDEV)
		return dtl_fail(fs->h, p->fd, NULL,
				"Could not freeze '%s': something else is mounted over it",
				p->point);
	if (p->fd < 0)
		return dtl_fail(fs->h, p->fd, NULL, "Could not open '%s': %s",
				p->point, strerror(-p->fd));
	if (is_known(fs, p->fd)) {
		dtl_close(p->fd);
		return 0;
	}
	p->dev = dev;
	fs->nr++;
	return 0;
}

/* Freezing the second would wait for the first, for ever. */
static int check_apart(struct dtrack_fs *fs)
{
	unsigned int i, k;
	int ret;

	for (i = 0; i < fs->nr; i++)
		for (k = 0; k < fs->nr; k++) {
			const struct place *p = &fs->place[i];
			const struct place *q = &fs->place[k];

			ret = i == k ? 0 : dtl_check_feeds(fs->h, p->dev, q->fd,
							   q->point);
			if (ret)
				return dtl_fail(fs->h, ret, NULL,
						"Could not freeze '%s' and '%s': one lies on the other",
						p->point, q->point);
		}
	return 0;
}

static bool is_there(const struct dtrack_dev *devs, unsigned int nr,
		     struct dtrack_dev dev)
{
	while (nr--)
		if (dtl_same_dev(devs[nr], dev))
			return true;
	return false;
}

int dtrack_fs_new(struct dtrack *h, const struct dtrack_dev *devs,
		  unsigned int nr, struct dtrack_fs **result)
{
	struct dtrack_fs *fs = calloc(1, sizeof(*fs) +
				      nr * sizeof(fs->place[0]));
	unsigned int i;
	int ret = 0;

	if (!fs)
		return dtl_nomem(h);
	fs->h = h;
	for (i = 0; !ret && i < nr; i++)
		if (!is_there(devs, i, devs[i]))
			ret = open_place(fs, devs[i]);
	if (!ret)
		ret = check_apart(fs);
	if (ret)
		dtrack_fs_free(fs);
	else
		*result = fs;
	return ret;
}

void dtrack_fs_free(struct dtrack_fs *fs)
{
	unsigned int i;

	for (i = 0; fs && i < fs->nr; i++)
		dtl_close(fs->place[i].fd);
	free(fs);
}

/* The other way round.  All are tried; what is not frozen need not be. */
int dtrack_fs_thaw(struct dtrack_fs *fs)
{
	unsigned int i = fs->nr;
	int ret = 0;

	while (i--) {
		struct place *p = &fs->place[i];

		if (ioctl(p->fd, FITHAW, 0) && (errno != EINVAL || p->frozen))
			ret = dtl_fail(fs->h, -errno, NULL,
				       "Could not thaw '%s': %s", p->point,
				       errno == EINVAL ?
				       "somebody else has thawed it" :
				       strerror(errno));
		p->frozen = false;
	}
	return ret;
}

/*
 * The first @nr, in vain: @err has words.  One that somebody else has frozen stays
 * as it is.
 */
static int take_back(struct dtrack_fs *fs, unsigned int nr, int err)
{
	const struct place *stuck = NULL;
	struct dtl_error why;

	while (nr--) {
		if (ioctl(fs->place[nr].fd, FITHAW, 0))
			stuck = &fs->place[nr];
		fs->place[nr].frozen = false;
	}
	if (!stuck)
		return err;
	dtl_error_save(fs->h, &why);
	return dtl_fail(fs->h, err, why.cls,
			"%s; and '%s' could not be thawed", why.msg,
			stuck->point);
}

static int freeze_one(struct dtrack_fs *fs, struct place *p)
{
	if (ioctl(p->fd, FIFREEZE, 0))
		return dtl_fail(fs->h, -errno, NULL,
				"Could not freeze '%s': %s", p->point,
				strerror(errno));
	p->frozen = true;
	return 0;
}

int dtrack_fs_freeze_while(struct dtrack_fs *fs, int (*may)(void *opaque),
			   void *opaque)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < fs->nr; i++) {
		if (may(opaque))
			ret = freeze_one(fs, &fs->place[i]);
		else
			ret = dtl_fail(fs->h, -ETIMEDOUT, NULL,
				       "Could not freeze '%s': it took too long",
				       fs->place[i].point);
		if (ret)
			ret = take_back(fs, i, ret);
	}
	return ret;
}

static int always(void *opaque)
{
	(void)opaque;
	return 1;
}

int dtrack_fs_freeze(struct dtrack_fs *fs)
{
	return dtrack_fs_freeze_while(fs, always, NULL);
}

static int call_held(struct dtrack_fs *fs, int (*call)(void *opaque),
		     void *opaque)
{
	struct dtl_error first;
	int thawed, ret = dtrack_fs_freeze(fs);

	if (ret)
		return ret;
	ret = call(opaque);
	dtl_error_save(fs->h, &first);
	thawed = dtrack_fs_thaw(fs);
	if (!ret)
		return thawed;
	dtl_error_restore(fs->h, &first);
	return ret;
}

int dtl_fsfreeze(struct dtrack *h, const struct dtrack_dev *devs,
		 unsigned int nr, int (*call)(void *opaque), void *opaque)
{
	struct dtrack_fs *fs;
	sigset_t all, old;
	int ret = dtrack_fs_new(h, devs, nr, &fs);

	if (ret)
		return ret;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = call_held(fs, call, opaque);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	dtrack_fs_free(fs);
	return ret;
}
