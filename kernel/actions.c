// SPDX-License-Identifier: GPL-2.0-only
/*
 * actions.c - actions as the control device's callers write them.
 *
 * Owns their validation, the look-up of devices and what the open file has to
 * remember of the freezes that come of them.  What an action does is
 * lifecycle.c's and freeze.c's.
 *
 * Contexts: process context under memalloc_noio.  User memory (the sources of
 * merges) is read before any tracker is locked.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "actions.h"
#include "transaction.h"

/**
 * struct request - an action of a caller, being made ours.
 * @from: the sources of a merge, as the caller wrote them
 * @to: the same with trackers, @nr_to of them with a reference
 * @nr_to: see @to
 * @lease: for a freeze with an owner
 */
struct request {
	struct dtrack_source *from;
	struct dtr_source *to;
	unsigned int nr_to;
	struct dtr_lease *lease;
};

/* Which fields an action uses; what it does not must be zero. */
static const struct {
	u32 flags;
	bool device;
	bool granularity;
	bool sources;
	bool freeze;
	bool run;
} uses[] = {
	[DTRACK_ACTION_ABORT] = { 0 },
	[DTRACK_ACTION_ADD] = {
		.device = true, .granularity = true,
		.flags = DTRACK_ADD_DISABLED | DTRACK_ADD_PERSISTENT },
	[DTRACK_ACTION_REMOVE] = { .device = true },
	[DTRACK_ACTION_CLEAR] = { .device = true },
	[DTRACK_ACTION_ENABLE] = { .device = true },
	[DTRACK_ACTION_DISABLE] = { .device = true },
	[DTRACK_ACTION_MERGE] = { .device = true, .sources = true },
	[DTRACK_ACTION_FREEZE] = {
		.device = true, .freeze = true, .run = true,
		.flags = DTRACK_FREEZE_NO_OWNER },
	[DTRACK_ACTION_ABDICATE] = { .device = true, .run = true },
	[DTRACK_ACTION_RECLAIM] = {
		.device = true, .run = true, .flags = DTRACK_END_FORCE },
};

static int check_fields(const struct dtrack_action *u)
{
	u32 type = u->type;

	if (type >= ARRAY_SIZE(uses) || u->flags & ~uses[type].flags)
		return -EINVAL;
	if (u->reserved || memchr_inv(u->uuid, 0, sizeof(u->uuid)))
		return -EINVAL;
	if (!memchr(u->name, 0, sizeof(u->name)))
		return -EINVAL;
	if (!uses[type].device && (u->dev.major || u->dev.minor || u->name[0]))
		return -EINVAL;
	if (!uses[type].granularity && u->granularity)
		return -EINVAL;
	if (!uses[type].freeze && (u->mode || u->set || u->generation))
		return -EINVAL;
	if (!uses[type].run && u->run)
		return -EINVAL;
	if (!uses[type].sources && (u->nr || u->sources))
		return -EINVAL;
	if (u->nr > DTRACK_MAX_BITMAPS)
		return -EINVAL;
	/* There is no metadata device yet. */
	if (type == DTRACK_ACTION_ADD && u->flags & DTRACK_ADD_PERSISTENT)
		return -EOPNOTSUPP;
	return 0;
}

static struct dtr_tracker *find_device(const struct dtrack_dev *dev)
{
	if (dev->major >= 1U << (32 - MINORBITS) || dev->minor > MINORMASK)
		return NULL;
	return dtr_tracker_find(MKDEV(dev->major, dev->minor));
}

static int take_sources(const struct dtrack_action *u, struct request *rq)
{
	struct dtr_source *to;

	if (!u->nr)
		return 0;
	rq->from = vmemdup_user(u64_to_user_ptr(u->sources),
				u->nr * sizeof(*rq->from));
	if (IS_ERR(rq->from))
		return PTR_ERR(rq->from);
	rq->to = kvcalloc(u->nr, sizeof(*rq->to), GFP_KERNEL);
	if (!rq->to)
		return -ENOMEM;
	for (; rq->nr_to < u->nr; rq->nr_to++) {
		struct dtrack_source *from = &rq->from[rq->nr_to];

		if (!memchr(from->name, 0, sizeof(from->name)))
			return -EINVAL;
		to = &rq->to[rq->nr_to];
		to->name = from->name;
		to->t = find_device(&from->dev);
		if (!to->t)
			return -ENODEV;
	}
	return 0;
}

