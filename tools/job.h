/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job.h - the file that says what a job is.
 */
#ifndef DTRACK_JOB_H
#define DTRACK_JOB_H

#include "config.h"
#include "option.h"

/* Where a job is by its name alone. */
#define JOB_FOLDER	"/etc/dtrack"

/**
 * job_path() - where a job of this name is.
 * @name: the name
 * @path: result
 * @size: of @path
 *
 * Return: false if it can be none.
 */
bool job_path(const char *name, char *path, size_t size);

/**
 * job_list() - names of the jobs that are there, sorted.
 * @names: result; free() each of them, and the array
 *
 * Return: their number, or -ENOMEM.
 */
int job_list(char ***names);

/** job_status_path() - where a job's status file is. */
void job_status_path(const struct config *c, char *path, size_t size);

/**
 * job_load() - read a job's file.
 * @path: the file
 * @c: result
 *
 * Return: 0, or a negative errno with @c->why.
 */
int job_load(const char *path, struct config *c);

/**
 * job_read() - read the file that a call names.
 * @call: the call; its first argument is a path if it has a '/' or there is such a
 *	file, otherwise the name of a job, and becomes its path
 * @c: result
 *
 * Return: -1, or an exit status after what is wrong has been told.
 */
int job_read(struct call *call, struct config *c);

#endif
