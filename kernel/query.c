// SPDX-License-Identifier: GPL-2.0-only
/*
 * query.c - what users may read of a tracker and its bitmaps.
 *
 * Owns every answer about content and state; changes nothing.  Answers are
 * given in kernel memory, copying them out is the caller's, after the mutex.
 *
 * Contexts: process context under memalloc_noio.
 */
#include "core/extent.h"
#include "lifecycle.h"
#include "rotation.h"

/**
 * dtr_tracker_lock_live() - take a tracker's mutex for an operation.
 * @t: tracker
 *
 * Context: process; may sleep.  On success the caller unlocks @t->mutex.
 * Return: 0, or -ENODEV when the device has gone or is not tracked now.
 */
int dtr_tracker_lock_live(struct dtr_tracker *t)
{
	mutex_lock(&t->mutex);
	if (!dtr_tracker_is_live(t)) {
		mutex_unlock(&t->mutex);
		return -ENODEV;
	}
	dtr_tracker_settle_locked(t);
	return 0;
}

/* The live map, complete, as far as @n's visible content has it. */
static const struct dtr_bitmap *visible_live(struct dtr_tracker *t,
					     const struct dtr_named *n)
{
	const struct dtr_bitmap *live = dtr_tracker_live_locked(t, n);

	if (!live || n->freeze)
		return NULL;
	dtr_tracker_sync();
	return live;
}

/* Dirty bytes of @bm united with @live (may be NULL), cut at the end. */
static u64 united_bytes(const struct dtr_bitmap *bm,
			const struct dtr_bitmap *live)
{
	u64 tail = bm->size & ((1ULL << bm->shift) - 1);
	u64 count, bytes, last = bm->nr_bits - 1;

	if (!live)
		return dtr_bitmap_dirty_bytes(bm);
	count = dtr_bitmap_count_union(bm, live);
	bytes = count << bm->shift;
	if (tail) {
		u64 first = (last << bm->shift) >> live->shift;
		u64 end = live->nr_bits - 1;

		if (dtr_bitmap_get(bm, last) ||
		    dtr_bitmap_count_range(live, first, end))
			bytes -= (1ULL << bm->shift) - tail;
	}
	return bytes;
}

/* Dirty bytes of the frozen @bm on a device of @size bytes: it may shrink. */
static u64 frozen_bytes(const struct dtr_bitmap *bm, u64 size)
{
	u64 bytes, last = (size - 1) >> bm->shift;

	if (bm->size <= size)
		return dtr_bitmap_dirty_bytes(bm);
	bytes = dtr_bitmap_count_range(bm, 0, last) << bm->shift;
	if (dtr_bitmap_get(bm, last))
		bytes -= ((last + 1) << bm->shift) - size;
	return bytes;
}

static void owner_info(const struct dtr_freeze *f,
		       struct dtrack_bitmap_info *info)
{
	info->owner_since = f->since;
	if (!f->owner)
		return;
	info->flags |= DTRACK_BITMAP_OWNED;
	info->owner_pid = pid_vnr(f->pid);
	memcpy(info->owner_comm, f->comm, sizeof(info->owner_comm));
}

/**
 * dtr_named_info_locked() - all about one bitmap.
 * @t: tracker
 * @n: one of its bitmaps
 * @info: out
 *
 * Context: process; caller holds the tracker's mutex.
 */
void dtr_named_info_locked(struct dtr_tracker *t, struct dtr_named *n,
			   struct dtrack_bitmap_info *info)
{
	const struct dtr_bitmap *live = dtr_tracker_live_locked(t, n);
	const struct dtr_freeze *f = n->freeze;

