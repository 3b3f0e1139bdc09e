// SPDX-License-Identifier: GPL-2.0-only
/*
 * lifecycle_kunit.c - what may be done to a bitmap in which state, and what
 * becomes of it.
 */
#include <linux/random.h>

#include "fixture.h"

#define CONDITIONAL	DTRACK_MODE_CONDITIONAL
#define NEVER		DTRACK_MODE_NEVER
#define ALWAYS		DTRACK_MODE_ALWAYS
#define SET_BITMAP	DTRACK_SET_BITMAP
#define SET_ALL		DTRACK_SET_ALL

/* Open files: only their addresses are looked at. */
static const char file_a, file_b;

/* ---- Every operation in every state ---- */

/**
 * struct cell - what an operation is tried on.
 * @dev: has "b" with content W, in the state, and "w", idle and clean
 * @t: its tracker, with a reference: it may be gone
 * @other: another device of the size, with "t"
 * @staging: begun for "b" before it got into the state
 */
struct cell {
	struct dtk_dev *dev;
	struct dtr_tracker *t;
	struct dtk_dev *other;
	struct dtr_staging staging;
};

static int do_add(struct cell *c)
{
	return dtk_named_add(c->t, "b", DTK_GRANULE, false, NULL);
}

static int do_remove(struct cell *c)
{
	return dtk_named_remove(c->t, "b");
}

static int do_clear(struct cell *c)
{
	return dtk_named_clear(c->t, "b");
}

static int do_enable(struct cell *c)
{
	return dtk_named_enable(c->t, "b");
}

static int do_disable(struct cell *c)
{
	return dtk_named_disable(c->t, "b");
}

static int do_merge_from(struct cell *c)
{
	const struct dtr_source source = { .t = c->t, .name = "b" };

	return dtk_named_merge(c->other->t, "t", &source, 1);
}

static int do_merge_into(struct cell *c)
{
	const struct dtr_source source = { .t = c->other->t, .name = "t" };

	return dtk_named_merge(c->t, "b", &source, 1);
}

static int do_freeze(struct cell *c, u32 mode)
{
	u64 run, generation;

	return dtk_named_freeze(c->t, "b", mode, SET_BITMAP, NULL, &run,
				&generation);
}

static int do_freeze_conditional(struct cell *c)
{
	return do_freeze(c, CONDITIONAL);
}

static int do_freeze_never(struct cell *c)
{
	return do_freeze(c, NEVER);
}

static int do_freeze_always(struct cell *c)
{
	return do_freeze(c, ALWAYS);
}

static int do_load_begin(struct cell *c)
{
	struct dtr_staging staging = { };
	int r = dtr_named_load_begin(c->t, "b", 0, &staging);

	dtr_bitmap_exit(&staging.bits);
	return r;
}

static int do_load_commit(struct cell *c)
{
	return dtr_named_load_commit(c->t, "b", &c->staging, false);
}

static int do_load_merge(struct cell *c)
{
	return dtr_named_load_commit(c->t, "b", &c->staging, true);
}

static int do_abdicate(struct cell *c)
{
	const struct dtr_run run = { };
	u64 generation;

	return dtk_named_abdicate(c->t, "b", &run, &generation);
}

static int do_reclaim(struct cell *c)
{
	const struct dtr_run run = { };
	u64 generation;

	return dtk_named_reclaim(c->t, "b", &run, &generation);
}

static int do_reclaim_force(struct cell *c)
{
	const struct dtr_run run = { .force = true };
	u64 generation;

	return dtk_named_reclaim(c->t, "b", &run, &generation);
}

static int do_report(struct cell *c)
{
	const struct dtr_run run = { };
	const struct dtrack_range range = { .length = 64 * KIB };

	return dtr_named_report(c->t, "b", &run, &range, 1);
}

