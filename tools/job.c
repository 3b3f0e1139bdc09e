// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * job.c - the file that says what a job is.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "job.h"
#include "output.h"

bool job_path(const char *name, char *path, size_t size)
{
	return !strchr(name, '/') &&
	       snprintf(path, size, JOB_FOLDER "/%s.conf", name) < (int)size;
}

/* NULL in @list is the end.  Return: whether there was room. */
static bool take_name(struct dirent *e, char ***list, int *nr)
{
	char *end = strrchr(e->d_name, '.'), **more;

	if (!end || end == e->d_name || strcmp(end, ".conf"))
		return true;
	more = realloc(*list, ((size_t)*nr + 1) * sizeof(*more));
	if (!more)
		return false;
	*list = more;
	more[*nr] = strndup(e->d_name, (size_t)(end - e->d_name));
	return more[(*nr)++];
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int job_list(char ***names)
{
	DIR *dir = opendir(JOB_FOLDER);
	struct dirent *e;
	bool good = true;
	int nr = 0;

	*names = NULL;
	while (good && dir && (e = readdir(dir)))
		good = take_name(e, names, &nr);
	if (dir)
		closedir(dir);
	if (!good) {
		while (nr--)
			free((*names)[nr]);
		free(*names);
		*names = NULL;
		return -ENOMEM;
	}
	if (nr)
		qsort(*names, (size_t)nr, sizeof(**names), by_name);
	return nr;
}

void job_status_path(const struct config *c, char *path, size_t size)
{
	if (c->status[0])
		snprintf(path, size, "%s", c->status);
	else
		snprintf(path, size, "%s/status.json", c->folder);
}

int job_load(const char *path, struct config *c)
{
	size_t len = 0;
	char *text;
	int ret = dtl_file_read(path, CONFIG_MAX_BYTES, &text, &len);

	if (ret)
		snprintf(c->why, sizeof(c->why), "Could not read it: %s",
			 strerror(-ret));
	else if (!config_parse(text, len, c))
		ret = -EINVAL;
	free(text);
	return ret;
}

int job_read(struct call *call, struct config *c)
{
	/* An argument of the process lasts as long. */
	static char path[PATH_MAX];
	const char *named = call->argv[0];
	int ret;

	if (access(named, F_OK) && job_path(named, path, sizeof(path)))
		call->argv[0] = path;
	ret = job_load(call->argv[0], c);
	if (ret == -ENOENT && call->argv[0] != named)
		return usage_error(call, "There is neither a file '%s' here nor a job '%s'",
				   named, path);
	return ret ? usage_error(call, "%s", c->why) : -1;
}
