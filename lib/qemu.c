// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * qemu.c - images, by qemu-img and qemu-nbd.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "json.h"
#include "qemu.h"

/* Smaller ones cost more than what they save: a disk's page, a file system's. */
#define MIN_CLUSTER	4096U

/* qemu-img begins its lines with its name. */
static const char *words(const struct dtl_child_text *text)
{
	const char *err = text->err;

	if (!strncmp(err, "qemu-img: ", 10))
		err += 10;
	return *err ? err : "it does not say why";
}

static int not_run(struct dtrack *h, int err)
{
	return dtl_fail(h, err, DTL_CLASS_GENERIC,
			"Could not run qemu-img: %s", err == -ENOENT ?
			"it is not installed" : strerror(-err));
}

static int qemu_img(struct dtrack *h, char *const argv[],
		    struct dtl_child_text *text)
{
	int ret = dtl_child_run(argv, text);

	return ret < 0 ? not_run(h, ret) : ret;
}

static uint64_t number(struct json_object *o, const char *key)
{
	uint64_t n;

	return dtl_json_u64(o, key, &n) ? n : 0;
}

static void tell_file(struct json_object *o, const struct dtl_qemu_info *info)
{
	struct json_object *name;

	if (info->file && json_object_object_get_ex(o, "filename", &name))
		info->file(info->opaque, json_object_get_string(name));
}

/* Of an image, or of a chain's first. */
static bool read_info(int fd, struct dtl_qemu_info *info)
{
	struct json_object *it, *first;
	size_t i, nr = 1;
	bool good;

	lseek(fd, 0, SEEK_SET);
	it = json_object_from_fd(fd);
	first = it;
	if (json_object_is_type(it, json_type_array)) {
		nr = json_object_array_length(it);
		first = json_object_array_get_idx(it, 0);
	}
	good = json_object_is_type(first, json_type_object) &&
	       dtl_json_u64(first, "virtual-size", &info->size);
	info->cluster = good ? number(first, "cluster-size") : 0;
	for (i = 0; good && i < nr; i++)
		tell_file(first == it ? it : json_object_array_get_idx(it, i),
			  info);
	json_object_put(it);
	return good;
}

int dtl_qemu_look(struct dtrack *h, const char *path, const char *format,
		  bool alone, struct dtl_qemu_info *info)
{
	char *const argv[] = {
		"qemu-img", "info", "--output=json", "-U", "-f", (char *)format,
		(char *)path, alone ? NULL : "--backing-chain", NULL,
	};
	/* Of a long chain it is a long text. */
	int fd = memfd_create("info", MFD_CLOEXEC);
	struct dtl_child_text text;
	int ret = dtl_child_run_into(argv, fd, &text);

	if (ret < 0)
		ret = not_run(h, ret);
	else if (ret)
		ret = dtl_fail(h, -ENOLINK, DTL_CLASS_GENERIC,
			       "Could not open the image '%s': %s", path,
			       words(&text));
	else if (!read_info(fd, info))
		ret = dtl_fail(h, -EINVAL, DTL_CLASS_GENERIC,
			       "Could not tell the size of the image '%s'",
			       path);
	dtl_close(fd);
	return ret;
}

/* A table of tables has 32 MiB at most; each of these is a cluster. */
static uint64_t most_bytes(uint64_t cluster)
{
	return (32ULL << 20) / 8 * (cluster / 8) * cluster;
}

uint64_t dtl_qemu_cluster(uint64_t granule, uint64_t size)
{
	uint64_t cluster = DTL_QEMU_CLUSTER;

	if (!granule)
		return cluster;
	/* What the image needs for itself is far less than a sixty-fourth. */
	while (cluster > MIN_CLUSTER && cluster > granule &&
	       most_bytes(cluster / 2) >= size + size / 64)
		cluster /= 2;
	return cluster;
}

int dtl_qemu_create(struct dtrack *h, const char *path, uint64_t size,
		    uint64_t cluster, const char *backing, const char *format)
{
	char bytes[32], option[64], *argv[16];
	struct dtl_child_text text;
	int ret, nr = 0;

	snprintf(bytes, sizeof(bytes), "%" PRIu64, size);
	snprintf(option, sizeof(option), "cluster_size=%" PRIu64, cluster);
	argv[nr++] = "qemu-img";
	argv[nr++] = "create";
	argv[nr++] = "-q";
	argv[nr++] = "-f";
	argv[nr++] = "qcow2";
	argv[nr++] = "-o";
	argv[nr++] = option;
	if (backing) {
		argv[nr++] = "-F";
		argv[nr++] = (char *)format;
		argv[nr++] = "-b";
		argv[nr++] = (char *)backing;
	}
	argv[nr++] = (char *)path;
	argv[nr++] = bytes;
	argv[nr] = NULL;
	ret = qemu_img(h, argv, &text);
	if (ret > 0)
		ret = dtl_fail(h, -EIO, DTL_CLASS_GENERIC,
			       "Could not make the image '%s': %s", path,
			       words(&text));
	return ret;
}

/* ---- Serving ------------------------------------------------------------ */

/*
 * The server is in a session of its own: Ctrl-C is ours to act on, and it is to
 * write what we write until we say that it was the last.  It ends with the last
 * connection.  What it says goes to a file of ours.
 */
static int serve(struct dtrack *h, const char *path, const char *format,
		 bool direct, const struct dtl_nbd_place *place, const char *complaints,
		 struct dtl_nbd **nbd)
{
	char *const command[] = {
		"sh", "-c", "exec setsid qemu-nbd \"$@\" 2>>\"$0\" >&2",
		(char *)complaints,
		"-f", (char *)format,
		"--discard=unmap", "--detect-zeroes=off",
		direct ? "--cache=none" : "--cache=writeback",
		place->writable ? "--shared=1" : "--read-only",
		(char *)path, NULL,
	};
	struct dtl_nbd_place it = *place;

