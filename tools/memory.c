// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memory.c - what reading images has shown is remembered in their repository.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chain.h"
#include "damage.h"
#include "memory.h"
#include "output.h"

/* ---- Where an image is -------------------------------------------------- */

/**
 * struct place - where in a repository an image is.
 * @chain: path of the chain
 * @folder: path of the restore point
 * @point: the restore point
 * @image: it
 */
struct place {
	char chain[4096];
	char folder[4096];
	struct point point;
	struct point_image *image;
};

/* Cuts the last part off. */
static const char *cut(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		return "";
	*slash = '\0';
	return slash + 1;
}

static struct point_image *image_of(struct point *p, const char *file)
{
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		if (!strcmp(p->image[i].file, file))
			return &p->image[i];
	return NULL;
}

/* Return: whether it is an image of a restore point; point_free() that. */
static bool find(struct dtrack *h, const char *path, struct place *at)
{
	const char *file, *name;
	char real[4096];

	memset(&at->point, 0, sizeof(at->point));
	if (strlen(path) >= sizeof(real))
		return false;
	strcpy(real, path);
	file = cut(real);
	strcpy(at->folder, real);
	name = cut(real);
	strcpy(at->chain, real);
	at->point.number = chain_number(name);
	if (!at->point.number || !chain_number(cut(real)))
		return false;
	strcpy(at->point.name, name);
	if (point_load(at->folder, &at->point) ||
	    at->point.state != POINT_WHOLE)
		return false;
	point_look(h, at->folder, &at->point);
	at->image = image_of(&at->point, file);
	return at->image;
}

/* ---- Seeing ------------------------------------------------------------- */

static void look(struct memory_image *i)
{
	struct point_image now = { 0 };
	char path[4096];
	const char *file;

	strcpy(path, i->path);
	file = cut(path);
	if (strlen(file) >= sizeof(now.file))
		return;
	strcpy(now.file, file);
	if (point_take(path, &now))
		return;
	i->before.bytes = now.bytes;
	i->before.modified = now.modified;
}

static bool is_there(struct memory *m, const char *path)
{
	for (m->at = 0; m->at < m->nr; m->at++)
		if (!strcmp(m->image[m->at].path, path))
			return true;
	return false;
}

static void add(struct memory *m, const char *path)
{
	struct memory_image *i;
	char real[PATH_MAX];

	if (!realpath(path, real))
		snprintf(real, sizeof(real), "%s", path);
	if (is_there(m, real))
		return;
	i = realloc(m->image, (m->nr + 1) * sizeof(*i));
	if (!i)
		return;
	m->image = i;
	i += m->nr++;
	memset(i, 0, sizeof(*i));
	snprintf(i->path, sizeof(i->path), "%s", real);
	i->ranges = json_object_new_array();
	look(i);
}

void memory_begin(struct memory *m, const char *target)
{
	if (!strncmp(target, "qcow2:", 6))
		target += 6;
	else if (!strncmp(target, "raw:", 4))
		target += 4;
	add(m, target);
}

void memory_image(struct memory *m, const char *path)
{
	add(m, path);
}

static void add_range(struct memory_image *i, const struct dtrack_range *range)
{
	struct json_object *o;

	if (json_object_array_length(i->ranges) >= DAMAGE_MAX_RANGES)
		return;
	o = json_object_new_object();
	json_object_object_add(o, "start",
			       json_object_new_uint64(range->start));
	json_object_object_add(o, "length",
			       json_object_new_uint64(range->length));
	json_object_array_add(i->ranges, o);
}

void memory_found(struct memory *m, const struct dtrack_range *range,
		  const char *why)
{
	struct memory_image *i = m->at < m->nr ? &m->image[m->at] : NULL;

	if (!i)
		return;
	if (range)
		add_range(i, range);
	if (i->what[0])
		return;
	if (why)
		snprintf(i->what, sizeof(i->what), "%.1000s", why);
	else
		snprintf(i->what, sizeof(i->what),
			 "it does not have its checksum at byte %" PRIu64,
			 (uint64_t)range->start);
	clean_line(i->what);
}

const char *memory_what(const struct memory *m)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++)
		if (m->image[i].what[0])
			return m->image[i].what;
	return "";
}

/* ---- Remembering -------------------------------------------------------- */

/* A repository that may only be read is as good as any to read from. */
static bool not_kept(struct memory *m, const char *path, int err)
{
	if (err == -EROFS || err == -EACCES || err == -EPERM)
		return true;
	if (!m->why[0])
		snprintf(m->why, sizeof(m->why),
			 "What was found could not be noted in '%.900s': %s",
			 path, strerror(-err));
	return false;
}

static bool note_damage(struct memory *m, const struct memory_image *i,
			const struct place *at, const char *path)
{
	char when[POINT_TIME_LEN];
	struct damage_finding f = {
		.point = at->point.name,
		.file = at->image->file,
		.what = i->what,
		.when = point_time_format(time(NULL), when),
		.by = m->by,
		.ranges = i->ranges,
	};
	int ret = damage_note(path, &f);

	return ret ? not_kept(m, path, ret) : true;
}

/* What version 0.1.0 marked a chain with: "'FOLDER/CHAIN/POINT/FILE': ...". */
static void clear_broken(const struct place *at)
{
	char path[4096 + 16], image[2 * FILE_NAME_LEN + 64], *text;
	size_t len;

	snprintf(path, sizeof(path), "%s/" CHAIN_BROKEN, at->chain);
	snprintf(image, sizeof(image), "/%s/%s'", at->point.name,
		 at->image->file);
	if (dtl_file_read(path, POINT_WHY_LEN, &text, &len))
		return;
	if (strstr(text, image) && !unlink(path))
		dtl_sync_folder(at->chain);
	free(text);
}

static bool note_well(struct memory *m, const struct memory_image *i,
		      struct place *at, const char *path, bool medium)
{
	char when[POINT_TIME_LEN];
	int64_t now = time(NULL);
	struct point_image file = *at->image;
	int ret = damage_clear(path, at->point.name, at->image->file);

	if (ret)
		return not_kept(m, path, ret);
	clear_broken(at);
	at->image->read = true;
	if (medium && !at->point.problem[0] && !point_take(at->folder, &file) &&
	    file.bytes == i->before.bytes &&
	    file.modified == i->before.modified)
		snprintf(at->image->checked, sizeof(at->image->checked), "%s",
			 point_time_format(now, when));
	ret = point_store_verified(at->folder, &at->point, now);
	return ret ? not_kept(m, at->folder, ret) : true;
}

static bool keep(struct memory *m, const struct memory_image *i,
		 enum memory_end end)
{
	char path[4096 + 16];
	struct place at;
	bool good = true;

	if (find(m->h, i->path, &at)) {
		snprintf(path, sizeof(path), "%s/" DAMAGE_FILE, at.chain);
		if (i->what[0])
			good = note_damage(m, i, &at, path);
		else if (end != MEMORY_PART)
			good = note_well(m, i, &at, path,
					 end == MEMORY_MEDIUM);
	}
	point_free(&at.point);
	return good;
}

bool memory_keep(struct memory *m, enum memory_end end)
{
	bool good = true;
	unsigned int i;

	for (i = 0; i < m->nr; i++)
		good &= keep(m, &m->image[i], end);
	return good;
}

void memory_free(struct memory *m)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++)
		json_object_put(m->image[i].ranges);
	free(m->image);
	m->image = NULL;
	m->nr = 0;
}
