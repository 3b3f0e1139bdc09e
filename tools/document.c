// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * document.c - what 'dtrack transaction' reads.
 *
 * Sorts out the document's form; what a transaction makes of it, devices
 * included, is the library's and transaction.c's.
 */
#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "words.h"

/* A source of a merge is at the fifth level. */
#define MAX_DEPTH	8
/* Requests that a run may have in flight. */
#define MAX_JOBS	256

/* ---- Saying what is wrong ------------------------------------------------ */

__attribute__((format(printf, 2, 3)))
static bool wrong(struct document *doc, const char *fmt, ...)
{
	va_list ap;

	/* What was found first. */
	if (doc->why[0])
		return false;
	va_start(ap, fmt);
	vsnprintf(doc->why, sizeof(doc->why), fmt, ap);
	va_end(ap);
	return false;
}

/* Where something is in the document: 'actions[1].data'. */
#define PATH_LEN	512

static void path_key(char *path, const char *parent, const char *key)
{
	snprintf(path, PATH_LEN, "%.200s%s%.200s", parent, *parent ? "." : "",
		 key);
}

static void path_item(char *path, const char *parent, size_t i)
{
	snprintf(path, PATH_LEN, "%.400s[%zu]", parent, i);
}

/* ---- Keys that are given twice ------------------------------------------- */

/*
 * json-c takes the last of them, and a key in single quotes.  This goes over the
 * text again, whose depth is known to be bounded.
 */
static const char *walk(struct document *doc, const char *p, const char *path);

/* @p should be at @end. */
static const char *expect(struct document *doc, const char *p, char end)
{
	if (*p == end)
		return end ? p + 1 : p;
	wrong(doc, "it is no JSON at '%.16s'", p);
	return p;
}

static const char *blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* @p is at the opening quote. */
static const char *string_end(const char *p)
{
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : p;
}

/* With its escapes resolved: the same key may be written in two ways. */
static struct json_object *string_of(const char *p, const char *end)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *o = NULL;

	if (tok)
		o = json_tokener_parse_ex(tok, p, (int)(end - p));
	json_tokener_free(tok);
	return o;
}

static const char *walk_member(struct document *doc, const char *p,
			       const char *parent, struct json_object *seen)
{
	const char *end = string_end(p);
	struct json_object *key = string_of(p, end);
	const char *name = key ? json_object_get_string(key) : "";
	char path[PATH_LEN];

	path_key(path, parent, name);
	if (json_object_object_get_ex(seen, name, NULL))
		wrong(doc, "%s: given twice", path);
	json_object_object_add(seen, name, NULL);
	json_object_put(key);
	p = blanks(end);
	return walk(doc, *p == ':' ? p + 1 : p, path);
}

static const char *walk_object(struct document *doc, const char *p,
			       const char *path)
{
	struct json_object *seen = json_object_new_object();

	while (*p == '"') {
		p = blanks(walk_member(doc, p, path, seen));
		if (*p == ',')
			p = blanks(p + 1);
	}
	json_object_put(seen);
	return expect(doc, p, '}');
}

static const char *walk_array(struct document *doc, const char *p,
			      const char *parent)
{
	char path[PATH_LEN];
	size_t i;

	for (i = 0; *p && *p != ']'; i++) {
		const char *begin = p;

		path_item(path, parent, i);
		p = blanks(walk(doc, p, path));
		if (*p == ',')
			p = blanks(p + 1);
		if (p == begin)
			break;
	}
	return expect(doc, p, ']');
}

static const char *walk(struct document *doc, const char *p, const char *path)
{
	p = blanks(p);
	switch (*p) {
	case '{':
		return walk_object(doc, blanks(p + 1), path);
	case '[':
		return walk_array(doc, blanks(p + 1), path);
	case '"':
		return string_end(p);
	default:
		return p + strcspn(p, ",]} \t\r\n");
	}
}

/* ---- Values -------------------------------------------------------------- */

enum field_kind {
	FIELD_TEXT,
	FIELD_BOOL,
	FIELD_NUMBER,
	FIELD_COUNT,	/* 1 .. 2^31 - 1 */
	FIELD_WORD,
	FIELD_SOURCES,
	FIELD_JOB,	/* the id of a job */
	FIELD_PERF,
};

