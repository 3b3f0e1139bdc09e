// SPDX-License-Identifier: GPL-2.0-only
/*
 * epoch_kunit.c - the live map, writes in flight, rotation (E1-E12).
 *
 * User-mode Linux has one CPU and nothing races there by itself: what happens
 * in the middle of something happens because a hook makes it so, every time.
 */
#include <linux/prandom.h>
#include <linux/random.h>

#include "fixture.h"

#define CONDITIONAL	DTRACK_MODE_CONDITIONAL
#define ALWAYS		DTRACK_MODE_ALWAYS
#define SET_BITMAP	DTRACK_SET_BITMAP

/* ---- What a write marks ---- */

struct mark_row {
	const char *desc;
	u64 start, len;
	const char *dirty;
};

static const struct mark_row mark_rows[] = {
	{ "one sector, the first", 0, 512, "0" },
	{ "one sector, the last", 4 * MIB - 512, 512, "63" },
	{ "two sectors across a border", 64 * KIB - 512, 1024, "0-1" },
	{ "four granules, unaligned", 192 * KIB - 512, 128 * KIB + 1024, "2-5" },
	{ "one granule", 1 * MIB, 64 * KIB, "16" },
	{ "a discard of 256 granules' worth", 0, 4 * MIB, DTK_ALL },
};

KUNIT_ARRAY_PARAM_DESC(mark, mark_rows, desc);

static void write_marks_every_granule_it_touches(struct kunit *test)
{
	const struct mark_row *row = test->param_value;
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");

	DTK_EXPECT_DIRTY(dev, "b", "");
	dtk_write(dev, row->start, row->len);
	DTK_EXPECT_DIRTY(dev, "b", row->dirty);
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	DTK_EXPECT_DIRTY(dev, "b", row->dirty);
	DTK_EXPECT_SUCCESSOR(dev, "b", "");
}

/* T10: one live map, as fine as the finest, folded into all. */
static void write_is_folded_to_each_granularity(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);
	static const char * const names[] = { "4k", "64k", "1m" };
	static const char * const dirty[] = { "1,255-256", "0,15-16", "0-1" };
	unsigned int i;

	dtk_add(dev, "4k", 4 * KIB);
	dtk_add(dev, "64k", 64 * KIB);
	dtk_add(dev, "1m", 1 * MIB);
	dtk_write(dev, 4096, 4096);
	dtk_write(dev, 1 * MIB - 4096, 8192);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		DTK_EXPECT_DIRTY(dev, names[i], dirty[i]);
	/* The same when nothing is left in the live map. */
	for (i = 0; i < ARRAY_SIZE(names); i++)
		KUNIT_EXPECT_EQ(test, 0, dtk_named_disable(dev->t, names[i]));
	KUNIT_EXPECT_EQ(test, 0, dtk_epoch(dev)->map.nr_bits);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		DTK_EXPECT_DIRTY(dev, names[i], dirty[i]);
}

static void live_map_is_as_fine_as_the_finest_that_records(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);

	KUNIT_EXPECT_EQ(test, 0, dtk_epoch(dev)->map.nr_bits);
	dtk_add(dev, "64k", 64 * KIB);
	KUNIT_EXPECT_EQ(test, 16, dtk_epoch(dev)->map.shift);
	dtk_add(dev, "1m", 1 * MIB);
	KUNIT_EXPECT_EQ(test, 16, dtk_epoch(dev)->map.shift);
	dtk_add(dev, "4k", 4 * KIB);
	KUNIT_EXPECT_EQ(test, 12, dtk_epoch(dev)->map.shift);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_disable(dev->t, "4k"));
	KUNIT_EXPECT_EQ(test, 16, dtk_epoch(dev)->map.shift);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_enable(dev->t, "4k"));
	KUNIT_EXPECT_EQ(test, 12, dtk_epoch(dev)->map.shift);
	/* One that is frozen goes on recording, in its successor. */
	dtk_freeze(dev, "4k", CONDITIONAL, SET_BITMAP, NULL);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "64k"));
	KUNIT_EXPECT_EQ(test, 12, dtk_epoch(dev)->map.shift);
	KUNIT_EXPECT_EQ(test, 0, dtk_reclaim(dev, "4k", 0));
	KUNIT_EXPECT_EQ(test, 0, dtk_named_remove(dev->t, "4k"));
	KUNIT_EXPECT_EQ(test, 16, dtk_epoch(dev)->map.shift);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_remove(dev->t, "64k"));
	KUNIT_EXPECT_EQ(test, 20, dtk_epoch(dev)->map.shift);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_remove(dev->t, "1m"));
	KUNIT_EXPECT_EQ(test, 0, dtk_epoch(dev)->map.nr_bits);
}

