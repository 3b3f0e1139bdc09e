// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * device.c - tracked devices: find, create, remove, list.
 *
 * Which devices are tracked, the kernel module knows; what they are called,
 * device-mapper.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "dm.h"
#include "holders.h"
#include "users.h"
#include "sysfs.h"

/* ---- Finding ------------------------------------------------------------ */

static int number_of_path(struct dtrack *h, const char *path,
			  struct dtrack_dev *dev)
{
	struct stat st;

	if (stat(path, &st)) {
		if (errno == ENOENT || errno == ENOTDIR)
			return dtl_no_device(h, path, NULL);
		return dtl_fail(h, -errno, NULL, "Could not open '%s': %s",
				path, strerror(errno));
	}
	if (!S_ISBLK(st.st_mode))
		return dtl_no_device(h, path, "it is no block device");
	dev->major = major(st.st_rdev);
	dev->minor = minor(st.st_rdev);
	return 0;
}

static int number_of_name(struct dtrack *h, const char *name,
			  struct dtrack_dev *dev)
{
	struct dtl_dm_info info;
	int ret = dtl_dm_by_name(h, name, &info);

	if (ret == -ENXIO)
		return dtl_no_device(h, name, NULL);
	if (!ret)
		*dev = info.dev;
	return ret;
}

/* Device and bitmap count; the array is left to dtrack_bitmaps_get(). */
static int query(struct dtrack *h, struct dtrack_dev dev,
		 struct dtrack_ioc_info *info)
{
	int ret;

	*info = (struct dtrack_ioc_info) {
		.size = sizeof(*info),
		.dev = dev,
		.entry_size = sizeof(struct dtrack_bitmap_info),
	};
	ret = dtl_ioctl(h, DTRACK_IOC_INFO, info);
	return ret == -EMSGSIZE ? 0 : ret;
}

static int query_error(struct dtrack *h, struct dtrack_dev dev, int err)
{
	char buf[32];

	if (err == -ENOTCONN)
		return h->err;
	if (err == -ENODEV)
		return dtl_no_device(h, dtl_label(h, dev, buf, sizeof(buf)),
				     "it is not tracked");
	return dtl_fail(h, err, NULL, "%s", strerror(-err));
}

int dtl_dev_node(struct dtrack *h, const char *name, struct dtrack_dev *dev,
		 char *path, size_t size)
{
	int ret;

	if (strchr(name, '/')) {
		snprintf(path, size, "%s", name);
		return number_of_path(h, name, dev);
	}
	ret = number_of_name(h, name, dev);
	if (!ret && !dtl_sysfs_node(h, dtl_dev_t(*dev), path, size))
		ret = dtl_fail(h, -ENOENT, DTL_CLASS_GENERIC,
			       "The device '%s' has no node below /dev", name);
	return ret;
}

int dtl_dev_number(struct dtrack *h, const char *name, struct dtrack_dev *dev)
{
	int ret;

	/* First whether we may and can at all: it explains more. */
	ret = dtrack_open(h);
	if (ret)
		return ret;
	ret = strchr(name, '/') ? number_of_path(h, name, dev) :
				  number_of_name(h, name, dev);
	if (ret)
		return ret;
	h->named = *dev;
	snprintf(h->label, sizeof(h->label), "%s", name);
	return 0;
}

int dtrack_dev_find(struct dtrack *h, const char *name, struct dtrack_dev *dev)
{
	struct dtrack_ioc_info info;
	int ret = dtl_dev_number(h, name, dev);

	if (ret)
		return ret;
	ret = query(h, *dev, &info);
	return ret ? query_error(h, *dev, ret) : 0;
}

/* A module that does not count leaves all of it zero; ours never does. */
static bool is_counted(const struct dtrack_writes *w)
{
	return w->idle || w->writes.nr || w->discards.nr || w->zeroes.nr ||
	       w->others.nr;
}

int dtrack_dev_info(struct dtrack *h, struct dtrack_dev dev,
		    struct dtrack_dev_info *out, size_t size)
{
	struct dtrack_dev_info full = { 0 };
	struct dtrack_ioc_info info;
	struct dtl_dm_info dm;
	int ret = query(h, dev, &info);

	if (ret)
		return query_error(h, dev, ret);
	if (!dtl_dm_by_dev(h, dev, &dm))
		snprintf(full.name, sizeof(full.name), "%s", dm.name);
	full.bytes = info.out_device_size;
	full.lower = info.out_lower;
	full.lower_start = info.out_lower_start;
	full.nr_bitmaps = info.nr;
	full.counted = is_counted(&info.out_writes);
	full.writes = info.out_writes;
	memset(out, 0, size);
	memcpy(out, &full, size < sizeof(full) ? size : sizeof(full));
	return 0;
}

