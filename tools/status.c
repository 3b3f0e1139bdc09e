// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * status.c - how the last run of a job ended, for monitoring.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "health.h"
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

static struct json_object *point_json(const struct health_point *at)
{
	struct json_object *o = json_object_new_object();

	if (!at->point) {
		json_object_put(o);
		return NULL;
	}
	put_text(o, "time", at->point->time);
	put_text(o, "kind", at->point->previous ? "incremental" : "full");
	put_text(o, "chain", at->chain->name);
	put_text(o, "point", at->point->name);
	put_number(o, "bytes-copied", point_copied(at->point));
	return o;
}

/* The same, and what is known of it. */
static struct json_object *known_json(const struct health_point *at)
{
	struct json_object *o = point_json(at);

	if (!o)
		return NULL;
	put_text(o, "consistency", point_consistency_word(at->point->consistency));
	put_text(o, "state", point_state_word(at->verdict.state));
	put_text(o, "checked", at->verdict.checked);
	return o;
}

static struct json_object *reasons_json(const struct health *health)
{
	struct json_object *array = json_object_new_array();
	unsigned int i;

	for (i = 0; i < health->nr; i++)
		json_object_array_add(array, text_or_null(health->reason[i]));
	return array;
}

/* By the repository as it is, which does not forget, and by this run. */
static void look(const struct night *n, struct health *health)
{
	unsigned int i;

	health_look(&n->store, n->c, n->now, health);
	if (n->cls)
		health_add(health, HEALTH_WARNING, "the last run %s: %.1000s",
			   n->cancelled ? "was cancelled" : "has failed",
			   n->error);
	for (i = 0; i < night_nr_warnings(n); i++)
		health_add(health, HEALTH_WARNING, "%s", n->warning[i]);
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
	struct health health;

	look(n, &health);
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
	json_object_object_add(o, "last-success",
			       point_json(&health.restorable));
	json_object_object_add(o, "last-verified",
			       known_json(&health.verified));
	json_object_object_add(o, "newest-restorable",
			       known_json(&health.restorable));
	put_text(o, "health", health_word(health.state));
	json_object_object_add(o, "reasons", reasons_json(&health));
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
