// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * incremental.c - a backup program with a copy loop of its own.
 *
 *	cc incremental.c $(pkg-config --cflags --libs libdtrack) -o incremental
 *	incremental DEV BITMAP FILE
 *
 * FILE becomes a raw copy of DEV: the first time as a whole, then by what is
 * dirty in BITMAP, which is added where it is missing.  FILE.state says which
 * bitmap at which generation FILE fits: what differs from DEV is dirty in it.
 *
 * It may be killed at any moment: the kernel reclaims the bitmap, and the state
 * is true, or fits nothing and the next copy is a full one.  FILE must not lie
 * on DEV.
 */
#define _GNU_SOURCE
#include <dtrack.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK	(1 << 20)	/* bytes of one read */
#define BATCH	256		/* extents between two flushes */

static struct dtrack *h;
static struct dtrack_dev dev;
static const char *bitmap, *path;
static char state[4096];
static int source, target;
static char *buf;
static struct dtrack_freeze freeze;
static struct dtrack_bitmap_info info;	/* of the frozen bitmap */
static struct dtrack_range done[BATCH];
static unsigned int nr_done;
static uint64_t copied;

/* The library has words for its own failures, and then @err is 0. */
static int failed(const char *what, int err)
{
	fprintf(stderr, "incremental: %s: %s\n", what,
		err ? strerror(err) : dtrack_errmsg(h));
	return -1;
}

/* ---- What FILE fits ----------------------------------------------------- */

static void print_state(uint64_t generation, char text[128])
{
	char uuid[DTRACK_UUID_TEXT];

	dtrack_uuid_format(info.uuid, uuid);
	snprintf(text, 128, "%s %" PRIu64 " %" PRIu64 "\n", uuid, generation,
		 (uint64_t)info.bytes);
}

static bool fits(void)
{
	char wanted[128], text[128] = "";
	FILE *f = fopen(state, "re");
	struct stat st;

	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	print_state(info.generation, wanted);
	return !strcmp(text, wanted) && !fstat(target, &st) &&
	       (uint64_t)st.st_size == info.bytes;
}

/* No bitmap has generation 0. */
static int store_state(uint64_t generation)
{
	FILE *f = fopen(state, "we");
	char text[128];
	bool ok;

	if (!f)
		return failed(state, errno);
	print_state(generation, text);
	ok = fputs(text, f) >= 0 && !fflush(f) && !fsync(fileno(f));
	return fclose(f) || !ok ? failed(state, errno) : 0;
}

/* ---- Copying ------------------------------------------------------------ */

/* What is reported must be safe on the target. */
static int flush(void)
{
	if (fdatasync(target))
		return failed(path, errno);
	if (dtrack_bitmap_report(h, dev, bitmap, freeze.run, done, nr_done))
		return failed(bitmap, 0);
	nr_done = 0;
	return 0;
}

static int copy_extent(struct dtrack_range range)
{
	uint64_t at = range.start, end = range.start + range.length;
	size_t len;

	for (; at < end; at += len) {
		len = end - at < CHUNK ? end - at : CHUNK;
		errno = EIO;	/* for a short read */
		if (pread(source, buf, len, (off_t)at) != (ssize_t)len)
			return failed("read", errno);
		errno = ENOSPC;
		if (pwrite(target, buf, len, (off_t)at) != (ssize_t)len)
			return failed(path, errno);
	}
	copied += range.length;
	done[nr_done++] = range;
	return nr_done < BATCH ? 0 : flush();
}

static int copy_dirty(void)
{
	struct dtrack_extents *extents;
	struct dtrack_range range;
	int ret;

	if (dtrack_extents_open(h, dev, bitmap, 0, freeze.generation, &extents))
		return failed(bitmap, 0);
	while ((ret = dtrack_extents_next(extents, &range)) > 0)
		if (copy_extent(range))
			break;
	if (ret < 0)
		failed(bitmap, 0);
	dtrack_extents_close(extents);
	return ret ? -1 : flush();
}

static int copy_all(void)
{
	/* Until it is through, FILE fits nothing. */
	if (store_state(0))
		return -1;
	if (ftruncate(target, (off_t)info.bytes))
		return failed(path, errno);
	if (copy_extent((struct dtrack_range){ 0, info.bytes }))
		return -1;
	return flush();
}

static int look(void)
{
	struct dtrack_bitmaps *list;

	if (dtrack_bitmaps_get(h, dev, bitmap, &list) < 0)
		return failed(bitmap, 0);
	info = *dtrack_bitmaps_at(list, 0);
	dtrack_bitmaps_free(list);
	return 0;
}

static int run(void)
{
	bool incremental;
	uint64_t generation;
	int ret;

	/* In this mode the set only says what may be reported. */
	freeze.mode = DTRACK_MODE_CONDITIONAL;
	freeze.set = DTRACK_SET_ALL;
	if (dtrack_bitmap_freeze(h, dev, bitmap, &freeze))
		return failed(bitmap, 0);
	ret = look();
	incremental = !ret && fits();
	if (!ret)
		ret = incremental ? copy_dirty() : copy_all();
	if (ret) {
		dtrack_bitmap_reclaim(h, dev, bitmap, freeze.run, 0, NULL);
		return ret;
	}
	if (dtrack_bitmap_abdicate(h, dev, bitmap, freeze.run, &generation))
		return failed(bitmap, 0);
	if (store_state(generation))
		return -1;
	printf("%s: %" PRIu64 " bytes\n", incremental ? "incremental" : "full",
	       copied);
	return 0;
}

static int prepare(const char *name)
{
	struct dtrack_dev_info device;
	char node[160];
	int ret;

	if (dtrack_dev_find(h, name, &dev) ||
	    dtrack_dev_info(h, dev, &device, sizeof(device)))
		return failed(name, 0);
	ret = dtrack_bitmap_add(h, dev, bitmap, 0, 0);
	if (ret && ret != -EEXIST)
		return failed(bitmap, 0);
	/* O_DIRECT: what the page cache has of a mounted device may be old. */
	snprintf(node, sizeof(node), "/dev/mapper/%s", device.name);
	source = open(node, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (source < 0)
		return failed(node, errno);
	target = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return target < 0 ? failed(path, errno) : 0;
}

int main(int argc, char **argv)
{
	int ret;

	if (argc != 4) {
		fprintf(stderr, "Usage: %s DEV BITMAP FILE\n", argv[0]);
		return 2;
	}
	bitmap = argv[2];
	path = argv[3];
	snprintf(state, sizeof(state), "%s.state", path);
	buf = aligned_alloc(4096, CHUNK);
	if (!buf || dtrack_new(&h))
		return failed("memory", ENOMEM), 1;
	ret = prepare(argv[1]) || run();
	dtrack_free(h);
	return ret;
}
