/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * action.h - actions of the kernel's transactions.
 */
#ifndef DTL_ACTION_H
#define DTL_ACTION_H

#include "forecast.h"

/**
 * dtl_action_init() - an action on a bitmap; what else it takes is zero.
 * @h: the handle
 * @a: result
 * @type: enum dtrack_action_type
 * @dev: the device
 * @name: the bitmap
 *
 * Return: 0; -ENOENT, with words, for a name that no bitmap can have.
 */
int dtl_action_init(struct dtrack *h, struct dtrack_action *a,
		    unsigned int type, struct dtrack_dev dev,
		    const char *name);

/**
 * dtl_transact() - do all actions at one point in time, or none.
 * @h: the handle; it owns the freezes
 * @actions: in and out
 * @nr: number of them
 * @failed: result, on errors: the one to blame, or @nr
 *
 * Return: as dtl_ioctl(): without words.
 */
int dtl_transact(struct dtrack *h, struct dtrack_action *actions,
		 unsigned int nr, unsigned int *failed);

/**
 * dtl_freeze_error() - find words for what became of a run's freeze.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 * @err: negative errno; -ESTALE: it was not what the run was checked against
 *
 * Return: as dtl_bitmap_error(); -EAGAIN for -ESTALE.
 */
int dtl_freeze_error(struct dtrack *h, struct dtrack_dev dev, const char *name,
		     int err);

/**
 * dtl_action_error() - find words for why the kernel refused an action.
 * @h: the handle
 * @a: the action
 * @f: what the actions before it do
 * @err: negative errno of dtl_transact()
 *
 * Return: @err, or what dtl_ioctl() had noted already.
 */
int dtl_action_error(struct dtrack *h, const struct dtrack_action *a,
		     const struct dtl_forecast *f, int err);

#endif
