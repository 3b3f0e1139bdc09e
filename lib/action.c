// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * action.c - actions of the kernel's transactions.
 */
#include <string.h>

#include "action.h"

int dtl_action_init(struct dtrack *h, struct dtrack_action *a,
		    unsigned int type, struct dtrack_dev dev,
		    const char *name)
{
	memset(a, 0, sizeof(*a));
	a->type = type;
	a->dev = dev;
	return dtl_name_copy(h, a->name, name);
}

int dtl_transact(struct dtrack *h, struct dtrack_action *actions,
		 unsigned int nr, unsigned int *failed)
{
	struct dtrack_ioc_transaction io = {
		.size = sizeof(io),
		.nr = nr,
		.entry_size = sizeof(*actions),
		.actions = (uintptr_t)actions,
		.out_failed = nr,
	};
	int ret = dtl_ioctl(h, DTRACK_IOC_TRANSACTION, &io);

	*failed = io.out_failed < nr ? io.out_failed : nr;
	return ret;
}