/* T09: what is written while disabled is missed, by design. */
static void disabled_bitmap_does_not_record(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");

	dtk_add(dev, "other", DTK_GRANULE);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_disable(dev->t, "b"));
	dtk_write(dev, 0, 64 * KIB);
	DTK_EXPECT_DIRTY(dev, "b", "");
	KUNIT_EXPECT_EQ(test, 0, dtk_named_enable(dev->t, "b"));
	dtk_write(dev, 64 * KIB, 64 * KIB);
	DTK_EXPECT_DIRTY(dev, "b", "1");
	DTK_EXPECT_DIRTY(dev, "other", "0-1");
}

/* T13, with the bitmap that is added later the coarser one. */
static void bitmap_records_from_its_beginning(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "a");

	dtk_write(dev, 0, 64 * KIB);
	dtk_add(dev, "b", 1 * MIB);
	dtk_write(dev, 1 * MIB, 64 * KIB);
	DTK_EXPECT_DIRTY(dev, "a", "0,16");
	DTK_EXPECT_DIRTY(dev, "b", "1");
}

/* ---- Writes in flight ---- */

/* I2: in the frozen content as of its mapping, in the successor as it ends. */
static void write_across_freeze_is_in_both(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_write w;

	dtk_begin(dev, &w, 1 * MIB, 128 * KIB);
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	DTK_EXPECT_DIRTY(dev, "b", "16-17");
	DTK_EXPECT_SUCCESSOR(dev, "b", "");
	dtk_end(dev, &w);
	DTK_EXPECT_DIRTY(dev, "b", "16-17");
	DTK_EXPECT_SUCCESSOR(dev, "b", "16-17");
	KUNIT_EXPECT_EQ(test, 0, dtk_abdicate(dev, "b", 0));
	DTK_EXPECT_DIRTY(dev, "b", "16-17");
}

static void write_between_freezes_is_in_one(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");

	dtk_write(dev, 0, 512);
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	dtk_write(dev, 1 * MIB, 512);
	DTK_EXPECT_DIRTY(dev, "b", "0");
	DTK_EXPECT_SUCCESSOR(dev, "b", "16");
	KUNIT_EXPECT_EQ(test, 0, dtk_abdicate(dev, "b", 0));
	DTK_EXPECT_DIRTY(dev, "b", "16");
}

static void write_across_two_rotations_is_in_the_last(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_write w;

	dtk_begin(dev, &w, 1 * MIB, 512);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	DTK_EXPECT_DIRTY(dev, "b", "");
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	DTK_EXPECT_DIRTY(dev, "b", "");
	KUNIT_EXPECT_EQ(test, 1, dtk_retired(dev));
	dtk_end(dev, &w);
	DTK_EXPECT_DIRTY(dev, "b", "");
	DTK_EXPECT_SUCCESSOR(dev, "b", "16");
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(dev));
}

/* Begun before the first freeze, ended after the second one. */
static void write_across_two_runs_is_in_the_second_successor(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_write w;

	dtk_begin(dev, &w, 1 * MIB, 512);
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	KUNIT_EXPECT_EQ(test, 0, dtk_abdicate(dev, "b", 0));
	DTK_EXPECT_DIRTY(dev, "b", "");
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	dtk_end(dev, &w);
	DTK_EXPECT_DIRTY(dev, "b", "");
	DTK_EXPECT_SUCCESSOR(dev, "b", "16");
}

static int op_add(struct dtk_dev *dev)
{
	return dtk_named_add(dev->t, "b", 4 * KIB, false, NULL);
}

static int op_clear(struct dtk_dev *dev)
{
	dtk_add(dev, "b", 4 * KIB);
	dtk_write(dev, 3 * MIB, 4096);
	return dtk_named_clear(dev->t, "b");
}

static int op_enable(struct dtk_dev *dev)
{
	int r = dtk_named_add(dev->t, "b", 4 * KIB, true, NULL);

	return r ? r : dtk_named_enable(dev->t, "b");
}

static int op_load(struct dtk_dev *dev)
{
	struct dtr_staging staging;
	int r;

	dtk_add(dev, "b", 4 * KIB);
	dtk_write(dev, 3 * MIB, 4096);
	r = dtr_named_load_begin(dev->t, "b", 0, &staging);
	return r ? r : dtr_named_load_commit(dev->t, "b", &staging, false);
}

static int op_reload(struct dtk_dev *dev)
{
	const struct dtk_line line = {
		.size = DTK_SIZE, .bitmap = "b", .granularity = 4 * KIB,
		.clean = true,
	};

	return dtk_reload(dev, &line);
}

struct reset_row {
	const char *desc;
	int (*op)(struct dtk_dev *dev);
};

