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
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "nbd-calls.h"
#include "nbd.h"

#define CONNECTIONS	4
/* One more may be refused, or kept waiting: that is no reason to wait. */
#define EXTRA_SECONDS	2
/* How long a cancel, and the end, wait for a server. */
#define HURRY_SECONDS	5
#define NAP_MS		50
/* A queue's depth at most. */
#define MAX_FLIGHT	512
/* What the protocol says of a server that says nothing. */
#define DEFAULT_UNIT	512U
#define MAX_UNIT	(64U << 10)
#define DEFAULT_MAX	(32U << 20)
/* What is zero is looked for in steps of: */
#define ZERO_UNIT	(64U << 10)

static const struct dtl_nbd_calls *const lib = &dtl_libnbd;

struct slot;

/**
 * struct conn - a connection.
 * @handle: libnbd's, or NULL
 * @running: commands in flight
 * @heard: when it was last seen alive, while commands are in flight
 */
struct conn {
	struct nbd_handle *handle;
	unsigned int running;
	double heard;
};

/**
 * struct slot - a command in flight.
 * @nbd: the export
 * @conn: the connection
 * @io: its request, or NULL for a free one
 */
struct slot {
	struct dtl_nbd *nbd;
	struct conn *conn;
	struct dtl_io *io;
};

/** enum patch_state - how far the write of a part of a block is. */
enum patch_state {
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
	struct conn conn[CONNECTIONS];
	unsigned int nr_conns;
	struct slot slot[MAX_FLIGHT];
	struct slot *free[MAX_FLIGHT];
	unsigned int nr_free;
	struct dtl_io *patch;
	struct dtl_io *patch_last;
	enum patch_state patch_state;
	char *block;
	char lost[512];
};

_Static_assert(CONNECTIONS <= DTL_POLLER_FDS, "one file each");

/* ---- Words -------------------------------------------------------------- */

/* Of the call that failed last in this thread, without its name. */
static const char *libnbd_says(void)
{
	const char *text = lib->nbd_get_error(), *colon;

	if (!text)
		return "no reason is known";
	colon = strncmp(text, "nbd_", 4) ? NULL : strstr(text, ": ");
	return colon ? colon + 2 : text;
}

static int libnbd_errno(void)
{
	int err = lib->nbd_get_errno();

	return err ? -err : -EIO;
}

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
	struct slot *s = opaque;
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

static bool is_closed(struct nbd_handle *handle)
{
	return lib->nbd_aio_is_dead(handle) || lib->nbd_aio_is_closed(handle);
}

/* All that is in flight comes back. */
static void lose(struct dtl_nbd *nbd, const char *why)
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
	for (i = 0; i < MAX_FLIGHT; i++)
		if (nbd->slot[i].io)
			on_completion(&nbd->slot[i], &(int){ EIO });
	while (nbd->patch)
		end_command(nbd, nbd->patch, -EIO);
}

static struct conn *idlest(struct dtl_nbd *nbd)
{
	struct conn *best = &nbd->conn[0];
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
	struct conn *c = idlest(nbd);
	struct slot *s;
	int err;

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
		  nbd->fua ? LIBNBD_CMD_FLAG_FUA : 0) >= 0)
		return;
	err = lib->nbd_get_errno();
	if (is_closed(c->handle))
		lose(nbd, libnbd_says());
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

static void look_at(struct dtl_nbd *nbd, struct conn *c, short revents)
{
	if (revents)
		c->heard = dtl_now();
	if (notify(c->handle, revents))
		lose(nbd, libnbd_says());
	else if (is_closed(c->handle) || revents & (POLLERR | POLLNVAL))
		lose(nbd, "it closed the connection");
}

static unsigned int patience(const struct dtl_nbd *nbd)
{
	unsigned int most = nbd->place.patience;

	if (nbd->place.cancel && atomic_load(nbd->place.cancel) &&
	    most > HURRY_SECONDS)
		return HURRY_SECONDS;
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
		lose(nbd, why);
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

	for (i = 0; i < MAX_FLIGHT; i++) {
		if (!nbd->slot[i].io || nbd->slot[i].io->queue != q)
			continue;
		nbd->slot[i].io = NULL;
		some = true;
	}
	if (!some)
		return;
	if (nbd->patch && nbd->patch->queue == q)
		nbd->patch = NULL;
	lose(nbd, "its requests were given up");
}

/* ---- Connecting --------------------------------------------------------- */

