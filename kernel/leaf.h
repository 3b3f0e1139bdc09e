/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * leaf.h - memory for the leaves of bitmaps, with a reserve for the write path.
 */
#ifndef DTR_LEAF_H
#define DTR_LEAF_H

#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "core/bitmap.h"

/**
 * struct dtr_leaf_pool - one tracker's source of leaves.
 * @lock: protects @head and @nr; irq-safe, innermost
 * @head: reserved leaves, linked through their first word
 * @nr: leaves in @head
 * @refill: brings the reserve back to its size
 *
 * Marking takes a leaf from the slab cache without waiting and, where that
 * fails, from the reserve, so that a leaf becomes 'full' only after a burst of
 * first touches that the allocator could not serve for as long as the worker
 * needs to run.
 */
struct dtr_leaf_pool {
	raw_spinlock_t lock;	/* protects head and nr */
	void *head;
	unsigned int nr;
	struct work_struct refill;
};

extern const struct dtr_leaf_ops dtr_leaf_ops;

int dtr_leaf_init(void);
void dtr_leaf_exit(void);
void dtr_leaf_pool_init(struct dtr_leaf_pool *pool);
void dtr_leaf_pool_exit(struct dtr_leaf_pool *pool);

#endif
