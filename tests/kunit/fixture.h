/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fixture.h - tracked devices, and what their bitmaps say, for the suites.
 *
 * A set of granules is written as text, such as "0,16,32-33,48-49", each
 * numbered by the bitmap's own granularity; "" is clean.  What a test expects
 * is such a text, so that a difference shows in full.
 */
#ifndef DTK_FIXTURE_H
#define DTK_FIXTURE_H

#include <kunit/test.h>

#include "subject.h"

#include "continuity.h"
#include "freeze.h"
#include "lifecycle.h"
#include "plan.h"

extern struct kunit_suite dtk_core_suite;
extern struct kunit_suite dtk_epoch_suite;
extern struct kunit_suite dtk_target_suite;
extern struct kunit_suite dtk_lifecycle_suite;
extern struct kunit_suite dtk_merge_suite;
extern struct kunit_suite dtk_table_suite;
extern struct kunit_suite dtk_transaction_suite;

#define KIB		(1ULL << 10)
#define MIB		(1ULL << 20)

/* QEMU's fixture: 4 MiB, 64 KiB granules, writes W before and D during. */
#define DTK_SIZE	(4 * MIB)
#define DTK_GRANULE	(64 * KIB)
#define DTK_W		"0,16,32-33,48-49"
#define DTK_D		"1,32"
#define DTK_W_OR_D	"0-1,16,32-33,48-49"
#define DTK_ALL		"0-63"

/**
 * struct dtk_dev - a tracked device, with one table.
 * @test: whose
 * @disk: stands for the mapped device
 * @t: NULL after dtk_dev_remove()
 * @nr_tables: that there were
 * @live: number of the live table, 0: none of ours
 */
struct dtk_dev {
	struct kunit *test;
	struct gendisk *disk;
	struct dtr_tracker *t;
	unsigned long nr_tables;
	unsigned long live;
};

/**
 * struct dtk_line - what a table line says.
 * @size: bytes
 * @lower: device below, a number
 * @lower_start: bytes
 * @same_data: as the option
 * @clean: as the option
 * @bitmap: name of a bitmap, or NULL
 * @granularity: of @bitmap
 */
struct dtk_line {
	u64 size;
	unsigned int lower;
	u64 lower_start;
	bool same_data;
	bool clean;
	const char *bitmap;
	u64 granularity;
};

/**
 * struct dtk_load - a line that was loaded and not resumed yet.
 * @plan: from the constructor
 * @dev: whose
 * @nr: number of the table
 * @error: what the constructor complained about
 */
struct dtk_load {
	struct dtr_plan plan;
	struct dtk_dev *dev;
	unsigned long nr;
	char *error;
};

int dtk_suite_init(struct kunit_suite *suite);
void dtk_suite_exit(struct kunit_suite *suite);
int dtk_case_init(struct kunit *test);
void dtk_case_exit(struct kunit *test);

struct dtk_dev *dtk_dev_create(struct kunit *test, u64 size);
struct dtk_dev *dtk_dev_create_with(struct kunit *test, u64 size,
				    const char *name);
void dtk_dev_remove(struct dtk_dev *dev);
void dtk_dev_set_ro(struct dtk_dev *dev, bool ro);

int dtk_load_begin(struct dtk_dev *dev, const struct dtk_line *line,
		   struct dtk_load *load);
void dtk_load_resume(struct dtk_load *load);
struct dm_table *dtk_table(unsigned long nr);
void dtk_table_destroy(struct dtk_dev *dev, unsigned long nr);
void dtk_other_table(struct dtk_dev *dev);
void dtk_load_end(struct dtk_load *load);
int dtk_reload(struct dtk_dev *dev, const struct dtk_line *line);

int dtk_named_add(struct dtr_tracker *t, const char *name, u64 granularity,
		  bool disabled, uuid_t *uuid);
int dtk_named_remove(struct dtr_tracker *t, const char *name);
int dtk_named_clear(struct dtr_tracker *t, const char *name);
int dtk_named_enable(struct dtr_tracker *t, const char *name);
int dtk_named_disable(struct dtr_tracker *t, const char *name);
int dtk_named_merge(struct dtr_tracker *t, const char *name,
		    const struct dtr_source *sources, unsigned int nr);
int dtk_named_freeze(struct dtr_tracker *t, const char *name, u32 mode, u32 set,
		     const void *owner, u64 *run, u64 *generation);
int dtk_named_abdicate(struct dtr_tracker *t, const char *name,
		       const struct dtr_run *run, u64 *generation);
int dtk_named_reclaim(struct dtr_tracker *t, const char *name,
		      const struct dtr_run *run, u64 *generation);
void dtk_add(struct dtk_dev *dev, const char *name, u64 granularity);
u64 dtk_freeze(struct dtk_dev *dev, const char *name, u32 mode, u32 set,
	       const void *owner);
int dtk_abdicate(struct dtk_dev *dev, const char *name, u64 run);
int dtk_reclaim(struct dtk_dev *dev, const char *name, u64 run);
int dtk_report(struct dtk_dev *dev, const char *name, u64 start, u64 length);

void dtk_begin(struct dtk_dev *dev, struct dtr_write *w, u64 start, u64 len);
void dtk_end(struct dtk_dev *dev, struct dtr_write *w);
void dtk_write(struct dtk_dev *dev, u64 start, u64 len);
void dtk_write_w(struct dtk_dev *dev);
void dtk_write_d(struct dtk_dev *dev);

int dtk_info_error(struct dtk_dev *dev, const char *name,
		   struct dtrack_bitmap_info *info);
struct dtrack_bitmap_info *dtk_info(struct dtk_dev *dev, const char *name);
const char *dtk_dirty(struct dtk_dev *dev, const char *name);
const char *dtk_successor(struct dtk_dev *dev, const char *name);
const char *dtk_state(struct dtk_dev *dev);
struct dtr_epoch *dtk_epoch(struct dtk_dev *dev);
unsigned int dtk_retired(struct dtk_dev *dev);

#define DTK_EXPECT_DIRTY(dev, name, granules) do {			\
	struct dtk_dev *__dev = (dev);					\
									\
	KUNIT_EXPECT_STREQ(__dev->test, dtk_dirty(__dev, name), granules); \
} while (0)

#define DTK_EXPECT_SUCCESSOR(dev, name, granules) do {			\
	struct dtk_dev *__dev = (dev);					\
									\
	KUNIT_EXPECT_STREQ(__dev->test, dtk_successor(__dev, name), granules); \
} while (0)

/* @state: from dtk_state() */
#define DTK_EXPECT_UNCHANGED(dev, state) do {				\
	struct dtk_dev *__dev = (dev);					\
									\
	KUNIT_EXPECT_STREQ(__dev->test, dtk_state(__dev), state);	\
} while (0)

#endif
