// SPDX-License-Identifier: GPL-2.0-only
/*
 * target_kunit.c - what the target makes of a bio.
 *
 * The target has no table and its device below no driver: map and end_io are
 * called as device-mapper calls them, and nothing is submitted.
 */
#include "fixture.h"
#include "rotation.h"

#define LOWER_START	2048	/* sectors */

struct target {
	struct dtk_dev *dev;
	struct dm_target *ti;
	struct dtk_bio io;
};

static void target_destroy(void *arg)
{
	dtk_target_destroy(arg);
}

/* A bitmap "b" on 4 MiB, and a target whose lower device is that disk itself. */
static struct target *target_create(struct kunit *test)
{
	struct target *target = kunit_kzalloc(test, sizeof(*target), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, target);
	target->dev = dtk_dev_create_with(test, DTK_SIZE, "b");
	target->ti = dtk_target_create(target->dev->t, target->dev->disk->part0,
				       LOWER_START);
	KUNIT_ASSERT_NOT_NULL(test, target->ti);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, target_destroy,
							   target->ti));
	return target;
}

/* A bio of bytes arrives; the one before it is forgotten. */
static void map(struct target *target, blk_opf_t opf, u64 start, u64 len)
{
	struct kunit *test = target->dev->test;
	struct bio *bio = &target->io.bio;

	/* As dm does: the data of a bio is not cleared for us. */
	memset(&target->io, 0xa5, sizeof(target->io));
	bio_init(bio, target->dev->disk->part0, NULL, 0, opf);
	bio->bi_iter.bi_sector = start >> SECTOR_SHIFT;
	bio->bi_iter.bi_size = len;
	KUNIT_ASSERT_EQ(test, DM_MAPIO_REMAPPED,
			dtk_target_map(target->ti, bio));
	KUNIT_EXPECT_PTR_EQ(test, target->dev->disk->part0, bio->bi_bdev);
	KUNIT_EXPECT_EQ(test, (start >> SECTOR_SHIFT) + LOWER_START,
			bio->bi_iter.bi_sector);
	KUNIT_EXPECT_EQ(test, len, bio->bi_iter.bi_size);
}

static void end_io(struct target *target, blk_status_t error)
{
	struct bio *bio = &target->io.bio;

	/* The driver below has advanced the bio: it is not to be believed. */
	bio->bi_iter.bi_sector += bio_sectors(bio);
	bio->bi_iter.bi_size = 0;
	KUNIT_EXPECT_EQ(target->dev->test, DM_ENDIO_DONE,
			dtk_target_end_io(target->ti, bio, error));
}

struct op_row {
	const char *desc;
	blk_opf_t opf;
	u64 start, len;
	const char *dirty;
};

static const struct op_row op_rows[] = {
	{ "read", REQ_OP_READ, MIB, 64 * KIB, "" },
	{ "write", REQ_OP_WRITE, MIB, 128 * KIB, "16-17" },
	{ "write with FUA", REQ_OP_WRITE | REQ_FUA, MIB, 512, "16" },
	{ "write with NOWAIT", REQ_OP_WRITE | REQ_NOWAIT, MIB, 512, "16" },
	{ "write after a flush", REQ_OP_WRITE | REQ_PREFLUSH, MIB, 512, "16" },
	{ "flush", REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, "" },
	{ "discard", REQ_OP_DISCARD, 0, 4 * MIB, DTK_ALL },
	{ "secure erase", REQ_OP_SECURE_ERASE, MIB, 2 * MIB, "16-47" },
	{ "write zeroes", REQ_OP_WRITE_ZEROES, MIB + 512, 64 * KIB, "16-17" },
	{ "zone append", REQ_OP_ZONE_APPEND, MIB, 4096, "16" },
	{ "an operation that is not known yet", (__force blk_opf_t)29, MIB,
	  4096, "16" },
};

KUNIT_ARRAY_PARAM_DESC(op, op_rows, desc);

static void bio_marks_by_its_operation(struct kunit *test)
{
	const struct op_row *row = test->param_value;
	struct target *target = target_create(test);

	map(target, row->opf, row->start, row->len);
	DTK_EXPECT_DIRTY(target->dev, "b", row->dirty);
	end_io(target, BLK_STS_OK);
	DTK_EXPECT_DIRTY(target->dev, "b", row->dirty);
	KUNIT_EXPECT_TRUE(test, dtr_epoch_idle(dtk_epoch(target->dev)));
}

