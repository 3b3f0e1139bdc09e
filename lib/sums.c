// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sums.c - checksums of what a target holds, in a file beside its manifest.
 *
 * The file is as long as all sums need, and sparse: most of it is never written
 * where little is copied.
 */
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "files.h"
#include "medium.h"
#include "sums.h"

#define MAGIC		"DTRSUMS\n"
#define VERSION		1
/* Sums that are put or read with one call. */
#define BATCH		512

/**
 * struct header - the first bytes of the file, little-endian.
 */
struct header {
	char magic[8];
	uint32_t version;
	uint32_t zero;
	uint64_t size;
	uint64_t unit;
	uint64_t id;
	uint64_t zeroes[2];
	uint64_t sum;
};

_Static_assert(sizeof(struct header) == DTL_SUMS_HEADER, "header");

uint64_t dtl_sum(const void *data, size_t len)
{
	return XXH3_64bits(data, len) ? : 1;
}

void dtl_sums_init(struct dtl_sums *s)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

void dtl_sums_close(struct dtl_sums *s)
{
	dtl_close(s->fd);
	s->fd = -1;
}

static uint64_t units(uint64_t size, uint64_t unit)
{
	return size / unit + (size % unit != 0);
}

static uint64_t file_bytes(uint64_t size, uint64_t unit)
{
	return DTL_SUMS_HEADER + units(size, unit) * sizeof(uint64_t);
}

static off_t place(uint64_t nr)
{
	return (off_t)(DTL_SUMS_HEADER + nr * sizeof(uint64_t));
}

/* ---- The header --------------------------------------------------------- */

static void make_header(struct header *head, const struct dtl_manifest *m)
{
	memset(head, 0, sizeof(*head));
	memcpy(head->magic, MAGIC, sizeof(head->magic));
	head->version = htole32(VERSION);
	head->size = htole64(m->size);
	head->unit = htole64(m->sums_unit);
	head->id = htole64(m->sums_id);
	head->sum = htole64(XXH3_64bits(head, offsetof(struct header, sum)));
}

const char *dtl_sums_check_header(const unsigned char *header, uint64_t bytes,
				  const struct dtl_manifest *m)
{
	struct header got, want;

	memcpy(&got, header, sizeof(got));
	if (memcmp(got.magic, MAGIC, sizeof(got.magic)))
		return "they are none";
	if (le32toh(got.version) != VERSION)
		return "they are of a newer version";
	make_header(&want, m);
	got.id = want.id;
	got.sum = want.sum;
	if (!memcmp(&got, &want, sizeof(got)) &&
	    memcmp(header, &want, sizeof(want)))
		return "they are another manifest's";
	if (memcmp(header, &want, sizeof(want)))
		return "their header is wrong";
	if (bytes != file_bytes(m->size, m->sums_unit))
		return "they are cut, or too long";
	return NULL;
}

/* ---- Opening ------------------------------------------------------------ */

static int name_file(struct dtrack *h, const char *manifest, struct dtl_sums *s)
{
	if (snprintf(s->path, sizeof(s->path), "%s.sums", manifest) <
	    (int)sizeof(s->path))
		return 0;
	return dtl_fail(h, -ENAMETOOLONG, NULL,
			"The name of the manifest '%s' is too long", manifest);
}

static int failed(struct dtrack *h, const struct dtl_sums *s, const char *verb)
{
	int err = errno ? -errno : -EIO;

	return dtl_fail(h, err, dtl_os_class(err),
			"Could not %s the checksums '%s': %s", verb, s->path,
			strerror(-err));
}

static int check(struct dtrack *h, const struct dtl_sums *s,
		 const struct dtl_manifest *m)
{
	unsigned char header[DTL_SUMS_HEADER];
	const char *why = "they are cut, or too long";
	struct stat st;

	if (fstat(s->fd, &st))
		return failed(h, s, "read");
	if (!S_ISREG(st.st_mode))
		why = "they are no file";
	else if (pread(s->fd, header, sizeof(header), 0) == sizeof(header))
		why = dtl_sums_check_header(header, (uint64_t)st.st_size, m);
	if (!why)
		return 0;
	return dtl_fail(h, -EBADMSG, NULL,
			"The checksums '%s' are damaged: %s", s->path, why);
}

int dtl_sums_open(struct dtrack *h, const char *manifest,
		  const struct dtl_manifest *m, bool write, struct dtl_sums *s)
{
	int ret;

	dtl_sums_init(s);
	ret = name_file(h, manifest, s);
	if (ret)
		return ret;
	s->size = m->size;
	s->unit = m->sums_unit;
	s->fd = open(s->path, O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
			      (write ? O_RDWR : O_RDONLY));
	if (s->fd < 0)
		return failed(h, s, "open");
	s->medium = !write && dtl_medium_refresh(s->fd, false);
	ret = check(h, s, m);
	if (ret)
		dtl_sums_close(s);
	return ret;
}

