/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * repository.h - whose a job's folder is.
 *
 * FOLDER/repository.json, an object:
 *
 *	"format"	"dtrack-repository"
 *	"version"	1; a reader refuses a greater one, ignores unknown keys
 *	"uuid"		drawn when it was made, kept for life
 *	"job"		NAME of /etc/dtrack/NAME.conf, or the job's path
 *	"machine"	a hash of /etc/machine-id, 16 hex digits; "" without one
 *	"host"		its name, for people
 *	"devices"	an array of strings: their names in the job
 *	"made"		when, UTC
 *
 * /var/lib/dtrack/JOB.json, with '/' and '%' of the job as %2F and %25:
 *
 *	"format"	"dtrack-job"
 *	"version"	1
 *	"job"		as above
 *	"repository"	uuid of the one that the job used last
 *	"folder"	where it was
 */
#ifndef DTRACK_REPOSITORY_H
#define DTRACK_REPOSITORY_H

#include "chain.h"

#define REPOSITORY_FILE	"repository.json"
#define REPOSITORY_WHY_LEN	4096

/* What to do where a folder is not the job's. */
enum repository_wish {
	REPOSITORY_USE,		/* refuse it */
	REPOSITORY_INIT,	/* begin anew where there is none */
	REPOSITORY_ADOPT,	/* take it over */
};

/**
 * struct repository - a repository, and the job that uses it.
 * @c: the job
 * @job: how it is called
 * @machine: this one
 * @uuid: of the repository; "" before it is known
 * @why: result: why it is refused, or what could not be written
 */
struct repository {
	const struct config *c;
	char job[4096];
	char machine[17];
	char uuid[DTRACK_UUID_TEXT];
	char why[REPOSITORY_WHY_LEN];
};

/**
 * repository_init() - name the job.
 * @r: result
 * @c: the job; it must outlive @r
 * @path: of its file
 */
void repository_init(struct repository *r, const struct config *c,
		     const char *path);

/**
 * repository_check_place() - whether a disk is mounted where the job remembers one.
 * @r: the repository
 * @wish: enum repository_wish
 *
 * Writes nothing, not even a lock: what is not mounted stays empty.
 *
 * Return: 0, or -1 with @r->why.
 */
int repository_check_place(struct repository *r, int wish);

/**
 * repository_open() - make sure that a folder is the job's; make it so if it is new.
 * @r: the repository
 * @s: the folder, scanned and locked
 * @wish: enum repository_wish
 *
 * Return: 0, -1 with @r->why: it is not the job's; or a negative errno with
 * @r->why: it cannot be written.
 */
int repository_open(struct repository *r, const struct store *s, int wish);

/**
 * repository_remember() - have the job know its repository, durably.
 * @r: opened
 *
 * Return: 0 or a negative errno with @r->why.
 */
int repository_remember(struct repository *r);

#endif