static const struct reset_row reset_rows[] = {
	{ "add", op_add },
	{ "clear", op_clear },
	{ "enable", op_enable },
	{ "load", op_load },
	{ "table line with clean", op_reload },
};

KUNIT_ARRAY_PARAM_DESC(reset, reset_rows, desc);

/* What begins clean in the middle of a write has it when the write has ended. */
static void write_across_a_reset_is_dirty_afterwards(struct kunit *test)
{
	const struct reset_row *row = test->param_value;
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "a");
	struct dtr_write w;

	dtk_begin(dev, &w, 1 * MIB, 8192);
	KUNIT_ASSERT_EQ(test, 0, row->op(dev));
	DTK_EXPECT_DIRTY(dev, "b", "");
	dtk_end(dev, &w);
	DTK_EXPECT_DIRTY(dev, "b", "256-257");
	DTK_EXPECT_DIRTY(dev, "a", row->op == op_clear || row->op == op_load ?
				   "16,48" : "16");
}

static void write_across_a_disable_was_recorded(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_write w;

	dtk_begin(dev, &w, 1 * MIB, 512);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_disable(dev->t, "b"));
	DTK_EXPECT_DIRTY(dev, "b", "16");
	dtk_end(dev, &w);
	DTK_EXPECT_DIRTY(dev, "b", "16");
	KUNIT_EXPECT_FALSE(test, READ_ONCE(dev->t->clock.overflow));
}

/* No rotation in between: nothing is to be done twice. */
static void write_within_an_epoch_marks_once(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_write w;

	dtk_begin(dev, &w, 1 * MIB, 512);
	DTK_EXPECT_DIRTY(dev, "b", "16");
	dtk_end(dev, &w);
	DTK_EXPECT_DIRTY(dev, "b", "16");
	KUNIT_EXPECT_TRUE(test, dtr_epoch_idle(dtk_epoch(dev)));
}

/* ---- In the middle of a rotation ---- */

struct middle {
	struct dtk_dev *dev;
	struct dtr_epoch *old;
	struct dtr_write w;
};

/* A writer that had found the old epoch marks just before the period ends. */
static void late_mark(void *arg)
{
	struct middle *m = arg;

	KUNIT_EXPECT_PTR_NE(m->dev->test, m->old, dtk_epoch(m->dev));
	dtk_counter(&m->old->cpus->all, 0)->nr++;
	dtr_epoch_mark(&m->dev->t->clock, m->old, MIB >> SECTOR_SHIFT, 1);
	m->w.epoch = m->old;
	m->w.sector = MIB >> SECTOR_SHIFT;
	m->w.nr_sectors = 1;
}

static void mark_in_the_grace_period_is_not_lost(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct middle m = { .dev = dev, .old = dtk_epoch(dev) };

	dtk_hooks.in_grace = late_mark;
	dtk_hooks.in_grace_arg = &m;
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	DTK_EXPECT_DIRTY(dev, "b", "16");
	DTK_EXPECT_SUCCESSOR(dev, "b", "");
	KUNIT_EXPECT_EQ(test, 1, dtk_retired(dev));
	dtk_end(dev, &m.w);
	DTK_EXPECT_SUCCESSOR(dev, "b", "16");
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(dev));
}

static void late_end(void *arg)
{
	struct middle *m = arg;

	dtk_end(m->dev, &m->w);
}

static void write_that_ends_in_the_grace_period_is_in_both(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct middle m = { .dev = dev };

	dtk_begin(dev, &m.w, 1 * MIB, 512);
	dtk_hooks.in_grace = late_end;
	dtk_hooks.in_grace_arg = &m;
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	DTK_EXPECT_DIRTY(dev, "b", "16");
	DTK_EXPECT_SUCCESSOR(dev, "b", "16");
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(dev));
}

static void early_write(void *arg)
{
	struct middle *m = arg;

	dtk_write(m->dev, 2 * MIB, 512);
}

static void write_in_the_grace_period_is_in_the_successor(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct middle m = { .dev = dev };

	dtk_hooks.in_grace = early_write;
	dtk_hooks.in_grace_arg = &m;
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	DTK_EXPECT_DIRTY(dev, "b", "");
	DTK_EXPECT_SUCCESSOR(dev, "b", "32");
}

/* A bitmap whose adding is under way gets what the new epoch gets. */
static void write_in_the_grace_period_of_an_add_is_recorded(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "a");
	struct middle m = { .dev = dev };

	dtk_hooks.in_grace = early_write;
	dtk_hooks.in_grace_arg = &m;
	dtk_add(dev, "b", 4 * KIB);
	DTK_EXPECT_DIRTY(dev, "a", "32");
	DTK_EXPECT_DIRTY(dev, "b", "512");
}

/* E9, and what each of them costs: one grace period. */
static void rotation_happens_where_it_must(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);
	unsigned int graces = 0;

