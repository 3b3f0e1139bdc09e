/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check.h - tests in C: a table of functions, a line for each.
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static char check_why[8192];

#define CHECK(cond, ...)						\
	do {								\
		if (!(cond) && !check_why[0]) {				\
			int n_ = snprintf(check_why, sizeof(check_why),	\
					  "%s:%d: ", __FILE__, __LINE__); \
			snprintf(check_why + n_,			\
				 sizeof(check_why) - (size_t)n_,	\
				 __VA_ARGS__);				\
		}							\
	} while (0)

#define CHECK_INT(want, got)						\
	do {								\
		long long want_ = (long long)(want);			\
		long long got_ = (long long)(got);			\
		CHECK(want_ == got_, "%s: expected %lld, got %lld", #got, \
		      want_, got_);					\
	} while (0)

#define CHECK_STR(want, got)						\
	do {								\
		const char *want_ = (want), *got_ = (got);		\
		CHECK(!strcmp(want_, got_),				\
		      "%s: expected '%s', got '%s'", #got, want_, got_); \
	} while (0)

struct check {
	const char *name;
	void (*fn)(void);
};

/* Return: the exit status. */
static inline int run_checks(const struct check *checks)
{
	char *p;
	int failed = 0;

	for (; checks->name; checks++) {
		check_why[0] = '\0';
		checks->fn();
		for (p = check_why; *p; p++)
			if (*p == '\n')
				*p = '|';
		if (check_why[0])
			printf("not ok %s # %s\n", checks->name, check_why);
		else
			printf("ok %s\n", checks->name);
		fflush(stdout);
		failed |= check_why[0] != '\0';
	}
	return failed;
}

#endif
