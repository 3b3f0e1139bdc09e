// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * metrics-jobs.c - what the status files of jobs say, for Prometheus.
 *
 * A job without a status file has one sample, which says so: what monitoring is
 * to find must not be missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "job.h"
#include "json.h"
#include "metrics-jobs.h"
#include "output.h"
#include "point.h"
#include "samples.h"

#define MAX_BYTES	(16 << 20)

/* ---- Finding ------------------------------------------------------------ */

bool jobs_is_file(const char *name)
{
	struct stat st;

	return !stat(name, &st) && S_ISREG(st.st_mode);
}

bool jobs_is_name(const char *name)
{
	char path[PATH_MAX];
	int fd = job_path(name, path, sizeof(path)) ?
		 open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The document, if it is a status file. */
static struct json_object *load(const char *path)
{
	struct json_object *o = NULL;
	char *text, format[32];
	size_t len;

	if (dtl_file_read(path, MAX_BYTES, &text, &len))
		return NULL;
	o = json_tokener_parse(text);
	free(text);
	if (json_object_is_type(o, json_type_object) &&
	    dtl_json_text(o, "format", format, sizeof(format)) &&
	    !strcmp(format, "dtrack-status"))
		return o;
	json_object_put(o);
	return NULL;
}

static char *name_of(const char *config)
{
	const char *slash = strrchr(config, '/');
	char *name = strdup(slash ? slash + 1 : config);
	size_t len = name ? strlen(name) : 0;

	if (len > 5 && !strcmp(name + len - 5, ".conf"))
		name[len - 5] = '\0';
	return name;
}

static bool is_known(const struct jobs *jobs, const char *config)
{
	unsigned int i;

	for (i = 0; i < jobs->nr; i++)
		if (!strcmp(jobs->seen[i].config, config))
			return true;
	return false;
}

/* @status becomes the job's. */
static int add(struct call *call, struct jobs *jobs, const char *config,
	       struct json_object *status)
{
	struct job_seen *seen;

	if (is_known(jobs, config)) {
		json_object_put(status);
		return -1;
	}
	seen = realloc(jobs->seen, (jobs->nr + 1) * sizeof(*seen));
	if (seen)
		jobs->seen = seen;
	seen = seen ? &seen[jobs->nr] : NULL;
	if (seen)
		*seen = (struct job_seen){ name_of(config), strdup(config),
					   status };
	if (!seen || !seen->name || !seen->config)
		return failed_with(call, "GenericError", strerror(ENOMEM));
	jobs->nr++;
	return -1;
}

/* @asked: by its name; one of many that is wrong must not hide the others. */
static int add_config(struct call *call, struct jobs *jobs, const char *path,
		      bool asked)
{
	char status[PATH_MAX] = "", line[2 * PATH_MAX];
	struct config *c = malloc(sizeof(*c));
	int ret = -1;

	if (!c)
		return failed_with(call, "GenericError", strerror(ENOMEM));
	if (!job_load(path, c)) {
		job_status_path(c, status, sizeof(status));
	} else {
		snprintf(line, sizeof(line), "%s: %s", path, c->why);
		if (asked)
			ret = usage_error(call, "%s", line);
		else
			print_line(call, LOG_WARNING, line);
	}
	if (ret < 0)
		ret = add(call, jobs, path, status[0] ? load(status) : NULL);
	free(c);
	return ret;
}

int jobs_find(struct call *call, struct jobs *jobs, const char *name)
{
	struct json_object *status = load(name);
	char config[PATH_MAX];

	if (!status)
		return add_config(call, jobs,
				  !jobs_is_file(name) &&
				  job_path(name, config, sizeof(config)) ?
				  config : name, true);
	if (!dtl_json_text(status, "job", config, sizeof(config)))
		snprintf(config, sizeof(config), "%s", name);
	return add(call, jobs, config, status);
}

static int find_one(struct call *call, struct jobs *jobs, const char *name)
{
	char path[PATH_MAX];

	job_path(name, path, sizeof(path));
	return add_config(call, jobs, path, false);
}

int jobs_find_all(struct call *call, struct jobs *jobs)
{
	char **names;
	int i, ret = -1, nr = job_list(&names);

	if (nr < 0)
		return failed_with(call, "GenericError", strerror(-nr));
	for (i = 0; i < nr; i++) {
		if (ret < 0)
			ret = find_one(call, jobs, names[i]);
		free(names[i]);
	}
	free(names);
	return ret;
}

/* ---- Telling ------------------------------------------------------------ */

/* @key, @label: what is told beside the job, or NULL; @value is freed. */
static void tell(struct json_object *samples, const char *metric,
		 const struct job_seen *seen, const char *key,
		 const char *label, struct json_object *value)
{
	const struct label labels[] = {
		{ "name", seen->name },
		{ "config", seen->config },
		{ key, label },
	};

	sample_tell(samples, metric, labels, key ? 3 : 2, value);
}

/* A time, or an object that has one; 0: there is none. */
static uint64_t time_of(struct json_object *o, const char *key)
{
	char text[POINT_TIME_LEN];
	struct json_object *v;
	int64_t when;

	if (!json_object_object_get_ex(o, key, &v))
		return 0;
	if (!(json_object_is_type(v, json_type_object) ?
	      dtl_json_text(v, "time", text, sizeof(text)) :
	      dtl_json_text(o, key, text, sizeof(text))))
		return 0;
	when = point_time_parse(text);
	return when > 0 ? (uint64_t)when : 0;
}

static const struct {
	const char *key;
	const char *name;
	const char *help;
} times[] = {
	{ "time", "job_last_run_timestamp_seconds",
	  "When the last run began, since 1970." },
	{ "last-success", "job_last_success_timestamp_seconds",
	  "When the newest restore point that is not damaged was made." },
	{ "last-verified", "job_last_verified_timestamp_seconds",
	  "When the newest verified restore point was made." },
	{ "newest-restorable", "job_newest_restorable_timestamp_seconds",
	  "When the newest restore point that can be restored was made." },
};

static const struct {
	const char *key;
	const char *name;
	const char *help;
} numbers[] = {
	{ "seconds", "job_last_run_duration_seconds",
	  "How long the last run took." },
	{ "bytes-copied", "job_last_run_copied_bytes",
	  "Bytes that the last run copied." },
};

static const struct {
	const char *key;
	const char *name;
	const char *help;
	const char *const *words;
} words[] = {
	{ "status", "job_last_run_status", "How the last run ended.",
	  (const char *const[]){ "completed", "failed", "cancelled", NULL } },
	{ "health", "job_health", "How the job is, by its own schedule.",
	  (const char *const[]){ "ok", "warning", "failed", NULL } },
};

static void tell_times(const struct jobs *jobs, struct json_object *samples)
{
	unsigned int i;
	uint64_t when;
	size_t k;

	for (k = 0; k < ARRAY_SIZE(times); k++) {
		sample_head(samples, times[k].name, "gauge", times[k].help);
		for (i = 0; i < jobs->nr; i++) {
			when = time_of(jobs->seen[i].status, times[k].key);
			if (when)
				tell(samples, times[k].name, &jobs->seen[i],
				     NULL, NULL, json_object_new_uint64(when));
		}
	}
}

static void tell_numbers(const struct jobs *jobs, struct json_object *samples)
{
	unsigned int i;
	uint64_t n;
	size_t k;

	for (k = 0; k < ARRAY_SIZE(numbers); k++) {
		sample_head(samples, numbers[k].name, "gauge", numbers[k].help);
		for (i = 0; i < jobs->nr; i++)
			if (dtl_json_u64(jobs->seen[i].status, numbers[k].key,
					 &n))
				tell(samples, numbers[k].name, &jobs->seen[i],
				     NULL, NULL, json_object_new_uint64(n));
	}
}

/* One is 1, the others are 0. */
static void tell_words(const struct jobs *jobs, struct json_object *samples,
		       size_t k)
{
	const char *const *w;
	unsigned int i;
	char is[32];

	sample_head(samples, words[k].name, "gauge", words[k].help);
	for (i = 0; i < jobs->nr; i++) {
		if (!dtl_json_text(jobs->seen[i].status, words[k].key, is,
				   sizeof(is)))
			continue;
		for (w = words[k].words; *w; w++)
			tell(samples, words[k].name, &jobs->seen[i],
			     words[k].key, *w,
			     json_object_new_uint64(!strcmp(*w, is)));
	}
}

static void tell_warnings(const struct jobs *jobs, struct json_object *samples)
{
	struct json_object *v;
	unsigned int i;

	sample_head(samples, "job_last_run_warnings", "gauge",
		    "Warnings of the last run.");
	for (i = 0; i < jobs->nr; i++)
		if (json_object_object_get_ex(jobs->seen[i].status, "warnings",
					      &v) &&
		    json_object_is_type(v, json_type_array))
			tell(samples, "job_last_run_warnings", &jobs->seen[i],
			     NULL, NULL, json_object_new_uint64(
			     json_object_array_length(v)));
}

void jobs_tell(const struct jobs *jobs, struct json_object *samples)
{
	unsigned int i;
	size_t k;

	sample_head(samples, "job_has_status", "gauge",
		    "Whether there is a status file of the job that can be read.");
	for (i = 0; i < jobs->nr; i++)
		tell(samples, "job_has_status", &jobs->seen[i], NULL, NULL,
		     json_object_new_uint64(!!jobs->seen[i].status));
	tell_times(jobs, samples);
	tell_numbers(jobs, samples);
	for (k = 0; k < ARRAY_SIZE(words); k++)
		tell_words(jobs, samples, k);
	tell_warnings(jobs, samples);
}

void jobs_free(struct jobs *jobs)
{
	unsigned int i;

	for (i = 0; i < jobs->nr; i++) {
		free(jobs->seen[i].name);
		free(jobs->seen[i].config);
		json_object_put(jobs->seen[i].status);
	}
	free(jobs->seen);
}
