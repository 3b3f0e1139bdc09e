// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * point.c - a restore point: a folder with an image of each device.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "json.h"
#include "option.h"
#include "point.h"

#define FORMAT		"dtrack-point"
#define VERSION		1
/* 64 images need 32K. */
#define MAX_BYTES	(1 << 20)
#define MAX_DEPTH	8

static const char broken[] = "a member is missing or of the wrong type";

static const char *const format_names[] = {
	[FORMAT_QCOW2] = "qcow2",
	[FORMAT_RAW] = "raw",
};

const char *point_format_word(int format)
{
	return format_names[format];
}

/* ---- Parsing ------------------------------------------------------------ */

static bool get_format(struct json_object *o, int *format)
{
	char word[16];
	size_t i;

	if (!dtl_json_text(o, "format-of-images", word, sizeof(word)))
		return false;
	for (i = 0; i < ARRAY_SIZE(format_names); i++)
		if (!strcmp(word, format_names[i])) {
			*format = (int)i;
			return true;
		}
	return false;
}

/* A name in this folder and no way out of it. */
static bool get_image(struct json_object *o, struct point_image *i)
{
	return json_object_is_type(o, json_type_object) &&
	       dtl_json_text(o, "device", i->device, sizeof(i->device)) &&
	       dtl_json_text(o, "file", i->file, sizeof(i->file)) &&
	       i->file[0] && i->file[0] != '.' && !strchr(i->file, '/') &&
	       dtl_json_u64(o, "size", &i->size) &&
	       dtl_json_u64(o, "bytes", &i->bytes) &&
	       dtl_json_u64(o, "modified", &i->modified) &&
	       dtl_json_text(o, "uuid", i->uuid, sizeof(i->uuid)) &&
	       dtl_json_u64(o, "generation", &i->generation) &&
	       dtl_json_id(o, "run", &i->run) &&
	       dtl_json_u64(o, "copied", &i->copied);
}

static const char *get_images(struct json_object *root, struct point *p)
{
	struct json_object *list;
	size_t nr;

	if (!json_object_object_get_ex(root, "images", &list) ||
	    !json_object_is_type(list, json_type_array))
		return broken;
	nr = json_object_array_length(list);
	if (!nr || nr > CONFIG_MAX_DEVICES)
		return "it has no images, or too many";
	p->image = calloc(nr, sizeof(*p->image));
	if (!p->image)
		return "memory is missing";
	for (; p->nr < nr; p->nr++)
		if (!get_image(json_object_array_get_idx(list, p->nr),
			       &p->image[p->nr]))
			return broken;
	return NULL;
}

static const char *interpret(struct json_object *root, struct point *p)
{
	char word[32];
	uint64_t version;

	if (!json_object_is_type(root, json_type_object) ||
	    !dtl_json_text(root, "format", word, sizeof(word)) ||
	    strcmp(word, FORMAT))
		return "it is no restore point's";
	if (!dtl_json_u64(root, "version", &version))
		return broken;
	if (version != VERSION)
		return "it is of a newer version";
	if (!dtl_json_u64(root, "number", &p->number) ||
	    !dtl_json_u64(root, "previous", &p->previous) ||
	    !dtl_json_text(root, "time", p->time, sizeof(p->time)) ||
	    !dtl_json_text(root, "why", p->why, sizeof(p->why)) ||
	    !get_format(root, &p->format))
		return broken;
	return get_images(root, p);
}

const char *point_parse(const char *text, size_t len, struct point *p)
{
	struct json_tokener *tok;
	struct json_object *root;
	const char *why = "it is no JSON";

	if (len > MAX_BYTES)
		return "it is too long";
	tok = json_tokener_new_ex(MAX_DEPTH);
	if (!tok)
		return "memory is missing";
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
				    JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tok, text, (int)len);
	if (root)
		why = interpret(root, p);
	json_object_put(root);
	json_tokener_free(tok);
	return why;
}

/* ---- Reading ------------------------------------------------------------ */

static void damaged(struct point *p, const char *why)
{
	p->state = POINT_DAMAGED;
	snprintf(p->why, sizeof(p->why), "%s", why);
}

/* Without it, or with nonsense in it, it was not. */
static void load_verified(const char *folder, struct point *p)
{
	char path[PATH_MAX], *text;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", folder, POINT_VERIFIED);
	if (dtl_file_read(path, POINT_TIME_LEN, &text, &len))
		return;
	if (point_time_parse(text))
		snprintf(p->verified, sizeof(p->verified), "%.*s",
			 (int)strcspn(text, "\n"), text);
	free(text);
}

