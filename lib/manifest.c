// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * manifest.c - what a file target holds, said in a file beside it.
 *
 * Parsing is strict in what it uses and takes no word for granted.  When a
 * manifest is written is run.c's.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "json.h"
#include "manifest.h"
#include "sums.h"

#define FORMAT		"dtrack-manifest"
#define VERSION		1
#define ALGORITHM	"XXH3-64"
/* Ours have two levels; deeper ones are none of ours. */
#define MAX_DEPTH	16
/* Room for checksums of later versions; what is longer is none of ours. */
#define MAX_BYTES	(256 << 20)

static const char broken[] = "a member is missing or of the wrong type";

/* ---- Parsing ------------------------------------------------------------ */

static bool get_from(struct json_object *o, struct dtl_manifest *m)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, "from", &v))
		return false;
	m->has_from = v;
	return !v || dtl_json_u64(o, "from", &m->from);
}

static bool get_bitmap(struct json_object *root, struct dtl_manifest *m)
{
	struct json_object *b;

	if (!json_object_object_get_ex(root, "bitmap", &b))
		return false;
	m->has_bitmap = b;
	if (!b)
		return true;
	return json_object_is_type(b, json_type_object) &&
	       dtl_json_text(b, "name", m->name, sizeof(m->name)) &&
	       dtl_json_text(b, "uuid", m->uuid, sizeof(m->uuid)) &&
	       strlen(m->uuid) == DTRACK_UUID_TEXT - 1 &&
	       dtl_json_u64(b, "granularity", &m->granularity) &&
	       get_from(b, m) && dtl_json_u64(b, "to", &m->to) &&
	       dtl_json_id(b, "run", &m->run) &&
	       dtl_json_text(root, "mode", m->mode, sizeof(m->mode));
}

static bool get_sums(struct json_object *root, struct dtl_manifest *m)
{
	char algorithm[32];
	struct json_object *s;

	/* Older runs have none. */
	if (!json_object_object_get_ex(root, "checksums", &s) || !s)
		return true;
	if (!json_object_is_type(s, json_type_object) ||
	    !dtl_json_text(s, "algorithm", algorithm, sizeof(algorithm)))
		return false;
	m->has_sums = !strcmp(algorithm, ALGORITHM);
	return !m->has_sums ||
	       (dtl_json_u64(s, "unit", &m->sums_unit) &&
		m->sums_unit >= DTL_SUMS_MIN_UNIT &&
		m->sums_unit <= DTL_SUMS_MAX_UNIT &&
		!(m->sums_unit & (m->sums_unit - 1)) &&
		dtl_json_id(s, "id", &m->sums_id));
}

/* Where it is not there the text is empty. */
static bool get_text_if_any(struct json_object *o, const char *key, char *buf,
			    size_t size)
{
	return !json_object_object_get_ex(o, key, NULL) ||
	       dtl_json_text(o, key, buf, size);
}

static bool get_consistency(struct json_object *root, struct dtl_manifest *m)
{
	char word[32] = "";

	if (!get_text_if_any(root, "consistency", word, sizeof(word)))
		return false;
	m->consistency = dtl_consistency_parse(word);
	return true;
}

static const char *interpret(struct json_object *root, struct dtl_manifest *m)
{
	char word[32];
	uint64_t version;

	if (!json_object_is_type(root, json_type_object) ||
	    !dtl_json_text(root, "format", word, sizeof(word)) ||
	    strcmp(word, FORMAT))
		return "it is no manifest";
	if (!dtl_json_u64(root, "version", &version))
		return broken;
	if (version != VERSION)
		return "it is of a newer version";
	if (!dtl_json_text(root, "state", word, sizeof(word)))
		return broken;
	m->complete = !strcmp(word, "complete");
	if (!m->complete && strcmp(word, "incomplete"))
		return "its state is unknown";
	if (!dtl_json_u64(root, "size", &m->size) ||
	    !dtl_json_text(root, "sync", m->sync, sizeof(m->sync)) ||
	    !get_text_if_any(root, "image", m->image, sizeof(m->image)) ||
	    !get_text_if_any(root, "backing", m->backing, sizeof(m->backing)) ||
	    !get_consistency(root, m) || !get_bitmap(root, m) || !get_sums(root, m))
		return broken;
	if (m->image[0] && strcmp(m->image, "qcow2"))
		return "its image is of an unknown format";
	return NULL;
}

/* Nothing but blanks may follow the object. */
static bool ends_at(const char *text, size_t len, size_t end)
{
	while (end < len && memchr(" \t\r\n", text[end], 4))
		end++;
	return end == len;
}

const char *dtl_manifest_parse(const char *text, size_t len,
			       struct dtl_manifest *m)
{
	const char *why = "it is no JSON";
	struct json_tokener *tok;
	struct json_object *root;

