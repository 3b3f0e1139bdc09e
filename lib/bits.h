/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bits.h - a bitmap's content, between the kernel and this process's memory.
 *
 * In memory it is the kernel's own struct dtr_bitmap (kernel/core): what is
 * clean or all dirty costs next to nothing, the rest a bit a granule.
 */
#ifndef DTL_BITS_H
#define DTL_BITS_H

#include "private.h"

#include "bitmap.h"

/**
 * dtl_bits_init() - a clean bitmap.
 * @h: the handle
 * @bits: result; dtr_bitmap_exit() it
 * @size: bytes of the device
 * @granularity: bytes, valid
 *
 * Return: 0, or -ENOMEM with words.
 */
int dtl_bits_init(struct dtrack *h, struct dtr_bitmap *bits, uint64_t size,
		  uint64_t granularity);

/** dtl_bits_set() - set bytes, some of which may be beyond the end. */
void dtl_bits_set(struct dtr_bitmap *bits, uint64_t start, uint64_t len);

/**
 * dtl_bits_whole() - whether memory sufficed for what was put into a bitmap.
 * @h: the handle
 * @bits: the bitmap; where memory was missing it says too much
 *
 * Return: 0, or -ENOMEM with words.
 */
int dtl_bits_whole(struct dtrack *h, const struct dtr_bitmap *bits);

/**
 * dtl_bits_get() - read the content of a bitmap.
 * @h: the handle
 * @dev: the device
 * @info: the bitmap as it was just seen
 * @bits: result, as of dtl_bits_init() with @info's bytes and granularity
 * @exact: result: it is the content at one instant; otherwise it is at least
 *	what was dirty at the call
 *
 * Return: 0; -ESTALE when the bitmap became another one, or of another size or
 * generation, or another errno; with words.
 */
int dtl_bits_get(struct dtrack *h, struct dtrack_dev dev,
		 const struct dtrack_bitmap_info *info,
		 struct dtr_bitmap *bits, bool *exact);

/**
 * dtl_bits_load() - replace or unite the content of a bitmap, all at once.
 * @h: the handle
 * @dev: the device
 * @info: the bitmap as it was just seen
 * @bits: of @info's device size and granularity
 * @merge: unite
 *
 * Return: 0; -EBUSY, -EROFS, -EUCLEAN, -ESTALE as of dtl_bits_get(), or
 * another errno; with words, and nothing has changed.
 */
int dtl_bits_load(struct dtrack *h, struct dtrack_dev dev,
		  const struct dtrack_bitmap_info *info,
		  const struct dtr_bitmap *bits, bool merge);

#endif
