// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * point-look.c - whether the files of a restore point are those of its run.
 *
 * No image is read: that costs nothing, and is done each time.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "point.h"

__attribute__((format(printf, 2, 3)))
static bool problem(struct point *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->problem, sizeof(p->problem), fmt, ap);
	va_end(ap);
	return false;
}

static bool has_file(const char *path, const char *suffix, char *name,
		     size_t size)
{
	struct stat st;

	snprintf(name, size, "%s%s", path, suffix);
	return !stat(name, &st);
}

/* The manifest is that of the image's run. */
static bool look_at_manifest(struct dtrack *h, const char *path,
			     struct point *p, const struct point_image *image)
{
	char name[PATH_MAX + 8];
	struct dtrack_manifest m;

	if (!has_file(path, ".dtrack", name, sizeof(name)))
		return problem(p, "'%.900s': %s", name, strerror(errno));
	if (dtrack_manifest_read(h, path, &m, sizeof(m)))
		return problem(p, "%.1000s", dtrack_errmsg(h));
	if (m.to != image->generation || m.run != image->run ||
	    strcmp(m.uuid, image->uuid))
		return problem(p, "the manifest of '%.900s' was changed since",
			       path);
	return true;
}

static bool look_at_image(struct dtrack *h, const char *folder, struct point *p,
			  struct point_image *image)
{
	struct point_image now = *image;
	char path[PATH_MAX], name[PATH_MAX + 16];
	int ret = point_take(folder, &now);

	snprintf(path, sizeof(path), "%s/%s", folder, image->file);
	if (ret)
		return problem(p, "'%.900s': %s", path, strerror(-ret));
	if (now.bytes != image->bytes)
		return problem(p, "'%.900s' was changed since", path);
	if (!look_at_manifest(h, path, p, image))
		return false;
	image->touched = now.modified != image->modified;
	if (image->proof.when[0] && image->proof.bytes == now.bytes &&
	    image->proof.modified == now.modified &&
	    has_file(path, ".dtrack.sums", name, sizeof(name)))
		memcpy(image->checked, image->proof.when,
		       sizeof(image->checked));
	return true;
}

void point_look(struct dtrack *h, const char *folder, struct point *p)
{
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		if (!look_at_image(h, folder, p, &p->image[i]))
			return;
}
