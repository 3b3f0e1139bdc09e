/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * target.h - where a backup goes.
 *
 * Life: open (looks, writes nothing), begin (after the freeze), write and flush
 * any number of times, finish, close.
 */
#ifndef DTL_TARGET_H
#define DTL_TARGET_H

#include <stdatomic.h>

#include "queue.h"

struct dtl_image;
struct dtl_nbd;
struct dtl_target;

/**
 * struct dtl_target_ops - one kind of target.  Words are given where @h is.
 * @claim: see to it that no other run makes the same one; 0 or -errno; may be
 *	NULL; see dtl_target_claim()
 * @begin: make it ready to be written; creates what does not exist; 0 or -errno
 * @unit: writes will begin and end at multiples of @unit bytes
 * @write: push @io, a write whose buf, len and offset are set
 * @flush: push @io: all that was written and came back before is made durable
 * @retry: whether the write that failed says nothing about the target, and
 *	would go another way now; nothing is in flight
 * @finish: make its existence durable, too; 0 or -errno
 * @publish: show it to others, when no cancel is possible any more; 0 or -errno;
 *	may be NULL
 * @lost: why it will never take a write again, in words, or NULL; may be NULL
 * @same: see dtl_target_same(); both are of the kind
 * @close: free what is its own
 */
struct dtl_target_ops {
	int (*claim)(struct dtrack *h, struct dtl_target *t);
	int (*begin)(struct dtrack *h, struct dtl_target *t, uint64_t size);
	void (*unit)(struct dtl_target *t, uint64_t unit);
	void (*write)(struct dtl_target *t, struct dtl_queue *q,
		      struct dtl_io *io);
	void (*flush)(struct dtl_target *t, struct dtl_queue *q,
		      struct dtl_io *io);
	bool (*retry)(struct dtl_target *t, const struct dtl_io *io);
	int (*finish)(struct dtl_target *t);
	int (*publish)(struct dtl_target *t);
	const char *(*lost)(const struct dtl_target *t);
	bool (*same)(const struct dtl_target *a, const struct dtl_target *b);
	void (*close)(struct dtl_target *t);
};

/**
 * struct dtl_target - a target.
 * @ops: its kind
 * @patience: seconds that a server may be silent, 0 for the default
 * @cancel: set from outside: a server may be silent for a moment only; or NULL
 * @fd: the file or device, -1 while it does not exist
 * @direct: the same, opened O_DIRECT; -1 where that is refused
 * @is_direct: writes go there; never to both: neither sees what the other has
 *	in half a page
 * @in_memory: its file system is memory
 * @exists: it existed at open
 * @is_block: it is a block device, or an export of somebody's server: it may be
 *	larger than the source, and has no manifest
 * @created: this run made it: it reads as zeroes where nothing was written
 * @size: bytes, when it exists
 * @path: without a prefix; a URI
 * @manifest: path of the manifest, "" for one that has none
 * @nbd: the server, or NULL
 * @image: what only a qcow2 image has, or NULL
 */
struct dtl_target {
	const struct dtl_target_ops *ops;
	unsigned int patience;
	const atomic_int *cancel;
	int fd;
	int direct;
	bool is_direct;
	bool in_memory;
	bool exists;
	bool is_block;
	bool created;
	uint64_t size;
	char path[4096];
	char manifest[4096];
	struct dtl_nbd *nbd;
	struct dtl_image *image;
};

/**
 * dtl_target_open() - open a target, if it exists.
 * @h: the handle
 * @name: PATH, raw:PATH, qcow2:PATH[,backing=PREVIOUS] or a URI
 * @source: the tracked device; a target that lies on it is refused
 * @t: zeroes but for @patience and @cancel; dtl_target_close() it, also on
 *	errors
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
int dtl_target_claim(struct dtrack *h, struct dtl_target *t, int *place);

/**
 * dtl_target_same() - whether two opened targets are one, or would become it.
 * @a: a target
 * @b: another
 *
 * Locks do not tell: they are the process's.
 */
bool dtl_target_same(const struct dtl_target *a, const struct dtl_target *b);

/** dtl_target_why() - words for an error that came back from it. */
const char *dtl_target_why(const struct dtl_target *t, int err);

/** dtl_target_close() - close it, if it was opened. */
void dtl_target_close(struct dtl_target *t);

/* ---- Kinds, for dtl_target_open() --------------------------------------- */

/** dtl_target_open_raw() - open a file or block device; as dtl_target_open(). */
int dtl_target_open_raw(struct dtrack *h, const char *name,
			struct dtrack_dev source, struct dtl_target *t);

/** dtl_target_is_nbd() - whether a name is an NBD URI. */
bool dtl_target_is_nbd(const char *name);

/** dtl_target_open_nbd() - connect to an export; the same. */
int dtl_target_open_nbd(struct dtrack *h, const char *name,
			struct dtl_target *t);

/** dtl_target_is_qcow2() - whether a name is that of an image. */
bool dtl_target_is_qcow2(const char *name);

/** dtl_target_open_qcow2() - look whether one can be made; the same. */
int dtl_target_open_qcow2(struct dtrack *h, const char *name,
			  struct dtrack_dev source, struct dtl_target *t);

/* ---- For the kinds ------------------------------------------------------ */

/** dtl_target_set_path() - take over a name; it is given, and not too long. */
int dtl_target_set_path(struct dtrack *h, const char *path,
			struct dtl_target *t);

/**
 * dtl_target_name_manifest() - name its manifest: one for one file, by whatever
 * link that is called.
 */
int dtl_target_name_manifest(struct dtrack *h, struct dtl_target *t);

/**
 * dtl_target_check_folder() - whether a file may be made there: its folder takes
 * it, and is not the source's; names the manifest.
 */
int dtl_target_check_folder(struct dtrack *h, struct dtrack_dev source,
			    struct dtl_target *t);

#endif
