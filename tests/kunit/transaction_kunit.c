// SPDX-License-Identifier: GPL-2.0-only
/*
 * transaction_kunit.c - many actions at one point in time, or none (I6, E10).
 */
#include <linux/prandom.h>
#include <linux/random.h>

#include "fixture.h"
#include "lease.h"

#define CONDITIONAL	DTRACK_MODE_CONDITIONAL
#define NEVER		DTRACK_MODE_NEVER
#define ALWAYS		DTRACK_MODE_ALWAYS

static const char file, other_file;

/**
 * struct pair - two devices of the size, with "a" and "b" each.
 * @d: the devices; "a" has W, "b", of 4 KiB granules, the first of them
 * @sources: room for sources of merges
 * @nr_sources: of them in use
 */
struct pair {
	struct dtk_dev *d[2];
	struct dtr_source sources[8];
	unsigned int nr_sources;
};

static struct pair *pair_create(struct kunit *test)
{
	struct pair *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < 2; i++) {
		p->d[i] = dtk_dev_create_with(test, DTK_SIZE, "a");
		dtk_write_w(p->d[i]);
		dtk_add(p->d[i], "b", 4 * KIB);
		dtk_write(p->d[i], 0, 4 * KIB);
	}
	return p;
}

/* An action on bitmap @name of device @i. */
static struct dtr_action act(struct pair *p, unsigned int i,
			     enum dtrack_action_type type, const char *name)
{
	return (struct dtr_action) {
		.type = type,
		.t = p->d[i]->t,
		.name = name,
	};
}

static struct dtr_action act_add(struct pair *p, unsigned int i,
				 const char *name, u64 granularity)
{
	struct dtr_action a = act(p, i, DTRACK_ACTION_ADD, name);

	a.granularity = granularity;
	return a;
}

static struct dtr_action act_freeze(struct pair *p, unsigned int i,
				    const char *name, u32 mode, u32 set)
{
	struct dtr_action a = act(p, i, DTRACK_ACTION_FREEZE, name);

	a.mode = mode;
	a.set = set;
	return a;
}

/* @from of device @j into @name of device @i. */
static struct dtr_action act_merge(struct pair *p, unsigned int i,
				   const char *name, unsigned int j,
				   const char *from)
{
	struct dtr_action a = act(p, i, DTRACK_ACTION_MERGE, name);

	p->sources[p->nr_sources].t = p->d[j]->t;
	p->sources[p->nr_sources].name = from;
	a.sources = &p->sources[p->nr_sources++];
	a.nr_sources = 1;
	return a;
}

static struct dtr_action act_abort(void)
{
	return (struct dtr_action) { .type = DTRACK_ACTION_ABORT };
}

#define EXPECT_DONE(test, actions) do {					\
	unsigned int __failed;						\
									\
	KUNIT_EXPECT_EQ(test, 0, dtr_transact(actions, ARRAY_SIZE(actions), \
					      &__failed));		\
	KUNIT_EXPECT_EQ(test, ARRAY_SIZE(actions), __failed);		\
} while (0)

/* Refused with @errno because of action @index, and nothing has changed. */
#define EXPECT_REFUSED(p, errno, index, actions) do {			\
	struct kunit *__test = (p)->d[0]->test;				\
	const char *__one = dtk_state((p)->d[0]);			\
	const char *__two = dtk_state((p)->d[1]);			\
	unsigned int __failed;						\
									\
	KUNIT_EXPECT_EQ(__test, errno,					\
			dtr_transact(actions, ARRAY_SIZE(actions),	\
				     &__failed));			\
	KUNIT_EXPECT_EQ(__test, index, __failed);			\
	DTK_EXPECT_UNCHANGED((p)->d[0], __one);				\
	DTK_EXPECT_UNCHANGED((p)->d[1], __two);				\
} while (0)

/* ---- Later actions see earlier ones ---- */

static void later_actions_see_earlier_ones(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action actions[] = {
		act_add(p, 0, "c", DTK_GRANULE),
		act_merge(p, 0, "c", 0, "a"),
		act_freeze(p, 0, "c", CONDITIONAL, DTRACK_SET_BITMAP),
		act(p, 0, DTRACK_ACTION_CLEAR, "a"),
	};

	EXPECT_DONE(test, actions);
	DTK_EXPECT_DIRTY(p->d[0], "c", DTK_W);
	DTK_EXPECT_DIRTY(p->d[0], "a", "");
	KUNIT_EXPECT_EQ(test, actions[2].run, dtk_info(p->d[0], "c")->run);
	dtk_write_d(p->d[0]);
	DTK_EXPECT_DIRTY(p->d[0], "c", DTK_W);
	DTK_EXPECT_SUCCESSOR(p->d[0], "c", DTK_D);
	DTK_EXPECT_DIRTY(p->d[0], "a", DTK_D);
}