/* To be released on error, too; what was found wrong is told in its turn. */
static int take_action(struct dtr_leases *leases, const struct dtrack_action *u,
		       struct dtr_action *a, struct request *rq)
{
	bool owned = u->type == DTRACK_ACTION_FREEZE &&
		     !(u->flags & DTRACK_FREEZE_NO_OWNER);
	bool ends = u->type == DTRACK_ACTION_ABDICATE ||
		    u->type == DTRACK_ACTION_RECLAIM;
	int r = check_fields(u);

	if (r)
		return r;
	a->type = u->type;
	a->name = u->name;
	a->granularity = u->granularity;
	a->disabled = u->type == DTRACK_ACTION_ADD &&
		      u->flags & DTRACK_ADD_DISABLED;
	a->force = u->type == DTRACK_ACTION_RECLAIM &&
		   u->flags & DTRACK_END_FORCE;
	a->mode = u->mode;
	a->set = u->set;
	a->generation = u->generation;
	a->run = u->run;
	a->owner = owned || ends ? leases : NULL;
	if (!uses[u->type].device)
		return 0;
	a->t = find_device(&u->dev);
	if (!a->t)
		return -ENODEV;
	r = take_sources(u, rq);
	a->sources = rq->to;
	a->nr_sources = rq->nr_to;
	if (!r && owned) {
		rq->lease = dtr_lease_create(a->t);
		r = rq->lease ? 0 : -ENOMEM;
	}
	return r;
}

static void release_action(struct dtr_action *a, struct request *rq)
{
	dtr_lease_destroy(rq->lease);
	while (rq->nr_to)
		dtr_tracker_put(rq->to[--rq->nr_to].t);
	kvfree(rq->to);
	if (!IS_ERR(rq->from))
		kvfree(rq->from);
	if (a->t)
		dtr_tracker_put(a->t);
}

/* What the caller and the open file are to know of an action that is done. */
static void tell_action(struct dtr_leases *leases, struct dtrack_action *u,
			const struct dtr_action *a, struct request *rq)
{
	switch (a->type) {
	case DTRACK_ACTION_ADD:
		export_uuid(u->uuid, &a->uuid);
		break;
	case DTRACK_ACTION_FREEZE:
		u->run = a->run;
		u->generation = a->generation;
		if (rq->lease)
			dtr_leases_add(leases, rq->lease, a->run);
		rq->lease = NULL;
		break;
	case DTRACK_ACTION_ABDICATE:
	case DTRACK_ACTION_RECLAIM:
		u->generation = a->generation;
		if (u->run)
			dtr_leases_drop(leases, a->t, u->run);
		break;
	default:
		break;
	}
}

static int run_actions(struct dtr_leases *leases, struct dtrack_action *user,
		       struct dtr_action *actions, struct request *requests,
		       u32 nr, u32 *failed)
{
	int r;
	u32 i;

	for (i = 0; i < nr; i++)
		actions[i].error = take_action(leases, &user[i], &actions[i],
					       &requests[i]);
	r = dtr_transact(actions, nr, failed);
	for (i = 0; !r && i < nr; i++)
		tell_action(leases, &user[i], &actions[i], &requests[i]);
	return r;
}

/**
 * dtr_actions_run() - execute what a caller wrote, all of it or nothing.
 * @leases: of the open file that asks
 * @user: actions in kernel memory; results are filled in
 * @nr: number of @user
 * @failed: out, index of the action that failed; @nr when none is to blame
 *
 * Context: process, under memalloc_noio; sleeps.
 * Return: as dtr_transact(); -EFAULT, -EOPNOTSUPP.
 */
int dtr_actions_run(struct dtr_leases *leases, struct dtrack_action *user,
		    u32 nr, u32 *failed)
{
	struct dtr_action *actions;
	struct request *requests;
	int r = -ENOMEM;
	u32 i;

	*failed = nr;
	actions = kvcalloc(max(nr, 1U), sizeof(*actions), GFP_KERNEL);
	requests = kvcalloc(max(nr, 1U), sizeof(*requests), GFP_KERNEL);
	if (actions && requests) {
		r = run_actions(leases, user, actions, requests, nr, failed);
		for (i = 0; i < nr; i++)
			release_action(&actions[i], &requests[i]);
	}
	kvfree(requests);
	kvfree(actions);
	return r;
}
