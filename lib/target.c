// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * target.c - where a backup goes, whatever its kind.
 *
 * What the target has to look like for a run is check.c's.
 */
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "target.h"

int dtl_target_open(struct dtrack *h, const char *name,
		    struct dtrack_dev source, struct dtl_target *t)
{
	t->fd = -1;
	t->direct = -1;
	if (dtl_target_is_nbd(name))
		return dtl_target_open_nbd(h, name, t);
	if (dtl_target_is_qcow2(name))
		return dtl_target_open_qcow2(h, name, source, t);
	return dtl_target_open_raw(h, name, source, t);
}

int dtl_target_claim(struct dtrack *h, struct dtl_target *t, int *place)
{
	char copy[sizeof(t->path)];

	*place = -1;
	if (t->exists)
		return 0;
	memcpy(copy, t->path, sizeof(copy));
	*place = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*place < 0)
		return dtl_open_error(h, t->path);
	/* Network file systems may refuse it. */
	while (flock(*place, LOCK_EX) && errno == EINTR)
		;
	if (!access(t->path, F_OK))
		return dtl_fail(h, -EBUSY, NULL,
				"Target '%s' is used by another run", t->path);
	return t->ops->claim ? t->ops->claim(h, t) : 0;
}

bool dtl_target_same(const struct dtl_target *a, const struct dtl_target *b)
{
	return a->ops == b->ops && a->ops->same(a, b);
}

const char *dtl_target_why(const struct dtl_target *t, int err)
{
	const char *lost = t->ops->lost ? t->ops->lost(t) : NULL;

	return lost ? : strerror(-err);
}

void dtl_target_close(struct dtl_target *t)
{
	if (t->ops)
		t->ops->close(t);
	t->ops = NULL;
}
