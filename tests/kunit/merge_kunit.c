// SPDX-License-Identifier: GPL-2.0-only
/*
 * merge_kunit.c - content that comes from elsewhere: merging and loading.
 */
#include "fixture.h"

/* ---- Merging (SEMANTICS M01-M10) ---- */

/**
 * struct merge_row - one source into one target.
 * @desc: shown
 * @from: granularity of the source
 * @into: granularity of the target
 * @write: into the source, bytes; length 0: no more
 * @own: into the target
 * @dirty: the target afterwards
 */
struct merge_row {
	const char *desc;
	u64 from, into;
	struct dtrack_range write[2];
	struct dtrack_range own[2];
	const char *dirty;
};

static const struct merge_row merge_rows[] = {
	{ "M01: 4K into 64K", 4 * KIB, 64 * KIB,
	  { { 4096, 4096 }, { MIB - 4096, 8192 } }, { }, "0,15-16" },
	{ "M01: 4K into 1M", 4 * KIB, MIB,
	  { { 4096, 4096 }, { MIB - 4096, 8192 } }, { }, "0-1" },
	{ "M02: 1M into 4K", MIB, 4 * KIB,
	  { { 4096, 4096 }, { MIB - 4096, 8192 } }, { }, "0-511" },
	{ "M03: 64K into a 4K of its own", 64 * KIB, 4 * KIB,
	  { { 0, 512 }, { MIB - 4096, 8192 } },
	  { { 4096, 4096 }, { MIB - 4096, 8192 } }, "0-15,240-271" },
	{ "the same granularity", 64 * KIB, 64 * KIB,
	  { { 0, 512 } }, { { 64 * KIB, 512 }, { MIB, 512 } }, "0-1,16" },
	{ "nothing", 64 * KIB, 64 * KIB, { }, { { MIB, 512 } }, "16" },
	{ "everything", 4 * KIB, 64 * KIB, { { 0, DTK_SIZE } }, { }, DTK_ALL },
};

KUNIT_ARRAY_PARAM_DESC(merge, merge_rows, desc);

static void write_all(struct dtk_dev *dev, const struct dtrack_range *ranges)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (ranges[i].length)
			dtk_write(dev, ranges[i].start, ranges[i].length);
}

static int merge_one(struct dtk_dev *into, const char *name,
		     struct dtk_dev *from, const char *source_name)
{
	const struct dtr_source source = { .t = from->t, .name = source_name };

	return dtk_named_merge(into->t, name, &source, 1);
}

/* From another device of the size, whether the source is idle or disabled. */
static void merge_rounds_outward(struct kunit *test)
{
	const struct merge_row *row = test->param_value;
	struct dtk_dev *into = dtk_dev_create(test, DTK_SIZE);
	struct dtk_dev *from = dtk_dev_create(test, DTK_SIZE);
	const char *before;

	dtk_add(into, "a", row->into);
	dtk_add(into, "b", row->into);
	dtk_add(from, "s", row->from);
	write_all(into, row->own);
	write_all(from, row->write);
	before = dtk_state(from);
	KUNIT_EXPECT_EQ(test, 0, merge_one(into, "a", from, "s"));
	DTK_EXPECT_DIRTY(into, "a", row->dirty);
	DTK_EXPECT_UNCHANGED(from, before);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_disable(from->t, "s"));
	KUNIT_EXPECT_EQ(test, 0, merge_one(into, "b", from, "s"));
	DTK_EXPECT_DIRTY(into, "b", row->dirty);
	/* M10: the target goes on recording. */
	dtk_write(into, DTK_SIZE - 512, 512);
	KUNIT_EXPECT_EQ(test, dtk_info(into, "a")->count,
			dtk_info(into, "b")->count);
	KUNIT_EXPECT_EQ(test, 1, dtk_info(into, "a")->generation);
}

static void merge_with_itself_changes_nothing(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	const char *before;

	dtk_write_w(dev);
	before = dtk_state(dev);
	KUNIT_EXPECT_EQ(test, 0, merge_one(dev, "b", dev, "b"));
	DTK_EXPECT_UNCHANGED(dev, before);
}

/* M09: where QEMU crashes. */
static void merge_of_nothing_changes_nothing(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	const char *before;

	dtk_write_w(dev);
	before = dtk_state(dev);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_merge(dev->t, "b", NULL, 0));
	DTK_EXPECT_UNCHANGED(dev, before);
	KUNIT_EXPECT_EQ(test, -ENOENT, dtk_named_merge(dev->t, "x", NULL, 0));
}

