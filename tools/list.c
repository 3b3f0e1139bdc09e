// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * list.c - dtrack list: the tracked devices.
 */
#include <errno.h>
#include <stdlib.h>

#include "output.h"
#include "table.h"
#include "verbs.h"

static const struct column columns[] = {
	{ "NAME", false }, { "DEVICE", false }, { "SIZE", true },
	{ "LOWER", false }, { "BITMAPS", true },
};

static void format_dev(struct dtrack_dev dev, char *buf, size_t size)
{
	snprintf(buf, size, "%u:%u", dev.major, dev.minor);
}

static void add_row(struct libscols_table *table, struct dtrack_dev dev,
		    const struct dtrack_dev_info *info)
{
	struct libscols_line *row = table_row(table);
	char buf[32];

	cell_text(row, 0, info->name);
	format_dev(dev, buf, sizeof(buf));
	cell_text(row, 1, buf);
	cell_size(row, 2, info->bytes);
	format_dev(info->lower, buf, sizeof(buf));
	cell_text(row, 3, buf);
	cell_number(row, 4, info->nr_bitmaps);
}

static void add_json(struct json_object *array, struct dtrack_dev dev,
		     const struct dtrack_dev_info *info)
{
	struct json_object *o = json_object_new_object();
	char buf[32];

	json_object_object_add(o, "name", json_object_new_string(info->name));
	format_dev(dev, buf, sizeof(buf));
	json_object_object_add(o, "device", json_object_new_string(buf));
	json_object_object_add(o, "size", json_object_new_uint64(info->bytes));
	format_dev(info->lower, buf, sizeof(buf));
	json_object_object_add(o, "lower", json_object_new_string(buf));
	json_object_object_add(o, "lower-start",
			       json_object_new_uint64(info->lower_start));
	json_object_object_add(o, "bitmaps",
			       json_object_new_int64(info->nr_bitmaps));
	json_object_array_add(array, o);
}

static int show(struct call *call, const struct dtrack_dev *devs, int nr)
{
	struct libscols_table *table = NULL;
	struct json_object *array = NULL;
	struct dtrack_dev_info info;
	int i;

	if (call->json)
		array = json_object_new_array();
	else
		table = table_new(columns, ARRAY_SIZE(columns));
	for (i = 0; i < nr; i++) {
		int ret = dtrack_dev_info(call->h, devs[i], &info,
					  sizeof(info));

		/* It went between the list and the look. */
		if (ret == -ENODEV && !call->argc)
			continue;
		if (ret)
			return failed(call);
		if (call->json)
			add_json(array, devs[i], &info);
		else
			add_row(table, devs[i], &info);
	}
	if (call->json)
		print_json(array);
	else
		table_print(table);
	return EXIT_DONE;
}

static int run(struct call *call)
{
	struct dtrack_dev one, *devs = NULL;
	int nr, ret;

	if (call->argc) {
		if (dtrack_dev_find(call->h, call->argv[0], &one))
			return failed(call);
		return show(call, &one, 1);
	}
	nr = dtrack_dev_list(call->h, &devs);
	if (nr < 0)
		return failed(call);
	ret = show(call, devs, nr);
	free(devs);
	return ret;
}

const struct verb verb_list = {
	.name = "list",
	.run = run,
	.args = "[DEV]",
	.summary = "List the tracked devices.",
};
