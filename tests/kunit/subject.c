// SPDX-License-Identifier: GPL-2.0-only
/*
 * subject.c - the project's kernel sources, in the hands of a test.
 *
 * All of them but for main.c, control.c and actions.c, in one piece: so they export
 * nothing, register nothing, and a test module needs no other module.  Below
 * them, the ways to what is static there.
 */
#include "subject.h"

#include "core/bitmap.c"
#include "core/bitmap-merge.c"
#include "core/bitmap-read.c"
#include "core/export.c"
#include "core/extent.c"
#include "core/format.c"
#include "core/geometry.c"
#include "core/name.c"
#include "leaf.c"
#include "epoch.c"
#include "rotation.c"
#include "tracker.c"
#include "claim.c"
#include "plan.c"
#include "continuity.c"
#include "query.c"
#include "transaction.c"
#include "lifecycle.c"
#include "freeze.c"
#include "lease.c"
#include "target.c"

/* ---- A target without a table ---- */

struct dtk_target {
	struct dm_target ti;
	struct dtr_target dt;
	struct dm_dev dev;
};

/* A target of @t that begins at sector @start of @lower; NULL: no memory. */
struct dm_target *dtk_target_create(struct dtr_tracker *t,
				    struct block_device *lower, sector_t start)
{
	struct dtk_target *target = kzalloc(sizeof(*target), GFP_KERNEL);

	BUILD_BUG_ON(sizeof(struct dtr_write) >
		     sizeof_field(struct dtk_bio, data));
	if (!target)
		return NULL;
	target->dev.bdev = lower;
	target->dt.dev = &target->dev;
	target->dt.start = start;
	target->dt.tracker = t;
	target->dt.clock = &t->clock;
	target->ti.private = &target->dt;
	return &target->ti;
}

void dtk_target_destroy(struct dm_target *ti)
{
	kfree(container_of(ti, struct dtk_target, ti));
}

int dtk_target_map(struct dm_target *ti, struct bio *bio)
{
	return dirtytrack_target.map(ti, bio);
}

int dtk_target_end_io(struct dm_target *ti, struct bio *bio, blk_status_t error)
{
	return dirtytrack_target.end_io(ti, bio, &error);
}

/* ---- Module parameters ---- */

void dtk_set_max_memory(unsigned long mb)
{
	max_memory_mb = mb;
}

void dtk_set_leaf_reserve(unsigned int leaves)
{
	leaf_reserve = leaves;
}

void dtk_reset_parameters(void)
{
	max_memory_mb = 0;
	leaf_reserve = DTK_LEAF_RESERVE;
}
