// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * point-state.c - what is known of a restore point, and whether it may go.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "damage.h"
#include "output.h"
#include "point-state.h"

/* ---- What is known ------------------------------------------------------ */

static const char *const words[] = {
	[VERDICT_DAMAGED] = "damaged",
	[VERDICT_UNPROVEN] = "unproven",
	[VERDICT_VERIFIED] = "verified",
};

const char *point_state_word(enum point_verdict_state state)
{
	return words[state];
}

__attribute__((format(printf, 2, 3)))
static void damaged(struct point_verdict *v, const char *fmt, ...)
{
	va_list ap;

	v->state = VERDICT_DAMAGED;
	v->checked[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(v->problem, sizeof(v->problem), fmt, ap);
	va_end(ap);
	clean_line(v->problem);
}

/* What version 0.1.0 has marked the chain with it had found in the last one. */
static bool is_damaged(const struct store *s, const struct chain *c,
		       const struct point *p, struct point_verdict *v)
{
	struct damage_finding f;
	char path[CHAIN_PATH_LEN];
	size_t at = 0;

	chain_path(path, s, c->name, p->name, NULL);
	if (p->state == POINT_DAMAGED)
		damaged(v, "'%.900s/%s' is damaged: %.64s", path, POINT_FILE,
			p->why);
	else if (p->problem[0])
		damaged(v, "%s", p->problem);
	else if (damage_next(c->damage, p->name, &at, &f))
		damaged(v, "'%.600s': %.400s",
			chain_path(path, s, c->name, f.point, f.file), f.what);
	else if (c->unknown[0])
		damaged(v, "%s", c->unknown);
	else if (c->marked[0] && p == chain_last(c))
		damaged(v, "%s", c->marked);
	return v->state == VERDICT_DAMAGED;
}

/* Of its own images. */
static void judge_own(const struct store *s, const struct chain *c,
		      const struct point *p, struct point_verdict *v)
{
	unsigned int i;

	if (is_damaged(s, c, p, v))
		return;
	for (i = 0; i < p->nr; i++) {
		const char *checked = p->image[i].checked;

		if (!checked[0])
			v->state = VERDICT_UNPROVEN;
		else if (!v->checked[0] || strcmp(checked, v->checked) < 0)
			strcpy(v->checked, checked);
	}
	if (!p->nr)
		v->state = VERDICT_UNPROVEN;
}

static const struct point *below(const struct chain *c, const struct point *p)
{
	const struct point *q;

	for (q = p; q-- > c->point;)
		if (q->number == p->previous && q->state != POINT_PARTIAL)
			return q;
	return NULL;
}

void point_judge(const struct store *s, const struct chain *c,
		 const struct point *p, struct point_verdict *v)
{
	const struct point *q = p;

	memset(v, 0, sizeof(*v));
	v->state = VERDICT_VERIFIED;
	judge_own(s, c, q, v);
	while (v->state != VERDICT_DAMAGED && q->previous &&
	       p->format == FORMAT_QCOW2) {
		q = below(c, q);
		if (q)
			judge_own(s, c, q, v);
		else
			damaged(v, "a restore point before '%.200s' is missing",
				p->name);
	}
	if (v->state != VERDICT_VERIFIED)
		v->checked[0] = '\0';
}

enum point_verdict_state point_state(const struct store *s,
				     const struct chain *c,
				     const struct point *p)
{
	struct point_verdict v;

	point_judge(s, c, p, &v);
	return v.state;
}

/* ---- Whether it may go -------------------------------------------------- */

static const struct point *base_of(const struct chain *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		if (c->point[i].state != POINT_PARTIAL)
			return &c->point[i];
	return NULL;
}

bool chain_of_other_disk(const struct chain *c)
{
	const struct point *base = base_of(c);

	return base && base->other_disk && !c->accepted;
}

bool chain_is_planned(const struct chain *c)
{
	const struct point *base = base_of(c);

	if (!base || base->state != POINT_WHOLE || base->previous)
		return false;
	return base->other_disk ? c->accepted : !base->surprising;
}

/* Return: NULL, or why it is none of those that 'keep' asks for. */
static const char *does_not_count(const struct store *s, const struct chain *c)
{
	if (!chain_has_its_name(c))
		return "does not have the name of its first restore point";
	if (!base_of(c) || c->broken[0])
		return "is damaged";
	if (!chain_is_planned(c))
		return "begins with a full copy that was not due";
	if (point_state(s, c, base_of(c)) != VERDICT_VERIFIED)
		return "begins with a full copy that was not read back";
	return NULL;
}

__attribute__((format(printf, 2, 3)))
static bool stays(char *why, const char *fmt, ...)
{
	va_list ap;

	if (!why)
		return false;
	va_start(ap, fmt);
	vsnprintf(why, POINT_WHY_LEN, fmt, ap);
	va_end(ap);
	return false;
}

/* Enough newer ones remain. */
static bool is_beyond_keep(const struct store *s, const struct config *job,
			   unsigned int index, char *why)
{
	const struct chain *first = NULL;
	uint64_t counted = 0, all = 0;
	unsigned int i;

	for (i = s->nr; --i > index && counted < job->keep;) {
		if (!does_not_count(s, &s->chain[i]))
			counted++;
		else if (!first)
			first = &s->chain[i];
		all += !s->chain[i].broken[0] && base_of(&s->chain[i]);
	}
	if (counted == job->keep)
		return true;
	/* Otherwise it is none that anybody waits for to go. */
	if (first && all >= job->keep)
		stays(why, "'%s' is kept: '%s' %s", s->chain[index].name,
		      first->name, does_not_count(s, first));
	return false;
}

static bool has_all_devices(const struct config *job, const struct point *p)
{
	unsigned int i;

	for (i = 0; i < job->nr; i++)
		if (!point_image(p, job->device[i].name))
			return false;
	return true;
}

/* One that does not say what it is may be what the job asks for. */
static int consistency_of(const struct config *job, const struct point *p)
{
	if (p->consistency != POINT_UNKNOWN)
		return p->consistency;
	return job->holds ? POINT_HELD : POINT_LIVE;
}

/* One that does not say so is not known to be of one moment. */
static int at_least(const struct point *q)
{
	return q->consistency == POINT_UNKNOWN ? POINT_LIVE : q->consistency;
}

static bool replaces(const struct store *s, const struct config *job,
		     const struct chain *c, const struct point *q,
		     const struct point *p)
{
	return q->state == POINT_WHOLE && has_all_devices(job, q) &&
	       at_least(q) >= consistency_of(job, p) &&
	       point_state(s, c, q) == VERDICT_VERIFIED;
}

/* Only chains that remain are looked at: those behind @index. */
static bool is_replaced(const struct store *s, const struct config *job,
			unsigned int index, const struct point *p)
{
	unsigned int i, k;

	for (i = s->nr; --i > index;)
		for (k = chain_has_its_name(&s->chain[i]) ? s->chain[i].nr : 0; k--;)
			if (replaces(s, job, &s->chain[i],
				     &s->chain[i].point[k], p))
				return true;
	return false;
}

bool chain_may_go(const struct store *s, const struct config *job,
		  unsigned int index, char *why)
{
	const struct chain *c = &s->chain[index];
	unsigned int i;

	if (why)
		why[0] = '\0';
	/* What it may be is not known. */
	if (!base_of(c) || !is_beyond_keep(s, job, index, why))
		return false;
	/* It is the mark itself, as long as there is something older. */
	for (i = index ? index : 1; i < s->nr; i++)
		if (chain_of_other_disk(&s->chain[i]))
			return stays(why,
				     "'%s' is kept: '%s' is a copy of another disk, unless 'dtrack run --accept' says that it is meant",
				     c->name, s->chain[i].name);
	for (i = 0; i < c->nr; i++)
		if (c->point[i].state != POINT_PARTIAL &&
		    !is_replaced(s, job, index, &c->point[i]))
			return stays(why,
				     "'%s' is kept: no newer restore point is verified and as consistent as its '%s'",
				     c->name, c->point[i].name);
	return true;
}
