// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * forecast.c - what bitmaps will be when the actions before have been done.
 */
#include <stdlib.h>
#include <string.h>

#include "forecast.h"

static struct dtl_outlook *find(const struct dtl_forecast *f,
				struct dtrack_dev dev, const char *name)
{
	unsigned int i;

	for (i = 0; i < f->nr; i++)
		if (dtl_same_dev(f->list[i].dev, dev) &&
		    !strcmp((const char *)f->list[i].info.name, name))
			return &f->list[i];
	return NULL;
}

const struct dtl_outlook *dtl_forecast_find(const struct dtl_forecast *f,
					    struct dtrack_dev dev,
					    const char *name)
{
	return find(f, dev, name);
}

static struct dtl_outlook *append(struct dtrack *h, struct dtl_forecast *f,
				  struct dtrack_dev dev)
{
	struct dtl_outlook *more;

	more = realloc(f->list, (f->nr + 1) * sizeof(*more));
	if (!more) {
		dtl_nomem(h);
		return NULL;
	}
	f->list = more;
	more += f->nr++;
	memset(more, 0, sizeof(*more));
	more->dev = dev;
	return more;
}

/* Return: 1 with the bitmap, 0 when there is none, or -ENOMEM. */
static int look(struct dtrack *h, struct dtl_forecast *f,
		const struct dtrack_action *a, struct dtl_outlook **o)
{
	const char *name = (const char *)a->name;
	struct dtrack_bitmaps *list;
	int ret = 1;

	*o = find(f, a->dev, name);
	if (*o)
		return 1;
	if (dtrack_bitmaps_get(h, a->dev, name, &list) < 0)
		return 0;
	*o = append(h, f, a->dev);
	if (*o)
		(*o)->info = *dtrack_bitmaps_at(list, 0);
	else
		ret = -ENOMEM;
	dtrack_bitmaps_free(list);
	return ret;
}

static int add(struct dtrack *h, struct dtl_forecast *f,
	       const struct dtrack_action *a)
{
	struct dtl_outlook *o = append(h, f, a->dev);
	struct dtrack_dev_info dev;

	if (!o)
		return -ENOMEM;
	if (!dtrack_dev_info(h, a->dev, &dev, sizeof(dev)))
		o->info.device_size = dev.bytes;
	o->fresh = true;
	memcpy(o->info.name, a->name, sizeof(o->info.name));
	o->info.granularity = a->granularity ? a->granularity : 65536;
	o->info.generation = 1;
	if (!(a->flags & DTRACK_ADD_DISABLED))
		o->info.flags = DTRACK_BITMAP_RECORDING;
	return 0;
}

static void thaw(struct dtrack_bitmap_info *info, bool step)
{
	info->flags &= ~DTRACK_BITMAP_BUSY;
	if (step) {
		info->generation++;
		info->last_run = info->run;
		if (!(info->flags & DTRACK_BITMAP_RECORDING))
			info->flags |= DTRACK_BITMAP_MISSING;
	}
}

static void change(struct dtrack_bitmap_info *info,
		   const struct dtrack_action *a)
{
	switch (a->type) {
	case DTRACK_ACTION_REMOVE:
		info->flags |= DTRACK_BITMAP_BUSY;
		break;
	case DTRACK_ACTION_CLEAR:
		info->generation++;
		break;
	case DTRACK_ACTION_ENABLE:
		if (info->flags & DTRACK_BITMAP_MISSING)
			info->generation++;
		info->flags &= ~DTRACK_BITMAP_MISSING;
		info->flags |= DTRACK_BITMAP_RECORDING;
		break;
	case DTRACK_ACTION_DISABLE:
		if (info->flags & DTRACK_BITMAP_RECORDING)
			info->generation++;
		info->flags &= ~DTRACK_BITMAP_RECORDING;
		break;
	case DTRACK_ACTION_FREEZE:
		info->flags |= DTRACK_BITMAP_BUSY;
		info->mode = a->mode;
		info->run = a->run;
		break;
	case DTRACK_ACTION_ABDICATE:
		thaw(info, true);
		break;
	case DTRACK_ACTION_RECLAIM:
		thaw(info, info->mode == DTRACK_MODE_ALWAYS);
		break;
	default:
		break;
	}
}

int dtl_forecast_apply(struct dtrack *h, struct dtl_forecast *f,
		       const struct dtrack_action *a)
{
	struct dtl_outlook *o;
	int ret;

	/* A merge adds: what fitted the target still does. */
	if (a->type == DTRACK_ACTION_ABORT || a->type == DTRACK_ACTION_MERGE)
		return 0;
	ret = look(h, f, a, &o);
	if (ret < 0)
		return ret;
	if (a->type == DTRACK_ACTION_ADD)
		return ret ? 0 : add(h, f, a);
	if (ret)
		change(&o->info, a);
	return 0;
}

void dtl_forecast_exit(struct dtl_forecast *f)
{
	free(f->list);
	memset(f, 0, sizeof(*f));
}