static void merge_keeps_flag_and_source(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "a");

	dtk_add(dev, "b", DTK_GRANULE);
	dtk_write_w(dev);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_disable(dev->t, "a"));
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	dtk_write_d(dev);
	KUNIT_EXPECT_EQ(test, 0, merge_one(dev, "a", dev, "b"));
	DTK_EXPECT_DIRTY(dev, "a", DTK_W_OR_D);
	DTK_EXPECT_DIRTY(dev, "b", DTK_D);
	KUNIT_EXPECT_EQ(test, 0,
			dtk_info(dev, "a")->flags & DTRACK_BITMAP_RECORDING);
}

enum second {
	FINE,
	MISSING,
	BUSY,
	OTHER_SIZE,
	GONE,
};

struct refusal_row {
	const char *desc;
	enum second second;
	int errno;
};

static const struct refusal_row refusal_rows[] = {
	{ "fine", FINE, 0 },
	{ "M05: missing", MISSING, -ENOENT },
	{ "busy", BUSY, -EBUSY },
	{ "M06, M08: of another size", OTHER_SIZE, -ERANGE },
	{ "of a device that is gone", GONE, -ENODEV },
};

KUNIT_ARRAY_PARAM_DESC(refusal, refusal_rows, desc);

/* I6: the first source is fine, and is not merged when the second is not. */
static void merge_takes_all_sources_or_none(struct kunit *test)
{
	const struct refusal_row *row = test->param_value;
	u64 size = row->second == OTHER_SIZE ? 2 * DTK_SIZE : DTK_SIZE;
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtk_dev *second = dtk_dev_create_with(test, size, "s");
	struct dtr_tracker *t = dtr_tracker_get(second->t);
	struct dtr_source sources[] = {
		{ .t = dev->t, .name = "first" },
		{ .t = t, .name = "s" },
	};
	const char *before;

	dtk_add(dev, "first", 4 * KIB);
	dtk_write(dev, 0, 512);
	KUNIT_ASSERT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	dtk_write(dev, 3 * MIB, 512);
	dtk_write(second, MIB, 512);
	DTK_EXPECT_DIRTY(dev, "b", "48");
	before = dtk_state(dev);
	if (row->second == MISSING)
		sources[1].name = "missing";
	if (row->second == BUSY)
		dtk_freeze(second, "s", DTRACK_MODE_NEVER, DTRACK_SET_BITMAP,
			   NULL);
	if (row->second == GONE)
		dtk_dev_remove(second);
	KUNIT_EXPECT_EQ(test, row->errno,
			dtk_named_merge(dev->t, "b", sources, 2));
	if (row->errno)
		DTK_EXPECT_UNCHANGED(dev, before);
	else
		DTK_EXPECT_DIRTY(dev, "b", "0,16,48");
	dtr_tracker_put(t);
}

/* A source that says too much for want of memory says so in the target. */
static void merge_passes_full_leaves_on(struct kunit *test)
{
	struct dtk_dev *from, *into;

	dtk_set_leaf_reserve(0);
	from = dtk_dev_create_with(test, 4096 * MIB, "s");
	into = dtk_dev_create_with(test, 4096 * MIB, "b");
	dtk_fail_all();
	dtk_write(from, 0, 512);
	KUNIT_EXPECT_EQ(test, 1, dtk_fail_end());
	KUNIT_EXPECT_EQ(test, 0, merge_one(into, "b", from, "s"));
	DTK_EXPECT_DIRTY(into, "b", "0-32767");
	KUNIT_EXPECT_EQ(test, 1, dtk_info(into, "b")->full_leaves);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(into->t, "b"));
	KUNIT_EXPECT_EQ(test, 0, dtk_info(into, "b")->full_leaves);
}

/* ---- Loading ---- */

/* Stages granules 0 and 63 for "b"; the test gives the staging back. */
static void stage(struct dtk_dev *dev, struct dtr_staging *staging)
{
	static const u64 bits = BIT_ULL(63) | BIT_ULL(0);

	KUNIT_ASSERT_EQ(dev->test, 0,
			dtr_named_load_begin(dev->t, "b", 0, staging));
	KUNIT_ASSERT_EQ(dev->test, 64, staging->bits.nr_bits);
	dtr_bitmap_put_bits(&staging->bits, 0, 64, &bits);
}

static void load_replaces_the_content(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_staging staging;

	dtk_write_w(dev);
	stage(dev, &staging);
	/* Until it is committed nobody sees it, nor does it miss a write. */
	dtk_write(dev, 2 * MIB, 512);
	DTK_EXPECT_DIRTY(dev, "b", DTK_W);
	KUNIT_EXPECT_EQ(test, 0, dtr_named_load_commit(dev->t, "b", &staging,
						       false));
	dtr_bitmap_exit(&staging.bits);
	DTK_EXPECT_DIRTY(dev, "b", "0,63");
	KUNIT_EXPECT_EQ(test, 2, dtk_info(dev, "b")->generation);
	dtk_write(dev, MIB, 512);
	DTK_EXPECT_DIRTY(dev, "b", "0,16,63");
}

