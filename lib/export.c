// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * export.c - a bitmap as a file: export and import.
 *
 * Reads and writes the files; what is in them is kernel/core's (export.h,
 * format.h), how the content comes from the kernel and gets there bits.c's.
 * A file is written beside its place and moved there when it is whole and
 * durable; one that is imported is checked to its last byte before the kernel
 * hears of it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bits.h"
#include "export.h"
#include "files.h"

/* The longest header and the longest chunk fit. */
#define WINDOW_BYTES	(2 * DTR_EXPORT_CHUNK_BYTES)

_Static_assert(DTR_NAME_MAX + 1 == DTRACK_NAME_LEN, "names");
_Static_assert(sizeof(((struct dtr_export *)0)->uuid) == DTRACK_UUID_LEN,
	       "uuids");

static int look(struct dtrack *h, struct dtrack_dev dev, const char *name,
		struct dtrack_bitmap_info *info)
{
	struct dtrack_bitmaps *list;
	int ret = dtrack_bitmaps_get(h, dev, name, &list);

	if (ret < 0)
		return ret;
	*info = *dtrack_bitmaps_at(list, 0);
	dtrack_bitmaps_free(list);
	return 0;
}

/* ---- Writing ------------------------------------------------------------ */

static int write_at(int fd, const void *buf, size_t len, uint64_t at)
{
	const char *p = buf;
	ssize_t n;

	while (len) {
		n = pwrite(fd, p, len, (off_t)at);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			p += n;
			at += (uint64_t)n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int write_chunks(int fd, const struct dtr_bitmap *bits, u64 *at)
{
	void *buf = malloc(DTR_EXPORT_CHUNK_BYTES);
	u64 cursor = 0;
	int ret = buf ? 0 : -ENOMEM;
	size_t len;

	while (!ret && cursor < bits->nr_bits) {
		len = dtr_chunk_encode(bits, &cursor, buf,
				       DTR_EXPORT_CHUNK_BYTES);
		ret = write_at(fd, buf, len, *at);
		*at += len;
	}
	free(buf);
	return ret;
}

/* The chunks first: how long they are is in the header. */
static int write_all(int fd, struct dtr_export *head,
		     const struct dtr_bitmap *bits)
{
	u8 buf[DTR_EXPORT_MAX_BYTES];
	size_t len;
	int ret;

	head->length = DTR_EXPORT_FIXED_BYTES + strlen(head->name);
	ret = write_chunks(fd, bits, &head->length);
	if (ret)
		return ret;
	len = dtr_export_encode(head, buf, sizeof(buf));
	ret = write_at(fd, buf, len, 0);
	return !ret && fsync(fd) ? -errno : ret;
}

/* "FOLDER/.dtrack-XXXXXX": as long a name as @path's may not fit. */
static int temp_name(const char *path, char *temp, size_t size)
{
	char copy[PATH_MAX];

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy) ||
	    snprintf(temp, size, "%s/.dtrack-XXXXXX", dirname(copy)) >=
	    (int)size)
		return -ENAMETOOLONG;
	return 0;
}

static int replace(const char *path, struct dtr_export *head,
		   const struct dtr_bitmap *bits)
{
	char temp[PATH_MAX + 32];
	int fd, ret = temp_name(path, temp, sizeof(temp));

	if (ret)
		return ret;
	fd = mkostemp(temp, O_CLOEXEC);	/* mode 0600 */
	if (fd < 0)
		return -errno;
	ret = write_all(fd, head, bits);
	dtl_close(fd);
	if (!ret && rename(temp, path))
		ret = -errno;
	if (ret)
		unlink(temp);
	else
		ret = dtl_sync_dir(path);
	return ret;
}

/* A device is no place for a file, and a link says that it is elsewhere. */
static int check_place(struct dtrack *h, const char *path)
{
	struct stat st;

	if (lstat(path, &st) || S_ISREG(st.st_mode))
		return 0;
	return dtl_fail(h, -EEXIST, DTL_CLASS_GENERIC,
			"Could not write '%s': it exists and is no regular file",
			path);
}

static int export_bits(struct dtrack *h, struct dtrack_dev dev,
		       const struct dtrack_bitmap_info *info,
		       struct dtr_bitmap *bits, const char *path)
{
	struct dtr_export head = {
		.size = info->bytes,
		.shift = bits->shift,
		.generation = info->generation,
	};
	bool exact;
	int ret = dtl_bits_get(h, dev, info, bits, &exact);

