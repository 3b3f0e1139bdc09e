// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * files.c - small files: read as a whole, written durably, whole or not at all.
 *
 * Writing is temp file, fsync, rename, fsync of the folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

/* 0 only at the end of the file. */
static int read_all(int fd, char *text, size_t size, size_t *len)
{
	ssize_t n = 1;

	*len = 0;
	while (n && *len < size) {
		n = read(fd, text + *len, size - *len);
		if (n < 0 && errno != EINTR)
			return -errno;
		*len += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int write_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, text, len);
		if (n < 0 && errno != EINTR)
			return -errno;
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int dtl_file_read(const char *path, size_t max, char **text, size_t *len)
{
	int ret = 0, fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	*text = NULL;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		ret = -errno;
	else if (!S_ISREG(st.st_mode))
		ret = -EINVAL;
	else if ((uint64_t)st.st_size > max)
		ret = -EFBIG;
	/* What the medium has of it now, also where it was just written. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (!ret) {
		*text = malloc((size_t)st.st_size + 1);
		ret = *text ? read_all(fd, *text, (size_t)st.st_size, len) :
			      -ENOMEM;
	}
	close(fd);
	if (ret) {
		free(*text);
		*text = NULL;
	} else {
		(*text)[*len] = '\0';
	}
	return ret;
}

int dtl_sync_folder(const char *path)
{
	int ret, fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* Some file systems have nothing to sync in a folder. */
	ret = fsync(fd) && errno != EINVAL ? -errno : 0;
	close(fd);
	return ret;
}

int dtl_sync_dir(const char *path)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	return dtl_sync_folder(dirname(copy));
}

static int write_file(const char *path, const char *text, mode_t mode)
{
	int ret, fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW |
				 O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	ret = write_all(fd, text, strlen(text));
	if (!ret && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	return ret;
}

int dtl_file_replace(const char *path, const char *text, mode_t mode)
{
	char temp[PATH_MAX + 8];
	int ret;

	if (snprintf(temp, sizeof(temp), "%s.new", path) >= (int)sizeof(temp))
		return -ENAMETOOLONG;
	ret = write_file(temp, text, mode);
	if (!ret && rename(temp, path))
		ret = -errno;
	if (ret)
		unlink(temp);
	return ret ? ret : dtl_sync_dir(path);
}