#define EXPECT_GRACES(n, call) do {					\
	graces = dtk_hooks.graces;					\
	KUNIT_EXPECT_EQ(test, 0, call);					\
	KUNIT_EXPECT_EQ_MSG(test, n, dtk_hooks.graces - graces, #call);	\
} while (0)
	EXPECT_GRACES(1, dtk_named_add(dev->t, "a", DTK_GRANULE, false, NULL));
	EXPECT_GRACES(0, dtk_named_add(dev->t, "b", DTK_GRANULE, true, NULL));
	EXPECT_GRACES(0, dtk_named_clear(dev->t, "b"));
	EXPECT_GRACES(1, dtk_named_clear(dev->t, "a"));
	EXPECT_GRACES(1, dtk_named_enable(dev->t, "b"));
	EXPECT_GRACES(0, dtk_named_enable(dev->t, "b"));
	EXPECT_GRACES(1, dtk_named_disable(dev->t, "b"));
	EXPECT_GRACES(0, dtk_named_disable(dev->t, "b"));
	EXPECT_GRACES(1, !dtk_freeze(dev, "a", ALWAYS, SET_BITMAP, NULL));
	EXPECT_GRACES(0, dtk_abdicate(dev, "a", 0));
	EXPECT_GRACES(1, !dtk_freeze(dev, "a", ALWAYS, SET_BITMAP, NULL));
	EXPECT_GRACES(0, dtk_reclaim(dev, "a", 0));
	EXPECT_GRACES(0, !dtk_freeze(dev, "b", ALWAYS, SET_BITMAP, NULL));
	EXPECT_GRACES(0, dtk_reclaim(dev, "b", 0));
	EXPECT_GRACES(1, dtk_named_remove(dev->t, "a"));
	EXPECT_GRACES(0, dtk_named_remove(dev->t, "b"));
#undef EXPECT_GRACES
}

/* ---- The count of writes in flight ---- */

static void epoch_is_freed_when_its_last_write_ends(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_write w[3];

	dtk_begin(dev, &w[0], 0, 512);
	dtk_begin(dev, &w[1], 1 * MIB, 512);
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	dtk_begin(dev, &w[2], 2 * MIB, 512);
	KUNIT_EXPECT_EQ(test, 1, dtk_retired(dev));
	KUNIT_EXPECT_FALSE(test, dtr_epoch_idle(w[0].epoch));
	dtk_end(dev, &w[1]);
	KUNIT_EXPECT_EQ(test, 1, dtk_retired(dev));
	/* The end of a write of the current epoch frees nothing. */
	dtk_end(dev, &w[2]);
	KUNIT_EXPECT_EQ(test, 1, dtk_retired(dev));
	dtk_end(dev, &w[0]);
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(dev));
	DTK_EXPECT_SUCCESSOR(dev, "b", "0,16,32");
}

static void epoch_without_writes_is_freed_at_once(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");

	dtk_write_w(dev);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(dev));
}

/* Three epochs, of which the one in the middle drains first. */
static void epochs_drain_in_any_order(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	static const unsigned int order[] = { 1, 0, 2 };
	struct dtr_write w[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		dtk_begin(dev, &w[i], i * MIB, 512);
		KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	}
	KUNIT_EXPECT_EQ(test, 3, dtk_retired(dev));
	for (i = 0; i < 3; i++) {
		dtk_end(dev, &w[order[i]]);
		KUNIT_EXPECT_EQ(test, 2 - i, dtk_retired(dev));
	}
	DTK_EXPECT_DIRTY(dev, "b", "0,16,32");
}

/* Only the sum means something: a write ends on another CPU. */
static void in_flight_is_a_sum_over_cpus(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_epoch *epoch;
	struct dtr_write w[2];

	dtk_hooks.cpu = 1;
	dtk_begin(dev, &w[0], 0, 512);
	dtk_hooks.cpu = 2;
	dtk_begin(dev, &w[1], 0, 512);
	epoch = w[0].epoch;
	KUNIT_EXPECT_FALSE(test, dtr_epoch_idle(epoch));
	dtk_hooks.cpu = 3;
	dtk_end(dev, &w[0]);
	KUNIT_EXPECT_EQ(test, 1, dtk_counter(epoch->cpus, 1)->all.nr);
	KUNIT_EXPECT_EQ(test, 1, dtk_counter(epoch->cpus, 2)->all.nr);
	KUNIT_EXPECT_EQ(test, 0, dtk_counter(epoch->cpus, 3)->all.nr);
	KUNIT_EXPECT_EQ(test, 1, dtk_counter(epoch->cpus, 3)->ended);
	KUNIT_EXPECT_FALSE(test, dtr_epoch_idle(epoch));
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	KUNIT_EXPECT_EQ(test, 1, dtk_retired(dev));
	dtk_hooks.cpu = 0;
	dtk_end(dev, &w[1]);
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(dev));
}

