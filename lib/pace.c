// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pace.c - not more than so many bytes a second.
 */
#include "pace.h"

/*
 * How long bytes are saved up while they cannot be spent: a hiccup of device or
 * machine is made up for, a slow device is not followed by a rush.
 */
#define MEMORY_SECONDS	1.0

void dtl_pace_begin(struct dtl_pace *p, uint64_t speed, double now)
{
	p->speed = (double)speed;
	p->saved = 0;
	p->at = now;
}

double dtl_pace_spend(struct dtl_pace *p, uint64_t bytes, double now)
{
	double most = p->speed * MEMORY_SECONDS;

	if (p->speed <= 0)
		return 0;
	if (most < (double)bytes)
		most = (double)bytes;
	p->saved += (now - p->at) * p->speed;
	p->at = now;
	if (p->saved > most)
		p->saved = most;
	/* What is less than a byte comes from rounding. */
	if (p->saved + 0.5 < (double)bytes)
		return ((double)bytes - p->saved) / p->speed;
	p->saved -= (double)bytes;
	return 0;
}
