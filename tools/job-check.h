/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job-check.h - what can be said of a job before it runs.
 */
#ifndef DTRACK_JOB_CHECK_H
#define DTRACK_JOB_CHECK_H

#include "config.h"
#include "option.h"

/**
 * job_check() - look at a job's folder and at the programs that it needs.
 * @call: the call; its first argument is the job's path
 * @c: the job
 *
 * Nothing is written, no hook is run and no device is asked.
 *
 * Return: an exit status; what is wrong has been told, the first thing.
 */
int job_check(struct call *call, const struct config *c);

#endif
