// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * samples.c - samples in Prometheus' text format, or in JSON.
 */
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "output.h"
#include "samples.h"

void sample_head(const struct json_object *samples, const char *name,
		 const char *type, const char *help)
{
	if (!samples)
		printf("# HELP dtrack_%s %s\n# TYPE dtrack_%s %s\n", name, help,
		       name, type);
}

/* A label's value: what is hostile is escaped or replaced. */
static void print_label(const char *name, const char *value)
{
	char *text = text_clean(value), *p;

	printf("%s=\"", name);
	for (p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			putchar('\\');
		putchar(*p);
	}
	putchar('"');
	free(text);
}

static void print_one(const char *metric, const struct label *labels,
			 size_t nr, struct json_object *value)
{
	size_t i;

	printf("dtrack_%s{", metric);
	for (i = 0; i < nr; i++) {
		if (i)
			putchar(',');
		print_label(labels[i].name, labels[i].value);
	}
	printf("} %s\n", json_object_get_string(value));
}

static struct json_object *one_json(const char *metric,
				       const struct label *labels, size_t nr,
				       struct json_object *value)
{
	struct json_object *o = json_object_new_object();
	struct json_object *of = json_object_new_object();
	char name[64];
	size_t i;

	snprintf(name, sizeof(name), "dtrack_%s", metric);
	for (i = 0; i < nr; i++)
		json_object_object_add(of, labels[i].name,
				       text_json(labels[i].value));
	json_object_object_add(o, "name", dtl_json_string(name));
	json_object_object_add(o, "labels", of);
	json_object_object_add(o, "value", json_object_get(value));
	return o;
}

void sample_tell(struct json_object *samples, const char *metric,
		 const struct label *labels, size_t nr,
		 struct json_object *value)
{
	if (samples)
		json_object_array_add(samples,
				      one_json(metric, labels, nr, value));
	else
		print_one(metric, labels, nr, value);
	json_object_put(value);
}