/* What was frozen earlier in the same transaction is frozen. */
static void frozen_by_an_earlier_action_is_busy(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action clear[] = {
		act_freeze(p, 0, "a", CONDITIONAL, DTRACK_SET_BITMAP),
		act(p, 0, DTRACK_ACTION_CLEAR, "a"),
	};
	struct dtr_action twice[] = {
		act_freeze(p, 1, "b", ALWAYS, DTRACK_SET_ALL),
		act_freeze(p, 0, "a", NEVER, DTRACK_SET_BITMAP),
		act_freeze(p, 0, "a", NEVER, DTRACK_SET_BITMAP),
	};

	EXPECT_REFUSED(p, -EBUSY, 1, clear);
	EXPECT_REFUSED(p, -EBUSY, 2, twice);
}

static void removed_bitmap_keeps_its_name_for_so_long(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action add[] = {
		act(p, 0, DTRACK_ACTION_REMOVE, "a"),
		act_add(p, 0, "a", 4 * KIB),
	};
	struct dtr_action again[] = {
		act(p, 0, DTRACK_ACTION_REMOVE, "a"),
		act(p, 0, DTRACK_ACTION_REMOVE, "a"),
	};
	struct dtr_action merge[] = {
		act(p, 0, DTRACK_ACTION_REMOVE, "a"),
		act_merge(p, 0, "b", 0, "a"),
	};
	struct dtr_action both[] = {
		act_add(p, 0, "c", 4 * KIB),
		act_merge(p, 0, "b", 0, "a"),
		act(p, 0, DTRACK_ACTION_REMOVE, "a"),
		act(p, 0, DTRACK_ACTION_REMOVE, "c"),
	};

	EXPECT_REFUSED(p, -EEXIST, 1, add);
	EXPECT_REFUSED(p, -EBUSY, 1, again);
	EXPECT_REFUSED(p, -EBUSY, 1, merge);
	EXPECT_DONE(test, both);
	KUNIT_EXPECT_EQ(test, 1, p->d[0]->t->nr_bitmaps);
	DTK_EXPECT_DIRTY(p->d[0], "b", "0-15,256-271,512-543,768-799");
}

/* SEMANTICS 4.1: QEMU's own test of undoing. */
static void composite_is_undone(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action actions[] = {
		act(p, 0, DTRACK_ACTION_ENABLE, "c"),
		act_merge(p, 0, "c", 0, "a"),
		act(p, 0, DTRACK_ACTION_CLEAR, "a"),
		act_merge(p, 0, "a", 0, "c"),
		act(p, 0, DTRACK_ACTION_CLEAR, "c"),
		act_abort(),
	};

	KUNIT_ASSERT_EQ(test, 0, dtk_named_add(p->d[0]->t, "c", DTK_GRANULE,
					       true, NULL));
	EXPECT_REFUSED(p, -ECANCELED, 5, actions);
	dtk_write_d(p->d[0]);
	DTK_EXPECT_DIRTY(p->d[0], "a", DTK_W_OR_D);
	DTK_EXPECT_DIRTY(p->d[0], "c", "");
}

static void nothing_to_do_is_done(struct kunit *test)
{
	unsigned int failed = 1;

	KUNIT_EXPECT_EQ(test, 0, dtr_transact(NULL, 0, &failed));
	KUNIT_EXPECT_EQ(test, 0, failed);
}

/* G02, G03: what QEMU dies of or stops tracking by. */
static void failed_enable_changes_nothing(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action missing[] = {
		act(p, 0, DTRACK_ACTION_DISABLE, "a"),
		act(p, 0, DTRACK_ACTION_ENABLE, "nobody"),
	};
	struct dtr_action busy[] = {
		act(p, 0, DTRACK_ACTION_CLEAR, "b"),
		act(p, 0, DTRACK_ACTION_ENABLE, "a"),
	};

	EXPECT_REFUSED(p, -ENOENT, 1, missing);
	dtk_freeze(p->d[0], "a", CONDITIONAL, DTRACK_SET_BITMAP, NULL);
	EXPECT_REFUSED(p, -EBUSY, 1, busy);
	dtk_write_d(p->d[0]);
	DTK_EXPECT_SUCCESSOR(p->d[0], "a", DTK_D);
}

static void error_found_before_waits_for_its_turn(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action actions[] = {
		act(p, 0, DTRACK_ACTION_CLEAR, "a"),
		act(p, 0, DTRACK_ACTION_CLEAR, "nobody"),
		{ .type = DTRACK_ACTION_CLEAR, .error = -ENODEV },
	};

	EXPECT_REFUSED(p, -ENOENT, 1, actions);
	actions[1].name = "b";
	EXPECT_REFUSED(p, -ENODEV, 2, actions);
}

static void device_that_went_is_to_blame(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_tracker *t = dtr_tracker_get(p->d[1]->t);
	struct dtr_action actions[] = {
		act(p, 0, DTRACK_ACTION_CLEAR, "a"),
		act(p, 1, DTRACK_ACTION_CLEAR, "a"),
	};
	const char *before = dtk_state(p->d[0]);
	unsigned int failed;

	dtk_dev_remove(p->d[1]);
	KUNIT_EXPECT_EQ(test, -ENODEV, dtr_transact(actions, 2, &failed));
	KUNIT_EXPECT_EQ(test, 1, failed);
	DTK_EXPECT_UNCHANGED(p->d[0], before);
	dtr_tracker_put(t);
}

