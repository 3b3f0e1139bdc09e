// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * repository.c - whose a job's folder is.
 *
 * A folder belongs to one job of one machine, and says so.  The job remembers
 * the repository in /var/lib as well: a folder that is empty although there was
 * one is the place of a disk that is not mounted.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "json.h"
#include "repository.h"

#define FORMAT		"dtrack-repository"
#define JOB_FORMAT	"dtrack-job"
#define VERSION		1
#define MAX_BYTES	(1 << 20)
#define PLACE		"/var/lib/dtrack"

/**
 * struct owner - what repository.json says.
 * @uuid: as there
 * @job: as there
 * @machine: as there
 * @host: as there
 * @made: as there
 */
struct owner {
	char uuid[DTRACK_UUID_TEXT];
	char job[4096];
	char machine[17];
	char host[256];
	char made[POINT_TIME_LEN];
};

__attribute__((format(printf, 3, 4)))
static int failed(struct repository *r, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return ret;
}

static void folder_path(const struct repository *r, const char *name,
			char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", r->c->folder, name);
}

/* ---- Job and machine ---------------------------------------------------- */

/* /etc/dtrack/NAME.conf is NAME. */
static void name_job(const char *path, char *job, size_t size)
{
	static const char place[] = "/etc/dtrack/", suffix[] = ".conf";
	char real[PATH_MAX];
	size_t len;

	snprintf(job, size, "%s", realpath(path, real) ? real : path);
	len = strlen(job);
	if (strncmp(job, place, strlen(place)) ||
	    strchr(job + strlen(place), '/') ||
	    len <= strlen(place) + strlen(suffix) ||
	    strcmp(job + len - strlen(suffix), suffix))
		return;
	job[len - strlen(suffix)] = '\0';
	memmove(job, job + strlen(place), strlen(job + strlen(place)) + 1);
}

/* The id itself is confidential: see machine-id(5). */
static void name_machine(char machine[17])
{
	static const char salt[] = "dtrack-repository:";
	char text[128];
	size_t len, n;
	FILE *f = fopen("/etc/machine-id", "re");

	machine[0] = '\0';
	if (!f)
		return;
	memcpy(text, salt, sizeof(salt));
	len = strlen(salt);
	n = fread(text + len, 1, sizeof(text) - len - 1, f);
	fclose(f);
	text[len + n] = '\0';
	n = strcspn(text + len, "\n");
	if (n)
		snprintf(machine, 17, "%016" PRIx64,
			 (uint64_t)XXH3_64bits(text, len + n));
}

void repository_init(struct repository *r, const struct config *c,
		     const char *path)
{
	memset(r, 0, sizeof(*r));
	r->c = c;
	name_job(path, r->job, sizeof(r->job));
	name_machine(r->machine);
}

/* ---- Documents ---------------------------------------------------------- */

static void put_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, dtl_json_string(text));
}

/* Return: the document, or NULL with *@err: -EBADMSG if it is none of @format. */
static struct json_object *load(const char *path, const char *format, int *err)
{
	struct json_object *o = NULL;
	char *text, word[32];
	uint64_t version;
	size_t len;

	*err = dtl_file_read(path, MAX_BYTES, &text, &len);
	if (*err)
		return NULL;
	o = json_tokener_parse(text);
	free(text);
	if (json_object_is_type(o, json_type_object) &&
	    dtl_json_text(o, "format", word, sizeof(word)) &&
	    !strcmp(word, format) && dtl_json_u64(o, "version", &version) &&
	    version == VERSION)
		return o;
	json_object_put(o);
	*err = -EBADMSG;
	return NULL;
}

static int store(const char *path, struct json_object *o, mode_t mode)
{
	char *text = dtl_json_print(o);
	int ret = text ? dtl_file_replace(path, text, mode) : -ENOMEM;

	free(text);
	json_object_put(o);
	return ret;
}

/* Return: 0, -ENOENT: there is none; or another with @r->why. */
static int load_owner(struct repository *r, struct owner *owner)
{
	struct json_object *o;
	char path[PATH_MAX];
	int ret;

	memset(owner, 0, sizeof(*owner));
	folder_path(r, REPOSITORY_FILE, path);
	o = load(path, FORMAT, &ret);
	if (o && (!dtl_json_text(o, "uuid", owner->uuid, sizeof(owner->uuid)) ||
		  !dtl_json_text(o, "job", owner->job, sizeof(owner->job)) ||
		  !dtl_json_text(o, "machine", owner->machine,
				 sizeof(owner->machine))))
		ret = -EBADMSG;
	if (o) {
		dtl_json_text(o, "host", owner->host, sizeof(owner->host));
		dtl_json_text(o, "made", owner->made, sizeof(owner->made));
	}
	json_object_put(o);
	if (ret && ret != -ENOENT)
		failed(r, ret, "Could not read '%s': %s", path,
		       ret == -EBADMSG ?
		       "it is damaged, or of a newer version" : strerror(-ret));
	return ret;
}