/**
 * struct field - a key of an action's data.
 * @key: the key
 * @kind: enum field_kind
 * @offset: of the member of struct doc_action
 * @required: it must be given, or another key of the same member
 * @words: for FIELD_WORD
 */
struct field {
	const char *key;
	enum field_kind kind;
	size_t offset;
	bool required;
	const struct word *words;
};

static bool take_text(struct document *doc, struct json_object *v,
		      const char *path, const char **to)
{
	if (!json_object_is_type(v, json_type_string))
		return wrong(doc, "%s: must be a string", path);
	if (*to)
		return wrong(doc, "%s: given already, by another key", path);
	*to = json_object_get_string(v);
	if (strlen(*to) != (size_t)json_object_get_string_len(v))
		return wrong(doc, "%s: has a NUL inside", path);
	return true;
}

static bool take_bool(struct document *doc, struct json_object *v,
		      const char *path, bool *to)
{
	if (!json_object_is_type(v, json_type_boolean))
		return wrong(doc, "%s: must be true or false", path);
	*to = json_object_get_boolean(v);
	return true;
}

static bool take_number(struct document *doc, struct json_object *v,
			const char *path, uint64_t *to)
{
	int64_t n;

	if (!json_object_is_type(v, json_type_int))
		return wrong(doc, "%s: must be a whole number", path);
	/* json-c gives the limit for what is beyond it. */
	n = json_object_get_int64(v);
	if (n < 0 || n == INT64_MAX)
		return wrong(doc, "%s: is out of range", path);
	*to = (uint64_t)n;
	return true;
}

static bool take_count(struct document *doc, struct json_object *v,
			 const char *path, unsigned int *to)
{
	uint64_t n = 0;

	if (!take_number(doc, v, path, &n))
		return false;
	if (!n || n > INT_MAX)
		return wrong(doc, "%s: is out of range", path);
	*to = (unsigned int)n;
	return true;
}

static bool take_word(struct document *doc, struct json_object *v,
		      const char *path, const struct word *words, int *to)
{
	char list[WORD_LIST_LEN];
	const char *text = NULL;

	if (!take_text(doc, v, path, &text))
		return false;
	if (!word_find(words, text, to))
		return wrong(doc, "%s: '%s' is none of %s", path, text,
			     word_list(words, list));
	return true;
}

/* Those that QEMU takes. */
static bool is_job_id(const char *id)
{
	return isascii(id[0]) && isalpha(id[0]) &&
	       strlen(id) == strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789-._");
}

static bool take_job_id(struct document *doc, struct json_object *v,
			const char *path, const char **to)
{
	unsigned int i;

	if (!take_text(doc, v, path, to))
		return false;
	if (!is_job_id(*to))
		return wrong(doc, "%s: Invalid job ID '%s': letters, digits, '-', '.' and '_', the first a letter",
			     path, *to);
	for (i = 0; i < doc->nr; i++)
		if (&doc->actions[i].job_id != to && doc->actions[i].job_id &&
		    !strcmp(doc->actions[i].job_id, *to))
			return wrong(doc, "%s: Job ID '%s' already in use",
				     path, *to);
	return true;
}

static bool take_source(struct document *doc, struct json_object *v,
			const char *parent, struct doc_source *to)
{
	char path[PATH_LEN];

	if (json_object_is_type(v, json_type_string))
		return take_text(doc, v, parent, &to->name);
	if (!json_object_is_type(v, json_type_object))
		return wrong(doc, "%s: must be a string or an object", parent);
	json_object_object_foreach(v, key, value) {
		path_key(path, parent, key);
		if (!strcmp(key, "name")) {
			if (!take_text(doc, value, path, &to->name))
				return false;
		} else if (strcmp(key, "node") && strcmp(key, "device")) {
			return wrong(doc, "%s: unknown key", path);
		} else if (!take_text(doc, value, path, &to->node)) {
			return false;
		}
	}
	path_key(path, parent, to->name ? "node" : "name");
	return (to->node && to->name) || wrong(doc, "%s: is missing", path);
}

