// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * direct.c - what direct I/O on a file asks for.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "direct.h"

unsigned int dtl_direct_unit(int fd)
{
	unsigned int block;
	struct statx stx;

	if (!ioctl(fd, BLKSSZGET, &block))
		return block;
#ifdef STATX_DIOALIGN
	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
	    stx.stx_mask & STATX_DIOALIGN && stx.stx_dio_offset_align)
		return stx.stx_dio_offset_align;
#else
	(void)stx;
#endif
	return 4096;
}

bool dtl_in_memory(int fd)
{
	struct statfs fs;
	struct stat st;

	/* A device's node is in memory, too. */
	return !fstat(fd, &st) && S_ISREG(st.st_mode) && !fstatfs(fd, &fs) &&
	       fs.f_type == TMPFS_MAGIC;
}
