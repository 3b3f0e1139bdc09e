// SPDX-License-Identifier: GPL-2.0-only
/*
 * fixture.c - tracked devices, and what their bitmaps say, for the suites.
 */
#include "fixture.h"

/* ---- Suites and cases ---- */

/* The slab cache complains at the suite's end when a leaf was not given back. */
int dtk_suite_init(struct kunit_suite *suite)
{
	return dtr_leaf_init();
}

void dtk_suite_exit(struct kunit_suite *suite)
{
	dtr_leaf_exit();
}

int dtk_case_init(struct kunit *test)
{
	dtk_hooks_reset();
	return 0;
}

/* Also when the case has been given up in the middle. */
void dtk_case_exit(struct kunit *test)
{
	dtk_hooks_reset();
	dtk_reset_parameters();
}

/* ---- Devices ---- */

/* The last table of the device is destroyed; done at the case's end anyhow. */
void dtk_dev_remove(struct dtk_dev *dev)
{
	if (dev->t)
		dtr_tracker_detach(dev->t);
	dev->t = NULL;
}

static void dev_destroy(void *arg)
{
	struct dtk_dev *dev = arg;

	dtk_dev_remove(dev);
	put_disk(dev->disk);
}

/* A number that no other device of the test has. */
static int next_minor(void)
{
	static int minor;

	return minor++;
}

/* A mapped device that has a table for @size bytes, resumed, and no bitmap. */
struct dtk_dev *dtk_dev_create(struct kunit *test, u64 size)
{
	struct dtk_dev *dev = kunit_kzalloc(test, sizeof(*dev), GFP_KERNEL);
	struct dtk_line line = { .size = size };

	KUNIT_ASSERT_NOT_NULL(test, dev);
	dev->test = test;
	dev->disk = blk_alloc_disk(NULL, NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev->disk);
	dev->disk->major = 253;
	dev->disk->first_minor = next_minor();
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, dev_destroy, dev));
	dev->t = dtr_tracker_attach((struct mapped_device *)dev->disk);
	KUNIT_ASSERT_NOT_NULL(test, dev->t);
	KUNIT_ASSERT_EQ(test, 0, dtk_reload(dev, &line));
	return dev;
}

/* The same, with a bitmap of the fixture's granularity. */
struct dtk_dev *dtk_dev_create_with(struct kunit *test, u64 size,
				    const char *name)
{
	struct dtk_dev *dev = dtk_dev_create(test, size);

	dtk_add(dev, name, DTK_GRANULE);
	return dev;
}

/* As device-mapper does when it swaps in a read-only table. */
void dtk_dev_set_ro(struct dtk_dev *dev, bool ro)
{
	if (ro)
		set_bit(GD_READ_ONLY, &dev->disk->state);
	else
		clear_bit(GD_READ_ONLY, &dev->disk->state);
}

/* ---- Tables ---- */

/* The constructor; dtk_load_end() is its destructor, on failure too. */
int dtk_load_begin(struct dtk_dev *dev, const struct dtk_line *line,
		   struct dtk_load *load)
{
	struct dtr_plan *plan = &load->plan;
	int r = 0;

	dtr_plan_init(plan);
	load->dev = dev;
	load->nr = ++dev->nr_tables;
	load->error = NULL;
	plan->size = line->size;
	plan->lower = MKDEV(7, line->lower);
	plan->lower_start = line->lower_start;
	plan->same_data = line->same_data;
	KUNIT_ASSERT_PTR_EQ(dev->test, dev->t,
			    dtr_tracker_attach((struct mapped_device *)dev->disk));
	if (line->bitmap)
		r = dtr_plan_add_bitmap(plan, dev->t, line->bitmap,
					line->granularity, line->clean,
					&load->error);
	return r ? r : dtr_plan_prepare(plan, dev->t, &load->error);
}

/* Of a table only its address is looked at. */
struct dm_table *dtk_table(unsigned long nr)
{
	return (struct dm_table *)nr;
}

/* A table that was replaced and whose dtk_load has ended. */
void dtk_table_destroy(struct dtk_dev *dev, unsigned long nr)
{
	struct dtr_plan plan;

	dtr_plan_init(&plan);
	dtr_tracker_forget_table(dev->t, &plan, dtk_table(nr));
}

