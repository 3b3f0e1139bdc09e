// SPDX-License-Identifier: GPL-2.0-only
/*
 * claim.c - which part of a disk below is tracked by which mapped device.
 *
 * Owns the list of all claims.  A partition and its disk are one disk here.  A
 * device that is stacked on the disk is another one: what it maps to is not
 * looked at.
 *
 * Contexts: process context under memalloc_noio.
 */
#include <linux/mutex.h>

#include "claim.h"

/* Innermost of the mutexes: protects the list. */
static DEFINE_MUTEX(claims_mutex);
static LIST_HEAD(claims);

/**
 * dtr_claim_init() - a claim to nothing.
 * @claim: uninitialised
 */
void dtr_claim_init(struct dtr_claim *claim)
{
	INIT_LIST_HEAD(&claim->link);
}

static bool in_conflict(const struct dtr_claim *a, const struct dtr_claim *b)
{
	return a->t != b->t && a->disk == b->disk && a->start < b->end &&
	       b->start < a->end;
}

/**
 * dtr_claim_take() - claim a range, unless another tracker has a part of it.
 * @claim: initialised; to be given to dtr_claim_drop()
 * @t: the tracker that is going to track the range
 * @bdev: the device below, a disk or a partition
 * @start: first sector of @bdev; the range is inside @bdev
 * @len: sectors
 *
 * Tables of one mapped device may overlap: one of them is live at a time.
 *
 * Context: process; may sleep.
 * Return: 0 or -EBUSY.
 */
int dtr_claim_take(struct dtr_claim *claim, const struct dtr_tracker *t,
		   struct block_device *bdev, sector_t start, sector_t len)
{
	const struct dtr_claim *other;
	int r = 0;

	claim->t = t;
	claim->disk = bdev->bd_disk;
	claim->start = get_start_sect(bdev) + start;
	claim->end = claim->start + len;
	mutex_lock(&claims_mutex);
	list_for_each_entry(other, &claims, link)
		if (in_conflict(claim, other))
			r = -EBUSY;
	if (!r)
		list_add_tail(&claim->link, &claims);
	mutex_unlock(&claims_mutex);
	return r;
}

/**
 * dtr_claim_drop() - give a range back.
 * @claim: taken or not
 *
 * Context: process; may sleep.
 */
void dtr_claim_drop(struct dtr_claim *claim)
{
	mutex_lock(&claims_mutex);
	list_del_init(&claim->link);
	mutex_unlock(&claims_mutex);
}
