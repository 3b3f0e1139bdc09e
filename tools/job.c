// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * job.c - the file that says what a job is.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "job.h"
#include "output.h"

/* NAME.conf of /etc/dtrack; an argument of the process lasts as long. */
static void find(struct call *call)
{
	static char path[sizeof(JOB_FOLDER) + NAME_MAX + sizeof(".conf")];
	const char *name = call->argv[0];

	if (strchr(name, '/') || strlen(name) > NAME_MAX ||
	    !access(name, F_OK))
		return;
	snprintf(path, sizeof(path), JOB_FOLDER "/%s.conf", name);
	call->argv[0] = path;
}

int job_read(struct call *call, struct config *c)
{
	const char *named = call->argv[0];
	size_t len = 0;
	char *text;
	int ret;

	find(call);
	ret = dtl_file_read(call->argv[0], CONFIG_MAX_BYTES, &text, &len);
	if (ret == -ENOENT && call->argv[0] != named)
		return usage_error(call, "There is neither a file '%s' here nor a job '%s'",
				   named, call->argv[0]);
	if (ret)
		return usage_error(call, "Could not read it: %s",
				   strerror(-ret));
	if (!config_parse(text, len, c))
		ret = usage_error(call, "%s", c->why);
	free(text);
	return ret ? ret : -1;
}