/* ---- Each action, done and undone ---- */

static void prepare_idle(struct pair *p)
{
}

static void prepare_frozen(struct pair *p, u32 mode, u32 set)
{
	dtk_freeze(p->d[0], "a", mode, set, NULL);
	KUNIT_ASSERT_EQ(p->d[0]->test, 0, dtk_report(p->d[0], "a", 0, 64 * KIB));
	dtk_write_d(p->d[0]);
}

static void prepare_conditional(struct pair *p)
{
	prepare_frozen(p, CONDITIONAL, DTRACK_SET_BITMAP);
}

static void prepare_never(struct pair *p)
{
	prepare_frozen(p, NEVER, DTRACK_SET_BITMAP);
}

static void prepare_always(struct pair *p)
{
	prepare_frozen(p, ALWAYS, DTRACK_SET_BITMAP);
}

static void prepare_always_all(struct pair *p)
{
	prepare_frozen(p, ALWAYS, DTRACK_SET_ALL);
}

/* The frozen content keeps its old end, the successor has the new one. */
static void prepare_grown(struct pair *p)
{
	const struct dtk_line line = { .size = DTK_SIZE + MIB };

	prepare_frozen(p, CONDITIONAL, DTRACK_SET_BITMAP);
	KUNIT_ASSERT_EQ(p->d[0]->test, 0, dtk_reload(p->d[0], &line));
}

static void prepare_disabled(struct pair *p)
{
	KUNIT_ASSERT_EQ(p->d[0]->test, 0,
			dtk_named_disable(p->d[0]->t, "a"));
	dtk_write_d(p->d[0]);
}

/* The action is on "a" of the first device. */
static const struct undo_row {
	const char *desc;
	void (*prepare)(struct pair *p);
	enum dtrack_action_type type;
	u32 mode, set;
	const char *dirty;
	u64 steps;
} undo_rows[] = {
	{ "remove", prepare_idle, DTRACK_ACTION_REMOVE },
	{ "clear", prepare_idle, DTRACK_ACTION_CLEAR, .dirty = "", .steps = 1 },
	{ "clear disabled", prepare_disabled, DTRACK_ACTION_CLEAR, .dirty = "",
	  .steps = 1 },
	{ "enable", prepare_disabled, DTRACK_ACTION_ENABLE, .dirty = DTK_W },
	{ "disable", prepare_idle, DTRACK_ACTION_DISABLE, .dirty = DTK_W,
	  .steps = 1 },
	{ "merge", prepare_idle, DTRACK_ACTION_MERGE, .dirty = DTK_W },
	{ "freeze", prepare_idle, DTRACK_ACTION_FREEZE, .dirty = DTK_W },
	{ "freeze always", prepare_idle, DTRACK_ACTION_FREEZE, ALWAYS,
	  DTRACK_SET_BITMAP, DTK_W },
	{ "freeze all", prepare_idle, DTRACK_ACTION_FREEZE, ALWAYS,
	  DTRACK_SET_ALL, DTK_W },
	{ "abdicate", prepare_conditional, DTRACK_ACTION_ABDICATE,
	  .dirty = DTK_D, .steps = 1 },
	{ "abdicate always", prepare_always, DTRACK_ACTION_ABDICATE,
	  .dirty = "1,16,32-33,48-49", .steps = 1 },
	{ "abdicate all", prepare_always_all, DTRACK_ACTION_ABDICATE,
	  .dirty = "1-63", .steps = 1 },
	{ "abdicate grown", prepare_grown, DTRACK_ACTION_ABDICATE,
	  .dirty = "1,32,64-79", .steps = 1 },
	{ "reclaim", prepare_conditional, DTRACK_ACTION_RECLAIM,
	  .dirty = DTK_W_OR_D },
	{ "reclaim never", prepare_never, DTRACK_ACTION_RECLAIM,
	  .dirty = DTK_W_OR_D },
	{ "reclaim always", prepare_always, DTRACK_ACTION_RECLAIM,
	  .dirty = "1,16,32-33,48-49", .steps = 1 },
	{ "reclaim all", prepare_always_all, DTRACK_ACTION_RECLAIM,
	  .dirty = "1-63", .steps = 1 },
	{ "reclaim grown", prepare_grown, DTRACK_ACTION_RECLAIM,
	  .dirty = "0-1,16,32-33,48-49,64-79" },
};

KUNIT_ARRAY_PARAM_DESC(undo, undo_rows, desc);

static struct dtr_action row_action(struct pair *p, const struct undo_row *row)
{
	struct dtr_action a = row->type == DTRACK_ACTION_MERGE ?
			      act_merge(p, 0, "a", 0, "b") :
			      act(p, 0, row->type, "a");

	a.mode = row->mode;
	a.set = row->set;
	return a;
}