/* The same across a freeze: what ends afterwards is in the successor. */
static void bio_across_freeze_is_in_the_successor(struct kunit *test)
{
	const struct op_row *row = test->param_value;
	struct target *target = target_create(test);

	map(target, row->opf, row->start, row->len);
	dtk_freeze(target->dev, "b", DTRACK_MODE_CONDITIONAL, DTRACK_SET_BITMAP,
		   NULL);
	DTK_EXPECT_SUCCESSOR(target->dev, "b", "");
	end_io(target, BLK_STS_OK);
	DTK_EXPECT_DIRTY(target->dev, "b", row->dirty);
	DTK_EXPECT_SUCCESSOR(target->dev, "b", row->dirty);
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(target->dev));
}

struct error_row {
	const char *desc;
	blk_status_t error;
};

static const struct error_row error_rows[] = {
	{ "success", BLK_STS_OK },
	{ "I/O error", BLK_STS_IOERR },
	{ "no space", BLK_STS_NOSPC },
	{ "try again", BLK_STS_AGAIN },
	{ "requeue", BLK_STS_DM_REQUEUE },
};

KUNIT_ARRAY_PARAM_DESC(error, error_rows, desc);

/* T08, I2: a write that fails may have changed the data all the same. */
static void failed_write_is_dirty(struct kunit *test)
{
	const struct error_row *row = test->param_value;
	struct target *target = target_create(test);

	map(target, REQ_OP_WRITE, MIB, 64 * KIB);
	end_io(target, row->error);
	DTK_EXPECT_DIRTY(target->dev, "b", "16");
	KUNIT_EXPECT_TRUE(test, dtr_epoch_idle(dtk_epoch(target->dev)));
}

static void failed_write_across_freeze_is_in_the_successor(struct kunit *test)
{
	const struct error_row *row = test->param_value;
	struct target *target = target_create(test);

	map(target, REQ_OP_WRITE, MIB, 64 * KIB);
	dtk_freeze(target->dev, "b", DTRACK_MODE_CONDITIONAL, DTRACK_SET_BITMAP,
		   NULL);
	end_io(target, row->error);
	DTK_EXPECT_SUCCESSOR(target->dev, "b", "16");
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(target->dev));
}

/* Sent down again it is another write, of the epoch that is current then. */
static void requeued_write_is_counted_afresh(struct kunit *test)
{
	struct target *target = target_create(test);
	struct dtk_dev *dev = target->dev;

	map(target, REQ_OP_WRITE, MIB, 64 * KIB);
	end_io(target, BLK_STS_DM_REQUEUE);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(dev));
	DTK_EXPECT_DIRTY(dev, "b", "");
	map(target, REQ_OP_WRITE, MIB, 64 * KIB);
	DTK_EXPECT_DIRTY(dev, "b", "16");
	dtk_freeze(dev, "b", DTRACK_MODE_CONDITIONAL, DTRACK_SET_BITMAP, NULL);
	KUNIT_EXPECT_EQ(test, 1, dtk_retired(dev));
	end_io(target, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(dev));
	DTK_EXPECT_SUCCESSOR(dev, "b", "16");
}

/* ---- Counters ---- */

/* "nr bytes" of writes, discards, zeroes and others. */
static const char *writes(struct target *target)
{
	struct kunit *test = target->dev->test;
	struct dtr_tracker *t = target->dev->t;
	char *text = kunit_kzalloc(test, 128, GFP_KERNEL);
	struct dtrack_writes w;

	KUNIT_ASSERT_NOT_NULL(test, text);
	mutex_lock(&t->mutex);
	dtr_tracker_writes_locked(t, &w);
	mutex_unlock(&t->mutex);
	KUNIT_EXPECT_TRUE(test, w.idle == U64_MAX || w.idle < 60000);
	snprintf(text, 128, "%llu %llu, %llu %llu, %llu %llu, %llu %llu%s",
		 w.writes.nr, w.writes.bytes, w.discards.nr, w.discards.bytes,
		 w.zeroes.nr, w.zeroes.bytes, w.others.nr, w.others.bytes,
		 w.idle == U64_MAX ? ", never" : "");
	return text;
}

static void request(struct target *target, blk_opf_t opf, u64 start, u64 len)
{
	map(target, opf, start, len);
	end_io(target, BLK_STS_OK);
}

