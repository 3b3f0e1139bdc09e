// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * bits.c - a bitmap's content, between the kernel and this process's memory.
 *
 * A bitmap is moved by chunks, and names and generations are no identity: one
 * that was removed and added anew may have both in common with it.  Its uuid
 * is random and never comes back.  So a bitmap that has the same uuid before
 * and after was the same all the time.
 */
#include <stdlib.h>
#include <string.h>

#include "bits.h"

/* Granules whose bits are DTRACK_MAX_CHUNK bytes. */
#define CHUNK_GRANULES	(DTRACK_MAX_CHUNK * 8ULL)

/* ---- In memory ---------------------------------------------------------- */

static void *leaf_alloc(void *ctx, bool atomic)
{
	(void)ctx;
	(void)atomic;
	return calloc(1, DTR_LEAF_BYTES);
}

static void leaf_free(void *ctx, void *leaf)
{
	(void)ctx;
	free(leaf);
}

static const struct dtr_leaf_ops leaf_ops = { leaf_alloc, leaf_free };

int dtl_bits_init(struct dtrack *h, struct dtr_bitmap *bits, uint64_t size,
		  uint64_t granularity)
{
	int shift = dtr_granularity_shift(granularity);

	if (shift < 0 ||
	    dtr_bitmap_init(bits, size, (unsigned int)shift, &leaf_ops, NULL))
		return dtl_nomem(h);
	return 0;
}

void dtl_bits_set(struct dtr_bitmap *bits, uint64_t start, uint64_t len)
{
	if (start >= bits->size || !len)
		return;
	if (len > bits->size - start)
		len = bits->size - start;
	dtr_bitmap_set_range(bits, start >> bits->shift,
			     (start + len - 1) >> bits->shift);
}

int dtl_bits_whole(struct dtrack *h, const struct dtr_bitmap *bits)
{
	return dtr_bitmap_nr_degraded(bits) ? dtl_nomem(h) : 0;
}

/* ---- One chunk ---------------------------------------------------------- */

static void begin(struct dtrack_ioc_bits *io, struct dtrack_dev dev,
		  const struct dtrack_bitmap_info *info, void *buffer)
{
	memset(io, 0, sizeof(*io));
	io->size = sizeof(*io);
	io->dev = dev;
	io->buffer = (uintptr_t)buffer;
	memcpy(io->name, info->name, sizeof(io->name));
}

/* The chunk from granule @first on; the number of its granules. */
static uint64_t place(struct dtrack_ioc_bits *io, const struct dtr_bitmap *bits,
		      uint64_t first)
{
	uint64_t nr = bits->nr_bits - first;

	io->start = first << bits->shift;
	io->length = bits->size - io->start;
	if (nr <= CHUNK_GRANULES)
		return nr;
	io->length = CHUNK_GRANULES << bits->shift;
	return CHUNK_GRANULES;
}

/* A range that the kernel finds malformed was right for another size. */
static int chunk_error(struct dtrack *h, const struct dtrack_ioc_bits *io,
		       const char *what, int err)
{
	const char *name = (const char *)io->name;

	if (err == -ESTALE || err == -EINVAL)
		return dtl_fail(h, -ESTALE, NULL,
				"Bitmap '%s' changed while it was %s", name,
				what);
	return dtl_bitmap_error(h, io->dev, name, err);
}

/* Whether the bitmap is still the one that @info was, and what it is now. */
static int look_again(struct dtrack *h, const struct dtrack_ioc_bits *io,
		      const struct dtrack_bitmap_info *info,
		      struct dtrack_bitmap_info *now)
{
	struct dtrack_bitmaps *list;
	int ret = dtrack_bitmaps_get(h, io->dev, (const char *)io->name, &list);

	if (ret < 0)
		return ret;
	*now = *dtrack_bitmaps_at(list, 0);
	dtrack_bitmaps_free(list);
	return memcmp(now->uuid, info->uuid, sizeof(now->uuid)) ? -ESTALE : 0;
}

/* ---- From the kernel ---------------------------------------------------- */

static int get_chunks(struct dtrack *h, struct dtrack_ioc_bits *io,
		      struct dtr_bitmap *bits)
{
	uint64_t first, nr;
	int ret;