/* ---- Without memory ---- */

static int freeze_always(struct dtk_dev *dev)
{
	u64 run, generation;

	return dtk_named_freeze(dev->t, "b", ALWAYS, SET_BITMAP, NULL, &run,
				&generation);
}

static int clear(struct dtk_dev *dev)
{
	return dtk_named_clear(dev->t, "b");
}

static int disable(struct dtk_dev *dev)
{
	return dtk_named_disable(dev->t, "b");
}

static int enable_other(struct dtk_dev *dev)
{
	return dtk_named_enable(dev->t, "other");
}

static int add_fine(struct dtk_dev *dev)
{
	return dtk_named_add(dev->t, "fine", 4 * KIB, false, NULL);
}

static const struct reset_row rotating_rows[] = {
	{ "freeze", freeze_always },
	{ "clear", clear },
	{ "disable", disable },
	{ "enable", enable_other },
	{ "add", add_fine },
};

KUNIT_ARRAY_PARAM_DESC(rotating, rotating_rows, desc);

/* Each allocation of the operation fails once: it is refused, nothing changed. */
static void rotation_without_memory_changes_nothing(struct kunit *test)
{
	const struct reset_row *row = test->param_value;
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	const char *before;
	unsigned int n;
	int r;

	KUNIT_ASSERT_EQ(test, 0, dtk_named_add(dev->t, "other", DTK_GRANULE,
					       true, NULL));
	/* As fine as "b", so that disabling that one trims nothing. */
	dtk_add(dev, "same", DTK_GRANULE);
	dtk_write_w(dev);
	/* Into the base, so that folding needs no memory (that is another test). */
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	KUNIT_ASSERT_EQ(test, 0, dtk_reclaim(dev, "b", 0));
	dtk_write_d(dev);
	before = dtk_state(dev);
	for (n = 1; ; n++) {
		dtk_fail_nth(n);
		r = row->op(dev);
		if (!dtk_fail_end())
			break;
		KUNIT_ASSERT_EQ_MSG(test, -ENOMEM, r, "allocation %u", n);
		DTK_EXPECT_UNCHANGED(dev, before);
	}
	KUNIT_EXPECT_EQ(test, 0, r);
	/* At least the epoch and its counters. */
	KUNIT_EXPECT_GT(test, n, 2);
	KUNIT_EXPECT_STRNEQ(test, before, dtk_state(dev));
	/* What was tried in vain left nothing recording behind. */
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(dev));
}

/* 4 GiB at 64 KiB are two leaves: one full leaf is 2 GiB. */
static void mark_without_memory_dirties_the_leaf(struct kunit *test)
{
	struct dtk_dev *dev;

	dtk_set_leaf_reserve(0);
	dev = dtk_dev_create_with(test, 4096 * MIB, "b");
	dtk_fail_all();
	dtk_write(dev, 3072 * MIB, 512);
	dtk_fail_end();
	DTK_EXPECT_DIRTY(dev, "b", "32768-65535");
	KUNIT_EXPECT_EQ(test, 1, dtk_info(dev, "b")->full_leaves);
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	DTK_EXPECT_DIRTY(dev, "b", "32768-65535");
	KUNIT_EXPECT_EQ(test, 1, dtk_info(dev, "b")->full_leaves);
	/* The successor begins exact. */
	dtk_write(dev, 0, 512);
	DTK_EXPECT_SUCCESSOR(dev, "b", "0");
	KUNIT_EXPECT_EQ(test, 0, dtk_abdicate(dev, "b", 0));
	KUNIT_EXPECT_EQ(test, 0, dtk_info(dev, "b")->full_leaves);
}

/*
 * I3: neither the first mark nor the second waits for its leaf, or takes pages
 * that are there for those who free memory.
 */
static void mark_never_sleeps_for_memory(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_write w;

	dtk_hooks.gfp = 0;
	dtk_begin(dev, &w, 0, 512);
	KUNIT_EXPECT_NE(test, 0, (__force u32)dtk_hooks.gfp);
	KUNIT_EXPECT_FALSE(test, gfpflags_allow_blocking(dtk_hooks.gfp));
	KUNIT_EXPECT_TRUE(test, dtk_hooks.gfp & __GFP_NOMEMALLOC);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	dtk_hooks.gfp = 0;
	dtk_end(dev, &w);
	KUNIT_EXPECT_NE(test, 0, (__force u32)dtk_hooks.gfp);
	KUNIT_EXPECT_FALSE(test, gfpflags_allow_blocking(dtk_hooks.gfp));
	KUNIT_EXPECT_TRUE(test, dtk_hooks.gfp & __GFP_NOMEMALLOC);
	DTK_EXPECT_DIRTY(dev, "b", "0");
}