static bool take_sources(struct document *doc, struct json_object *v,
			 const char *parent, struct doc_action *a)
{
	char path[PATH_LEN];
	size_t i, nr;

	if (!json_object_is_type(v, json_type_array))
		return wrong(doc, "%s: must be an array", parent);
	nr = json_object_array_length(v);
	if (nr > DTRACK_MAX_BITMAPS)
		return wrong(doc, "%s: has more than %d items", parent,
			     DTRACK_MAX_BITMAPS);
	a->nr_sources = (unsigned int)nr;
	a->sources = calloc(nr + 1, sizeof(*a->sources));
	if (!a->sources)
		return wrong(doc, "memory is missing");
	for (i = 0; i < nr; i++) {
		path_item(path, parent, i);
		if (!take_source(doc, json_object_array_get_idx(v, i), path,
				 &a->sources[i]))
			return false;
	}
	return true;
}

/* ---- What QMP's clients say ---------------------------------------------- */

enum moot_kind {
	MOOT_TEXT,
	MOOT_NUMBER,
	MOOT_BOOL,
	MOOT_TRUE,	/* and nothing else */
	MOOT_FALSE,
	MOOT_ZERO,
	MOOT_BREAK,	/* "break-snapshot" */
};

/**
 * struct moot - a key that changes nothing, in what values it may have.
 * @key: the key
 * @kind: enum moot_kind
 * @why: why no other value is taken, or NULL
 */
struct moot {
	const char *key;
	enum moot_kind kind;
	const char *why;
};

static const struct moot backup_moots[] = {
	{ "auto-finalize", MOOT_TRUE,
	  "there is no job-finalize; 'completion-mode': 'grouped' lets all runs end together" },
	{ "auto-dismiss", MOOT_BOOL, NULL },
	{ "filter-node-name", MOOT_TEXT, NULL },
	{ "compress", MOOT_FALSE, "targets are not compressed" },
	{ "discard-source", MOOT_FALSE, "a run changes nothing on its device" },
	{ "on-cbw-error", MOOT_BREAK,
	  "a write to the device never fails because of a run" },
	{ "cbw-timeout", MOOT_NUMBER, NULL },
	{ "min-cluster-size", MOOT_ZERO,
	  "the unit of a copy is the bitmap's granule" },
	{ 0 },
};

static const struct moot perf_moots[] = {
	{ "use-copy-range", MOOT_BOOL, NULL },
	{ 0 },
};

static const struct moot no_moots[] = { { 0 } };

static const char *const moot_words[] = {
	[MOOT_TRUE] = "true",
	[MOOT_FALSE] = "false",
	[MOOT_ZERO] = "0",
	[MOOT_BREAK] = "'break-snapshot'",
};

static bool take_moot(struct document *doc, struct json_object *v,
		      const char *path, const struct moot *m)
{
	const char *text = NULL;
	uint64_t number = 0;
	bool flag = m->kind == MOOT_TRUE, good, other = false;

	if (m->kind == MOOT_TEXT || m->kind == MOOT_BREAK)
		good = take_text(doc, v, path, &text);
	else if (m->kind == MOOT_NUMBER || m->kind == MOOT_ZERO)
		good = take_number(doc, v, path, &number);
	else
		good = take_bool(doc, v, path, &flag);
	if (!good)
		return false;
	if (m->kind == MOOT_BREAK)
		other = strcmp(text, "break-snapshot");
	else if (m->kind != MOOT_BOOL && m->kind != MOOT_NUMBER)
		other = number || flag != (m->kind == MOOT_TRUE);
	return !other || wrong(doc, "%s: can only be %s: %s", path,
			       moot_words[m->kind], m->why);
}

/* ---- Actions ------------------------------------------------------------- */

#define AT(member)	offsetof(struct doc_action, member)

static const struct field add_fields[] = {
	{ "node", FIELD_TEXT, AT(node), true, NULL },
	{ "device", FIELD_TEXT, AT(node), false, NULL },
	{ "name", FIELD_TEXT, AT(name), true, NULL },
	{ "granularity", FIELD_NUMBER, AT(granularity), false, NULL },
	{ "persistent", FIELD_BOOL, AT(persistent), false, NULL },
	{ "disabled", FIELD_BOOL, AT(disabled), false, NULL },
	{ 0 },
};