static int do_extents(struct cell *c, u32 flags)
{
	struct dtrack_ioc_extents *arg;
	struct dtrack_range range;

	arg = kunit_kzalloc(c->dev->test, sizeof(*arg), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(c->dev->test, arg);
	strscpy(arg->name, "b", sizeof(arg->name));
	arg->flags = flags;
	return dtr_named_extents(c->t, arg, &range, 1);
}

static int do_show(struct cell *c)
{
	return do_extents(c, 0);
}

static int do_show_successor(struct cell *c)
{
	return do_extents(c, DTRACK_EXTENTS_SUCCESSOR);
}

static int do_get_bits(struct cell *c)
{
	struct dtrack_ioc_bits *arg;
	u64 buf;

	arg = kunit_kzalloc(c->dev->test, sizeof(*arg), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(c->dev->test, arg);
	strscpy(arg->name, "b", sizeof(arg->name));
	arg->length = DTK_SIZE;
	return dtr_named_get_bits(c->t, arg, &buf);
}

static int do_info(struct cell *c)
{
	struct dtrack_bitmap_info *info;
	struct dtrack_ioc_info *arg;

	info = kunit_kzalloc(c->dev->test, sizeof(*info), GFP_KERNEL);
	arg = kunit_kzalloc(c->dev->test, sizeof(*arg), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(c->dev->test, info);
	KUNIT_ASSERT_NOT_NULL(c->dev->test, arg);
	strscpy(arg->name, "b", sizeof(arg->name));
	return dtr_tracker_info(c->t, arg, info, 1);
}

enum state {
	ABSENT,
	IDLE,
	DISABLED,
	BUSY,
	OWNED,
	READONLY,
	BUSY_READONLY,
	INCONSISTENT,
	READONLY_INCONSISTENT,
	GONE,
	NR_STATES,
};

static const char * const state_names[NR_STATES] = {
	"absent", "idle", "disabled", "busy", "owned", "read-only",
	"busy and read-only", "inconsistent", "read-only and inconsistent",
	"gone",
};

/*
 * Disabling steps the generation, so that what was staged before is stale; all
 * other states leave the staging alone and refuse by themselves.
 */
static const struct {
	const char *name;
	int (*run)(struct cell *c);
	int errnos[NR_STATES];
} ops[] = {
	{ "add", do_add, {
		0, -EEXIST, -EEXIST, -EEXIST, -EEXIST, -EEXIST, -EEXIST,
		-EEXIST, -EEXIST, -ENODEV } },
	{ "remove", do_remove, {
		-ENOENT, 0, 0, -EBUSY, -EBUSY, -EROFS, -EBUSY, 0, -EROFS,
		-ENODEV } },
	{ "clear", do_clear, {
		-ENOENT, 0, 0, -EBUSY, -EBUSY, -EROFS, -EBUSY, -EUCLEAN, -EROFS,
		-ENODEV } },
	{ "enable", do_enable, {
		-ENOENT, 0, 0, -EBUSY, -EBUSY, 0, -EBUSY, -EUCLEAN, -EUCLEAN,
		-ENODEV } },
	{ "disable", do_disable, {
		-ENOENT, 0, 0, -EBUSY, -EBUSY, 0, -EBUSY, -EUCLEAN, -EUCLEAN,
		-ENODEV } },
	{ "merge from", do_merge_from, {
		-ENOENT, 0, 0, -EBUSY, -EBUSY, 0, -EBUSY, -EUCLEAN, -EUCLEAN,
		-ENODEV } },
	{ "merge into", do_merge_into, {
		-ENOENT, 0, 0, -EBUSY, -EBUSY, -EROFS, -EBUSY, -EUCLEAN, -EROFS,
		-ENODEV } },
	{ "freeze conditional", do_freeze_conditional, {
		-ENOENT, 0, 0, -EBUSY, -EBUSY, -EROFS, -EBUSY, -EUCLEAN, -EROFS,
		-ENODEV } },
	{ "freeze never", do_freeze_never, {
		-ENOENT, 0, 0, -EBUSY, -EBUSY, 0, -EBUSY, -EUCLEAN, -EUCLEAN,
		-ENODEV } },
	{ "freeze always", do_freeze_always, {
		-ENOENT, 0, 0, -EBUSY, -EBUSY, -EROFS, -EBUSY, -EUCLEAN, -EROFS,
		-ENODEV } },
	{ "load begin", do_load_begin, {
		-ENOENT, 0, 0, -EBUSY, -EBUSY, -EROFS, -EBUSY, -EUCLEAN, -EROFS,
		-ENODEV } },
	{ "load commit", do_load_commit, {
		-ENOENT, 0, -ESTALE, -EBUSY, -EBUSY, -EROFS, -EBUSY, -EUCLEAN,
		-EROFS, -ENODEV } },
	{ "load merge", do_load_merge, {
		-ENOENT, 0, -ESTALE, -EBUSY, -EBUSY, -EROFS, -EBUSY, -EUCLEAN,
		-EROFS, -ENODEV } },
	{ "abdicate", do_abdicate, {
		-ENOENT, -ENODATA, -ENODATA, 0, -EBUSY, -ENODATA, 0, -ENODATA,
		-ENODATA, -ENODEV } },
	{ "reclaim", do_reclaim, {
		-ENOENT, -ENODATA, -ENODATA, 0, -EBUSY, -ENODATA, 0, -ENODATA,
		-ENODATA, -ENODEV } },
	{ "reclaim by force", do_reclaim_force, {
		-ENOENT, -ENODATA, -ENODATA, 0, 0, -ENODATA, 0, -ENODATA,
		-ENODATA, -ENODEV } },
	{ "report", do_report, {
		-ENOENT, -ENODATA, -ENODATA, 0, -EBUSY, -ENODATA, 0, -ENODATA,
		-ENODATA, -ENODEV } },
	{ "show", do_show, {
		-ENOENT, 0, 0, 0, 0, 0, 0, -EUCLEAN, -EUCLEAN, -ENODEV } },
	{ "show successor", do_show_successor, {
		-ENOENT, -ENODATA, -ENODATA, 0, 0, -ENODATA, 0, -EUCLEAN,
		-EUCLEAN, -ENODEV } },
	{ "get bits", do_get_bits, {
		-ENOENT, 0, 0, 0, 0, 0, 0, -EUCLEAN, -EUCLEAN, -ENODEV } },
	{ "info", do_info, {
		-ENOENT, 0, 0, 0, 0, 0, 0, 0, 0, -ENODEV } },
};

static void cell_destroy(void *arg)
{
	struct cell *c = arg;

	dtr_bitmap_exit(&c->staging.bits);
	dtr_tracker_put(c->t);
}

static struct cell *cell_create(struct kunit *test)
{
	struct cell *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, c);
	c->other = dtk_dev_create_with(test, DTK_SIZE, "t");
	c->dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	dtk_add(c->dev, "w", 4 * KIB);
	dtk_write_w(c->dev);
	c->t = dtr_tracker_get(c->dev->t);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, cell_destroy, c));
	KUNIT_ASSERT_EQ(test, 0,
			dtr_named_load_begin(c->t, "b", 0, &c->staging));
	return c;
}

static void cell_enter(struct cell *c, enum state state)
{
	struct kunit *test = c->dev->test;
	bool readonly;

	switch (state) {
	case ABSENT:
		KUNIT_ASSERT_EQ(test, 0, dtk_named_remove(c->t, "b"));
		break;
	case DISABLED:
		KUNIT_ASSERT_EQ(test, 0, dtk_named_disable(c->t, "b"));
		break;
	case BUSY:
	case BUSY_READONLY:
		dtk_freeze(c->dev, "b", CONDITIONAL, SET_BITMAP, NULL);
		dtk_write_d(c->dev);
		break;
	case OWNED:
		dtk_freeze(c->dev, "b", CONDITIONAL, SET_BITMAP, &file_a);
		dtk_write_d(c->dev);
		break;
	case INCONSISTENT:
	case READONLY_INCONSISTENT:
		mutex_lock(&c->t->mutex);
		dtr_named_find_locked(c->t, "b")->inconsistent = true;
		mutex_unlock(&c->t->mutex);
		break;
	case GONE:
		dtk_dev_remove(c->dev);
		break;
	default:
		break;
	}
	readonly = state == READONLY || state == BUSY_READONLY ||
		   state == READONLY_INCONSISTENT;
	dtk_dev_set_ro(c->dev, readonly);
}

/* A row of @ops by a state, and its number plus one as the parameter. */
#ifdef DTK_HAVE_TEST_IN_GENERATOR
static const void *cell_gen_params(struct kunit *test, const void *prev,
				   char *desc)
#else
static const void *cell_gen_params(const void *prev, char *desc)
#endif
{
	unsigned long nr = (unsigned long)prev;

	if (nr == ARRAY_SIZE(ops) * NR_STATES)
		return NULL;
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s, %s",
		 ops[nr / NR_STATES].name, state_names[nr % NR_STATES]);
	return (void *)(nr + 1);
}

static void operation_is_allowed_by_the_state(struct kunit *test)
{
	unsigned long nr = (unsigned long)test->param_value - 1;
	enum state state = nr % NR_STATES;
	int want = ops[nr / NR_STATES].errnos[state];
	struct cell *c = cell_create(test);
	const char *before = NULL, *other = dtk_state(c->other);

	cell_enter(c, state);
	if (state != GONE)
		before = dtk_state(c->dev);
	KUNIT_EXPECT_EQ(test, want, ops[nr / NR_STATES].run(c));
	if (!want)
		return;
	if (state != GONE)
		DTK_EXPECT_UNCHANGED(c->dev, before);
	DTK_EXPECT_UNCHANGED(c->other, other);
}

/* ---- What becomes of the content (SEMANTICS 5.2, 5.3) ---- */

enum end {
	ABDICATE,
	RECLAIM,
	CLOSE,
};

/**
 * struct outcome_row - a run on W during which D is written.
 * @desc: shown
 * @mode: of the freeze
 * @set: of the freeze
 * @disabled: the bitmap does not record
 * @end: how the run ends
 * @reported: copied by then, whole granules; length 0: no more
 * @errno: of the end
 * @dirty: afterwards
 * @steps: the generation steps, and last_run is this run
 */
struct outcome_row {
	const char *desc;
	u32 mode, set;
	bool disabled;
	enum end end;
	struct dtrack_range reported[4];
	int errno;
	const char *dirty;
	bool steps;
};

/* W copied to the end, or as far as an error at 2 MiB lets it come. */
#define COPIED_ALL_OF_W	{ { 0, DTK_GRANULE }, { MIB, DTK_GRANULE }, \
			  { 2 * MIB, 2 * DTK_GRANULE }, \
			  { 3 * MIB, 2 * DTK_GRANULE } }
