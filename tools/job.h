/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job.h - the file that says what a job is.
 */
#ifndef DTRACK_JOB_H
#define DTRACK_JOB_H

#include "config.h"
#include "option.h"

/**
 * job_read() - read the file that a call names.
 * @call: the call; its first argument is the path
 * @c: result
 *
 * Return: -1, or an exit status after what is wrong has been told.
 */
int job_read(struct call *call, struct config *c);

#endif