/* As device-mapper does: suspend, swap, resume, destroy. */
void dtk_load_resume(struct dtk_load *load)
{
	struct dtk_dev *dev = load->dev;
	unsigned long before = dev->live;

	if (before)
		dtr_tracker_suspended(dev->t, dtk_table(before));
	if (before != load->nr)
		dtr_plan_swap_in(&load->plan);
	dtr_tracker_adopt(dev->t, &load->plan, dtk_table(load->nr));
	dev->live = load->nr;
	if (before && before != load->nr)
		dtk_table_destroy(dev, before);
}

/* Another target replaces the live table. */
void dtk_other_table(struct dtk_dev *dev)
{
	dtr_tracker_suspended(dev->t, dtk_table(dev->live));
	dtk_table_destroy(dev, dev->live);
	dev->live = 0;
}

/* The test's own part of a table; a live one goes on without it. */
void dtk_load_end(struct dtk_load *load)
{
	if (load->dev->live != load->nr)
		dtr_tracker_forget_table(load->dev->t, &load->plan,
					 dtk_table(load->nr));
	dtr_plan_exit(&load->plan);
	dtr_tracker_detach(load->dev->t);
}

/* Loads a table and resumes it; errno of the constructor. */
int dtk_reload(struct dtk_dev *dev, const struct dtk_line *line)
{
	struct dtk_load load;
	int r = dtk_load_begin(dev, line, &load);

	if (!r)
		dtk_load_resume(&load);
	else
		KUNIT_EXPECT_NOT_NULL(dev->test, load.error);
	dtk_load_end(&load);
	return r;
}

/* ---- Operations that have to succeed, or whose errno is the result ---- */

/* Transactions of one action; @a has what is special about it. */
static int transact_one(struct dtr_action *a, enum dtrack_action_type type,
			struct dtr_tracker *t, const char *name)
{
	unsigned int failed;

	a->type = type;
	a->t = t;
	a->name = name;
	return dtr_transact(a, 1, &failed);
}

int dtk_named_add(struct dtr_tracker *t, const char *name, u64 granularity,
		  bool disabled, uuid_t *uuid)
{
	struct dtr_action a = {
		.granularity = granularity,
		.disabled = disabled,
	};
	int r = transact_one(&a, DTRACK_ACTION_ADD, t, name);

	if (uuid)
		*uuid = a.uuid;
	return r;
}

int dtk_named_remove(struct dtr_tracker *t, const char *name)
{
	struct dtr_action a = { };

	return transact_one(&a, DTRACK_ACTION_REMOVE, t, name);
}

int dtk_named_clear(struct dtr_tracker *t, const char *name)
{
	struct dtr_action a = { };

	return transact_one(&a, DTRACK_ACTION_CLEAR, t, name);
}

int dtk_named_enable(struct dtr_tracker *t, const char *name)
{
	struct dtr_action a = { };

	return transact_one(&a, DTRACK_ACTION_ENABLE, t, name);
}

int dtk_named_disable(struct dtr_tracker *t, const char *name)
{
	struct dtr_action a = { };

	return transact_one(&a, DTRACK_ACTION_DISABLE, t, name);
}

int dtk_named_merge(struct dtr_tracker *t, const char *name,
		    const struct dtr_source *sources, unsigned int nr)
{
	struct dtr_action a = { .sources = sources, .nr_sources = nr };

	return transact_one(&a, DTRACK_ACTION_MERGE, t, name);
}

int dtk_named_freeze(struct dtr_tracker *t, const char *name, u32 mode, u32 set,
		     const void *owner, u64 *run, u64 *generation)
{
	struct dtr_action a = { .mode = mode, .set = set, .owner = owner };
	int r = transact_one(&a, DTRACK_ACTION_FREEZE, t, name);

	*run = a.run;
	*generation = a.generation;
	return r;
}

static int end_named(enum dtrack_action_type type, struct dtr_tracker *t,
		     const char *name, const struct dtr_run *run,
		     u64 *generation)
{
	struct dtr_action a = {
		.owner = run->owner,
		.run = run->run,
		.force = run->force,
	};
	int r = transact_one(&a, type, t, name);

	*generation = a.generation;
	return r;
}

int dtk_named_abdicate(struct dtr_tracker *t, const char *name,
		       const struct dtr_run *run, u64 *generation)
{
	return end_named(DTRACK_ACTION_ABDICATE, t, name, run, generation);
}