#define COPIED_TO_2M	{ { 0, DTK_GRANULE }, { MIB, DTK_GRANULE } }

static const struct outcome_row outcome_rows[] = {
	{ "conditional, success", CONDITIONAL, SET_BITMAP, false, ABDICATE,
	  COPIED_ALL_OF_W, 0, DTK_D, true },
	{ "conditional, success, nothing reported", CONDITIONAL, SET_BITMAP,
	  false, ABDICATE, { }, 0, DTK_D, true },
	{ "conditional, failure at 2M", CONDITIONAL, SET_BITMAP, false, RECLAIM,
	  COPIED_TO_2M, 0, DTK_W_OR_D, false },
	{ "conditional, cancelled when all was copied", CONDITIONAL, SET_BITMAP,
	  false, RECLAIM, COPIED_ALL_OF_W, 0, DTK_W_OR_D, false },
	{ "conditional, killed", CONDITIONAL, SET_BITMAP, false, CLOSE,
	  COPIED_TO_2M, 0, DTK_W_OR_D, false },
	{ "conditional full, success", CONDITIONAL, SET_ALL, false, ABDICATE,
	  { { 0, DTK_SIZE } }, 0, DTK_D, true },
	{ "conditional full, failure", CONDITIONAL, SET_ALL, false, RECLAIM,
	  { { 0, 2 * MIB } }, 0, DTK_W_OR_D, false },
	{ "never, success", NEVER, SET_BITMAP, false, RECLAIM,
	  COPIED_ALL_OF_W, 0, DTK_W_OR_D, false },
	{ "never, killed", NEVER, SET_BITMAP, false, CLOSE,
	  COPIED_TO_2M, 0, DTK_W_OR_D, false },
	{ "never, abdicated", NEVER, SET_BITMAP, false, ABDICATE,
	  COPIED_ALL_OF_W, -EINVAL, DTK_W, false },
	{ "always, success", ALWAYS, SET_BITMAP, false, ABDICATE,
	  COPIED_ALL_OF_W, 0, DTK_D, true },
	{ "always, nothing reported, success", ALWAYS, SET_BITMAP, false,
	  ABDICATE, { }, 0, DTK_W_OR_D, true },
	{ "always, failure at 2M", ALWAYS, SET_BITMAP, false, RECLAIM,
	  COPIED_TO_2M, 0, "1,32-33,48-49", true },
	{ "always, cancelled when all was copied", ALWAYS, SET_BITMAP, false,
	  RECLAIM, COPIED_ALL_OF_W, 0, DTK_D, true },
	{ "always, nothing reported, failure", ALWAYS, SET_BITMAP, false,
	  RECLAIM, { }, 0, DTK_W_OR_D, true },
	{ "always, killed at 2M", ALWAYS, SET_BITMAP, false, CLOSE,
	  COPIED_TO_2M, 0, "1,32-33,48-49", true },
	{ "always full, success", ALWAYS, SET_ALL, false, ABDICATE,
	  { { 0, DTK_SIZE } }, 0, DTK_D, true },
	{ "always full, failure at 2M", ALWAYS, SET_ALL, false, RECLAIM,
	  { { 0, 2 * MIB } }, 0, "1,32-63", true },
	{ "always full, killed before anything", ALWAYS, SET_ALL, false, CLOSE,
	  { }, 0, DTK_ALL, true },
	{ "always full, a hole", ALWAYS, SET_ALL, false, RECLAIM,
	  { { 0, MIB }, { MIB + DTK_GRANULE, DTK_GRANULE },
	    { 2 * MIB, 2 * MIB } }, 0, "1,16,18-32", true },
	{ "disabled conditional, success", CONDITIONAL, SET_BITMAP, true,
	  ABDICATE, COPIED_ALL_OF_W, 0, "", true },
	{ "disabled conditional, failure", CONDITIONAL, SET_BITMAP, true,
	  RECLAIM, COPIED_TO_2M, 0, DTK_W, false },
	{ "disabled never, success", NEVER, SET_BITMAP, true, RECLAIM,
	  COPIED_ALL_OF_W, 0, DTK_W, false },
	{ "disabled always, cancelled when copied", ALWAYS, SET_BITMAP, true,
	  RECLAIM, COPIED_ALL_OF_W, 0, "", true },
};

KUNIT_ARRAY_PARAM_DESC(outcome, outcome_rows, desc);

static int end_run(struct dtk_dev *dev, enum end end, u64 run)
{
	struct dtr_run by = { .owner = &file_a, .run = run };
	u64 generation;

	switch (end) {
	case ABDICATE:
		return dtk_named_abdicate(dev->t, "b", &by, &generation);
	case RECLAIM:
		return dtk_named_reclaim(dev->t, "b", &by, &generation);
	default:
		dtr_named_reclaim_run(dev->t, &file_a, run);
		return 0;
	}
}

static u32 nr_reported(const struct outcome_row *row)
{
	u32 nr = 0;

	while (nr < ARRAY_SIZE(row->reported) && row->reported[nr].length)
		nr++;
	return nr;
}

static void run_ends_as_mode_and_set_say(struct kunit *test)
{
	const struct outcome_row *row = test->param_value;
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtrack_bitmap_info *before, *after;
	struct dtr_run by = { .owner = &file_a };

	dtk_write_w(dev);
	if (row->disabled)
		KUNIT_ASSERT_EQ(test, 0, dtk_named_disable(dev->t, "b"));
	by.run = dtk_freeze(dev, "b", row->mode, row->set, &file_a);
	dtk_write_d(dev);
	before = dtk_info(dev, "b");
	KUNIT_EXPECT_EQ(test, 6 * DTK_GRANULE, before->count);
	KUNIT_EXPECT_EQ(test, row->disabled ? 0 : 2 * DTK_GRANULE,
			before->successor_count);
	KUNIT_ASSERT_EQ(test, 0, dtr_named_report(dev->t, "b", &by,
						  row->reported,
						  nr_reported(row)));
	/* What is reported shows only in what becomes of it. */
	DTK_EXPECT_DIRTY(dev, "b", DTK_W);
	DTK_EXPECT_SUCCESSOR(dev, "b", row->disabled ? "" : DTK_D);

	KUNIT_EXPECT_EQ(test, row->errno, end_run(dev, row->end, by.run));
	DTK_EXPECT_DIRTY(dev, "b", row->dirty);
	after = dtk_info(dev, "b");
	KUNIT_EXPECT_EQ(test, before->generation + row->steps,
			after->generation);
	KUNIT_EXPECT_EQ(test, row->steps ? by.run : 0, after->last_run);
	KUNIT_EXPECT_MEMEQ(test, before->uuid, after->uuid, DTRACK_UUID_LEN);
	KUNIT_EXPECT_EQ(test, row->disabled ? 0 : DTRACK_BITMAP_RECORDING,
			after->flags & DTRACK_BITMAP_RECORDING);
	KUNIT_EXPECT_EQ(test, row->errno ? DTRACK_BITMAP_BUSY : 0,
			after->flags & DTRACK_BITMAP_BUSY);
	KUNIT_EXPECT_EQ(test, row->errno ? by.run : 0, after->run);
	if (row->errno)
		return;
	/* It goes on as any bitmap does. */
	dtk_write(dev, 4 * MIB - 512, 512);
	KUNIT_EXPECT_EQ(test, after->count +
			(!row->disabled && !strstr(row->dirty, "63") ?
			 DTK_GRANULE : 0), dtk_info(dev, "b")->count);
}

