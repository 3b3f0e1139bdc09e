/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * damage.h - what was found to be wrong in the images of a chain.
 *
 * CHAIN/damage.json is there as long as something is known to be wrong:
 *
 *	"format"	"dtrack-damage"
 *	"version"	1; a reader refuses a greater one, ignores unknown keys
 *	"findings"	an array of objects, one for each image:
 *	  "point", "file"	the image
 *	  "what"	a line: what was found first
 *	  "when"	when it was found, UTC
 *	  "by"		"run", "scrub", "verify" or "restore"
 *	  "ranges"	an array of objects: "start", "length", bytes of the
 *			content; at most DAMAGE_MAX_RANGES
 */
#ifndef DTRACK_DAMAGE_H
#define DTRACK_DAMAGE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#define DAMAGE_FILE		"damage.json"
#define DAMAGE_MAX_RANGES	1000

/**
 * struct damage_finding - what was found in an image.
 * @point: name of the restore point's folder
 * @file: of the image
 * @what: a line
 * @when: as a point has it
 * @by: who found it
 * @ranges: an array, borrowed; or NULL
 */
struct damage_finding {
	const char *point;
	const char *file;
	const char *what;
	const char *when;
	const char *by;
	struct json_object *ranges;
};

/**
 * damage_load() - read the findings of a chain; they are hostile.
 * @path: of the file
 * @findings: result: an array to be put, each of it whole; NULL: there are none
 *
 * Return: NULL, or what is wrong with the file, a constant.
 */
const char *damage_load(const char *path, struct json_object **findings);

/**
 * damage_next() - look for findings in a restore point.
 * @findings: of damage_load()
 * @point: name of its folder, or NULL for any
 * @at: where to go on, 0 at first
 * @f: result, borrowed of @findings
 *
 * Return: whether there is one.
 */
bool damage_next(struct json_object *findings, const char *point, size_t *at,
		 struct damage_finding *f);

/**
 * damage_note() - remember a finding, durably, instead of an older one in its image.
 * @path: of the file
 * @f: the finding
 *
 * Return: 0 or a negative errno.
 */
int damage_note(const char *path, const struct damage_finding *f);

/**
 * damage_clear() - forget what was found in an image.
 * @path: of the file
 * @point: name of the restore point's folder
 * @file: the image
 *
 * Return: 0 or a negative errno.
 */
int damage_clear(const char *path, const char *point, const char *file);

#endif
