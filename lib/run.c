// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * run.c - a backup run from its freeze to its end.
 *
 *	1. checks: options, bitmap, source, target.  Nothing changes.  Mounted
 *	   file systems are synced: what was written to them is in the copy.
 *	2. manifest 'incomplete' with the id that the freeze will have, where the
 *	   target fits the bitmap.
 *	3. freeze: a successor records from here on.
 *	4. manifest 'incomplete' where the target did not fit: it says which
 *	   generation was frozen.
 *	5. copy, flush, report, over and over.
 *	6. the target is durable.
 *	7. abdicate or reclaim, by policy.
 *	8. manifest 'complete' with the generation that was reached.
 *
 * The target is made and written only after its manifest: it is never newer
 * than that admits.  A process killed at any point leaves the bitmap to the
 * kernel, which reclaims it, and a manifest that is true: where the kernel has
 * made the step to the next generation it is recognised by the id of the run
 * (dtl_manifest_fits()).  That is also why a manifest that will do comes before
 * the freeze: an 'always' run makes the step however early it is killed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "device-lock.h"
#include "image.h"
#include "run.h"
#include "sysfs.h"

/* ---- Beginning ---------------------------------------------------------- */

static int open_source(struct dtrack_run *run)
{
	struct dtrack *h = run->h;
	char path[512], buf[32];

	if (!dtl_sysfs_node(h, dtl_dev_t(run->dev), path, sizeof(path)))
		return dtl_fail(h, -ENOENT, DTL_CLASS_GENERIC,
				"The device '%s' has no node below /dev",
				dtl_label(h, run->dev, buf, sizeof(buf)));
	return dtl_source_open_device(h, path, &run->source);
}

static int copy_options(struct dtrack_run *run,
			const struct dtrack_run_options *options)
{
	size_t size = options->size;

	if (size < sizeof(size) || size > sizeof(run->options))
		return dtl_fail(run->h, -EINVAL, NULL,
				"struct dtrack_run_options is of another version");
	memcpy(&run->options, options, size);
	if (!run->options.target)
		return dtl_fail(run->h, -EINVAL, DTL_CLASS_USAGE,
				"The target has no name");
	run->target_name = strdup(run->options.target);
	run->options.target = run->target_name;
	if (run->options.bitmap)
		run->bitmap = strdup(run->options.bitmap);
	if (!run->target_name || (run->options.bitmap && !run->bitmap))
		return dtl_nomem(run->h);
	run->options.bitmap = run->bitmap;
	return 0;
}

static int begin(struct dtrack_run *run,
		 const struct dtrack_run_options *options)
{
	int ret = copy_options(run, options);

	if (!ret)
		ret = dtl_check_options(run);
	if (!ret)
		ret = dtl_device_lock_backup(run->h, run->dev,
					     &run->device_lock);
	if (!ret)
		ret = open_source(run);
	run->target.patience = run->options.target_timeout;
	if (!ret)
		ret = dtl_target_open(run->h, run->options.target, run->dev,
				      &run->target);
	if (!ret)
		ret = dtl_check_target(run);
	if (ret)
		return ret;
	if (run->target.image)
		run->target.image->granule = run->granularity;
	run->result.consistency = run->options.consistency;
	run->result.bytes_total = run->set == DTRACK_SET_ALL ? run->size :
							       run->info.count;
	return 0;
}

int dtl_run_new(struct dtrack *h, struct dtrack_dev dev,
		const struct dtrack_run_options *options,
		const struct dtl_outlook *outlook, struct dtrack_run **result)
{
	struct dtrack_run *run = calloc(1, sizeof(*run));
	int ret;

	if (!run)
		return dtl_nomem(h);
	run->h = h;
	run->dev = dev;
	run->device_lock = -1;
	dtl_source_init(&run->source);
	dtl_sums_init(&run->sums);
	run->target.cancel = &run->cancel;
	if (outlook) {
		run->foreseen = true;
		run->fresh = outlook->fresh;
		run->info = outlook->info;
	}
	ret = begin(run, options);
	if (ret)
		dtrack_run_free(run);
	else
		*result = run;
	return ret;
}

int dtrack_run_new(struct dtrack *h, struct dtrack_dev dev,
		   const struct dtrack_run_options *options,
		   struct dtrack_run **result)
{
	return dtl_run_new(h, dev, options, NULL, result);
}

void dtrack_run_free(struct dtrack_run *run)
{
	if (!run)
		return;
	dtrack_extents_close(run->extents);
	dtl_sums_close(&run->sums);
	dtl_target_close(&run->target);
	dtl_source_close(&run->source);
	dtl_close(run->device_lock);
	free(run->target_name);
	free(run->bitmap);
	free(run);
}