static void action_is_undone_exactly(struct kunit *test)
{
	const struct undo_row *row = test->param_value;
	struct pair *p = pair_create(test);
	struct dtr_action actions[2];

	row->prepare(p);
	actions[0] = row_action(p, row);
	actions[1] = act_abort();
	EXPECT_REFUSED(p, -ECANCELED, 1, actions);
	/* In vain, it did not spoil what the same action does. */
	KUNIT_EXPECT_FALSE(test, p->d[0]->t->at_point);
}

/* It is done the same whether others follow or not. */
static void action_is_done_wherever_it_stands(struct kunit *test)
{
	const struct undo_row *row = test->param_value;
	unsigned int last;

	for (last = 0; last < 2; last++) {
		struct pair *p = pair_create(test);
		struct dtr_action actions[2];
		u64 generation;

		row->prepare(p);
		generation = dtk_info(p->d[0], "a")->generation;
		actions[last] = row_action(p, row);
		actions[!last] = act(p, 0, DTRACK_ACTION_CLEAR, "b");
		if (row->type == DTRACK_ACTION_MERGE)
			actions[!last] = act(p, 1, DTRACK_ACTION_CLEAR, "b");
		EXPECT_DONE(test, actions);
		if (!row->dirty) {
			KUNIT_EXPECT_EQ(test, 1, p->d[0]->t->nr_bitmaps);
			continue;
		}
		DTK_EXPECT_DIRTY(p->d[0], "a", row->dirty);
		KUNIT_EXPECT_EQ(test, generation + row->steps,
				dtk_info(p->d[0], "a")->generation);
	}
}

/* ---- One point in time ---- */

struct middle {
	struct pair *p;
	struct dtr_write w;
};

/* After the new epochs are published, before anything is folded. */
static void write_between(void *arg)
{
	struct middle *m = arg;

	dtk_write(m->p->d[0], MIB / 2, 64 * KIB);
	dtk_write(m->p->d[1], MIB / 2, 64 * KIB);
}

static void all_devices_rotate_in_one_grace_period(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct middle m = { .p = p };
	struct dtr_action actions[] = {
		act(p, 0, DTRACK_ACTION_DISABLE, "a"),
		act_add(p, 0, "a1", DTK_GRANULE),
		act(p, 1, DTRACK_ACTION_DISABLE, "a"),
		act_add(p, 1, "a1", DTK_GRANULE),
	};
	unsigned int i, graces = dtk_hooks.graces;

	dtk_hooks.in_grace = write_between;
	dtk_hooks.in_grace_arg = &m;
	EXPECT_DONE(test, actions);
	KUNIT_EXPECT_EQ(test, 1, dtk_hooks.graces - graces);
	for (i = 0; i < 2; i++) {
		DTK_EXPECT_DIRTY(p->d[i], "a", DTK_W);
		DTK_EXPECT_DIRTY(p->d[i], "a1", "8");
	}
}

/* The same, failed: the write is in what goes on recording. */
static void write_during_a_failed_transaction_is_kept(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct middle m = { .p = p };
	struct dtr_action actions[] = {
		act(p, 0, DTRACK_ACTION_CLEAR, "a"),
		act_freeze(p, 1, "a", ALWAYS, DTRACK_SET_BITMAP),
		act_abort(),
	};
	unsigned int i, failed;

	dtk_hooks.in_grace = write_between;
	dtk_hooks.in_grace_arg = &m;
	KUNIT_EXPECT_EQ(test, -ECANCELED, dtr_transact(actions, 3, &failed));
	for (i = 0; i < 2; i++)
		DTK_EXPECT_DIRTY(p->d[i], "a", "0,8,16,32-33,48-49");
}

/* Whatever the order of the actions: a write in flight is in both. */
static void write_in_flight_is_in_old_and_new(struct kunit *test)
{
	unsigned int last;

	for (last = 0; last < 2; last++) {
		struct pair *p = pair_create(test);
		struct dtr_action actions[2];
		struct dtr_write w;

		actions[last] = act(p, 0, DTRACK_ACTION_DISABLE, "a");
		actions[!last] = act_add(p, 0, "a1", DTK_GRANULE);
		dtk_begin(p->d[0], &w, 3 * MIB / 2, 4 * KIB);
		EXPECT_DONE(test, actions);
		DTK_EXPECT_DIRTY(p->d[0], "a", "0,16,24,32-33,48-49");
		dtk_end(p->d[0], &w);
		DTK_EXPECT_DIRTY(p->d[0], "a1", "24");
		DTK_EXPECT_DIRTY(p->d[0], "a", "0,16,24,32-33,48-49");
	}
}

