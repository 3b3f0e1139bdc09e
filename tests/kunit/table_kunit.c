// SPDX-License-Identifier: GPL-2.0-only
/*
 * table_kunit.c - what a table, loaded and resumed, does to bitmaps (I7), and
 * who finds the tracker when.
 */
#include "fixture.h"

#define CONDITIONAL	DTRACK_MODE_CONDITIONAL
#define ALWAYS		DTRACK_MODE_ALWAYS
#define SET_BITMAP	DTRACK_SET_BITMAP
#define SET_ALL		DTRACK_SET_ALL

static int resize(struct dtk_dev *dev, u64 size)
{
	const struct dtk_line line = { .size = size };

	return dtk_reload(dev, &line);
}

/* ---- Reload ---- */

/* A device with "idle", "off" and "busy", content W each, D written since. */
static struct dtk_dev *dev_with_all_states(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "idle");

	dtk_add(dev, "off", DTK_GRANULE);
	dtk_add(dev, "busy", DTK_GRANULE);
	dtk_write_w(dev);
	KUNIT_ASSERT_EQ(test, 0, dtk_named_disable(dev->t, "off"));
	dtk_freeze(dev, "busy", CONDITIONAL, SET_BITMAP, NULL);
	dtk_write_d(dev);
	return dev;
}

static void reload_of_the_same_line_keeps_everything(struct kunit *test)
{
	struct dtk_dev *dev = dev_with_all_states(test);
	const char *before = dtk_state(dev);

	KUNIT_EXPECT_EQ(test, 0, resize(dev, DTK_SIZE));
	DTK_EXPECT_UNCHANGED(dev, before);
	dtk_write(dev, DTK_SIZE - 512, 512);
	DTK_EXPECT_DIRTY(dev, "idle", DTK_W_OR_D ",63");
	DTK_EXPECT_DIRTY(dev, "off", DTK_W);
	DTK_EXPECT_DIRTY(dev, "busy", DTK_W);
	DTK_EXPECT_SUCCESSOR(dev, "busy", DTK_D ",63");
}

static void table_that_is_never_resumed_changes_nothing(struct kunit *test)
{
	const struct dtk_line line = {
		.size = 2 * DTK_SIZE, .lower = 1, .bitmap = "new",
		.granularity = 512,
	};
	struct dtk_dev *dev = dev_with_all_states(test);
	const char *before = dtk_state(dev);
	struct dtr_epoch *epoch = dtk_epoch(dev);
	struct dtk_load load;

	KUNIT_EXPECT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	DTK_EXPECT_UNCHANGED(dev, before);
	dtk_load_end(&load);
	DTK_EXPECT_UNCHANGED(dev, before);
	KUNIT_EXPECT_PTR_EQ(test, epoch, dtk_epoch(dev));
}

/*
 * A table is suspended and resumed as often as one likes.  What its line names
 * and somebody has removed since does not come back, whether the line had
 * brought it or found it.
 */
static void table_is_adopted_once(struct kunit *test)
{
	static const char * const names[] = { "new", "off" };
	struct dtk_line line = {
		.size = 2 * DTK_SIZE, .lower = 1, .granularity = DTK_GRANULE,
	};
	struct dtk_dev *dev = dev_with_all_states(test);
	struct dtk_load load;
	const char *before;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		line.bitmap = names[i];
		KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
		dtk_load_resume(&load);
		KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "idle"));
		KUNIT_EXPECT_EQ(test, 0, dtk_named_remove(dev->t, names[i]));
		before = dtk_state(dev);
		dtk_load_resume(&load);
		DTK_EXPECT_UNCHANGED(dev, before);
		dtk_load_end(&load);
	}
}

static void moved_device_is_all_dirty(struct kunit *test)
{
	static const struct dtk_line lines[] = {
		{ .size = DTK_SIZE, .lower = 1 },
		{ .size = DTK_SIZE, .lower = 1, .lower_start = MIB },
	};
	struct dtk_dev *dev = dev_with_all_states(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		u64 idle = dtk_info(dev, "idle")->generation;
		u64 off = dtk_info(dev, "off")->generation;
		u64 busy = dtk_info(dev, "busy")->generation;

		KUNIT_EXPECT_EQ(test, 0, dtk_reload(dev, &lines[i]));
		DTK_EXPECT_DIRTY(dev, "idle", DTK_ALL);
		DTK_EXPECT_DIRTY(dev, "off", DTK_ALL);
		/* Frozen means frozen: a run that copies it goes on. */
		DTK_EXPECT_DIRTY(dev, "busy", DTK_W);
		DTK_EXPECT_SUCCESSOR(dev, "busy", DTK_ALL);
		KUNIT_EXPECT_EQ(test, idle + 1,
				dtk_info(dev, "idle")->generation);
		KUNIT_EXPECT_EQ(test, off + 1, dtk_info(dev, "off")->generation);
		KUNIT_EXPECT_EQ(test, busy + 1,
				dtk_info(dev, "busy")->generation);
		KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "idle"));
		KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "off"));
	}
	KUNIT_EXPECT_EQ(test, 0, dtk_abdicate(dev, "busy", 0));
	DTK_EXPECT_DIRTY(dev, "busy", DTK_ALL);
}

