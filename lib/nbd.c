// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * nbd.c - an NBD export, its requests in a queue.
 *
 * One thread drives all connections, from dtl_queue_wait(): libnbd's handles
 * are state machines that are told when their socket is ready.  Where the
 * server says that connections see each other's writes (multi-conn, then a
 * flush of one covers all) there are several, else one.
 *
 * When one connection is lost all are: what it had acknowledged may be lost
 * with it.  So is a server that owes an answer and is silent for too long.
 * Requests then come back at once and libnbd forgets them, so that no buffer is
 * touched any more.
 *
 * A write that does not begin or end with the server's blocks is done block by
 * block, reading it, putting in what is new and writing it: one such at a time,
 * for two of them may share a block.  No other write does: extents of one set
 * are disjoint.
 *
 * How connections are made and ended is nbd-connect.c's.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "nbd-connect.h"

/* What is zero is looked for in steps of: */
#define ZERO_UNIT	(64U << 10)

static const struct dtl_nbd_calls *const lib = &dtl_libnbd;

/* ---- Commands ----------------------------------------------------------- */

static void end_io(struct dtl_io *io, ssize_t result)
{
	io->result = result;
	dtl_queue_done(io->queue, io);
}

/* What is wrong with a connection is no error of the target's file. */
static int io_error(int err)
{
	switch (err) {
	case ENOTCONN:
	case ESHUTDOWN:
	case EPIPE:
	case ECONNRESET:
	case ECONNABORTED:
		return -EIO;
	default:
		return err ? -err : -EIO;
	}
}

/* @result: bytes, or -errno. */
static void end_command(struct dtl_nbd *nbd, struct dtl_io *io, ssize_t result)
{
	if (io != nbd->patch || nbd->patch_state == PATCH_NONE) {
		end_io(io, result);
		return;
	}
	if (result >= 0 && nbd->patch_state == PATCH_READING) {
		nbd->patch_state = PATCH_TO_WRITE;
		return;
	}
	nbd->patch = io->next;
	nbd->patch_state = nbd->patch ? PATCH_TO_READ : PATCH_NONE;
	end_io(io, result);
}

/* libnbd must not be called from here. */
static int on_completion(void *opaque, int *error)
{
	struct dtl_nbd_slot *s = opaque;
	struct dtl_nbd *nbd = s->nbd;
	struct dtl_io *io = s->io;

	/* Given back already. */
	if (!io)
		return 1;
	s->io = NULL;
	s->conn->running--;
	s->conn->heard = dtl_now();
	nbd->free[nbd->nr_free++] = s;
	end_command(nbd, io, *error ? io_error(*error) : io->result);
	return 1;
}

/* All that is in flight comes back. */
void dtl_nbd_lose(struct dtl_nbd *nbd, const char *why)
{
	unsigned int i;

	if (!nbd->lost[0])
		snprintf(nbd->lost, sizeof(nbd->lost), "the server is lost: %s",
			 why);
	for (i = 0; i < nbd->nr_conns; i++) {
		if (!nbd->conn[i].handle)
			continue;
		/* One that we started must not be waited for. */
		if (nbd->place.command)
			lib->nbd_kill_subprocess(nbd->conn[i].handle, SIGKILL);
		lib->nbd_close(nbd->conn[i].handle);
		nbd->conn[i].handle = NULL;
	}
	for (i = 0; i < DTL_NBD_FLIGHT; i++)
		if (nbd->slot[i].io)
			on_completion(&nbd->slot[i], &(int){ EIO });
	while (nbd->patch)
		end_command(nbd, nbd->patch, -EIO);
}

static struct dtl_nbd_conn *idlest(struct dtl_nbd *nbd)
{
	struct dtl_nbd_conn *best = &nbd->conn[0];
	unsigned int i;

	for (i = 1; i < nbd->nr_conns; i++)
		if (nbd->conn[i].running < best->running)
			best = &nbd->conn[i];
	return best;
}

/** enum command - what the server is asked for. */
enum command { READ, WRITE, ZERO, FLUSH };

static int64_t issue(struct nbd_handle *handle, enum command command,
		     char *buf, size_t len, uint64_t offset,
		     nbd_completion_callback done, uint32_t flags)
{
	switch (command) {
	case READ:
		return lib->nbd_aio_pread(handle, buf, len, offset, done, 0);
	case WRITE:
		return lib->nbd_aio_pwrite(handle, buf, len, offset, done,
					   flags);
	case ZERO:
		return lib->nbd_aio_zero(handle, len, offset, done, flags);
	case FLUSH:
		return lib->nbd_aio_flush(handle, done, 0);
	}
	return -1;
}