/* B07: two differentials in a row are cumulative. */
static void differential_accumulates(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");

	dtk_write(dev, 0, 64 * KIB);
	dtk_freeze(dev, "b", NEVER, SET_BITMAP, NULL);
	KUNIT_EXPECT_EQ(test, 0, dtk_reclaim(dev, "b", 0));
	dtk_write(dev, 1 * MIB, 64 * KIB);
	dtk_freeze(dev, "b", NEVER, SET_BITMAP, NULL);
	DTK_EXPECT_DIRTY(dev, "b", "0,16");
	KUNIT_EXPECT_EQ(test, 2 * DTK_GRANULE, dtk_info(dev, "b")->count);
}

/* B05, B06: what a failed run left goes on onto the same target. */
static void resumed_run_copies_the_rest(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");

	dtk_write_w(dev);
	dtk_freeze(dev, "b", ALWAYS, SET_BITMAP, NULL);
	KUNIT_EXPECT_EQ(test, 0, dtk_report(dev, "b", 0, DTK_GRANULE));
	KUNIT_EXPECT_EQ(test, 0, dtk_report(dev, "b", MIB, DTK_GRANULE));
	KUNIT_EXPECT_EQ(test, 0, dtk_reclaim(dev, "b", 0));
	DTK_EXPECT_DIRTY(dev, "b", "32-33,48-49");
	dtk_write(dev, 0, 64 * KIB);
	dtk_write(dev, 320 * KIB, 64 * KIB);
	dtk_freeze(dev, "b", ALWAYS, SET_BITMAP, NULL);
	DTK_EXPECT_DIRTY(dev, "b", "0,5,32-33,48-49");
	KUNIT_EXPECT_EQ(test, 0, dtk_report(dev, "b", 0, DTK_GRANULE));
	KUNIT_EXPECT_EQ(test, 0, dtk_report(dev, "b", 5 * DTK_GRANULE,
					    DTK_GRANULE));
	KUNIT_EXPECT_EQ(test, 0, dtk_report(dev, "b", 2 * MIB,
					    2 * DTK_GRANULE));
	KUNIT_EXPECT_EQ(test, 0, dtk_report(dev, "b", 3 * MIB,
					    2 * DTK_GRANULE));
	KUNIT_EXPECT_EQ(test, 0, dtk_abdicate(dev, "b", 0));
	DTK_EXPECT_DIRTY(dev, "b", "");
}

/* B33, B34: runs of several bitmaps do not know of each other. */
static void runs_of_two_bitmaps_are_apart(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "a");

	dtk_add(dev, "b", DTK_GRANULE);
	dtk_write(dev, 0, 512);
	dtk_freeze(dev, "a", CONDITIONAL, SET_BITMAP, NULL);
	dtk_write(dev, 1 * MIB, 512);
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	dtk_write(dev, 2 * MIB, 512);
	dtk_add(dev, "c", DTK_GRANULE);
	dtk_write(dev, 3 * MIB, 512);
	DTK_EXPECT_DIRTY(dev, "a", "0");
	DTK_EXPECT_SUCCESSOR(dev, "a", "16,32,48");
	DTK_EXPECT_DIRTY(dev, "b", "0,16");
	DTK_EXPECT_SUCCESSOR(dev, "b", "32,48");
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "c"));
	KUNIT_EXPECT_EQ(test, 0, dtk_abdicate(dev, "a", 0));
	KUNIT_EXPECT_EQ(test, 0, dtk_reclaim(dev, "b", 0));
	DTK_EXPECT_DIRTY(dev, "a", "16,32,48");
	DTK_EXPECT_DIRTY(dev, "b", "0,16,32,48");
	DTK_EXPECT_DIRTY(dev, "c", "");
}

/* ---- Generations ---- */

static void generation_steps_exactly_when_due(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_staging staging;
	u64 run;

#define EXPECT_GENERATION(n, call) do {					\
	KUNIT_EXPECT_EQ(test, 0, call);					\
	KUNIT_EXPECT_EQ_MSG(test, n, dtk_info(dev, "b")->generation, #call); \
} while (0)
	EXPECT_GENERATION(1, 0);
	EXPECT_GENERATION(2, dtk_named_clear(dev->t, "b"));
	EXPECT_GENERATION(3, dtk_named_disable(dev->t, "b"));
	EXPECT_GENERATION(3, dtk_named_disable(dev->t, "b"));
	EXPECT_GENERATION(4, dtk_named_clear(dev->t, "b"));
	EXPECT_GENERATION(4, dtk_named_enable(dev->t, "b"));
	EXPECT_GENERATION(4, dtk_named_enable(dev->t, "b"));
	EXPECT_GENERATION(4, dtk_named_merge(dev->t, "b", NULL, 0));
	EXPECT_GENERATION(4, !dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL));
	EXPECT_GENERATION(4, dtk_reclaim(dev, "b", 0));
	EXPECT_GENERATION(4, !dtk_freeze(dev, "b", NEVER, SET_BITMAP, NULL));
	EXPECT_GENERATION(4, dtk_reclaim(dev, "b", 0));
	KUNIT_EXPECT_EQ(test, 0, dtk_info(dev, "b")->last_run);
	run = dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	EXPECT_GENERATION(5, dtk_abdicate(dev, "b", 0));
	KUNIT_EXPECT_EQ(test, run, dtk_info(dev, "b")->last_run);
	run = dtk_freeze(dev, "b", ALWAYS, SET_BITMAP, NULL);
	EXPECT_GENERATION(6, dtk_reclaim(dev, "b", 0));
	KUNIT_EXPECT_EQ(test, run, dtk_info(dev, "b")->last_run);
	run = dtk_freeze(dev, "b", ALWAYS, SET_ALL, NULL);
	EXPECT_GENERATION(7, dtk_abdicate(dev, "b", 0));
	KUNIT_EXPECT_EQ(test, run, dtk_info(dev, "b")->last_run);
	EXPECT_GENERATION(7, dtr_named_load_begin(dev->t, "b", 0, &staging));
	EXPECT_GENERATION(8, dtr_named_load_commit(dev->t, "b", &staging,
						   false));
	EXPECT_GENERATION(8, dtr_named_load_begin(dev->t, "b", 0, &staging));
	EXPECT_GENERATION(9, dtr_named_load_commit(dev->t, "b", &staging,
						   true));
	dtr_bitmap_exit(&staging.bits);
	KUNIT_EXPECT_EQ(test, run, dtk_info(dev, "b")->last_run);
#undef EXPECT_GENERATION
}

/*
 * What a run copied while the bitmap did not record fits its generation: not
 * any more when it records again, for it missed writes (I8).
 */
