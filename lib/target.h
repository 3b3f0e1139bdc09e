/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * target.h - where a backup goes.
 *
 * Life: open (looks, writes nothing), begin (after the freeze), write and flush
 * any number of times, finish, close.
 */
#ifndef DTL_TARGET_H
#define DTL_TARGET_H

#include "private.h"

struct dtl_target;

/**
 * struct dtl_target_ops - one kind of target.  All return 0 or -errno, and
 * leave the words to their callers but where @h is given.
 * @begin: make it ready to be written; creates what does not exist
 * @write: @len bytes at @offset; @done counts what was written, also on errors
 * @flush: make all that was written durable
 * @finish: make its existence durable, too
 */
struct dtl_target_ops {
	int (*begin)(struct dtrack *h, struct dtl_target *t, uint64_t size);
	int (*write)(struct dtl_target *t, const char *buf, size_t len,
		     uint64_t offset, size_t *done);
	int (*flush)(struct dtl_target *t);
	int (*finish)(struct dtl_target *t);
};

/**
 * struct dtl_target - a target.
 * @ops: its kind
 * @fd: the file or device, -1 while it does not exist
 * @exists: it existed at open
 * @is_block: it is a block device
 * @created: this run made it: it reads as zeroes where nothing was written
 * @size: bytes, when it exists
 * @path: without a prefix
 * @manifest: path of the manifest, "" for one that has none
 */
struct dtl_target {
	const struct dtl_target_ops *ops;
	int fd;
	bool exists;
	bool is_block;
	bool created;
	uint64_t size;
	char path[4096];
	char manifest[4096];
};

/**
 * dtl_target_open() - open a target, if it exists.
 * @h: the handle
 * @name: PATH or raw:PATH
 * @source: the tracked device; a target that lies on it is refused
 * @t: result; dtl_target_close() it, also on errors
 *
 * Return: 0; -EOPNOTSUPP for an unknown kind, -EBUSY when another run or
 * program uses it, -ELOOP, or the errno of opening it.
 */
int dtl_target_open(struct dtrack *h, const char *name,
		    struct dtrack_dev source, struct dtl_target *t);

/**
 * dtl_target_claim() - see to it that nobody else makes a target meanwhile.
 * @h: the handle
 * @t: opened
 * @place: result; dtl_close() it when target and manifest are there; -1 for a
 *	target that exists
 *
 * Runs that are to make the same file pass one after the other: the first makes
 * it, the others find it here.  Where folders cannot be locked they may meet.
 *
 * Return: 0; -EBUSY when somebody has made it since it was opened.
 */
int dtl_target_claim(struct dtrack *h, const struct dtl_target *t, int *place);

/**
 * dtl_target_same() - whether two opened targets are one, or would become it.
 * @a: a target
 * @b: another
 *
 * Locks do not tell: they are the process's.
 */
bool dtl_target_same(const struct dtl_target *a, const struct dtl_target *b);

/** dtl_target_close() - close it. */
void dtl_target_close(struct dtl_target *t);

#endif
