/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nbd-connect.h - an NBD export, as the files that make it share it.
 */
#ifndef DTL_NBD_CONNECT_H
#define DTL_NBD_CONNECT_H

#include "nbd-calls.h"
#include "nbd.h"

#define DTL_NBD_CONNECTIONS	4
/* A queue's depth at most. */
#define DTL_NBD_FLIGHT		512
/* Seconds that a cancel, and the end, wait for a server. */
#define DTL_NBD_HURRY		5

/**
 * struct dtl_nbd_conn - a connection.
 * @handle: libnbd's, or NULL
 * @running: commands in flight
 * @heard: when it was last seen alive, while commands are in flight
 */
struct dtl_nbd_conn {
	struct nbd_handle *handle;
	unsigned int running;
	double heard;
};

/**
 * struct dtl_nbd_slot - a command in flight.
 * @nbd: the export
 * @conn: the connection
 * @io: its request, or NULL for a free one
 */
struct dtl_nbd_slot {
	struct dtl_nbd *nbd;
	struct dtl_nbd_conn *conn;
	struct dtl_io *io;
};

/** enum dtl_nbd_patch - how far the write of a part of a block is. */
enum dtl_nbd_patch {
	PATCH_NONE,
	PATCH_TO_READ,
	PATCH_READING,
	PATCH_TO_WRITE,
	PATCH_WRITING,
};

/**
 * struct dtl_nbd - an export.
 * @poller: its place in the queue; the first member
 * @place: as given; the strings are the caller's only during dtl_nbd_open()
 * @size: bytes
 * @unit: what requests begin and end at, for the server
 * @max: most bytes of one
 * @can_zero: it writes zeroes by itself
 * @fua: it cannot flush, but write durably
 * @conn: the connections
 * @nr_conns: number of them
 * @slot: all commands
 * @free: those that are not in flight
 * @nr_free: number of them
 * @patch: a write of less than a block, and those that wait for it
 * @patch_last: the last of them
 * @patch_state: how far the first is
 * @block: the block
 * @lost: why the server is, or empty
 */
struct dtl_nbd {
	struct dtl_poller poller;
	struct dtl_nbd_place place;
	uint64_t size;
	uint32_t unit;
	uint32_t max;
	bool can_zero;
	bool fua;
	struct dtl_nbd_conn conn[DTL_NBD_CONNECTIONS];
	unsigned int nr_conns;
	struct dtl_nbd_slot slot[DTL_NBD_FLIGHT];
	struct dtl_nbd_slot *free[DTL_NBD_FLIGHT];
	unsigned int nr_free;
	struct dtl_io *patch;
	struct dtl_io *patch_last;
	enum dtl_nbd_patch patch_state;
	char *block;
	char lost[512];
};

_Static_assert(DTL_NBD_CONNECTIONS <= DTL_POLLER_FDS, "one file each");

/** dtl_nbd_says() - of libnbd's call that failed last here, without its name. */
const char *dtl_nbd_says(void);

/** dtl_nbd_drive() - have its requests driven by the queues it is pushed to. */
void dtl_nbd_drive(struct dtl_nbd *nbd);

/** dtl_nbd_lose() - give it up: all that is in flight comes back. */
void dtl_nbd_lose(struct dtl_nbd *nbd, const char *why);

static inline bool dtl_nbd_is_closed(struct nbd_handle *handle)
{
	return dtl_libnbd.nbd_aio_is_dead(handle) ||
	       dtl_libnbd.nbd_aio_is_closed(handle);
}

#endif