	for (first = 0; first < bits->nr_bits; first += nr) {
		nr = place(io, bits, first);
		ret = dtl_ioctl(h, DTRACK_IOC_BITS_GET, io);
		if (ret)
			return chunk_error(h, io, "read", ret);
		dtr_bitmap_put_bits(bits, first, nr,
				    (const void *)(uintptr_t)io->buffer);
	}
	return dtl_bits_whole(h, bits);
}

/*
 * Nothing was added while it was read: it was frozen all the time, by one
 * freeze, or it did not record (a disable steps the generation).
 */
static bool was_still(const struct dtrack_bitmap_info *a,
		      const struct dtrack_bitmap_info *b)
{
	const unsigned int any = DTRACK_BITMAP_BUSY | DTRACK_BITMAP_RECORDING;

	if (a->flags & b->flags & DTRACK_BITMAP_BUSY)
		return a->run == b->run;
	return !((a->flags | b->flags) & any);
}

int dtl_bits_get(struct dtrack *h, struct dtrack_dev dev,
		 const struct dtrack_bitmap_info *info,
		 struct dtr_bitmap *bits, bool *exact)
{
	struct dtrack_bitmap_info now;
	struct dtrack_ioc_bits io;
	void *buffer = malloc(DTRACK_MAX_CHUNK);
	int ret;

	if (!buffer)
		return dtl_nomem(h);
	begin(&io, dev, info, buffer);
	io.generation = info->generation;
	ret = get_chunks(h, &io, bits);
	free(buffer);
	if (ret)
		return ret;

	ret = look_again(h, &io, info, &now);
	if (ret == -ESTALE || (!ret && (now.generation != info->generation ||
					now.bytes != info->bytes)))
		return chunk_error(h, &io, "read", -ESTALE);
	if (ret)
		return ret;
	*exact = was_still(info, &now);
	return 0;
}

/* ---- To the kernel ------------------------------------------------------ */

/* Only chunks that have something dirty: what is staged begins clean. */
static int load_chunks(struct dtrack *h, struct dtrack_ioc_bits *io,
		       const struct dtr_bitmap *bits)
{
	u64 bit = 0, first, nr;
	int ret;

	while (dtr_bitmap_next_dirty(bits, bit, &bit)) {
		first = bit & ~(CHUNK_GRANULES - 1);
		nr = place(io, bits, first);
		dtr_bitmap_get_bits(bits, first, nr,
				    (void *)(uintptr_t)io->buffer);
		ret = dtl_ioctl(h, DTRACK_IOC_BITS_LOAD, io);
		if (ret)
			return ret;
		bit = first + nr;
	}
	return 0;
}

/* An empty chunk, for what its flags do. */
static int load_flags(struct dtrack *h, struct dtrack_ioc_bits *io,
		      unsigned int flags)
{
	io->flags = flags;
	io->start = 0;
	io->length = 0;
	return dtl_ioctl(h, DTRACK_IOC_BITS_LOAD, io);
}

/*
 * The kernel begins with the bitmap that has the name by now, and commits only
 * if it is the same and of the same size until then.
 */
static int load(struct dtrack *h, struct dtrack_ioc_bits *io,
		const struct dtrack_bitmap_info *info,
		const struct dtr_bitmap *bits, bool merge)
{
	struct dtrack_bitmap_info now;
	int ret = load_flags(h, io, DTRACK_BITS_BEGIN);

	if (ret)
		return chunk_error(h, io, "loaded", ret);
	ret = look_again(h, io, info, &now);
	if (!ret && now.device_size != info->device_size)
		ret = -ESTALE;
	if (ret)
		return ret == -ESTALE ? chunk_error(h, io, "loaded", ret) : ret;

	io->flags = 0;
	ret = load_chunks(h, io, bits);
	if (!ret)
		ret = load_flags(h, io, DTRACK_BITS_COMMIT |
					(merge ? DTRACK_BITS_MERGE : 0));
	return ret ? chunk_error(h, io, "loaded", ret) : 0;
}

int dtl_bits_load(struct dtrack *h, struct dtrack_dev dev,
		  const struct dtrack_bitmap_info *info,
		  const struct dtr_bitmap *bits, bool merge)
{
	void *buffer = malloc(DTRACK_MAX_CHUNK);
	struct dtrack_ioc_bits io;
	int ret;

	if (!buffer)
		return dtl_nomem(h);
	begin(&io, dev, info, buffer);
	ret = load(h, &io, info, bits, merge);
	free(buffer);
	return ret;
}
