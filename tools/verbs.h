/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verbs.h - the verbs, each defined in the file of its name.
 */
#ifndef DTRACK_VERBS_H
#define DTRACK_VERBS_H

#include "option.h"

extern const struct verb verb_create, verb_remove, verb_list, verb_check,
	verb_map, verb_metrics, verb_backup, verb_transaction, verb_restore,
	verb_verify, verb_run, verb_points;
extern const struct verb verb_bitmap_add, verb_bitmap_remove, verb_bitmap_clear,
	verb_bitmap_enable, verb_bitmap_disable, verb_bitmap_merge,
	verb_bitmap_freeze, verb_bitmap_abdicate, verb_bitmap_reclaim,
	verb_bitmap_show, verb_bitmap_extents, verb_bitmap_export,
	verb_bitmap_import;

struct json_object;

/**
 * bitmap_json() - a bitmap as 'bitmap show --json' shows it.
 * @info: the bitmap
 */
struct json_object *bitmap_json(const struct dtrack_bitmap_info *info);

/**
 * bitmap_state() - a bitmap's state in words.
 * @info: the bitmap
 * @buf: result: "recording,busy", "disabled"
 * @size: of @buf
 */
void bitmap_state(const struct dtrack_bitmap_info *info, char *buf,
		  size_t size);

/**
 * bitmap_after() - what a verb has left of a bitmap.
 * @call: the call; its handle is asked
 * @dev: the device
 * @name: the bitmap, or NULL
 *
 * Return: as bitmap_json(), or NULL when there is none.
 */
struct json_object *bitmap_after(struct call *call, struct dtrack_dev dev,
				 const char *name);

#endif
