/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hooks.h - what a test decides about the kernel below the project's sources.
 *
 * Knows nothing of these sources; subject.h makes them use this.
 */
#ifndef DTK_HOOKS_H
#define DTK_HOOKS_H

#include <linux/gfp.h>
#include <linux/sched.h>
#include <linux/types.h>

/* More than User-mode Linux has, so that sums over CPUs mean something. */
#define DTK_NR_CPUS	4

/**
 * struct dtk_hooks - what the running test has asked for.
 * @fail_now: no allocation succeeds
 * @fail_task: whose allocations may fail: not those of a worker
 * @fail_nth: its n-th allocation from now on fails, 0: none does
 * @fail_all: those after the n-th fail, too
 * @failed: allocations that were refused
 * @gfp: flags of all allocations, together
 * @cpu: the CPU that counts a write, < DTK_NR_CPUS
 * @graces: grace periods that were waited for
 * @events: dm events that were raised
 * @disk_writes: that each disk has counted
 * @in_grace: called once, in the next grace period, before it ends
 * @in_grace_arg: its argument
 */
struct dtk_hooks {
	bool fail_now;
	struct task_struct *fail_task;
	unsigned int fail_nth;
	bool fail_all;
	unsigned int failed;
	gfp_t gfp;
	unsigned int cpu;
	unsigned int graces;
	unsigned int events;
	u64 disk_writes;
	void (*in_grace)(void *arg);
	void *in_grace_arg;
};

extern struct dtk_hooks dtk_hooks;

void dtk_hooks_reset(void);
void dtk_fail_nth(unsigned int n);
void dtk_fail_all(void);
unsigned int dtk_fail_end(void);
bool dtk_fail(gfp_t gfp);
void dtk_synchronize(void);
u64 dtk_seed(void);

#endif
