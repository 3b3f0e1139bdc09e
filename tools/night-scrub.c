// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * night-scrub.c - one run of a job: a part of the history is read each night.
 *
 * So that each image is read once in 'scrub-every', what was read longest ago comes
 * first, and of a night no more than its share, or than 'scrub-budget'.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "damage.h"
#include "night.h"
#include "point-state.h"
#include "readback.h"

#define DAY	86400

/**
 * struct pick - an image to be read.
 * @c: its chain
 * @p: its restore point; NULL: there is none
 * @i: it
 * @last: when it was read the last time, 0 for never
 */
struct pick {
	const struct chain *c;
	const struct point *p;
	unsigned int i;
	int64_t last;
};

static bool has_finding(const struct chain *c, const struct point *p,
			const struct point_image *image)
{
	struct damage_finding f;
	size_t at = 0;

	while (damage_next(c->damage, p->name, &at, &f))
		if (!strcmp(f.file, image->file))
			return true;
	return false;
}

/* Half of the time is left to be late. */
static bool is_due(const struct night *n, const struct point *p,
		   const struct point_image *image, int64_t *last)
{
	int64_t age = n->now - (*last = point_time_parse(image->checked));

	if (*last)
		return age >= (int64_t)n->c->scrub_every / 2;
	/* Whether a night's own are read is for 'verify' to say. */
	return n->now - point_time_parse(p->time) >= DAY / 2;
}

static void look(const struct night *n, const struct chain *c,
		 const struct point *p, struct pick *best)
{
	unsigned int i;
	int64_t last;

	if (p->state != POINT_WHOLE || p->problem[0])
		return;
	for (i = 0; i < p->nr; i++) {
		const struct point_image *image = &p->image[i];

		if (!is_due(n, p, image, &last) || has_finding(c, p, image) ||
		    (best->p && best->last <= last))
			continue;
		*best = (struct pick){ c, p, i, last };
	}
}

/* Of those that are due the one that was read longest ago, and of these the first. */
static struct pick pick(const struct night *n)
{
	struct pick best = { 0 };
	unsigned int i, k;

	for (i = 0; i < n->store.nr; i++)
		for (k = 0; k < n->store.chain[i].nr; k++)
			look(n, &n->store.chain[i], &n->store.chain[i].point[k],
			     &best);
	return best;
}

static uint64_t bytes_of_all(const struct night *n)
{
	uint64_t sum = 0;
	unsigned int i, k, m;

	for (i = 0; i < n->store.nr; i++)
		for (k = 0; k < n->store.chain[i].nr; k++)
			for (m = 0; m < n->store.chain[i].point[k].nr; m++)
				sum += n->store.chain[i].point[k].image[m].bytes;
	return sum;
}

static uint64_t budget_of(const struct night *n)
{
	if (n->c->scrub_bytes)
		return n->c->scrub_bytes;
	if (n->c->scrub_seconds)
		return UINT64_MAX;
	return bytes_of_all(n) / (n->c->scrub_every / DAY) * 2 + 1;
}

/* Return: whether to go on. */
static bool read_one(struct night *n, const struct pick *at)
{
	char why[POINT_WHY_LEN];

	switch (night_read_image(n, at->c, at->p, at->i, "scrub", false, why)) {
	case READBACK_GOOD:
		return true;
	case READBACK_BAD:
		night_warn(n, "%s", why);
		return true;
	case READBACK_CANCELLED:
		return night_check_cancel(n);
	default:
		night_warn(n, "%s", dtrack_errmsg(n->h));
		return false;
	}
}

static int64_t monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* What is found in what the new one lies over is found in it. */
static bool judge(struct night *n)
{
	struct chain *c = store_newest(&n->store);
	const struct point *p = c ? chain_last(c) : NULL;
	struct point_verdict v;

	if (!p || p->number != n->point.number)
		return night_fail(n, "GenericError", "'%s' is gone",
				  n->point.name);
	point_judge(&n->store, c, p, &v);
	return v.state != VERDICT_DAMAGED ||
	       night_fail(n, "GenericError", "%s", v.problem);
}

bool night_scrub(struct night *n)
{
	uint64_t budget, spent = 0;
	int64_t began = monotonic();
	struct pick at;

	if (!n->c->scrub_every)
		return true;
	budget = budget_of(n);
	while (spent < budget && !n->unread) {
		if (n->c->scrub_seconds && monotonic() - began >=
					   (int64_t)n->c->scrub_seconds)
			break;
		at = pick(n);
		if (!at.p)
			break;
		spent += at.p->image[at.i].bytes;
		if (!night_check_cancel(n) || !read_one(n, &at) ||
		    !night_look_again(n))
			break;
	}
	return !n->cls && night_look_again(n) && judge(n);
}
