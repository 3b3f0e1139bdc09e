/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lease.h - the freezes that belong to an open control file.
 */
#ifndef DTR_LEASE_H
#define DTR_LEASE_H

#include <linux/fs.h>

#include "tracker.h"

/**
 * struct dtr_leases - the freezes of an open file.
 * @mutex: protects @list
 * @list: struct dtr_lease
 *
 * Its address is the 'owner' of these freezes.
 *
 * Lock order: @mutex -> tracker->mutex.
 */
struct dtr_leases {
	struct mutex mutex;	/* protects the list */
	struct list_head list;
};

struct dtr_lease;

void dtr_leases_init(struct dtr_leases *leases);
struct dtr_lease *dtr_lease_create(struct dtr_tracker *t);
void dtr_lease_destroy(struct dtr_lease *lease);
void dtr_leases_add(struct dtr_leases *leases, struct dtr_lease *lease,
		    u64 run);
void dtr_leases_drop(struct dtr_leases *leases, const struct dtr_tracker *t,
		     u64 run);
void dtr_leases_reclaim(struct dtr_leases *leases, fl_owner_t files);

#endif