static void moved_device_with_the_same_data_keeps_bits(struct kunit *test)
{
	const struct dtk_line line = {
		.size = DTK_SIZE, .lower = 1, .lower_start = MIB,
		.same_data = true,
	};
	const struct dtk_line again = {
		.size = DTK_SIZE, .lower = 1, .lower_start = MIB,
	};
	struct dtk_dev *dev = dev_with_all_states(test);
	const char *before = dtk_state(dev);

	KUNIT_EXPECT_EQ(test, 0, dtk_reload(dev, &line));
	DTK_EXPECT_UNCHANGED(dev, before);
	/* It is where it says now, without the word, too. */
	KUNIT_EXPECT_EQ(test, 0, dtk_reload(dev, &again));
	DTK_EXPECT_UNCHANGED(dev, before);
}

/* ---- Resize ---- */

static void grown_device_has_a_dirty_tail(struct kunit *test)
{
	struct dtk_dev *dev = dev_with_all_states(test);
	struct dtrack_bitmap_info *before = dtk_info(dev, "idle");

	KUNIT_EXPECT_EQ(test, 0, resize(dev, 5 * MIB));
	DTK_EXPECT_DIRTY(dev, "idle", DTK_W_OR_D ",64-79");
	DTK_EXPECT_DIRTY(dev, "off", DTK_W ",64-79");
	DTK_EXPECT_DIRTY(dev, "busy", DTK_W);
	DTK_EXPECT_SUCCESSOR(dev, "busy", DTK_D ",64-79");
	KUNIT_EXPECT_EQ(test, before->generation,
			dtk_info(dev, "idle")->generation);
	KUNIT_EXPECT_EQ(test, 5 * MIB, dtk_info(dev, "idle")->bytes);
	KUNIT_EXPECT_EQ(test, 5 * MIB, dtk_info(dev, "busy")->device_size);
	KUNIT_EXPECT_EQ(test, 4 * MIB, dtk_info(dev, "busy")->bytes);
	/* R03: the new end is tracked. */
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "idle"));
	dtk_write(dev, 4 * MIB, 64 * KIB);
	dtk_write(dev, 5 * MIB - 512, 512);
	DTK_EXPECT_DIRTY(dev, "idle", "64,79");
}

/* From within a granule: that one has a new part, too. */
static void device_grown_within_a_granule_has_it_dirty(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, MIB + 512, "b");

	KUNIT_EXPECT_EQ(test, 0, resize(dev, MIB + 1024));
	DTK_EXPECT_DIRTY(dev, "b", "16");
	KUNIT_EXPECT_EQ(test, 1024, dtk_info(dev, "b")->count);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	KUNIT_EXPECT_EQ(test, 0, resize(dev, 2 * MIB));
	DTK_EXPECT_DIRTY(dev, "b", "16-31");
}

/* R01 as we have it: what is cut off and comes back is not known. */
static void device_shrunk_and_grown_has_a_dirty_tail(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");

	dtk_write(dev, 3 * MIB, 64 * KIB);
	dtk_write(dev, DTK_SIZE - 512, 512);
	KUNIT_EXPECT_EQ(test, 0, resize(dev, 5 * MIB));
	DTK_EXPECT_DIRTY(dev, "b", "48,63-79");
	KUNIT_EXPECT_EQ(test, 0, resize(dev, 4 * MIB - 32 * KIB));
	DTK_EXPECT_DIRTY(dev, "b", "48,63");
	KUNIT_EXPECT_EQ(test, 0, resize(dev, 3 * MIB));
	DTK_EXPECT_DIRTY(dev, "b", "");
	KUNIT_EXPECT_EQ(test, 0, resize(dev, 4 * MIB));
	DTK_EXPECT_DIRTY(dev, "b", "48-63");
}

static void shrink_with_a_frozen_bitmap_is_refused(struct kunit *test)
{
	struct dtk_dev *dev = dev_with_all_states(test);
	const char *before = dtk_state(dev);

	KUNIT_EXPECT_EQ(test, -EBUSY, resize(dev, DTK_SIZE - 512));
	DTK_EXPECT_UNCHANGED(dev, before);
	KUNIT_EXPECT_EQ(test, 0, dtk_reclaim(dev, "busy", 0));
	KUNIT_EXPECT_EQ(test, 0, resize(dev, DTK_SIZE - MIB));
	DTK_EXPECT_DIRTY(dev, "busy", "0-1,16,32-33");
}

