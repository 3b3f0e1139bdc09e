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
 *	"surprising"	true or false, of a full one: it was not due.  Not there:
 *			nobody knows
 *	"other-disk"	true, or not there: a device of it has next to nothing in
 *			common with the restore point before
 *	"consistency"	"held", "instant" or "live"; not there: nobody knows
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
 * A file 'verified' beside it says which images were read back, and when:
 *
 *	TIME				when all were read the last time, or "-"
 *	TIME RUN BYTES MODIFIED FILE	the image was read from the medium, and
 *	...				matched its checksums
 *
 * A line of an image counts as long as the image is what it was then.  One of
 * version 0.1.0 has the first line alone: it does not tell what was read.
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
 * struct point_proof - an image that was read and matched its checksums.
 * @when: when
 * @bytes: of the file, then
 * @modified: of the file, then
 */
struct point_proof {
	char when[POINT_TIME_LEN];
	uint64_t bytes;
	uint64_t modified;
};

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
 * @proof: when and as what it was read from the medium, @when "" if it never was
 * @read: it was read back once, from the medium or not
 * @touched: its time is not the one that the run left it with
 * @checked: it was read from the medium as it is now, and matched its checksums:
 *	when; or ""
 *
 * The last two are point_look()'s.
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
	struct point_proof proof;
	bool read;
	bool touched;
	char checked[POINT_TIME_LEN];
};

/* The greater one is the better one. */
enum point_consistency {
	POINT_UNKNOWN,
	POINT_LIVE,	/* blocks of different moments */
	POINT_INSTANT,	/* one moment, as a power failure leaves it */
	POINT_HELD,	/* one moment, nothing half-written */
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
 * @surprising: it is full, and was not due
 * @other_disk: a device of it has next to nothing in common with the one before
 * @consistency: enum point_consistency
 * @verified: when its images were read back, from the medium or not; or ""
 * @problem: what is missing, or was changed, of its files; "" if nothing is.
 *	point_look()'s
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
	bool surprising;
	bool other_disk;
	int consistency;
	char verified[POINT_TIME_LEN];
	char problem[POINT_WHY_LEN];
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
 * point_store_verified() - note which images were read back, and are well.
 * @folder: path of the point's folder
 * @p: of its images @checked and @read
 * @when: of those that were read, but not from the medium; seconds since 1970
 *
 * Return: 0 or a negative errno.
 */
int point_store_verified(const char *folder, struct point *p, int64_t when);

/**
 * point_take() - note what a file is like.
 * @folder: path of the point's folder
 * @image: @file in; @bytes and @modified out
 *
 * Return: 0 or a negative errno.
 */
int point_take(const char *folder, struct point_image *image);

/**
 * point_look() - look at its files, but for what is in the images.
 * @h: the handle
 * @folder: path of the point's folder
 * @p: a whole one; @problem and of its images @touched and @checked out
 *
 * An image is the one by its length, and by the run and bitmap that its manifest
 * has.  Its time tells only that it was read as it is now.
 */
void point_look(struct dtrack *h, const char *folder, struct point *p);

/** point_consistency_word() - "held", "instant", "live", or "": not known. */
const char *point_consistency_word(int consistency);

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
