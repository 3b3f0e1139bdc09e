// SPDX-License-Identifier: GPL-2.0-only
/*
 * hooks.c - what a test decides about the kernel below the project's sources.
 */
#include <linux/module.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "hooks.h"

struct dtk_hooks dtk_hooks;

static ulong seed;
module_param(seed, ulong, 0444);
MODULE_PARM_DESC(seed, "What random tests begin with (0: something new)");

/* Everything as the kernel does it. */
void dtk_hooks_reset(void)
{
	memset(&dtk_hooks, 0, sizeof(dtk_hooks));
}

/* The caller's @n-th allocation from now on fails, and no other. */
void dtk_fail_nth(unsigned int n)
{
	dtk_hooks.fail_task = current;
	dtk_hooks.fail_all = false;
	dtk_hooks.failed = 0;
	dtk_hooks.fail_nth = n;
}

/* No more failures; returns how many there have been. */
unsigned int dtk_fail_end(void)
{
	dtk_hooks.fail_nth = 0;
	return dtk_hooks.failed;
}

/* There is no memory for the caller until dtk_fail_end(). */
void dtk_fail_all(void)
{
	dtk_fail_nth(1);
	dtk_hooks.fail_all = true;
}

/* Whether this allocation fails. */
bool dtk_fail(gfp_t gfp)
{
	dtk_hooks.gfp |= gfp;
	if (dtk_hooks.fail_now)
		return true;
	if (!dtk_hooks.fail_nth || dtk_hooks.fail_task != current)
		return false;
	if (dtk_hooks.fail_nth > 1) {
		dtk_hooks.fail_nth--;
		return false;
	}
	if (!dtk_hooks.fail_all)
		dtk_hooks.fail_nth = 0;
	dtk_hooks.failed++;
	return true;
}

/* A grace period, in which something may happen. */
void dtk_synchronize(void)
{
	void (*in_grace)(void *arg) = dtk_hooks.in_grace;

	dtk_hooks.graces++;
	dtk_hooks.in_grace = NULL;
	if (in_grace)
		in_grace(dtk_hooks.in_grace_arg);
	synchronize_rcu_expedited();
}

/* For a random test, which has to print it. */
u64 dtk_seed(void)
{
	return seed ? seed : get_random_u32();
}