struct busy_row {
	const char *desc;
	u32 mode, set;
	bool abdicate;
	const char *dirty;
};

/* W before, D before the growth and granule 2 and 70 after it, 0-31 copied. */
static const struct busy_row busy_rows[] = {
	{ "conditional, success", CONDITIONAL, SET_BITMAP, true,
	  "1-2,32,64-79" },
	{ "conditional, failure", CONDITIONAL, SET_BITMAP, false,
	  "0-2,16,32-33,48-49,64-79" },
	{ "never", DTRACK_MODE_NEVER, SET_BITMAP, false,
	  "0-2,16,32-33,48-49,64-79" },
	{ "always, success", ALWAYS, SET_BITMAP, true,
	  "1-2,32-33,48-49,64-79" },
	{ "always, failure", ALWAYS, SET_BITMAP, false,
	  "1-2,32-33,48-49,64-79" },
	{ "always full, failure", ALWAYS, SET_ALL, false, "1-2,32-79" },
	{ "conditional full, success", CONDITIONAL, SET_ALL, true,
	  "1-2,32,64-79" },
};

KUNIT_ARRAY_PARAM_DESC(busy, busy_rows, desc);

static void run_on_a_device_that_grows_ends_as_its_mode_says(struct kunit *test)
{
	const struct busy_row *row = test->param_value;
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	u64 generation;

	dtk_write_w(dev);
	dtk_freeze(dev, "b", row->mode, row->set, NULL);
	dtk_write_d(dev);
	KUNIT_EXPECT_EQ(test, 0, resize(dev, 5 * MIB));
	dtk_write(dev, 2 * DTK_GRANULE, 512);
	dtk_write(dev, 70 * DTK_GRANULE, 512);
	DTK_EXPECT_DIRTY(dev, "b", DTK_W);
	DTK_EXPECT_SUCCESSOR(dev, "b", "1-2,32,64-79");
	/* The set ends where the frozen content does. */
	KUNIT_EXPECT_EQ(test, -EINVAL, dtk_report(dev, "b", DTK_SIZE,
						  DTK_GRANULE));
	if (row->set == SET_ALL) {
		KUNIT_EXPECT_EQ(test, 0, dtk_report(dev, "b", 0, 2 * MIB));
	} else {
		KUNIT_EXPECT_EQ(test, 0, dtk_report(dev, "b", 0, DTK_GRANULE));
		KUNIT_EXPECT_EQ(test, 0, dtk_report(dev, "b", MIB, DTK_GRANULE));
	}
	generation = dtk_info(dev, "b")->generation;
	KUNIT_EXPECT_EQ(test, 0, row->abdicate ? dtk_abdicate(dev, "b", 0) :
						 dtk_reclaim(dev, "b", 0));
	DTK_EXPECT_DIRTY(dev, "b", row->dirty);
	KUNIT_EXPECT_EQ(test, 5 * MIB, dtk_info(dev, "b")->bytes);
	KUNIT_EXPECT_EQ(test, generation +
			(row->abdicate || row->mode == ALWAYS),
			dtk_info(dev, "b")->generation);
	dtk_write(dev, 10 * DTK_GRANULE, 512);
	KUNIT_EXPECT_NOT_NULL(test, strstr(dtk_dirty(dev, "b"), ",10,"));
}

/* A write that is in flight where dm should have let none be. */
static void write_across_a_growth_is_not_lost(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_write w;

	dtk_begin(dev, &w, MIB, 512);
	KUNIT_EXPECT_EQ(test, 0, resize(dev, 5 * MIB));
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	dtk_end(dev, &w);
	DTK_EXPECT_DIRTY(dev, "b", "16");
}

/*
 * The map that the constructor allocated does not fit, because a finer bitmap
 * has come since, and there is no memory for another.  The resume has to go
 * through (E12): everything counts as dirty, until there is memory.
 */