static void mark_without_memory_takes_from_the_reserve(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, 4096 * MIB, "b");

	KUNIT_ASSERT_EQ(test, DTK_LEAF_RESERVE, dev->t->pool.nr);
	dtk_fail_all();
	dtk_write(dev, 3072 * MIB, 512);
	dtk_write(dev, 0, 512);
	KUNIT_EXPECT_EQ(test, 2, dtk_fail_end());
	DTK_EXPECT_DIRTY(dev, "b", "0,49152");
	KUNIT_EXPECT_EQ(test, 0, dtk_info(dev, "b")->full_leaves);
	/* The worker brings the reserve back. */
	flush_work(&dev->t->pool.refill);
	KUNIT_EXPECT_EQ(test, DTK_LEAF_RESERVE, dev->t->pool.nr);
}

/* Where the worker found none, the next leaf that there is calls it again. */
static void mark_with_memory_fills_the_reserve(struct kunit *test)
{
	struct dtk_dev *dev;

	dtk_set_leaf_reserve(0);
	dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	KUNIT_ASSERT_EQ(test, 0, dev->t->pool.nr);
	dtk_set_leaf_reserve(DTK_LEAF_RESERVE);
	dtk_write(dev, 0, 512);
	flush_work(&dev->t->pool.refill);
	KUNIT_EXPECT_EQ(test, DTK_LEAF_RESERVE, dev->t->pool.nr);
	DTK_EXPECT_DIRTY(dev, "b", "0");
}

/* Folding allocates, too; what it cannot it makes dirty, and counts. */
static void fold_without_memory_dirties_the_leaf(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, 4096 * MIB, "b");
	unsigned int n, failed, folds = 0;

	/* An allocation that fails and is no error is one of the fold. */
	for (n = 1; ; n++) {
		u64 run, generation;
		int r;

		KUNIT_ASSERT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
		dtk_write(dev, 0, 512);
		dtk_fail_nth(n);
		r = dtk_named_freeze(dev->t, "b", CONDITIONAL, SET_BITMAP, NULL,
				     &run, &generation);
		failed = dtk_fail_end();
		if (r)
			continue;
		folds += failed;
		DTK_EXPECT_DIRTY(dev, "b", failed ? "0-32767" : "0");
		KUNIT_EXPECT_EQ(test, failed, dtk_info(dev, "b")->full_leaves);
		KUNIT_EXPECT_EQ(test, 0, dtk_abdicate(dev, "b", 0));
		if (!failed)
			break;
	}
	KUNIT_EXPECT_EQ(test, 1, folds);
}

/* ---- Beyond the live map ---- */

/* E12: rather everything dirty than a mark dropped; the generation tells. */
static void mark_beyond_the_map_makes_all_dirty(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_write w;

	KUNIT_ASSERT_EQ(test, 0, dtk_named_add(dev->t, "off", DTK_GRANULE, true,
					       NULL));
	dtk_begin(dev, &w, DTK_SIZE - 512, 1024);
	KUNIT_EXPECT_TRUE(test, READ_ONCE(dev->t->clock.overflow));
	DTK_EXPECT_DIRTY(dev, "b", DTK_ALL);
	DTK_EXPECT_DIRTY(dev, "off", "");
	KUNIT_EXPECT_EQ(test, 2, dtk_info(dev, "b")->generation);
	KUNIT_EXPECT_EQ(test, 1, dtk_info(dev, "off")->generation);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(dev->t->clock.overflow));
	/* Once: a later clear holds, but for the write that is still going. */
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	DTK_EXPECT_DIRTY(dev, "b", "");
	dtk_end(dev, &w);
	DTK_EXPECT_DIRTY(dev, "b", DTK_ALL);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	DTK_EXPECT_DIRTY(dev, "b", "");
}

static void mark_beyond_the_map_is_seen_by_a_frozen_one(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");

	dtk_write_w(dev);
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	dtk_write(dev, DTK_SIZE, 512);
	DTK_EXPECT_DIRTY(dev, "b", DTK_W);
	DTK_EXPECT_SUCCESSOR(dev, "b", DTK_ALL);
}

static void mark_without_bitmaps_is_harmless(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);

	dtk_write_w(dev);
	dtk_write(dev, DTK_SIZE, 512);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(dev->t->clock.overflow));
	dtk_add(dev, "b", DTK_GRANULE);
	DTK_EXPECT_DIRTY(dev, "b", "");
}

/* ---- Anything, in any order, against a model ---- */

#define MODEL_BITMAPS	3
#define MODEL_WRITES	8
#define MODEL_STEPS	4000
#define MODEL_GRANULES	64

