/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * health.h - whether a job's history is as its configuration wants it.
 */
#ifndef DTRACK_HEALTH_H
#define DTRACK_HEALTH_H

#include "point-state.h"

#define HEALTH_REASONS		16
#define HEALTH_REASON_LEN	1280

/* The greater one is the worse one. */
enum health_state {
	HEALTH_OK,
	HEALTH_WARNING,
	HEALTH_FAILED,
};

/**
 * struct health_point - a restore point.
 * @chain: its chain; NULL: there is none
 * @point: it
 * @time: when it was begun, seconds since 1970
 * @verdict: what is known of it
 */
struct health_point {
	const struct chain *chain;
	const struct point *point;
	int64_t time;
	struct point_verdict verdict;
};

/**
 * struct health - how it is with a job.
 * @state: enum health_state
 * @restorable: the newest restore point that is not damaged
 * @verified: the newest that is verified
 * @nr: number of reasons, those beyond the last slot left out
 * @reason: why it is not well, one line each
 */
struct health {
	enum health_state state;
	struct health_point restorable;
	struct health_point verified;
	unsigned int nr;
	char reason[HEALTH_REASONS][HEALTH_REASON_LEN];
};

/**
 * health_look() - look at a job's history.
 * @s: scanned; borrowed
 * @job: what it should be
 * @now: seconds since 1970
 * @health: result
 *
 * Failed: no restore point is as new as 'max-age' wants it and not damaged.  A
 * warning: some are damaged, or none was verified.
 */
void health_look(const struct store *s, const struct config *job, int64_t now,
		 struct health *health);

/**
 * health_add() - another reason.
 * @health: looked
 * @state: how bad it is
 * @fmt: the words
 */
void health_add(struct health *health, enum health_state state,
		const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** health_word() - "ok", "warning" or "failed". */
const char *health_word(enum health_state state);

#endif