static void resume_without_memory_makes_all_dirty(struct kunit *test)
{
	const struct dtk_line line = { .size = 5 * MIB };
	struct dtk_dev *dev = dev_with_all_states(test);
	u64 generation = dtk_info(dev, "idle")->generation;
	struct dtk_load load;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtk_add(dev, "fine", 4 * KIB);
	dtk_fail_all();
	dtk_load_resume(&load);
	KUNIT_EXPECT_GT(test, dtk_fail_end(), 0);
	dtk_load_end(&load);
	KUNIT_EXPECT_TRUE(test, READ_ONCE(dev->t->clock.overflow));

	/* Not before there is memory, but then with the first question. */
	dtk_fail_all();
	DTK_EXPECT_DIRTY(dev, "idle", "0-79");
	KUNIT_EXPECT_GT(test, dtk_fail_end(), 0);
	KUNIT_EXPECT_TRUE(test, READ_ONCE(dev->t->clock.overflow));
	DTK_EXPECT_DIRTY(dev, "idle", "0-79");
	KUNIT_EXPECT_FALSE(test, READ_ONCE(dev->t->clock.overflow));
	KUNIT_EXPECT_EQ(test, generation + 1,
			dtk_info(dev, "idle")->generation);
	DTK_EXPECT_DIRTY(dev, "fine", "0-1279");
	DTK_EXPECT_DIRTY(dev, "busy", DTK_W);
	DTK_EXPECT_SUCCESSOR(dev, "busy", "0-79");
	KUNIT_EXPECT_EQ(test, 12, dtk_epoch(dev)->map.shift);
	KUNIT_EXPECT_EQ(test, 1280, dtk_epoch(dev)->map.nr_bits);

	/* From there on as ever. */
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "fine"));
	dtk_write(dev, 5 * MIB - 512, 512);
	DTK_EXPECT_DIRTY(dev, "fine", "1279");
}

/* Which is finer than "b", for what the line adds. */
static void resume_takes_the_map_of_the_constructor(struct kunit *test)
{
	const struct dtk_line line = {
		.size = 5 * MIB, .bitmap = "new", .granularity = 4 * KIB,
		.clean = true,
	};
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtk_load load;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtk_fail_all();
	dtk_load_resume(&load);
	dtk_fail_end();
	KUNIT_EXPECT_NULL(test, load.plan.epoch);
	dtk_load_end(&load);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(dev->t->clock.overflow));
	KUNIT_EXPECT_EQ(test, 1280, dtk_epoch(dev)->map.nr_bits);
	DTK_EXPECT_DIRTY(dev, "new", "");
	dtk_write(dev, 5 * MIB - 512, 512);
	DTK_EXPECT_DIRTY(dev, "new", "1279");
}

/* A bitmap resized without memory for its roots is all dirty, and stays so. */
static void resize_without_memory_makes_the_bitmap_dirty(struct kunit *test)
{
	const struct dtk_line line = { .size = 8192 * MIB };
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtk_load load;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtk_fail_all();
	dtk_load_resume(&load);
	KUNIT_EXPECT_GT(test, dtk_fail_end(), 0);
	dtk_load_end(&load);
	DTK_EXPECT_DIRTY(dev, "b", "0-131071");
	KUNIT_EXPECT_GT(test, dtk_info(dev, "b")->full_leaves, 0);
	dtk_write(dev, MIB, 512);
	DTK_EXPECT_DIRTY(dev, "b", "0-131071");
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	dtk_write(dev, 8192 * MIB - 512, 512);
	DTK_EXPECT_DIRTY(dev, "b", "131071");
}

/* ---- Bitmaps of the line ---- */

static void bitmap_of_a_line_begins_all_dirty(struct kunit *test)
{
	struct dtk_line line = {
		.size = DTK_SIZE, .bitmap = "b", .granularity = DTK_GRANULE,
	};
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);

	KUNIT_EXPECT_EQ(test, 0, dtk_reload(dev, &line));
	DTK_EXPECT_DIRTY(dev, "b", DTK_ALL);
	KUNIT_EXPECT_EQ(test, 0, dtk_info(dev, "b")->full_leaves);
	line.bitmap = "clean";
	line.clean = true;
	KUNIT_EXPECT_EQ(test, 0, dtk_reload(dev, &line));
	DTK_EXPECT_DIRTY(dev, "clean", "");
	dtk_write_w(dev);
	DTK_EXPECT_DIRTY(dev, "b", DTK_ALL);
	DTK_EXPECT_DIRTY(dev, "clean", DTK_W);
}

/* A reload that names it again, with 'clean' or without, leaves it alone. */
static void bitmap_that_exists_stays_as_it_is(struct kunit *test)
{
	struct dtk_line line = {
		.size = DTK_SIZE, .bitmap = "busy", .granularity = DTK_GRANULE,
	};
	struct dtk_dev *dev = dev_with_all_states(test);
	const char *before = dtk_state(dev);

	KUNIT_EXPECT_EQ(test, 0, dtk_reload(dev, &line));
	DTK_EXPECT_UNCHANGED(dev, before);
	line.bitmap = "off";
	line.clean = true;
	KUNIT_EXPECT_EQ(test, 0, dtk_reload(dev, &line));
	DTK_EXPECT_UNCHANGED(dev, before);
}

