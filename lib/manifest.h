/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * manifest.h - what a file target holds, said in a file beside it.
 *
 * TARGET.dtrack is one JSON object.  Format 1:
 *
 *	"format"	"dtrack-manifest"
 *	"version"	1; a reader refuses a greater one, ignores unknown keys
 *	"state"		"incomplete" from before the first write, "complete"
 *			from after the end of the run
 *	"size"		bytes of the device
 *	"image"		not there, or "qcow2": the target is such an image
 *	"backing"	not there, or how that names what it lies over
 *	"sync", "mode"	of the run; mode null without a bitmap
 *	"consistency"	not there while incomplete, or "held", "instant", "live"
 *	"bitmap"	null, or an object:
 *	  "name", "uuid", "granularity"
 *	  "from"	generation that the target was known to fit before the
 *			run, or null: a full copy, or forced
 *	  "to"		generation that it fits after the run
 *	  "run"		id of the run's freeze, 16 hex digits
 *	"checksums"	not there, null, or an object: see sums.h
 *	  "algorithm"	"XXH3-64"; with another one there are none for us
 *	  "unit"	bytes that a sum is of
 *	  "id"		of the file, 16 hex digits
 *
 * A target 'fits' generation g of a bitmap when it equals the device but in the
 * granules that are dirty in the bitmap at generation g.
 */
#ifndef DTL_MANIFEST_H
#define DTL_MANIFEST_H

#include "private.h"

/**
 * struct dtl_manifest - the content.
 * @complete: state
 * @has_bitmap: the members from @has_from on are valid
 * @has_from: @from is valid
 * @has_sums: there is a file of checksums
 * @size: bytes of the device
 * @granularity: bytes
 * @from: generation before
 * @to: generation after
 * @run: id of the freeze
 * @sums_unit: bytes, a power of two that sums.h allows
 * @sums_id: id of the file
 * @uuid: of the bitmap, as text
 * @name: of the bitmap
 * @sync: sync mode
 * @mode: bitmap mode, "" without a bitmap
 * @consistency: enum dtrack_consistency
 * @image: "qcow2", or "" for a raw file
 * @backing: what the image lies over, or ""
 */
struct dtl_manifest {
	bool complete;
	bool has_bitmap;
	bool has_from;
	bool has_sums;
	uint64_t size;
	uint64_t granularity;
	uint64_t from;
	uint64_t to;
	uint64_t run;
	uint64_t sums_unit;
	uint64_t sums_id;
	char uuid[DTRACK_UUID_TEXT];
	char name[DTRACK_NAME_LEN];
	char sync[16];
	char mode[16];
	int consistency;
	char image[8];
	char backing[4096];
};

/**
 * dtl_consistency_word() - how a manifest calls an enum dtrack_consistency.
 * @consistency: live, image or held
 */
const char *dtl_consistency_word(int consistency);

/**
 * dtl_consistency_parse() - what is meant by a manifest's word.
 * @word: the word
 *
 * Return: enum dtrack_consistency, unknown for an unknown word.
 */
int dtl_consistency_parse(const char *word);

/**
 * dtl_manifest_name() - what the manifest of a target is called.
 * @h: the handle
 * @path: the target, which need not exist
 * @name: result
 * @size: of @name
 *
 * Return: 0 or -ENAMETOOLONG with words.
 */
int dtl_manifest_name(struct dtrack *h, const char *path, char *name,
		      size_t size);

/**
 * dtl_manifest_parse() - read a manifest from memory; the text is hostile.
 * @text: the file
 * @len: its length
 * @m: result
 *
 * Return: NULL, or what is wrong with it, a constant.
 */
const char *dtl_manifest_parse(const char *text, size_t len,
			       struct dtl_manifest *m);

/**
 * dtl_manifest_load() - read a target's manifest.
 * @h: the handle
 * @path: of the manifest
 * @m: result
 *
 * Return: 0; -ENOENT without words when there is none; -EBADMSG or another
 * errno with words.
 */
int dtl_manifest_load(struct dtrack *h, const char *path,
		      struct dtl_manifest *m);

/**
 * dtl_manifest_store() - write a manifest, durably, whole or not at all.
 * @h: the handle
 * @path: of the manifest
 * @m: the content
 *
 * Return: 0 or an errno with words; then the old one is still there.
 */
int dtl_manifest_store(struct dtrack *h, const char *path,
		       const struct dtl_manifest *m);

/**
 * dtl_manifest_fits() - whether a bitmap may be copied onto the target.
 * @m: the target's manifest
 * @info: the bitmap, not frozen
 *
 * A complete target fits its generation.  An incomplete one fits the generation
 * it came from, if it had one: nothing was reported or abdicated.  It also fits
 * the next one, but only if the step was made by the very run that wrote the
 * manifest, not by a clear: then everything had been flushed before.
 */
bool dtl_manifest_fits(const struct dtl_manifest *m,
		       const struct dtrack_bitmap_info *info);

#endif