	if (ret)
		return ret;
	memcpy(head.uuid, info->uuid, sizeof(head.uuid));
	memcpy(head.name, info->name, sizeof(head.name));
	head.count = dtr_bitmap_dirty_bytes(bits);
	head.hash = dtr_bitmap_hash(bits);
	if (info->flags & DTRACK_BITMAP_RECORDING)
		head.flags |= DTR_EXPORT_RECORDING;
	if (!exact)
		head.flags |= DTR_EXPORT_AT_LEAST;
	ret = replace(path, &head, bits);
	if (ret)
		return dtl_fail(h, ret, dtl_os_class(ret),
				"Could not write '%s': %s", path,
				strerror(-ret));
	return 0;
}

int dtrack_bitmap_export(struct dtrack *h, struct dtrack_dev dev,
			 const char *name, const char *path)
{
	struct dtrack_bitmap_info info;
	struct dtr_bitmap bits;
	int ret = look(h, dev, name, &info);

	if (ret)
		return ret;
	if (info.flags & DTRACK_BITMAP_INCONSISTENT)
		return dtl_bitmap_error(h, dev, name, -EUCLEAN);
	ret = check_place(h, path);
	if (ret)
		return ret;
	ret = dtl_bits_init(h, &bits, info.bytes, info.granularity);
	if (ret)
		return ret;
	ret = export_bits(h, dev, &info, &bits, path);
	dtr_bitmap_exit(&bits);
	return ret;
}

/* ---- Reading ------------------------------------------------------------ */

/**
 * struct window - a file that is read from its beginning to its end.
 * @h: the handle
 * @path: of the file
 * @fd: the file
 * @at: where @buf begins in the file
 * @pos: first byte in @buf that was not used yet
 * @len: bytes in @buf
 * @end: the file has nothing behind @buf
 * @buf: WINDOW_BYTES
 */
struct window {
	struct dtrack *h;
	const char *path;
	int fd;
	uint64_t at;
	size_t pos;
	size_t len;
	bool end;
	u8 *buf;
};

__attribute__((format(printf, 2, 3)))
static int damaged(const struct window *w, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return dtl_fail(w->h, -EBADMSG, NULL,
			"The bitmap file '%s' is damaged: %s", w->path, why);
}

static int read_failed(struct dtrack *h, const char *path, int err)
{
	return dtl_fail(h, err, dtl_os_class(err), "Could not read '%s': %s",
			path, strerror(-err));
}

/* Makes a whole chunk's bytes lie at @pos, if the file has as many. */
static int refill(struct window *w)
{
	ssize_t n;

	if (w->end || w->len - w->pos >= DTR_EXPORT_CHUNK_BYTES)
		return 0;
	memmove(w->buf, w->buf + w->pos, w->len - w->pos);
	w->at += w->pos;
	w->len -= w->pos;
	w->pos = 0;
	while (w->len < WINDOW_BYTES) {
		n = read(w->fd, w->buf + w->len, WINDOW_BYTES - w->len);
		if (n < 0 && errno != EINTR)
			return read_failed(w->h, w->path, -errno);
		if (!n) {
			w->end = true;
			break;
		}
		if (n > 0)
			w->len += (size_t)n;
	}
	return 0;
}

static int read_head(struct window *w, struct dtr_export *head)
{
	const char *why;
	struct stat st;
	long used;
	int ret = refill(w);

	if (ret)
		return ret;
	used = dtr_export_decode(head, w->buf, w->len, &why);
	if (used == -EOPNOTSUPP)
		return dtl_fail(w->h, -EOPNOTSUPP, NULL,
				"The bitmap file '%s' is not understood: %s",
				w->path, why);
	if (used < 0)
		return damaged(w, "%s", why);
	w->pos = (size_t)used;
	if (fstat(w->fd, &st))
		return read_failed(w->h, w->path, -errno);
	if ((uint64_t)st.st_size != head->length)
		return damaged(w, "length: it has %" PRIu64 " bytes, not %" PRIu64,
			       (uint64_t)st.st_size, (uint64_t)head->length);
	return 0;
}

static const char *chunk_why(long err)
{
	switch (err) {
	case -EBADMSG:
		return "its checksum is wrong";
	case -EOPNOTSUPP:
		return "it is of a newer version";
	case -ERANGE:
		return "it is of another size or granularity";
	default:
		return "it is malformed, cut short or not the next one";
	}
}

static int read_chunks(struct window *w, const struct dtr_export *head,
		       struct dtr_bitmap *bits)
{
	u64 cursor = 0;
	size_t len;
	long used;
	int ret;