/* One of the name is added between the load of the line and its resume. */
static void bitmap_that_came_first_wins(struct kunit *test)
{
	const struct dtk_line line = {
		.size = DTK_SIZE, .bitmap = "b", .granularity = DTK_GRANULE,
	};
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);
	struct dtk_load load;
	const char *before;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtk_add(dev, "b", 4 * KIB);
	dtk_write(dev, MIB, 512);
	before = dtk_state(dev);
	dtk_load_resume(&load);
	DTK_EXPECT_UNCHANGED(dev, before);
	dtk_load_end(&load);
}

struct line_row {
	const char *desc;
	const char *name;
	u64 granularity;
	int errno;
};

static const struct line_row line_rows[] = {
	{ "invalid name", "a:b", DTK_GRANULE, -EINVAL },
	{ "invalid granularity", "new", 100, -EINVAL },
	{ "another granularity than it has", "idle", 4 * KIB, -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(line, line_rows, desc);

static void invalid_line_is_refused_in_words(struct kunit *test)
{
	const struct line_row *row = test->param_value;
	const struct dtk_line line = {
		.size = DTK_SIZE, .bitmap = row->name,
		.granularity = row->granularity,
	};
	struct dtk_dev *dev = dev_with_all_states(test);
	const char *before = dtk_state(dev);
	struct dtk_load load;

	KUNIT_EXPECT_EQ(test, row->errno, dtk_load_begin(dev, &line, &load));
	KUNIT_EXPECT_NOT_NULL(test, load.error);
	dtk_load_end(&load);
	DTK_EXPECT_UNCHANGED(dev, before);
}

static void bitmap_named_twice_is_refused(struct kunit *test)
{
	const struct dtk_line line = {
		.size = DTK_SIZE, .bitmap = "new", .granularity = DTK_GRANULE,
	};
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);
	struct dtk_load load;
	char *error;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	KUNIT_EXPECT_EQ(test, -EEXIST,
			dtr_plan_add_bitmap(&load.plan, dev->t, "new",
					    DTK_GRANULE, false, &error));
	KUNIT_EXPECT_STREQ(test, "Bitmap named twice", error);
	dtk_load_end(&load);
	KUNIT_EXPECT_EQ(test, 0, dev->t->nr_bitmaps);
}

/* ---- The registry ---- */

/* Our devices' numbers: others may be there, the module's own are not. */
static bool is_listed(struct kunit *test, struct dtk_dev *dev)
{
	struct dtrack_dev devs[8] = { };
	u32 i, nr = dtr_tracker_list(devs, ARRAY_SIZE(devs));

	KUNIT_ASSERT_LE(test, nr, ARRAY_SIZE(devs));
	for (i = 0; i < nr; i++)
		if (devs[i].major == dev->disk->major &&
		    devs[i].minor == dev->disk->first_minor)
			return true;
	return false;
}

static void tracker_is_found_from_resume_to_removal(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	dev_t devt = disk_devt(dev->disk);
	struct dtr_tracker *t;

	KUNIT_EXPECT_TRUE(test, is_listed(test, dev));
	t = dtr_tracker_find(devt);
	KUNIT_EXPECT_PTR_EQ(test, dev->t, t);
	KUNIT_EXPECT_NULL(test, dtr_tracker_find(devt + 1));
	dtk_freeze(dev, "b", ALWAYS, SET_ALL, &devt);
	dtk_dev_remove(dev);
	KUNIT_EXPECT_NULL(test, dtr_tracker_find(devt));
	KUNIT_EXPECT_FALSE(test, is_listed(test, dev));
	/* Who had it open finds it gone, and closing is harmless. */
	KUNIT_EXPECT_EQ(test, -ENODEV, dtk_named_clear(t, "b"));
	KUNIT_EXPECT_EQ(test, -ENODEV, dtk_named_add(t, "c", 0, false, NULL));
	dtr_named_reclaim_run(t, &devt, 1);
	dtr_tracker_put(t);
}

static void tracker_is_not_found_before_resume(struct kunit *test)
{
	const struct dtk_line line = { .size = DTK_SIZE };
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);
	dev_t devt = disk_devt(dev->disk);
	struct dtk_load load;
	struct dtr_tracker *t;

	dtk_dev_remove(dev);
	dev->t = dtr_tracker_attach((struct mapped_device *)dev->disk);
	KUNIT_ASSERT_NOT_NULL(test, dev->t);
	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	KUNIT_EXPECT_NULL(test, dtr_tracker_find(devt));
	KUNIT_EXPECT_FALSE(test, is_listed(test, dev));
	dtk_load_resume(&load);
	t = dtr_tracker_find(devt);
	KUNIT_EXPECT_PTR_EQ(test, dev->t, t);
	KUNIT_EXPECT_TRUE(test, is_listed(test, dev));
	if (t)
		dtr_tracker_put(t);
	dtk_load_end(&load);
}

