// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * list.c - dtrack list: the tracked devices.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "output.h"
#include "table.h"
#include "verbs.h"

static const struct column columns[] = {
	{ "NAME", false }, { "TYPE", false }, { "DEVICE", false },
	{ "SIZE", true }, { "DIRTY", true }, { "GRANULARITY", true },
	{ "STATE", false },
};

enum { NAME, TYPE, DEVICE, SIZE, DIRTY, GRANULARITY, STATE };

static void format_dev(struct dtrack_dev dev, char *buf, size_t size)
{
	snprintf(buf, size, "%u:%u", dev.major, dev.minor);
}

/* ---- The tree ----------------------------------------------------------- */

/* What /sys has in a file of a block device, without the newline. */
static bool read_sysfs(struct dtrack_dev dev, const char *entry,
		       const char *prefix, char *buf, size_t size)
{
	size_t len = strlen(prefix);
	bool found = false;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", dev.major,
		 dev.minor, entry);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(buf, (int)size, f))
		found = !strncmp(buf, prefix, len);
	fclose(f);
	if (!found)
		return false;
	memmove(buf, buf + len, strlen(buf + len) + 1);
	buf[strcspn(buf, "\n")] = '\0';
	return true;
}

static void add_lower(struct libscols_table *table,
		      struct libscols_line *parent, struct dtrack_dev lower)
{
	struct libscols_line *row = table_child(table, parent);
	char number[32], buf[256];

	format_dev(lower, number, sizeof(number));
	if (read_sysfs(lower, "dm/name", "", buf, sizeof(buf)) ||
	    read_sysfs(lower, "uevent", "DEVNAME=", buf, sizeof(buf)))
		cell_text(row, NAME, buf);
	else
		cell_text(row, NAME, number);
	cell_text(row, TYPE, "lower");
	cell_text(row, DEVICE, number);
	if (read_sysfs(lower, "size", "", buf, sizeof(buf)))
		cell_size(row, SIZE, strtoull(buf, NULL, 10) * 512);
}

static void add_bitmap(struct libscols_table *table,
		       struct libscols_line *parent,
		       const struct dtrack_bitmap_info *info)
{
	struct libscols_line *row = table_child(table, parent);
	char state[80];

	cell_text(row, NAME, (const char *)info->name);
	cell_text(row, TYPE, "bitmap");
	cell_size(row, SIZE, info->bytes);
	cell_size(row, DIRTY, info->count);
	cell_size(row, GRANULARITY, info->granularity);
	bitmap_state(info, state, sizeof(state));
	cell_text(row, STATE, state);
}

static int add_tree(struct call *call, struct libscols_table *table,
		    struct dtrack_dev dev, const struct dtrack_dev_info *info)
{
	const struct dtrack_bitmap_info *b;
	struct dtrack_bitmaps *list;
	struct libscols_line *row;
	char number[32];
	unsigned int i;
	int ret = dtrack_bitmaps_get(call->h, dev, NULL, &list);

	if (ret < 0)
		return ret;
	row = table_row(table);
	format_dev(dev, number, sizeof(number));
	cell_text(row, NAME, info->name[0] ? info->name : number);
	cell_text(row, TYPE, "tracked");
	cell_text(row, DEVICE, number);
	cell_size(row, SIZE, info->bytes);
	add_lower(table, row, info->lower);
	for (i = 0; (b = dtrack_bitmaps_at(list, i)); i++)
		add_bitmap(table, row, b);
	dtrack_bitmaps_free(list);
	return 0;
}

/* ---- JSON --------------------------------------------------------------- */

static void add_json(struct json_object *array, struct dtrack_dev dev,
		     const struct dtrack_dev_info *info)
{
	struct json_object *o = json_object_new_object();
	char buf[32];

	json_object_object_add(o, "name", dtl_json_string(info->name));
	format_dev(dev, buf, sizeof(buf));
	json_object_object_add(o, "device", dtl_json_string(buf));
	json_object_object_add(o, "size", json_object_new_uint64(info->bytes));
	format_dev(info->lower, buf, sizeof(buf));
	json_object_object_add(o, "lower", dtl_json_string(buf));
	json_object_object_add(o, "lower-start",
			       json_object_new_uint64(info->lower_start));
	json_object_object_add(o, "bitmaps",
			       json_object_new_int64(info->nr_bitmaps));
	json_object_array_add(array, o);
}

/* ---- Both --------------------------------------------------------------- */

static int show_one(struct call *call, struct dtrack_dev dev,
		    struct libscols_table *table, struct json_object *array)
{
	struct dtrack_dev_info info;
	int ret = dtrack_dev_info(call->h, dev, &info, sizeof(info));

	if (!ret && table)
		ret = add_tree(call, table, dev, &info);
	else if (!ret)
		add_json(array, dev, &info);
	/* It went between the list and the look. */
	return ret == -ENODEV && !call->argc ? 0 : ret;
}

static int show(struct call *call, const struct dtrack_dev *devs, int nr)
{
	struct libscols_table *table = NULL;
	struct json_object *array = NULL;
	int i, ret = 0;

	if (call->json) {
		array = json_object_new_array();
	} else {
		table = table_new(columns, ARRAY_SIZE(columns));
		table_tree(table);
	}
	for (i = 0; !ret && i < nr; i++)
		ret = show_one(call, devs[i], table, array);
	if (ret) {
		json_object_put(array);
		table_free(table);
		return failed(call);
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
	.summary = "List the tracked devices, what is below and their bitmaps.",
	.details =
"A tree: a tracked device, below it the device that it lies on (of type lower)\n"
"and its bitmaps in order of creation. SIZE, DIRTY and GRANULARITY are bytes;\n"
"STATE is as in 'bitmap show'. --json has the devices alone.",
};
