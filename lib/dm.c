// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * dm.c - device-mapper devices: names, tables, open counts.
 *
 * The only file that knows libdevmapper.  With udev running, nodes are udev's
 * and a cookie waits for it; without, libdevmapper makes them.
 *
 * libdevmapper takes one log function for the whole process.  Ours keeps quiet
 * and is put in only around our calls, and only where the program has none.
 */
#include <libdevmapper.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dm.h"

static void be_silent(int level, const char *file, int line,
		      int dm_errno_or_class, const char *f, ...)
{
	(void)level;
	(void)file;
	(void)line;
	(void)dm_errno_or_class;
	(void)f;
}

static bool log_begin(void)
{
	if (dm_log_is_non_default())
		return false;
	dm_log_with_errno_init(be_silent);
	return true;
}

static void log_end(bool ours)
{
	if (ours)
		dm_log_with_errno_init(NULL);
}

/* libdevmapper waits for a udevd that listens, and only for such a one. */
static void choose_nodes(void)
{
	if (access("/run/udev/control", F_OK))
		dm_udev_set_sync_support(0);
}

static int task_errno(struct dm_task *task)
{
	int err = task ? dm_task_get_errno(task) : ENOMEM;

	return err ? -err : -EIO;
}

/* ---- Looking ------------------------------------------------------------ */

static int get_info(struct dm_task *task, struct dtl_dm_info *info)
{
	struct dm_info di;

	if (!dm_task_run(task))
		return task_errno(task);
	if (!dm_task_get_info(task, &di))
		return -EIO;
	if (!di.exists)
		return -ENXIO;
	info->dev.major = di.major;
	info->dev.minor = di.minor;
	info->open_count = di.open_count;
	info->suspended = di.suspended;
	info->read_only = di.read_only;
	snprintf(info->name, sizeof(info->name), "%s", dm_task_get_name(task));
	return 0;
}

static int look_up(struct dtrack *h, const char *name, struct dtrack_dev dev,
		   struct dtl_dm_info *info)
{
	bool ours = log_begin();
	struct dm_task *task = dm_task_create(DM_DEVICE_INFO);
	int ret = -EINVAL;

	if (!task)
		ret = errno ? -errno : -ENOMEM;
	else if (name ? dm_task_set_name(task, name) :
		 dm_task_set_major(task, (int)dev.major) &&
		 dm_task_set_minor(task, (int)dev.minor))
		ret = get_info(task, info);
	if (task)
		dm_task_destroy(task);
	log_end(ours);
	if (ret && ret != -ENXIO)
		dtl_fail(h, ret, NULL, "device-mapper: %s", strerror(-ret));
	return ret;
}

int dtl_dm_by_name(struct dtrack *h, const char *name,
		   struct dtl_dm_info *info)
{
	/* What libdevmapper would refuse cannot be a device's name. */
	if (!*name || strlen(name) >= sizeof(info->name))
		return -ENXIO;
	return look_up(h, name, (struct dtrack_dev){ 0 }, info);
}

int dtl_dm_by_dev(struct dtrack *h, struct dtrack_dev dev,
		  struct dtl_dm_info *info)
{
	return look_up(h, NULL, dev, info);
}

struct table_walk {
	bool (*fn)(void *opaque, const struct dtl_dm_target *line);
	void *opaque;
};

static int walk_table(struct dm_task *task, const struct table_walk *walk)
{
	struct dtl_dm_target line;
	char *type, *params;
	struct dm_info di;
	void *next = NULL;

	if (!dm_task_run(task))
		return task_errno(task);
	if (!dm_task_get_info(task, &di))
		return -EIO;
	if (!di.exists)
		return -ENXIO;
	do {
		next = dm_get_next_target(task, next, &line.start,
					  &line.length, &type, &params);
		if (!type)	/* no table */
			break;
		line.type = type;
		line.params = params ? params : "";
		if (walk->fn(walk->opaque, &line))
			return 1;
	} while (next);
	return 0;
}

int dtl_dm_table(struct dtrack *h, struct dtrack_dev dev,
		 bool (*fn)(void *opaque, const struct dtl_dm_target *line),
		 void *opaque)
{
	const struct table_walk walk = { fn, opaque };
	bool ours = log_begin();
	struct dm_task *task = dm_task_create(DM_DEVICE_TABLE);
	int ret = -EINVAL;

	if (!task)
		ret = errno ? -errno : -ENOMEM;
	else if (dm_task_set_major(task, (int)dev.major) &&
		 dm_task_set_minor(task, (int)dev.minor))
		ret = walk_table(task, &walk);
	if (task)
		dm_task_destroy(task);
	log_end(ours);
	if (ret < 0 && ret != -ENXIO)
		dtl_fail(h, ret, NULL, "device-mapper: %s", strerror(-ret));
	return ret;
}

/* ---- Changing ----------------------------------------------------------- */

static int run_with_udev(struct dm_task *task)
{
	uint32_t cookie = 0;
	int ret = 0;

	if (!dm_task_set_cookie(task, &cookie, 0))
		return -EIO;
	if (!dm_task_run(task))
		ret = task_errno(task);
	/* Without a cookie this makes or removes the node. */
	dm_udev_wait(cookie);
	return ret;
}

int dtl_dm_create(struct dtrack *h, const char *name, uint64_t sectors,
		  const char *type, const char *params)
{
	bool ours = log_begin();
	struct dm_task *task = dm_task_create(DM_DEVICE_CREATE);
	int ret = -EINVAL;

	choose_nodes();
	if (!task)
		ret = errno ? -errno : -ENOMEM;
	else if (dm_task_set_name(task, name) &&
		 dm_task_add_target(task, 0, sectors, type, params) &&
		 dm_task_set_add_node(task, DM_ADD_NODE_ON_CREATE))
		ret = run_with_udev(task);
	if (task)
		dm_task_destroy(task);
	log_end(ours);
	if (ret)
		dtl_fail(h, ret, ret == -ENODEV ? DTL_CLASS_GENERIC : NULL,
			 "device-mapper refused the table '0 %llu %s %s': %s (the kernel log says why)",
			 (unsigned long long)sectors, type, params,
			 strerror(-ret));
	return ret;
}

int dtl_dm_remove(struct dtrack *h, const char *name)
{
	bool ours = log_begin();
	struct dm_task *task = dm_task_create(DM_DEVICE_REMOVE);
	int ret = -EINVAL;

	choose_nodes();
	if (!task)
		ret = errno ? -errno : -ENOMEM;
	else if (dm_task_set_name(task, name)) {
		/* udev's blkid may have it open for a moment. */
		dm_task_retry_remove(task);
		ret = run_with_udev(task);
	}
	if (task)
		dm_task_destroy(task);
	log_end(ours);
	if (ret == -EBUSY)
		dtl_fail(h, ret, NULL, "Device '%s' is in use", name);
	else if (ret)
		dtl_fail(h, ret, NULL, "device-mapper: %s", strerror(-ret));
	return ret;
}
