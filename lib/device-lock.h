/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device-lock.h - no backup of a device that is being restored, nor a restore
 * onto one that is being backed up.
 */
#ifndef DTL_DEVICE_LOCK_H
#define DTL_DEVICE_LOCK_H

#include "private.h"

/**
 * dtl_device_lock_backup() - keep restores away while a device is read.
 * @h: the handle
 * @dev: the device
 * @lock: result; dtl_close() it; -1: there are no locks here
 *
 * Return: 0; -EBUSY with words: the device, or one on top of it, is being
 * restored.
 */
int dtl_device_lock_backup(struct dtrack *h, struct dtrack_dev dev, int *lock);

/**
 * dtl_device_lock_restore() - keep backups away while a device is written.
 * @h: the handle
 * @dev: the device, tracked or not
 * @name: how the user calls it
 * @lock: result; dtl_close() it; -1: there are no locks here
 *
 * Return: 0; -EBUSY with words: it is being backed up, or restored.
 */
int dtl_device_lock_restore(struct dtrack *h, struct dtrack_dev dev,
			    const char *name, int *lock);

#endif