/* @io->result is what it comes back with, when all goes well. */
static void begin_command(struct dtl_nbd *nbd, struct dtl_io *io,
			  enum command command, char *buf, size_t len,
			  uint64_t offset)
{
	struct dtl_nbd_conn *c = idlest(nbd);
	struct dtl_nbd_slot *s;
	int err = 0;

	if (!nbd->nr_free) {
		end_command(nbd, io, -ENOBUFS);
		return;
	}
	s = nbd->free[--nbd->nr_free];
	s->conn = c;
	s->io = io;
	if (!c->running++)
		c->heard = dtl_now();
	if (issue(c->handle, command, buf, len, offset,
		  (nbd_completion_callback){ .callback = on_completion,
					     .user_data = s },
		  nbd->fua ? LIBNBD_CMD_FLAG_FUA : 0) < 0)
		err = lib->nbd_get_errno() ? : EIO;
	/* Before anybody takes the command's end for an error of its own. */
	if (dtl_nbd_is_closed(c->handle))
		dtl_nbd_lose(nbd, err ? dtl_nbd_says() : "it closed the connection");
	else if (!err)
		return;
	/* Unless it came back with the connection. */
	if (s->io == io)
		on_completion(s, &(int){ err ? : EIO });
}

/* ---- Writes ------------------------------------------------------------- */

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool is_zero(const char *buf, size_t len)
{
	return !buf[0] && !memcmp(buf, buf + 1, len - 1);
}

/* Up to where the first byte of @io's is zeroes, or is not. */
static size_t same_kind(const struct dtl_nbd *nbd, const struct dtl_io *io,
			size_t len, bool *zero)
{
	size_t at, unit = ZERO_UNIT;

	*zero = false;
	if (!nbd->can_zero)
		return len;
	*zero = is_zero(io->buf, min_size(unit, len));
	for (at = unit; at < len; at += unit)
		if (is_zero(io->buf + at, min_size(unit, len - at)) != *zero)
			return at;
	return len;
}

static void write_blocks(struct dtl_nbd *nbd, struct dtl_io *io)
{
	size_t len = min_size(io->len - io->len % nbd->unit, nbd->max);
	bool zero;

	len = same_kind(nbd, io, len, &zero);
	io->result = (ssize_t)len;
	begin_command(nbd, io, zero ? ZERO : WRITE, io->buf, len, io->offset);
}

static void queue_patch(struct dtl_nbd *nbd, struct dtl_io *io)
{
	io->next = NULL;
	if (nbd->patch)
		nbd->patch_last->next = io;
	else
		nbd->patch = io;
	nbd->patch_last = io;
	if (nbd->patch_state == PATCH_NONE)
		nbd->patch_state = PATCH_TO_READ;
}

static void read_patch(struct dtl_nbd *nbd)
{
	struct dtl_io *io = nbd->patch;

	nbd->patch_state = PATCH_READING;
	io->result = 0;
	begin_command(nbd, io, READ, nbd->block, nbd->unit,
		      io->offset - io->offset % nbd->unit);
}

static void write_patch(struct dtl_nbd *nbd)
{
	struct dtl_io *io = nbd->patch;
	size_t skip = io->offset % nbd->unit;
	size_t len = min_size(nbd->unit - skip, io->len);

	memcpy(nbd->block + skip, io->buf, len);
	nbd->patch_state = PATCH_WRITING;
	io->result = (ssize_t)len;
	begin_command(nbd, io, WRITE, nbd->block, nbd->unit, io->offset - skip);
}

/* Outside of libnbd's calls. */
static void go_on(struct dtl_nbd *nbd)
{
	while (!nbd->lost[0])
		if (nbd->patch_state == PATCH_TO_READ)
			read_patch(nbd);
		else if (nbd->patch_state == PATCH_TO_WRITE)
			write_patch(nbd);
		else
			return;
}

static void push_write(struct dtl_nbd *nbd, struct dtl_io *io)
{
	if (io->offset % nbd->unit || io->len < nbd->unit)
		queue_patch(nbd, io);
	else
		write_blocks(nbd, io);
}

