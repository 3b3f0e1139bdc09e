// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * remove.c - dtrack remove: take a tracker away.
 */
#include "output.h"
#include "verbs.h"

static int run(struct call *call)
{
	struct dtrack_dev dev;

	if (dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    dtrack_dev_remove(call->h, dev))
		return failed(call);
	return done(call);
}

const struct verb verb_remove = {
	.name = "remove",
	.run = run,
	.args = "NAME",
	.summary = "Remove a tracked device and its bitmaps; the data stays.",
	.details = "Refused while a bitmap is frozen or the device is open.",
};
