// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * night-decide.c - one run of a job: full or incremental.
 *
 * A chain goes on only where it is certain that it can: where each bitmap is
 * the one, and in the state, that the last restore point was left with, and
 * nothing in the chain is missing or was changed.  Everything else begins a new
 * chain with a full copy.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "night.h"
#include "output.h"
#include "point-state.h"

#define HOUR	3600
#define DAY	86400
/* A timer is not that exact: a week after a run may be some hours less. */
#define SLACK	(DAY / 2)
/*
 * To the lowest image qemu goes by "../" from one to the next, some 26 bytes each,
 * and no name has more than 4095.
 */
#define MAX_IMAGES	100

__attribute__((format(printf, 2, 3)))
static bool because(struct night *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(n->why, sizeof(n->why), fmt, ap);
	va_end(ap);
	return true;
}

static bool bitmap_is_unfit(struct night *n, unsigned int i,
			    const struct point_image *last)
{
	const struct config_device *d = &n->c->device[i];
	const struct night_device *now = &n->device[i];
	char uuid[DTRACK_UUID_TEXT];

	if (!now->has_bitmap)
		return because(n, "%s: bitmap '%s' is lost", d->name, d->bitmap);
	dtrack_uuid_format(now->info.uuid, uuid);
	if (now->info.flags & DTRACK_BITMAP_INCONSISTENT)
		return because(n, "%s: bitmap '%s' is inconsistent", d->name,
			       d->bitmap);
	if (!(now->info.flags & DTRACK_BITMAP_RECORDING))
		return because(n, "%s: bitmap '%s' does not record", d->name,
			       d->bitmap);
	if (d->granularity && d->granularity != now->info.granularity)
		return because(n, "%s: the granularity has changed", d->name);
	if (strcmp(uuid, last->uuid))
		return because(n,
			       "%s: bitmap '%s' is not the one of the last restore point",
			       d->name, d->bitmap);
	if (now->info.generation != last->generation)
		return because(n,
			       "%s: bitmap '%s' is at generation %" PRIu64 ", the last restore point at %" PRIu64,
			       d->name, d->bitmap,
			       (uint64_t)now->info.generation, last->generation);
	return false;
}

static bool image_is_unfit(struct night *n, unsigned int i,
			   const struct point_image *image)
{
	return image->size != n->device[i].bytes &&
	       because(n, "%s: the size has changed", n->c->device[i].name);
}

static bool device_is_unfit(struct night *n, unsigned int i,
			    const struct point *last)
{
	const struct config_device *d = &n->c->device[i];
	const struct point_image *image = point_image(last, d->name);

	if (!image)
		return because(n, "%s: it is not in the last restore point",
			       d->name);
	return bitmap_is_unfit(n, i, image) ||
	       image_is_unfit(n, i, image);
}

static bool is_due(struct night *n, const struct chain *c)
{
	int64_t age = n->now - point_time_parse(c->point[0].time);
	int64_t every = (int64_t)n->c->full_every;
	int64_t slack = every / 2 < SLACK ? every / 2 : SLACK;

	if (n->c->format == FORMAT_QCOW2 && chain_length(c) >= MAX_IMAGES)
		return because(n, "after %d runs: qemu opens no longer chain",
			       MAX_IMAGES);
	if (!n->c->by_time)
		return chain_length(c) >= n->c->full_every &&
		       because(n, "after %" PRIi64 " runs", every);
	if (age < -SLACK)
		return because(n, "the clock is before the last full copy");
	return age + slack >= every &&
	       because(n, "after %" PRIi64 " %s",
		       every % DAY ? every / HOUR : every / DAY,
		       every % DAY ? "hours" : "days");
}

/* ---- Why it is full ------------------------------------------------------ */

static bool needs_full(struct night *n, const struct chain *c)
{
	const struct point *last;
	unsigned int i;

	if (!c)
		return because(n, "there is no restore point yet");
	if (c->broken[0])
		return because(n, "%s", c->broken);
	if (n->unsure[0])
		return because(n, "%s", n->unsure);
	last = chain_last(c);
	if (last->format != n->c->format)
		return because(n, "the format has changed");
	if (last->nr != n->c->nr)
		return because(n, "the job's devices have changed");
	for (i = 0; i < n->c->nr; i++)
		if (device_is_unfit(n, i, last))
			return true;
	return is_due(n, c);
}

/* ---- Whether it was due ------------------------------------------------- */

/**
 * struct gaps - the times between restore points.
 * @nr: number of them
 * @gap: them, seconds; no clock that went back
 */
struct gaps {
	unsigned int nr;
	int64_t *gap;
};

static int by_length(const void *a, const void *b)
{
	const int64_t *p = a, *q = b;

	return *p < *q ? -1 : *p > *q;
}

static void add_gap(struct gaps *g, int64_t before, int64_t time)
{
	if (before)
		g->gap[g->nr++] = time > before ? time - before : 0;
}

/*
 * A clock that has jumped is no time that has passed: a gap counts as four usual
 * ones at most, or as two days.
 */
static int64_t time_passed(struct gaps *g)
{
	int64_t most = 2 * DAY, sum = 0;
	unsigned int i;

	if (!g->nr)
		return 0;
	qsort(g->gap, g->nr, sizeof(*g->gap), by_length);
	if (4 * g->gap[(g->nr - 1) / 2] > most)
		most = 4 * g->gap[(g->nr - 1) / 2];
	for (i = 0; i < g->nr; i++)
		sum += g->gap[i] < most ? g->gap[i] : most;
	return sum;
}

static unsigned int newest_planned(const struct store *s)
{
	unsigned int i = s->nr;

	while (i--)
		if (chain_is_planned(&s->chain[i]))
			return i;
	return 0;
}

/* Since the last full copy that was due began. */
static unsigned int points_since(const struct night *n, struct gaps *g)
{
	unsigned int i = newest_planned(&n->store), k, nr = 0;
	int64_t before = 0, time;

	for (; i < n->store.nr; i++)
		for (k = 0; k < n->store.chain[i].nr; k++) {
			const struct point *p = &n->store.chain[i].point[k];

			if (p->state == POINT_PARTIAL)
				continue;
			nr++;
			time = point_time_parse(p->time);
			add_gap(g, before, time);
			before = time ? : before;
		}
	add_gap(g, before, n->now);
	return nr;
}

static unsigned int points_of(const struct store *s)
{
	unsigned int i, sum = 0;

	for (i = 0; i < s->nr; i++)
		sum += s->chain[i].nr;
	return sum;
}

/*
 * Whatever the reason for this one: where fulls are forced more often than they
 * are due, each that comes when one is due counts as that.
 */
static bool was_due(const struct night *n, const struct chain *c)
{
	struct gaps g = { 0 };
	unsigned int nr;
	bool due;

	if (!c || (n->c->format == FORMAT_QCOW2 &&
		   chain_length(c) >= MAX_IMAGES))
		return true;
	g.gap = calloc(points_of(&n->store) + 1, sizeof(*g.gap));
	if (!g.gap)
		return false;
	nr = points_since(n, &g);
	due = n->c->by_time ?
	      time_passed(&g) + SLACK >= (int64_t)n->c->full_every :
	      nr >= n->c->full_every;
	free(g.gap);
	return due;
}

void night_decide(struct night *n)
{
	const struct chain *c = store_newest(&n->store);

	n->full = needs_full(n, c);
	n->surprising = n->full && !was_due(n, c);
	clean_line(n->why);
	n->decided = true;
	if (!n->full)
		memcpy(n->chain, c->name, sizeof(n->chain));
}