	BUILD_BUG_ON(sizeof(info->owner_comm) != sizeof(f->comm));
	memset(info, 0, sizeof(*info));
	strscpy(info->name, n->name, sizeof(info->name));
	export_uuid(info->uuid, &n->uuid);
	info->device_size = t->size;
	info->bytes = n->base.size;
	info->granularity = 1ULL << n->base.shift;
	info->generation = n->generation;
	info->last_run = n->last_run;
	info->full_leaves = dtr_bitmap_nr_degraded(&n->base);
	if (live)
		info->full_leaves += dtr_bitmap_nr_degraded(live);
	if (n->recording)
		info->flags |= DTRACK_BITMAP_RECORDING;
	if (n->missing)
		info->flags |= DTRACK_BITMAP_MISSING;
	if (n->inconsistent)
		info->flags |= DTRACK_BITMAP_INCONSISTENT;
	if (dtr_tracker_readonly(t))
		info->flags |= DTRACK_BITMAP_READONLY;
	info->count = f ? frozen_bytes(&n->base, t->size) :
			  united_bytes(&n->base, live);
	if (!f)
		return;
	info->flags |= DTRACK_BITMAP_BUSY;
	info->full_leaves += dtr_bitmap_nr_degraded(&f->succ);
	info->successor_count = united_bytes(&f->succ, live);
	info->run = f->run;
	info->mode = f->mode;
	info->set = f->set;
	owner_info(f, info);
}

/**
 * dtr_tracker_info() - a device and its bitmaps.
 * @t: tracker
 * @arg: in: name, empty for all; out: nr and the out_ members
 * @infos: out, room for @room
 * @room: entries
 *
 * Return: 0; -ENOENT, -ENODEV; -EMSGSIZE, and @arg->nr says what is needed.
 */
int dtr_tracker_info(struct dtr_tracker *t, struct dtrack_ioc_info *arg,
		     struct dtrack_bitmap_info *infos, u32 room)
{
	struct dtr_named *n;
	u32 nr = 0;
	int r = dtr_tracker_lock_live(t);

	if (r)
		return r;
	list_for_each_entry(n, &t->bitmaps, link) {
		if (arg->name[0] && strcmp(n->name, arg->name))
			continue;
		if (nr < room)
			dtr_named_info_locked(t, n, &infos[nr]);
		nr++;
	}
	arg->out_device_size = t->size;
	arg->out_lower_start = t->lower_start;
	arg->out_lower.major = MAJOR(t->lower);
	arg->out_lower.minor = MINOR(t->lower);
	dtr_tracker_writes_locked(t, &arg->out_writes);
	mutex_unlock(&t->mutex);
	arg->nr = nr;
	if (arg->name[0] && !nr)
		return -ENOENT;
	return nr > room ? -EMSGSIZE : 0;
}

/* Cut at @size, the device's: a frozen @bm may be longer. */
static u32 fill_extents(const struct dtr_bitmap *bm,
			const struct dtr_bitmap *live, u64 size, u64 *cursor,
			struct dtrack_range *ranges, u32 room)
{
	struct dtr_extent ext;
	u32 nr;

	for (nr = 0; nr < room; nr++) {
		if (!dtr_extent_next(bm, live, *cursor, &ext) ||
		    ext.start >= size) {
			*cursor = bm->size;
			break;
		}
		ranges[nr].start = ext.start;
		ranges[nr].length = min(ext.len, size - ext.start);
		*cursor = ext.start + ext.len;
	}
	return nr;
}

/* Finds @name, whose content must be one, of the generation relied on. */
static struct dtr_named *find_generation(struct dtr_tracker *t,
					 const char *name, u64 *generation)
{
	struct dtr_named *n = dtr_named_find_locked(t, name);

	if (!n)
		return ERR_PTR(-ENOENT);
	if (n->inconsistent)
		return ERR_PTR(-EUCLEAN);
	if (*generation && *generation != n->generation)
		return ERR_PTR(-ESTALE);
	*generation = n->generation;
	return n;
}

static int extents_locked(struct dtr_tracker *t, struct dtrack_ioc_extents *arg,
			  struct dtrack_range *ranges, u32 room)
{
	struct dtr_named *n = find_generation(t, arg->name, &arg->generation);
	const struct dtr_bitmap *bm, *live;

	if (IS_ERR(n))
		return PTR_ERR(n);
	if (arg->flags & DTRACK_EXTENTS_SUCCESSOR) {
		if (!n->freeze)
			return -ENODATA;
		bm = &n->freeze->succ;
		live = dtr_tracker_live_locked(t, n);
		dtr_tracker_sync();
	} else {
		bm = &n->base;
		live = visible_live(t, n);
	}
	if (arg->cursor > bm->size)
		return -EINVAL;
	arg->nr = fill_extents(bm, live, t->size, &arg->cursor, ranges, room);
	return 0;
}

