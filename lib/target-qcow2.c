// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * target-qcow2.c - targets that are qcow2 images, made by the run.
 *
 *	open	looks: nothing is there yet, what it is to lie over can be opened
 *	claim	PATH.incomplete is there, empty or old, and locked
 *	begin	qemu-img makes it, qemu-nbd serves it
 *	finish	qemu-nbd ends, the file is durable
 *	publish	PATH.incomplete becomes PATH
 *
 * So what is called PATH is all there.  The unfinished one goes with its run;
 * of a killed run it stays, and the next one to PATH makes it anew.  It is
 * locked at a byte that qemu's own locks leave alone.
 *
 * An image over another one has clusters no larger than a granule where it can.
 * Otherwise it is read through: qcow2 copies the rest of the cluster up.
 */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "image.h"
#include "json.h"
#include "manifest.h"
#include "nbd.h"
#include "qemu.h"
#include "target.h"

#define PREFIX	"qcow2:"
#define BACKING	",backing="

static int too_long(struct dtrack *h, const char *name)
{
	return dtl_fail(h, -ENAMETOOLONG, NULL, "The name of '%s' is too long",
			name);
}

/* ---- Writing ------------------------------------------------------------ */

/* Whoever has finished it meanwhile has renamed it. */
static int qcow2_claim(struct dtrack *h, struct dtl_target *t)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
			      .l_len = 1 };
	struct stat mine, there;
	const char *path = t->image->unfinished;

	t->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
			   O_CLOEXEC, 0600);
	if (t->fd < 0 || fstat(t->fd, &mine))
		return dtl_open_error(h, path);
	if (!S_ISREG(mine.st_mode))
		return dtl_fail(h, -EINVAL, DTL_CLASS_GENERIC,
				"'%s' is no file", path);
	if (fcntl(t->fd, F_SETLK, &lock) || stat(path, &there) ||
	    mine.st_dev != there.st_dev || mine.st_ino != there.st_ino)
		return dtl_fail(h, -EBUSY, NULL,
				"Target '%s' is used by another run", t->path);
	t->image->begun = true;
	return 0;
}

static int serve(struct dtrack *h, struct dtl_target *t)
{
	struct dtl_nbd_place place = {
		.name = t->path,
		.writable = true,
		.patience = t->patience,
		.cancel = t->cancel,
	};

	return dtl_qemu_serve(h, t->image->unfinished, "qcow2", false, &place,
			      &t->nbd);
}

static int qcow2_begin(struct dtrack *h, struct dtl_target *t, uint64_t size)
{
	struct dtl_image *image = t->image;
	const char *backing = image->backing[0] ? image->backing_name : NULL;
	uint64_t cluster = dtl_qemu_cluster(backing ? image->granule : 0, size);
	int ret = dtl_qemu_create(h, image->unfinished, size, cluster, backing,
				  image->backing_format);

	if (!ret)
		ret = serve(h, t);
	if (!ret && dtl_nbd_size(t->nbd) != size)
		ret = dtl_fail(h, -ERANGE, NULL,
			       "The image '%s' has a size of its own", t->path);
	/* Over another one, zeroes must be written. */
	t->created = !backing;
	return ret;
}

static void qcow2_unit(struct dtl_target *t, uint64_t unit)
{
	(void)t;
	(void)unit;
}

static void qcow2_write(struct dtl_target *t, struct dtl_queue *q,
			struct dtl_io *io)
{
	io->op = DTL_IO_WRITE;
	dtl_nbd_push(t->nbd, q, io);
}

static void qcow2_flush(struct dtl_target *t, struct dtl_queue *q,
			struct dtl_io *io)
{
	io->op = DTL_IO_FLUSH;
	dtl_nbd_push(t->nbd, q, io);
}

static bool qcow2_retry(struct dtl_target *t, const struct dtl_io *io)
{
	(void)t;
	(void)io;
	return false;
}

static int qcow2_finish(struct dtl_target *t)
{
	if (dtl_nbd_lost(t->nbd))
		return -EIO;
	dtl_nbd_close(t->nbd);
	t->nbd = NULL;
	return fsync(t->fd) ? -errno : 0;
}

/* Not all file systems can refuse to replace. */
static int rename_new(const char *from, const char *to)
{
	struct stat st;

	if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (!lstat(to, &st))
		return -EEXIST;
	return rename(from, to) ? -errno : 0;
}

static int qcow2_publish(struct dtl_target *t)
{
	int ret = rename_new(t->image->unfinished, t->path);

	if (ret)
		return ret;
	t->image->begun = false;
	return dtl_sync_dir(t->path);
}

static const char *qcow2_lost(const struct dtl_target *t)
{
	return t->nbd ? dtl_nbd_lost(t->nbd) : NULL;
}

static bool qcow2_same(const struct dtl_target *a, const struct dtl_target *b)
{
	return !strcmp(a->image->unfinished, b->image->unfinished);
}

static void qcow2_close(struct dtl_target *t)
{
	dtl_nbd_close(t->nbd);
	if (t->image && t->image->begun)
		unlink(t->image->unfinished);
	dtl_close(t->fd);
	free(t->image);
	t->image = NULL;
	t->nbd = NULL;
}

static const struct dtl_target_ops qcow2_ops = {
	.claim = qcow2_claim,
	.begin = qcow2_begin,
	.unit = qcow2_unit,
	.write = qcow2_write,
	.flush = qcow2_flush,
	.retry = qcow2_retry,
	.finish = qcow2_finish,
	.publish = qcow2_publish,
	.lost = qcow2_lost,
	.same = qcow2_same,
	.close = qcow2_close,
};

