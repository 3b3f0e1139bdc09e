/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * claim.h - which part of a disk below is tracked by which mapped device.
 *
 * Two trackers over one range would be blind for each other's writes.  Each
 * target therefore claims the range that it maps to, from its constructor to
 * its destructor, and ranges of different trackers must not overlap.
 */
#ifndef DTR_CLAIM_H
#define DTR_CLAIM_H

#include <linux/blkdev.h>
#include <linux/list.h>

struct dtr_tracker;

/**
 * struct dtr_claim - the range that a target maps to.
 * @link: in the list of all claims; empty while nothing is claimed
 * @t: the tracker that the target belongs to
 * @disk: the whole disk; kept by the target's reference to the device below
 * @start: first sector of @disk
 * @end: first sector after the range
 */
struct dtr_claim {
	struct list_head link;
	const struct dtr_tracker *t;
	const struct gendisk *disk;
	sector_t start;
	sector_t end;
};

void dtr_claim_init(struct dtr_claim *claim);
int dtr_claim_take(struct dtr_claim *claim, const struct dtr_tracker *t,
		   struct block_device *bdev, sector_t start, sector_t len);
void dtr_claim_drop(struct dtr_claim *claim);

#endif