static void enable_after_a_blind_run_steps_the_generation(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");

	KUNIT_ASSERT_EQ(test, 0, dtk_named_disable(dev->t, "b"));
	KUNIT_ASSERT_EQ(test, 0, dtk_named_enable(dev->t, "b"));
	KUNIT_EXPECT_EQ(test, 2, dtk_info(dev, "b")->generation);
	KUNIT_ASSERT_EQ(test, 0, dtk_named_disable(dev->t, "b"));
	dtk_freeze(dev, "b", CONDITIONAL, SET_ALL, NULL);
	KUNIT_ASSERT_EQ(test, 0, dtk_abdicate(dev, "b", 0));
	KUNIT_EXPECT_EQ(test, 4, dtk_info(dev, "b")->generation);
	KUNIT_EXPECT_EQ(test, DTRACK_BITMAP_MISSING, dtk_info(dev, "b")->flags);
	dtk_write_w(dev);
	KUNIT_ASSERT_EQ(test, 0, dtk_named_enable(dev->t, "b"));
	KUNIT_EXPECT_EQ(test, 5, dtk_info(dev, "b")->generation);
	KUNIT_EXPECT_EQ(test, DTRACK_BITMAP_RECORDING,
			dtk_info(dev, "b")->flags);
	KUNIT_ASSERT_EQ(test, 0, dtk_named_enable(dev->t, "b"));
	KUNIT_EXPECT_EQ(test, 5, dtk_info(dev, "b")->generation);
}

/* ---- Ownership ---- */

static int abdicate_by(struct dtk_dev *dev, const void *owner, u64 run)
{
	const struct dtr_run by = { .owner = owner, .run = run };
	u64 generation;

	return dtk_named_abdicate(dev->t, "b", &by, &generation);
}

static int reclaim_by(struct dtk_dev *dev, const void *owner, u64 run)
{
	const struct dtr_run by = { .owner = owner, .run = run };
	u64 generation;

	return dtk_named_reclaim(dev->t, "b", &by, &generation);
}

static int report_by(struct dtk_dev *dev, const void *owner, u64 run)
{
	const struct dtr_run by = { .owner = owner, .run = run };

	return dtr_named_report(dev->t, "b", &by, NULL, 0);
}

static void freeze_belongs_to_its_file(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	time64_t now = ktime_get_real_seconds();
	struct dtrack_bitmap_info *info;
	const char *before;
	u64 run;

	run = dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, &file_a);
	info = dtk_info(dev, "b");
	KUNIT_EXPECT_EQ(test, DTRACK_BITMAP_RECORDING | DTRACK_BITMAP_BUSY |
			DTRACK_BITMAP_OWNED, info->flags);
	KUNIT_EXPECT_EQ(test, task_tgid_vnr(current), info->owner_pid);
	KUNIT_EXPECT_STREQ(test, current->group_leader->comm, info->owner_comm);
	KUNIT_EXPECT_GE(test, info->owner_since, now);
	KUNIT_EXPECT_LE(test, info->owner_since, ktime_get_real_seconds());

	before = dtk_state(dev);
	KUNIT_EXPECT_EQ(test, -EBUSY, abdicate_by(dev, &file_b, run));
	KUNIT_EXPECT_EQ(test, -EBUSY, reclaim_by(dev, &file_b, run));
	KUNIT_EXPECT_EQ(test, -EBUSY, report_by(dev, &file_b, run));
	KUNIT_EXPECT_EQ(test, -EBUSY, abdicate_by(dev, &file_a, 0));
	KUNIT_EXPECT_EQ(test, -EBUSY, reclaim_by(dev, NULL, 0));
	KUNIT_EXPECT_EQ(test, -EBUSY, report_by(dev, NULL, 0));
	KUNIT_EXPECT_EQ(test, -ESTALE, abdicate_by(dev, &file_a, run + 1));
	KUNIT_EXPECT_EQ(test, -ESTALE, reclaim_by(dev, &file_a, run + 1));
	KUNIT_EXPECT_EQ(test, -ESTALE, report_by(dev, &file_a, run + 1));
	DTK_EXPECT_UNCHANGED(dev, before);
	KUNIT_EXPECT_EQ(test, 0, report_by(dev, &file_a, run));
	KUNIT_EXPECT_EQ(test, 0, abdicate_by(dev, &file_a, run));

	info = dtk_info(dev, "b");
	KUNIT_EXPECT_EQ(test, DTRACK_BITMAP_RECORDING, info->flags);
	KUNIT_EXPECT_EQ(test, 0, info->owner_pid);
	KUNIT_EXPECT_EQ(test, 0, info->owner_since);
	KUNIT_EXPECT_STREQ(test, "", info->owner_comm);
}

static void freeze_without_owner_is_anybody_s(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	u64 run = dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	struct dtrack_bitmap_info *info = dtk_info(dev, "b");

	KUNIT_EXPECT_EQ(test, DTRACK_BITMAP_RECORDING | DTRACK_BITMAP_BUSY,
			info->flags);
	KUNIT_EXPECT_EQ(test, 0, info->owner_pid);
	KUNIT_EXPECT_EQ(test, -ESTALE, abdicate_by(dev, NULL, run + 1));
	KUNIT_EXPECT_EQ(test, 0, report_by(dev, &file_b, run));
	KUNIT_EXPECT_EQ(test, 0, report_by(dev, NULL, 0));
	KUNIT_EXPECT_EQ(test, 0, reclaim_by(dev, &file_b, run));
}

/* Its owner learns that it was taken away, whatever has happened since. */
static void freeze_taken_away_is_stale(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	const struct dtr_run force = { .force = true };
	u64 run, next, generation;
	const char *before;

	dtk_write_w(dev);
	run = dtk_freeze(dev, "b", ALWAYS, SET_BITMAP, &file_a);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_reclaim(dev->t, "b", &force,
						   &generation));
	KUNIT_EXPECT_EQ(test, 2, generation);
	DTK_EXPECT_DIRTY(dev, "b", DTK_W);
	before = dtk_state(dev);
	KUNIT_EXPECT_EQ(test, -ESTALE, report_by(dev, &file_a, run));
	KUNIT_EXPECT_EQ(test, -ESTALE, abdicate_by(dev, &file_a, run));
	KUNIT_EXPECT_EQ(test, -ESTALE, reclaim_by(dev, &file_a, run));
	DTK_EXPECT_UNCHANGED(dev, before);

	next = dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, &file_a);
	KUNIT_EXPECT_NE(test, run, next);
	before = dtk_state(dev);
	KUNIT_EXPECT_EQ(test, -ESTALE, report_by(dev, &file_a, run));
	KUNIT_EXPECT_EQ(test, -ESTALE, abdicate_by(dev, &file_a, run));
	KUNIT_EXPECT_EQ(test, -ESTALE, reclaim_by(dev, &file_a, run));
	/* The close of the file that had it takes nothing from the new run. */
	dtr_named_reclaim_run(dev->t, &file_a, run);
	DTK_EXPECT_UNCHANGED(dev, before);
	dtr_named_reclaim_run(dev->t, &file_a, next);
	KUNIT_EXPECT_EQ(test, 0, dtk_info(dev, "b")->run);
}

static void freeze_of_the_unknown_is_refused(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	const char *before = dtk_state(dev);
	u64 run, generation;

	KUNIT_EXPECT_EQ(test, -EINVAL,
			dtk_named_freeze(dev->t, "b", ALWAYS + 1, SET_BITMAP,
					 NULL, &run, &generation));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			dtk_named_freeze(dev->t, "b", CONDITIONAL, SET_ALL + 1,
					 NULL, &run, &generation));
	DTK_EXPECT_UNCHANGED(dev, before);
}

/* ---- Reports ---- */

struct report_row {
	const char *desc;
	u32 set;
	struct dtrack_range range;
	int errno;
};