int dtk_named_reclaim(struct dtr_tracker *t, const char *name,
		      const struct dtr_run *run, u64 *generation)
{
	return end_named(DTRACK_ACTION_RECLAIM, t, name, run, generation);
}

void dtk_add(struct dtk_dev *dev, const char *name, u64 granularity)
{
	KUNIT_ASSERT_EQ(dev->test, 0,
			dtk_named_add(dev->t, name, granularity, false, NULL));
}

u64 dtk_freeze(struct dtk_dev *dev, const char *name, u32 mode, u32 set,
	       const void *owner)
{
	u64 run = 0, generation = 0;

	KUNIT_ASSERT_EQ(dev->test, 0,
			dtk_named_freeze(dev->t, name, mode, set, owner, &run,
					 &generation));
	KUNIT_EXPECT_NE(dev->test, 0, run);
	KUNIT_EXPECT_EQ(dev->test, dtk_info(dev, name)->generation, generation);
	return run;
}

/* Of a freeze without owner; @run may be 0. */
int dtk_abdicate(struct dtk_dev *dev, const char *name, u64 run)
{
	struct dtr_run by = { .run = run };
	u64 generation;

	return dtk_named_abdicate(dev->t, name, &by, &generation);
}

int dtk_reclaim(struct dtk_dev *dev, const char *name, u64 run)
{
	struct dtr_run by = { .run = run };
	u64 generation;

	return dtk_named_reclaim(dev->t, name, &by, &generation);
}

int dtk_report(struct dtk_dev *dev, const char *name, u64 start, u64 length)
{
	struct dtrack_range range = { .start = start, .length = length };
	struct dtr_run by = { };

	return dtr_named_report(dev->t, name, &by, &range, 1);
}

/* ---- Writes ---- */

/* A write of bytes, whole sectors, goes down. */
void dtk_begin(struct dtk_dev *dev, struct dtr_write *w, u64 start, u64 len)
{
	dtr_write_begin(&dev->t->clock, w, start >> SECTOR_SHIFT,
			len >> SECTOR_SHIFT);
}

/* It comes back. */
void dtk_end(struct dtk_dev *dev, struct dtr_write *w)
{
	dtr_write_end(&dev->t->clock, w);
}

void dtk_write(struct dtk_dev *dev, u64 start, u64 len)
{
	struct dtr_write w;

	dtk_begin(dev, &w, start, len);
	dtk_end(dev, &w);
}

void dtk_write_w(struct dtk_dev *dev)
{
	dtk_write(dev, 0, 64 * KIB);
	dtk_write(dev, 1 * MIB, 64 * KIB);
	dtk_write(dev, 2 * MIB, 128 * KIB);
	dtk_write(dev, 3 * MIB + 32 * KIB, 64 * KIB);
}

void dtk_write_d(struct dtk_dev *dev)
{
	dtk_write(dev, 64 * KIB, 64 * KIB);
	dtk_write(dev, 2 * MIB, 64 * KIB);
}

/* ---- What the bitmaps say ---- */

#define TEXT_BYTES	4096

struct text {
	char *s;
	int len;
};

static void text_init(struct kunit *test, struct text *text)
{
	text->len = 0;
	text->s = kunit_kzalloc(test, TEXT_BYTES, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, text->s);
}

static __printf(2, 3) void text_add(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text->len += vscnprintf(text->s + text->len, TEXT_BYTES - text->len,
				format, args);
	va_end(args);
}

int dtk_info_error(struct dtk_dev *dev, const char *name,
		   struct dtrack_bitmap_info *info)
{
	struct dtrack_ioc_info *arg;
	int r;

	arg = kunit_kzalloc(dev->test, sizeof(*arg), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(dev->test, arg);
	strscpy(arg->name, name, sizeof(arg->name));
	r = dtr_tracker_info(dev->t, arg, info, 1);
	kunit_kfree(dev->test, arg);
	return r;
}

struct dtrack_bitmap_info *dtk_info(struct dtk_dev *dev, const char *name)
{
	struct dtrack_bitmap_info *info;

	info = kunit_kzalloc(dev->test, sizeof(*info), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(dev->test, info);
	KUNIT_ASSERT_EQ_MSG(dev->test, 0, dtk_info_error(dev, name, info),
			    "info of bitmap '%s'", name);
	return info;
}

/* Appends @nr ranges of whole granules; *@bytes is their sum so far. */
static void add_ranges(struct text *text, const struct dtrack_range *ranges,
		       u32 nr, u64 granularity, u64 *bytes)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		u64 first = div64_u64(ranges[i].start, granularity);
		u64 last = div64_u64(ranges[i].start + ranges[i].length - 1,
				     granularity);