/* The table that is live goes when its successor has come, the bitmaps stay. */
static void tracker_lives_as_long_as_any_table(struct kunit *test)
{
	const struct dtk_line line = { .size = DTK_SIZE };
	struct dtk_dev *dev = dev_with_all_states(test);
	const char *before = dtk_state(dev);
	struct dtk_load load;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtr_tracker_detach(dev->t);
	DTK_EXPECT_UNCHANGED(dev, before);
	dtk_load_resume(&load);
	DTK_EXPECT_UNCHANGED(dev, before);
	KUNIT_EXPECT_PTR_EQ(test, dev->t,
			    dtr_tracker_attach((struct mapped_device *)dev->disk));
	dtk_load_end(&load);
	DTK_EXPECT_UNCHANGED(dev, before);
}

/* ---- Limits ---- */

static void limit_refuses_no_reload_that_changes_nothing(struct kunit *test)
{
	const u64 size = 64 * 1024 * MIB;
	struct dtk_dev *dev = dtk_dev_create(test, size);

	dtk_add(dev, "b", 4 * KIB);
	dtk_set_max_memory(1);
	KUNIT_EXPECT_EQ(test, 0, resize(dev, size));
	KUNIT_EXPECT_EQ(test, -EOVERFLOW, resize(dev, 2 * size));
	KUNIT_EXPECT_EQ(test, 0, resize(dev, size / 2));
}

static void bitmap_of_a_line_that_exists_counts_once(struct kunit *test)
{
	const struct dtk_line line = {
		.size = DTK_SIZE, .bitmap = "0", .granularity = DTK_GRANULE,
	};
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);
	char name[8];
	int i;

	for (i = 0; i < DTRACK_MAX_BITMAPS; i++) {
		snprintf(name, sizeof(name), "%d", i);
		dtk_add(dev, name, DTK_GRANULE);
	}
	KUNIT_EXPECT_EQ(test, 0, dtk_reload(dev, &line));
}

static void loaded_table_has_its_part_of_the_limits(struct kunit *test)
{
	const struct dtk_line line = {
		.size = DTK_SIZE, .bitmap = "new", .granularity = DTK_GRANULE,
	};
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);
	struct dtk_load load;
	char name[8];
	int i;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	for (i = 0; i < DTRACK_MAX_BITMAPS - 1; i++) {
		snprintf(name, sizeof(name), "%d", i);
		dtk_add(dev, name, DTK_GRANULE);
	}
	KUNIT_EXPECT_EQ(test, -EOVERFLOW,
			dtk_named_add(dev->t, "x", DTK_GRANULE, false, NULL));
	dtk_load_resume(&load);
	KUNIT_EXPECT_EQ(test, DTRACK_MAX_BITMAPS, dev->t->nr_bitmaps);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_remove(dev->t, "new"));
	dtk_load_end(&load);
	KUNIT_EXPECT_EQ(test, 0,
			dtk_named_add(dev->t, "x", DTK_GRANULE, false, NULL));
}

/* ---- Continuity ---- */

/* What dev_with_all_states() has become if writes may have been missed. */
static void expect_gap(struct dtk_dev *dev)
{
	KUNIT_EXPECT_EQ(dev->test, 2ULL, dtk_info(dev, "idle")->generation);
	KUNIT_EXPECT_EQ(dev->test, 3ULL, dtk_info(dev, "off")->generation);
	KUNIT_EXPECT_EQ(dev->test, 2ULL, dtk_info(dev, "busy")->generation);
	DTK_EXPECT_DIRTY(dev, "idle", DTK_ALL);
	DTK_EXPECT_DIRTY(dev, "off", DTK_ALL);
	DTK_EXPECT_DIRTY(dev, "busy", DTK_W);
	DTK_EXPECT_SUCCESSOR(dev, "busy", DTK_ALL);
}

static void device_without_our_table_is_not_live(struct kunit *test)
{
	const struct dtk_line line = { .size = DTK_SIZE };
	struct dtk_dev *dev = dev_with_all_states(test);
	struct dtrack_bitmap_info *info;
	struct dtk_load load;
	dev_t devt = dev->t->devt;

	info = kunit_kzalloc(test, sizeof(*info), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, info);
	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtk_other_table(dev);
	KUNIT_EXPECT_PTR_EQ(test, NULL, dtr_tracker_find(devt));
	KUNIT_EXPECT_EQ(test, -ENODEV, dtk_info_error(dev, "idle", info));
	KUNIT_EXPECT_EQ(test, -ENODEV, dtk_named_clear(dev->t, "idle"));
	KUNIT_EXPECT_EQ(test, -ENODEV,
			dtk_named_add(dev->t, "new", DTK_GRANULE, false, NULL));
	dtk_load_resume(&load);
	expect_gap(dev);
	dtk_load_end(&load);
	expect_gap(dev);
}