static const struct field bitmap_fields[] = {
	{ "node", FIELD_TEXT, AT(node), true, NULL },
	{ "device", FIELD_TEXT, AT(node), false, NULL },
	{ "name", FIELD_TEXT, AT(name), true, NULL },
	{ 0 },
};

static const struct field merge_fields[] = {
	{ "node", FIELD_TEXT, AT(node), true, NULL },
	{ "device", FIELD_TEXT, AT(node), false, NULL },
	{ "target", FIELD_TEXT, AT(name), true, NULL },
	{ "bitmaps", FIELD_SOURCES, AT(sources), true, NULL },
	{ 0 },
};

static const struct field backup_fields[] = {
	{ "device", FIELD_TEXT, AT(node), true, NULL },
	{ "node", FIELD_TEXT, AT(node), false, NULL },
	{ "target", FIELD_TEXT, AT(options.target), true, NULL },
	{ "sync", FIELD_WORD, AT(options.sync), true, sync_words },
	{ "bitmap", FIELD_TEXT, AT(name), false, NULL },
	{ "bitmap-mode", FIELD_WORD, AT(options.mode), false, mode_words },
	{ "speed", FIELD_NUMBER, AT(options.speed), false, NULL },
	{ "on-source-error", FIELD_WORD, AT(options.on_source_error), false,
	  on_error_words },
	{ "on-target-error", FIELD_WORD, AT(options.on_target_error), false,
	  on_error_words },
	{ "target-timeout", FIELD_COUNT, AT(options.target_timeout), false,
	  NULL },
	{ "consistency", FIELD_WORD, AT(options.consistency), false,
	  consistency_words },
	{ "force", FIELD_BOOL, AT(force), false, NULL },
	{ "job-id", FIELD_JOB, AT(job_id), false, NULL },
	{ "x-perf", FIELD_PERF, 0, false, NULL },
	{ 0 },
};

static const struct field perf_fields[] = {
	{ "max-workers", FIELD_COUNT, AT(options.jobs), false, NULL },
	{ "max-chunk", FIELD_NUMBER, AT(options.request_size), false, NULL },
	{ 0 },
};

static const struct field no_fields[] = { { 0 } };

static const struct word type_words[] = {
	{ "block-dirty-bitmap-add", DOC_ADD },
	{ "block-dirty-bitmap-remove", DOC_REMOVE },
	{ "block-dirty-bitmap-clear", DOC_CLEAR },
	{ "block-dirty-bitmap-enable", DOC_ENABLE },
	{ "block-dirty-bitmap-disable", DOC_DISABLE },
	{ "block-dirty-bitmap-merge", DOC_MERGE },
	{ "blockdev-backup", DOC_BACKUP },
	{ "abort", DOC_ABORT },
	{ 0 },
};

static const struct field *const fields_of[] = {
	[DOC_ABORT] = no_fields,      [DOC_ADD] = add_fields,
	[DOC_REMOVE] = bitmap_fields, [DOC_CLEAR] = bitmap_fields,
	[DOC_ENABLE] = bitmap_fields, [DOC_DISABLE] = bitmap_fields,
	[DOC_MERGE] = merge_fields,   [DOC_BACKUP] = backup_fields,
};

/* Actions of QEMU's transaction that are none of ours. */
static const struct {
	const char *type;
	const char *why;
} others[] = {
	{ "drive-backup", "use 'blockdev-backup', whose 'target' may be made by it" },
	{ "blockdev-snapshot", "there are no snapshots; 'blockdev-backup' copies" },
	{ "blockdev-snapshot-sync",
	  "there are no snapshots; 'blockdev-backup' copies" },
	{ "blockdev-snapshot-internal-sync",
	  "there are no snapshots; 'blockdev-backup' copies" },
};

static bool take_type(struct document *doc, struct json_object *v,
		      const char *path, int *type)
{
	const char *text = NULL;
	size_t i;

	if (!take_text(doc, v, path, &text))
		return false;
	for (i = 0; i < ARRAY_SIZE(others); i++)
		if (!strcmp(others[i].type, text))
			return wrong(doc, "%s: '%s' is an action of QEMU alone: %s",
				     path, text, others[i].why);
	return take_word(doc, v, path, type_words, type);
}

