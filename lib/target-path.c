// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * target-path.c - what a target is called, and the folder that it goes to.
 */
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feeds.h"
#include "manifest.h"
#include "target.h"

int dtl_target_set_path(struct dtrack *h, const char *path,
			struct dtl_target *t)
{
	if (!*path)
		return dtl_fail(h, -EINVAL, DTL_CLASS_USAGE,
				"The target has no name");
	if (strlen(path) >= sizeof(t->path))
		return dtl_fail(h, -ENAMETOOLONG, NULL,
				"The name of the target is too long");
	memcpy(t->path, path, strlen(path) + 1);
	return 0;
}

int dtl_target_name_manifest(struct dtrack *h, struct dtl_target *t)
{
	return dtl_manifest_name(h, t->path, t->manifest, sizeof(t->manifest));
}

/* A device whose name is mistyped, or that has gone, is no file to be made. */
static bool is_in_dev(int fd)
{
	struct stat folder, dev, root;

	return !fstat(fd, &folder) && !stat("/dev", &dev) &&
	       !stat("/", &root) && folder.st_dev == dev.st_dev &&
	       dev.st_dev != root.st_dev;
}

int dtl_target_check_folder(struct dtrack *h, struct dtrack_dev source,
			    struct dtl_target *t)
{
	char copy[sizeof(t->path)];
	int fd, ret;

	memcpy(copy, t->path, sizeof(copy));
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return dtl_open_error(h, t->path);
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS))
		ret = dtl_open_error(h, t->path);
	else if (is_in_dev(fd))
		ret = dtl_fail(h, -ENOENT, DTL_CLASS_GENERIC,
			       "Target '%s' does not exist, and a file in /dev would be in memory",
			       t->path);
	else
		ret = dtl_check_feeds(h, source, fd, t->path);
	dtl_close(fd);
	return ret ? ret : dtl_target_name_manifest(h, t);
}