static void load_may_unite(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_staging staging;

	dtk_write_w(dev);
	stage(dev, &staging);
	KUNIT_EXPECT_EQ(test, 0, dtr_named_load_commit(dev->t, "b", &staging,
						       true));
	dtr_bitmap_exit(&staging.bits);
	DTK_EXPECT_DIRTY(dev, "b", "0,16,32-33,48-49,63");
	KUNIT_EXPECT_EQ(test, 2, dtk_info(dev, "b")->generation);
}

static void load_keeps_the_recording_flag(struct kunit *test)
{
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_staging staging;

	KUNIT_EXPECT_EQ(test, 0, dtk_named_disable(dev->t, "b"));
	stage(dev, &staging);
	KUNIT_EXPECT_EQ(test, 0, dtr_named_load_commit(dev->t, "b", &staging,
						       false));
	dtr_bitmap_exit(&staging.bits);
	dtk_write(dev, MIB, 512);
	DTK_EXPECT_DIRTY(dev, "b", "0,63");
	KUNIT_EXPECT_EQ(test, 0, dtk_info(dev, "b")->flags);
}

enum change {
	NONE,
	MERGED,
	ENABLED_AGAIN,
	RUN_RECLAIMED,
	CLEARED,
	DISABLED,
	ABDICATED,
	ALWAYS_RUN,
	LOADED,
	REPLACED,
	REMOVED,
	FROZEN,
	GROWN,
	SHRUNK,
	MOVED,
};

struct stale_row {
	const char *desc;
	enum change change;
	int errno;
};

static const struct stale_row stale_rows[] = {
	{ "nothing", NONE, 0 },
	{ "merged into", MERGED, 0 },
	{ "enabled though it was", ENABLED_AGAIN, 0 },
	{ "a run that was reclaimed", RUN_RECLAIMED, 0 },
	{ "cleared", CLEARED, -ESTALE },
	{ "disabled", DISABLED, -ESTALE },
	{ "a run that was abdicated", ABDICATED, -ESTALE },
	{ "an 'always' run", ALWAYS_RUN, -ESTALE },
	{ "loaded by another", LOADED, -ESTALE },
	{ "removed, another of its name", REPLACED, -ESTALE },
	{ "removed", REMOVED, -ENOENT },
	{ "frozen", FROZEN, -EBUSY },
	{ "device grown", GROWN, -ESTALE },
	{ "device shrunk", SHRUNK, -ESTALE },
	{ "device below replaced", MOVED, -ESTALE },
};

KUNIT_ARRAY_PARAM_DESC(stale, stale_rows, desc);

static int run_once(struct dtk_dev *dev, u32 mode, bool abdicate)
{
	dtk_freeze(dev, "b", mode, DTRACK_SET_BITMAP, NULL);
	return abdicate ? dtk_abdicate(dev, "b", 0) : dtk_reclaim(dev, "b", 0);
}

static int load_another(struct dtk_dev *dev)
{
	struct dtr_staging staging;
	int r;

	stage(dev, &staging);
	r = dtr_named_load_commit(dev->t, "b", &staging, true);
	dtr_bitmap_exit(&staging.bits);
	return r;
}

static int replace(struct dtk_dev *dev)
{
	int r = dtk_named_remove(dev->t, "b");

	return r ? r : dtk_named_add(dev->t, "b", DTK_GRANULE, false, NULL);
}

static int change(struct dtk_dev *dev, enum change change)
{
	struct dtk_line line = { .size = DTK_SIZE };

	switch (change) {
	case NONE:
		return 0;
	case MERGED:
		return merge_one(dev, "b", dev, "other");
	case ENABLED_AGAIN:
		return dtk_named_enable(dev->t, "b");
	case RUN_RECLAIMED:
		return run_once(dev, DTRACK_MODE_CONDITIONAL, false);
	case CLEARED:
		return dtk_named_clear(dev->t, "b");
	case DISABLED:
		return dtk_named_disable(dev->t, "b");
	case ABDICATED:
		return run_once(dev, DTRACK_MODE_CONDITIONAL, true);
	case ALWAYS_RUN:
		return run_once(dev, DTRACK_MODE_ALWAYS, false);
	case LOADED:
		return load_another(dev);
	case REPLACED:
		return replace(dev);
	case REMOVED:
		return dtk_named_remove(dev->t, "b");
	case FROZEN:
		dtk_freeze(dev, "b", DTRACK_MODE_NEVER, DTRACK_SET_BITMAP,
			   NULL);
		return 0;
	case GROWN:
		line.size = DTK_SIZE + MIB;
		break;
	case SHRUNK:
		line.size = DTK_SIZE - MIB;
		break;
	case MOVED:
		line.lower = 1;
		break;
	}
	return dtk_reload(dev, &line);
}

