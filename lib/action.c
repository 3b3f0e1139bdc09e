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

/* ---- Words -------------------------------------------------------------- */

static int merge_error(struct dtrack *h, const struct dtrack_action *a,
		       const struct dtl_forecast *f, int err)
{
	struct dtrack_ioc_merge io = {
		.dev = a->dev,
		.nr = a->nr,
		.sources = a->sources,
	};

	memcpy(io.name, a->name, sizeof(io.name));
	return dtl_merge_error(h, &io, f, err);
}

int dtl_freeze_error(struct dtrack *h, struct dtrack_dev dev, const char *name,
		     int err)
{
	if (err != -ESTALE)
		return dtl_bitmap_error(h, dev, name, err);
	return dtl_fail(h, -EAGAIN, NULL,
			"Bitmap '%s' changed while the run began", name);
}

int dtl_action_error(struct dtrack *h, const struct dtrack_action *a,
		     const struct dtl_forecast *f, int err)
{
	const char *name = (const char *)a->name;

	switch (a->type) {
	case DTRACK_ACTION_ABORT:
		return dtl_fail(h, err, NULL,
				"Transaction aborted using Abort action");
	case DTRACK_ACTION_ADD:
		return dtl_add_error(h, a->dev, name, a->granularity, err);
	case DTRACK_ACTION_MERGE:
		return merge_error(h, a, f, err);
	case DTRACK_ACTION_FREEZE:
		return dtl_freeze_error(h, a->dev, name, err);
	case DTRACK_ACTION_ABDICATE:
	case DTRACK_ACTION_RECLAIM:
		return dtl_end_error(h, a->dev, name,
				     a->type == DTRACK_ACTION_ABDICATE, err);
	default:
		return dtl_bitmap_error(h, a->dev, name, err);
	}
}
