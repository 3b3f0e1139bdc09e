// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * likeness.c - whether a full copy is of the disk that was copied before.
 *
 * By the checksums beside the images, see Documentation/format.rst: a piece of the
 * older content has the checksum of the topmost image that has one.  No image is
 * read.
 */
#include <endian.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "likeness.h"
#include "point-state.h"

#define MAGIC		"DTRSUMS\n"
#define HEADER_LEN	64
#define MAX_UNIT	65536
#define BATCH		4096
#define MAX_LAYERS	1000

struct header {
	char magic[8];
	uint32_t version;
	uint32_t zero;
	uint64_t size;
	uint64_t unit;
};

/**
 * struct sums - open checksums of a content.
 * @nr: number of layers
 * @fd: them, the topmost first
 * @size: of the content
 * @unit: of a checksum
 */
struct sums {
	unsigned int nr;
	int fd[MAX_LAYERS];
	uint64_t size;
	uint64_t unit;
};

static void close_all(struct sums *s)
{
	while (s->nr)
		close(s->fd[--s->nr]);
}

/* Return: whether the layer is there and fits the others. */
static bool add(struct sums *s, const char *image)
{
	char path[CHAIN_PATH_LEN + 16];
	struct header h;
	int fd;

	if (s->nr == MAX_LAYERS)
		return false;
	snprintf(path, sizeof(path), "%s.dtrack.sums", image);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) ||
	    memcmp(h.magic, MAGIC, 8) || le32toh(h.version) != 1 ||
	    (s->nr && le64toh(h.unit) != s->unit) ||
	    !h.unit || le64toh(h.unit) > MAX_UNIT) {
		close(fd);
		return false;
	}
	if (!s->nr) {
		s->size = le64toh(h.size);
		s->unit = le64toh(h.unit);
	}
	s->fd[s->nr++] = fd;
	return true;
}

/* Those of @p's image of a device, and of all that it lies over. */
static bool add_all(const struct store *s, const struct chain *c,
		    const struct point *p, const char *device, struct sums *sums)
{
	const struct point_image *image = point_image(p, device);
	char path[CHAIN_PATH_LEN];
	const struct point *q;

	if (!image || !add(sums, chain_path(path, s, c->name, p->name,
					    image->file)))
		return false;
	for (q = p; p->previous && p->format == FORMAT_QCOW2 &&
		    q-- > c->point;) {
		if (q->number != p->previous)
			continue;
		image = point_image(q, device);
		if (!image || !add(sums, chain_path(path, s, c->name, q->name,
						    image->file)))
			return false;
		p = q;
	}
	return !p->previous || p->format != FORMAT_QCOW2;
}

static uint64_t read_layer(int fd, uint64_t first, uint64_t *sum, size_t nr)
{
	ssize_t n = pread(fd, sum, nr * 8, (off_t)(HEADER_LEN + first * 8));

	return n > 0 ? (uint64_t)n / 8 : 0;
}

/* 0 where it is not known. */
static void get(const struct sums *s, uint64_t first, uint64_t *sum, size_t nr)
{
	uint64_t layer[BATCH], have, i;
	unsigned int l;

	memset(sum, 0, nr * 8);
	for (l = 0; l < s->nr; l++) {
		have = read_layer(s->fd[l], first, layer, nr);
		for (i = 0; i < have; i++)
			sum[i] = sum[i] ? : le64toh(layer[i]);
	}
}

/* The last one may be shorter: it is left out. */
static uint64_t zero_sum(uint64_t unit)
{
	static const char zeroes[MAX_UNIT];

	return XXH3_64bits(zeroes, unit) ? : 1;
}

static bool differ(const struct sums *old, const struct sums *new)
{
	uint64_t size = old->size < new->size ? old->size : new->size;
	uint64_t total = size / old->unit, zero = zero_sum(old->unit);
	uint64_t a[BATCH], b[BATCH], first, i, nr, same = 0, all = 0;

	for (first = 0; first < total; first += nr) {
		nr = total - first < BATCH ? total - first : BATCH;
		get(old, first, a, nr);
		get(new, first, b, nr);
		for (i = 0; i < nr; i++) {
			all += a[i] && a[i] != zero;
			same += a[i] && a[i] != zero && a[i] == b[i];
		}
	}
	return same * 100 < all;
}

/* The newest that has it and is not damaged. */
static const struct point *find(const struct store *s, const char *chain,
				const char *device, const struct chain **c)
{
	unsigned int i = s->nr, k;

	while (i--) {
		*c = &s->chain[i];
		if (!strcmp((*c)->name, chain))
			continue;
		for (k = (*c)->nr; k--;) {
			const struct point *p = &(*c)->point[k];

			if (p->state == POINT_WHOLE && point_image(p, device) &&
			    point_state(s, *c, p) != VERDICT_DAMAGED)
				return p;
		}
	}
	return NULL;
}

bool likeness_is_other(const struct store *s, const char *chain,
		       const struct point *p, const struct point_image *image)
{
	struct sums *old = calloc(2, sizeof(*old)), *new = old + 1;
	char path[CHAIN_PATH_LEN];
	const struct chain *c;
	const struct point *before = find(s, chain, image->device, &c);
	bool other = false;

	if (old && before && add_all(s, c, before, image->device, old) &&
	    add(new, chain_path(path, s, chain, p->name, image->file)) &&
	    old->unit == new->unit)
		other = differ(old, new);
	if (old) {
		close_all(new);
		close_all(old);
	}
	free(old);
	return other;
}
