/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lifecycle.h - what users may do to a named bitmap, and read of it.
 *
 * The same functions serve the control device and dmsetup messages.  Each
 * takes the tracker's mutex for itself, is all or nothing and runs in process
 * context under memalloc_noio; errnos are those of the uapi header.  Names are
 * NUL-terminated, 'owner' is the open file that asks or NULL.
 */
#ifndef DTR_LIFECYCLE_H
#define DTR_LIFECYCLE_H

#include "tracker.h"

/**
 * struct dtr_source - a source of a merge.
 * @t: its tracker
 * @name: its name
 */
struct dtr_source {
	struct dtr_tracker *t;
	const char *name;
};

/**
 * struct dtr_staging - content that is being loaded, chunk by chunk.
 * @uuid: of the bitmap it is for
 * @generation: of that bitmap when the loading began
 * @bits: what has come so far
 */
struct dtr_staging {
	uuid_t uuid;
	u64 generation;
	struct dtr_bitmap bits;
};

/**
 * struct dtr_run - how an open file names a freeze.
 * @owner: the file
 * @run: id, or 0 for a freeze without owner
 * @force: end it whoever owns it
 */
struct dtr_run {
	const void *owner;
	u64 run;
	bool force;
};

int dtr_named_add(struct dtr_tracker *t, const char *name, u64 granularity,
		  bool disabled, uuid_t *uuid);
int dtr_named_remove(struct dtr_tracker *t, const char *name);
int dtr_named_clear(struct dtr_tracker *t, const char *name);
int dtr_named_enable(struct dtr_tracker *t, const char *name);
int dtr_named_disable(struct dtr_tracker *t, const char *name);
int dtr_named_merge(struct dtr_tracker *t, const char *name,
		    const struct dtr_source *sources, unsigned int nr);
int dtr_named_freeze(struct dtr_tracker *t, const char *name, u32 mode, u32 set,
		     const void *owner, u64 *run, u64 *generation);
int dtr_named_abdicate(struct dtr_tracker *t, const char *name,
		       const struct dtr_run *run, u64 *generation);
int dtr_named_reclaim(struct dtr_tracker *t, const char *name,
		      const struct dtr_run *run, u64 *generation);
void dtr_named_reclaim_run(struct dtr_tracker *t, u64 run);
int dtr_named_report(struct dtr_tracker *t, const char *name,
		     const struct dtr_run *run,
		     const struct dtrack_range *ranges, u32 nr);
int dtr_named_load_begin(struct dtr_tracker *t, const char *name,
			 struct dtr_staging *staging);
int dtr_named_load_commit(struct dtr_tracker *t, const char *name,
			  struct dtr_staging *staging, bool merge);

/* query.c */
int dtr_tracker_lock_live(struct dtr_tracker *t);
void dtr_named_info_locked(struct dtr_tracker *t, struct dtr_named *n,
			   struct dtrack_bitmap_info *info);
int dtr_tracker_info(struct dtr_tracker *t, struct dtrack_ioc_info *arg,
		     struct dtrack_bitmap_info *infos, u32 room);
int dtr_named_extents(struct dtr_tracker *t, struct dtrack_ioc_extents *arg,
		      struct dtrack_range *ranges, u32 room);
int dtr_named_get_bits(struct dtr_tracker *t, struct dtrack_ioc_bits *arg,
		       void *buf);
int dtr_bits_range(u64 start, u64 length, u64 size, unsigned int shift,
		   u64 *first, u64 *nr);

#endif
