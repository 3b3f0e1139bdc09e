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

/* From the folder of @path, by its real name.  Return: whether it fits. */
static bool resolve(char *path, size_t size, const char *backing)
{
	char real[PATH_MAX], name[PATH_MAX];

	if (!realpath(path, real) && snprintf(real, sizeof(real), "%s", path) >=
				     (int)sizeof(real))
		return false;
	if (backing[0] == '/')
		real[0] = '\0';
	if (snprintf(name, sizeof(name), "%s%s%s", real[0] ? dirname(real) : "",
		     real[0] ? "/" : "", backing) >= (int)sizeof(name))
		return false;
	return snprintf(path, size, "%s", realpath(name, real) ? : name) <
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

static int load(struct dtrack *h, const char *path, struct dtl_manifest *m)
{
	char name[PATH_MAX];
	int ret = dtl_manifest_name(h, path, name, sizeof(name));

	if (!ret)
		ret = dtl_manifest_load(h, name, m);
	if (ret == -ENOENT)
		dtl_fail(h, ret, DTL_CLASS_GENERIC, "'%s' has no manifest",
			 path);
	return ret;
}

enum dtl_link dtl_links_next(struct dtrack *h, char *path, size_t size,
			     struct dtl_manifest *m)
{
	struct dtl_manifest above = *m;

	if (!above.backing[0])
		return DTL_LINK_END;
	if (!resolve(path, size, above.backing)) {
		dtl_fail(h, -ENAMETOOLONG, NULL,
			 "The name of target '%s' is too long", above.backing);
		return DTL_LINK_LOST;
	}
	if (load(h, path, m))
		return DTL_LINK_LOST;
	if (!above.has_from)
		return DTL_LINK_FORCED;
	return is_link(m, &above) ? DTL_LINK_GOOD : DTL_LINK_OTHER;
}