static int check_cancel(struct dtrack_run *run)
{
	if (!atomic_load(&run->cancel))
		return 0;
	return dtl_fail(run->h, -ECANCELED, NULL, "Operation canceled");
}

/* ---- The manifest ------------------------------------------------------- */

static int store_manifest(struct dtrack_run *run)
{
	if (!run->target.manifest[0])
		return 0;
	return dtl_manifest_store(run->h, run->target.manifest, &run->manifest);
}

static int draw_id(struct dtrack_run *run, uint64_t *id)
{
	do
		if (getrandom(id, sizeof(*id), 0) != sizeof(*id))
			return dtl_fail(run->h, -errno, NULL,
					"Could not draw a random number: %s",
					strerror(errno));
	while (!*id);
	return 0;
}

/* No larger than what is read at once: of a part there is no checksum. */
static uint64_t new_sums_unit(const struct dtrack_run *run)
{
	uint64_t unit = run->granularity < DTL_SUMS_MAX_UNIT ?
			run->granularity : DTL_SUMS_MAX_UNIT;
	const uint64_t most = run->options.request_size;

	while (most && unit > most && unit > DTL_SUMS_MIN_UNIT)
		unit /= 2;
	return unit;
}

/*
 * The checksums of a target that fits are right but in what this run copies.
 * Of any other nothing is known.
 */
static int choose_sums(struct dtrack_run *run)
{
	struct dtl_manifest *m = &run->manifest;
	struct dtl_error first;

	m->has_sums = true;
	m->sums_unit = run->before.sums_unit;
	m->sums_id = run->before.sums_id;
	dtl_error_save(run->h, &first);
	if (run->fits && run->before.has_sums &&
	    !dtl_sums_open(run->h, run->target.manifest, m, true, &run->sums))
		return 0;
	dtl_error_restore(run->h, &first);
	m->sums_unit = new_sums_unit(run);
	return draw_id(run, &m->sums_id);
}

static void describe_image(struct dtrack_run *run)
{
	const struct dtl_image *image = run->target.image;

	if (!image)
		return;
	snprintf(run->manifest.image, sizeof(run->manifest.image), "qcow2");
	memcpy(run->manifest.backing, image->backing_name,
	       sizeof(run->manifest.backing));
}

static int begin_manifest(struct dtrack_run *run)
{
	struct dtl_manifest *m = &run->manifest;
	int ret;

	if (!run->target.manifest[0])
		return 0;
	m->size = run->size;
	describe_image(run);
	snprintf(m->sync, sizeof(m->sync), "%s",
		 dtl_sync_name(run->options.sync));
	if (run->bitmap) {
		m->has_bitmap = true;
		m->granularity = run->granularity;
		m->has_from = run->fits || run->links;
		m->from = run->info.generation;
		m->to = m->from + (run->mode != DTRACK_MODE_NEVER);
		m->run = run->freeze.run;
		dtrack_uuid_format(run->info.uuid, m->uuid);
		memcpy(m->name, run->info.name, sizeof(m->name));
		snprintf(m->mode, sizeof(m->mode), "%s",
			 dtl_mode_name(run->mode));
	}
	ret = choose_sums(run);
	return ret ? ret : store_manifest(run);
}

/* ---- Freezing ----------------------------------------------------------- */

int dtl_run_prepare(struct dtrack_run *run)
{
	int ret = draw_id(run, &run->freeze.run);

	dtl_run_look_for_users(run);
	return !ret && run->fits ? begin_manifest(run) : ret;
}

/* If the old manifest cannot be stored the new one is as true. */
void dtl_run_unprepare(struct dtrack_run *run)
{
	struct dtl_error first;

	if (!run->fits)
		return;
	dtl_error_save(run->h, &first);
	dtl_manifest_store(run->h, run->target.manifest, &run->before);
	dtl_error_restore(run->h, &first);
}

int dtl_run_freeze_action(struct dtrack_run *run, struct dtrack_action *a)
{
	int ret = dtl_action_init(run->h, a, DTRACK_ACTION_FREEZE, run->dev,
				  run->bitmap);

	a->mode = run->mode;
	a->set = run->set;
	a->run = run->freeze.run;
	a->generation = run->info.generation;
	return ret;
}

void dtl_run_frozen(struct dtrack_run *run, const struct dtrack_action *a)
{
	run->freeze.generation = a->generation;
	run->frozen = true;
}

static int freeze(void *opaque)
{
	struct dtrack_run *run = opaque;
	struct dtrack_action action;
	unsigned int failed;
	int ret;

	ret = dtl_run_freeze_action(run, &action);
	if (ret)
		return ret;
	ret = dtl_transact(run->h, &action, 1, &failed);
	if (ret)
		return dtl_freeze_error(run->h, run->dev, run->bitmap, ret);
	dtl_run_frozen(run, &action);
	return 0;
}

