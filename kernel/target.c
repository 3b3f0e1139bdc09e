// SPDX-License-Identifier: GPL-2.0-only
/*
 * target.c - the device-mapper target.
 *
 * Owns what device-mapper sees: table line, the way of a bio, status, messages.
 * What a line asks for is plan.c's, what a message means lifecycle.c's, what a
 * mark is epoch.h's.
 *
 * Contexts: map in process context or below another target, end_io in any; the
 * rest in process context under memalloc_noio.
 * Invariant: a write is counted and marked before it is submitted, and again
 * when it completes in another epoch, before it is ended.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "claim.h"
#include "compat.h"
#include "continuity.h"
#include "lifecycle.h"
#include "plan.h"
#include "rotation.h"
#include "target.h"

#define DM_MSG_PREFIX "dirtytrack"

/* 256 bitmaps of three words, and the options without argument */
#define DTR_MAX_OPTIONS	(3 * DTRACK_MAX_BITMAPS + 2)

/**
 * struct dtr_target - one table's target.
 * @clock: the tracker's, for the write path
 * @start: where we begin on @dev, sectors
 * @dev: the device below
 * @tracker: the mapped device's
 * @claim: to the range of @dev that is mapped
 * @plan: what the line asks for
 * @options: the line's options as they were given, for 'dmsetup table'
 */
struct dtr_target {
	struct dtr_clock *clock;
	sector_t start;
	struct dm_dev *dev;
	struct dtr_tracker *tracker;
	struct dtr_claim claim;
	struct dtr_plan plan;
	char *options;
};

/* ---- The way of a bio ---- */

/* Operations that leave the device's content as it is. */
static __always_inline bool is_read(const struct bio *bio)
{
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		return true;
	default:
		return false;
	}
}

static int target_map(struct dm_target *ti, struct bio *bio)
{
	struct dtr_target *dt = ti->private;

	if (!is_read(bio)) {
		struct dtr_write *w;

		/* First, while there is nothing to be kept across a call. */
		if (unlikely(bio_op(bio) != REQ_OP_WRITE))
			dtr_clock_count_kind(dt->clock, bio_op(bio),
					     bio_sectors(bio));
		w = dm_per_bio_data(bio, sizeof(*w));
		/* A flush without data changes nothing. */
		if (likely(bio_sectors(bio)))
			dtr_write_begin(dt->clock, w, bio->bi_iter.bi_sector,
					bio_sectors(bio));
		else
			w->epoch = NULL;
	}
	bio_set_dev(bio, dt->dev->bdev);
	bio->bi_iter.bi_sector += dt->start;
	return DM_MAPIO_REMAPPED;
}

static int target_end_io(struct dm_target *ti, struct bio *bio,
			 blk_status_t *error)
{
	struct dtr_target *dt;

	/* Nothing is loaded before this, so that a read saves no register. */
	if (is_read(bio))
		return DM_ENDIO_DONE;
	dt = ti->private;
	dtr_write_end(dt->clock, dm_per_bio_data(bio, sizeof(struct dtr_write)));
	return DM_ENDIO_DONE;
}

/* ---- Table line ---- */

/* Words of one option with its arguments, 0 if it is not known. */
static unsigned int option_words(const char *name)
{
	if (!strcmp(name, "bitmap"))
		return 3;
	if (!strcmp(name, "clean") || !strcmp(name, "same_data"))
		return 1;
	return 0;
}

static char *join_options(unsigned int argc, char **argv)
{
	size_t len = 1;
	unsigned int i;
	char *line;

	for (i = 0; i < argc; i++)
		len += strlen(argv[i]) + 1;
	line = kzalloc(len, GFP_KERNEL);
	if (!line)
		return NULL;
	for (i = 0; i < argc; i++) {
		strcat(line, i ? " " : "");
		strcat(line, argv[i]);
	}
	return line;
}

/* First pass: what holds for the whole line, wherever it stands. */
static int parse_switches(struct dtr_target *dt, unsigned int argc, char **argv,
			  bool *clean, char **error)
{
	unsigned int words;

	for (; argc; argc -= words, argv += words) {
		words = option_words(argv[0]);
		*error = strcmp(argv[0], "metadata") ? "Unknown option" :
			 "Option metadata is not supported";
		if (!words)
			return -EINVAL;
		*error = "Option bitmap needs a name and a granularity";
		if (words > argc)
			return -EINVAL;
		if (!strcmp(argv[0], "clean"))
			*clean = true;
		else if (!strcmp(argv[0], "same_data"))
			dt->plan.same_data = true;
	}
	return 0;
}

