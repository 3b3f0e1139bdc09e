/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * night.h - one run of a job: which kind of restore point, and making it.
 */
#ifndef DTRACK_NIGHT_H
#define DTRACK_NIGHT_H

#include "chain.h"
#include "option.h"
#include "repository.h"

#define NIGHT_ERROR_LEN	8192
/* More are counted, and not kept. */
#define NIGHT_WARNINGS	16
#define NIGHT_WARNING_LEN	1280

/**
 * struct night_device - a device of the job, as it is.
 * @dev: the device
 * @bytes: its size
 * @has_bitmap: the bitmap is there
 * @info: it
 */
struct night_device {
	struct dtrack_dev dev;
	uint64_t bytes;
	bool has_bitmap;
	struct dtrack_bitmap_info info;
};

/**
 * struct night - a run of a job.
 * @h: the library's handle
 * @c: the job
 * @job: path of its file
 * @now: when it began, seconds since 1970
 * @wish: enum repository_wish
 * @repository: whose the folder is
 * @is_foreign: not the job's: nothing is to be written there
 * @store: the folder, locked
 * @device: the devices, as in @c
 * @decided: the members up to @why are valid
 * @full: a full copy, and a new chain
 * @why: why, as text
 * @surprising: the full copy is not due
 * @unsure: why the chain may not be what its runs wrote, or ""
 * @accept: another disk is meant
 * @kept: why an old chain stays that was due to go, or ""
 * @unread: an image could not be read from the medium
 * @chain: name of the chain that grows
 * @point: the restore point
 * @made: it is one, durably
 * @bytes_copied: of all devices
 * @bytes_total: of all devices
 * @pruned: chains that were removed
 * @cls: class of the error, NULL: there was none
 * @cancelled: it was asked to end
 * @error: the error, one line
 * @nr_warnings: number of warnings, those beyond the last slot among them
 * @warning: what did not work, and is no reason to have no restore point
 * @release_error: why something may be held still yet, or was not until the end, or
 *	""; the restore point stays, and so do those that it would replace
 */
struct night {
	struct dtrack *h;
	const struct config *c;
	const char *job;
	int64_t now;
	int wish;
	struct repository repository;
	bool is_foreign;
	struct store store;
	struct night_device device[CONFIG_MAX_DEVICES];
	bool decided;
	bool full;
	char why[POINT_WHY_LEN];
	bool surprising;
	char unsure[POINT_WHY_LEN];
	bool accept;
	char kept[POINT_WHY_LEN];
	bool unread;
	char chain[FILE_NAME_LEN];
	struct point point;
	bool made;
	uint64_t bytes_copied;
	uint64_t bytes_total;
	unsigned int pruned;
	const char *cls;
	bool cancelled;
	char error[NIGHT_ERROR_LEN];
	unsigned int nr_warnings;
	char warning[NIGHT_WARNINGS][NIGHT_WARNING_LEN];
	char release_error[512];
};

/**
 * night_fail() - note an error; the first one counts.
 * @n: the night
 * @cls: its class
 * @fmt: the words
 *
 * Return: false.
 */
bool night_fail(struct night *n, const char *cls, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** night_fail_too() - the same, but behind another one it is told as well. */
bool night_fail_too(struct night *n, const char *text);

/** night_fail_file() - the same: @what could not be done with a file. */
bool night_fail_file(struct night *n, int err, const char *what,
		     const char *path);

/** night_fail_device() - the same: what the library said of the job's @i-th. */
bool night_fail_device(struct night *n, unsigned int i);

/** night_fail_store() - the same: what was wrong with the folder. */
bool night_fail_store(struct night *n, int err);

/**
 * night_warn() - note what did not work although the run goes on.
 * @n: the night
 * @fmt: the words, one line
 */
void night_warn(struct night *n, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** night_nr_warnings() - number of warnings that were kept. */
unsigned int night_nr_warnings(const struct night *n);

/** night_check_cancel() - whether all is well, and no signal came to end it. */
bool night_check_cancel(struct night *n);

/** night_state() - "completed", "failed" or "cancelled". */
const char *night_state(const struct night *n);

/** night_kind() - "full" or "incremental"; "" before that is decided. */
const char *night_kind(const struct night *n);

/** night_image_name() - file name of the job's @i-th device's image. */
void night_image_name(const struct night *n, unsigned int i, char *buf,
		      size_t size);

/**
 * night_settle() - look at devices and folder; finish or remove what an
 * interrupted run has left.
 * @n: @h, @c and @now in
 *
 * A run that was killed after all had been copied has made a restore point: if
 * all manifests say so it becomes one.
 */
bool night_settle(struct night *n);

/**
 * night_catch_up() - read what earlier runs should have read back.
 * @n: settled
 *
 * That is what a run that was cut had not, and what is not as its run left it:
 * a chain goes on only over images that hold what was written to them.
 */
bool night_catch_up(struct night *n);

/**
 * night_decide() - full or incremental.
 * @n: settled
 */
void night_decide(struct night *n);

/**
 * night_make() - make the restore point.
 * @n: decided
 *
 * Whatever fails, older restore points stay as they are, the bitmaps have all
 * that the last one lacks, and what was half-made is removed.
 */
bool night_make(struct night *n);

/**
 * night_copy() - copy all devices as of one moment; all of them or none.
 * @n: prepared
 * @before: the restore point before, or NULL
 * @folder: where the images go
 *
 * What the job's hooks hold still is held for this alone.
 */
bool night_copy(struct night *n, const struct point *before,
		const char *folder);

/**
 * night_prove() - whether the restore point can be had back.
 * @n: made
 *
 * Looks at the whole chain again, and reads the images back if the job says so.
 * A chain that fails does not grow on: the next run makes a full copy.
 */
bool night_prove(struct night *n);

/**
 * night_prune() - remove old chains.
 * @n: proved
 *
 * What cannot be removed is a warning, and tried again by later runs.
 */
void night_prune(struct night *n);

/**
 * night_scrub() - read a part of the history, what was not read for longest first.
 * @n: proved
 *
 * What is found is noted, and a warning, unless the new restore point needs it.
 */
bool night_scrub(struct night *n);

/**
 * night_read_image() - read an image, and note what comes of it.
 * @n: the night
 * @c: its chain
 * @p: its restore point
 * @i: the image
 * @by: "run" or "scrub"
 * @chain: read what it lies over, too
 * @why: result: what was found, with the image; POINT_WHY_LEN bytes
 *
 * Return: enum readback; a failure is the handle's to tell.
 */
int night_read_image(struct night *n, const struct chain *c,
		     const struct point *p, unsigned int i, const char *by,
		     bool chain, char *why);

/** night_accept() - note that copies of other disks are meant, if that was said. */
void night_accept(struct night *n);

/**
 * night_look_again() - scan the repository anew.
 * @n: the night
 */
bool night_look_again(struct night *n);

/** night_free() - free what it holds. */
void night_free(struct night *n);

#endif
