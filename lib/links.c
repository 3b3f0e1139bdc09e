// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * links.c - whether images lie over what they were made over.
 *
 * That all of them can be opened is qemu's to say.
 */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "links.h"

/* A chain may be long, but must not be a ring. */
#define MAX_LINKS	1000

/* From the folder of @path, by its real name.  Return: whether it fits. */
static bool resolve(char *path, size_t size, const char *backing)
{
	char real[PATH_MAX];

	if (backing[0] == '/')
		return snprintf(path, size, "%s", backing) < (int)size;
	if (!realpath(path, real))
		return false;
	return snprintf(path, size, "%s/%s", dirname(real), backing) <
	       (int)size;
}

static bool is_link(const struct dtl_manifest *below,
		    const struct dtl_manifest *above)
{
	if (!below->has_bitmap || strcmp(below->uuid, above->uuid))
		return false;
	return below->to == above->from ||
	       (!below->complete && below->has_from &&
		below->from == above->from);
}

bool dtl_links_check(struct dtrack *h, const char *path, struct dtl_manifest *m,
		     char *why, size_t size)
{
	char at[PATH_MAX], name[PATH_MAX];
	struct dtl_manifest below;
	unsigned int i;

	snprintf(at, sizeof(at), "%s", path);
	for (i = 0; i < MAX_LINKS && m->backing[0] && m->has_from; i++) {
		if (!resolve(at, sizeof(at), m->backing) ||
		    dtl_manifest_name(h, at, name, sizeof(name)) ||
		    dtl_manifest_load(h, name, &below)) {
			snprintf(why, size, "'%s', which it lies over, has no manifest",
				 m->backing);
			return false;
		}
		if (!is_link(&below, m)) {
			snprintf(why, size, "'%s' is not what it was made over",
				 m->backing);
			return false;
		}
		*m = below;
	}
	return true;
}
