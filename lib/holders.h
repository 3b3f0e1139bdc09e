/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * holders.h - who uses a block device.
 */
#ifndef DTL_HOLDERS_H
#define DTL_HOLDERS_H

#include "private.h"

/**
 * dtl_check_unused() - whether nothing has a block device mounted, claimed or open
 * for writing.
 * @h: the handle
 * @path: of the device
 * @dev: its number
 *
 * Return: 0; -EBUSY with words that say who; or the errno of opening it.
 */
int dtl_check_unused(struct dtrack *h, const char *path, dev_t dev);

/**
 * dtl_check_unwritten() - whether nothing may write to a block device that we have
 * claimed.
 * @h: the handle
 * @what: how to call it in messages: "Device", "Target"
 * @path: of the device
 * @dev: its number
 *
 * Return: 0, or -EBUSY with words that say who.
 */
int dtl_check_unwritten(struct dtrack *h, const char *what, const char *path,
			dev_t dev);

/** dtl_is_swap() - whether a device is swapped to. */
bool dtl_is_swap(dev_t dev);

/**
 * dtl_user_of() - say who uses a block device.
 * @dev: the device
 * @buf: result: "mounted on /mnt", "held by dm-3 (data)", "used as swap",
 *	"used by another program"
 * @size: of @buf
 */
void dtl_user_of(dev_t dev, char *buf, size_t size);

/**
 * dtl_used_itself() - whether a device is mounted or swapped to.
 * @dev: the device
 * @buf: result: "mounted on /mnt", "used as swap"
 * @size: of @buf
 */
bool dtl_used_itself(dev_t dev, char *buf, size_t size);

#endif
