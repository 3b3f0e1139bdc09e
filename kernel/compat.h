/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * compat.h - what newer kernels have and older ones, which we support, have not.
 *
 * Nothing here looks at a version: distributions bring changes to older kernels.
 * What the preprocessor cannot see Kbuild looks for, and defines DTR_HAVE_*.
 */
#ifndef DTR_COMPAT_H
#define DTR_COMPAT_H

#include <linux/device-mapper.h>

/* Of no effect where device-mapper knows no atomic writes. */
#ifndef DM_TARGET_ATOMIC_WRITES
#define DM_TARGET_ATOMIC_WRITES	0
#endif

/* Device-mapper sends flushes without data past map. */
static inline void dtr_compat_flush_bypasses_map(struct dm_target *ti)
{
#ifdef DTR_HAVE_FLUSH_BYPASSES_MAP
	ti->flush_bypasses_map = true;
#endif
}

#endif