/* Of 1 MiB + 512 bytes with granule 16, the last one, and 0-1 dirty. */
static const struct report_row report_rows[] = {
	{ "in the set", SET_BITMAP, { 0, 64 * KIB }, 0 },
	{ "two granules", SET_BITMAP, { 0, 128 * KIB }, 0 },
	{ "the partial last granule", SET_BITMAP, { MIB, 512 }, 0 },
	{ "no bytes", SET_BITMAP, { 0, 0 }, -EINVAL },
	{ "outside the set", SET_BITMAP, { 2 * DTK_GRANULE, DTK_GRANULE },
	  -EINVAL },
	{ "outside the bitmap's set, all is", SET_ALL,
	  { 2 * DTK_GRANULE, DTK_GRANULE }, 0 },
	{ "partly outside the set", SET_BITMAP, { 0, 3 * DTK_GRANULE },
	  -EINVAL },
	{ "unaligned start", SET_ALL, { 512, 64 * KIB }, -EINVAL },
	{ "unaligned end", SET_ALL, { 0, 64 * KIB - 512 }, -EINVAL },
	{ "the end of the last granule", SET_ALL, { MIB, 64 * KIB }, -EINVAL },
	{ "beyond the end", SET_ALL, { 0, MIB + 1024 }, -EINVAL },
	{ "all", SET_ALL, { 0, MIB + 512 }, 0 },
	{ "start beyond the end", SET_ALL, { 2 * MIB, DTK_GRANULE }, -EINVAL },
	{ "a sum that overflows", SET_ALL, { DTK_GRANULE, ~0ULL }, -EINVAL },
	{ "a start that overflows", SET_ALL, { ~0ULL, 512 }, -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(report, report_rows, desc);

static void report_takes_whole_granules_of_the_set(struct kunit *test)
{
	const struct report_row *row = test->param_value;
	struct dtk_dev *dev = dtk_dev_create_with(test, MIB + 512, "b");
	const char *before;

	dtk_write(dev, 0, 128 * KIB);
	dtk_write(dev, MIB, 512);
	dtk_freeze(dev, "b", ALWAYS, row->set, NULL);
	before = dtk_state(dev);
	KUNIT_EXPECT_EQ(test, row->errno,
			dtk_report(dev, "b", row->range.start,
				   row->range.length));
	if (row->errno)
		DTK_EXPECT_UNCHANGED(dev, before);
	else
		KUNIT_EXPECT_STRNEQ(test, before, dtk_state(dev));
}

static void report_is_checked_whole_before_any_of_it_counts(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	const struct dtrack_range ranges[] = {
		{ 0, DTK_GRANULE }, { MIB, DTK_GRANULE },
		{ MIB + DTK_GRANULE, DTK_GRANULE },
	};
	const struct dtr_run by = { };
	const char *before;

	dtk_write_w(dev);
	dtk_freeze(dev, "b", ALWAYS, SET_BITMAP, NULL);
	before = dtk_state(dev);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			dtr_named_report(dev->t, "b", &by, ranges, 3));
	DTK_EXPECT_UNCHANGED(dev, before);
	KUNIT_EXPECT_EQ(test, 0,
			dtr_named_report(dev->t, "b", &by, ranges, 2));
	/* Again does no harm: the call may be repeated. */
	KUNIT_EXPECT_EQ(test, 0,
			dtr_named_report(dev->t, "b", &by, ranges, 2));
	KUNIT_EXPECT_EQ(test, 0, dtk_reclaim(dev, "b", 0));
	DTK_EXPECT_DIRTY(dev, "b", "32-33,48-49");
}

/* ---- What may be added ---- */

struct add_row {
	const char *desc;
	const char *name;
	u64 granularity;
	int errno;
};

static const struct add_row add_rows[] = {
	{ "default granularity", "b", 0, 0 },
	{ "512", "b", 512, 0 },
	{ "4096", "b", 4096, 0 },
	{ "2^30", "b", 1ULL << 30, 0 },
	{ "2^31", "b", 1ULL << 31, 0 },
	{ "1", "b", 1, -EINVAL },
	{ "256", "b", 256, -EINVAL },
	{ "511", "b", 511, -EINVAL },
	{ "513", "b", 513, -EINVAL },
	{ "2^32 - 1", "b", (1ULL << 32) - 1, -EINVAL },
	{ "2^32", "b", 1ULL << 32, -EINVAL },
	{ "2^63", "b", 1ULL << 63, -EINVAL },
	{ "empty name", "", 0, -EINVAL },
	{ "blank", "a b", 0, -EINVAL },
	{ "line feed", "a\nb", 0, -EINVAL },
	{ "delete", "a\x7f", 0, -EINVAL },
	{ "quote", "a\"b", 0, -EINVAL },
	{ "backslash", "a\\b", 0, -EINVAL },
	{ "colon", "a:b", 0, -EINVAL },
	{ "slash", "a/b", 0, -EINVAL },
	{ "UTF-8 of 2, 3 and 4 bytes", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xbe",
	  0, 0 },
	{ "a control character in UTF-8", "\xc2\x85", 0, -EINVAL },
	{ "overlong slash", "\xc0\xaf", 0, -EINVAL },
	{ "surrogate", "\xed\xa0\x80", 0, -EINVAL },
	{ "beyond Unicode", "\xf4\x90\x80\x80", 0, -EINVAL },
	{ "cut in a character", "a\xe2\x82", 0, -EINVAL },
	{ "a tail without a head", "\x80", 0, -EINVAL },
	{ "QEMU's own name for one", "bitmap0", 0, 0 },
	{ "taken", "taken", 0, -EEXIST },
	{ "taken, another granularity", "taken", 512, -EEXIST },
};

KUNIT_ARRAY_PARAM_DESC(add, add_rows, desc);

static void bitmap_is_added_with_valid_name_and_granularity(struct kunit *test)
{
	const struct add_row *row = test->param_value;
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "taken");
	const char *before = dtk_state(dev);
	struct dtrack_bitmap_info *info;
	uuid_t uuid = { };

	KUNIT_EXPECT_EQ(test, row->errno,
			dtk_named_add(dev->t, row->name, row->granularity,
				      false, &uuid));
	if (row->errno) {
		DTK_EXPECT_UNCHANGED(dev, before);
		return;
	}
	info = dtk_info(dev, row->name);
	KUNIT_EXPECT_STREQ(test, row->name, info->name);
	KUNIT_EXPECT_MEMEQ(test, uuid.b, info->uuid, DTRACK_UUID_LEN);
	KUNIT_EXPECT_EQ(test, row->granularity ? row->granularity : 64 * KIB,
			info->granularity);
	KUNIT_EXPECT_EQ(test, 1, info->generation);
	KUNIT_EXPECT_EQ(test, DTK_SIZE, info->bytes);
	KUNIT_EXPECT_EQ(test, DTK_SIZE, info->device_size);
	KUNIT_EXPECT_EQ(test, 0, info->count);
	KUNIT_EXPECT_EQ(test, DTRACK_BITMAP_RECORDING, info->flags);
}

static void name_has_1023_bytes_at_most(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);
	char *name = kunit_kzalloc(test, 1025, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, name);
	memset(name, 'x', 1024);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			dtk_named_add(dev->t, name, 0, false, NULL));
	KUNIT_EXPECT_EQ(test, 0, dev->t->nr_bitmaps);
	name[1023] = '\0';
	KUNIT_EXPECT_EQ(test, 0, dtk_named_add(dev->t, name, 0, false, NULL));
	KUNIT_EXPECT_STREQ(test, name, dtk_info(dev, name)->name);
}

