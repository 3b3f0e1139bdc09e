// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * create.c - dtrack create: put a tracker over a block device.
 */
#include "output.h"
#include "verbs.h"

static int run(struct call *call)
{
	if (call->option[OPT_METADATA].given)
		return failed_with(call, "GenericError",
				   "metadata devices are not supported yet");
	if (dtrack_dev_create(call->h, call->argv[0], call->argv[1]))
		return failed(call);
	return done(call);
}

static const struct option_spec options[] = {
	{ OPT_METADATA, "metadata", KIND_TEXT, "DEV",
	  "keep persistent bitmaps on DEV (not supported yet)", NULL },
	{ 0 },
};

const struct verb verb_create = {
	.name = "create",
	.run = run,
	.args = "NAME DEVICE",
	.summary = "Make /dev/mapper/NAME, which is all of DEVICE, tracked.",
	.details =
"DEVICE must be neither mounted nor held by anything. From then on it is\n"
"/dev/mapper/NAME that is to be mounted and written: writes that go to DEVICE\n"
"directly are not seen. Bitmaps are in memory and end with 'dtrack remove' or\n"
"with the system; after that a full backup is due.",
	.options = options,
};
