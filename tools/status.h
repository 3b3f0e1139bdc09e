/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status.h - how the last run of a job ended, for monitoring.
 *
 * One JSON object:
 *
 *	"format"	"dtrack-status"
 *	"version"	1
 *	"job"		path of the configuration
 *	"time"		when the run began, UTC
 *	"seconds"	that it took
 *	"status"	"completed", "failed" or "cancelled"
 *	"kind"		"full" or "incremental"; null: it did not get that far
 *	"why"		why it was full; "" for an incremental
 *	"chain", "point"	names of folders, or null
 *	"bytes-copied", "bytes-total"
 *	"pruned"	chains that were removed
 *	"warnings"	an array of lines: what did not work, and is no error
 *	"error"		null, or an object: "class", "message"
 *	"last-success"	null, or an object about the newest restore point that is
 *			not damaged: "time", "kind", "chain", "point", "bytes-copied"
 *	"newest-restorable"	the same, with "consistency", "state", "checked"
 *	"last-verified"	null, or that about the newest that is verified
 *	"health"	"ok", "warning" or "failed", see health.h
 *	"reasons"	an array of lines: why it is not "ok"
 *	"repository"	its uuid, or null: it did not get that far
 */
#ifndef DTRACK_STATUS_H
#define DTRACK_STATUS_H

#include <json-c/json.h>

#include "night.h"

/**
 * status_json() - a run as the status file has it.
 * @n: the run, ended
 * @seconds: that it took
 */
struct json_object *status_json(const struct night *n, double seconds);

/**
 * status_store() - write the status file.
 * @path: of the file
 * @o: the document
 *
 * If it cannot be written there is none, rather than an old one.
 *
 * Return: 0 or a negative errno.
 */
int status_store(const char *path, struct json_object *o);

#endif