	memset(m, 0, sizeof(*m));
	if (len > MAX_BYTES)
		return "it is too long";
	tok = json_tokener_new_ex(MAX_DEPTH);
	if (!tok)
		return "memory is missing";
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
				    JSON_TOKENER_VALIDATE_UTF8 |
				    JSON_TOKENER_ALLOW_TRAILING_CHARS);
	root = json_tokener_parse_ex(tok, text, (int)len);
	if (root && ends_at(text, len, json_tokener_get_parse_end(tok)))
		why = interpret(root, m);
	json_object_put(root);
	json_tokener_free(tok);
	return why;
}

/* ---- Its name ----------------------------------------------------------- */

/* One manifest for one file, by whatever link it is called. */
int dtl_manifest_name(struct dtrack *h, const char *path, char *name,
		      size_t size)
{
	char real[PATH_MAX];

	if (snprintf(name, size, "%s.dtrack", realpath(path, real) ? : path) >=
	    (int)size)
		return dtl_fail(h, -ENAMETOOLONG, NULL,
				"The name of target '%s' is too long", path);
	return 0;
}

/* ---- Reading ------------------------------------------------------------ */

int dtl_manifest_load(struct dtrack *h, const char *path,
		      struct dtl_manifest *m)
{
	const char *why;
	size_t len = 0;
	char *text;
	int ret = dtl_file_read(path, MAX_BYTES, &text, &len);

	if (ret == -ENOENT)
		return ret;
	if (ret)
		return dtl_fail(h, ret, dtl_os_class(ret),
				"Could not read the manifest '%s': %s", path,
				strerror(-ret));
	why = dtl_manifest_parse(text, len, m);
	free(text);
	if (why)
		return dtl_fail(h, -EBADMSG, NULL,
				"The manifest '%s' is damaged: %s", path, why);
	return 0;
}

bool dtl_manifest_fits(const struct dtl_manifest *m,
		       const struct dtrack_bitmap_info *info)
{
	char uuid[DTRACK_UUID_TEXT];

	dtrack_uuid_format(info->uuid, uuid);
	if (!m->has_bitmap || strcmp(m->uuid, uuid))
		return false;
	if (m->complete)
		return info->generation == m->to;
	return (m->has_from && info->generation == m->from) ||
	       (info->generation == m->to && info->last_run == m->run);
}

/* ---- Writing ------------------------------------------------------------ */

static struct json_object *sums_json(const struct dtl_manifest *m)
{
	struct json_object *s;

	if (!m->has_sums)
		return NULL;
	s = json_object_new_object();
	json_object_object_add(s, "algorithm",
			       dtl_json_string(ALGORITHM));
	json_object_object_add(s, "unit", json_object_new_uint64(m->sums_unit));
	json_object_object_add(s, "id", dtl_json_new_id(m->sums_id));
	return s;
}

static struct json_object *bitmap_json(const struct dtl_manifest *m)
{
	struct json_object *b;

	if (!m->has_bitmap)
		return NULL;
	b = json_object_new_object();
	json_object_object_add(b, "name", dtl_json_string(m->name));
	json_object_object_add(b, "uuid", dtl_json_string(m->uuid));
	json_object_object_add(b, "granularity",
			       json_object_new_uint64(m->granularity));
	json_object_object_add(b, "from", m->has_from ?
			       json_object_new_uint64(m->from) : NULL);
	json_object_object_add(b, "to", json_object_new_uint64(m->to));
	json_object_object_add(b, "run", dtl_json_new_id(m->run));
	return b;
}

static struct json_object *to_json(const struct dtl_manifest *m)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "format", dtl_json_string(FORMAT));
	json_object_object_add(o, "version", json_object_new_int(VERSION));
	json_object_object_add(o, "state", dtl_json_string(
			       m->complete ? "complete" : "incomplete"));
	json_object_object_add(o, "size", json_object_new_uint64(m->size));
	if (m->image[0])
		json_object_object_add(o, "image",
				       dtl_json_string(m->image));
	if (m->backing[0])
		json_object_object_add(o, "backing",
				       dtl_json_string(m->backing));
	json_object_object_add(o, "sync", dtl_json_string(m->sync));
	json_object_object_add(o, "mode", m->has_bitmap ?
			       dtl_json_string(m->mode) : NULL);
	if (m->complete && m->consistency != DTRACK_CONSISTENCY_UNKNOWN)
		json_object_object_add(o, "consistency", dtl_json_string(
				dtl_consistency_word(m->consistency)));
	json_object_object_add(o, "bitmap", bitmap_json(m));
	json_object_object_add(o, "checksums", sums_json(m));
	return o;
}

int dtl_manifest_store(struct dtrack *h, const char *path,
		       const struct dtl_manifest *m)
{
	struct json_object *o = to_json(m);
	char *text = dtl_json_print(o);
	int ret = text ? dtl_file_replace(path, text, 0600) : -ENOMEM;

	free(text);
	json_object_put(o);
	if (ret)
		return dtl_fail(h, ret, dtl_os_class(ret),
				"Could not write the manifest '%s': %s", path,
				strerror(-ret));
	return 0;
}
