// SPDX-License-Identifier: GPL-2.0-only
/*
 * leaf.c - memory for the leaves of bitmaps, with a reserve for the write path.
 *
 * Owns the slab cache and each tracker's reserve.  What a bitmap does when
 * there is no leaf (it marks the whole leaf dirty) is in core/bitmap.c.
 *
 * Contexts: taking and giving back in any context; init, exit and the refill
 * worker in process context.
 */
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "leaf.h"

static unsigned int leaf_reserve = 64;
module_param(leaf_reserve, uint, 0644);
MODULE_PARM_DESC(leaf_reserve,
		 "Leaves (4 KiB) that each device keeps for first touches when memory is short");

static struct kmem_cache *leaf_cache;

static void *reserve_take(struct dtr_leaf_pool *pool)
{
	unsigned long irq;
	void **leaf;

	raw_spin_lock_irqsave(&pool->lock, irq);
	leaf = pool->head;
	if (leaf) {
		pool->head = *leaf;
		pool->nr--;
	}
	raw_spin_unlock_irqrestore(&pool->lock, irq);
	if (leaf)
		*leaf = NULL;	/* the link was the only word not zero */
	return leaf;
}

/* Whether the reserve took @leaf, which is zeroed. */
static bool reserve_put(struct dtr_leaf_pool *pool, void **leaf)
{
	unsigned long irq;
	bool room;

	raw_spin_lock_irqsave(&pool->lock, irq);
	room = pool->nr < READ_ONCE(leaf_reserve);
	if (room) {
		*leaf = pool->head;
		pool->head = leaf;
		pool->nr++;
	}
	raw_spin_unlock_irqrestore(&pool->lock, irq);
	return room;
}

static void reserve_refill(struct work_struct *work)
{
	struct dtr_leaf_pool *pool =
		container_of(work, struct dtr_leaf_pool, refill);
	unsigned int noio = memalloc_noio_save();

	while (READ_ONCE(pool->nr) < READ_ONCE(leaf_reserve)) {
		void *leaf = kmem_cache_zalloc(leaf_cache, GFP_NOIO |
					       __GFP_RETRY_MAYFAIL |
					       __GFP_NOWARN);

		if (!leaf)
			break;
		if (!reserve_put(pool, leaf)) {
			kmem_cache_free(leaf_cache, leaf);
			break;
		}
	}
	memalloc_noio_restore(noio);
}

static void *leaf_alloc(void *ctx, bool atomic)
{
	struct dtr_leaf_pool *pool = ctx;
	void *leaf;

	if (!atomic)
		return kmem_cache_zalloc(leaf_cache, GFP_NOIO |
					 __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	/* A swap-out marks, too, and kswapd could have the last pages there are. */
	leaf = kmem_cache_zalloc(leaf_cache, GFP_NOWAIT | __GFP_NOMEMALLOC |
				 __GFP_NOWARN);
	/* Also where memory is there again: the next failure is to find it. */
	if (unlikely(!leaf || READ_ONCE(pool->nr) < READ_ONCE(leaf_reserve)))
		schedule_work(&pool->refill);
	return likely(leaf) ? leaf : reserve_take(pool);
}

static void leaf_free(void *ctx, void *leaf)
{
	kmem_cache_free(leaf_cache, leaf);
}

/* The context of these is a struct dtr_leaf_pool. */
const struct dtr_leaf_ops dtr_leaf_ops = {
	.alloc = leaf_alloc,
	.free = leaf_free,
};

/**
 * dtr_leaf_pool_init() - fill a new reserve.
 * @pool: uninitialised pool
 *
 * A reserve that could not be filled is no error: marking asks for a refill
 * when it first misses a leaf.
 *
 * Context: process; allocates without I/O.
 */
void dtr_leaf_pool_init(struct dtr_leaf_pool *pool)
{
	raw_spin_lock_init(&pool->lock);
	pool->head = NULL;
	pool->nr = 0;
	INIT_WORK(&pool->refill, reserve_refill);
	reserve_refill(&pool->refill);
}

/**
 * dtr_leaf_pool_exit() - give the reserve back.
 * @pool: pool from which nobody takes leaves any more
 *
 * Context: process; waits for the refill worker.
 */
void dtr_leaf_pool_exit(struct dtr_leaf_pool *pool)
{
	void *leaf;

	cancel_work_sync(&pool->refill);
	while ((leaf = reserve_take(pool)))
		kmem_cache_free(leaf_cache, leaf);
}

/**
 * dtr_leaf_init() - create the slab cache, at module load.
 *
 * Return: 0 or -ENOMEM.
 */
int dtr_leaf_init(void)
{
	leaf_cache = kmem_cache_create("dtrack_leaf", DTR_LEAF_BYTES,
				       DTR_LEAF_BYTES, 0, NULL);
	return leaf_cache ? 0 : -ENOMEM;
}

/** dtr_leaf_exit() - destroy the slab cache, at module unload. */
void dtr_leaf_exit(void)
{
	kmem_cache_destroy(leaf_cache);
}