static void same_data_does_not_close_a_gap(struct kunit *test)
{
	const struct dtk_line line = { .size = DTK_SIZE, .same_data = true };
	struct dtk_dev *dev = dev_with_all_states(test);
	struct dtk_load load;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtk_other_table(dev);
	dtk_load_resume(&load);
	expect_gap(dev);
	dtk_load_end(&load);
}

/* The disk was written to, and the table before is not destroyed yet. */
static void writes_between_two_tables_are_a_gap(struct kunit *test)
{
	const struct dtk_line line = { .size = DTK_SIZE };
	struct dtk_dev *dev = dev_with_all_states(test);
	unsigned long before = dev->live;
	struct dtk_load load;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtr_tracker_suspended(dev->t, dtk_table(before));
	dtk_hooks.disk_writes++;
	dtr_plan_swap_in(&load.plan);
	dtr_tracker_adopt(dev->t, &load.plan, dtk_table(load.nr));
	dev->live = load.nr;
	expect_gap(dev);
	dtk_table_destroy(dev, before);
	expect_gap(dev);
	dtk_load_end(&load);
}

/* Nobody has seen a write, but another table was there to take it. */
static void table_destroyed_by_another_task_is_a_gap(struct kunit *test)
{
	const struct dtk_line line = { .size = DTK_SIZE };
	struct dtk_dev *dev = dev_with_all_states(test);
	const char *state = dtk_state(dev);
	unsigned long before = dev->live;
	struct dtk_load load;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtr_tracker_suspended(dev->t, dtk_table(before));
	load.plan.swapper = (struct task_struct *)test;
	dtr_tracker_adopt(dev->t, &load.plan, dtk_table(load.nr));
	dev->live = load.nr;
	DTK_EXPECT_UNCHANGED(dev, state);
	dtk_table_destroy(dev, before);
	expect_gap(dev);
	dtk_load_end(&load);
}

/* It is destroyed before the table that it has replaced. */
static void table_destroyed_without_proof_is_a_gap(struct kunit *test)
{
	const struct dtk_line line = { .size = DTK_SIZE };
	struct dtk_dev *dev = dev_with_all_states(test);
	unsigned long before = dev->live;
	struct dtk_load third, *second;

	second = kunit_kzalloc(test, sizeof(*second), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, second);
	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, second));
	dtr_tracker_suspended(dev->t, dtk_table(before));
	dtr_plan_swap_in(&second->plan);
	dtr_tracker_adopt(dev->t, &second->plan, dtk_table(second->nr));
	dev->live = second->nr;
	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &third));
	dtr_tracker_suspended(dev->t, dtk_table(second->nr));
	dtr_plan_swap_in(&third.plan);
	dtr_tracker_adopt(dev->t, &third.plan, dtk_table(third.nr));
	dev->live = third.nr;
	dtk_load_end(second);
	expect_gap(dev);
	dtk_table_destroy(dev, before);
	expect_gap(dev);
	dtk_load_end(&third);
}

/* A table that device-mapper could not swap in has replaced none. */
static void swap_that_fails_is_no_gap(struct kunit *test)
{
	const struct dtk_line line = { .size = DTK_SIZE };
	struct dtk_dev *dev = dev_with_all_states(test);
	const char *state = dtk_state(dev);
	struct dtk_load load;

	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtr_tracker_suspended(dev->t, dtk_table(dev->live));
	dtr_plan_swap_in(&load.plan);
	dtk_load_end(&load);
	DTK_EXPECT_UNCHANGED(dev, state);
	KUNIT_EXPECT_EQ(test, 0, resize(dev, DTK_SIZE));
	DTK_EXPECT_UNCHANGED(dev, state);
}

static void run_across_a_gap_can_only_be_reclaimed(struct kunit *test)
{
	const struct dtk_line line = { .size = DTK_SIZE };
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtk_load load;
	u64 run;

	dtk_write_w(dev);
	run = dtk_freeze(dev, "b", ALWAYS, SET_BITMAP, NULL);
	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtk_other_table(dev);
	dtk_load_resume(&load);
	KUNIT_EXPECT_EQ(test, -ESTALE, dtk_report(dev, "b", 0, DTK_GRANULE));
	KUNIT_EXPECT_EQ(test, -ESTALE, dtk_abdicate(dev, "b", run));
	DTK_EXPECT_DIRTY(dev, "b", DTK_W);
	KUNIT_EXPECT_EQ(test, 0, dtk_reclaim(dev, "b", run));
	DTK_EXPECT_DIRTY(dev, "b", DTK_ALL);
	KUNIT_EXPECT_EQ(test, 3ULL, dtk_info(dev, "b")->generation);
	dtk_load_end(&load);
}

