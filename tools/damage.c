// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * damage.c - what was found to be wrong in the images of a chain.
 *
 * A file that cannot be understood is never replaced: what it knew would be
 * forgotten.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "damage.h"
#include "files.h"
#include "json.h"

#define FORMAT		"dtrack-damage"
#define VERSION		1
/* Of 6400 images with all their ranges it is more; then the file is refused. */
#define MAX_BYTES	(64 << 20)
#define MAX_DEPTH	8

/* ---- Reading ------------------------------------------------------------ */

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

static bool get(struct json_object *o, struct damage_finding *f)
{
	*f = (struct damage_finding){
		.point = text_of(o, "point"),
		.file = text_of(o, "file"),
		.what = text_of(o, "what"),
		.when = text_of(o, "when"),
		.by = text_of(o, "by"),
	};
	json_object_object_get_ex(o, "ranges", &f->ranges);
	return f->point && f->file && f->what && f->when && f->by;
}

static const char *interpret(struct json_object *root,
			     struct json_object **findings)
{
	struct damage_finding f;
	struct json_object *list;
	uint64_t version;
	size_t i;

	if (!json_object_is_type(root, json_type_object) ||
	    !text_of(root, "format") || strcmp(text_of(root, "format"), FORMAT))
		return "it is no list of damages";
	if (!dtl_json_u64(root, "version", &version) || version != VERSION)
		return "it is of a newer version";
	if (!json_object_object_get_ex(root, "findings", &list) ||
	    !json_object_is_type(list, json_type_array))
		return "a member is missing or of the wrong type";
	for (i = 0; i < json_object_array_length(list); i++)
		if (!get(json_object_array_get_idx(list, i), &f))
			return "a member is missing or of the wrong type";
	*findings = json_object_get(list);
	return NULL;
}

static const char *parse(const char *text, size_t len,
			 struct json_object **findings)
{
	struct json_tokener *tok = json_tokener_new_ex(MAX_DEPTH);
	const char *why = "it is no JSON";
	struct json_object *root;

	if (!tok)
		return "memory is missing";
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
				    JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tok, text, (int)len);
	if (root)
		why = interpret(root, findings);
	json_object_put(root);
	json_tokener_free(tok);
	return why;
}

const char *damage_load(const char *path, struct json_object **findings)
{
	const char *why;
	char *text;
	size_t len;
	int ret = dtl_file_read(path, MAX_BYTES, &text, &len);

	*findings = NULL;
	if (ret)
		return ret == -ENOENT ? NULL : strerror(-ret);
	why = parse(text, len, findings);
	free(text);
	return why;
}

bool damage_next(struct json_object *findings, const char *point, size_t *at,
		 struct damage_finding *f)
{
	while (findings && *at < json_object_array_length(findings)) {
		get(json_object_array_get_idx(findings, (*at)++), f);
		if (!point || !strcmp(f->point, point))
			return true;
	}
	return false;
}

/* ---- Writing ------------------------------------------------------------ */

static int store(const char *path, struct json_object *findings)
{
	struct json_object *o = json_object_new_object();
	char *text;
	int ret;

	json_object_object_add(o, "format", dtl_json_string(FORMAT));
	json_object_object_add(o, "version", json_object_new_int(VERSION));
	json_object_object_add(o, "findings", json_object_get(findings));
	text = dtl_json_print(o);
	ret = text ? dtl_file_replace(path, text, 0644) : -ENOMEM;
	free(text);
	json_object_put(o);
	return ret;
}

static struct json_object *finding_json(const struct damage_finding *f)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "point", dtl_json_string(f->point));
	json_object_object_add(o, "file", dtl_json_string(f->file));
	json_object_object_add(o, "what", dtl_json_string(f->what));
	json_object_object_add(o, "when", dtl_json_string(f->when));
	json_object_object_add(o, "by", dtl_json_string(f->by));
	json_object_object_add(o, "ranges", f->ranges ?
			       json_object_get(f->ranges) :
			       json_object_new_array());
	return o;
}

/* Return: whether there was one. */
static bool drop(struct json_object *findings, const char *point,
		 const char *file)
{
	struct damage_finding f;
	size_t at = 0;

	while (damage_next(findings, point, &at, &f))
		if (!strcmp(f.file, file)) {
			json_object_array_del_idx(findings, at - 1, 1);
			return true;
		}
	return false;
}

int damage_note(const char *path, const struct damage_finding *f)
{
	struct json_object *findings;
	int ret;

	if (damage_load(path, &findings))
		return -EBADMSG;
	if (!findings)
		findings = json_object_new_array();
	drop(findings, f->point, f->file);
	json_object_array_add(findings, finding_json(f));
	ret = store(path, findings);
	json_object_put(findings);
	return ret;
}

int damage_clear(const char *path, const char *point, const char *file)
{
	struct json_object *findings;
	int ret = 0;

	if (damage_load(path, &findings))
		return -EBADMSG;
	if (findings && drop(findings, point, file)) {
		if (json_object_array_length(findings))
			ret = store(path, findings);
		else if (unlink(path) && errno != ENOENT)
			ret = -errno;
		if (!ret)
			ret = dtl_sync_dir(path);
	}
	json_object_put(findings);
	return ret;
}