static bool is_foreseen(const struct dtrack_run *run,
			const struct dtrack_bitmap_info *before)
{
	return run->freeze.generation == before->generation &&
	       run->info.last_run == before->last_run &&
	       run->info.bytes == run->size &&
	       (run->fresh ||
		!memcmp(run->info.uuid, before->uuid, sizeof(before->uuid)));
}

int dtl_run_check_frozen(struct dtrack_run *run)
{
	struct dtrack_bitmap_info before = run->info;
	struct dtrack_bitmaps *list;
	int ret;

	ret = dtrack_bitmaps_get(run->h, run->dev, run->bitmap, &list);
	if (ret < 0)
		return ret;
	run->info = *dtrack_bitmaps_at(list, 0);
	dtrack_bitmaps_free(list);
	if (!is_foreseen(run, &before))
		return dtl_freeze_error(run->h, run->dev, run->bitmap, -ESTALE);
	if (run->set == DTRACK_SET_BITMAP)
		run->result.bytes_total = run->info.count;
	return 0;
}

static int take(struct dtrack_run *run)
{
	int ret;

	if (!run->bitmap)
		return 0;
	ret = dtl_run_prepare(run);
	if (ret)
		return ret;
	if (run->options.flags & DTRACK_RUN_FSFREEZE)
		ret = dtl_fsfreeze(run->h, &run->dev, 1, freeze, run);
	else
		ret = freeze(run);
	if (!run->frozen)
		dtl_run_unprepare(run);
	return ret ? ret : dtl_run_check_frozen(run);
}

/* ---- Copying ------------------------------------------------------------ */

static int next_extent(void *opaque, struct dtrack_range *range)
{
	struct dtrack_run *run = opaque;

	int ret;

	if (run->extents) {
		ret = dtrack_extents_next(run->extents, range);
		if (ret == -ESTALE)
			dtl_bitmap_error(run->h, run->dev, run->bitmap, ret);
		return ret;
	}
	if (run->all_given)
		return 0;
	run->all_given = true;
	*range = (struct dtrack_range){ 0, run->size };
	return 1;
}

static int seen(void *opaque, uint64_t start, const char *data, size_t len)
{
	struct dtrack_run *run = opaque;

	return dtl_sums_put(run->h, &run->sums, start, data, len);
}

/*
 * What is reported in mode 'always' will not be copied again if this run fails:
 * its checksums have to stay, too.
 */
static int report(void *opaque, const struct dtrack_range *ranges,
		  unsigned int nr)
{
	struct dtrack_run *run = opaque;
	int ret = 0;

	if (!run->frozen)
		return 0;
	if (run->mode == DTRACK_MODE_ALWAYS)
		ret = dtl_sums_sync(run->h, &run->sums);
	if (ret)
		return ret;
	return dtrack_bitmap_report(run->h, run->dev, run->bitmap,
				    run->freeze.run, ranges, nr);
}

static int copy(struct dtrack_run *run)
{
	struct dtl_copy c = {
		.h = run->h,
		.source = &run->source,
		.target = &run->target,
		.size = run->size,
		.granularity = run->granularity,
		.total = run->result.bytes_total,
		.options = &run->options,
		.cancel = &run->cancel,
		.resume = &run->resume,
		.next = next_extent,
		.seen = run->sums.fd >= 0 ? seen : NULL,
		.flushed = report,
		.opaque = run,
	};
	int ret = dtl_copy_run(&c);

	run->result.bytes_copied = c.copied;
	return ret;
}

static int publish_target(struct dtrack_run *run)
{
	struct dtl_target *t = &run->target;
	int ret = t->ops->publish ? t->ops->publish(t) : 0;

	if (ret)
		return dtl_fail(run->h, ret, dtl_os_class(ret),
				"Could not finish '%s': %s", t->path,
				strerror(-ret));
	return 0;
}

static int finish_target(struct dtrack_run *run)
{
	int ret = dtl_sums_sync(run->h, &run->sums);

	if (ret)
		return ret;
	ret = run->target.ops->finish(&run->target);
	if (ret)
		return dtl_fail(run->h, ret, dtl_os_class(ret),
				"Could not flush '%s': %s", run->target.path,
				dtl_target_why(&run->target, ret));
	/* The last moment at which a cancel is not too late. */
	ret = check_cancel(run);
	return ret ? ret : publish_target(run);
}

static int begin_sums(struct dtrack_run *run)
{
	if (!run->target.manifest[0] || run->sums.fd >= 0)
		return 0;
	return dtl_sums_create(run->h, run->target.manifest, &run->manifest,
			       &run->sums);
}