/**
 * dtr_named_extents() - dirty bytes from a cursor on.
 * @t: tracker
 * @arg: in: name, flags, cursor, generation; out: cursor, nr, generation
 * @ranges: out
 * @room: entries of @ranges, > 0
 *
 * Return: 0, -ENOENT, -EINVAL, -ENODATA, -ESTALE, -EUCLEAN, -ENODEV.
 */
int dtr_named_extents(struct dtr_tracker *t, struct dtrack_ioc_extents *arg,
		      struct dtrack_range *ranges, u32 room)
{
	int r = dtr_tracker_lock_live(t);

	if (r)
		return r;
	r = extents_locked(t, arg, ranges, room);
	mutex_unlock(&t->mutex);
	return r;
}

/**
 * dtr_bits_range() - the granules of a chunk of raw bits.
 * @start: first byte, from a user
 * @length: bytes, from a user
 * @size: bytes of the content
 * @shift: log2 of the granularity
 * @first: out, granule
 * @nr: out, granules; 0 for @length 0
 *
 * Return: 0, or -EINVAL when the range is not in the content, not of whole
 * bytes of bits, or longer than DTRACK_MAX_CHUNK of them.
 */
int dtr_bits_range(u64 start, u64 length, u64 size, unsigned int shift,
		   u64 *first, u64 *nr)
{
	/* 8 granules: at most 16 GiB, no overflow */
	unsigned int byte_shift = shift + 3;

	if (!dtr_range_valid(start, length, size) ||
	    !dtr_range_is_granular(start, length, size, byte_shift))
		return -EINVAL;
	*first = start >> shift;
	*nr = dtr_nr_granules(length, shift);
	return *nr > DTRACK_MAX_CHUNK * 8ULL ? -EINVAL : 0;
}

/* Adds what @live has beside @bm to the bits [@first, @first + @nr) in @buf. */
static void add_live_bits(const struct dtr_bitmap *bm,
			  const struct dtr_bitmap *live, u64 first, u64 nr,
			  u8 *buf)
{
	u64 end = first + nr, from = first << bm->shift;
	struct dtr_extent ext;

	while (dtr_extent_next(bm, live, from, &ext)) {
		u64 bit = max(ext.start >> bm->shift, first);
		u64 stop = min(dtr_nr_granules(ext.start + ext.len, bm->shift),
			       end);

		if (bit >= end)
			return;
		for (; bit < stop; bit++)
			buf[(bit - first) >> 3] |= 1 << ((bit - first) & 7);
		from = ext.start + ext.len;
		if (from >= bm->size)
			return;
	}
}

static int get_bits_locked(struct dtr_tracker *t, struct dtrack_ioc_bits *arg,
			   void *buf)
{
	struct dtr_named *n = find_generation(t, arg->name, &arg->generation);
	const struct dtr_bitmap *live;
	u64 first, nr;
	int r;

	if (IS_ERR(n))
		return PTR_ERR(n);
	r = dtr_bits_range(arg->start, arg->length, n->base.size, n->base.shift,
			   &first, &nr);
	if (r || !nr)
		return r ? r : -EINVAL;
	dtr_bitmap_get_bits(&n->base, first, nr, buf);
	live = visible_live(t, n);
	if (live)
		add_live_bits(&n->base, live, first, nr, buf);
	arg->length = (nr + 7) >> 3;
	return 0;
}

/**
 * dtr_named_get_bits() - a chunk of raw bits.
 * @t: tracker
 * @arg: in: name, start, length, generation; out: generation, and in length
 *	the bytes that @buf got
 * @buf: out, DTRACK_MAX_CHUNK bytes
 *
 * Return: 0, -ENOENT, -EINVAL, -ESTALE, -EUCLEAN, -ENODEV.
 */
int dtr_named_get_bits(struct dtr_tracker *t, struct dtrack_ioc_bits *arg,
		       void *buf)
{
	int r = dtr_tracker_lock_live(t);

	if (r)
		return r;
	r = get_bits_locked(t, arg, buf);
	mutex_unlock(&t->mutex);
	return r;
}
