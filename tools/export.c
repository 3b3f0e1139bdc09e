// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * export.c - dtrack bitmap export, dtrack bitmap import: a bitmap as a file.
 */
#include "output.h"
#include "verbs.h"

static int run_export(struct call *call)
{
	struct dtrack_dev dev;

	if (dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    dtrack_bitmap_export(call->h, dev, call->argv[1], call->argv[2]))
		return failed(call);
	return done(call);
}

const struct verb verb_bitmap_export = {
	.name = "bitmap export",
	.run = run_export,
	.args = "DEV BITMAP FILE",
	.summary = "Write a bitmap to a file, whole and durably or not at all.",
	.details =
"FILE is replaced if it is a regular file. It has checksums, and says which\n"
"bitmap of which generation it is. Its content is exact when the bitmap is\n"
"frozen or disabled, 'at least' while it records.",
};

static int run_import(struct call *call)
{
	unsigned int flags = call->option[OPT_MERGE].given ?
			     DTRACK_IMPORT_MERGE : 0;
	struct dtrack_dev dev;

	if (dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    dtrack_bitmap_import(call->h, dev, call->argv[1], call->argv[2],
				 flags))
		return failed(call);
	return done(call);
}

static const struct option_spec import_options[] = {
	{ OPT_MERGE, "merge", KIND_FLAG, NULL,
	  "unite with what the bitmap has; any granularity", NULL },
	{ 0 },
};

const struct verb verb_bitmap_import = {
	.name = "bitmap import",
	.run = run_import,
	.args = "DEV BITMAP FILE",
	.summary = "Replace the content of a bitmap by that of an exported one.",
	.details =
"The device must have the size that FILE says, and the bitmap its granularity.\n"
"A file that is cut, longer, damaged or of a newer version is refused; the\n"
"bitmap is then as it was. It keeps its uuid and goes on recording if it did;\n"
"its generation counts up: targets that fitted it do no longer.",
	.options = import_options,
};
