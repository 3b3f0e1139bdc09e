// SPDX-License-Identifier: GPL-2.0-only
/*
 * core_kunit.c - the cases of the bitmap core, in a kernel.
 *
 * They are the native ones, tests/unit/core_cases.h: here they run against the
 * kernel's side of core/port.h.  Random comparisons with naive bitmaps, other
 * word sizes and leaf sizes are left to tests/unit and tests/model.
 */
#include "fixture.h"

/* What the cases are written with. */
#define DTR_PORT_FAIL
#define core_test	kunit
#define core_fail_roots	dtk_hooks.fail_now

#define CORE_TRUE(t, cond)						\
do {									\
	if (!(cond)) {							\
		KUNIT_FAIL(t, "%s", #cond);				\
		return;							\
	}								\
} while (0)

#define CORE_EQ(t, a, b)						\
do {									\
	long long __a = (long long)(a);					\
	long long __b = (long long)(b);					\
									\
	if (__a != __b) {						\
		KUNIT_EXPECT_EQ(t, __a, __b);				\
		return;							\
	}								\
} while (0)

#include "core_cases.h"

#define CORE_CASE(fn)	KUNIT_CASE(fn),

static struct kunit_case core_cases[] = {
	CORE_CASES(CORE_CASE)
	{ }
};

struct kunit_suite dtk_core_suite = {
	.name = "dirtytrack-core",
	.init = dtk_case_init,
	.exit = dtk_case_exit,
	.test_cases = core_cases,
};
