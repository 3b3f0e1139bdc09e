/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sysfs.h - what /sys knows about block devices.
 */
#ifndef DTL_SYSFS_H
#define DTL_SYSFS_H

#include <dirent.h>

#include "private.h"

/** Longest path below /sys or /proc that is built here. */
#define DTL_PATH_LEN	512

/**
 * dtl_sysfs_path() - a path in a block device's folder.
 * @buf: DTL_PATH_LEN bytes
 * @dev: the device
 * @entry: below it
 */
void dtl_sysfs_path(char *buf, dev_t dev, const char *entry);

/**
 * dtl_sysfs_line() - the first line of a file.
 * @path: the file
 * @buf: result, without newline
 * @size: of @buf
 *
 * Return: true if there was one.
 */
bool dtl_sysfs_line(const char *path, char *buf, size_t size);

/**
 * dtl_sysfs_dev() - a device number in a file, "MAJOR:MINOR".
 * @path: the file
 * @dev: result
 */
bool dtl_sysfs_dev(const char *path, dev_t *dev);

/**
 * dtl_sysfs_disk() - the disk of a partition.
 * @part: the device
 * @disk: result
 *
 * Return: false when @part is no partition.
 */
bool dtl_sysfs_disk(dev_t part, dev_t *disk);

#define DTL_KIN_HOLDERS	"holders"
#define DTL_KIN_SLAVES	"slaves"
#define DTL_KIN_PARTS	""

/**
 * struct dtl_kin - a walk over the block devices in a device's folder.
 * @dir: the folder
 * @of: the device
 * @kind: DTL_KIN_*
 * @dev: the present one
 * @name: of the present one, the kernel's
 */
struct dtl_kin {
	DIR *dir;
	dev_t of;
	const char *kind;
	dev_t dev;
	const char *name;
};

bool dtl_kin_open(struct dtl_kin *k, dev_t of, const char *kind);
bool dtl_kin_next(struct dtl_kin *k);
void dtl_kin_close(struct dtl_kin *k);

/**
 * struct dtl_members - a walk over the devices of a btrfs.
 * @dir: a folder with all of them
 * @fs: its name
 * @dev: the present one
 */
struct dtl_members {
	DIR *dir;
	const char *fs;
	dev_t dev;
};

bool dtl_members_open(struct dtl_members *m, const char *fs);
bool dtl_members_next(struct dtl_members *m);
void dtl_members_close(struct dtl_members *m);

/** dtl_btrfs_has() - whether a device is one of a btrfs, named as in /sys. */
bool dtl_btrfs_has(const char *fs, dev_t dev);

/**
 * dtl_sysfs_node() - the device node of a block device.
 * @h: the handle
 * @dev: the device
 * @buf: result
 * @size: of @buf
 *
 * Return: true if one was found whose number is right.
 */
bool dtl_sysfs_node(struct dtrack *h, dev_t dev, char *buf, size_t size);

/** dtl_share_btrfs() - whether one btrfs lies on both devices. */
bool dtl_share_btrfs(dev_t a, dev_t b);

/**
 * dtl_sysfs_name() - what the kernel, and device-mapper, call a block device.
 * @h: the handle
 * @dev: the device
 * @buf: result: "sda1", "dm-3 (data)"
 * @size: of @buf
 */
void dtl_sysfs_name(struct dtrack *h, dev_t dev, char *buf, size_t size);

#endif