/*
 * The model is literal: it keeps a set of granules for each bitmap and its
 * successor, and for each write in flight how many rotations it has seen.
 */
struct model {
	struct dtk_dev *dev;
	struct rnd_state rnd;
	struct dtrack_ioc_extents arg;
	struct dtrack_range ranges[MODEL_GRANULES];
	u64 rotations;
	struct model_bitmap {
		u64 base, succ;
		bool recording, busy;
	} bitmap[MODEL_BITMAPS];
	struct model_write {
		struct dtr_write w;
		u64 bits, rotations;
		bool going;
	} write[MODEL_WRITES];
};

static const char * const model_names[MODEL_BITMAPS] = { "0", "1", "2" };

static void model_record(struct model *m, u64 bits)
{
	unsigned int i;

	for (i = 0; i < MODEL_BITMAPS; i++) {
		struct model_bitmap *b = &m->bitmap[i];

		if (!b->recording)
			continue;
		if (b->busy)
			b->succ |= bits;
		else
			b->base |= bits;
	}
}

static void model_io(struct model *m)
{
	u32 rnd = prandom_u32_state(&m->rnd);
	struct model_write *w = &m->write[rnd % MODEL_WRITES];
	unsigned int first = (rnd >> 8) % MODEL_GRANULES;
	unsigned int nr = min((rnd >> 16) % 4 + 1, MODEL_GRANULES - first);

	dtk_hooks.cpu = (rnd >> 24) % DTK_NR_CPUS;
	if (w->going) {
		dtk_end(m->dev, &w->w);
		if (w->rotations != m->rotations)
			model_record(m, w->bits);
	} else {
		w->bits = GENMASK_ULL(first + nr - 1, first);
		w->rotations = m->rotations;
		dtk_begin(m->dev, &w->w, first * DTK_GRANULE, nr * DTK_GRANULE);
		model_record(m, w->bits);
	}
	w->going = !w->going;
}

static int model_end_run(struct model *m, unsigned int i, bool abdicate)
{
	struct model_bitmap *b = &m->bitmap[i];

	if (!b->busy)
		return -ENODATA;
	b->base = abdicate ? b->succ : b->base | b->succ;
	b->busy = false;
	return 0;
}

static void model_freeze(struct model *m, unsigned int i)
{
	struct model_bitmap *b = &m->bitmap[i];
	u64 run, generation;
	int r = dtk_named_freeze(m->dev->t, model_names[i], CONDITIONAL,
				 SET_BITMAP, NULL, &run, &generation);

	KUNIT_ASSERT_EQ(m->dev->test, b->busy ? -EBUSY : 0, r);
	if (r)
		return;
	m->rotations += b->recording;
	b->succ = 0;
	b->busy = true;
}

static void model_set_recording(struct model *m, unsigned int i, bool recording)
{
	struct model_bitmap *b = &m->bitmap[i];
	const char *name = model_names[i];
	int r = recording ? dtk_named_enable(m->dev->t, name) :
			    dtk_named_disable(m->dev->t, name);

	KUNIT_ASSERT_EQ(m->dev->test, b->busy ? -EBUSY : 0, r);
	if (r || b->recording == recording)
		return;
	m->rotations++;
	b->recording = recording;
}

static void model_clear(struct model *m, unsigned int i)
{
	struct model_bitmap *b = &m->bitmap[i];
	int r = dtk_named_clear(m->dev->t, model_names[i]);

	KUNIT_ASSERT_EQ(m->dev->test, b->busy ? -EBUSY : 0, r);
	if (r)
		return;
	m->rotations += b->recording;
	b->base = 0;
}

static void model_step(struct model *m)
{
	u32 rnd = prandom_u32_state(&m->rnd);
	unsigned int i = (rnd >> 8) % MODEL_BITMAPS;
	const char *name = model_names[i];
	struct kunit *test = m->dev->test;

	switch (rnd % 16) {
	case 0:
		model_freeze(m, i);
		break;
	case 1:
		KUNIT_ASSERT_EQ(test, dtk_abdicate(m->dev, name, 0),
				model_end_run(m, i, true));
		break;
	case 2:
		KUNIT_ASSERT_EQ(test, dtk_reclaim(m->dev, name, 0),
				model_end_run(m, i, false));
		break;
	case 3:
		model_clear(m, i);
		break;
	case 4:
		model_set_recording(m, i, false);
		break;
	case 5:
	case 6:
		model_set_recording(m, i, true);
		break;
	default:
		model_io(m);
	}
}