static bool is_cancelled(const struct dtl_nbd *nbd)
{
	return nbd->place.cancel && atomic_load(nbd->place.cancel);
}

/* Return: 0, or -errno without words. */
static int settle(struct dtl_nbd *nbd, struct nbd_handle *handle,
		  unsigned int seconds)
{
	double until = dtl_now() + seconds;

	while (lib->nbd_aio_is_connecting(handle)) {
		if (is_cancelled(nbd))
			return -ECANCELED;
		if (dtl_now() >= until)
			return -ETIME;
		if (lib->nbd_poll(handle, NAP_MS) < 0 &&
		    lib->nbd_get_errno() != EINTR)
			return libnbd_errno();
	}
	return lib->nbd_aio_is_ready(handle) ? 0 : -EIO;
}

/* Return: 0, or -errno without words. */
static int connect_one(struct dtl_nbd *nbd, unsigned int seconds)
{
	struct conn *c = &nbd->conn[nbd->nr_conns];
	int ret;

	c->handle = lib->nbd_create();
	if (!c->handle)
		return -ENOMEM;
	nbd->nr_conns++;
	/* Keys and certificates; who names them may read them. */
	lib->nbd_set_uri_allow_local_file(c->handle, true);
	/* What a failed read leaves there is not used. */
	lib->nbd_set_pread_initialize(c->handle, false);
	if (nbd->place.command)
		ret = lib->nbd_aio_connect_systemd_socket_activation(
			c->handle, (char **)nbd->place.command);
	else
		ret = lib->nbd_aio_connect_uri(c->handle, nbd->place.uri);
	return ret ? libnbd_errno() : settle(nbd, c->handle, seconds);
}

static void disconnect_one(struct dtl_nbd *nbd)
{
	struct conn *c = &nbd->conn[--nbd->nr_conns];

	if (nbd->place.command)
		lib->nbd_kill_subprocess(c->handle, SIGKILL);
	lib->nbd_close(c->handle);
	c->handle = NULL;
}

static int cannot_connect(struct dtrack *h, const struct dtl_nbd *nbd, int err)
{
	switch (err) {
	case -ECANCELED:
		return dtl_fail(h, err, NULL, "Operation canceled");
	case -ENOMEM:
		return dtl_nomem(h);
	case -ETIME:
		return dtl_fail(h, -ETIMEDOUT, DTL_CLASS_GENERIC,
				"Could not connect to '%s': no answer for %u seconds",
				nbd->place.name, nbd->place.patience);
	default:
		return dtl_fail(h, err, DTL_CLASS_GENERIC,
				"Could not connect to '%s': %s",
				nbd->place.name, libnbd_says());
	}
}

/* What it does not say is what the protocol says then. */
static uint32_t block_size(struct nbd_handle *handle, int which,
			   uint32_t unsaid)
{
	int64_t size = lib->nbd_get_block_size(handle, which);

	return size > 0 && size <= UINT32_MAX ? (uint32_t)size : unsaid;
}

static int learn_units(struct dtrack *h, struct dtl_nbd *nbd)
{
	struct nbd_handle *handle = nbd->conn[0].handle;

	nbd->unit = block_size(handle, LIBNBD_SIZE_MINIMUM, DEFAULT_UNIT);
	nbd->max = block_size(handle, LIBNBD_SIZE_MAXIMUM, DEFAULT_MAX);
	if (nbd->max > DEFAULT_MAX)
		nbd->max = DEFAULT_MAX;
	if (nbd->unit & (nbd->unit - 1) || nbd->unit > MAX_UNIT ||
	    nbd->max < nbd->unit)
		return dtl_fail(h, -EINVAL, DTL_CLASS_GENERIC,
				"The server of '%s' has strange block sizes: %u to %u bytes",
				nbd->place.name, nbd->unit, nbd->max);
	nbd->max -= nbd->max % nbd->unit;
	nbd->size -= nbd->size % nbd->unit;
	nbd->block = malloc(nbd->unit);
	return nbd->block ? 0 : dtl_nomem(h);
}

static int check_writable(struct dtrack *h, struct dtl_nbd *nbd)
{
	struct nbd_handle *handle = nbd->conn[0].handle;

	if (lib->nbd_is_read_only(handle))
		return dtl_fail(h, -EROFS, NULL,
				"The server of '%s' exports it read-only",
				nbd->place.name);
	nbd->can_zero = lib->nbd_can_zero(handle) > 0;
	nbd->fua = lib->nbd_can_flush(handle) <= 0;
	if (nbd->fua && lib->nbd_can_fua(handle) <= 0)
		return dtl_fail(h, -EOPNOTSUPP, DTL_CLASS_GENERIC,
				"The server of '%s' cannot flush: nothing is safe there",
				nbd->place.name);
	return 0;
}