int dtrack_dev_list(struct dtrack *h, struct dtrack_dev **devs)
{
	struct dtrack_ioc_list list = { .size = sizeof(list) };
	struct dtrack_dev *room = NULL, *more;
	int ret;

	for (;;) {
		list.devs = (uintptr_t)room;
		ret = dtl_ioctl(h, DTRACK_IOC_LIST, &list);
		if (ret != -EMSGSIZE)
			break;
		more = reallocarray(room, list.nr, sizeof(*room));
		if (!more) {
			free(room);
			return dtl_nomem(h);
		}
		room = more;
	}
	if (ret) {
		free(room);
		return query_error(h, (struct dtrack_dev){ 0 }, ret);
	}
	*devs = room;
	return (int)list.nr;
}

int dtrack_dev_mounted(struct dtrack *h, struct dtrack_dev dev)
{
	char use[DTL_USE_LEN];

	return dtl_use_find(h, dtl_dev_t(dev), use) == DTL_USE_MOUNT;
}

int dtrack_dev_used(struct dtrack *h, struct dtrack_dev dev, char *how,
		    size_t size)
{
	char use[DTL_USE_LEN];

	if (!dtl_use_find(h, dtl_dev_t(dev), use))
		return 0;
	snprintf(how, size, "%s", use);
	return 1;
}

/* ---- Changing ----------------------------------------------------------- */

static int sectors_of(struct dtrack *h, const char *path, uint64_t *sectors)
{
	uint64_t bytes = 0;
	int ret = 0, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes))
		ret = dtl_fail(h, -errno, NULL, "Could not open '%s': %s",
			       path, strerror(errno));
	else if (bytes < 512)
		ret = dtl_fail(h, -EINVAL, NULL, "Device '%s' is empty", path);
	dtl_close(fd);
	*sectors = bytes / 512;
	return ret;
}

static int check_lower(struct dtrack *h, const char *path, dev_t *dev)
{
	struct stat st;

	if (stat(path, &st))
		return dtl_fail(h, -errno,
				errno == ENOENT ? "DeviceNotFound" : NULL,
				"Could not open '%s': %s", path,
				strerror(errno));
	if (!S_ISBLK(st.st_mode))
		return dtl_fail(h, -ENOTBLK, NULL,
				"'%s' is no block device", path);
	*dev = st.st_rdev;
	return dtl_check_unused(h, path, *dev);
}

static int check_name(struct dtrack *h, const char *name)
{
	struct dtl_dm_info info;
	int ret;

	/* In /dev/mapper these are something else. */
	if (!strcmp(name, "control") || !strcmp(name, ".") ||
	    !strcmp(name, ".."))
		return dtl_fail(h, -EINVAL, NULL,
				"'%s' is no name for a device: device-mapper has reserved it",
				name);
	if (!*name || strchr(name, '/') || strlen(name) >= sizeof(info.name))
		return dtl_fail(h, -EINVAL, NULL,
				"'%s' is no name for a device: 1 to 127 bytes without '/'",
				name);
	ret = dtl_dm_by_name(h, name, &info);
	if (!ret)
		return dtl_fail(h, -EEXIST, NULL, "Device already exists: %s",
				name);
	return ret == -ENXIO ? 0 : ret;
}

int dtrack_dev_create(struct dtrack *h, const char *name, const char *device)
{
	uint64_t sectors;
	char params[64];
	dev_t lower;
	int ret;

	ret = dtrack_open(h);
	if (!ret)
		ret = check_name(h, name);
	if (!ret)
		ret = check_lower(h, device, &lower);
	if (!ret)
		ret = sectors_of(h, device, &sectors);
	if (ret)
		return ret;
	/* Whoever claims it from here on makes device-mapper's claim fail. */
	snprintf(params, sizeof(params), "%u:%u 0", major(lower), minor(lower));
	return dtl_dm_create(h, name, sectors, DTL_TARGET_TYPE, params);
}

static int check_not_busy(struct dtrack *h, struct dtrack_dev dev)
{
	const struct dtrack_bitmap_info *b;
	struct dtrack_bitmaps *list;
	unsigned int i;
	int ret;

	ret = dtrack_bitmaps_get(h, dev, NULL, &list);
	if (ret < 0)
		return ret;
	ret = 0;
	for (i = 0; !ret && (b = dtrack_bitmaps_at(list, i)); i++)
		if (b->flags & DTRACK_BITMAP_BUSY)
			ret = dtl_bitmap_error(h, dev, (const char *)b->name,
					       -EBUSY);
	dtrack_bitmaps_free(list);
	return ret;
}

int dtrack_dev_remove(struct dtrack *h, struct dtrack_dev dev)
{
	struct dtl_dm_info info;
	char buf[32], user[4400];
	int ret;

	ret = check_not_busy(h, dev);
	if (ret)
		return ret;
	ret = dtl_dm_by_dev(h, dev, &info);
	if (ret == -ENXIO)
		return dtl_no_device(h, dtl_label(h, dev, buf, sizeof(buf)),
				     NULL);
	if (ret)
		return ret;
	if (info.open_count > 0) {
		dtl_user_of(dtl_dev_t(dev), user, sizeof(user));
		return dtl_fail(h, -EBUSY, NULL, "Device '%s' is in use: %s",
				info.name, user);
	}
	return dtl_dm_remove(h, info.name);
}