static bool take_perf(struct document *doc, struct json_object *v,
		      const char *path, struct doc_action *a);

static bool take_field(struct document *doc, struct json_object *v,
		       const char *path, const struct field *f,
		       struct doc_action *a)
{
	void *to = (char *)a + f->offset;

	switch (f->kind) {
	case FIELD_TEXT:
		return take_text(doc, v, path, to);
	case FIELD_BOOL:
		return take_bool(doc, v, path, to);
	case FIELD_NUMBER:
		return take_number(doc, v, path, to);
	case FIELD_COUNT:
		return take_count(doc, v, path, to);
	case FIELD_JOB:
		return take_job_id(doc, v, path, to);
	case FIELD_PERF:
		return take_perf(doc, v, path, a);
	case FIELD_WORD:
		return take_word(doc, v, path, f->words, to);
	default:
		return take_sources(doc, v, path, a);
	}
}

/* Whether a key of the same member was given. */
static bool is_given(const struct field *fields, const struct field *f,
		     struct json_object *data)
{
	const struct field *other;

	for (other = fields; other->key; other++)
		if (other->offset == f->offset &&
		    json_object_object_get_ex(data, other->key, NULL))
			return true;
	return false;
}

static bool take_member(struct document *doc, const char *key,
			struct json_object *v, const char *path,
			const struct field *f, const struct moot *m,
			struct doc_action *a)
{
	for (; f->key && strcmp(f->key, key); f++)
		;
	if (f->key)
		return take_field(doc, v, path, f, a);
	for (; m->key && strcmp(m->key, key); m++)
		;
	if (m->key)
		return take_moot(doc, v, path, m);
	return wrong(doc, "%s: unknown key", path);
}

static bool take_members(struct document *doc, struct json_object *data,
			 const char *parent, const struct field *fields,
			 const struct moot *moots, struct doc_action *a)
{
	char path[PATH_LEN];

	if (!json_object_is_type(data, json_type_object))
		return wrong(doc, "%s: must be an object", parent);
	json_object_object_foreach(data, key, value) {
		path_key(path, parent, key);
		if (!take_member(doc, key, value, path, fields, moots, a))
			return false;
	}
	return true;
}

/* To a client 'max-workers' is a limit: fewer will do. */
static bool take_perf(struct document *doc, struct json_object *v,
		      const char *path, struct doc_action *a)
{
	if (!take_members(doc, v, path, perf_fields, perf_moots, a))
		return false;
	if (a->options.jobs > MAX_JOBS)
		a->options.jobs = MAX_JOBS;
	return true;
}

static bool take_data(struct document *doc, struct json_object *data,
		      const char *parent, struct doc_action *a)
{
	const struct field *fields = fields_of[a->type], *f;
	char path[PATH_LEN];

	if (!take_members(doc, data, parent, fields, a->type == DOC_BACKUP ?
			  backup_moots : no_moots, a))
		return false;
	for (f = fields; f->key; f++) {
		path_key(path, parent, f->key);
		if (f->required && !is_given(fields, f, data))
			return wrong(doc, "%s: is missing", path);
	}
	return true;
}

/* Keys that an object may have, up to a NULL. */
static bool check_keys(struct document *doc, struct json_object *o,
		       const char *parent, const char *const *keys)
{
	const char *const *k;
	char path[PATH_LEN];

	if (!json_object_is_type(o, json_type_object))
		return wrong(doc, "%s%smust be an object", parent,
			     *parent ? ": " : "it ");
	json_object_object_foreach(o, key, value) {
		(void)value;
		for (k = keys; *k && strcmp(*k, key); k++)
			;
		path_key(path, parent, key);
		if (!*k)
			return wrong(doc, "%s: unknown key", path);
	}
	return true;
}

