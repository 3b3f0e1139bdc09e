// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * device-lock.c - no backup of a device that is being restored, nor a restore
 * onto one that is being backed up.
 *
 * A half-restored device looks like any other.  A restore claims its device
 * (O_EXCL), but a mounted file system does so as well: the claim does not tell.
 * So there is a file for each device below /run, locked shared by backups and
 * exclusively by a restore.  The device's node would not do: one device may have
 * several, and udev locks it, too.  Where /run cannot be written neither waits
 * for the other.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device-lock.h"
#include "feeds.h"
#include "sysfs.h"

#define FOLDER	"/run/dtrack"
#define PREFIX	"device-"

/* Return: a file descriptor, -1: there are no locks here; or -EBUSY. */
static int lock_file(struct dtrack_dev dev, int how)
{
	char path[64];
	int fd, err;

	if (mkdir(FOLDER, 0700) && errno != EEXIST)
		return -1;
	snprintf(path, sizeof(path), FOLDER "/" PREFIX "%u:%u", dev.major,
		 dev.minor);
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || !flock(fd, how | LOCK_NB))
		return fd < 0 ? -1 : fd;
	err = errno;
	close(fd);
	return err == EWOULDBLOCK ? -EBUSY : -1;
}

static int is_restored(struct dtrack *h, struct dtrack_dev dev)
{
	char buf[32];

	return dtl_fail(h, -EBUSY, NULL,
			"Device '%s' is being restored, and no copy of it can be made now",
			dtl_label(h, dev, buf, sizeof(buf)));
}

/* ---- Devices on top ----------------------------------------------------- */

static bool is_locked(const char *name)
{
	char path[sizeof(FOLDER) + 300];
	bool locked;
	int fd;

	snprintf(path, sizeof(path), FOLDER "/%s", name);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) &&
		 errno == EWOULDBLOCK;
	dtl_close(fd);
	return locked;
}

/* A partition or an LV of the device, say. */
static bool is_on(struct dtrack *h, const char *name, struct dtrack_dev dev)
{
	struct dtl_error first;
	unsigned int maj, min;
	char node[DTL_PATH_LEN];
	bool on;
	int fd;

	if (sscanf(name, PREFIX "%u:%u", &maj, &min) != 2 ||
	    !dtl_sysfs_node(h, makedev(maj, min), node, sizeof(node)))
		return false;
	fd = open(node, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return false;
	dtl_error_save(h, &first);
	on = dtl_check_feeds(h, dev, fd, node) == -ELOOP;
	dtl_error_restore(h, &first);
	close(fd);
	return on;
}

static int check_above(struct dtrack *h, struct dtrack_dev dev)
{
	DIR *dir = opendir(FOLDER);
	struct dirent *e;
	int ret = 0;

	if (!dir)
		return 0;
	while (!ret && (e = readdir(dir)))
		if (!strncmp(e->d_name, PREFIX, strlen(PREFIX)) &&
		    is_locked(e->d_name) && is_on(h, e->d_name, dev))
			ret = is_restored(h, dev);
	closedir(dir);
	return ret;
}

/* ---- The locks ---------------------------------------------------------- */

int dtl_device_lock_backup(struct dtrack *h, struct dtrack_dev dev, int *lock)
{
	*lock = lock_file(dev, LOCK_SH);
	if (*lock != -EBUSY)
		return check_above(h, dev);
	*lock = -1;
	return is_restored(h, dev);
}

int dtl_device_lock_restore(struct dtrack *h, struct dtrack_dev dev,
			    const char *name, int *lock)
{
	*lock = lock_file(dev, LOCK_EX);
	if (*lock != -EBUSY)
		return 0;
	*lock = -1;
	return dtl_fail(h, -EBUSY, NULL,
			"Device '%s' is being backed up or restored by another process",
			name);
}