/* Each kind by itself, whatever the CPU, the epoch, and whether it failed. */
static void writes_are_counted_by_kind(struct kunit *test)
{
	struct target *target = target_create(test);
	struct dtk_dev *dev = target->dev;

	KUNIT_EXPECT_STREQ(test, "0 0, 0 0, 0 0, 0 0, never", writes(target));
	request(target, REQ_OP_READ, 0, 4096);
	request(target, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0);
	KUNIT_EXPECT_STREQ(test, "0 0, 0 0, 0 0, 0 0, never", writes(target));
	dtk_hooks.cpu = 1;
	request(target, REQ_OP_WRITE, 0, 512);
	dtk_hooks.cpu = 2;
	request(target, REQ_OP_WRITE | REQ_FUA, 0, 4096);
	request(target, REQ_OP_DISCARD, 0, 4 * MIB);
	KUNIT_EXPECT_STREQ(test, "2 4608, 1 4194304, 0 0, 0 0", writes(target));
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(dev->t, "b"));
	KUNIT_EXPECT_STREQ(test, "2 4608, 1 4194304, 0 0, 0 0", writes(target));
	request(target, REQ_OP_WRITE_ZEROES, 0, MIB);
	request(target, REQ_OP_WRITE_ZEROES, 0, MIB);
	request(target, REQ_OP_SECURE_ERASE, 0, 512);
	request(target, (__force blk_opf_t)29, 0, 1024);
	map(target, REQ_OP_WRITE, 0, 512);
	end_io(target, BLK_STS_IOERR);
	KUNIT_EXPECT_STREQ(test, "3 5120, 1 4194304, 2 2097152, 2 1536",
			   writes(target));
}

/* Before it is submitted, once, in whatever epoch it ends. */
static void write_across_freeze_is_counted_once(struct kunit *test)
{
	struct target *target = target_create(test);

	map(target, REQ_OP_WRITE, MIB, 64 * KIB);
	KUNIT_EXPECT_STREQ(test, "1 65536, 0 0, 0 0, 0 0", writes(target));
	dtk_freeze(target->dev, "b", DTRACK_MODE_CONDITIONAL, DTRACK_SET_BITMAP,
		   NULL);
	KUNIT_EXPECT_STREQ(test, "1 65536, 0 0, 0 0, 0 0", writes(target));
	end_io(target, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, 0, dtk_retired(target->dev));
	KUNIT_EXPECT_STREQ(test, "1 65536, 0 0, 0 0, 0 0", writes(target));
}

/* More milliseconds, and even more jiffies, than 32 bits have. */
static void device_is_idle_for_two_years(struct kunit *test)
{
	const u64 years = 2 * 365ULL * 24 * 3600;
	struct target *target = target_create(test);
	struct dtr_tracker *t = target->dev->t;
	struct dtrack_writes w;

	request(target, REQ_OP_WRITE, 0, 512);
	KUNIT_EXPECT_EQ(test, 0, dtk_named_clear(t, "b"));
	mutex_lock(&t->mutex);
	t->writes.last = get_jiffies_64() - years * HZ;
	dtr_tracker_writes_locked(t, &w);
	mutex_unlock(&t->mutex);
	KUNIT_EXPECT_EQ(test, 1, w.writes.nr);
	KUNIT_EXPECT_GE(test, w.idle, years * MSEC_PER_SEC);
	KUNIT_EXPECT_LT(test, w.idle, (years + 60) * MSEC_PER_SEC);
}

static struct kunit_case target_cases[] = {
	KUNIT_CASE_PARAM(bio_marks_by_its_operation, op_gen_params),
	KUNIT_CASE_PARAM(bio_across_freeze_is_in_the_successor, op_gen_params),
	KUNIT_CASE_PARAM(failed_write_is_dirty, error_gen_params),
	KUNIT_CASE_PARAM(failed_write_across_freeze_is_in_the_successor,
			 error_gen_params),
	KUNIT_CASE(requeued_write_is_counted_afresh),
	KUNIT_CASE(writes_are_counted_by_kind),
	KUNIT_CASE(write_across_freeze_is_counted_once),
	KUNIT_CASE(device_is_idle_for_two_years),
	{ }
};

struct kunit_suite dtk_target_suite = {
	.name = "dirtytrack-target",
	.suite_init = dtk_suite_init,
	.suite_exit = dtk_suite_exit,
	.init = dtk_case_init,
	.exit = dtk_case_exit,
	.test_cases = target_cases,
};
