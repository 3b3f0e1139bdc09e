// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * extents.c - dtrack bitmap extents: the dirty byte ranges.
 *
 * Lines are printed as they come: a bitmap may have more extents than memory
 * has room.  A JSON document is whole or not at all, so it waits in a file
 * until the last extent is there.
 */
#include <inttypes.h>
#include <string.h>

#include "output.h"
#include "verbs.h"

static void print_lines(struct dtrack_extents *ext, int *ret)
{
	struct dtrack_range r;

	while ((*ret = dtrack_extents_next(ext, &r)) > 0)
		printf("%" PRIu64 " %" PRIu64 "\n", (uint64_t)r.start,
		       (uint64_t)r.length);
}

static void write_json(struct dtrack_extents *ext, FILE *f, int *ret)
{
	const char *before = "[";
	struct dtrack_range r;

	for (; (*ret = dtrack_extents_next(ext, &r)) > 0; before = ",")
		fprintf(f, "%s\n  {\"start\": %" PRIu64 ", \"length\": %" PRIu64 "}",
			before, (uint64_t)r.start, (uint64_t)r.length);
	fprintf(f, "%s]\n", *before == '[' ? before : "\n");
}

static int print_json_extents(struct call *call, struct dtrack_extents *ext)
{
	FILE *f = tmpfile();
	bool out;
	int ret;

	if (!f)
		return failed_with(call, "GenericError", strerror(errno));
	write_json(ext, f, &ret);
	out = ret || print_file(f);
	fclose(f);
	if (ret)
		return failed(call);
	if (!out)
		return failed_with(call, "GenericError",
				   "could not buffer the result");
	return EXIT_DONE;
}

static int run(struct call *call)
{
	struct dtrack_extents *ext;
	struct dtrack_dev dev;
	int ret;

	if (dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    dtrack_extents_open(call->h, dev, call->argv[1], 0, 0, &ext))
		return failed(call);
	if (call->json) {
		ret = print_json_extents(call, ext);
	} else {
		print_lines(ext, &ret);
		ret = ret ? failed(call) : EXIT_DONE;
	}
	dtrack_extents_close(ext);
	return ret;
}

const struct verb verb_bitmap_extents = {
	.name = "bitmap extents",
	.run = run,
	.args = "DEV BITMAP",
	.summary = "Print the dirty ranges, 'START LENGTH' in bytes, one a line.",
	.details =
"Sorted, merged, cut at the end of the device. Exact when the bitmap is frozen\n"
"or disabled, 'at least' while it records. When it is cleared meanwhile the\n"
"output ends early and the exit status is 1.",
};
