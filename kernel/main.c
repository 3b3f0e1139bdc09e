// SPDX-License-Identifier: GPL-2.0-only
/*
 * main.c - module init and exit, in mirrored order, nothing else.
 */
#include <linux/module.h>

#include "control.h"
#include "leaf.h"
#include "target.h"

static int __init dirtytrack_init(void)
{
	int r = dtr_leaf_init();

	if (r)
		return r;
	r = dtr_control_init();
	if (r)
		goto err_leaf;
	r = dtr_target_init();
	if (r)
		goto err_control;
	return 0;

err_control:
	dtr_control_exit();
err_leaf:
	dtr_leaf_exit();
	return r;
}

static void __exit dirtytrack_exit(void)
{
	dtr_target_exit();
	dtr_control_exit();
	dtr_leaf_exit();
}

module_init(dirtytrack_init);
module_exit(dirtytrack_exit);

MODULE_DESCRIPTION("Device-mapper target that tracks changed blocks");
MODULE_AUTHOR("The dm-dirtytrack authors");
MODULE_LICENSE("GPL");
