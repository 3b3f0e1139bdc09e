// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bitmap.c - dtrack bitmap: the verbs that change a bitmap.
 */
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "verbs.h"

typedef int (*change_fn)(struct dtrack *h, struct dtrack_dev dev,
			 const char *name);

static int change(struct call *call, change_fn fn)
{
	struct dtrack_dev dev;

	if (dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    fn(call->h, dev, call->argv[1]))
		return failed(call);
	return done(call);
}

/* ---- add ---------------------------------------------------------------- */

static int run_add(struct call *call)
{
	const struct option_value *granularity = &call->option[OPT_GRANULARITY];
	unsigned int flags = 0;
	struct dtrack_dev dev;

	if (call->option[OPT_DISABLED].given)
		flags |= DTRACK_ADD_DISABLED;
	if (call->option[OPT_PERSISTENT].given)
		flags |= DTRACK_ADD_PERSISTENT;
	if (dtrack_dev_find(call->h, call->argv[0], &dev))
		return failed(call);
	/* To the library 0 is the default. */
	if (granularity->given && !granularity->number)
		return failed_with(call, "GenericError",
				   "Granularity must be power of 2 and at least 512");
	if (dtrack_bitmap_add(call->h, dev, call->argv[1], granularity->number,
			      flags))
		return failed(call);
	return done(call);
}

static const struct option_spec add_options[] = {
	{ OPT_GRANULARITY, "granularity", KIND_SIZE, "SIZE",
	  "a power of two from 512 to 2G (default 64K)", NULL },
	{ OPT_DISABLED, "disabled", KIND_FLAG, NULL,
	  "do not record until 'bitmap enable'", NULL },
	{ OPT_PERSISTENT, "persistent", KIND_FLAG, NULL,
	  "keep it over reboots; needs a metadata device", NULL },
	{ 0 },
};

const struct verb verb_bitmap_add = {
	.name = "bitmap add",
	.run = run_add,
	.args = "DEV BITMAP",
	.summary = "Add a clean bitmap that records what is written from now on.",
	.details =
"A name has 1 to 1023 bytes of UTF-8, no control characters, blanks and none\n"
"of \" \\ : /.",
	.options = add_options,
};

/* ---- remove, clear, enable, disable ------------------------------------- */

static int run_remove(struct call *call)
{
	return change(call, dtrack_bitmap_remove);
}

const struct verb verb_bitmap_remove = {
	.name = "bitmap remove",
	.run = run_remove,
	.args = "DEV BITMAP",
	.summary = "Remove a bitmap that is not frozen.",
};

static int run_clear(struct call *call)
{
	return change(call, dtrack_bitmap_clear);
}

const struct verb verb_bitmap_clear = {
	.name = "bitmap clear",
	.run = run_clear,
	.args = "DEV BITMAP",
	.summary = "Forget what a bitmap has recorded.",
	.details =
"The bitmap's generation counts up: targets that fitted it do no longer.",
};

static int run_enable(struct call *call)
{
	return change(call, dtrack_bitmap_enable);
}

const struct verb verb_bitmap_enable = {
	.name = "bitmap enable",
	.run = run_enable,
	.args = "DEV BITMAP",
	.summary = "Let a bitmap record.",
};

static int run_disable(struct call *call)
{
	return change(call, dtrack_bitmap_disable);
}

const struct verb verb_bitmap_disable = {
	.name = "bitmap disable",
	.run = run_disable,
	.args = "DEV BITMAP",
	.summary = "Stop a bitmap from recording; it keeps what it has.",
};

/* ---- merge -------------------------------------------------------------- */

/* BITMAP or OTHERDEV:BITMAP; a bitmap's name has no ':', a path may. */
static int parse_source(struct call *call, struct dtrack_dev dev, char *text,
			struct dtrack_source *source)
{
	char *colon = strrchr(text, ':');

	if (colon) {
		*colon = '\0';
		if (dtrack_dev_find(call->h, text, &dev))
			return -1;
		text = colon + 1;
	}
	return dtrack_source_init(call->h, source, dev, text);
}

static int merge(struct call *call, struct dtrack_source *sources,
		 unsigned int nr)
{
	struct dtrack_dev dev;
	unsigned int i;

	if (dtrack_dev_find(call->h, call->argv[0], &dev))
		return failed(call);
	for (i = 0; i < nr; i++)
		if (parse_source(call, dev, call->argv[2 + i], &sources[i]))
			return failed(call);
	if (dtrack_bitmap_merge(call->h, dev, call->argv[1], sources, nr))
		return failed(call);
	return done(call);
}

static int run_merge(struct call *call)
{
	unsigned int nr = (unsigned int)call->argc - 2;
	struct dtrack_source *sources = calloc(nr + 1, sizeof(*sources));
	int ret;

	if (!sources)
		return failed_with(call, "GenericError", "no memory");
	ret = merge(call, sources, nr);
	free(sources);
	return ret;
}

const struct verb verb_bitmap_merge = {
	.name = "bitmap merge",
	.run = run_merge,
	.args = "DEV TARGET [SOURCE...]",
	.summary = "Unite bitmaps into TARGET: all of the sources, or none.",
	.details =
"SOURCE is a bitmap of DEV, or OTHERDEV:BITMAP of a device of the same size.\n"
"Granularities may differ. Without a source nothing happens.",
};

/* ---- freeze, abdicate, reclaim ------------------------------------------ */

static int run_freeze(struct call *call)
{
	struct dtrack_freeze f = {
		.mode = DTRACK_MODE_CONDITIONAL,
		.set = DTRACK_SET_BITMAP,
		.flags = DTRACK_FREEZE_NO_OWNER,
	};
	struct dtrack_dev dev;

	if (dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    dtrack_bitmap_freeze(call->h, dev, call->argv[1], &f))
		return failed(call);
	return done(call);
}

const struct verb verb_bitmap_freeze = {
	.name = "bitmap freeze",
	.run = run_freeze,
	.args = "DEV BITMAP",
	.summary = "Make a bitmap immutable; a successor records from now on.",
	.details =
"The freeze has no owner and stays until 'bitmap abdicate' (what was copied is\n"
"safe: the successor takes the name) or 'bitmap reclaim' (it is not: both are\n"
"united). For scripts that copy by themselves.",
};

static int run_abdicate(struct call *call)
{
	struct dtrack_dev dev;

	if (dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    dtrack_bitmap_abdicate(call->h, dev, call->argv[1], 0, NULL))
		return failed(call);
	return done(call);
}

const struct verb verb_bitmap_abdicate = {
	.name = "bitmap abdicate",
	.run = run_abdicate,
	.args = "DEV BITMAP",
	.summary = "End a freeze: the successor takes the bitmap's name.",
};

static int run_reclaim(struct call *call)
{
	unsigned int flags = call->option[OPT_FORCE].given ?
			     DTRACK_END_FORCE : 0;
	struct dtrack_dev dev;

	if (dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    dtrack_bitmap_reclaim(call->h, dev, call->argv[1], 0, flags, NULL))
		return failed(call);
	return done(call);
}

static const struct option_spec reclaim_options[] = {
	{ OPT_FORCE, "force", KIND_FLAG, NULL,
	  "also from a run that owns the freeze; it fails then", NULL },
	{ 0 },
};

const struct verb verb_bitmap_reclaim = {
	.name = "bitmap reclaim",
	.run = run_reclaim,
	.args = "DEV BITMAP",
	.summary = "End a freeze: the successor is merged back.",
	.options = reclaim_options,
};
