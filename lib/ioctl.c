// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ioctl.c - the control file and the one ioctl call site.
 *
 * Opens /dev/dirtytrack when it is first needed, loads the module when it is
 * missing, and checks that both sides speak the same ABI.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "private.h"

#define CONTROL_PATH	"/dev/" DTRACK_DEVICE

static int call(int fd, unsigned long cmd, void *arg)
{
	int ret;

	do
		ret = ioctl(fd, cmd, arg);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

/* One that may only look is still good for show, list and extents. */
static int open_control(void)
{
	int fd = open(CONTROL_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0 && (errno == EACCES || errno == EROFS))
		fd = open(CONTROL_PATH, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool is_missing(int err)
{
	return err == -ENOENT || err == -ENODEV || err == -ENXIO;
}

static int check_version(struct dtrack *h, int fd)
{
	struct dtrack_ioc_version v = { .size = sizeof(v) };
	int ret = call(fd, DTRACK_IOC_VERSION, &v);

	if (ret)
		return dtl_fail(h, ret, NULL, CONTROL_PATH ": %s",
				strerror(-ret));
	if (v.out_abi != DTRACK_ABI_VERSION)
		return dtl_fail(h, -EPROTO, NULL,
				"the kernel module speaks ABI version %u, libdtrack %u",
				v.out_abi, DTRACK_ABI_VERSION);
	return 0;
}

int dtrack_open(struct dtrack *h)
{
	int fd, ret;

	if (h->fd >= 0)
		return 0;
	fd = open_control();
	if (is_missing(fd)) {
		ret = dtl_module_load(h);
		if (ret)
			return ret;
		fd = open_control();
	}
	if (fd < 0)
		return dtl_fail(h, fd,
				is_missing(fd) ? DTL_CLASS_GENERIC : NULL,
				"Could not open '" CONTROL_PATH "': %s",
				strerror(-fd));
	ret = check_version(h, fd);
	if (ret) {
		dtl_close(fd);
		return ret;
	}
	h->fd = fd;
	return 0;
}

int dtl_ioctl(struct dtrack *h, unsigned long cmd, void *arg)
{
	if (dtrack_open(h))
		return -ENOTCONN;
	return call(h->fd, cmd, arg);
}
