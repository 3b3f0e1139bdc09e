/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics-jobs.h - what the status files of jobs say, for Prometheus.
 */
#ifndef DTRACK_METRICS_JOBS_H
#define DTRACK_METRICS_JOBS_H

#include <json-c/json.h>
#include <stdbool.h>

#include "option.h"

/**
 * struct job_seen - a job as its last run left it.
 * @name: of its configuration, without folder and '.conf'
 * @config: path of that
 * @status: its status file, or NULL: there is none, or it is damaged
 */
struct job_seen {
	char *name;
	char *config;
	struct json_object *status;
};

/**
 * struct jobs - jobs.
 * @nr: number of them
 * @seen: them
 */
struct jobs {
	unsigned int nr;
	struct job_seen *seen;
};

/** jobs_is_file() - whether an argument is a configuration or a status file. */
bool jobs_is_file(const char *name);

/** jobs_is_name() - whether an argument is the name of a job. */
bool jobs_is_name(const char *name);

/**
 * jobs_find() - add a job.
 * @call: the call
 * @jobs: the jobs
 * @name: its name, its configuration or its status file
 *
 * Return: -1, or an exit status after what is wrong has been told.
 */
int jobs_find(struct call *call, struct jobs *jobs, const char *name);

/** jobs_find_all() - add those of /etc/dtrack; the same. */
int jobs_find_all(struct call *call, struct jobs *jobs);

/**
 * jobs_tell() - their samples.
 * @jobs: the jobs
 * @samples: array that they go into, or NULL: they are printed
 */
void jobs_tell(const struct jobs *jobs, struct json_object *samples);

/** jobs_free() - forget them. */
void jobs_free(struct jobs *jobs);

#endif
