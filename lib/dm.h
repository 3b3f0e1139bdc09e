/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dm.h - device-mapper devices: names, tables, open counts.
 */
#ifndef DTL_DM_H
#define DTL_DM_H

#include "private.h"

/**
 * struct dtl_dm_info - a device-mapper device.
 * @dev: its number
 * @open_count: openers, file systems included
 * @suspended: I/O waits
 * @read_only: its table was loaded so
 * @name: its dm name
 */
struct dtl_dm_info {
	struct dtrack_dev dev;
	int open_count;
	bool suspended;
	bool read_only;
	char name[128];
};

/**
 * dtl_dm_by_name() - look a device up.
 * @h: the handle
 * @name: dm name
 * @info: result
 *
 * Return: 0; -ENXIO without words when there is none; or an errno with words.
 */
int dtl_dm_by_name(struct dtrack *h, const char *name,
		   struct dtl_dm_info *info);

/** dtl_dm_by_dev() - the same by number. */
int dtl_dm_by_dev(struct dtrack *h, struct dtrack_dev dev,
		  struct dtl_dm_info *info);

/**
 * struct dtl_dm_target - a line of a table.
 * @start: first sector of the device
 * @length: sectors
 * @type: of the target
 * @params: its parameters; "" for none
 */
struct dtl_dm_target {
	uint64_t start;
	uint64_t length;
	const char *type;
	const char *params;
};

/**
 * dtl_dm_table() - look at a device's live table.
 * @h: the handle
 * @dev: the device
 * @fn: called for each line until it returns true
 * @opaque: handed to @fn
 *
 * Return: 1 when @fn returned true, 0 when it never did; -ENXIO without words
 * when there is no such device-mapper device; or an errno with words.
 */
int dtl_dm_table(struct dtrack *h, struct dtrack_dev dev,
		 bool (*fn)(void *opaque, const struct dtl_dm_target *line),
		 void *opaque);

/**
 * dtl_dm_create() - create a device with one target, and its node.
 * @h: the handle
 * @name: dm name
 * @sectors: length
 * @type: target type
 * @params: its parameters
 *
 * Return: 0 or a negative errno with words; then nothing is left behind.
 */
int dtl_dm_create(struct dtrack *h, const char *name, uint64_t sectors,
		  const char *type, const char *params);

/** dtl_dm_remove() - remove a device; -EBUSY when it is open. */
int dtl_dm_remove(struct dtrack *h, const char *name);

#endif