/* Second pass, over a line that the first one has accepted. */
static int parse_bitmaps(struct dtr_target *dt, unsigned int argc, char **argv,
			 bool clean, char **error)
{
	unsigned int words;
	int r;

	for (; argc; argc -= words, argv += words) {
		u64 granularity;

		words = option_words(argv[0]);
		if (words != 3)
			continue;
		*error = "Invalid granularity";
		if (kstrtou64(argv[2], 10, &granularity))
			return -EINVAL;
		r = dtr_plan_add_bitmap(&dt->plan, dt->tracker, argv[1],
					granularity, clean, error);
		if (r)
			return r;
	}
	return 0;
}

/* <#options> [<option>…]; @argc words that follow device and offset. */
static int parse_options(struct dtr_target *dt, unsigned int argc, char **argv,
			 char **error)
{
	unsigned int nr = 0;
	bool clean = false;
	int r;

	*error = "Invalid number of options";
	if (argc && (kstrtouint(argv[0], 10, &nr) || nr > DTR_MAX_OPTIONS ||
		     nr != argc - 1))
		return -EINVAL;
	r = parse_switches(dt, nr, argv + 1, &clean, error);
	if (!r)
		r = parse_bitmaps(dt, nr, argv + 1, clean, error);
	if (r)
		return r;
	*error = "Cannot allocate options";
	dt->options = join_options(nr ? argc : 0, argv);
	return dt->options ? 0 : -ENOMEM;
}

static int parse_device(struct dm_target *ti, struct dtr_target *dt,
			char **argv)
{
	unsigned long long start;
	int r;

	if (kstrtoull(argv[1], 10, &start) || start != (sector_t)start ||
	    start > DTR_MAX_SIZE >> SECTOR_SHIFT) {
		ti->error = "Invalid offset";
		return -EINVAL;
	}
	r = dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &dt->dev);
	if (r) {
		ti->error = "Device lookup failed";
		return r;
	}
	if (bdev_is_zoned(dt->dev->bdev)) {
		ti->error = "Zoned devices are not supported";
		return -EOPNOTSUPP;
	}
	if (!dtr_range_valid(start, ti->len, bdev_nr_sectors(dt->dev->bdev))) {
		ti->error = "Device is too small";
		return -EINVAL;
	}
	dt->start = start;
	dt->plan.size = (u64)ti->len << SECTOR_SHIFT;
	dt->plan.lower = dt->dev->bdev->bd_dev;
	dt->plan.lower_start = (u64)start << SECTOR_SHIFT;
	return 0;
}

static void target_free(struct dm_target *ti, struct dtr_target *dt)
{
	dtr_plan_exit(&dt->plan);
	dtr_claim_drop(&dt->claim);
	if (dt->tracker)
		dtr_tracker_detach(dt->tracker);
	if (dt->dev)
		dm_put_device(ti, dt->dev);
	kfree(dt->options);
	kfree(dt);
}

static int target_parse(struct dm_target *ti, struct dtr_target *dt,
			unsigned int argc, char **argv)
{
	int r = parse_device(ti, dt, argv);

	if (r)
		return r;
	dt->tracker = dtr_tracker_attach(dm_table_get_md(ti->table));
	if (!dt->tracker) {
		ti->error = "Cannot allocate tracker";
		return -ENOMEM;
	}
	dt->clock = &dt->tracker->clock;
	r = dtr_claim_take(&dt->claim, dt->tracker, dt->dev->bdev, dt->start,
			   ti->len);
	if (r) {
		ti->error = "Another device tracks this range of the device below";
		return r;
	}
	r = parse_options(dt, argc - 2, argv + 2, &ti->error);
	if (r)
		return r;
	return dtr_plan_prepare(&dt->plan, dt->tracker, &ti->error);
}

/*
 * <device> <offset, sectors> [<#options> <option>…], the options being
 *
 *	bitmap <name> <granularity, bytes>	add it when the table is resumed,
 *						all dirty, unless it exists
 *	clean					such bitmaps start clean
 *	same_data				another device or offset than
 *						before holds the same data
 */
static int target_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct dtr_target *dt;
	unsigned int noio;
	int r;

	if (argc < 2) {
		ti->error = "Arguments: <device> <offset> [<#options> <option>...]";
		return -EINVAL;
	}
	dt = kzalloc(sizeof(*dt), GFP_KERNEL);
	if (!dt) {
		ti->error = "Cannot allocate target";
		return -ENOMEM;
	}
	dtr_claim_init(&dt->claim);
	dtr_plan_init(&dt->plan);
	noio = memalloc_noio_save();
	r = target_parse(ti, dt, argc, argv);
	if (r)
		target_free(ti, dt);
	memalloc_noio_restore(noio);
	if (r)
		return r;
	ti->per_io_data_size = sizeof(struct dtr_write);
	ti->num_flush_bios = 1;
	/* They change nothing; the data of a flush that has some is mapped. */
	dtr_compat_flush_bypasses_map(ti);
	ti->num_discard_bios = 1;
	ti->num_secure_erase_bios = 1;
	ti->num_write_zeroes_bios = 1;
	ti->private = dt;
	return 0;
}