static int store_owner(struct repository *r, const struct owner *owner)
{
	struct json_object *o = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	char path[PATH_MAX];
	unsigned int i;
	int ret;

	put_text(o, "format", FORMAT);
	json_object_object_add(o, "version", json_object_new_int(VERSION));
	put_text(o, "uuid", owner->uuid);
	put_text(o, "job", owner->job);
	put_text(o, "machine", owner->machine);
	put_text(o, "host", owner->host);
	for (i = 0; i < r->c->nr; i++)
		json_object_array_add(devices,
				      dtl_json_string(r->c->device[i].name));
	json_object_object_add(o, "devices", devices);
	put_text(o, "made", owner->made);
	folder_path(r, REPOSITORY_FILE, path);
	ret = store(path, o, 0644);
	return ret ? failed(r, ret, "Could not write '%s': %s", path,
			    strerror(-ret)) : 0;
}

/* ---- What the job remembers --------------------------------------------- */

static void memory_path(const struct repository *r, char path[PATH_MAX])
{
	const char *p = r->job;
	size_t len = strlen(p);
	int n = snprintf(path, PATH_MAX, PLACE "/");

	/* No name is longer; the end of a path tells more than its beginning. */
	if (len > 60) {
		n += snprintf(path + n, PATH_MAX - (size_t)n, "%016" PRIx64 "-",
			      (uint64_t)XXH3_64bits(p, len));
		p += len - 60;
	}
	for (; *p; p++)
		n += snprintf(path + n, PATH_MAX - (size_t)n,
			      *p == '/' || *p == '%' ? "%%%02X" : "%c", *p);
	snprintf(path + n, PATH_MAX - (size_t)n, ".json");
}

/* Return: whether the job has a repository; what cannot be read is none. */
static bool recall(const struct repository *r, char uuid[DTRACK_UUID_TEXT])
{
	struct json_object *o;
	char path[PATH_MAX];
	bool good;
	int ret;

	memory_path(r, path);
	o = load(path, JOB_FORMAT, &ret);
	good = o && dtl_json_text(o, "repository", uuid, DTRACK_UUID_TEXT);
	json_object_put(o);
	return good;
}

int repository_remember(struct repository *r)
{
	char path[PATH_MAX], uuid[DTRACK_UUID_TEXT];
	struct json_object *o;
	int ret;

	if (recall(r, uuid) && !strcmp(uuid, r->uuid))
		return 0;
	memory_path(r, path);
	o = json_object_new_object();
	put_text(o, "format", JOB_FORMAT);
	json_object_object_add(o, "version", json_object_new_int(VERSION));
	put_text(o, "job", r->job);
	put_text(o, "repository", r->uuid);
	put_text(o, "folder", r->c->folder);
	ret = mkdir(PLACE, 0700) && errno != EEXIST ? -errno : 0;
	if (!ret)
		ret = store(path, o, 0600);
	else
		json_object_put(o);
	return ret ? failed(r, ret,
			    "Could not write '%s': %s; a disk that is not mounted would not be noticed",
			    path, strerror(-ret)) : 0;
}

/* ---- What is in the folder ---------------------------------------------- */

/* A file, or what a run that was killed had written of it. */
static bool is_file(const char *name, const char *file)
{
	size_t len = strlen(file);

	return !strncmp(name, file, len) &&
	       (!name[len] || !strcmp(name + len, ".new"));
}

/* What may be where nothing of a job is yet. */
static int see_entry(void *opaque, const char *name)
{
	const struct repository *r = opaque;
	const char *status = strrchr(r->c->status, '/');

	return strcmp(name, "lost+found") && strcmp(name, "lock") &&
	       !is_file(name, "status.json") &&
	       !is_file(name, REPOSITORY_FILE) &&
	       (!status || !is_file(name, status + 1));
}

static bool is_empty(struct repository *r)
{
	return !file_each(r->c->folder, see_entry, r);
}

static bool exists(const struct repository *r)
{
	char path[PATH_MAX];
	struct stat st;

	folder_path(r, REPOSITORY_FILE, path);
	return !lstat(path, &st);
}

