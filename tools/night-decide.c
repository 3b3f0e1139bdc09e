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
#include <string.h>

#include "night.h"
#include "output.h"

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
			   const struct chain *c, const struct point *last,
			   const struct point_image *image)
{
	char path[CHAIN_PATH_LEN];
	struct dtrack_manifest m;

	chain_path(path, &n->store, c->name, last->name, image->file);
	if (image->size != n->device[i].bytes)
		return because(n, "%s: the size has changed",
			       n->c->device[i].name);
	if (dtrack_manifest_read(n->h, path, &m, sizeof(m)))
		return because(n, "%.900s", dtrack_errmsg(n->h));
	if (m.to != image->generation || m.run != image->run ||
	    strcmp(m.uuid, image->uuid))
		return because(n, "the manifest of '%.900s' was changed since",
			       path);
	return false;
}

static bool device_is_unfit(struct night *n, unsigned int i,
			    const struct chain *c, const struct point *last)
{
	const struct config_device *d = &n->c->device[i];
	const struct point_image *image = point_image(last, d->name);

	if (!image)
		return because(n, "%s: it is not in the last restore point",
			       d->name);
	return bitmap_is_unfit(n, i, image) ||
	       image_is_unfit(n, i, c, last, image);
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

static bool needs_full(struct night *n, const struct chain *c)
{
	const struct point *last;
	unsigned int i;

	if (!c)
		return because(n, "there is no restore point yet");
	if (c->broken[0])
		return because(n, "%s", c->broken);
	last = chain_last(c);
	if (last->format != n->c->format)
		return because(n, "the format has changed");
	if (last->nr != n->c->nr)
		return because(n, "the job's devices have changed");
	for (i = 0; i < n->c->nr; i++)
		if (device_is_unfit(n, i, c, last))
			return true;
	return is_due(n, c);
}

void night_decide(struct night *n)
{
	const struct chain *c = store_newest(&n->store);

	n->full = needs_full(n, c);
	clean_line(n->why);
	n->decided = true;
	if (!n->full)
		memcpy(n->chain, c->name, sizeof(n->chain));
}
