// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * job-check.c - what can be said of a job before it runs.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job-check.h"
#include "output.h"
#include "repository.h"

__attribute__((format(printf, 2, 3)))
static int wrong(struct call *call, const char *fmt, ...)
{
	char why[REPOSITORY_WHY_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return failed_with(call, "GenericError", why);
}

/* Return: -1, or an exit status. */
static int check_place(struct call *call, const struct config *c)
{
	struct repository *r = malloc(sizeof(*r));
	int ret = -1;

	if (!r)
		return wrong(call, "no memory");
	repository_init(r, c, call->argv[0]);
	if (repository_check_place(r, REPOSITORY_USE))
		ret = wrong(call, "%s", r->why);
	free(r);
	return ret;
}

static int check_folder(struct call *call, const struct config *c)
{
	struct stat st;

	/* Only the hook 'before' may bring it. */
	if (stat(c->folder, &st))
		return c->before[0] && errno == ENOENT ? -1 :
		       wrong(call, "folder: '%s': %s", c->folder,
			     strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return wrong(call, "folder: '%s' is no folder", c->folder);
	/* So may what mounts it read-write. */
	if (access(c->folder, W_OK | X_OK) && !c->before[0])
		return wrong(call, "folder: '%s' cannot be written to: %s",
			     c->folder, strerror(errno));
	return check_place(call, c);
}

static bool is_program(const char *name)
{
	const char *path = getenv("PATH");
	char file[4096];
	size_t len;

	for (path = path ? path : "/usr/bin:/bin"; *path; path += len) {
		path += *path == ':';
		len = strcspn(path, ":");
		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, name);
		if (len && !access(file, X_OK))
			return true;
	}
	return false;
}

static int check_programs(struct call *call, const struct config *c)
{
	static const char *const names[] = { "qemu-img", "qemu-nbd", "setsid" };
	size_t i;

	for (i = 0; c->format == FORMAT_QCOW2 && i < ARRAY_SIZE(names); i++)
		if (!is_program(names[i]))
			return wrong(call, "format = qcow2 needs '%s', which is not there",
				     names[i]);
	return -1;
}

int job_check(struct call *call, const struct config *c)
{
	int ret = check_folder(call, c);

	if (ret < 0)
		ret = check_programs(call, c);
	return ret < 0 ? done(call) : ret;
}