static void load_is_for_the_bitmap_as_it_was(struct kunit *test)
{
	const struct stale_row *row = test->param_value;
	struct dtk_dev *dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	struct dtr_staging staging;
	const char *before;

	dtk_add(dev, "other", 4 * KIB);
	stage(dev, &staging);
	KUNIT_ASSERT_EQ(test, 0, change(dev, row->change));
	before = dtk_state(dev);
	KUNIT_EXPECT_EQ(test, row->errno,
			dtr_named_load_commit(dev->t, "b", &staging, false));
	if (row->errno)
		DTK_EXPECT_UNCHANGED(dev, before);
	else
		DTK_EXPECT_DIRTY(dev, "b", "0,63");
	dtr_bitmap_exit(&staging.bits);
}

/* ---- Raw bits ---- */

struct bits_row {
	const char *desc;
	u64 start, length;
	int errno;
	u8 bits[2];
	u64 bytes;
};

/* Of 1 MiB + 512 bytes, 17 granules, with 0, 9 and 16 dirty. */
static const struct bits_row bits_rows[] = {
	{ "all", 0, MIB + 512, 0, { 0x01, 0x02 }, 3 },
	{ "the first eight", 0, 512 * KIB, 0, { 0x01 }, 1 },
	{ "the tail", MIB, 512, 0, { 0x01 }, 1 },
	{ "nothing", 0, 0, -EINVAL },
	{ "a start that is no multiple of 8", 64 * KIB, 512 * KIB, -EINVAL },
	{ "a length that is none", 0, 64 * KIB, -EINVAL },
	{ "beyond the end", 0, 2 * MIB, -EINVAL },
	{ "a sum that overflows", 512 * KIB, ~0ULL, -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(bits, bits_rows, desc);

/* From the live map, from the base, and from both. */
static void bits_are_read_by_chunk(struct kunit *test)
{
	const struct bits_row *row = test->param_value;
	struct dtk_dev *dev = dtk_dev_create_with(test, MIB + 512, "b");
	struct dtrack_ioc_bits *arg;
	unsigned int i;
	u8 buf[8];

	arg = kunit_kzalloc(test, sizeof(*arg), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, arg);
	dtk_add(dev, "fine", 4 * KIB);
	dtk_write(dev, 0, 512);
	for (i = 0; i < 3; i++) {
		if (i == 1)
			KUNIT_EXPECT_EQ(test, 0, run_once(dev, 0, false));
		if (i < 2) {
			dtk_write(dev, 9 * DTK_GRANULE, 512);
			dtk_write(dev, MIB, 512);
		} else {
			KUNIT_EXPECT_EQ(test, 0,
					dtk_named_disable(dev->t, "b"));
		}
		memset(arg, 0, sizeof(*arg));
		memset(buf, 0, sizeof(buf));
		strscpy(arg->name, "b", sizeof(arg->name));
		arg->start = row->start;
		arg->length = row->length;
		KUNIT_EXPECT_EQ(test, row->errno,
				dtr_named_get_bits(dev->t, arg, buf));
		if (row->errno)
			continue;
		KUNIT_EXPECT_EQ(test, row->bytes, arg->length);
		KUNIT_EXPECT_MEMEQ(test, buf, row->bits, 2);
		KUNIT_EXPECT_EQ(test, row->bytes == 3, buf[2]);
		KUNIT_EXPECT_EQ(test, dtk_info(dev, "b")->generation,
				arg->generation);
	}
}

static struct kunit_case merge_cases[] = {
	KUNIT_CASE_PARAM(merge_rounds_outward, merge_gen_params),
	KUNIT_CASE(merge_with_itself_changes_nothing),
	KUNIT_CASE(merge_of_nothing_changes_nothing),
	KUNIT_CASE(merge_keeps_flag_and_source),
	KUNIT_CASE_PARAM(merge_takes_all_sources_or_none, refusal_gen_params),
	KUNIT_CASE(merge_passes_full_leaves_on),
	KUNIT_CASE(load_replaces_the_content),
	KUNIT_CASE(load_may_unite),
	KUNIT_CASE(load_keeps_the_recording_flag),
	KUNIT_CASE_PARAM(load_is_for_the_bitmap_as_it_was, stale_gen_params),
	KUNIT_CASE_PARAM(bits_are_read_by_chunk, bits_gen_params),
	{ }
};

struct kunit_suite dtk_merge_suite = {
	.name = "dirtytrack-merge",
	.suite_init = dtk_suite_init,
	.suite_exit = dtk_suite_exit,
	.init = dtk_case_init,
	.exit = dtk_case_exit,
	.test_cases = merge_cases,
};