	it.uri = NULL;
	it.command = command;
	return dtl_nbd_open(h, &it, nbd);
}

/* What the server said about it is more to the point. */
static int improve(struct dtrack *h, const char *name, int complaints, int err)
{
	char line[1024];
	const char *says = line;

	dtl_child_last_line(complaints, line, sizeof(line));
	if (!line[0] || err == -ECANCELED || err == -ENOMEM)
		return err;
	if (!strncmp(says, "qemu-nbd: ", 10))
		says += 10;
	return dtl_fail(h, err, DTL_CLASS_GENERIC,
			"Could not start qemu-nbd for '%s': %s", name, says);
}

int dtl_qemu_serve(struct dtrack *h, const char *path, const char *format,
		   bool direct, const struct dtl_nbd_place *place,
		   struct dtl_nbd **nbd)
{
	int ret, fd = memfd_create("complaints", MFD_CLOEXEC);
	char complaints[64];

	if (fd < 0)
		return dtl_fail(h, -errno, NULL,
				"Could not start qemu-nbd: %s", strerror(errno));
	snprintf(complaints, sizeof(complaints), "/proc/%d/fd/%d", getpid(),
		 fd);
	ret = serve(h, path, format, direct, place, complaints, nbd);
	if (ret)
		ret = improve(h, place->name, fd, ret);
	dtl_close(fd);
	return ret;
}

/* Without what it lies over.  Return: what qemu takes for a name, or NULL. */
static char *name_alone(const char *path)
{
	struct json_object *image = json_object_new_object();
	struct json_object *file = json_object_new_object();
	char *name;

	json_object_object_add(file, "filename", dtl_json_string(path));
	json_object_object_add(image, "driver", dtl_json_string("qcow2"));
	json_object_object_add(image, "backing", NULL);
	json_object_object_add(image, "file", file);
	/* A file may have any name, but a JSON string is UTF-8. */
	if (!dtl_is_utf8(path))
		name = strdup(path);
	else if (asprintf(&name, "json:%s", json_object_to_json_string_ext(image,
			  JSON_C_TO_STRING_NOSLASHESCAPE)) < 0)
		name = NULL;
	json_object_put(image);
	return name;
}

int dtl_qemu_serve_alone(struct dtrack *h, const char *path, bool direct,
			 const struct dtl_nbd_place *place,
			 struct dtl_nbd **nbd)
{
	char *name = name_alone(path);
	int ret;

	if (!name)
		return dtl_nomem(h);
	ret = dtl_qemu_serve(h, name, "qcow2", direct, place, nbd);
	free(name);
	return ret;
}

/* ---- What an image has itself ------------------------------------------- */

static bool is_true(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) &&
	       json_object_get_boolean(v);
}

static bool is_own(struct json_object *o)
{
	struct json_object *v;
	uint64_t depth;

	if (!dtl_json_u64(o, "depth", &depth) || depth)
		return false;
	return json_object_object_get_ex(o, "present", &v) ?
	       is_true(o, "present") : is_true(o, "data");
}

/* Return: 0, what @own said, or -EINVAL. */
static int see_extent(char *line,
		      int (*own)(void *opaque,
				 const struct dtrack_range *range),
		      void *opaque)
{
	struct dtrack_range range;
	struct json_object *o;
	uint64_t start, length;
	int ret = -EINVAL;

	line[strcspn(line, "}") + 1] = '\0';
	o = json_tokener_parse(line + (line[0] == '['));
	if (dtl_json_u64(o, "start", &start) &&
	    dtl_json_u64(o, "length", &length)) {
		range = (struct dtrack_range){ start, length };
		ret = is_own(o) ? own(opaque, &range) : 0;
	}
	json_object_put(o);
	return ret;
}

/**
 * struct extents - what an image has, as it is told.
 * @own: told of what it has itself
 * @opaque: handed to it
 * @ret: what it said, or -EINVAL
 */
struct extents {
	int (*own)(void *opaque, const struct dtrack_range *range);
	void *opaque;
	int ret;
};

/* An extent a line; there may be more than memory has room for. */
static void see_extents(void *opaque, FILE *map)
{
	struct extents *e = opaque;
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, map) > 0)
		if (!e->ret && strchr(line, '{'))
			e->ret = see_extent(line, e->own, e->opaque);
	free(line);
}

static int map(struct dtrack *h, const char *path, char *name,
	       struct extents *e)
{
	char *const argv[] = {
		"qemu-img", "map", "--output=json", "-U", "-f", "qcow2", name,
		NULL,
	};
	struct dtl_child_text text;
	int ret = dtl_child_read(argv, see_extents, e, &text);

	if (ret < 0)
		return not_run(h, ret);
	if (e->ret && e->ret != -EINVAL)
		return e->ret;
	if (ret)
		return dtl_fail(h, -ENOLINK, DTL_CLASS_GENERIC,
				"Could not tell what is in the image '%s': %s",
				path, words(&text));
	if (e->ret)
		return dtl_fail(h, -EINVAL, DTL_CLASS_GENERIC,
				"Could not tell what is in the image '%s'",
				path);
	return 0;
}

int dtl_qemu_map(struct dtrack *h, const char *path,
		 int (*own)(void *opaque, const struct dtrack_range *range),
		 void *opaque)
{
	struct extents e = { .own = own, .opaque = opaque };
	char *name = name_alone(path);
	int ret = name ? map(h, path, name, &e) : dtl_nomem(h);

	free(name);
	return ret;
}
