// SPDX-License-Identifier: GPL-2.0-only
/*
 * dtr_bionull.c - disks that end each bio at once.
 *
 * What a benchmark puts below a target, so that nothing hides the target's own
 * cost: null_blk has no bio mode any more in 6.12.  Reads return what was in
 * the pages.  Test code, never part of the product.
 *
 * Contexts: submit_bio() in any that may submit; the rest at load and unload.
 */
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/version.h>

#define MAX_DISKS	8

static unsigned long sizes[MAX_DISKS];
static unsigned int nr_sizes;
module_param_array(sizes, ulong, &nr_sizes, 0444);
MODULE_PARM_DESC(sizes, "MiB of each disk /dev/bionullN");

static struct gendisk *disks[MAX_DISKS];
static int major;

static void bionull_submit_bio(struct bio *bio)
{
	bio_endio(bio);
}

static const struct block_device_operations bionull_ops = {
	.owner = THIS_MODULE,
	.submit_bio = bionull_submit_bio,
};

/* A disk that takes discards of any length, like what is measured above it. */
static struct gendisk *alloc_disk(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	struct queue_limits limits = {
		.max_hw_discard_sectors = UINT_MAX >> SECTOR_SHIFT,
		.discard_granularity = SECTOR_SIZE,
	};

	return blk_alloc_disk(&limits, NUMA_NO_NODE);
#else
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return ERR_PTR(-ENOMEM);
	blk_queue_max_discard_sectors(disk->queue, UINT_MAX >> SECTOR_SHIFT);
	disk->queue->limits.discard_granularity = SECTOR_SIZE;
	return disk;
#endif
}

static int add_bionull(unsigned int index)
{
	struct gendisk *disk = alloc_disk();
	int r;

	if (IS_ERR(disk))
		return PTR_ERR(disk);
	disk->major = major;
	disk->first_minor = index;
	disk->minors = 1;
	disk->fops = &bionull_ops;
	snprintf(disk->disk_name, DISK_NAME_LEN, "bionull%u", index);
	set_capacity(disk, (sector_t)sizes[index] << (20 - SECTOR_SHIFT));
	r = add_disk(disk);
	if (r) {
		put_disk(disk);
		return r;
	}
	disks[index] = disk;
	return 0;
}

static void __exit bionull_exit(void)
{
	unsigned int i;

	for (i = 0; i < MAX_DISKS; i++) {
		if (!disks[i])
			continue;
		del_gendisk(disks[i]);
		put_disk(disks[i]);
	}
	unregister_blkdev(major, "bionull");
}

static int __init bionull_init(void)
{
	unsigned int i;
	int r;

	major = register_blkdev(0, "bionull");
	if (major < 0)
		return major;
	for (i = 0; i < nr_sizes; i++) {
		r = add_bionull(i);
		if (r)
			goto err_disks;
	}
	return 0;

err_disks:
	while (i--) {
		del_gendisk(disks[i]);
		put_disk(disks[i]);
	}
	unregister_blkdev(major, "bionull");
	return r;
}

module_init(bionull_init);
module_exit(bionull_exit);

MODULE_DESCRIPTION("Disks that end each bio at once, for benchmarks");
MODULE_AUTHOR("The dm-dirtytrack authors");
MODULE_LICENSE("GPL");
