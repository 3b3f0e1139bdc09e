/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * point.h - a restore point: a folder with an image of each device.
 *
 * It is one only when it has a file point.json, which is written last:
 *
 *	"format"	"dtrack-point"
 *	"version"	1; a reader refuses a greater one, ignores unknown keys
 *	"number"	of the point, greater than all before, whatever the clock
 *	"previous"	number of the one that it was made from; 0: it is full
 *	"time"		when it was begun, UTC
 *	"why"		why it is full; "" for an incremental
 *	"format-of-images"	"qcow2" or "raw"
 *	"images"	an array of objects:
 *	  "device"	name in the job
 *	  "file"	in this folder
 *	  "size"	bytes of the device
 *	  "bytes", "modified"	of the file: its length, its time in nanoseconds
 *	  "uuid", "generation"	of the bitmap that it fits
 *	  "run"		id of the run that made it, 16 hex digits
 *	  "copied"	bytes
 *
 * A file 'verified' beside it has the time when the images were read back.
 */
#ifndef DTRACK_POINT_H
#define DTRACK_POINT_H

#include "config.h"
#include "dtrack.h"
#include "file.h"

#define POINT_FILE	"point.json"
#define POINT_VERIFIED	"verified"
#define POINT_WHY_LEN	1024
/* "2026-11-26T02:24:00Z" */
#define POINT_TIME_LEN	24

/**
 * struct point_image - the copy of a device.
 * @device: name in the job
 * @file: its name
 * @uuid: of the bitmap
 * @generation: of the bitmap
 * @run: that made it
 * @size: of the device
 * @bytes: of the file
 * @modified: of the file, nanoseconds since 1970
 * @copied: bytes that the run copied
 */
struct point_image {
	char device[CONFIG_NAME_LEN];
	char file[CONFIG_NAME_LEN + 8];
	char uuid[DTRACK_UUID_TEXT];
	uint64_t generation;
	uint64_t run;
	uint64_t size;
	uint64_t bytes;
	uint64_t modified;
	uint64_t copied;
};

enum point_state {
	POINT_WHOLE,
	POINT_PARTIAL,	/* there is no point.json */
	POINT_DAMAGED,	/* it cannot be read */
};

/**
 * struct point - a restore point.
 * @state: enum point_state; of a partial one only @number and @name are valid
 * @number: its number
 * @name: of its folder
 * @previous: number of the one before in its chain, 0 for the first
 * @time: when it was begun
 * @why: why it is full, or what is wrong with point.json
 * @format: enum config_format
 * @verified: when its images were read back, or ""
 * @nr: number of images
 * @image: them
 */
struct point {
	enum point_state state;
	uint64_t number;
	char name[FILE_NAME_LEN];
	uint64_t previous;
	char time[POINT_TIME_LEN];
	char why[POINT_WHY_LEN];
	int format;
	char verified[POINT_TIME_LEN];
	unsigned int nr;
	struct point_image *image;
};

/** point_format_word() - what an enum config_format is called; also a suffix. */
const char *point_format_word(int format);

/**
 * point_parse() - read point.json from memory; the text is hostile.
 * @text: the file
 * @len: its length
 * @p: result, but for its state and name; point_free() it, also on errors
 *
 * Return: NULL, or what is wrong with it, a constant.
 */
const char *point_parse(const char *text, size_t len, struct point *p);

/**
 * point_load() - look at a folder.
 * @folder: path of the point's folder
 * @p: @number and @name in, all the rest out; point_free() it
 *
 * Return: 0 or -ENOMEM; what is wrong with a point is its state.
 */
int point_load(const char *folder, struct point *p);

/**
 * point_store() - make a folder a restore point, durably.
 * @folder: path of the point's folder
 * @p: what to write
 *
 * Return: 0 or a negative errno.
 */
int point_store(const char *folder, const struct point *p);

/**
 * point_store_verified() - note that its images were read back, and are well.
 * @folder: path of the point's folder
 * @when: seconds since 1970
 *
 * Return: 0 or a negative errno.
 */
int point_store_verified(const char *folder, int64_t when);

/**
 * point_take() - note what a file is like.
 * @folder: path of the point's folder
 * @image: @file in; @bytes and @modified out
 *
 * Return: 0 or a negative errno.
 */
int point_take(const char *folder, struct point_image *image);

/**
 * point_check() - whether its files are what they were.
 * @folder: path of the point's folder
 * @p: a whole one
 * @why: result: what is not; POINT_WHY_LEN bytes
 *
 * By length and time, so that it costs nothing.
 */
bool point_check(const char *folder, const struct point *p, char *why);

/** point_time_format() - seconds since 1970 as a point has them. Return: @buf. */
const char *point_time_format(int64_t when, char buf[POINT_TIME_LEN]);

/** point_time_parse() - the other way round; 0 for what is no time. */
int64_t point_time_parse(const char *text);

/** point_image() - the image of a device, or NULL. */
const struct point_image *point_image(const struct point *p,
				      const char *device);

/** point_copied() - bytes that were copied for it. */
uint64_t point_copied(const struct point *p);

/** point_free() - free what it holds. */
void point_free(struct point *p);

#endif