static void device_has_256_bitmaps_at_most(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create(test, DTK_SIZE);
	struct dtrack_bitmap_info *info;
	char name[8];
	unsigned int i;

	for (i = 0; i < DTRACK_MAX_BITMAPS; i++) {
		snprintf(name, sizeof(name), "%u", i);
		KUNIT_ASSERT_EQ(test, 0, dtk_named_add(dev->t, name, 0, true,
						       NULL));
	}
	KUNIT_EXPECT_EQ(test, -EOVERFLOW,
			dtk_named_add(dev->t, "more", 0, true, NULL));
	KUNIT_EXPECT_EQ(test, DTRACK_MAX_BITMAPS, dev->t->nr_bitmaps);
	info = dtk_info(dev, "255");
	KUNIT_EXPECT_EQ(test, -ENOENT, dtk_info_error(dev, "more", info));
	KUNIT_EXPECT_EQ(test, 0, dtk_named_remove(dev->t, "17"));
	KUNIT_EXPECT_EQ(test, 0, dtk_named_add(dev->t, "more", 0, true, NULL));
}

/*
 * 1 TiB at 64 KiB: 2^24 bits, 512 leaves, 2 MiB and some summaries.  The first
 * bitmap needs that twice, for the live map is as large.
 */
static void memory_of_a_device_is_limited(struct kunit *test)
{
	u64 tib = 1ULL << 40, one = dtr_bitmap_max_bytes(tib, 16);
	struct dtk_dev *dev;

	dtk_set_max_memory(7);
	KUNIT_EXPECT_EQ(test, 7 * MIB, dtr_tracker_max_memory());
	KUNIT_ASSERT_LT(test, 3 * one, 7 * MIB);
	KUNIT_ASSERT_GT(test, 4 * one, 7 * MIB);
	dev = dtk_dev_create_with(test, tib, "a");
	dtk_add(dev, "b", 64 * KIB);
	KUNIT_EXPECT_EQ(test, -EOVERFLOW,
			dtk_named_add(dev->t, "c", 64 * KIB, true, NULL));
	/* A finer one makes a finer live map. */
	KUNIT_EXPECT_EQ(test, 0, dtk_named_remove(dev->t, "b"));
	KUNIT_EXPECT_EQ(test, -EOVERFLOW,
			dtk_named_add(dev->t, "b", 32 * KIB, true, NULL));
	KUNIT_EXPECT_EQ(test, 0,
			dtk_named_add(dev->t, "b", 64 * KIB, true, NULL));
	KUNIT_EXPECT_EQ(test, 2, dev->t->nr_bitmaps);
}

/* ---- Without memory ---- */

/* As control.c does it: granule 40 is staged, exactly or not at all. */
static int load(struct cell *c, bool merge)
{
	static const u64 bits = BIT_ULL(40);
	struct dtr_staging staging = { };
	int r = dtr_named_load_begin(c->t, "b", 0, &staging);

	if (r)
		return r;
	dtr_bitmap_put_bits(&staging.bits, 0, 64, &bits);
	r = dtr_bitmap_nr_degraded(&staging.bits) ? -ENOMEM :
		dtr_named_load_commit(c->t, "b", &staging, merge);
	dtr_bitmap_exit(&staging.bits);
	return r;
}

static int load_replace(struct cell *c)
{
	return load(c, false);
}

static int load_unite(struct cell *c)
{
	return load(c, true);
}

static int freeze_all_always(struct cell *c)
{
	u64 run, generation;

	return dtk_named_freeze(c->t, "b", ALWAYS, SET_ALL, &file_a, &run,
				&generation);
}

struct memory_row {
	const char *desc;
	int (*run)(struct cell *c);
};

static int add_another(struct cell *c)
{
	return dtk_named_add(c->t, "another", 512, false, NULL);
}

static const struct memory_row memory_rows[] = {
	{ "add", add_another },
	{ "clear", do_clear },
	{ "disable", do_disable },
	{ "freeze conditional", do_freeze_conditional },
	{ "freeze always", do_freeze_always },
	{ "freeze all always", freeze_all_always },
	{ "merge", do_merge_into },
	{ "load", load_replace },
	{ "load and merge", load_unite },
};

KUNIT_ARRAY_PARAM_DESC(memory, memory_rows, desc);

/*
 * Each allocation of each operation fails once.  Busy bitmaps of other runs are
 * there, and must not notice.
 */
static void operation_without_memory_changes_nothing(struct kunit *test)
{
	const struct memory_row *row = test->param_value;
	struct cell *c = cell_create(test);
	const char *before, *other;
	unsigned int n;
	int r;

	dtk_write_w(c->other);
	dtk_freeze(c->dev, "w", ALWAYS, SET_ALL, NULL);
	/* Once more, so that each successor and base has its leaf. */
	dtk_write_w(c->dev);
	dtk_freeze(c->dev, "b", NEVER, SET_BITMAP, NULL);
	KUNIT_ASSERT_EQ(test, 0, dtk_reclaim(c->dev, "b", 0));
	dtk_write_d(c->dev);
	before = dtk_state(c->dev);
	other = dtk_state(c->other);
	for (n = 1; ; n++) {
		dtk_fail_nth(n);
		r = row->run(c);
		if (!dtk_fail_end())
			break;
		KUNIT_ASSERT_EQ_MSG(test, -ENOMEM, r, "allocation %u", n);
		DTK_EXPECT_UNCHANGED(c->dev, before);
		DTK_EXPECT_UNCHANGED(c->other, other);
	}
	KUNIT_EXPECT_EQ(test, 0, r);
	KUNIT_EXPECT_GT(test, n, 1);
}

/* Removing gives memory back and must not need any: the live map stays fine. */
static void remove_needs_no_memory(struct kunit *test)
{
	struct cell *c = cell_create(test);

	dtk_fail_all();
	KUNIT_EXPECT_EQ(test, 0, dtk_named_remove(c->t, "w"));
	KUNIT_EXPECT_GT(test, dtk_fail_end(), 0);
	KUNIT_EXPECT_EQ(test, 1, c->t->nr_bitmaps);
	KUNIT_EXPECT_EQ(test, 12, dtk_epoch(c->dev)->map.shift);
	DTK_EXPECT_DIRTY(c->dev, "b", DTK_W);
}

/* Nor must the end of a run: a killed process cannot try again. */
static void end_of_a_run_needs_no_memory(struct kunit *test)
{
	static const struct {
		u32 mode;
		enum end end;
		const char *dirty;
	} rows[] = {
		{ CONDITIONAL, ABDICATE, DTK_D },
		{ CONDITIONAL, RECLAIM, DTK_W_OR_D },
		{ NEVER, CLOSE, DTK_W_OR_D },
		{ ALWAYS, RECLAIM, DTK_W_OR_D },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
		u64 run;

		dtk_write_w(dev);
		run = dtk_freeze(dev, "b", rows[i].mode, SET_BITMAP, &file_a);
		dtk_write_d(dev);
		dtk_fail_all();
		KUNIT_EXPECT_EQ(test, 0, end_run(dev, rows[i].end, run));
		dtk_fail_end();
		DTK_EXPECT_DIRTY(dev, "b", rows[i].dirty);
		KUNIT_EXPECT_EQ(test, 0, dtk_info(dev, "b")->run);
	}
}

