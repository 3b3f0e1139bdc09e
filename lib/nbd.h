/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nbd.h - an NBD export, its requests in a queue.
 *
 * All of it belongs to one thread at a time.
 */
#ifndef DTL_NBD_H
#define DTL_NBD_H

#include <stdatomic.h>

#include "queue.h"

struct dtl_nbd;

/* Seconds that a server may be silent, unless another number is given. */
#define DTL_NBD_PATIENCE	60

/**
 * struct dtl_nbd_place - what to connect to, and how.
 * @name: what users call it
 * @uri: where it is, or NULL
 * @command: else a program that serves it, to be started with a socket as
 *	systemd's socket activation does
 * @writable: it must be, and able to flush
 * @patience: seconds that a server may be silent that owes an answer; 0 is
 *	DTL_NBD_PATIENCE
 * @cancel: set from outside: be patient for a few seconds only; or NULL
 */
struct dtl_nbd_place {
	const char *name;
	const char *uri;
	char *const *command;
	bool writable;
	unsigned int patience;
	const atomic_int *cancel;
};

/**
 * dtl_nbd_open() - connect.
 * @h: the handle
 * @place: copied but for @cancel
 * @nbd: result; dtl_nbd_close() it
 *
 * Return: 0; -EROFS for a read-only export, -EOPNOTSUPP for one that cannot
 * flush, -ETIMEDOUT, -ECANCELED, or another errno; all with words.
 */
int dtl_nbd_open(struct dtrack *h, const struct dtl_nbd_place *place,
		 struct dtl_nbd **nbd);

/** dtl_nbd_size() - bytes of the export, as far as it can be read. */
uint64_t dtl_nbd_size(const struct dtl_nbd *nbd);

/**
 * dtl_nbd_unit() - what reads must begin and end at multiples of.
 *
 * At least 512, a power of two.  Writes need not: the rest of a unit is read
 * and written back.
 */
uint32_t dtl_nbd_unit(const struct dtl_nbd *nbd);

/**
 * dtl_nbd_push() - push a request; attaches to the queue.
 * @nbd: the export
 * @q: one of two at most; they share a thread
 * @io: @op, @buf, @len and @offset are set
 *
 * A request may be through with fewer bytes than it has: as many as fit into
 * one of the server's.  Zeroes are written as such where the server knows how.
 * When the server is lost all requests fail with -EIO, see dtl_nbd_lost().
 */
void dtl_nbd_push(struct dtl_nbd *nbd, struct dtl_queue *q, struct dtl_io *io);

/**
 * dtl_nbd_lost() - whether the server is lost, which it stays.
 *
 * Return: NULL, or why, in words.
 */
const char *dtl_nbd_lost(const struct dtl_nbd *nbd);

/**
 * dtl_nbd_close() - disconnect; a server that was started has ended.
 * @nbd: the export, or NULL; nothing is in flight
 */
void dtl_nbd_close(struct dtl_nbd *nbd);

#endif
