// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * check.c - whether a run may begin.
 *
 * Two questions: do the options make sense with this bitmap, and is the target
 * one that this run makes right.  Changes nothing.
 */
#include <inttypes.h>
#include <string.h>

#include "image.h"
#include "run.h"

/* Without a bitmap to say it. */
#define DEFAULT_UNIT	65536

const char *dtl_sync_name(int sync)
{
	static const char *const name[] = {
		[DTRACK_SYNC_FULL] = "full",
		[DTRACK_SYNC_TOP] = "top",
		[DTRACK_SYNC_INCREMENTAL] = "incremental",
		[DTRACK_SYNC_BITMAP] = "bitmap",
		[DTRACK_SYNC_NONE] = "none",
	};

	return name[sync];
}

const char *dtl_mode_name(unsigned int mode)
{
	static const char *const name[] = {
		[DTRACK_MODE_CONDITIONAL] = "conditional",
		[DTRACK_MODE_NEVER] = "never",
		[DTRACK_MODE_ALWAYS] = "always",
	};

	return name[mode];
}

/* ---- Options ------------------------------------------------------------ */

#define usage(h, ...) dtl_fail(h, -EINVAL, DTL_CLASS_USAGE, __VA_ARGS__)

static bool copies_bitmap(const struct dtrack_run_options *o)
{
	return o->sync == DTRACK_SYNC_BITMAP ||
	       o->sync == DTRACK_SYNC_INCREMENTAL;
}

static bool in_range(const struct dtrack_run_options *o)
{
	return o->sync >= DTRACK_SYNC_FULL && o->sync <= DTRACK_SYNC_NONE &&
	       o->mode >= DTRACK_MODE_UNSET && o->mode <= DTRACK_MODE_ALWAYS &&
	       o->consistency >= DTRACK_CONSISTENCY_LIVE &&
	       o->consistency <= DTRACK_CONSISTENCY_IMAGE &&
	       o->on_source_error >= DTRACK_ON_ERROR_REPORT &&
	       o->on_source_error <= DTRACK_ON_ERROR_STOP &&
	       o->on_target_error >= DTRACK_ON_ERROR_REPORT &&
	       o->on_target_error <= DTRACK_ON_ERROR_STOP &&
	       !(o->flags & ~(DTRACK_RUN_FORCE | DTRACK_RUN_FSFREEZE |
			      DTRACK_RUN_HELD | DTRACK_RUN_FROZEN));
}

/* What needs no look at the device: QEMU's checks 1, 2 and 8. */
int dtrack_run_check(struct dtrack *h, const struct dtrack_run_options *o)
{
	if (!in_range(o))
		return usage(h, "An option of the run is out of range");
	if (copies_bitmap(o) && !o->bitmap)
		return usage(h,
			     "must provide a valid bitmap name for '%s' sync mode",
			     dtl_sync_name(o->sync));
	if (o->sync == DTRACK_SYNC_INCREMENTAL &&
	    o->mode != DTRACK_MODE_UNSET && o->mode != DTRACK_MODE_CONDITIONAL)
		return usage(h,
			     "Bitmap sync mode must be 'on-success' when using sync mode 'incremental'");
	if (!o->bitmap && o->mode != DTRACK_MODE_UNSET)
		return usage(h,
			     "Cannot specify bitmap sync mode without a bitmap");
	return 0;
}

static int find_bitmap(struct dtrack_run *run)
{
	struct dtrack_bitmaps *list;
	int ret;

	if (run->foreseen)
		return 0;
	ret = dtrack_bitmaps_get(run->h, run->dev, run->options.bitmap, &list);
	if (ret == -ENOENT)
		return dtl_fail(run->h, ret, DTL_CLASS_NO_BITMAP,
				"Bitmap '%s' could not be found",
				run->options.bitmap);
	if (ret < 0)
		return ret;
	run->info = *dtrack_bitmaps_at(list, 0);
	dtrack_bitmaps_free(list);
	return 0;
}

static int bitmap_error(struct dtrack_run *run, int err)
{
	return dtl_bitmap_error(run->h, run->dev, run->options.bitmap, err);
}

/* QEMU's checks 3 to 7, and 11. */
static int check_bitmap(struct dtrack_run *run)
{
	const struct dtrack_run_options *o = &run->options;
	int ret = find_bitmap(run);

	if (ret)
		return ret;
	if (o->mode == DTRACK_MODE_UNSET &&
	    o->sync != DTRACK_SYNC_INCREMENTAL)
		return usage(run->h,
			     "Bitmap sync mode must be given when providing a bitmap");
	run->mode = o->mode == DTRACK_MODE_UNSET ? DTRACK_MODE_CONDITIONAL :
						   (unsigned int)o->mode;
	if (run->info.flags & DTRACK_BITMAP_BUSY)
		return bitmap_error(run, -EBUSY);
	if (run->info.flags & DTRACK_BITMAP_INCONSISTENT)
		return bitmap_error(run, -EUCLEAN);
	if (o->sync == DTRACK_SYNC_NONE)
		return usage(run->h,
			     "sync mode 'none' does not produce meaningful bitmap outputs");
	if (run->mode == DTRACK_MODE_NEVER && !copies_bitmap(o))
		return usage(run->h,
			     "Bitmap sync mode 'never' has no meaningful effect when combined with sync mode '%s'",
			     dtl_sync_name(o->sync));
	if (run->mode != DTRACK_MODE_NEVER &&
	    run->info.flags & DTRACK_BITMAP_READONLY)
		return bitmap_error(run, -EROFS);
	return 0;
}

