// SPDX-License-Identifier: GPL-2.0-only
/*
 * dtr_yardstick.c - dm-linear with the cheapest mark there could be.
 *
 * The limit beside which dirtytrack's figures are printed.  It marks and does
 * nothing else: no end_io, no count of what is in flight, no bitmap that could
 * be read while it runs, no lazily allocated memory.  Test code, never part of
 * the product.
 *
 * Table: <device> <offset, sectors> <mode> <granularity, bytes>
 * Modes, numbered as in the prototype whose figures the goals were set by:
 *	0 none	no mark: dm-linear rewritten
 *	1 bits	a flat bitmap, one test, and set, for each granule
 *	5 words	a flat bitmap, one test, and or, for each word of the range
 * Message: clear.  Status: the dirty granules.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/vmalloc.h>

#define DM_MSG_PREFIX "yardstick"

enum { MODE_NONE = 0, MODE_BITS = 1, MODE_WORDS = 5 };

struct yardstick {
	struct dm_dev *dev;
	sector_t start;
	unsigned int shift;	/* from sectors to granules */
	unsigned int mode;
	u64 nr_bits;
	unsigned long *bits;
};

static __always_inline void mark_bits(unsigned long *bits, u64 first, u64 last)
{
	for (; first <= last; first++)
		if (!test_bit(first, bits))
			set_bit(first, bits);
}

static __always_inline void mark_words(unsigned long *bits, u64 first, u64 last)
{
	u64 word = first / BITS_PER_LONG, end = last / BITS_PER_LONG;
	unsigned long mask = BITMAP_FIRST_WORD_MASK(first);

	for (; word <= end; word++, mask = ~0UL) {
		if (word == end)
			mask &= BITMAP_LAST_WORD_MASK(last + 1);
		if ((READ_ONCE(bits[word]) & mask) != mask)
			atomic_long_or(mask, (atomic_long_t *)&bits[word]);
	}
}

static int yardstick_map(struct dm_target *ti, struct bio *bio)
{
	struct yardstick *y = ti->private;

	if (y->mode && bio_op(bio) != REQ_OP_READ && bio_sectors(bio)) {
		u64 first = bio->bi_iter.bi_sector >> y->shift;
		u64 last = (bio_end_sector(bio) - 1) >> y->shift;

		if (y->mode == MODE_BITS)
			mark_bits(y->bits, first, last);
		else
			mark_words(y->bits, first, last);
	}
	bio_set_dev(bio, y->dev->bdev);
	bio->bi_iter.bi_sector += y->start;
	return DM_MAPIO_REMAPPED;
}

static int parse(struct dm_target *ti, struct yardstick *y, char **argv)
{
	unsigned long long start;
	unsigned int granularity;

	if (kstrtoull(argv[1], 10, &start) || kstrtouint(argv[2], 10, &y->mode) ||
	    kstrtouint(argv[3], 10, &granularity))
		return -EINVAL;
	if (y->mode != MODE_NONE && y->mode != MODE_BITS && y->mode != MODE_WORDS)
		return -EINVAL;
	if (!is_power_of_2(granularity) || granularity < SECTOR_SIZE)
		return -EINVAL;
	y->start = start;
	y->shift = ilog2(granularity) - SECTOR_SHIFT;
	y->nr_bits = ((ti->len - 1) >> y->shift) + 1;
	y->bits = vzalloc(BITS_TO_LONGS(y->nr_bits) * sizeof(long));
	if (!y->bits)
		return -ENOMEM;
	return dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &y->dev);
}

static int yardstick_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct yardstick *y;
	int r;

	ti->error = "Arguments: <device> <offset> <mode> <granularity>";
	if (argc != 4)
		return -EINVAL;
	y = kzalloc(sizeof(*y), GFP_KERNEL);
	if (!y)
		return -ENOMEM;
	r = parse(ti, y, argv);
	if (r) {
		vfree(y->bits);
		kfree(y);
		return r;
	}
	ti->num_flush_bios = 1;
	ti->num_discard_bios = 1;
	ti->private = y;
	return 0;
}

static void yardstick_dtr(struct dm_target *ti)
{
	struct yardstick *y = ti->private;

	dm_put_device(ti, y->dev);
	vfree(y->bits);
	kfree(y);
}

static void yardstick_status(struct dm_target *ti, status_type_t type,
			     unsigned int status_flags, char *result,
			     unsigned int maxlen)
{
	struct yardstick *y = ti->private;
	unsigned int sz = 0;
	u64 dirty = 0, word;

	switch (type) {
	case STATUSTYPE_INFO:
		for (word = 0; word < BITS_TO_LONGS(y->nr_bits); word++)
			dirty += hweight_long(y->bits[word]);
		DMEMIT("%llu", dirty);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %llu %u %u", y->dev->name, (u64)y->start, y->mode,
		       1U << (y->shift + SECTOR_SHIFT));
		break;
	case STATUSTYPE_IMA:
		break;
	}
}

static int yardstick_message(struct dm_target *ti, unsigned int argc,
			     char **argv, char *result, unsigned int maxlen)
{
	struct yardstick *y = ti->private;

	if (argc != 1 || strcmp(argv[0], "clear"))
		return -EINVAL;
	memset(y->bits, 0, BITS_TO_LONGS(y->nr_bits) * sizeof(long));
	return 0;
}

static int yardstick_iterate_devices(struct dm_target *ti,
				     iterate_devices_callout_fn fn, void *data)
{
	struct yardstick *y = ti->private;

	return fn(ti, y->dev, y->start, ti->len, data);
}

static struct target_type yardstick_target = {
	.name = "yardstick",
	.version = { 1, 0, 0 },
	.features = DM_TARGET_NOWAIT,
	.module = THIS_MODULE,
	.ctr = yardstick_ctr,
	.dtr = yardstick_dtr,
	.map = yardstick_map,
	.status = yardstick_status,
	.message = yardstick_message,
	.iterate_devices = yardstick_iterate_devices,
};

static int __init yardstick_init(void)
{
	return dm_register_target(&yardstick_target);
}

static void __exit yardstick_exit(void)
{
	dm_unregister_target(&yardstick_target);
}

module_init(yardstick_init);
module_exit(yardstick_exit);

MODULE_DESCRIPTION("Device-mapper target with the cheapest mark, for benchmarks");
MODULE_AUTHOR("The dm-dirtytrack authors");
MODULE_LICENSE("GPL");
