// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * status.c - how the last run of a job ended, for monitoring.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "json.h"
#include "output.h"
#include "status.h"

static struct json_object *text_or_null(const char *text)
{
	return text[0] ? text_json(text) : NULL;
}

static void put_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text_or_null(text));
}

static void put_number(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static struct json_object *success_json(const char *chain,
					const struct point *p)
{
	struct json_object *o = json_object_new_object();

	put_text(o, "time", p->time);
	put_text(o, "kind", p->previous ? "incremental" : "full");
	put_text(o, "chain", chain);
	put_text(o, "point", p->name);
	put_number(o, "bytes-copied", point_copied(p));
	return o;
}

/* As the folder has it, which does not forget. */
static struct json_object *last_success(const struct night *n)
{
	const struct chain *c = store_newest(&n->store);
	const struct point *p = c ? chain_last(c) : NULL;

	if (n->made)
		return success_json(n->chain, &n->point);
	return p && p->state == POINT_WHOLE ? success_json(c->name, p) : NULL;
}

static struct json_object *warnings_json(const struct night *n)
{
	struct json_object *array = json_object_new_array();
	unsigned int i;

	for (i = 0; i < night_nr_warnings(n); i++)
		json_object_array_add(array, text_or_null(n->warning[i]));
	return array;
}

struct json_object *status_json(const struct night *n, double seconds)
{
	struct json_object *o = json_object_new_object();
	char when[POINT_TIME_LEN];

	put_text(o, "format", "dtrack-status");
	put_number(o, "version", 1);
	put_text(o, "job", n->job);
	put_text(o, "time", point_time_format(n->now, when));
	put_number(o, "seconds", seconds > 0 ? (uint64_t)seconds : 0);
	put_text(o, "status", night_state(n));
	put_text(o, "kind", night_kind(n));
	json_object_object_add(o, "why", text_json(n->why));
	put_text(o, "chain", n->made ? n->chain : "");
	put_text(o, "point", n->made ? n->point.name : "");
	put_number(o, "bytes-copied", n->bytes_copied);
	put_number(o, "bytes-total", n->bytes_total);
	put_number(o, "pruned", n->pruned);
	json_object_object_add(o, "warnings", warnings_json(n));
	json_object_object_add(o, "error",
			       n->cls ? error_json(n->cls, n->error) : NULL);
	json_object_object_add(o, "last-success", last_success(n));
	put_text(o, "repository", n->repository.uuid);
	return o;
}

int status_store(const char *path, struct json_object *o)
{
	char *text = dtl_json_print(o);
	int ret = text ? dtl_file_replace(path, text, 0644) : -ENOMEM;

	/* What an old one says is not so; and its room may be all that there is. */
	if (ret && text && !unlink(path))
		ret = dtl_file_replace(path, text, 0644);
	free(text);
	return ret;
}
