// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * job.c - the file that says what a job is.
 */
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "job.h"
#include "output.h"

int job_read(struct call *call, struct config *c)
{
	size_t len = 0;
	char *text;
	int ret = dtl_file_read(call->argv[0], CONFIG_MAX_BYTES, &text, &len);

	if (ret)
		return usage_error(call, "Could not read it: %s",
				   strerror(-ret));
	if (!config_parse(text, len, c))
		ret = usage_error(call, "%s", c->why);
	free(text);
	return ret ? ret : -1;
}