		text_add(text, "%s%llu", text->len ? "," : "", first);
		if (last != first)
			text_add(text, "-%llu", last);
		*bytes += ranges[i].length;
	}
}

/*
 * Walks with a cursor, three extents at a time, so that the cursor is in use.
 * That the extents are as long as the count says is checked by the way.
 */
static const char *extents_text(struct dtk_dev *dev, const char *name,
				u32 flags)
{
	struct dtrack_bitmap_info *info = dtk_info(dev, name);
	struct dtrack_ioc_extents *arg;
	struct dtrack_range ranges[3];
	struct text text;
	u64 bytes = 0;
	int r;

	text_init(dev->test, &text);
	arg = kunit_kzalloc(dev->test, sizeof(*arg), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(dev->test, arg);
	strscpy(arg->name, name, sizeof(arg->name));
	arg->flags = flags;
	do {
		r = dtr_named_extents(dev->t, arg, ranges, ARRAY_SIZE(ranges));
		if (r) {
			text_add(&text, "errno %d", r);
			return text.s;
		}
		add_ranges(&text, ranges, arg->nr, info->granularity, &bytes);
	} while (arg->nr);
	KUNIT_EXPECT_EQ_MSG(dev->test, bytes,
			    flags ? info->successor_count : info->count,
			    "the extents of '%s' are not as long as its count",
			    name);
	kunit_kfree(dev->test, arg);
	return text.s;
}

const char *dtk_dirty(struct dtk_dev *dev, const char *name)
{
	return extents_text(dev, name, 0);
}

const char *dtk_successor(struct dtk_dev *dev, const char *name)
{
	return extents_text(dev, name, DTRACK_EXTENTS_SUCCESSOR);
}

static const char *todo_text(struct dtk_dev *dev, struct dtr_named *n)
{
	const struct dtr_bitmap *todo = &n->freeze->todo;
	u64 bit = 0, end;
	struct text text;

	text_init(dev->test, &text);
	while (dtr_bitmap_next_dirty_area(todo, bit, todo->nr_bits,
					  todo->nr_bits, &bit, &end)) {
		text_add(&text, "%s%llu-%llu", text.len ? "," : "", bit,
			 end - 1);
		bit = end;
	}
	return text.s;
}

static void add_bitmap(struct dtk_dev *dev, struct dtr_named *n,
		       struct text *text)
{
	struct dtrack_bitmap_info *info = dtk_info(dev, n->name);

	text_add(text, "%s %pUb g%llu r%llx l%llx m%u s%u f%x F%llu: %s",
		 n->name, &n->uuid, info->generation, info->run, info->last_run,
		 info->mode, info->set, info->flags, info->full_leaves,
		 dtk_dirty(dev, n->name));
	if (n->freeze) {
		text_add(text, " + %s", dtk_successor(dev, n->name));
		if (dtr_freeze_keeps_todo(n->freeze))
			text_add(text, " todo %s", todo_text(dev, n));
	}
	text_add(text, "\n");
}

/* Everything about all bitmaps of a device, for comparing. */
const char *dtk_state(struct dtk_dev *dev)
{
	struct dtr_named *n;
	struct text text;

	text_init(dev->test, &text);
	text_add(&text, "%llu bytes, %u bitmaps\n", dev->t->size,
		 dev->t->nr_bitmaps);
	list_for_each_entry(n, &dev->t->bitmaps, link)
		add_bitmap(dev, n, &text);
	KUNIT_ASSERT_LT(dev->test, text.len, TEXT_BYTES - 1);
	return text.s;
}

/* The current epoch: nobody but the test rotates. */
struct dtr_epoch *dtk_epoch(struct dtk_dev *dev)
{
	return rcu_dereference_protected(dev->t->clock.epoch, true);
}

/* Epochs that wait for their writes, after the reaper has had its turn. */
unsigned int dtk_retired(struct dtk_dev *dev)
{
	struct list_head *at;
	unsigned int nr = 0;

	flush_work(&dev->t->reap);
	mutex_lock(&dev->t->mutex);
	list_for_each(at, &dev->t->clock.retired)
		nr++;
	mutex_unlock(&dev->t->mutex);
	return nr;
}