static int learn(struct dtrack *h, struct dtl_nbd *nbd)
{
	int64_t size = lib->nbd_get_size(nbd->conn[0].handle);

	if (size < 0)
		return dtl_fail(h, libnbd_errno(), DTL_CLASS_GENERIC,
				"Could not get the size of '%s': %s",
				nbd->place.name, libnbd_says());
	nbd->size = (uint64_t)size;
	if (nbd->place.writable) {
		int ret = check_writable(h, nbd);

		if (ret)
			return ret;
	}
	return learn_units(h, nbd);
}

static int64_t last_size(const struct dtl_nbd *nbd)
{
	return lib->nbd_get_size(nbd->conn[nbd->nr_conns - 1].handle);
}

/* The others: as many as it takes. */
static void connect_more(struct dtl_nbd *nbd)
{
	int64_t size;

	if (nbd->place.command ||
	    lib->nbd_can_multi_conn(nbd->conn[0].handle) <= 0)
		return;
	size = lib->nbd_get_size(nbd->conn[0].handle);
	while (nbd->nr_conns < CONNECTIONS) {
		if (connect_one(nbd, EXTRA_SECONDS) || last_size(nbd) != size) {
			disconnect_one(nbd);
			return;
		}
	}
}

static struct dtl_nbd *new_nbd(const struct dtl_nbd_place *place)
{
	struct dtl_nbd *nbd = calloc(1, sizeof(*nbd));
	unsigned int i;

	if (!nbd)
		return NULL;
	nbd->place = *place;
	if (!nbd->place.patience)
		nbd->place.patience = DTL_NBD_PATIENCE;
	nbd->poller.wants = wants;
	nbd->poller.look = look;
	nbd->poller.leave = leave;
	for (i = 0; i < MAX_FLIGHT; i++) {
		nbd->slot[i].nbd = nbd;
		nbd->free[nbd->nr_free++] = &nbd->slot[i];
	}
	return nbd;
}

int dtl_nbd_open(struct dtrack *h, const struct dtl_nbd_place *place,
		 struct dtl_nbd **result)
{
	struct dtl_nbd *nbd;
	int ret;

	ret = dtl_libnbd_load(h);
	if (ret)
		return ret;
	nbd = new_nbd(place);
	if (!nbd)
		return dtl_nomem(h);
	ret = connect_one(nbd, nbd->place.patience);
	ret = ret ? cannot_connect(h, nbd, ret) : learn(h, nbd);
	if (ret) {
		lose(nbd, "");
		dtl_nbd_close(nbd);
		return ret;
	}
	connect_more(nbd);
	*result = nbd;
	return 0;
}

uint64_t dtl_nbd_size(const struct dtl_nbd *nbd)
{
	return nbd->size;
}

uint32_t dtl_nbd_unit(const struct dtl_nbd *nbd)
{
	return nbd->unit > DEFAULT_UNIT ? nbd->unit : DEFAULT_UNIT;
}

const char *dtl_nbd_lost(const struct dtl_nbd *nbd)
{
	return nbd->lost[0] ? nbd->lost : NULL;
}

/* Until the server has hung up: one that we started ends then. */
static void say_goodbye(struct dtl_nbd *nbd, struct nbd_handle *handle)
{
	double until = dtl_now() + HURRY_SECONDS;
	int ret = lib->nbd_aio_disconnect(handle, 0);

	while (!ret && !is_closed(handle)) {
		if (dtl_now() >= until)
			ret = -1;
		else if (lib->nbd_poll(handle, NAP_MS) < 0 &&
			 lib->nbd_get_errno() != EINTR)
			ret = -1;
	}
	if (ret && nbd->place.command)
		lib->nbd_kill_subprocess(handle, SIGKILL);
}

void dtl_nbd_close(struct dtl_nbd *nbd)
{
	if (!nbd)
		return;
	dtl_queue_detach(&nbd->poller);
	while (!nbd->lost[0] && nbd->nr_conns) {
		struct nbd_handle *handle = nbd->conn[--nbd->nr_conns].handle;

		say_goodbye(nbd, handle);
		lib->nbd_close(handle);
	}
	free(nbd->block);
	free(nbd);
}
