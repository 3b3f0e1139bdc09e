// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * show.c - dtrack bitmap show.
 */
#include <string.h>
#include <time.h>

#include "json.h"
#include "output.h"
#include "table.h"
#include "verbs.h"

static const struct column columns[] = {
	{ "NAME", false }, { "GRANULARITY", true }, { "COUNT", true },
	{ "STATE", false }, { "GENERATION", true }, { "OWNER", false },
	{ "UUID", false },
};

static struct json_object *owner_json(const struct dtrack_bitmap_info *info)
{
	time_t since = (time_t)info->owner_since;
	struct json_object *o;
	struct tm tm;
	char text[32];

	if (!(info->flags & DTRACK_BITMAP_OWNED))
		return NULL;
	o = json_object_new_object();
	json_object_object_add(o, "pid",
			       json_object_new_int64(info->owner_pid));
	json_object_object_add(o, "comm", dtl_json_string(
			       (const char *)info->owner_comm));
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ",
		 gmtime_r(&since, &tm));
	json_object_object_add(o, "since", dtl_json_string(text));
	return o;
}

static void add_flag(struct json_object *o, const char *key,
		     const struct dtrack_bitmap_info *info, unsigned int flag)
{
	json_object_object_add(o, key,
			       json_object_new_boolean(info->flags & flag));
}

static void add_number(struct json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_uint64(n));
}

struct json_object *bitmap_json(const struct dtrack_bitmap_info *info)
{
	struct json_object *o = json_object_new_object();
	char uuid[DTRACK_UUID_TEXT];

	dtrack_uuid_format(info->uuid, uuid);
	json_object_object_add(o, "name", dtl_json_string(
			       (const char *)info->name));
	add_number(o, "granularity", info->granularity);
	add_number(o, "count", info->count);
	add_flag(o, "recording", info, DTRACK_BITMAP_RECORDING);
	add_flag(o, "busy", info, DTRACK_BITMAP_BUSY);
	add_flag(o, "persistent", info, DTRACK_BITMAP_PERSISTENT);
	add_flag(o, "inconsistent", info, DTRACK_BITMAP_INCONSISTENT);
	add_number(o, "size", info->bytes);
	json_object_object_add(o, "uuid", dtl_json_string(uuid));
	add_number(o, "generation", info->generation);
	add_number(o, "full-leaves", info->full_leaves);
	json_object_object_add(o, "owner", owner_json(info));
	add_number(o, "successor-count", info->successor_count);
	return o;
}

struct json_object *bitmap_after(struct call *call, struct dtrack_dev dev,
				 const char *name)
{
	struct json_object *o = NULL;
	struct dtrack_bitmaps *list;

	if (name && dtrack_bitmaps_get(call->h, dev, name, &list) >= 0) {
		o = bitmap_json(dtrack_bitmaps_at(list, 0));
		dtrack_bitmaps_free(list);
	}
	return o;
}

void bitmap_state(const struct dtrack_bitmap_info *info, char *buf,
		  size_t size)
{
	static const struct {
		unsigned int flag;
		const char *word;
	} words[] = {
		{ DTRACK_BITMAP_RECORDING, "recording" },
		{ DTRACK_BITMAP_BUSY, "busy" },
		{ DTRACK_BITMAP_PERSISTENT, "persistent" },
		{ DTRACK_BITMAP_INCONSISTENT, "inconsistent" },
		{ DTRACK_BITMAP_READONLY, "readonly" },
	};
	size_t i;

	buf[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (info->flags & words[i].flag)
			snprintf(buf + strlen(buf), size - strlen(buf), "%s%s",
				 buf[0] ? "," : "", words[i].word);
	if (!buf[0])
		snprintf(buf, size, "disabled");
}

static void add_row(struct libscols_table *table,
		    const struct dtrack_bitmap_info *info)
{
	struct libscols_line *row = table_row(table);
	char text[80];

	cell_text(row, 0, (const char *)info->name);
	cell_size(row, 1, info->granularity);
	cell_size(row, 2, info->count);
	bitmap_state(info, text, sizeof(text));
	cell_text(row, 3, text);
	cell_number(row, 4, info->generation);
	if (info->flags & DTRACK_BITMAP_OWNED) {
		snprintf(text, sizeof(text), "%s (%u)", info->owner_comm,
			 info->owner_pid);
		cell_text(row, 5, text);
	}
	dtrack_uuid_format(info->uuid, text);
	cell_text(row, 6, text);
}

static void print(const struct call *call, const struct dtrack_bitmaps *list)
{
	const struct dtrack_bitmap_info *info;
	struct libscols_table *table;
	struct json_object *array;
	unsigned int i;

	if (call->json) {
		array = json_object_new_array();
		for (i = 0; (info = dtrack_bitmaps_at(list, i)); i++)
			json_object_array_add(array, bitmap_json(info));
		print_json(array);
	} else {
		table = table_new(columns, ARRAY_SIZE(columns));
		for (i = 0; (info = dtrack_bitmaps_at(list, i)); i++)
			add_row(table, info);
		table_print(table);
	}
}

static int run(struct call *call)
{
	const char *name = call->argc > 1 ? call->argv[1] : NULL;
	struct dtrack_bitmaps *list;
	struct dtrack_dev dev;

	if (dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    dtrack_bitmaps_get(call->h, dev, name, &list) < 0)
		return failed(call);
	print(call, list);
	dtrack_bitmaps_free(list);
	return EXIT_DONE;
}

const struct verb verb_bitmap_show = {
	.name = "bitmap show",
	.run = run,
	.args = "DEV [BITMAP]",
	.summary = "Show the bitmaps of a device, in order of creation.",
	.details =
"COUNT is dirty bytes: exact when the bitmap is frozen or disabled, 'at least'\n"
"while it records.",
};