/* ---- Opening ------------------------------------------------------------ */

bool dtl_target_is_qcow2(const char *name)
{
	return !strncmp(name, PREFIX, strlen(PREFIX));
}

/* The folder by its real name, the file by the one given. */
static int absolute(struct dtrack *h, const char *path, const char *suffix,
		    char *result, size_t size)
{
	char folder[PATH_MAX], file[PATH_MAX], real[PATH_MAX];

	if (strlen(path) >= sizeof(folder))
		return too_long(h, path);
	memcpy(folder, path, strlen(path) + 1);
	memcpy(file, path, strlen(path) + 1);
	if (!realpath(dirname(folder), real))
		return dtl_open_error(h, path);
	if (snprintf(result, size, "%s/%s%s", strcmp(real, "/") ? real : "",
		     basename(file), suffix) >= (int)size)
		return too_long(h, path);
	return 0;
}

/* Length of the folder's path with its '/', @up levels up; 0: there is none. */
static size_t folder_len(const char *path, unsigned int up)
{
	const char *slash = strrchr(path, '/');

	while (slash && up--)
		slash = memrchr(path, '/', (size_t)(slash - path));
	return slash ? (size_t)(slash - path) + 1 : 0;
}

/*
 * From where the image is, if it is in the same folder, or in a folder beside
 * that: so that they may be moved together.
 */
static int name_backing(struct dtrack *h, struct dtl_image *image)
{
	size_t folder = folder_len(image->unfinished, 0);
	size_t above = folder_len(image->unfinished, 1);
	const char *name = image->backing_path, *from = "";

	if (folder == folder_len(name, 0) &&
	    !strncmp(image->unfinished, name, folder)) {
		name += folder;
		/* What is before a ':' would be a protocol. */
		from = strchr(name, ':') ? "./" : "";
	} else if (above && above == folder_len(name, 1) &&
		   !strncmp(image->unfinished, name, above)) {
		name += above;
		from = "../";
	}
	if (snprintf(image->backing_name, sizeof(image->backing_name), "%s%s",
		     from, name) >= (int)sizeof(image->backing_name))
		return too_long(h, image->backing);
	/* The manifest, by which the chain is followed, could not say it. */
	if (!dtl_is_utf8(image->backing_name))
		return dtl_fail(h, -EILSEQ, DTL_CLASS_GENERIC,
				"The name of the backing file '%s' is not UTF-8: a manifest cannot hold it",
				image->backing);
	return 0;
}

/* "raw:" or "qcow2:" says it, else its manifest, else it is one of ours. */
static bool is_raw(struct dtrack *h, const struct dtl_image *image,
		   const char *name)
{
	struct dtl_manifest m;

	if (!strncmp(name, "raw:", 4))
		return true;
	if (dtl_target_is_qcow2(name))
		return false;
	return !dtl_manifest_load(h, image->backing_manifest, &m) &&
	       !m.image[0];
}

static const char *strip(const char *name)
{
	if (!strncmp(name, "raw:", 4))
		return name + 4;
	return dtl_target_is_qcow2(name) ? name + strlen(PREFIX) : name;
}

static int open_backing(struct dtrack *h, const char *name,
			struct dtl_image *image)
{
	const char *path = strip(name);
	struct dtl_qemu_info info = { 0 };
	int ret;

	if (!*path)
		return dtl_fail(h, -EINVAL, DTL_CLASS_USAGE,
				"The backing file has no name");
	if (strlen(path) >= sizeof(image->backing))
		return too_long(h, path);
	memcpy(image->backing, path, strlen(path) + 1);
	ret = absolute(h, path, "", image->backing_path,
		       sizeof(image->backing_path));
	if (!ret)
		ret = dtl_manifest_name(h, path, image->backing_manifest,
					sizeof(image->backing_manifest));
	if (!ret)
		ret = name_backing(h, image);
	if (ret)
		return ret;
	image->backing_format = is_raw(h, image, name) ? "raw" : "qcow2";
	return dtl_qemu_look(h, image->backing_path, image->backing_format,
			     false, &info);
}

/* @backing: what is behind ",backing=", or NULL */
static int open_image(struct dtrack *h, const char *backing,
		      struct dtrack_dev source, struct dtl_target *t)
{
	struct stat st;
	int ret;

	if (!lstat(t->path, &st))
		return dtl_fail(h, -EEXIST, NULL,
				"Target '%s' exists: a qcow2 image is made by the run",
				t->path);
	ret = dtl_target_check_folder(h, source, t);
	if (!ret)
		ret = absolute(h, t->path, DTL_IMAGE_SUFFIX,
			       t->image->unfinished,
			       sizeof(t->image->unfinished));
	if (!ret && backing)
		ret = open_backing(h, backing, t->image);
	return ret;
}

int dtl_target_open_qcow2(struct dtrack *h, const char *name,
			  struct dtrack_dev source, struct dtl_target *t)
{
	char *path = strdup(name + strlen(PREFIX)), *backing;
	int ret;

	t->ops = &qcow2_ops;
	t->image = calloc(1, sizeof(*t->image));
	if (!path || !t->image) {
		free(path);
		return dtl_nomem(h);
	}
	backing = strstr(path, BACKING);
	if (backing) {
		*backing = '\0';
		backing += strlen(BACKING);
	}
	ret = dtl_target_set_path(h, path, t);
	if (!ret)
		ret = open_image(h, backing, source, t);
	free(path);
	return ret;
}
