// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * map.c - dtrack map: where on a device the dirt is.
 */
#include <inttypes.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "heat.h"
#include "output.h"
#include "verbs.h"

/* Without a terminal. */
#define DEFAULT_WIDTH	80
#define MAX_WIDTH	4096
/* Cells of the picture. */
#define SVG_COLUMNS	64
#define SVG_CELLS	(SVG_COLUMNS * 32)

static const struct option_spec options[] = {
	{ OPT_SVG, "svg", KIND_TEXT, "FILE", "write a picture, too", NULL },
	{ OPT_WIDTH, "width", KIND_NUMBER, "N",
	  "cells, instead of the terminal's width or 80", NULL },
	{ 0 },
};

/* ---- Cells -------------------------------------------------------------- */

static bool heat_new(struct heat *heat, uint64_t size, unsigned int nr)
{
	*heat = (struct heat){ .size = size, .nr = nr };
	heat->dirty = calloc(nr, sizeof(*heat->dirty));
	return heat->dirty;
}

/* One reading for both, so that they show the same. */
static int read_extents(struct call *call, struct dtrack_dev dev,
			const struct dtrack_bitmap_info *info,
			struct heat *strip, struct heat *picture)
{
	struct dtrack_extents *ext;
	struct dtrack_range r;
	int ret;

	ret = dtrack_extents_open(call->h, dev, (const char *)info->name, 0,
				  info->generation, &ext);
	if (ret)
		return ret;
	while ((ret = dtrack_extents_next(ext, &r)) > 0) {
		heat_add(strip, r.start, r.length);
		heat_add(picture, r.start, r.length);
	}
	dtrack_extents_close(ext);
	return ret;
}

/* ---- What is shown ------------------------------------------------------ */

static unsigned int width(const struct call *call)
{
	struct winsize ws;

	if (call->option[OPT_WIDTH].given)
		return (unsigned int)call->option[OPT_WIDTH].number;
	/* Two columns are the strip's ends. */
	if (isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) &&
	    ws.ws_col > 2)
		return ws.ws_col - 2U;
	return DEFAULT_WIDTH - 2;
}

static void format_title(const struct call *call, const struct heat *heat,
			 char *buf, size_t size)
{
	char dirty[HUMAN_LEN], all[HUMAN_LEN];

	snprintf(buf, size, "%s:%s: %s of %s dirty (%.1f %%)", call->argv[0],
		 call->argv[1], human_size(heat->total, dirty),
		 human_size(heat->size, all),
		 100 * (double)heat->total / (double)heat->size);
}

static void print_strip(const struct call *call, const struct heat *heat)
{
	static const char *const blocks[] = {
		"\u00b7", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585",
		"\u2586", "\u2587", "\u2588",
	};
	static const char *const letters[] = {
		".", "1", "2", "3", "4", "5", "6", "7", "#",
	};
	bool utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	char title[4096], cell[HUMAN_LEN];
	unsigned int i;

	format_title(call, heat, title, sizeof(title));
	print_clean(title);
	putchar('[');
	for (i = 0; i < heat->nr; i++)
		fputs((utf8 ? blocks : letters)[heat_level(heat, i,
							   ARRAY_SIZE(blocks))],
		      stdout);
	printf("]\n%s a cell\n", human_size(heat->size / heat->nr, cell));
}

static void print_document(const struct dtrack_bitmap_info *info,
			   const struct heat *heat)
{
	struct json_object *o = json_object_new_object();
	struct json_object *cells = json_object_new_array();
	unsigned int i;

	for (i = 0; i < heat->nr; i++)
		json_object_array_add(cells, json_object_new_uint64(
						     heat->dirty[i]));
	json_object_object_add(o, "name", text_json((const char *)info->name));
	json_object_object_add(o, "size", json_object_new_uint64(heat->size));
	json_object_object_add(o, "dirty",
			       json_object_new_uint64(heat->total));
	json_object_object_add(o, "cells", cells);
	print_json(o);
}

static int write_svg(const struct call *call, const struct heat *picture)
{
	const char *path = call->option[OPT_SVG].text;
	char title[4096], why[4200];
	int ret;

	format_title(call, picture, title, sizeof(title));
	ret = heat_svg(picture, SVG_COLUMNS, title, path);
	if (!ret)
		return EXIT_DONE;
	snprintf(why, sizeof(why), "Could not write '%s': %s", path,
		 strerror(-ret));
	return failed_with(call, "GenericError", why);
}

static int show(struct call *call, const struct dtrack_bitmap_info *info,
		const struct heat *strip, const struct heat *picture)
{
	if (call->option[OPT_SVG].given && write_svg(call, picture))
		return EXIT_FAILED;
	if (call->json)
		print_document(info, strip);
	else
		print_strip(call, strip);
	return EXIT_DONE;
}

/* ---- The verb ----------------------------------------------------------- */

static int map(struct call *call, struct dtrack_dev dev,
	       const struct dtrack_bitmap_info *info)
{
	struct heat strip = { 0 }, picture = { 0 };
	int ret;

	if (!heat_new(&strip, info->bytes, width(call)) ||
	    !heat_new(&picture, info->bytes, SVG_CELLS))
		ret = failed_with(call, "GenericError", strerror(ENOMEM));
	else if (read_extents(call, dev, info, &strip, &picture))
		ret = failed(call);
	else
		ret = show(call, info, &strip, &picture);
	free(strip.dirty);
	free(picture.dirty);
	return ret;
}

static int run(struct call *call)
{
	struct dtrack_bitmaps *list;
	struct dtrack_dev dev;
	int ret;

	if (width(call) > MAX_WIDTH)
		return usage_error(call, "--width: at most %d", MAX_WIDTH);
	if (dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    dtrack_bitmaps_get(call->h, dev, call->argv[1], &list) < 0)
		return failed(call);
	ret = map(call, dev, dtrack_bitmaps_at(list, 0));
	dtrack_bitmaps_free(list);
	return ret;
}

const struct verb verb_map = {
	.name = "map",
	.run = run,
	.args = "DEV BITMAP",
	.summary = "Show where on a device the dirty bytes of a bitmap are.",
	.details =
"The device is cut into cells of the same size. In the strip '.' is a cell that\n"
"is all clean, '1' to '7' one that is dirty in part, '#' one that is all dirty;\n"
"where the terminal has UTF-8, blocks that grow. With --json the dirty bytes of\n"
"each cell, which add up to 'dirty'. The picture of --svg has 2048 cells.",
	.options = options,
};
