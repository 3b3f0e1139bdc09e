/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory.h - what reading images has shown is remembered in their repository.
 *
 * Of images that lie in a chain of restore points, damage is noted in the chain,
 * and that one is well beside it.  Others are nobody's to remember.
 */
#ifndef DTRACK_MEMORY_H
#define DTRACK_MEMORY_H

#include <stdbool.h>

#include "dtrack.h"
#include "point.h"

struct json_object;

/**
 * struct memory_image - what was seen of an image.
 * @path: its name
 * @before: what the file was like before it was read
 * @what: the first line of what is wrong; "" if nothing is
 * @ranges: what is wrong
 */
struct memory_image {
	char path[4096];
	struct point_proof before;
	char what[POINT_WHY_LEN];
	struct json_object *ranges;
};

/**
 * struct memory - what was seen.
 * @h: the handle
 * @by: who reads: "run", "scrub", "verify" or "restore"
 * @nr: number of images
 * @image: them
 * @at: the one that is read now; @nr: none
 * @why: what could not be remembered, and why; "" at first
 */
struct memory {
	struct dtrack *h;
	const char *by;
	unsigned int nr;
	struct memory_image *image;
	unsigned int at;
	char why[POINT_WHY_LEN];
};

/**
 * enum memory_end - how the reading ended.
 * @MEMORY_PART: not all was read, or compared; what was found was
 * @MEMORY_WELL: all was, and nothing was found
 * @MEMORY_MEDIUM: the same, and all came from the medium
 */
enum memory_end {
	MEMORY_PART,
	MEMORY_WELL,
	MEMORY_MEDIUM,
};

/**
 * memory_begin() - an image is about to be read.
 * @m: @h and @by in; memory_free() it
 * @target: it, as the library takes it
 */
void memory_begin(struct memory *m, const char *target);

/** memory_image() - another one is, one that those before lie over. */
void memory_image(struct memory *m, const char *path);

/**
 * memory_found() - something is wrong with the one that is read.
 * @m: begun
 * @range: bytes, or NULL
 * @why: words, or NULL: they are not what was written
 */
void memory_found(struct memory *m, const struct dtrack_range *range,
		  const char *why);

/** memory_what() - the first of what was found in any, or "". */
const char *memory_what(const struct memory *m);

/**
 * memory_keep() - remember all that, durably.
 * @m: begun
 * @end: how it ended
 *
 * Return: false with @m->why where that was not possible.
 */
bool memory_keep(struct memory *m, enum memory_end end);

/** memory_free() - forget what was seen. */
void memory_free(struct memory *m);

#endif
