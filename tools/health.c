// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * health.c - whether a job's history is as its configuration wants it.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "health.h"
#include "output.h"

/* A clock may be set back a little; what is from tomorrow says nothing. */
#define AHEAD	3600

static const char *const words[] = {
	[HEALTH_OK] = "ok",
	[HEALTH_WARNING] = "warning",
	[HEALTH_FAILED] = "failed",
};

const char *health_word(enum health_state state)
{
	return words[state];
}

void health_add(struct health *health, enum health_state state,
		const char *fmt, ...)
{
	char *reason = health->reason[health->nr];
	va_list ap;

	if (state > health->state)
		health->state = state;
	if (health->nr == HEALTH_REASONS)
		return;
	health->nr++;
	va_start(ap, fmt);
	vsnprintf(reason, HEALTH_REASON_LEN, fmt, ap);
	va_end(ap);
	clean_line(reason);
}

static void see(const struct store *s, const struct chain *c,
		const struct point *p, struct health *health,
		unsigned int *damaged)
{
	struct health_point at = {
		.chain = c,
		.point = p,
		.time = point_time_parse(p->time),
	};

	if (p->state == POINT_PARTIAL)
		return;
	point_judge(s, c, p, &at.verdict);
	*damaged += at.verdict.state == VERDICT_DAMAGED;
	if (at.verdict.state != VERDICT_DAMAGED)
		health->restorable = at;
	if (at.verdict.state == VERDICT_VERIFIED)
		health->verified = at;
}

static void judge_age(const struct config *job, int64_t now,
		      struct health *health)
{
	int64_t age = now - health->restorable.time;

	if (!health->restorable.point)
		health_add(health, HEALTH_FAILED,
			   "there is no restore point that is not damaged");
	else if (age > (int64_t)job->max_age)
		health_add(health, HEALTH_FAILED,
			   "the newest restore point that is not damaged is of %s: more than %" PRIu64 " hours old",
			   health->restorable.point->time, job->max_age / 3600);
	else if (age < -AHEAD)
		health_add(health, HEALTH_WARNING,
			   "the newest restore point is of %s: the clock went back",
			   health->restorable.point->time);
}

void health_look(const struct store *s, const struct config *job, int64_t now,
		 struct health *health)
{
	unsigned int i, k, damaged = 0;

	memset(health, 0, sizeof(*health));
	for (i = 0; i < s->nr; i++)
		for (k = 0; k < s->chain[i].nr; k++)
			see(s, &s->chain[i], &s->chain[i].point[k], health,
			    &damaged);
	judge_age(job, now, health);
	if (damaged)
		health_add(health, HEALTH_WARNING,
			   "%u restore point%s damaged: 'dtrack points' tells why",
			   damaged, damaged > 1 ? "s are" : " is");
	if (health->restorable.point && !health->verified.point)
		health_add(health, HEALTH_WARNING,
			   "no restore point is verified");
}
