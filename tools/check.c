// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * check.c - dtrack check: whether the tracker sees the writes.
 */
#include <inttypes.h>

#include "json.h"
#include "output.h"
#include "verbs.h"

static const char *kind_word(int kind)
{
	static const char *const word[] = {
		[DTRACK_FINDING_NOT_TRACKED] = "not-tracked",
		[DTRACK_FINDING_BYPASSED] = "bypassed",
		[DTRACK_FINDING_SUSPENDED] = "suspended",
		[DTRACK_FINDING_INCONSISTENT] = "inconsistent",
		[DTRACK_FINDING_NOT_RECORDING] = "not-recording",
		[DTRACK_FINDING_READ_ONLY] = "read-only",
		[DTRACK_FINDING_NO_BITMAP] = "no-bitmap",
		[DTRACK_FINDING_NO_WRITES] = "no-writes",
	};

	return kind < (int)ARRAY_SIZE(word) ? word[kind] : "unknown";
}

/* ---- JSON --------------------------------------------------------------- */

static struct json_object *finding_json(const struct dtrack_finding *f)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "kind",
			       dtl_json_string(kind_word(f->kind)));
	json_object_object_add(o, "fault", json_object_new_boolean(f->fault));
	json_object_object_add(o, "bitmap", f->bitmap ?
			       dtl_json_string(f->bitmap) : NULL);
	json_object_object_add(o, "text", text_json(f->text));
	return o;
}

static void add_tally(struct json_object *o, const char *key,
		      const struct dtrack_tally *t)
{
	struct json_object *tally = json_object_new_object();

	json_object_object_add(tally, "requests",
			       json_object_new_uint64(t->nr));
	json_object_object_add(tally, "bytes",
			       json_object_new_uint64(t->bytes));
	json_object_object_add(o, key, tally);
}

static struct json_object *writes_json(const struct dtrack_dev_info *info)
{
	const struct dtrack_writes *w = &info->writes;
	struct json_object *o;

	if (!info->counted)
		return NULL;
	o = json_object_new_object();
	add_tally(o, "writes", &w->writes);
	add_tally(o, "discards", &w->discards);
	add_tally(o, "zeroes", &w->zeroes);
	add_tally(o, "others", &w->others);
	json_object_object_add(o, "idle-ms", w->idle == UINT64_MAX ? NULL :
			       json_object_new_uint64(w->idle));
	return o;
}

static void print_document(const struct dtrack_findings *list, int nr_faults,
			   const struct dtrack_dev_info *info)
{
	struct json_object *o = json_object_new_object();
	struct json_object *array = json_object_new_array();
	const struct dtrack_finding *f;
	unsigned int i;

	for (i = 0; (f = dtrack_findings_at(list, i)); i++)
		json_object_array_add(array, finding_json(f));
	json_object_object_add(o, "faults", json_object_new_int(nr_faults));
	json_object_object_add(o, "findings", array);
	json_object_object_add(o, "writes", writes_json(info));
	print_json(o);
}

/* ---- For people --------------------------------------------------------- */

static void print_tally(const char *what, const struct dtrack_tally *t)
{
	char size[HUMAN_LEN];

	if (t->nr)
		printf(" %" PRIu64 " %s (%s)", (uint64_t)t->nr, what,
		       human_size(t->bytes, size));
}

static void print_writes(const struct dtrack_dev_info *info)
{
	const struct dtrack_writes *w = &info->writes;

	if (!info->counted || w->idle == UINT64_MAX)
		return;
	printf("seen:");
	print_tally("writes", &w->writes);
	print_tally("discards", &w->discards);
	print_tally("zeroes", &w->zeroes);
	print_tally("others", &w->others);
	printf(", the last %" PRIu64 " s ago\n", (uint64_t)w->idle / 1000);
}

static void print_lines(const struct dtrack_findings *list,
			const struct dtrack_dev_info *info)
{
	const struct dtrack_finding *f;
	unsigned int i;

	for (i = 0; (f = dtrack_findings_at(list, i)); i++) {
		printf("%s: ", f->fault ? "fault" : "note");
		print_clean(f->text);
	}
	print_writes(info);
}

/* ---- The verb ----------------------------------------------------------- */

static int run(struct call *call)
{
	const char *bitmap = call->argc > 1 ? call->argv[1] : NULL;
	struct dtrack_dev_info info = { 0 };
	struct dtrack_findings *list;
	struct dtrack_dev dev;
	int nr_faults;

	nr_faults = dtrack_dev_check(call->h, call->argv[0], bitmap, &list);
	if (nr_faults < 0)
		return failed(call);
	/* A device that is not tracked has no counters. */
	if (!dtrack_dev_find(call->h, call->argv[0], &dev))
		dtrack_dev_info(call->h, dev, &info, sizeof(info));
	if (call->json)
		print_document(list, nr_faults, &info);
	else
		print_lines(list, &info);
	dtrack_findings_free(list);
	return nr_faults ? EXIT_DIFFERENT : EXIT_DONE;
}

const struct verb verb_check = {
	.name = "check",
	.run = run,
	.args = "DEV [BITMAP]",
	.summary = "Look for reasons why a tracker may not see all writes.",
	.details =
"A fault is one for which changes may be missing in a bitmap: DEV has another\n"
"table, is suspended, BITMAP (or any) is disabled, or something else may write to\n"
"the device below: a mount, swap, another table, md, a loop device, a process. A\n"
"note is one that may be as it should: no write was seen, no bitmap, read-only.\n"
"Exit status 3 when there is a fault.",
};
