// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * manifest-info.c - what a target's manifest says, for programs.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manifest.h"

/* One manifest for one file, by whatever link it is called. */
static int path_of(struct dtrack *h, const char *target, char *path,
		   size_t size)
{
	char real[PATH_MAX];

	if (!realpath(target, real))
		return dtl_open_error(h, target);
	if (snprintf(path, size, "%s.dtrack", real) >= (int)size)
		return dtl_fail(h, -ENAMETOOLONG, NULL,
				"The name of target '%s' is too long", target);
	return 0;
}

static void tell(const struct dtl_manifest *m, struct dtrack_manifest *info)
{
	memset(info, 0, sizeof(*info));
	info->complete = m->complete;
	info->has_bitmap = m->has_bitmap;
	info->has_from = m->has_from;
	info->bytes = m->size;
	info->granularity = m->granularity;
	info->from = m->from;
	info->to = m->to;
	info->run = m->run;
	info->consistency = m->consistency;
	memcpy(info->uuid, m->uuid, sizeof(info->uuid));
}

int dtrack_manifest_read(struct dtrack *h, const char *target,
			 struct dtrack_manifest *manifest, size_t size)
{
	struct dtrack_manifest info;
	struct dtl_manifest m;
	char path[PATH_MAX];
	int ret = path_of(h, target, path, sizeof(path));

	if (ret)
		return ret;
	ret = dtl_manifest_load(h, path, &m);
	if (ret == -ENOENT)
		return dtl_fail(h, ret, DTL_CLASS_GENERIC,
				"Target '%s' has no manifest", target);
	if (ret)
		return ret;
	tell(&m, &info);
	memset(manifest, 0, size);
	memcpy(manifest, &info, size < sizeof(info) ? size : sizeof(info));
	return 0;
}
