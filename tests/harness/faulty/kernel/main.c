// SPDX-License-Identifier: GPL-2.0-only
/*
 * main.c - a module with one fault of each kind, committed on command.
 *
 * `echo KIND >/sys/module/dm_dirtytrack/parameters/fault` commits one; what
 * happens then is for the kernel's own checks to say, and for tests/vm/run to
 * notice. 'none' is the counter-check.
 */

#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static DEFINE_MUTEX(one);
static DEFINE_MUTEX(other);
static DEFINE_SPINLOCK(spin);

/* More than one: a stale pointer on some stack hides the last */
static noinline void dtr_leak(void)
{
	int i;

	for (i = 0; i < 8; i++) {
		void *lost = kmalloc(100, GFP_KERNEL);

		OPTIMIZER_HIDE_VAR(lost);
	}
}

static void lock_in_both_orders(void)
{
	mutex_lock(&one);
	mutex_lock(&other);
	mutex_unlock(&other);
	mutex_unlock(&one);

	mutex_lock(&other);
	mutex_lock(&one);
	mutex_unlock(&one);
	mutex_unlock(&other);
}

static void sleep_under_a_spinlock(void)
{
	spin_lock(&spin);
	kfree(kmalloc(100, GFP_KERNEL));
	spin_unlock(&spin);
}

static void use_after_free(void)
{
	char *gone = kmalloc(100, GFP_KERNEL);

	if (!gone)
		return;
	kfree(gone);
	OPTIMIZER_HIDE_VAR(gone);
	WRITE_ONCE(gone[5], 1);
}

static void shift_too_far(void)
{
	int by = 64;
	unsigned long result;

	OPTIMIZER_HIDE_VAR(by);
	result = 1UL << by;
	OPTIMIZER_HIDE_VAR(result);
}

static int fault_set(const char *value, const struct kernel_param *param)
{
	if (sysfs_streq(value, "leak"))
		dtr_leak();
	else if (sysfs_streq(value, "order"))
		lock_in_both_orders();
	else if (sysfs_streq(value, "sleep"))
		sleep_under_a_spinlock();
	else if (sysfs_streq(value, "use-after-free"))
		use_after_free();
	else if (sysfs_streq(value, "shift"))
		shift_too_far();
	else if (sysfs_streq(value, "warn"))
		WARN_ON(1);
	else if (!sysfs_streq(value, "none"))
		return -EINVAL;
	return 0;
}

static const struct kernel_param_ops fault_ops = { .set = fault_set };
module_param_cb(fault, &fault_ops, NULL, 0200);
MODULE_PARM_DESC(fault, "fault to commit now");

static int __init faulty_init(void)
{
	return 0;
}
module_init(faulty_init);

static void __exit faulty_exit(void)
{
}
module_exit(faulty_exit);

MODULE_DESCRIPTION("faults that the test harness must notice");
MODULE_LICENSE("GPL");
