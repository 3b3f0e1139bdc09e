/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * samples.h - samples in Prometheus' text format, or in JSON.
 */
#ifndef DTRACK_SAMPLES_H
#define DTRACK_SAMPLES_H

#include <json-c/json.h>
#include <stddef.h>

/**
 * struct label - what a sample is of.
 * @name: the label
 * @value: text of others: it is escaped
 */
struct label {
	const char *name;
	const char *value;
};

/**
 * sample_head() - what the samples that follow are.
 * @samples: array that they go into, or NULL: they are printed
 * @name: of the metric, without 'dtrack_'
 * @type: "counter" or "gauge"
 * @help: one line
 */
void sample_head(const struct json_object *samples, const char *name,
		 const char *type, const char *help);

/**
 * sample_tell() - a sample.
 * @samples: array that it goes into, or NULL: it is printed
 * @metric: its name, without 'dtrack_'
 * @labels: of it
 * @nr: number of these
 * @value: a number; it is freed
 */
void sample_tell(struct json_object *samples, const char *metric,
		 const struct label *labels, size_t nr,
		 struct json_object *value);

#endif