int point_load(const char *folder, struct point *p)
{
	uint64_t number = p->number;
	char path[PATH_MAX], *text;
	const char *why;
	size_t len;
	int ret;

	snprintf(path, sizeof(path), "%s/%s", folder, POINT_FILE);
	ret = dtl_file_read(path, MAX_BYTES, &text, &len);
	if (ret == -ENOMEM)
		return ret;
	p->state = ret == -ENOENT ? POINT_PARTIAL : POINT_WHOLE;
	if (ret == -ENOENT)
		return 0;
	why = ret ? strerror(-ret) : point_parse(text, len, p);
	free(text);
	if (why)
		damaged(p, why);
	else if (p->number != number)
		damaged(p, "it is of another restore point");
	else
		load_verified(folder, p);
	p->number = number;
	return 0;
}

static bool check_image(const char *folder, const struct point_image *image,
			char *why)
{
	struct point_image now = *image;
	char path[PATH_MAX];
	struct stat st;
	int ret = point_take(folder, &now);

	snprintf(path, sizeof(path), "%s/%s", folder, image->file);
	if (ret)
		snprintf(why, POINT_WHY_LEN, "'%.900s': %s", path,
			 strerror(-ret));
	else if (now.bytes != image->bytes || now.modified != image->modified)
		snprintf(why, POINT_WHY_LEN, "'%.900s' was changed since", path);
	if (ret || now.bytes != image->bytes || now.modified != image->modified)
		return false;
	snprintf(path, sizeof(path), "%s/%s.dtrack", folder, image->file);
	if (!stat(path, &st))
		return true;
	snprintf(why, POINT_WHY_LEN, "'%.900s': %s", path, strerror(errno));
	return false;
}

bool point_check(const char *folder, const struct point *p, char *why)
{
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		if (!check_image(folder, &p->image[i], why))
			return false;
	return true;
}

/* ---- Writing ------------------------------------------------------------ */

int point_take(const char *folder, struct point_image *image)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", folder, image->file);
	if (lstat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	image->bytes = (uint64_t)st.st_size;
	image->modified = (uint64_t)st.st_mtim.tv_sec * 1000000000 +
			  (uint64_t)st.st_mtim.tv_nsec;
	return 0;
}

static void put_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, dtl_json_string(text));
}

static void put_number(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static struct json_object *image_json(const struct point_image *i)
{
	struct json_object *o = json_object_new_object();

	put_text(o, "device", i->device);
	put_text(o, "file", i->file);
	put_number(o, "size", i->size);
	put_number(o, "bytes", i->bytes);
	put_number(o, "modified", i->modified);
	put_text(o, "uuid", i->uuid);
	put_number(o, "generation", i->generation);
	json_object_object_add(o, "run", dtl_json_new_id(i->run));
	put_number(o, "copied", i->copied);
	return o;
}

static struct json_object *to_json(const struct point *p)
{
	struct json_object *o = json_object_new_object();
	struct json_object *images = json_object_new_array();
	unsigned int i;

	put_text(o, "format", FORMAT);
	put_number(o, "version", VERSION);
	put_number(o, "number", p->number);
	put_number(o, "previous", p->previous);
	put_text(o, "time", p->time);
	put_text(o, "why", p->why);
	put_text(o, "format-of-images", format_names[p->format]);
	for (i = 0; i < p->nr; i++)
		json_object_array_add(images, image_json(&p->image[i]));
	json_object_object_add(o, "images", images);
	return o;
}

int point_store(const char *folder, const struct point *p)
{
	struct json_object *o = to_json(p);
	char path[PATH_MAX], *text = dtl_json_print(o);
	int ret;

	snprintf(path, sizeof(path), "%s/%s", folder, POINT_FILE);
	ret = text ? dtl_file_replace(path, text, 0644) : -ENOMEM;
	free(text);
	json_object_put(o);
	return ret;
}

int point_store_verified(const char *folder, int64_t when)
{
	char path[PATH_MAX], line[POINT_TIME_LEN + 1], text[POINT_TIME_LEN];

	snprintf(path, sizeof(path), "%s/%s", folder, POINT_VERIFIED);
	snprintf(line, sizeof(line), "%s\n", point_time_format(when, text));
	return dtl_file_replace(path, line, 0644);
}

/* ---- Small things ------------------------------------------------------- */

#define TIME	"%Y-%m-%dT%H:%M:%SZ"

const char *point_time_format(int64_t when, char buf[POINT_TIME_LEN])
{
	time_t t = (time_t)when;
	struct tm tm = { 0 };

	gmtime_r(&t, &tm);
	if (!strftime(buf, POINT_TIME_LEN, TIME, &tm))
		buf[0] = '\0';
	return buf;
}

int64_t point_time_parse(const char *text)
{
	struct tm tm = { 0 };

	return strptime(text, TIME, &tm) ? timegm(&tm) : 0;
}

const struct point_image *point_image(const struct point *p,
				      const char *device)
{
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		if (!strcmp(p->image[i].device, device))
			return &p->image[i];
	return NULL;
}

uint64_t point_copied(const struct point *p)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		sum += p->image[i].copied;
	return sum;
}

void point_free(struct point *p)
{
	free(p->image);
	p->image = NULL;
	p->nr = 0;
}