int repository_check_place(struct repository *r, int wish)
{
	char uuid[DTRACK_UUID_TEXT];
	struct stat st;

	if (stat(r->c->folder, &st) || !S_ISDIR(st.st_mode))
		return 0;
	if (st.st_mode & S_IWOTH ||
	    (st.st_mode & S_IWGRP && st.st_gid))
		return failed(r, -1,
			      "'%s' can be written to by others than root (mode %03o)",
			      r->c->folder, st.st_mode & 0777);
	if (wish != REPOSITORY_USE || exists(r) || !is_empty(r) ||
	    !recall(r, uuid))
		return 0;
	return failed(r, -1,
		      "'%s' is empty, and the job has a repository (%s): its disk is not mounted; 'dtrack run --init' begins anew",
		      r->c->folder, uuid);
}

/* ---- Taking it ---------------------------------------------------------- */

static int draw_uuid(char uuid[DTRACK_UUID_TEXT])
{
	uint8_t bytes[DTRACK_UUID_LEN];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -errno;
	bytes[6] = (bytes[6] & 0x0f) | 0x40;
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	dtrack_uuid_format(bytes, uuid);
	return 0;
}

/* The job's from here on; @owner has a uuid, or is a new one. */
static int take(struct repository *r, struct owner *owner)
{
	int ret = owner->uuid[0] ? 0 : draw_uuid(owner->uuid);

	if (ret)
		return failed(r, ret, "Could not draw a uuid: %s",
			      strerror(-ret));
	snprintf(owner->job, sizeof(owner->job), "%s", r->job);
	memcpy(owner->machine, r->machine, sizeof(owner->machine));
	if (gethostname(owner->host, sizeof(owner->host) - 1))
		owner->host[0] = '\0';
	if (!owner->made[0])
		point_time_format(time(NULL), owner->made);
	memcpy(r->uuid, owner->uuid, sizeof(r->uuid));
	return store_owner(r, owner);
}

/* Of a folder of 0.1.0, which says nothing: its newest restore point tells. */
static bool has_devices(const struct repository *r, const struct store *s)
{
	const struct chain *c = store_newest(s);
	const struct point *p = c ? chain_last(c) : NULL;
	unsigned int i;

	if (!p || p->state != POINT_WHOLE)
		return false;
	for (i = 0; i < p->nr; i++) {
		unsigned int k;

		for (k = 0; k < r->c->nr; k++)
			if (!strcmp(r->c->device[k].name, p->image[i].device))
				break;
		if (k == r->c->nr)
			return false;
	}
	return true;
}

static int begin(struct repository *r, const struct store *s, int wish)
{
	struct owner owner = { 0 };
	char uuid[DTRACK_UUID_TEXT];

	if (wish != REPOSITORY_USE)
		return take(r, &owner);
	if (is_empty(r) && !recall(r, uuid))
		return take(r, &owner);
	if (is_empty(r))
		return repository_check_place(r, wish);
	if (!s->nr)
		return failed(r, -1,
			      "'%s' is not empty, and no repository; 'dtrack run --init' makes one of it",
			      r->c->folder);
	if (has_devices(r, s))
		return take(r, &owner);
	return failed(r, -1,
		      "'%s' has restore points of other devices than the job's; 'dtrack run --adopt' takes it over",
		      r->c->folder);
}

static int refuse(struct repository *r, const struct owner *owner)
{
	bool here = !strcmp(owner->machine, r->machine);

	return failed(r, -1,
		      "'%s' is the repository of job '%s' of %s%s%s, this is job '%s'%s; 'dtrack run --adopt' takes it over",
		      r->c->folder, owner->job,
		      here ? "this machine" : "another machine",
		      here || !owner->host[0] ? "" : " named ",
		      here ? "" : owner->host, r->job,
		      here ? "" : " of this one");
}

int repository_open(struct repository *r, const struct store *s, int wish)
{
	struct owner owner;
	int ret = load_owner(r, &owner);

	if (ret == -ENOENT)
		return begin(r, s, wish);
	if (ret == -EBADMSG && wish == REPOSITORY_ADOPT) {
		memset(&owner, 0, sizeof(owner));
		return take(r, &owner);
	}
	if (ret)
		return ret;
	if (wish == REPOSITORY_INIT)
		return failed(r, -1, "'%s' is a repository already (of job '%s')",
			      r->c->folder, owner.job);
	if (wish == REPOSITORY_ADOPT)
		return take(r, &owner);
	if (strcmp(owner.job, r->job) || strcmp(owner.machine, r->machine))
		return refuse(r, &owner);
	memcpy(r->uuid, owner.uuid, sizeof(r->uuid));
	return 0;
}
