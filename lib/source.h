/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * source.h - what is read: a device that is backed up, or a backup.
 */
#ifndef DTL_SOURCE_H
#define DTL_SOURCE_H

#include "queue.h"

struct dtl_source;

/**
 * struct dtl_source_ops - one kind of source.
 * @read: push @io, a read whose buf, len and offset are set
 * @close: close it; nothing is in flight
 */
struct dtl_source_ops {
	void (*read)(struct dtl_source *s, struct dtl_queue *q,
		     struct dtl_io *io);
	void (*close)(struct dtl_source *s);
};

/**
 * struct dtl_source - a source.
 * @ops: its kind; NULL when it is not open
 * @fd: file or device, -1 when it is not open, or of another kind
 * @block: reads begin and end at multiples of it, at the end beyond @size, and
 *	buffers are aligned to it; a power of two
 * @in_memory: a read is but a copy from memory
 * @is_block: it is a block device
 * @size: bytes
 * @path: without a prefix
 * @manifest: path of the manifest, which may not exist; "" for what has none
 */
struct dtl_source {
	const struct dtl_source_ops *ops;
	int fd;
	uint32_t block;
	bool in_memory;
	bool is_block;
	uint64_t size;
	char path[4096];
	char manifest[4096];
};

/** dtl_source_raw - files and block devices. */
extern const struct dtl_source_ops dtl_source_raw;

/** dtl_source_init() - a source that is not open. */
void dtl_source_init(struct dtl_source *s);

/**
 * dtl_source_open() - open what a run has written.
 * @h: the handle
 * @name: as dtl_target_open() takes it
 * @s: result; dtl_source_close() it, also on errors; @path and @manifest are
 *	right also when it does not exist
 *
 * A file is read directly where that is possible, and locked: against runs, not
 * against other readers.
 *
 * Return: 0; -EOPNOTSUPP for an unknown kind, -EBUSY when a run is writing it,
 * -EINVAL when it is neither a file nor a block device, or the errno of opening
 * it; with words.
 */
int dtl_source_open(struct dtrack *h, const char *name, struct dtl_source *s);

/**
 * dtl_source_open_device() - open a device to copy or compare it.
 * @h: the handle
 * @path: its node
 * @s: result; dtl_source_close() it, also on errors
 *
 * Directly or not at all: buffered reads of a mounted device give stale data.
 *
 * Return: 0 or an errno with words.
 */
int dtl_source_open_device(struct dtrack *h, const char *path,
			   struct dtl_source *s);

/** dtl_source_close() - close a source, if it is open. */
void dtl_source_close(struct dtl_source *s);

#endif
