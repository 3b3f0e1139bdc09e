// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fsfreeze.c - holding a file system still for a moment.
 */
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "run.h"
#include "sysfs.h"

static int held(struct dtrack *h, int fd, const char *point,
		int (*call)(void *opaque), void *opaque)
{
	int ret;

	if (ioctl(fd, FIFREEZE, 0))
		return dtl_fail(h, -errno, NULL, "Could not freeze '%s': %s",
				point, strerror(errno));
	ret = call(opaque);
	if (ioctl(fd, FITHAW, 0) && !ret)
		ret = dtl_fail(h, -errno, NULL, "Could not thaw '%s': %s",
			       point, strerror(errno));
	return ret;
}

int dtl_fsfreeze(struct dtrack *h, struct dtrack_dev dev,
		 int (*call)(void *opaque), void *opaque)
{
	char point[4096];
	sigset_t all, old;
	int ret, fd = dtl_mount_open(dtl_dev_t(dev), point, sizeof(point));

	if (fd == -ENOENT)
		return call(opaque);
	if (fd == -EXDEV)
		return dtl_fail(h, fd, NULL,
				"Could not freeze '%s': something else is mounted over it",
				point);
	if (fd < 0)
		return dtl_fail(h, fd, NULL, "Could not open '%s': %s", point,
				strerror(-fd));
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = held(h, fd, point, call, opaque);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	dtl_close(fd);
	return ret;
}