void dtl_nbd_push(struct dtl_nbd *nbd, struct dtl_queue *q, struct dtl_io *io)
{
	size_t len = min_size(io->len, nbd->max);

	/* A reader's last block may go beyond the end. */
	if (io->op == DTL_IO_READ && io->offset < nbd->size)
		len = min_size(len, nbd->size - io->offset);
	io->queue = q;
	dtl_queue_attach(q, &nbd->poller);
	if (nbd->lost[0]) {
		end_io(io, -EIO);
	} else if (io->op == DTL_IO_WRITE) {
		push_write(nbd, io);
	} else if (io->op == DTL_IO_READ) {
		io->result = (ssize_t)len;
		begin_command(nbd, io, READ, io->buf, len, io->offset);
	} else if (nbd->fua) {
		end_io(io, 0);
	} else {
		io->result = 0;
		begin_command(nbd, io, FLUSH, NULL, 0, 0);
	}
	go_on(nbd);
}

/* ---- The sockets -------------------------------------------------------- */

static unsigned int wants(struct dtl_poller *p, struct pollfd *fds)
{
	struct dtl_nbd *nbd = (struct dtl_nbd *)p;
	unsigned int i, direction;

	if (nbd->lost[0])
		return 0;
	for (i = 0; i < nbd->nr_conns; i++) {
		direction = lib->nbd_aio_get_direction(nbd->conn[i].handle);
		fds[i].fd = lib->nbd_aio_get_fd(nbd->conn[i].handle);
		fds[i].events =
			(direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
			(direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0);
		fds[i].revents = 0;
	}
	return nbd->nr_conns;
}

/*
 * Only one of both is told, as nbd_poll() does: the first may change what is
 * waited for.
 */
static int notify(struct nbd_handle *handle, short revents)
{
	if (revents & (POLLIN | POLLHUP))
		return lib->nbd_aio_notify_read(handle);
	if (revents & POLLOUT)
		return lib->nbd_aio_notify_write(handle);
	return 0;
}

static void look_at(struct dtl_nbd *nbd, struct dtl_nbd_conn *c, short revents)
{
	if (revents)
		c->heard = dtl_now();
	if (notify(c->handle, revents))
		dtl_nbd_lose(nbd, dtl_nbd_says());
	else if (dtl_nbd_is_closed(c->handle) || revents & (POLLERR | POLLNVAL))
		dtl_nbd_lose(nbd, "it closed the connection");
}

static unsigned int patience(const struct dtl_nbd *nbd)
{
	unsigned int most = nbd->place.patience;

	if (nbd->place.cancel && atomic_load(nbd->place.cancel) &&
	    most > DTL_NBD_HURRY)
		return DTL_NBD_HURRY;
	return most;
}

static void lose_the_silent(struct dtl_nbd *nbd)
{
	unsigned int i, most = patience(nbd);
	char why[64];

	for (i = 0; i < nbd->nr_conns && !nbd->lost[0]; i++) {
		if (!nbd->conn[i].running ||
		    dtl_now() - nbd->conn[i].heard < most)
			continue;
		snprintf(why, sizeof(why), "it was silent for %u seconds",
			 most);
		dtl_nbd_lose(nbd, why);
	}
}

static void look(struct dtl_poller *p, const struct pollfd *fds,
		 unsigned int nr)
{
	struct dtl_nbd *nbd = (struct dtl_nbd *)p;
	unsigned int i;

	for (i = 0; i < nr && !nbd->lost[0]; i++)
		look_at(nbd, &nbd->conn[i], fds[i].revents);
	if (!nbd->lost[0])
		lose_the_silent(nbd);
	go_on(nbd);
}

/*
 * The queue is broken: what is in flight has no memory any more.  A patch waits
 * for one that is in flight.
 */
static void leave(struct dtl_poller *p, const struct dtl_queue *q)
{
	struct dtl_nbd *nbd = (struct dtl_nbd *)p;
	bool some = false;
	unsigned int i;

	for (i = 0; i < DTL_NBD_FLIGHT; i++) {
		if (!nbd->slot[i].io || nbd->slot[i].io->queue != q)
			continue;
		nbd->slot[i].io = NULL;
		some = true;
	}
	if (!some)
		return;
	if (nbd->patch && nbd->patch->queue == q)
		nbd->patch = NULL;
	dtl_nbd_lose(nbd, "its requests were given up");
}

void dtl_nbd_drive(struct dtl_nbd *nbd)
{
	unsigned int i;

	nbd->poller.wants = wants;
	nbd->poller.look = look;
	nbd->poller.leave = leave;
	for (i = 0; i < DTL_NBD_FLIGHT; i++) {
		nbd->slot[i].nbd = nbd;
		nbd->free[nbd->nr_free++] = &nbd->slot[i];
	}
}

const char *dtl_nbd_lost(const struct dtl_nbd *nbd)
{
	return nbd->lost[0] ? nbd->lost : NULL;
}
