/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * source.h - what is read: a device that is backed up, or a backup.
 */
#ifndef DTL_SOURCE_H
#define DTL_SOURCE_H

#include <stdatomic.h>

#include "queue.h"

struct dtl_nbd;
struct dtl_source;

/**
 * struct dtl_source_ops - one kind of source.
 * @read: push @io, a read whose buf, len and offset are set
 * @lost: why it will never be read again, in words, or NULL; may be NULL
 * @close: close it; nothing is in flight
 */
struct dtl_source_ops {
	void (*read)(struct dtl_source *s, struct dtl_queue *q,
		     struct dtl_io *io);
	const char *(*lost)(const struct dtl_source *s);
	void (*close)(struct dtl_source *s);
};

/**
 * struct dtl_source - a source.
 * @patience: seconds that a server may be silent, 0 for the default
 * @cancel: set from outside: hurry; or NULL
 * @alone: an image without what it lies over, which need not be there; what it
 *	does not have itself is not to be read
 * @ops: its kind; NULL when it is not open
 * @fd: file or device, -1 when it is not open, or of another kind
 * @block: reads begin and end at multiples of it, at the end beyond @size, and
 *	buffers are aligned to it; a power of two
 * @in_memory: a read is but a copy from memory
 * @medium: what is read comes from the medium, not from a memory of it; see
 *	medium.h
 * @is_block: it is a block device, or an export of somebody's server: it may be
 *	larger than its content
 * @size: bytes
 * @path: without a prefix
 * @manifest: path of the manifest, which may not exist; "" for what has none
 * @nbd: the server that reads it, or NULL
 * @cluster: of an image: what it has itself is clusters of so many bytes
 */
struct dtl_source {
	unsigned int patience;
	const atomic_int *cancel;
	bool alone;
	const struct dtl_source_ops *ops;
	int fd;
	uint32_t block;
	bool in_memory;
	bool medium;
	bool is_block;
	uint64_t size;
	char path[4096];
	char manifest[4096];
	struct dtl_nbd *nbd;
	uint64_t cluster;
};

/** dtl_source_raw - files and block devices. */
extern const struct dtl_source_ops dtl_source_raw;

/** dtl_source_init() - a source that is not open. */
void dtl_source_init(struct dtl_source *s);

/**
 * dtl_source_open() - open what a run has written.
 * @h: the handle
 * @name: PATH, raw:PATH, qcow2:PATH or an NBD URI; a PATH without a prefix is
 *	what its manifest says
 * @s: of dtl_source_init(), the first three are the caller's; dtl_source_close()
 *	it, also on errors; @path and @manifest are right also when it does not
 *	exist
 *
 * A file is read directly where that is possible, an image by qemu-nbd; both are
 * locked: against runs, not against other readers.
 *
 * Return: 0; -EBUSY when a run is writing it, -EINVAL when it is neither a file
 * nor a block device, -ENOLINK when an image is there but it cannot be opened, or
 * unless @alone what it lies over, or the errno of opening it; with words.
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

/**
 * dtl_source_bad_spot() - what an error that came back from it speaks of.
 *
 * Return: whether it is a place that the disk cannot read: others may be read.
 */
bool dtl_source_bad_spot(const struct dtl_source *s, int err);

/** dtl_source_why() - words for an error that came back from it. */
const char *dtl_source_why(const struct dtl_source *s, int err);

/* ---- Kinds, for dtl_source_open() --------------------------------------- */

/** dtl_source_open_nbd() - connect to an export; as dtl_source_open(). */
int dtl_source_open_nbd(struct dtrack *h, const char *uri,
			struct dtl_source *s);

/** dtl_source_serve_qcow2() - start a server for the image at @s->path. */
int dtl_source_serve_qcow2(struct dtrack *h, struct dtl_source *s);

/* ---- All ---------------------------------------------------------------- */

/** dtl_source_close() - close a source, if it is open. */
void dtl_source_close(struct dtl_source *s);

#endif
