/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forecast.h - what bitmaps will be when the actions before have been done.
 *
 * A run in a transaction has to be checked before anything is done, but against
 * the bitmap that its freeze will find.  The kernel judges: what is foreseen
 * here decides only what is refused early, and is compared with what was frozen.
 */
#ifndef DTL_FORECAST_H
#define DTL_FORECAST_H

#include "private.h"

/**
 * struct dtl_outlook - one bitmap.
 * @dev: the device
 * @info: what is known of it: name, generation, last run, flags, granularity
 * @fresh: it is to be added: nobody knows its uuid, nothing fits it
 */
struct dtl_outlook {
	struct dtrack_dev dev;
	struct dtrack_bitmap_info info;
	bool fresh;
};

/**
 * struct dtl_forecast - the bitmaps that actions change.  Zeroes are none.
 * @nr: number of them
 * @list: them
 */
struct dtl_forecast {
	unsigned int nr;
	struct dtl_outlook *list;
};

/**
 * dtl_forecast_find() - what is foreseen for a bitmap.
 * @f: the forecast
 * @dev: the device
 * @name: the bitmap
 *
 * Return: it, until the next dtl_forecast_apply(); NULL when no action changes
 * it: it is what the kernel says.
 */
const struct dtl_outlook *dtl_forecast_find(const struct dtl_forecast *f,
					    struct dtrack_dev dev,
					    const char *name);

/**
 * dtl_forecast_apply() - take an action into account.
 * @h: the handle
 * @f: the forecast
 * @a: the action; if the kernel will refuse it, nothing changes
 *
 * Return: 0 or -ENOMEM with words.
 */
int dtl_forecast_apply(struct dtrack *h, struct dtl_forecast *f,
		       const struct dtrack_action *a);

/** dtl_forecast_exit() - forget all. */
void dtl_forecast_exit(struct dtl_forecast *f);

#endif