/* The old ones go first: they are not even right for a moment. */
static int make_file(struct dtl_sums *s, const struct dtl_manifest *m)
{
	struct header head;

	if (unlink(s->path) && errno != ENOENT)
		return -1;
	s->fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -1;
	make_header(&head, m);
	errno = 0;
	return ftruncate(s->fd, (off_t)file_bytes(s->size, s->unit)) ||
	       pwrite(s->fd, &head, sizeof(head), 0) != sizeof(head) ? -1 : 0;
}

int dtl_sums_create(struct dtrack *h, const char *manifest,
		    const struct dtl_manifest *m, struct dtl_sums *s)
{
	int ret;

	dtl_sums_init(s);
	ret = name_file(h, manifest, s);
	if (ret)
		return ret;
	s->size = m->size;
	s->unit = m->sums_unit;
	s->changed = true;
	s->fresh = true;
	if (!make_file(s, m))
		return 0;
	ret = failed(h, s, "make");
	dtl_sums_close(s);
	return ret;
}

/* ---- Sums --------------------------------------------------------------- */

/* Return: the sum of the unit at @at, or 0 when it is not all there. */
static uint64_t sum_at(const struct dtl_sums *s, uint64_t at, uint64_t start,
		       const char *data, uint64_t end)
{
	uint64_t stop = at + s->unit < s->size ? at + s->unit : s->size;

	if (at < start || stop > end)
		return 0;
	return htole64(dtl_sum(data + (at - start), stop - at));
}

int dtl_sums_put(struct dtrack *h, struct dtl_sums *s, uint64_t start,
		 const char *data, size_t len)
{
	const uint64_t end = start + len;
	uint64_t at = start - start % s->unit;
	uint64_t sum[BATCH], first;
	size_t nr;

	s->changed = true;
	while (at < end) {
		first = at / s->unit;
		for (nr = 0; nr < BATCH && at < end; nr++, at += s->unit)
			sum[nr] = sum_at(s, at, start, data, end);
		errno = 0;
		if (pwrite(s->fd, sum, nr * sizeof(*sum), place(first)) !=
		    (ssize_t)(nr * sizeof(*sum)))
			return failed(h, s, "write");
	}
	return 0;
}

int dtl_sums_sync(struct dtrack *h, struct dtl_sums *s)
{
	if (s->fd < 0 || !s->changed)
		return 0;
	if (fdatasync(s->fd))
		return failed(h, s, "flush");
	errno = s->fresh ? -dtl_sync_dir(s->path) : 0;
	if (errno)
		return failed(h, s, "flush");
	s->changed = false;
	s->fresh = false;
	return 0;
}

int dtl_sums_get(struct dtrack *h, const struct dtl_sums *s, uint64_t first,
		 uint64_t *sum, size_t nr)
{
	size_t i;

	errno = 0;
	if (pread(s->fd, sum, nr * sizeof(*sum), place(first)) !=
	    (ssize_t)(nr * sizeof(*sum)))
		return failed(h, s, "read");
	for (i = 0; i < nr; i++)
		sum[i] = le64toh(sum[i]);
	return 0;
}

/* Return: the first unit at or after @nr that is not in a hole of the file. */
static uint64_t skip_hole(const struct dtl_sums *s, uint64_t nr)
{
	off_t at = lseek(s->fd, place(nr), SEEK_DATA);

	if (at < 0)
		return errno == ENXIO ? UINT64_MAX : nr;
	return ((uint64_t)at - DTL_SUMS_HEADER) / sizeof(uint64_t);
}

int dtl_sums_find(struct dtrack *h, const struct dtl_sums *s, uint64_t at,
		  struct dtrack_range *range)
{
	const uint64_t all = units(s->size, s->unit);
	uint64_t first = at / s->unit, sum[BATCH];
	size_t nr, from, to;
	int ret;

	for (first = skip_hole(s, first); first < all;
	     first = skip_hole(s, first + nr)) {
		nr = all - first < BATCH ? all - first : BATCH;
		ret = dtl_sums_get(h, s, first, sum, nr);
		if (ret)
			return ret;
		for (from = 0; from < nr && !sum[from]; from++)
			;
		if (from == nr)
			continue;
		for (to = from; to < nr && sum[to]; to++)
			;
		range->start = (first + from) * s->unit;
		range->length = (to - from) * s->unit;
		if (range->length > s->size - range->start)
			range->length = s->size - range->start;
		return 1;
	}
	return 0;
}
