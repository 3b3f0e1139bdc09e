// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * layers.c - the checksums of an image and of all that it lies over.
 *
 * Looked at from the top down; what a layer has written is no longer looked for
 * in those below it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "layers.h"
#include "links.h"

/* A multiple of all units, and so many blocks, which no unit is smaller than. */
#define WINDOW	(256U << 10)
#define BLOCK	DTL_SUMS_MIN_UNIT
#define BLOCKS	(WINDOW / BLOCK)

/**
 * struct look - what is compared at once.
 * @from: where it begins, a multiple of all units
 * @start: of the content that there is
 * @end: of it
 * @data: what is at @start
 * @left: blocks of it of which no layer so far has a checksum
 * @nr: number of them
 */
struct look {
	uint64_t from;
	uint64_t start;
	uint64_t end;
	const char *data;
	bool left[BLOCKS];
	unsigned int nr;
};

/**
 * struct place - where a walk down a chain is.
 * @path: an image
 * @m: its manifest
 * @force: take what is not as it should be
 * @end: where its layer goes
 */
struct place {
	char path[4096];
	struct dtl_manifest m;
	bool force;
	struct dtl_layer **end;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- Opening ------------------------------------------------------------ */

static void tell_bad(void *opaque, const struct dtrack_range *range,
		     const char *why)
{
	struct dtl_layer *layer = opaque;

	(void)why;
	layer->all->bad(layer->all->opaque, layer, range);
}

static struct dtl_layer *new_layer(struct dtrack *h, const char *path,
				   struct dtl_layers *l)
{
	struct dtl_layer *layer = calloc(1, sizeof(*layer));

	if (layer)
		layer->path = strdup(path);
	if (!layer || !layer->path) {
		free(layer);
		dtl_nomem(h);
		return NULL;
	}
	dtl_sums_init(&layer->sums);
	layer->all = l;
	layer->bad.found = tell_bad;
	layer->bad.opaque = layer;
	return layer;
}

static void free_layer(struct dtl_layer *layer)
{
	dtl_sums_close(&layer->sums);
	free(layer->path);
	free(layer);
}

/* @h has the words but for @more.  Return: 0 or -ENOMEM. */
static int not_checked(struct dtrack *h, const char *more, struct dtl_layers *l)
{
	if (asprintf(&l->unchecked, "%s%s", h->msg, more) >= 0)
		return 0;
	l->unchecked = NULL;
	return dtl_nomem(h);
}

/* Return: 0, or an errno with words: it has none that are of use. */
static int open_sums(struct dtrack *h, const char *path,
		     const struct dtl_manifest *m, struct dtl_sums *s)
{
	char manifest[4096];
	int ret;

	if (!m->complete || !m->has_sums)
		return dtl_fail(h, -ENODATA, DTL_CLASS_GENERIC,
				"'%s' %s: it was not checked", path,
				m->complete ? "has no checksums" :
					      "is incomplete");
	ret = dtl_manifest_name(h, path, manifest, sizeof(manifest));
	return ret ? ret : dtl_sums_open(h, manifest, m, false, s);
}

/* Return: 1, 0 when what comes from it is not checked, or -ENOMEM. */
static int add_layer(struct dtrack *h, struct place *p, struct dtl_layers *l)
{
	struct dtl_layer *layer = new_layer(h, p->path, l);

	if (!layer)
		return -ENOMEM;
	if (open_sums(h, p->path, &p->m, &layer->sums)) {
		free_layer(layer);
		return not_checked(h, "", l);
	}
	*p->end = layer;
	p->end = &layer->below;
	l->least = min_u64(l->least, layer->sums.unit);
	if (layer->sums.unit > l->most)
		l->most = layer->sums.unit;
	return 1;
}

/* Return: 1 when there is one below, 0 at the end, or an errno with words. */
static int step(struct dtrack *h, struct place *p, struct dtl_layers *l)
{
	const bool known = p->m.has_from;
	char above[sizeof(p->path)];

	memcpy(above, p->path, sizeof(above));
	switch (dtl_links_next(h, p->path, sizeof(p->path), &p->m)) {
	case DTL_LINK_END:
		return 0;
	case DTL_LINK_LOST:
		if (known && !p->force && h->err != -ENOENT)
			return h->err;
		break;
	case DTL_LINK_OTHER:
		dtl_fail(h, -ESTALE, NULL,
			 "'%s' is not what '%s' was made over", p->path, above);
		if (!p->force)
			return -ESTALE;
		break;
	default:
		return 1;
	}
	return not_checked(h, ": it was not checked", l);
}

int dtl_layers_open(struct dtrack *h, const char *path,
		    const struct dtl_manifest *m, bool force,
		    struct dtl_layers *l)
{
	struct place p = { .m = *m, .force = force, .end = &l->top };
	unsigned int nr = 0;
	struct dtl_error first;
	int ret = 1;