static int check_supported(struct dtrack_run *run)
{
	if (run->options.sync == DTRACK_SYNC_NONE)
		return dtl_fail(run->h, -EOPNOTSUPP, NULL,
				"sync mode none needs images");
	if (run->options.consistency == DTRACK_CONSISTENCY_IMAGE)
		return dtl_fail(run->h, -EOPNOTSUPP, NULL,
				"images are not supported yet");
	return 0;
}

int dtl_check_options(struct dtrack_run *run)
{
	struct dtrack_dev_info info;
	int ret = dtrack_run_check(run->h, &run->options);

	if (ret)
		return ret;
	ret = dtrack_dev_info(run->h, run->dev, &info, sizeof(info));
	if (ret)
		return ret;
	run->size = info.bytes;
	run->granularity = DEFAULT_UNIT;
	run->set = copies_bitmap(&run->options) ? DTRACK_SET_BITMAP : DTRACK_SET_ALL;
	if (run->options.bitmap) {
		ret = check_bitmap(run);
		if (ret)
			return ret;
		run->granularity = run->info.granularity;
	}
	return check_supported(run);
}

/* ---- The target --------------------------------------------------------- */

static int check_size(struct dtrack_run *run)
{
	const struct dtl_target *t = &run->target;
	bool force = run->options.flags & DTRACK_RUN_FORCE;

	if (t->size == run->size || (t->is_block && t->size > run->size) ||
	    (!t->is_block && force && t->size < run->size))
		return 0;
	return dtl_fail(run->h, -ERANGE, NULL,
			"Source and target image have different sizes (%" PRIu64
			" and %" PRIu64 " bytes)",
			run->size, t->size);
}

/* @path: what the manifest is of */
static int no_fit(struct dtrack_run *run, const char *path,
		  const struct dtl_manifest *m)
{
	char uuid[DTRACK_UUID_TEXT];

	dtrack_uuid_format(run->info.uuid, uuid);
	if (!m->has_bitmap)
		return dtl_fail(run->h, -ESTALE, NULL,
				"Target '%s' is no copy that bitmap '%s' belongs to: it was made without a bitmap",
				path, run->options.bitmap);
	if (strcmp(m->uuid, uuid))
		return dtl_fail(run->h, -ESTALE, NULL,
				"Target '%s' is no copy that bitmap '%s' belongs to: it was made with bitmap '%s', uuid %s",
				path, run->options.bitmap, m->name,
				m->uuid);
	if (!m->complete && !m->has_from)
		return dtl_fail(run->h, -ESTALE, NULL,
				"Target '%s' is an unfinished full copy",
				path);
	return dtl_fail(run->h, -ESTALE, NULL,
			"Target '%s' fits generation %" PRIu64
			" of bitmap '%s', which is at generation %" PRIu64,
			path, m->complete ? m->to : m->from,
			run->options.bitmap, (uint64_t)run->info.generation);
}

/* @err: of loading it; -ENOENT is without words */
static int no_manifest(struct dtrack_run *run, const char *path, int err)
{
	if (err != -ENOENT)
		return err;
	return dtl_fail(run->h, err, DTL_CLASS_GENERIC,
			"Target '%s' has no manifest, so it is not known to fit bitmap '%s'",
			path, run->options.bitmap);
}

/*
 * A full copy makes any target right, but one that fits before does so all the
 * way through, so that the run may be cut.  Without a fit the target is good
 * only when the run is through.
 */
static int check_manifest(struct dtrack_run *run)
{
	struct dtl_manifest *m = &run->before;
	int ret = dtl_manifest_load(run->h, run->target.manifest, m);

	run->fits = !ret && !run->fresh && dtl_manifest_fits(m, &run->info);
	if (run->fits || run->set == DTRACK_SET_ALL ||
	    run->options.flags & DTRACK_RUN_FORCE)
		return 0;
	return ret ? no_manifest(run, run->target.path, ret) :
		     no_fit(run, run->target.path, m);
}

static int not_there(struct dtrack_run *run)
{
	if (run->set == DTRACK_SET_ALL ||
	    run->options.flags & DTRACK_RUN_FORCE)
		return 0;
	return dtl_fail(run->h, -ENOENT, DTL_CLASS_GENERIC,
			"Target '%s' does not exist, and sync mode '%s' copies only changes",
			run->target.path, dtl_sync_name(run->options.sync));
}

static int check_backing(struct dtrack_run *run)
{
	const struct dtl_image *image = run->target.image;
	struct dtl_manifest m;
	int ret;

	if (run->set == DTRACK_SET_ALL)
		return usage(run->h, "A full copy has no backing file");
	ret = dtl_manifest_load(run->h, image->backing_manifest, &m);
	run->links = !ret && !run->fresh && dtl_manifest_fits(&m, &run->info);
	if (run->links || run->options.flags & DTRACK_RUN_FORCE)
		return 0;
	return ret ? no_manifest(run, image->backing, ret) :
		     no_fit(run, image->backing, &m);
}

/*
 * In mode 'always' the next run would need what a failed one has copied: an
 * image that is not finished, and never will be.
 */
static int check_image(struct dtrack_run *run)
{
	if (run->bitmap && run->mode == DTRACK_MODE_ALWAYS)
		return dtl_fail(run->h, -EOPNOTSUPP, NULL,
				"Bitmap sync mode 'always' is not supported with a qcow2 target");
	return run->target.image->backing[0] ? check_backing(run) :
					       not_there(run);
}

int dtl_check_target(struct dtrack_run *run)
{
	const struct dtl_target *t = &run->target;
	int ret;

	if (t->image)
		return check_image(run);
	if (!t->exists)
		return not_there(run);
	ret = check_size(run);
	if (ret || !run->bitmap || t->is_block)
		return ret;
	return check_manifest(run);
}
