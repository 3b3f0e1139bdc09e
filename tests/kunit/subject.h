/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * subject.h - the project's kernel sources, in the hands of a test.
 *
 * To be included before any header of the project.  What its sources borrow
 * from the kernel is replaced where a test must decide about it (hooks.h):
 *
 *	memory		fails when told; the slab cache has another name, so
 *			that the module under test may be loaded, too
 *	CPUs		four, and the test says which one a write is on
 *	grace periods	the test may do something before one ends
 *	mapped device	is a bare gendisk
 *	dm events	are counted
 *	disk's counters	the test says what they are
 *	bio data	lies before the bio, in struct dtk_bio
 */
#ifndef DTK_SUBJECT_H
#define DTK_SUBJECT_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/part_stat.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "hooks.h"

/* ---- Memory ---- */

static inline void *dtk_kzalloc(size_t size, gfp_t gfp)
{
	return dtk_fail(gfp) ? NULL : kzalloc(size, gfp);
}

#undef kzalloc
#define kzalloc dtk_kzalloc

static inline void *dtk_kvzalloc(size_t size, gfp_t gfp)
{
	return dtk_fail(gfp) ? NULL : kvzalloc(size, gfp);
}

#undef kvzalloc
#define kvzalloc dtk_kvzalloc

static inline void *dtk_kvcalloc(size_t n, size_t size, gfp_t gfp)
{
	return dtk_fail(gfp) ? NULL : kvcalloc(n, size, gfp);
}

#undef kvcalloc
#define kvcalloc dtk_kvcalloc

static inline char *dtk_kstrdup(const char *s, gfp_t gfp)
{
	return dtk_fail(gfp) ? NULL : kstrdup(s, gfp);
}

#undef kstrdup
#define kstrdup dtk_kstrdup

static inline void *dtk_cache_zalloc(struct kmem_cache *cache, gfp_t gfp)
{
	return dtk_fail(gfp) ? NULL : kmem_cache_zalloc(cache, gfp);
}

#undef kmem_cache_zalloc
#define kmem_cache_zalloc dtk_cache_zalloc

static inline struct kmem_cache *dtk_cache_create(const char *name,
						  unsigned int size,
						  unsigned int align,
						  slab_flags_t flags,
						  void (*ctor)(void *obj))
{
	return kmem_cache_create("dtrack_leaf_kunit", size, align, flags, ctor);
}

#undef kmem_cache_create
#define kmem_cache_create dtk_cache_create

/* ---- CPUs ---- */

/* Bytes that one of them has for a variable. */
#define DTK_CPU_STRIDE	256

static inline void *dtk_of_cpu(const void __percpu *first, unsigned int cpu)
{
	return (char __force *)first + cpu * DTK_CPU_STRIDE;
}

/* Where @cpu has what is at @p of the first. */
#define dtk_counter(p, cpu)						\
({									\
	typeof(*(p)) *of_cpu = dtk_of_cpu(p, cpu);			\
	of_cpu;								\
})
#define dtk_this(counter)	(*dtk_counter(&(counter), dtk_hooks.cpu))

#undef alloc_percpu
#define alloc_percpu(type)						\
({									\
	BUILD_BUG_ON(sizeof(type) > DTK_CPU_STRIDE);			\
	(type __percpu __force *)dtk_kzalloc(DTK_NR_CPUS * DTK_CPU_STRIDE, \
					     GFP_KERNEL);		\
})
#undef free_percpu
#define free_percpu(p)		kfree(dtk_counter(p, 0))
#undef per_cpu_ptr
#define per_cpu_ptr		dtk_counter
#undef this_cpu_inc
#define this_cpu_inc(counter)	(dtk_this(counter)++)
#undef this_cpu_add
#define this_cpu_add(counter, n)	(dtk_this(counter) += (n))
#undef __this_cpu_add
#define __this_cpu_add(counter, n)	(dtk_this(counter) += (n))
#undef __this_cpu_write
#define __this_cpu_write(counter, n)	(dtk_this(counter) = (n))
#undef for_each_possible_cpu
#define for_each_possible_cpu(cpu) \
	for ((cpu) = 0; (cpu) < DTK_NR_CPUS; (cpu)++)

/* ---- Grace periods ---- */

#define synchronize_rcu_expedited dtk_synchronize

/* ---- Device mapper ---- */

static inline struct gendisk *dtk_disk(struct mapped_device *md)
{
	return (struct gendisk *)md;
}

#define dm_disk dtk_disk

static inline void dtk_table_event(struct dm_table *table)
{
	dtk_hooks.events++;
}

#define dm_table_event dtk_table_event

#undef part_stat_read
#define part_stat_read(part, ...)	((void)(part), dtk_hooks.disk_writes)

/* @data: room for the target's per-bio data (subject.c checks its size) */
struct dtk_bio {
	u64 data[8];
	struct bio bio;
};

static inline void *dtk_bio_data(struct bio *bio, size_t size)
{
	return container_of(bio, struct dtk_bio, bio)->data;
}

#define dm_per_bio_data dtk_bio_data

/* ---- What the sources keep to themselves (subject.c) ---- */

/* The default of the module parameter. */
#define DTK_LEAF_RESERVE	64

struct dtr_tracker;

struct dm_target *dtk_target_create(struct dtr_tracker *t,
				    struct block_device *lower, sector_t start);
void dtk_target_destroy(struct dm_target *ti);
int dtk_target_map(struct dm_target *ti, struct bio *bio);
int dtk_target_end_io(struct dm_target *ti, struct bio *bio,
		      blk_status_t error);
void dtk_set_max_memory(unsigned long mb);
void dtk_set_leaf_reserve(unsigned int leaves);
void dtk_reset_parameters(void);

#endif