/*
 * Without memory for the leaf that a set of everything needs when a part of it
 * is reported: refused, to be repeated, and nothing is clean that was not
 * copied.
 */
static void report_without_memory_may_be_repeated(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");

	dtk_freeze(dev, "b", ALWAYS, SET_ALL, NULL);
	dtk_fail_all();
	KUNIT_EXPECT_EQ(test, -ENOMEM, dtk_report(dev, "b", 0, MIB));
	KUNIT_EXPECT_EQ(test, 1, dtk_fail_end());
	KUNIT_EXPECT_EQ(test, 0, dtk_report(dev, "b", MIB, MIB));
	KUNIT_EXPECT_EQ(test, 0, dtk_reclaim(dev, "b", 0));
	DTK_EXPECT_DIRTY(dev, "b", "0-15,32-63");
}

/* ---- Reading ---- */

struct count_row {
	const char *desc;
	u64 size, granularity, start;
	u64 count;
};

/* T11, T12: counts are cut at the device's end. */
static const struct count_row count_rows[] = {
	{ "the tail", MIB + 512, 64 * KIB, MIB, 512 },
	{ "before the tail", MIB + 512, 64 * KIB, MIB - 512, 64 * KIB },
	{ "a granule larger than the device", 64 * KIB, 1ULL << 31, 512,
	  64 * KIB },
	{ "an even end", MIB, 64 * KIB, MIB - 512, 64 * KIB },
};

KUNIT_ARRAY_PARAM_DESC(count, count_rows, desc);

/* In the live map, in the base, in the successor. */
static void count_is_cut_at_the_end(struct kunit *test)
{
	const struct count_row *row = test->param_value;
	struct dtk_dev *dev = dtk_dev_create(test, row->size);

	dtk_add(dev, "fine", 512);
	dtk_add(dev, "b", row->granularity);
	dtk_write(dev, row->start, 512);
	KUNIT_EXPECT_EQ(test, row->count, dtk_info(dev, "b")->count);
	dtk_freeze(dev, "b", CONDITIONAL, SET_BITMAP, NULL);
	KUNIT_EXPECT_EQ(test, row->count, dtk_info(dev, "b")->count);
	KUNIT_EXPECT_EQ(test, 0, dtk_info(dev, "b")->successor_count);
	dtk_write(dev, row->start, 512);
	KUNIT_EXPECT_EQ(test, row->count, dtk_info(dev, "b")->count);
	KUNIT_EXPECT_EQ(test, row->count, dtk_info(dev, "b")->successor_count);
	KUNIT_EXPECT_EQ(test, 512, dtk_info(dev, "fine")->count);
}

static void extents_follow_cursor_and_generation(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtrack_ioc_extents *arg;
	struct dtrack_range range[2];

	arg = kunit_kzalloc(test, sizeof(*arg), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, arg);
	strscpy(arg->name, "b", sizeof(arg->name));
	dtk_write_w(dev);
	KUNIT_EXPECT_EQ(test, 0, dtr_named_extents(dev->t, arg, range, 2));
	KUNIT_EXPECT_EQ(test, 2, arg->nr);
	KUNIT_EXPECT_EQ(test, 0, range[0].start);
	KUNIT_EXPECT_EQ(test, 64 * KIB, range[0].length);
	KUNIT_EXPECT_EQ(test, MIB, range[1].start);
	KUNIT_EXPECT_EQ(test, 64 * KIB, range[1].length);
	KUNIT_EXPECT_EQ(test, MIB + 64 * KIB, arg->cursor);
	KUNIT_EXPECT_EQ(test, 1, arg->generation);
	/* From within a run: the rest of it. */
	arg->cursor = 2 * MIB + 64 * KIB;
	KUNIT_EXPECT_EQ(test, 0, dtr_named_extents(dev->t, arg, range, 2));
	KUNIT_EXPECT_EQ(test, 2 * MIB + 64 * KIB, range[0].start);
	KUNIT_EXPECT_EQ(test, 64 * KIB, range[0].length);
	KUNIT_EXPECT_EQ(test, 3 * MIB, range[1].start);
	KUNIT_EXPECT_EQ(test, 128 * KIB, range[1].length);
	KUNIT_EXPECT_EQ(test, 0, dtr_named_extents(dev->t, arg, range, 2));
	KUNIT_EXPECT_EQ(test, 0, arg->nr);
	KUNIT_EXPECT_EQ(test, DTK_SIZE, arg->cursor);
	arg->cursor = DTK_SIZE + 1;
	KUNIT_EXPECT_EQ(test, -EINVAL, dtr_named_extents(dev->t, arg, range, 2));
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	arg->cursor = 0;
	KUNIT_EXPECT_EQ(test, -ESTALE, dtr_named_extents(dev->t, arg, range, 2));
	arg->generation = 2;
	KUNIT_EXPECT_EQ(test, 0, dtr_named_extents(dev->t, arg, range, 2));
	KUNIT_EXPECT_EQ(test, 0, arg->nr);
}

static struct kunit_case lifecycle_cases[] = {
	KUNIT_CASE_PARAM(operation_is_allowed_by_the_state, cell_gen_params),
	KUNIT_CASE_PARAM(run_ends_as_mode_and_set_say, outcome_gen_params),
	KUNIT_CASE(differential_accumulates),
	KUNIT_CASE(resumed_run_copies_the_rest),
	KUNIT_CASE(runs_of_two_bitmaps_are_apart),
	KUNIT_CASE(generation_steps_exactly_when_due),
	KUNIT_CASE(enable_after_a_blind_run_steps_the_generation),
	KUNIT_CASE(freeze_belongs_to_its_file),
	KUNIT_CASE(freeze_without_owner_is_anybody_s),
	KUNIT_CASE(freeze_taken_away_is_stale),
	KUNIT_CASE(freeze_of_the_unknown_is_refused),
	KUNIT_CASE_PARAM(report_takes_whole_granules_of_the_set,
			 report_gen_params),
	KUNIT_CASE(report_is_checked_whole_before_any_of_it_counts),
	KUNIT_CASE_PARAM(bitmap_is_added_with_valid_name_and_granularity,
			 add_gen_params),
	KUNIT_CASE(name_has_1023_bytes_at_most),
	KUNIT_CASE(device_has_256_bitmaps_at_most),
	KUNIT_CASE(memory_of_a_device_is_limited),
	KUNIT_CASE_PARAM(operation_without_memory_changes_nothing,
			 memory_gen_params),
	KUNIT_CASE(remove_needs_no_memory),
	KUNIT_CASE(end_of_a_run_needs_no_memory),
	KUNIT_CASE(report_without_memory_may_be_repeated),
	KUNIT_CASE_PARAM(count_is_cut_at_the_end, count_gen_params),
	KUNIT_CASE(extents_follow_cursor_and_generation),
	{ }
};

struct kunit_suite dtk_lifecycle_suite = {
	.name = "dirtytrack-lifecycle",
	.suite_init = dtk_suite_init,
	.suite_exit = dtk_suite_exit,
	.init = dtk_case_init,
	.exit = dtk_case_exit,
	.test_cases = lifecycle_cases,
};
