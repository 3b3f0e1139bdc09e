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
 * job_read() - read the file that a call names.
 * @call: the call; its first argument is a path if it has a '/' or there is such a
 *	file, otherwise the name of a job, and becomes its path
 * @c: result
 *
 * Return: -1, or an exit status after what is wrong has been told.
 */
int job_read(struct call *call, struct config *c);

#endif