/* A merge in a transaction sees the point, one alone at least the present. */
static void merge_of_a_recording_source_is_exact(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct middle m = { .p = p };
	struct dtr_action actions[] = {
		act_merge(p, 1, "c", 0, "a"),
		act(p, 1, DTRACK_ACTION_CLEAR, "b"),
	};

	KUNIT_ASSERT_EQ(test, 0, dtk_named_add(p->d[1]->t, "c", DTK_GRANULE,
					       true, NULL));
	dtk_hooks.in_grace = write_between;
	dtk_hooks.in_grace_arg = &m;
	EXPECT_DONE(test, actions);
	DTK_EXPECT_DIRTY(p->d[1], "c", DTK_W);
	KUNIT_EXPECT_EQ(test, 0, dtr_transact(actions, 1, &(unsigned int){ 0 }));
	DTK_EXPECT_DIRTY(p->d[1], "c", "0,8,16,32-33,48-49");
}

/* Alone, too, by whole granules of the source, folded before or not (M02). */
static void merge_from_a_coarse_recorder_is_coarse(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action merge = act_merge(p, 1, "fine", 0, "coarse");
	unsigned int failed;

	dtk_add(p->d[0], "coarse", MIB);
	dtk_write(p->d[0], MIB + 4 * KIB, 4 * KIB);
	KUNIT_ASSERT_EQ(test, 0, dtk_named_add(p->d[1]->t, "fine", 64 * KIB,
					       true, NULL));
	KUNIT_EXPECT_EQ(test, 0, dtr_transact(&merge, 1, &failed));
	DTK_EXPECT_DIRTY(p->d[1], "fine", "16-31");
}

/* The live map is fine enough, whether the transaction succeeds or not. */
static void live_map_serves_both_outcomes(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action actions[] = {
		act_add(p, 0, "fine", 512),
		act(p, 0, DTRACK_ACTION_DISABLE, "b"),
		act_abort(),
	};
	unsigned int failed;

	EXPECT_REFUSED(p, -ECANCELED, 2, actions);
	dtk_write(p->d[0], 4 * KIB, 512);
	DTK_EXPECT_DIRTY(p->d[0], "b", "0-1");
	KUNIT_EXPECT_EQ(test, 0, dtr_transact(actions, 2, &failed));
	dtk_write(p->d[0], 1024, 512);
	DTK_EXPECT_DIRTY(p->d[0], "fine", "2");
	DTK_EXPECT_DIRTY(p->d[0], "b", "0-1");
	/* What was added disabled and enabled in one go, too. */
	actions[0] = act_add(p, 1, "fine", 512);
	actions[0].disabled = true;
	actions[1] = act(p, 1, DTRACK_ACTION_ENABLE, "fine");
	KUNIT_EXPECT_EQ(test, 0, dtr_transact(actions, 2, &failed));
	dtk_write(p->d[1], 1024, 512);
	DTK_EXPECT_DIRTY(p->d[1], "fine", "2");
}

/* What was made fine for an action that failed is as coarse as before. */
static void live_map_of_a_failed_transaction_is_trimmed(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action actions[] = {
		act_add(p, 0, "fine", 512),
		act(p, 1, DTRACK_ACTION_ENABLE, "finer"),
		act_abort(),
	};

	KUNIT_ASSERT_EQ(test, 0, dtk_named_add(p->d[1]->t, "finer", 1024, true,
					       NULL));
	EXPECT_REFUSED(p, -ECANCELED, 2, actions);
	KUNIT_EXPECT_EQ(test, 12, dtk_epoch(p->d[0])->map.shift);
	KUNIT_EXPECT_EQ(test, 12, dtk_epoch(p->d[1])->map.shift);
}

/* ---- Runs ---- */

static void run_has_the_id_that_was_asked_for(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action freeze[] = {
		act_freeze(p, 0, "a", CONDITIONAL, DTRACK_SET_BITMAP),
	};
	struct dtr_action again[] = {
		act_freeze(p, 0, "b", CONDITIONAL, DTRACK_SET_BITMAP),
	};

	freeze[0].run = 42;
	freeze[0].owner = &file;
	again[0].run = 42;
	EXPECT_DONE(test, freeze);
	KUNIT_EXPECT_EQ(test, 42, dtk_info(p->d[0], "a")->run);
	EXPECT_REFUSED(p, -EEXIST, 0, again);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_abdicate(p->d[0]->t, "a",
						    &(struct dtr_run){
							.owner = &file,
							.run = 42 },
						    &(u64){ 0 }));
	KUNIT_EXPECT_EQ(test, 42, dtk_info(p->d[0], "a")->last_run);
	EXPECT_REFUSED(p, -EEXIST, 0, freeze);
}

/* Both are of the file: the end of one run is not that of the other. */
static void run_of_the_same_id_elsewhere_keeps_its_owner(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_leases leases;
	unsigned int i;

	dtr_leases_init(&leases);
	for (i = 0; i < 2; i++) {
		struct dtr_action a = act_freeze(p, i, "a", CONDITIONAL,
						 DTRACK_SET_BITMAP);
		struct dtr_lease *lease = dtr_lease_create(p->d[i]->t);
		unsigned int failed;

		KUNIT_ASSERT_NOT_NULL(test, lease);
		a.run = 42;
		a.owner = &leases;
		KUNIT_ASSERT_EQ(test, 0, dtr_transact(&a, 1, &failed));
		dtr_leases_add(&leases, lease, a.run);
	}
	dtr_leases_drop(&leases, p->d[1]->t, 42);
	dtr_leases_reclaim(&leases, NULL);
	KUNIT_EXPECT_EQ(test, 0, dtk_info(p->d[0], "a")->run);
	KUNIT_EXPECT_EQ(test, 42, dtk_info(p->d[1], "a")->run);
}

