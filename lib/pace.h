/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pace.h - not more than so many bytes a second.
 *
 * Bytes are saved up while time passes, and spent before they are asked for:
 * N bytes take N / speed seconds, short copies and the first request included.
 */
#ifndef DTL_PACE_H
#define DTL_PACE_H

#include <stdint.h>

/**
 * struct dtl_pace - a pace.
 * @speed: bytes a second, 0 for no limit
 * @saved: bytes that may be spent
 * @at: when that was so, by dtl_now()
 */
struct dtl_pace {
	double speed;
	double saved;
	double at;
};

/** dtl_pace_begin() - begin, or go on after a break, with nothing saved. */
void dtl_pace_begin(struct dtl_pace *p, uint64_t speed, double now);

/**
 * dtl_pace_spend() - spend bytes, if they are there.
 * @p: the pace
 * @bytes: how many
 * @now: dtl_now()
 *
 * Return: 0 when they are spent, or the seconds until they are there.
 */
double dtl_pace_spend(struct dtl_pace *p, uint64_t bytes, double now);

#endif
