/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config.h - what 'dtrack run' reads: one job, see dtrack.conf(5).
 */
#ifndef DTRACK_CONFIG_H
#define DTRACK_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_MAX_BYTES	(1 << 20)
#define CONFIG_MAX_DEVICES	64
/* inih's buffer; what is longer would be cut. */
#define CONFIG_LINE_LEN		200
#define CONFIG_NAME_LEN		33
/* Seconds. */
#define CONFIG_HOOK_TIMEOUT	300
#define CONFIG_HOLD_LIMIT	3600
#define CONFIG_MAX_AGE		(36 * 3600)
#define CONFIG_SCRUB_EVERY	(30 * 86400)

enum config_verify {
	VERIFY_FULL,	/* what is the first of its chain */
	VERIFY_ALL,
	VERIFY_NONE,
	VERIFY_CHAIN,	/* all, with everything that they lie over */
};

enum config_fsfreeze {
	FSFREEZE_NO,
	FSFREEZE_YES,	/* while the bitmaps are frozen */
	FSFREEZE_COPY,	/* until all is copied */
};

enum config_format {
	FORMAT_QCOW2,	/* each image over the one before */
	FORMAT_RAW,	/* each image whole */
};

/**
 * struct config_device - a device of the job.
 * @name: of its section, and of its images; letters, digits, '_', '-'
 * @device: DEV; the section's name if it is not given
 * @bitmap: the bitmap, the job's own
 * @granularity: bytes, or 0: as it is, or the default
 * @line: where its section begins
 */
struct config_device {
	char name[CONFIG_NAME_LEN];
	char device[CONFIG_LINE_LEN];
	char bitmap[CONFIG_LINE_LEN];
	uint64_t granularity;
	unsigned int line;
};

/**
 * struct config - a job.
 * @folder: where its chains are; an absolute path
 * @status: of the status file; "" for the one in the folder
 * @before: command before all else, or ""
 * @after: command after all else, or ""
 * @hold: command before the copy, or ""
 * @release: command after it, or ""; there if @hold is
 * @hook_timeout: seconds that each of these two may take
 * @hold_limit: seconds from the beginning of @hold to that of @release
 * @format: enum config_format
 * @full_every: a full copy after so many restore points, or seconds
 * @by_time: @full_every is a number of seconds
 * @keep: chains to be kept, at least 1
 * @verify: enum config_verify: restore points that are read back
 * @max_age: seconds that the newest restore point may be old, and all is well
 * @scrub_every: seconds in which each image is read once; 0: none is read
 * @scrub_seconds: of a run for that, or 0: no limit of time
 * @scrub_bytes: of images that a run may read for that, or 0: its share
 * @fsfreeze: enum config_fsfreeze: how long mounted file systems are frozen
 * @holds: copies are of one moment, as far as that is for the job to say
 * @speed: bytes a second and device, 0: no limit
 * @request_size: as for struct dtrack_run_options
 * @jobs: as for struct dtrack_run_options
 * @target_timeout: as for struct dtrack_run_options, at most 1000000
 * @on_source_error: enum dtrack_on_error
 * @on_target_error: enum dtrack_on_error
 * @nr: number of devices, 1 .. CONFIG_MAX_DEVICES
 * @device: them, in the order of the file
 * @why: what is wrong with it, with the line
 */
struct config {
	char folder[CONFIG_LINE_LEN];
	char status[CONFIG_LINE_LEN];
	char before[CONFIG_LINE_LEN];
	char after[CONFIG_LINE_LEN];
	char hold[CONFIG_LINE_LEN];
	char release[CONFIG_LINE_LEN];
	uint64_t hook_timeout;
	uint64_t hold_limit;
	int format;
	uint64_t full_every;
	bool by_time;
	uint64_t keep;
	int verify;
	uint64_t max_age;
	uint64_t scrub_every;
	uint64_t scrub_seconds;
	uint64_t scrub_bytes;
	int fsfreeze;
	bool holds;
	uint64_t speed;
	uint64_t request_size;
	uint64_t jobs;
	uint64_t target_timeout;
	int on_source_error;
	int on_target_error;
	unsigned int nr;
	struct config_device device[CONFIG_MAX_DEVICES];
	char why[512];
};

/**
 * config_parse() - read a job from memory; the text is hostile.
 * @text: the file
 * @len: its length
 * @c: result
 *
 * Return: whether it is one; otherwise @c->why says what is wrong.
 */
bool config_parse(const char *text, size_t len, struct config *c);

#endif