	while (cursor < bits->nr_bits) {
		ret = refill(w);
		if (ret)
			return ret;
		len = w->len - w->pos;
		if (len > DTR_EXPORT_CHUNK_BYTES)
			len = DTR_EXPORT_CHUNK_BYTES;
		used = dtr_chunk_decode(bits, &cursor, w->buf + w->pos, len);
		if (used < 0)
			return damaged(w, "chunk at byte %" PRIu64 ": %s",
				       w->at + w->pos, chunk_why(used));
		w->pos += (size_t)used;
	}
	return w->at + w->pos == head->length ? 0 :
	       damaged(w, "length: something follows the last chunk");
}

/* What is in the chunks; @bits to be given back also after an error. */
static int read_bits(struct window *w, const struct dtr_export *head,
		     struct dtr_bitmap *bits)
{
	int ret = read_chunks(w, head, bits);
	const char *why;

	if (!ret)
		ret = dtl_bits_whole(w->h, bits);
	if (ret)
		return ret;
	why = dtr_export_differs(head, bits);
	return why ? damaged(w, "%s", why) : 0;
}

/* ---- Importing ---------------------------------------------------------- */

/* Whether a sound file is one for this bitmap. */
static int check_head(struct dtrack *h, struct dtrack_dev dev,
		      const struct dtrack_bitmap_info *info,
		      const struct dtr_export *head, const char *path,
		      bool merge)
{
	uint64_t granularity = 1ULL << head->shift;
	char buf[32];

	if (head->size != info->device_size)
		return dtl_fail(h, -ERANGE, NULL,
				"The sizes differ: the bitmap file '%s' is of a device of %" PRIu64 " bytes, '%s' has %" PRIu64,
				path, (uint64_t)head->size,
				dtl_label(h, dev, buf, sizeof(buf)),
				(uint64_t)info->device_size);
	if (!merge && granularity != info->granularity)
		return dtl_fail(h, -EINVAL, NULL,
				"The granularities differ: the bitmap file '%s' has %" PRIu64 ", bitmap '%s' %" PRIu64 "; only a merge takes another one",
				path, granularity, (const char *)info->name,
				(uint64_t)info->granularity);
	return 0;
}

/* The same bytes in the bitmap's granules, rounded outward. */
static int load_merged(struct dtrack *h, struct dtrack_dev dev,
		       const struct dtrack_bitmap_info *info,
		       const struct dtr_bitmap *bits)
{
	struct dtr_bitmap merged;
	int ret = dtl_bits_init(h, &merged, info->device_size,
				info->granularity);

	if (ret)
		return ret;
	dtr_bitmap_merge(&merged, bits);
	ret = dtl_bits_whole(h, &merged);
	if (!ret)
		ret = dtl_bits_load(h, dev, info, &merged, true);
	dtr_bitmap_exit(&merged);
	return ret;
}

static int import_window(struct window *w, struct dtrack_dev dev,
			 const struct dtrack_bitmap_info *info, bool merge)
{
	struct dtr_export head;
	struct dtr_bitmap bits;
	int ret = read_head(w, &head);

	if (!ret)
		ret = check_head(w->h, dev, info, &head, w->path, merge);
	if (!ret)
		ret = dtl_bits_init(w->h, &bits, head.size, 1ULL << head.shift);
	if (ret)
		return ret;
	ret = read_bits(w, &head, &bits);
	if (!ret)
		ret = merge ? load_merged(w->h, dev, info, &bits) :
			      dtl_bits_load(w->h, dev, info, &bits, false);
	dtr_bitmap_exit(&bits);
	return ret;
}

/* Without waiting for what is no file; the descriptor or an errno with words. */
static int open_file(struct dtrack *h, const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return read_failed(h, path, -errno);
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		return fd;
	dtl_close(fd);
	return dtl_fail(h, -EINVAL, NULL,
			"Could not read '%s': it is no regular file", path);
}

int dtrack_bitmap_import(struct dtrack *h, struct dtrack_dev dev,
			 const char *name, const char *path,
			 unsigned int flags)
{
	struct window w = { .h = h, .path = path };
	struct dtrack_bitmap_info info;
	int ret;

	if (flags & ~DTRACK_IMPORT_MERGE)
		return dtl_fail(h, -EINVAL, NULL, "Unknown flags of an import");
	ret = look(h, dev, name, &info);
	if (ret)
		return ret;
	w.fd = open_file(h, path);
	if (w.fd < 0)
		return w.fd;
	w.buf = malloc(WINDOW_BYTES);
	ret = w.buf ? import_window(&w, dev, &info,
				    flags & DTRACK_IMPORT_MERGE) :
		      dtl_nomem(h);
	free(w.buf);
	dtl_close(w.fd);
	return ret;
}
