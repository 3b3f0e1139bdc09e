/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * geometry.h - bytes, sectors and granules.
 *
 * Every conversion between the units of this project lives here.  Words used
 * the same way everywhere: 'first'/'last' are inclusive, 'start'/'end' are a
 * half-open range, 'size' and 'len' are bytes unless the name says otherwise,
 * a 'granule' is (1 << shift) bytes, granule 0 starts at byte 0.
 *
 * Context: pure arithmetic, any context.
 */
#ifndef DTR_GEOMETRY_H
#define DTR_GEOMETRY_H

#include "port.h"

#define DTR_SECTOR_SHIFT	9
/* 512 B and 2 GiB: QEMU's limits (its QMP type is uint32). */
#define DTR_MIN_SHIFT		9
#define DTR_MAX_SHIFT		31
#define DTR_DEFAULT_SHIFT	16
/* The largest device, in bytes, exclusive of nothing: size <= 2^63. */
#define DTR_MAX_SIZE		BIT_ULL(63)

/**
 * dtr_granularity_shift() - log2 of a granularity given by a user.
 * @granularity: bytes
 *
 * Return: 9..31, or -EINVAL if @granularity is no power of two in
 * 512 B .. 2 GiB.
 */
int dtr_granularity_shift(u64 granularity);

/**
 * dtr_nr_granules() - granules that cover @size bytes, the last maybe partial.
 * @size: bytes, 0..2^63
 * @shift: log2 of the granularity, 9..31
 *
 * Return: number of granules; 0 only for size 0.
 */
static inline u64 dtr_nr_granules(u64 size, unsigned int shift)
{
	return size ? ((size - 1) >> shift) + 1 : 0;
}

/**
 * dtr_range_valid() - whether a byte range lies inside a device.
 * @start: first byte
 * @len: bytes, 0 allowed
 * @size: bytes of the device
 *
 * Return: true if @start + @len does not overflow and is <= @size.
 */
static inline bool dtr_range_valid(u64 start, u64 len, u64 size)
{
	return start <= size && len <= size - start;
}

/**
 * dtr_range_is_granular() - whether a byte range covers whole granules only.
 * @start: first byte
 * @len: bytes; @start + @len <= @size
 * @size: bytes of the device; a range may end there though it is no multiple
 * @shift: log2 of the granularity
 *
 * Return: true if both ends are multiples of the granularity, or the end is
 * that of the device.
 */
static inline bool dtr_range_is_granular(u64 start, u64 len, u64 size,
					 unsigned int shift)
{
	u64 mask = (1ULL << shift) - 1;

	return !(start & mask) &&
	       (!((start + len) & mask) || start + len == size);
}

#endif