static void target_dtr(struct dm_target *ti)
{
	struct dtr_target *dt = ti->private;
	unsigned int noio = memalloc_noio_save();

	dtr_tracker_forget_table(dt->tracker, &dt->plan, ti->table);
	target_free(ti, dt);
	memalloc_noio_restore(noio);
}

static int target_preresume(struct dm_target *ti)
{
	struct dtr_target *dt = ti->private;
	unsigned int noio = memalloc_noio_save();

	dtr_tracker_adopt(dt->tracker, &dt->plan, ti->table);
	memalloc_noio_restore(noio);
	return 0;	/* whatever happens: else the device stays suspended */
}

static void target_postsuspend(struct dm_target *ti)
{
	struct dtr_target *dt = ti->private;
	unsigned int noio = memalloc_noio_save();

	dtr_tracker_suspended(dt->tracker, ti->table);
	memalloc_noio_restore(noio);
}

/* Changes no limit; device-mapper calls this as it swaps the table in. */
static void target_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	struct dtr_target *dt = ti->private;

	dtr_plan_swap_in(&dt->plan);
}

static int target_iterate_devices(struct dm_target *ti,
				  iterate_devices_callout_fn fn, void *data)
{
	struct dtr_target *dt = ti->private;

	return fn(ti, dt->dev, dt->start, ti->len, data);
}

/* ---- Status ---- */

static void flag_letters(const struct dtrack_bitmap_info *info, char *letters)
{
	char *p = letters;

	if (info->flags & DTRACK_BITMAP_RECORDING)
		*p++ = 'r';
	if (info->flags & DTRACK_BITMAP_BUSY)
		*p++ = 'b';
	if (info->flags & DTRACK_BITMAP_INCONSISTENT)
		*p++ = 'i';
	if (info->full_leaves)
		*p++ = 'f';
	if (p == letters)
		*p++ = '-';
	*p = '\0';
}

static void status_info(struct dtr_tracker *t, struct dtrack_bitmap_info *info,
			char *result, unsigned int maxlen)
{
	struct dtrack_writes writes;
	struct dtr_named *n;
	unsigned int sz = 0;
	char letters[5];

	if (dtr_tracker_lock_live(t))
		return;
	DMEMIT("%llu %u", t->size, t->nr_bitmaps);
	list_for_each_entry(n, &t->bitmaps, link) {
		dtr_named_info_locked(t, n, info);
		flag_letters(info, letters);
		DMEMIT(" %s %llu %llu %s %pUb %llu", n->name,
		       info->granularity, info->count, letters, &n->uuid,
		       info->generation);
	}
	dtr_tracker_writes_locked(t, &writes);
	mutex_unlock(&t->mutex);
	DMEMIT(" %llu %llu %llu %llu %llu %llu %llu %llu",
	       writes.writes.nr, writes.writes.bytes, writes.discards.nr,
	       writes.discards.bytes, writes.zeroes.nr, writes.zeroes.bytes,
	       writes.others.nr, writes.others.bytes);
	if (writes.idle == U64_MAX)
		DMEMIT(" -");
	else
		DMEMIT(" %llu", div_u64(writes.idle, MSEC_PER_SEC));
}

static void target_status(struct dm_target *ti, status_type_t type,
			  unsigned int status_flags, char *result,
			  unsigned int maxlen)
{
	struct dtr_target *dt = ti->private;
	struct dtrack_bitmap_info *info;
	unsigned int noio, sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		noio = memalloc_noio_save();
		info = kmalloc(sizeof(*info), GFP_KERNEL);
		if (info)
			status_info(dt->tracker, info, result, maxlen);
		else
			DMEMIT("Error");
		kfree(info);
		memalloc_noio_restore(noio);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %llu%s%s", dt->dev->name, (u64)dt->start,
		       *dt->options ? " " : "", dt->options);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",device_name=%s,start=%llu;", dt->dev->name,
		       (u64)dt->start);
		break;
	}
}

/* ---- Messages ---- */

/* @argc words from the bitmap's name on; what they ask for goes into @a. */
static int parse_add(struct dtr_action *a, unsigned int argc, char **argv)
{
	if (argc == 2 && (kstrtou64(argv[1], 10, &a->granularity) ||
			  dtr_granularity_shift(a->granularity) < 0))
		return -EINVAL;
	return 0;
}