/* A manifest that speaks of the target, and the target; or neither is touched. */
static int begin_target(struct dtrack_run *run)
{
	int place, ret = dtl_target_claim(run->h, &run->target, &place);

	if (!ret && !run->fits)
		ret = begin_manifest(run);
	if (!ret)
		ret = begin_sums(run);
	if (!ret)
		ret = run->target.ops->begin(run->h, &run->target, run->size);
	dtl_close(place);
	return ret;
}

int dtl_run_transfer(struct dtrack_run *run)
{
	int ret = 0;

	if (run->set == DTRACK_SET_BITMAP)
		ret = dtrack_extents_open(run->h, run->dev, run->bitmap, 0,
					  run->freeze.generation,
					  &run->extents);
	if (!ret)
		ret = begin_target(run);
	if (!ret)
		ret = copy(run);
	if (ret)
		return ret;
	dtl_run_settle_consistency(run);
	return finish_target(run);
}

/* ---- Ending ------------------------------------------------------------- */

int dtl_run_end_action(struct dtrack_run *run, bool good,
		       struct dtrack_action *a)
{
	unsigned int type = good && run->mode != DTRACK_MODE_NEVER ?
			    DTRACK_ACTION_ABDICATE : DTRACK_ACTION_RECLAIM;
	int ret = dtl_action_init(run->h, a, type, run->dev, run->bitmap);

	a->run = run->freeze.run;
	return ret;
}

int dtl_run_ended(struct dtrack_run *run, uint64_t generation)
{
	run->frozen = false;
	run->manifest.complete = true;
	run->manifest.to = generation;
	return store_manifest(run);
}

/* Success.  The generation is what the target fits from now on. */
static int give_up_bitmap(struct dtrack_run *run, uint64_t *generation)
{
	*generation = run->freeze.generation;
	if (!run->frozen)
		return 0;
	if (run->mode == DTRACK_MODE_NEVER)
		return dtrack_bitmap_reclaim(run->h, run->dev, run->bitmap,
					     run->freeze.run, 0, NULL);
	return dtrack_bitmap_abdicate(run->h, run->dev, run->bitmap,
				      run->freeze.run, generation);
}

/*
 * Failure: the bitmap thaws, unless the freeze was what we lost.  What went
 * wrong first is what is told.
 */
void dtl_run_take_back(struct dtrack_run *run)
{
	struct dtl_error first;

	if (!run->frozen)
		return;
	dtl_error_save(run->h, &first);
	dtrack_bitmap_reclaim(run->h, run->dev, run->bitmap, run->freeze.run, 0,
			      NULL);
	dtl_error_restore(run->h, &first);
	run->frozen = false;
}

void dtl_run_settle(struct dtrack_run *run, int ret)
{
	run->result.state = !ret ? DTRACK_RUN_COMPLETED :
			    ret == -ECANCELED ? DTRACK_RUN_CANCELLED :
						DTRACK_RUN_FAILED;
}

int dtl_run_end(struct dtrack_run *run, int ret)
{
	uint64_t generation;

	if (!ret)
		ret = give_up_bitmap(run, &generation);
	if (ret)
		dtl_run_take_back(run);
	else
		ret = dtl_run_ended(run, generation);
	dtl_run_settle(run, ret);
	return ret;
}

/* What its caller has frozen was written then. */
static void write_back(struct dtrack_run *run)
{
	if (!(run->options.flags & DTRACK_RUN_FROZEN))
		run->result.unsynced = !dtl_sync(run->h, &run->dev, 1,
						 &run->cancel);
}

int dtrack_run_execute(struct dtrack_run *run)
{
	int ret;

	if (run->result.state != DTRACK_RUN_READY)
		return dtl_fail(run->h, -EINVAL, NULL,
				"A run can be executed once");
	ret = check_cancel(run);
	if (!ret)
		write_back(run);
	if (!ret)
		ret = check_cancel(run);
	if (!ret)
		ret = take(run);
	if (!ret)
		ret = dtl_run_transfer(run);
	return dtl_run_end(run, ret);
}

/* ---- Public ------------------------------------------------------------- */

void dtrack_run_result(const struct dtrack_run *run,
		       struct dtrack_run_result *result, size_t size)
{
	memset(result, 0, size);
	memcpy(result, &run->result,
	       size < sizeof(run->result) ? size : sizeof(run->result));
}

void dtrack_run_cancel(struct dtrack_run *run)
{
	atomic_store(&run->cancel, 1);
}

void dtrack_run_resume(struct dtrack_run *run)
{
	atomic_store(&run->resume, 1);
}
