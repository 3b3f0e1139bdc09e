// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * medium.c - whether what is read of a file comes from its medium.
 *
 * A direct read may be answered from memory, too: some file systems accept the
 * flag and do without.  So what memory has goes first in any case.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "direct.h"
#include "medium.h"
#include "private.h"

/* What any direct read asks for, and the most of a file that is mapped at once. */
#define BLOCK	65536U
#define WINDOW	(256ULL << 20)

/* Not all have their numbers in linux/magic.h. */
#define HOSTFS_MAGIC	0x00c0ffeeU
#define LUSTRE_MAGIC	0x0bd00bd0U
#define GPFS_MAGIC	0x47504653U
#define VBOXSF_MAGIC	0x786f4256U
#define ZFS_MAGIC	0x2fc12fc1U

/* Somebody else has a memory of it, which cannot be dropped from here. */
static const uint32_t others[] = {
	AFS_FS_MAGIC, AFS_SUPER_MAGIC, CEPH_SUPER_MAGIC, CIFS_SUPER_MAGIC,
	CODA_SUPER_MAGIC, FUSE_SUPER_MAGIC, GPFS_MAGIC, HOSTFS_MAGIC,
	LUSTRE_MAGIC, NFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, SMB_SUPER_MAGIC,
	V9FS_MAGIC, VBOXSF_MAGIC, ZFS_MAGIC,
};

static bool is_others(int fd)
{
	struct statfs fs;
	size_t i;

	if (fstatfs(fd, &fs))
		return true;
	for (i = 0; i < DTL_ARRAY_SIZE(others); i++)
		if ((uint32_t)fs.f_type == others[i])
			return true;
	return false;
}

bool dtl_medium_is_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	void *room = aligned_alloc(BLOCK, BLOCK);
	bool good = false;

	if (room && flags >= 0 && !fcntl(fd, F_SETFL, flags | O_DIRECT)) {
		good = pread(fd, room, BLOCK, 0) >= 0;
		fcntl(fd, F_SETFL, flags);
	}
	free(room);
	return good;
}

static bool is_any_there(const unsigned char *page, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (page[i] & 1)
			return true;
	return false;
}

/* Return: whether memory has some of a part of a file, or may have. */
static bool is_in_memory(int fd, uint64_t at, size_t len, unsigned char *page)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, (off_t)at);
	bool there = true;

	if (map == MAP_FAILED)
		return true;
	if (!mincore(map, len, page))
		there = is_any_there(page, (len + size - 1) / size);
	munmap(map, len);
	return there;
}

static bool is_dropped(int fd, uint64_t size)
{
	unsigned char *page = malloc(WINDOW / (size_t)sysconf(_SC_PAGESIZE));
	uint64_t at, len;
	bool there = !page;

	for (at = 0; !there && at < size; at += len) {
		len = size - at < WINDOW ? size - at : WINDOW;
		there = is_in_memory(fd, at, (size_t)len, page);
	}
	free(page);
	return !there;
}

bool dtl_medium_refresh(int fd, bool direct)
{
	struct stat st;

	if (fstat(fd, &st))
		return false;
	if (!S_ISREG(st.st_mode))
		return direct;
	if (dtl_in_memory(fd))
		return true;
	/* What is not on the medium yet cannot be dropped. */
	if (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		return false;
	if (is_others(fd))
		return false;
	return direct || is_dropped(fd, (uint64_t)st.st_size);
}
