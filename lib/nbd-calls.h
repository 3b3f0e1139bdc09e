/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nbd-calls.h - libnbd, loaded when the first target or source needs it.
 *
 * Linked, it would bring 15 libraries and 5 MiB into every process that only
 * asks for a bitmap.
 */
#ifndef DTL_NBD_CALLS_H
#define DTL_NBD_CALLS_H

#include <libnbd.h>

#include "private.h"

#define DTL_NBD_CALLS(CALL)				\
	CALL(nbd_aio_connect_systemd_socket_activation)	\
	CALL(nbd_aio_connect_uri)			\
	CALL(nbd_aio_disconnect)			\
	CALL(nbd_aio_flush)				\
	CALL(nbd_aio_get_direction)			\
	CALL(nbd_aio_get_fd)				\
	CALL(nbd_aio_is_closed)				\
	CALL(nbd_aio_is_connecting)			\
	CALL(nbd_aio_is_dead)				\
	CALL(nbd_aio_is_ready)				\
	CALL(nbd_aio_notify_read)			\
	CALL(nbd_aio_notify_write)			\
	CALL(nbd_aio_pread)				\
	CALL(nbd_aio_pwrite)				\
	CALL(nbd_aio_zero)				\
	CALL(nbd_can_flush)				\
	CALL(nbd_can_fua)				\
	CALL(nbd_can_multi_conn)			\
	CALL(nbd_can_zero)				\
	CALL(nbd_close)					\
	CALL(nbd_create)				\
	CALL(nbd_get_block_size)			\
	CALL(nbd_get_errno)				\
	CALL(nbd_get_error)				\
	CALL(nbd_get_size)				\
	CALL(nbd_is_read_only)				\
	CALL(nbd_kill_subprocess)			\
	CALL(nbd_poll)					\
	CALL(nbd_set_pread_initialize)			\
	CALL(nbd_set_uri_allow_local_file)

/** struct dtl_nbd_calls - pointers to libnbd's functions of the same names. */
struct dtl_nbd_calls {
#define CALL(name) __typeof__(name) *name;
	DTL_NBD_CALLS(CALL)
#undef CALL
};

/** dtl_libnbd - valid after dtl_libnbd_load(). */
extern struct dtl_nbd_calls dtl_libnbd;

/**
 * dtl_libnbd_load() - load libnbd, if that has not been done.
 * @h: the handle
 *
 * It stays for as long as the process.
 *
 * Return: 0, or -ELIBACC with words.
 */
int dtl_libnbd_load(struct dtrack *h);

#endif
