/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioctl-names.h - what the ioctls are called in logs of tests.
 */
#ifndef TESTS_IOCTL_NAMES_H
#define TESTS_IOCTL_NAMES_H

#include <stddef.h>

#include <linux/dm-dirtytrack.h>

static const struct {
	unsigned long cmd;
	const char *name;
} ioctl_names[] = {
#define NAME(x) { DTRACK_IOC_##x, #x }
	NAME(VERSION), NAME(LIST),     NAME(INFO),     NAME(ADD),
	NAME(REMOVE),  NAME(CLEAR),    NAME(ENABLE),   NAME(DISABLE),
	NAME(MERGE),   NAME(FREEZE),   NAME(ABDICATE), NAME(RECLAIM),
	NAME(REPORT),  NAME(EXTENTS),  NAME(BITS_GET), NAME(BITS_LOAD),
	NAME(TRANSACTION),
#undef NAME
};

static inline const char *ioctl_name(unsigned long cmd)
{
	size_t i;

	for (i = 0; i < sizeof(ioctl_names) / sizeof(ioctl_names[0]); i++)
		if (ioctl_names[i].cmd == cmd)
			return ioctl_names[i].name;
	return "unknown";
}

#endif