	dtl_error_save(h, &first);
	snprintf(p.path, sizeof(p.path), "%s", path);
	l->least = DTL_SUMS_MAX_UNIT;
	while (ret > 0 && nr++ <= DTL_MAX_LINKS) {
		ret = add_layer(h, &p, l);
		if (ret > 0)
			ret = step(h, &p, l);
	}
	if (ret > 0) {
		dtl_fail(h, -ELOOP, NULL,
			 "more than %u images lie over each other",
			 DTL_MAX_LINKS);
		ret = not_checked(h, "", l);
	}
	if (!ret)
		dtl_error_restore(h, &first);
	return ret;
}

void dtl_layers_close(struct dtl_layers *l)
{
	struct dtl_layer *layer;

	while ((layer = l->top)) {
		l->top = layer->below;
		free_layer(layer);
	}
	free(l->unchecked);
	l->unchecked = NULL;
}

/* ---- Comparing ---------------------------------------------------------- */

/* Return: whether all of it is there, and no layer has had any of it. */
static bool take(struct look *k, uint64_t at, uint64_t stop)
{
	bool all = at >= k->start && stop <= k->end;
	uint64_t i, end = (stop - k->from + BLOCK - 1) / BLOCK;

	for (i = (at - k->from) / BLOCK; i < end; i++) {
		all = all && k->left[i];
		k->nr -= k->left[i];
		k->left[i] = false;
	}
	return all;
}

/* Of a granule that an image ends in, and the content does not, nothing. */
static void set_known(const struct dtl_layers *l, uint64_t at, uint64_t len)
{
	if (!l->known)
		return;
	if (at + len < l->known->size)
		len -= len % l->least;
	dtl_bits_set(l->known, at, len);
}

static void compare(struct dtl_layer *layer, struct look *k, uint64_t at,
		    uint64_t sum)
{
	const struct dtl_sums *s = &layer->sums;
	size_t len = min_u64(s->unit, s->size - at);

	if (!take(k, at, at + len))
		return;
	set_known(layer->all, at, len);
	if (dtl_sum(k->data + (at - k->start), len) != sum)
		dtl_finding_add(&layer->bad, at, len);
}

static int look_at_layer(struct dtrack *h, struct dtl_layer *layer,
			 struct look *k)
{
	const struct dtl_sums *s = &layer->sums;
	uint64_t end = min_u64(min_u64(k->from + WINDOW, k->end), s->size);
	uint64_t sum[BLOCKS], first = k->from / s->unit, i, nr;
	int ret;

	if (end <= k->from)
		return 0;
	nr = (end - k->from + s->unit - 1) / s->unit;
	ret = dtl_sums_get(h, s, first, sum, nr);
	for (i = 0; !ret && i < nr; i++)
		if (sum[i])
			compare(layer, k, (first + i) * s->unit, sum[i]);
	return ret;
}

static void begin_look(struct look *k, uint64_t from)
{
	uint64_t at;
	unsigned int i;

	k->from = from;
	k->nr = 0;
	for (i = 0; i < BLOCKS; i++) {
		at = from + i * BLOCK;
		k->left[i] = at + BLOCK > k->start && at < k->end;
		k->nr += k->left[i];
	}
}

int dtl_layers_check(struct dtrack *h, struct dtl_layers *l, uint64_t start,
		     const char *data, size_t len)
{
	struct look k = { .start = start, .end = start + len, .data = data };
	struct dtl_layer *layer;
	uint64_t from;
	int ret = 0;

	for (from = start - start % WINDOW; !ret && from < k.end;
	     from += WINDOW) {
		begin_look(&k, from);
		for (layer = l->top; !ret && layer && k.nr; layer = layer->below)
			ret = look_at_layer(h, layer, &k);
	}
	for (layer = l->top; layer; layer = layer->below)
		dtl_finding_end(&layer->bad);
	return ret;
}
