/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * random.h - chance that SEED=N repeats.
 */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed, state;

/* 0 .. @n - 1 */
static inline uint64_t chance(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

/* Of the environment, or a new one; it is printed. */
static inline void take_seed(void)
{
	const char *given = getenv("SEED");
	struct timespec ts;

	timespec_get(&ts, TIME_UTC);
	seed = given ? strtoull(given, NULL, 0) :
		       (uint64_t)ts.tv_nsec << 20 | (uint64_t)getpid();
	state = seed ? seed : 1;
	printf("SEED=%" PRIu64 "\n", seed);
}

#endif