/* Taken away and given the same id again, it is another's. */
static void late_close_ends_no_run_of_others(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action freeze = act_freeze(p, 0, "a", CONDITIONAL,
					      DTRACK_SET_BITMAP);
	struct dtr_action take = act(p, 0, DTRACK_ACTION_RECLAIM, "a");
	unsigned int failed;

	freeze.run = 42;
	freeze.owner = &file;
	take.force = true;
	KUNIT_ASSERT_EQ(test, 0, dtr_transact(&freeze, 1, &failed));
	KUNIT_ASSERT_EQ(test, 0, dtr_transact(&take, 1, &failed));
	freeze.owner = &other_file;
	KUNIT_ASSERT_EQ(test, 0, dtr_transact(&freeze, 1, &failed));
	dtr_named_reclaim_run(p->d[0]->t, &file, 42);
	KUNIT_EXPECT_EQ(test, 42, dtk_info(p->d[0], "a")->run);
}

/* What a caller relies on is compared at the point, not before. */
static void freeze_is_of_the_generation_asked_for(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action stale[] = {
		act_freeze(p, 1, "a", CONDITIONAL, DTRACK_SET_BITMAP),
		act(p, 0, DTRACK_ACTION_CLEAR, "a"),
		act_freeze(p, 0, "a", CONDITIONAL, DTRACK_SET_BITMAP),
	};
	u64 generation = dtk_info(p->d[0], "a")->generation;

	stale[2].generation = generation;
	EXPECT_REFUSED(p, -ESTALE, 2, stale);
	stale[0].run = 0;
	stale[0].generation = generation;
	stale[2].generation = generation + 1;
	EXPECT_DONE(test, stale);
	KUNIT_EXPECT_EQ(test, generation, stale[0].generation);
	KUNIT_EXPECT_EQ(test, generation + 1, stale[2].generation);
}

/* One for each device and transaction, and for an owner that went. */
static void end_of_runs_raises_one_event(struct kunit *test)
{
	struct pair *p = pair_create(test);
	struct dtr_action actions[] = {
		act(p, 0, DTRACK_ACTION_ABDICATE, "a"),
		act(p, 0, DTRACK_ACTION_RECLAIM, "b"),
	};
	struct dtr_tracker *t = p->d[0]->t;
	unsigned int failed;
	u64 run;

	t->table = (struct dm_table *)p;
	dtk_freeze(p->d[0], "a", CONDITIONAL, DTRACK_SET_BITMAP, NULL);
	dtk_freeze(p->d[0], "b", CONDITIONAL, DTRACK_SET_BITMAP, NULL);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_add(t, "c", 0, false, NULL));
	flush_work(&t->event);
	KUNIT_EXPECT_EQ(test, 0, dtk_hooks.events);
	KUNIT_EXPECT_EQ(test, 0, dtr_transact(actions, 2, &failed));
	flush_work(&t->event);
	KUNIT_EXPECT_EQ(test, 1, dtk_hooks.events);
	dtk_hooks.events = 0;
	run = dtk_freeze(p->d[0], "a", CONDITIONAL, DTRACK_SET_BITMAP, &file);
	dtr_named_reclaim_run(t, &file, run);
	flush_work(&t->event);
	KUNIT_EXPECT_EQ(test, 1, dtk_hooks.events);
	t->table = NULL;
}

/* ---- Without memory ---- */

