// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * core.c - the native runner of core_cases.h.
 *
 * Usage: core [PREFIX]: a line for each case, 'ok PREFIX/NAME' or 'not ok
 * PREFIX/NAME # why'; exit status 1 if any failed.
 */
#include <stdio.h>

#include "port.h"

struct core_test {
	char why[200];
};

/* What dtr_port_fail() says: whether roots are refused. */
static bool core_fail_roots;

bool dtr_port_fail(void)
{
	return core_fail_roots;
}

#define CORE_TRUE(t, cond)						\
do {									\
	if (!(cond)) {							\
		snprintf((t)->why, sizeof((t)->why), "line %d: %s",	\
			 __LINE__, #cond);				\
		return;							\
	}								\
} while (0)

#define CORE_EQ(t, a, b)						\
do {									\
	long long __a = (long long)(a);					\
	long long __b = (long long)(b);					\
									\
	if (__a != __b) {						\
		snprintf((t)->why, sizeof((t)->why),			\
			 "line %d: %s is %lld (0x%llx), not %lld",	\
			 __LINE__, #a, __a, __a, __b);			\
		return;							\
	}								\
} while (0)

#include "core_cases.h"

#define CORE_CASE(fn)	{ #fn, fn },

static const struct {
	const char *name;
	void (*run)(struct core_test *t);
} cases[] = { CORE_CASES(CORE_CASE) };

int main(int argc, char **argv)
{
	const char *prefix = argc > 1 ? argv[1] : "core";
	unsigned int i;
	int failed = 0;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct core_test t = { "" };

		cases[i].run(&t);
		core_fail_roots = false;
		if (t.why[0])
			printf("not ok %s/%s # %s\n", prefix, cases[i].name,
			       t.why);
		else
			printf("ok %s/%s\n", prefix, cases[i].name);
		fflush(stdout);
		failed |= !!t.why[0];
	}
	return failed;
}