static bool take_action(struct document *doc, struct json_object *o,
			const char *parent, struct doc_action *a)
{
	static const char *const keys[] = { "type", "data", NULL };
	struct dtrack_run_options init = DTRACK_RUN_OPTIONS_INIT;
	struct json_object *v;
	char path[PATH_LEN];

	a->options = init;
	a->options.consistency = -1;
	a->granularity = 65536;
	if (!check_keys(doc, o, parent, keys))
		return false;
	path_key(path, parent, "type");
	if (!json_object_object_get_ex(o, "type", &v))
		return wrong(doc, "%s: is missing", path);
	if (!take_type(doc, v, path, &a->type))
		return false;
	a->word = json_object_get_string(v);
	path_key(path, parent, "data");
	if (json_object_object_get_ex(o, "data", &v))
		return take_data(doc, v, path, a);
	return a->type == DOC_ABORT || wrong(doc, "%s: is missing", path);
}

/* ---- The document -------------------------------------------------------- */

static bool take_actions(struct document *doc, struct json_object *v)
{
	char path[PATH_LEN];
	size_t i, nr;

	if (!json_object_is_type(v, json_type_array))
		return wrong(doc, "actions: must be an array");
	nr = json_object_array_length(v);
	if (nr > DTRACK_MAX_ACTIONS)
		return wrong(doc, "actions: has more than %d items",
			     DTRACK_MAX_ACTIONS);
	doc->actions = calloc(nr + 1, sizeof(*doc->actions));
	if (!doc->actions)
		return wrong(doc, "memory is missing");
	doc->nr = (unsigned int)nr;
	for (i = 0; i < nr; i++) {
		path_item(path, "actions", i);
		if (!take_action(doc, json_object_array_get_idx(v, i), path,
				 &doc->actions[i]))
			return false;
	}
	return true;
}

static bool take_properties(struct document *doc, struct json_object *v)
{
	static const char *const keys[] = { "completion-mode", NULL };
	static const struct word words[] = {
		{ "individual", DTRACK_COMPLETION_INDIVIDUAL },
		{ "grouped", DTRACK_COMPLETION_GROUPED },
		{ 0 },
	};
	struct json_object *mode;

	return check_keys(doc, v, "properties", keys) &&
	       (!json_object_object_get_ex(v, keys[0], &mode) ||
		take_word(doc, mode, "properties.completion-mode", words,
			  &doc->completion));
}

static bool interpret(struct document *doc)
{
	static const char *const keys[] = { "actions", "properties", NULL };
	struct json_object *v;

	if (!check_keys(doc, doc->root, "", keys))
		return false;
	if (!json_object_object_get_ex(doc->root, "actions", &v))
		return wrong(doc, "actions: is missing");
	if (!take_actions(doc, v))
		return false;
	return !json_object_object_get_ex(doc->root, "properties", &v) ||
	       take_properties(doc, v);
}

static bool read_json(struct document *doc, const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(MAX_DEPTH);
	enum json_tokener_error err;
	size_t end;

	if (!tok)
		return wrong(doc, "memory is missing");
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
				    JSON_TOKENER_VALIDATE_UTF8 |
				    JSON_TOKENER_ALLOW_TRAILING_CHARS);
	doc->root = json_tokener_parse_ex(tok, text, (int)len);
	err = json_tokener_get_error(tok);
	end = json_tokener_get_parse_end(tok);
	json_tokener_free(tok);
	if (err == json_tokener_continue)
		return wrong(doc, "it is no JSON: it ends too early");
	if (err != json_tokener_success)
		return wrong(doc, "it is no JSON: %s at byte %zu",
			     json_tokener_error_desc(err), end);
	end += strspn(text + end, " \t\r\n");
	if (end < len)
		return wrong(doc, "something follows the document at byte %zu",
			     end);
	return true;
}

bool document_parse(const char *text, size_t len, struct document *doc)
{
	memset(doc, 0, sizeof(*doc));
	if (len > DOC_MAX_BYTES)
		return wrong(doc, "it is longer than %d bytes", DOC_MAX_BYTES);
	if (!read_json(doc, text, len))
		return false;
	expect(doc, blanks(walk(doc, text, "")), '\0');
	return !doc->why[0] && interpret(doc);
}

void document_free(struct document *doc)
{
	unsigned int i;

	for (i = 0; i < doc->nr; i++)
		free(doc->actions[i].sources);
	free(doc->actions);
	json_object_put(doc->root);
	memset(doc, 0, sizeof(*doc));
}