static u64 bits_of(struct model *m, unsigned int i, u32 flags)
{
	struct dtrack_ioc_extents *arg = &m->arg;
	u64 bits = 0;
	u32 k;

	memset(arg, 0, sizeof(*arg));
	strscpy(arg->name, model_names[i], sizeof(arg->name));
	arg->flags = flags;
	KUNIT_ASSERT_EQ(m->dev->test, 0,
			dtr_named_extents(m->dev->t, arg, m->ranges,
					  MODEL_GRANULES));
	for (k = 0; k < arg->nr; k++) {
		u64 first = m->ranges[k].start / DTK_GRANULE;
		u64 nr = m->ranges[k].length / DTK_GRANULE;

		bits |= GENMASK_ULL(first + nr - 1, first);
	}
	return bits;
}

static void model_compare(struct model *m, unsigned int step)
{
	unsigned int i;

	for (i = 0; i < MODEL_BITMAPS; i++) {
		const struct model_bitmap *b = &m->bitmap[i];

		KUNIT_ASSERT_EQ_MSG(m->dev->test, b->base,
				    bits_of(m, i, 0),
				    "bitmap %u after step %u", i, step);
		if (!b->busy)
			continue;
		KUNIT_ASSERT_EQ_MSG(m->dev->test, b->succ,
				    bits_of(m, i, DTRACK_EXTENTS_SUCCESSOR),
				    "successor %u after step %u", i, step);
	}
}

static void any_order_is_as_the_model_says(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	u64 seed = dtk_seed();
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, m);
	kunit_info(test, "seed %llu\n", seed);
	prandom_seed_state(&m->rnd, seed);
	m->dev = dtk_dev_create(test, DTK_SIZE);
	for (i = 0; i < MODEL_BITMAPS; i++) {
		dtk_add(m->dev, model_names[i], DTK_GRANULE);
		m->bitmap[i].recording = true;
	}
	for (i = 0; i < MODEL_STEPS; i++) {
		model_step(m);
		model_compare(m, i);
	}
	for (i = 0; i < MODEL_WRITES; i++)
		if (m->write[i].going)
			dtk_end(m->dev, &m->write[i].w);
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(m->dev));
}

static struct kunit_case epoch_cases[] = {
	KUNIT_CASE_PARAM(write_marks_every_granule_it_touches, mark_gen_params),
	KUNIT_CASE(write_is_folded_to_each_granularity),
	KUNIT_CASE(live_map_is_as_fine_as_the_finest_that_records),
	KUNIT_CASE(disabled_bitmap_does_not_record),
	KUNIT_CASE(bitmap_records_from_its_beginning),
	KUNIT_CASE(write_across_freeze_is_in_both),
	KUNIT_CASE(write_between_freezes_is_in_one),
	KUNIT_CASE(write_across_two_rotations_is_in_the_last),
	KUNIT_CASE(write_across_two_runs_is_in_the_second_successor),
	KUNIT_CASE_PARAM(write_across_a_reset_is_dirty_afterwards,
			 reset_gen_params),
	KUNIT_CASE(write_across_a_disable_was_recorded),
	KUNIT_CASE(write_within_an_epoch_marks_once),
	KUNIT_CASE(mark_in_the_grace_period_is_not_lost),
	KUNIT_CASE(write_that_ends_in_the_grace_period_is_in_both),
	KUNIT_CASE(write_in_the_grace_period_is_in_the_successor),
	KUNIT_CASE(write_in_the_grace_period_of_an_add_is_recorded),
	KUNIT_CASE(rotation_happens_where_it_must),
	KUNIT_CASE(epoch_is_freed_when_its_last_write_ends),
	KUNIT_CASE(epoch_without_writes_is_freed_at_once),
	KUNIT_CASE(epochs_drain_in_any_order),
	KUNIT_CASE(in_flight_is_a_sum_over_cpus),
	KUNIT_CASE_PARAM(rotation_without_memory_changes_nothing,
			 rotating_gen_params),
	KUNIT_CASE(mark_without_memory_dirties_the_leaf),
	KUNIT_CASE(mark_never_sleeps_for_memory),
	KUNIT_CASE(mark_without_memory_takes_from_the_reserve),
	KUNIT_CASE(mark_with_memory_fills_the_reserve),
	KUNIT_CASE(fold_without_memory_dirties_the_leaf),
	KUNIT_CASE(mark_beyond_the_map_makes_all_dirty),
	KUNIT_CASE(mark_beyond_the_map_is_seen_by_a_frozen_one),
	KUNIT_CASE(mark_without_bitmaps_is_harmless),
	KUNIT_CASE(any_order_is_as_the_model_says),
	{ }
};

struct kunit_suite dtk_epoch_suite = {
	.name = "dirtytrack-epoch",
	.suite_init = dtk_suite_init,
	.suite_exit = dtk_suite_exit,
	.init = dtk_case_init,
	.exit = dtk_case_exit,
	.test_cases = epoch_cases,
};