/* A closed file's freeze must not wait for an owner that may look alike. */
static void owner_that_goes_in_a_gap_is_forgotten(struct kunit *test)
{
	const struct dtk_line line = { .size = DTK_SIZE };
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtk_load load;
	u64 run;

	dtk_write_w(dev);
	run = dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, test);
	KUNIT_ASSERT_EQ(test, 0, dtk_load_begin(dev, &line, &load));
	dtk_other_table(dev);
	dtr_named_reclaim_run(dev->t, test, run);
	dtk_load_resume(&load);
	KUNIT_EXPECT_FALSE(test, dtk_info(dev, "b")->flags &
			   DTRACK_BITMAP_BUSY);
	DTK_EXPECT_DIRTY(dev, "b", DTK_ALL);
	dtk_load_end(&load);
}

static void list_says_how_many_there_are(struct kunit *test)
{
	struct dtrack_dev devs[2] = { };
	u32 others = dtr_tracker_list(NULL, 0);
	unsigned int i;

	for (i = 0; i < 3; i++)
		dtk_dev_create(test, DTK_SIZE);
	KUNIT_EXPECT_EQ(test, others + 3, dtr_tracker_list(NULL, 0));
	KUNIT_EXPECT_EQ(test, others + 3, dtr_tracker_list(devs, 2));
	KUNIT_EXPECT_EQ(test, 253, devs[0].major);
	KUNIT_EXPECT_EQ(test, 253, devs[1].major);
	KUNIT_EXPECT_NE(test, devs[0].minor, devs[1].minor);
}

static struct kunit_case table_cases[] = {
	KUNIT_CASE(reload_of_the_same_line_keeps_everything),
	KUNIT_CASE(table_that_is_never_resumed_changes_nothing),
	KUNIT_CASE(table_is_adopted_once),
	KUNIT_CASE(moved_device_is_all_dirty),
	KUNIT_CASE(moved_device_with_the_same_data_keeps_bits),
	KUNIT_CASE(grown_device_has_a_dirty_tail),
	KUNIT_CASE(device_grown_within_a_granule_has_it_dirty),
	KUNIT_CASE(device_shrunk_and_grown_has_a_dirty_tail),
	KUNIT_CASE(shrink_with_a_frozen_bitmap_is_refused),
	KUNIT_CASE_PARAM(run_on_a_device_that_grows_ends_as_its_mode_says,
			 busy_gen_params),
	KUNIT_CASE(write_across_a_growth_is_not_lost),
	KUNIT_CASE(resume_without_memory_makes_all_dirty),
	KUNIT_CASE(resume_takes_the_map_of_the_constructor),
	KUNIT_CASE(resize_without_memory_makes_the_bitmap_dirty),
	KUNIT_CASE(bitmap_of_a_line_begins_all_dirty),
	KUNIT_CASE(bitmap_that_exists_stays_as_it_is),
	KUNIT_CASE(bitmap_that_came_first_wins),
	KUNIT_CASE_PARAM(invalid_line_is_refused_in_words, line_gen_params),
	KUNIT_CASE(bitmap_named_twice_is_refused),
	KUNIT_CASE(tracker_is_found_from_resume_to_removal),
	KUNIT_CASE(tracker_is_not_found_before_resume),
	KUNIT_CASE(tracker_lives_as_long_as_any_table),
	KUNIT_CASE(limit_refuses_no_reload_that_changes_nothing),
	KUNIT_CASE(bitmap_of_a_line_that_exists_counts_once),
	KUNIT_CASE(loaded_table_has_its_part_of_the_limits),
	KUNIT_CASE(device_without_our_table_is_not_live),
	KUNIT_CASE(same_data_does_not_close_a_gap),
	KUNIT_CASE(writes_between_two_tables_are_a_gap),
	KUNIT_CASE(table_destroyed_by_another_task_is_a_gap),
	KUNIT_CASE(table_destroyed_without_proof_is_a_gap),
	KUNIT_CASE(swap_that_fails_is_no_gap),
	KUNIT_CASE(run_across_a_gap_can_only_be_reclaimed),
	KUNIT_CASE(owner_that_goes_in_a_gap_is_forgotten),
	KUNIT_CASE(list_says_how_many_there_are),
	{ }
};

struct kunit_suite dtk_table_suite = {
	.name = "dirtytrack-table",
	.suite_init = dtk_suite_init,
	.suite_exit = dtk_suite_exit,
	.init = dtk_case_init,
	.exit = dtk_case_exit,
	.test_cases = table_cases,
};