/* Each allocation fails once: all or nothing, on both devices. */
static void transaction_without_memory_changes_nothing(struct kunit *test)
{
	struct pair *p = pair_create(test);
	const char *one, *two;
	unsigned int n, failed, i;
	int r;

	/* Twice, so that bases and successors have their leaves. */
	for (i = 0; i < 2; i++) {
		dtk_write_w(p->d[i]);
		dtk_freeze(p->d[i], "a", NEVER, DTRACK_SET_BITMAP, NULL);
		dtk_freeze(p->d[i], "b", NEVER, DTRACK_SET_BITMAP, NULL);
		KUNIT_ASSERT_EQ(test, 0, dtk_reclaim(p->d[i], "a", 0));
		KUNIT_ASSERT_EQ(test, 0, dtk_reclaim(p->d[i], "b", 0));
		dtk_add(p->d[i], "f", DTK_GRANULE);
		dtk_write_w(p->d[i]);
		dtk_freeze(p->d[i], "f", ALWAYS, DTRACK_SET_ALL, NULL);
		dtk_write_w(p->d[i]);
		/* rotates: the successor gets its leaf */
		KUNIT_ASSERT_EQ(test, 0, dtk_named_clear(p->d[i]->t, "a"));
		dtk_write_w(p->d[i]);
		KUNIT_ASSERT_EQ(test, 0, dtk_named_disable(p->d[i]->t, "a"));
		KUNIT_ASSERT_EQ(test, 0, dtk_named_enable(p->d[i]->t, "a"));
	}
	one = dtk_state(p->d[0]);
	two = dtk_state(p->d[1]);
	for (n = 1; ; n++) {
		struct dtr_action actions[] = {
			act_add(p, 0, "c", 4 * KIB),
			act_merge(p, 0, "c", 1, "a"),
			act(p, 1, DTRACK_ACTION_CLEAR, "a"),
			act_freeze(p, 1, "b", ALWAYS, DTRACK_SET_BITMAP),
			act(p, 0, DTRACK_ACTION_RECLAIM, "f"),
			act(p, 1, DTRACK_ACTION_RECLAIM, "f"),
			act_merge(p, 1, "a", 0, "b"),
		};

		p->nr_sources = 2;
		dtk_fail_nth(n);
		r = dtr_transact(actions, ARRAY_SIZE(actions), &failed);
		p->nr_sources = 0;
		if (!dtk_fail_end())
			break;
		KUNIT_ASSERT_EQ_MSG(test, -ENOMEM, r, "allocation %u", n);
		DTK_EXPECT_UNCHANGED(p->d[0], one);
		DTK_EXPECT_UNCHANGED(p->d[1], two);
	}
	KUNIT_EXPECT_EQ(test, 0, r);
	KUNIT_EXPECT_GT(test, n, 10);
	KUNIT_EXPECT_STRNEQ(test, one, dtk_state(p->d[0]));
	KUNIT_EXPECT_STRNEQ(test, two, dtk_state(p->d[1]));
}

/* ---- At random ---- */

#define RANDOM_ROUNDS	400
#define RANDOM_ACTIONS	6

static const char * const random_names[] = { "a", "b", "c" };

static struct dtr_action random_action(struct pair *p, struct rnd_state *rnd)
{
	unsigned int i = prandom_u32_state(rnd) % 2;
	const char *name = random_names[prandom_u32_state(rnd) % 3];
	struct dtr_action a;

	switch (prandom_u32_state(rnd) % 10) {
	case 0:
		a = act_add(p, i, name, DTK_GRANULE);
		a.disabled = prandom_u32_state(rnd) % 2;
		return a;
	case 1:
		return act(p, i, DTRACK_ACTION_REMOVE, name);
	case 2:
		return act(p, i, DTRACK_ACTION_CLEAR, name);
	case 3:
		return act(p, i, DTRACK_ACTION_ENABLE, name);
	case 4:
		return act(p, i, DTRACK_ACTION_DISABLE, name);
	case 5:
		if (p->nr_sources < ARRAY_SIZE(p->sources))
			return act_merge(p, i, name,
					 prandom_u32_state(rnd) % 2,
					 random_names[prandom_u32_state(rnd) % 3]);
		fallthrough;
	case 6:
	case 7:
		return act_freeze(p, i, name, prandom_u32_state(rnd) % 3,
				  prandom_u32_state(rnd) % 2);
	case 8:
		return act(p, i, DTRACK_ACTION_ABDICATE, name);
	default:
		return act(p, i, DTRACK_ACTION_RECLAIM, name);
	}
}

static void random_writes(struct pair *p, struct pair *twin,
			  struct rnd_state *rnd)
{
	unsigned int n = prandom_u32_state(rnd) % 4;

	while (n--) {
		unsigned int i = prandom_u32_state(rnd) % 2;
		u64 start = (u64)(prandom_u32_state(rnd) % 1024) * 4 * KIB;

		dtk_write(p->d[i], start, 4 * KIB);
		dtk_write(twin->d[i], start, 4 * KIB);
	}
}

/* The same action for the twin's devices. */
static struct dtr_action twin_action(struct pair *p, struct pair *twin,
				     const struct dtr_action *a,
				     struct dtr_source *source)
{
	struct dtr_action b = {
		.type = a->type,
		.t = a->t == p->d[0]->t ? twin->d[0]->t : twin->d[1]->t,
		.name = a->name,
		.granularity = a->granularity,
		.disabled = a->disabled,
		.mode = a->mode,
		.set = a->set,
		.nr_sources = a->nr_sources,
	};

	if (a->nr_sources) {
		source->t = a->sources->t == p->d[0]->t ? twin->d[0]->t :
							  twin->d[1]->t;
		source->name = a->sources->name;
		b.sources = source;
	}
	return b;
}