static int parse_merge(struct dtr_action *a, unsigned int argc, char **argv)
{
	unsigned int i, nr = argc - 1;
	struct dtr_source *sources;

	sources = kcalloc(max(nr, 1U), sizeof(*sources), GFP_KERNEL);
	if (!sources)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		sources[i].t = a->t;
		sources[i].name = argv[i + 1];
	}
	a->sources = sources;
	a->nr_sources = nr;
	return 0;
}

/* Every message takes @min..@max arguments after its own name. */
static const struct {
	const char *name;
	unsigned int min, max;
	enum dtrack_action_type type;
	int (*parse)(struct dtr_action *a, unsigned int argc, char **argv);
} messages[] = {
	{ "bitmap-add", 1, 2, DTRACK_ACTION_ADD, parse_add },
	{ "bitmap-remove", 1, 1, DTRACK_ACTION_REMOVE },
	{ "bitmap-clear", 1, 1, DTRACK_ACTION_CLEAR },
	{ "bitmap-enable", 1, 1, DTRACK_ACTION_ENABLE },
	{ "bitmap-disable", 1, 1, DTRACK_ACTION_DISABLE },
	{ "bitmap-merge", 1, DTRACK_MAX_BITMAPS + 1, DTRACK_ACTION_MERGE,
	  parse_merge },
	/* without owner, in mode 'conditional' */
	{ "bitmap-freeze", 1, 1, DTRACK_ACTION_FREEZE },
	{ "bitmap-abdicate", 1, 1, DTRACK_ACTION_ABDICATE },
	{ "bitmap-reclaim", 1, 1, DTRACK_ACTION_RECLAIM },
};

/* What -EINVAL means is left in @error. */
static int run_message(struct dtr_action *a, unsigned int i, unsigned int argc,
		       char **argv, const char **error)
{
	unsigned int failed;
	int r = 0;

	*error = "Wrong number of words in message";
	if (argc < messages[i].min || argc > messages[i].max)
		return -EINVAL;
	a->type = messages[i].type;
	a->name = argv[0];
	*error = "Granularity must be power of 2, at least 512 and at most 2147483648";
	if (messages[i].parse)
		r = messages[i].parse(a, argc, argv);
	if (!r) {
		*error = a->type == DTRACK_ACTION_ADD ?
			 "Invalid bitmap name" :
			 "A freeze in mode 'never' cannot abdicate";
		r = dtr_transact(a, 1, &failed);
	}
	kfree(a->sources);
	return r;
}

static int target_message(struct dm_target *ti, unsigned int argc, char **argv,
			  char *result, unsigned int maxlen)
{
	const char *error = "Unknown message";
	struct dtr_target *dt = ti->private;
	unsigned int i, noio;
	struct dtr_action *a;
	int r = -EINVAL;

	noio = memalloc_noio_save();
	a = kzalloc(sizeof(*a), GFP_KERNEL);
	if (a)
		a->t = dt->tracker;
	else
		r = -ENOMEM;
	for (i = 0; a && i < ARRAY_SIZE(messages); i++)
		if (!strcmp(argv[0], messages[i].name))
			r = run_message(a, i, argc - 1, argv + 1, &error);
	kfree(a);
	memalloc_noio_restore(noio);
	/* The other errnos say it all. */
	if (r == -EINVAL)
		DMERR("%s: %s", dm_device_name(dm_table_get_md(ti->table)),
		      error);
	return r;
}

static struct target_type dirtytrack_target = {
	.name = "dirtytrack",
	.version = { 1, 0, 0 },
	/* Atomic writes: a bio is never split here, max_io_len is not set. */
	.features = DM_TARGET_SINGLETON | DM_TARGET_PASSES_INTEGRITY |
		    DM_TARGET_NOWAIT | DM_TARGET_PASSES_CRYPTO |
		    DM_TARGET_ATOMIC_WRITES,
	.module = THIS_MODULE,
	.ctr = target_ctr,
	.dtr = target_dtr,
	.map = target_map,
	.end_io = target_end_io,
	.postsuspend = target_postsuspend,
	.preresume = target_preresume,
	.io_hints = target_io_hints,
	.status = target_status,
	.message = target_message,
	.iterate_devices = target_iterate_devices,
};

/**
 * dtr_target_init() - register the target, at module load.
 *
 * Return: 0 or -errno of dm_register_target().
 */
int dtr_target_init(void)
{
	return dm_register_target(&dirtytrack_target);
}

/** dtr_target_exit() - unregister it, at module unload: no table uses it. */
void dtr_target_exit(void)
{
	dm_unregister_target(&dirtytrack_target);
}
