// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * points.c - dtrack points: what a job can be restored to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "job.h"
#include "output.h"
#include "point-state.h"
#include "table.h"
#include "verbs.h"

static const struct column columns[] = {
	{ "TIME", false }, { "KIND", false }, { "STATE", false },
	{ "DEVICE", false }, { "SIZE", true }, { "COPIED", true },
	{ "IMAGE", false },
};

enum { TIME, KIND, STATE, DEVICE, SIZE, COPIED, IMAGE };

/**
 * struct listing - the way through the folder.
 * @call: the call
 * @store: the folder, scanned
 * @table: for people, or NULL
 * @array: for programs, or NULL
 */
struct listing {
	struct call *call;
	struct store store;
	struct libscols_table *table;
	struct json_object *array;
};

static const char *kind(const struct point *p)
{
	return p->previous ? "incremental" : "full";
}

/* ---- For people --------------------------------------------------------- */

static void add_rows(struct listing *l, const struct chain *c,
		     const struct point *p, const struct point_verdict *v)
{
	char path[CHAIN_PATH_LEN];
	unsigned int i;

	for (i = 0; i < p->nr; i++) {
		struct libscols_line *row = table_row(l->table);
		const struct point_image *image = &p->image[i];

		cell_text(row, TIME, p->time);
		cell_text(row, KIND, kind(p));
		cell_text(row, STATE, point_state_word(v->state));
		cell_text(row, DEVICE, image->device);
		cell_size(row, SIZE, image->size);
		cell_size(row, COPIED, image->copied);
		cell_text(row, IMAGE, chain_path(path, &l->store, c->name,
						 p->name, image->file));
	}
}

/* ---- For programs ------------------------------------------------------- */

static void put_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text[0] ? text_json(text) : NULL);
}

static void put_number(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static struct json_object *images_json(struct listing *l, const struct chain *c,
				       const struct point *p)
{
	struct json_object *array = json_object_new_array();
	char path[CHAIN_PATH_LEN];
	unsigned int i;

	for (i = 0; i < p->nr; i++) {
		struct json_object *o = json_object_new_object();
		const struct point_image *image = &p->image[i];

		put_text(o, "device", image->device);
		put_number(o, "size", image->size);
		put_number(o, "bytes-copied", image->copied);
		put_text(o, "path", chain_path(path, &l->store, c->name,
					       p->name, image->file));
		json_object_array_add(array, o);
	}
	return array;
}

static void add_json(struct listing *l, const struct chain *c,
		     const struct point *p, const struct point_verdict *v)
{
	struct json_object *o = json_object_new_object();
	bool read = p->state == POINT_WHOLE;

	put_text(o, "chain", c->name);
	put_text(o, "point", p->name);
	put_text(o, "time", p->time);
	put_text(o, "kind", read ? kind(p) : "");
	put_text(o, "why", read ? p->why : "");
	put_text(o, "format", read ? point_format_word(p->format) : "");
	put_number(o, "number", p->number);
	put_text(o, "consistency", point_consistency_word(p->consistency));
	put_text(o, "state", point_state_word(v->state));
	put_text(o, "checked", v->checked);
	put_text(o, "verified", p->verified);
	put_text(o, "problem", v->problem);
	json_object_object_add(o, "images", images_json(l, c, p));
	json_object_array_add(l->array, o);
}

/* ---- All of them -------------------------------------------------------- */

static void add_point(struct listing *l, const struct chain *c, unsigned int i)
{
	const struct point *p = &c->point[i];
	struct point_verdict v;

	if (p->state == POINT_PARTIAL)
		return;
	point_judge(&l->store, c, p, &v);
	if (v.problem[0])
		print_error_line(l->call, v.problem);
	if (l->table)
		add_rows(l, c, p, &v);
	else
		add_json(l, c, p, &v);
}

static int list(struct listing *l)
{
	char line[CONFIG_LINE_LEN + 64];
	unsigned int i, k;

	if (store_scan(&l->store))
		return failed_with(l->call, "GenericError", l->store.why);
	if (!store_newest(&l->store)) {
		snprintf(line, sizeof(line), "there is no restore point in '%s'",
			 l->store.folder);
		print_error_line(l->call, line);
	}
	if (l->call->json)
		l->array = json_object_new_array();
	else
		l->table = table_new(columns, ARRAY_SIZE(columns));
	for (i = 0; i < l->store.nr; i++)
		for (k = 0; k < l->store.chain[i].nr; k++)
			add_point(l, &l->store.chain[i], k);
	if (l->array)
		print_json(l->array);
	else
		table_print(l->table);
	return EXIT_DONE;
}

/* On the worst day there may be nothing but the folder. */
static int find_folder(struct call *call, char *folder)
{
	struct config *c;
	struct stat st;
	int ret;

	if (!stat(call->argv[0], &st) && S_ISDIR(st.st_mode)) {
		if (strlen(call->argv[0]) >= CONFIG_LINE_LEN)
			return usage_error(call, "The path is too long");
		strcpy(folder, call->argv[0]);
		return -1;
	}
	c = malloc(sizeof(*c));
	if (!c)
		return failed_with(call, "GenericError", "no memory");
	ret = job_read(call, c);
	if (ret < 0)
		memcpy(folder, c->folder, CONFIG_LINE_LEN);
	free(c);
	return ret;
}

static int run(struct call *call)
{
	struct listing l = { .call = call, .store.h = call->h };
	int ret = find_folder(call, l.store.folder);

	if (ret < 0)
		ret = list(&l);
	store_free(&l.store);
	return ret;
}

const struct verb verb_points = {
	.name = "points",
	.run = run,
	.args = "CONFIG",
	.summary = "List the restore points of a nightly job, the newest last.",
	.details =
"CONFIG is that of 'dtrack run', or the job's folder, if that is all there is. A\n"
"line for each image; to have it back:\n"
"\n"
"  dtrack restore IMAGE DEV\n"
"\n"
"An incremental image is as good as a full one: what it lies over is found by\n"
"itself. STATE is 'verified' when that and all that it lies over was read from the\n"
"medium after it had been written and matched its checksums, 'unproven' when it was\n"
"not, or not since it was copied or moved, and 'damaged', with a line that says why,\n"
"when something is missing, was changed or was found to be rotten. The images are\n"
"not read here: 'dtrack verify IMAGE' does that, and what it finds is remembered. COPIED is what the run took\n"
"from the device. TIME is UTC, as of when the run began.",
};