static void expect_twins(struct pair *p, struct pair *twin)
{
	struct kunit *test = p->d[0]->test;
	struct dtr_named *n;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		KUNIT_ASSERT_EQ(test, p->d[i]->t->nr_bitmaps,
				twin->d[i]->t->nr_bitmaps);
		list_for_each_entry(n, &p->d[i]->t->bitmaps, link) {
			struct dtrack_bitmap_info *x, *y;

			x = dtk_info(p->d[i], n->name);
			y = dtk_info(twin->d[i], n->name);
			KUNIT_ASSERT_EQ(test, x->generation, y->generation);
			KUNIT_ASSERT_EQ(test, x->flags, y->flags);
			KUNIT_ASSERT_STREQ(test, dtk_dirty(p->d[i], n->name),
					   dtk_dirty(twin->d[i], n->name));
			if (n->freeze)
				KUNIT_ASSERT_STREQ(test,
						   dtk_successor(p->d[i], n->name),
						   dtk_successor(twin->d[i], n->name));
		}
	}
}

/*
 * A merge alone takes what is still in the live map as it is there, one in a
 * transaction as coarse as the source has it: the same where all are as coarse.
 */
static void coarsen_b(struct pair *p)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		KUNIT_ASSERT_EQ(p->d[i]->test, 0,
				dtk_named_remove(p->d[i]->t, "b"));
		dtk_add(p->d[i], "b", DTK_GRANULE);
	}
}

/*
 * A transaction that succeeds does what its actions do one by one to twins of
 * the devices; one that fails changes nothing.
 */
static void random_transactions_are_all_or_nothing(struct kunit *test)
{
	struct pair *p = pair_create(test), *twin = pair_create(test);
	unsigned int round, i, n, failed, done = 0;
	u64 seed = dtk_seed();
	struct rnd_state rnd;

	kunit_info(test, "seed %llu", seed);
	prandom_seed_state(&rnd, seed);
	coarsen_b(p);
	coarsen_b(twin);
	for (round = 0; round < RANDOM_ROUNDS; round++) {
		struct dtr_action *a;
		const char *one, *two;

		a = kunit_kcalloc(test, RANDOM_ACTIONS, sizeof(*a), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, a);
		random_writes(p, twin, &rnd);
		p->nr_sources = 0;
		/* Rather few: of many one fails. */
		n = 1 + min(prandom_u32_state(&rnd) % RANDOM_ACTIONS,
			    prandom_u32_state(&rnd) % RANDOM_ACTIONS);
		for (i = 0; i < n; i++)
			a[i] = random_action(p, &rnd);
		one = dtk_state(p->d[0]);
		two = dtk_state(p->d[1]);
		if (dtr_transact(a, n, &failed)) {
			KUNIT_ASSERT_LT(test, failed, n);
			DTK_EXPECT_UNCHANGED(p->d[0], one);
			DTK_EXPECT_UNCHANGED(p->d[1], two);
		} else {
			done++;
			for (i = 0; i < n; i++) {
				struct dtr_source source;
				struct dtr_action b;

				b = twin_action(p, twin, &a[i], &source);
				KUNIT_ASSERT_EQ(test, 0,
						dtr_transact(&b, 1, &failed));
			}
		}
		expect_twins(p, twin);
		kunit_kfree(test, a);
	}
	KUNIT_EXPECT_GT(test, done, RANDOM_ROUNDS / 40);
}

static struct kunit_case transaction_cases[] = {
	KUNIT_CASE(later_actions_see_earlier_ones),
	KUNIT_CASE(frozen_by_an_earlier_action_is_busy),
	KUNIT_CASE(removed_bitmap_keeps_its_name_for_so_long),
	KUNIT_CASE(composite_is_undone),
	KUNIT_CASE(nothing_to_do_is_done),
	KUNIT_CASE(failed_enable_changes_nothing),
	KUNIT_CASE(error_found_before_waits_for_its_turn),
	KUNIT_CASE(device_that_went_is_to_blame),
	KUNIT_CASE_PARAM(action_is_undone_exactly, undo_gen_params),
	KUNIT_CASE_PARAM(action_is_done_wherever_it_stands, undo_gen_params),
	KUNIT_CASE(all_devices_rotate_in_one_grace_period),
	KUNIT_CASE(write_during_a_failed_transaction_is_kept),
	KUNIT_CASE(write_in_flight_is_in_old_and_new),
	KUNIT_CASE(merge_of_a_recording_source_is_exact),
	KUNIT_CASE(merge_from_a_coarse_recorder_is_coarse),
	KUNIT_CASE(live_map_serves_both_outcomes),
	KUNIT_CASE(live_map_of_a_failed_transaction_is_trimmed),
	KUNIT_CASE(run_has_the_id_that_was_asked_for),
	KUNIT_CASE(freeze_is_of_the_generation_asked_for),
	KUNIT_CASE(run_of_the_same_id_elsewhere_keeps_its_owner),
	KUNIT_CASE(late_close_ends_no_run_of_others),
	KUNIT_CASE(end_of_runs_raises_one_event),
	KUNIT_CASE(transaction_without_memory_changes_nothing),
	KUNIT_CASE(random_transactions_are_all_or_nothing),
	{ }
};

struct kunit_suite dtk_transaction_suite = {
	.name = "dirtytrack-transaction",
	.suite_init = dtk_suite_init,
	.suite_exit = dtk_suite_exit,
	.init = dtk_case_init,
	.exit = dtk_case_exit,
	.test_cases = transaction_cases,
};
