// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * point.c - a restore point: a folder with an image of each device.
 */
#include <errno.h>
#include <inttypes.h>
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
/* A line for each image. */
#define MAX_VERIFIED	(CONFIG_MAX_DEVICES * 192)

static const char broken[] = "a member is missing or of the wrong type";

static const char *const format_names[] = {
	[FORMAT_QCOW2] = "qcow2",
	[FORMAT_RAW] = "raw",
};

static const char *const consistency_names[] = {
	[POINT_UNKNOWN] = "",
	[POINT_LIVE] = "live",
	[POINT_INSTANT] = "instant",
	[POINT_HELD] = "held",
};

const char *point_format_word(int format)
{
	return format_names[format];
}

const char *point_consistency_word(int consistency)
{
	return consistency_names[consistency];
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

/* A word that a later version may have is not known. */
static int get_consistency(struct json_object *o)
{
	char word[16];
	size_t i;

	if (!dtl_json_text(o, "consistency", word, sizeof(word)))
		return POINT_UNKNOWN;
	for (i = 0; i < ARRAY_SIZE(consistency_names); i++)
		if (!strcmp(word, consistency_names[i]))
			return (int)i;
	return POINT_UNKNOWN;
}

static bool get_flag(struct json_object *o, const char *key, bool otherwise)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_boolean))
		return otherwise;
	return json_object_get_boolean(v);
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
	/* Of an older version's nobody knows: it shortens no history. */
	p->surprising = !p->previous && get_flag(root, "surprising", true);
	p->other_disk = get_flag(root, "other-disk", false);
	p->consistency = get_consistency(root);
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

static struct point_image *image_of(struct point *p, const char *file)
{
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		if (!strcmp(p->image[i].file, file))
			return &p->image[i];
	return NULL;
}

/* "TIME RUN BYTES MODIFIED FILE" */
static void take_proof(struct point *p, const char *line)
{
	char file[sizeof(p->image->file)];
	struct point_proof proof;
	struct point_image *image;
	uint64_t run;

	if (sscanf(line, "%23s %16" SCNx64 " %20" SCNu64 " %20" SCNu64 " %40s",
		   proof.when, &run, &proof.bytes, &proof.modified, file) != 5)
		return;
	image = image_of(p, file);
	if (!image || image->run != run || !point_time_parse(proof.when))
		return;
	image->proof = proof;
	image->read = true;
}

static void take_verified(struct point *p, char *text)
{
	char *line = strsep(&text, "\n");
	unsigned int i;

	if (strlen(line) < POINT_TIME_LEN && point_time_parse(line))
		strcpy(p->verified, line);
	for (i = 0; i < p->nr; i++)
		p->image[i].read = p->verified[0];
	while ((line = strsep(&text, "\n")))
		take_proof(p, line);
}

/* Without it, or with nonsense in it, none was. */
static void load_verified(const char *folder, struct point *p)
{
	char path[PATH_MAX], *text;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", folder, POINT_VERIFIED);
	if (dtl_file_read(path, MAX_VERIFIED, &text, &len))
		return;
	take_verified(p, text);
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
	if (!p->previous)
		json_object_object_add(o, "surprising",
				       json_object_new_boolean(p->surprising));
	if (p->other_disk)
		json_object_object_add(o, "other-disk",
				       json_object_new_boolean(true));
	if (p->consistency != POINT_UNKNOWN)
		put_text(o, "consistency",
			 consistency_names[p->consistency]);
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

/* When all were read; that none was: "-". */
static void set_verified(struct point *p, int64_t when)
{
	const char *oldest = NULL;
	char text[POINT_TIME_LEN];
	unsigned int i;

	point_time_format(when, text);
	p->verified[0] = '\0';
	for (i = 0; i < p->nr; i++) {
		const struct point_image *image = &p->image[i];
		const char *at = image->checked[0] ? image->checked : text;

		if (!image->read)
			return;
		if (!oldest || strcmp(at, oldest) < 0)
			oldest = at;
	}
	if (oldest)
		snprintf(p->verified, sizeof(p->verified), "%s", oldest);
}

static bool put_proofs(const char *folder, const struct point *p, FILE *f)
{
	unsigned int i;

	fprintf(f, "%s\n", p->verified[0] ? p->verified : "-");
	for (i = 0; i < p->nr; i++) {
		struct point_image now = p->image[i];

		if (!now.checked[0])
			continue;
		if (point_take(folder, &now))
			return false;
		fprintf(f, "%s %016" PRIx64 " %" PRIu64 " %" PRIu64 " %s\n",
			now.checked, now.run, now.bytes, now.modified, now.file);
	}
	return true;
}

int point_store_verified(const char *folder, struct point *p, int64_t when)
{
	char path[PATH_MAX], *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int ret = -ENOMEM;

	if (!f)
		return ret;
	set_verified(p, when);
	if (!put_proofs(folder, p, f))
		ret = -ESTALE;
	snprintf(path, sizeof(path), "%s/%s", folder, POINT_VERIFIED);
	if (!fclose(f) && ret != -ESTALE)
		ret = dtl_file_replace(path, text, 0644);
	free(text);
	return ret;
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
