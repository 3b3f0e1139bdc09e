// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * nbd-connect.c - connections to an NBD export: made, asked what the server can
 * do, and ended.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "nbd-connect.h"

/* One more may be refused, or kept waiting: that is no reason to wait. */
#define EXTRA_SECONDS	2
#define NAP_MS		50
/* What the protocol says of a server that says nothing. */
#define DEFAULT_UNIT	512U
#define MAX_UNIT	(64U << 10)
#define DEFAULT_MAX	(32U << 20)

static const struct dtl_nbd_calls *const lib = &dtl_libnbd;

/* ---- Words -------------------------------------------------------------- */

const char *dtl_nbd_says(void)
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

/* ---- One connection ----------------------------------------------------- */

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
	struct dtl_nbd_conn *c = &nbd->conn[nbd->nr_conns];
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
	struct dtl_nbd_conn *c = &nbd->conn[--nbd->nr_conns];

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
				nbd->place.name, dtl_nbd_says());
	}
}

/* ---- What the server can do --------------------------------------------- */

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
				nbd->place.name, dtl_nbd_says());
	nbd->size = (uint64_t)size;
	if (nbd->place.writable) {
		int ret = check_writable(h, nbd);

		if (ret)
			return ret;
	}
	return learn_units(h, nbd);
}

uint64_t dtl_nbd_size(const struct dtl_nbd *nbd)
{
	return nbd->size;
}

uint32_t dtl_nbd_unit(const struct dtl_nbd *nbd)
{
	return nbd->unit > DEFAULT_UNIT ? nbd->unit : DEFAULT_UNIT;
}

/* ---- All of them -------------------------------------------------------- */

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
	while (nbd->nr_conns < DTL_NBD_CONNECTIONS) {
		if (connect_one(nbd, EXTRA_SECONDS) || last_size(nbd) != size) {
			disconnect_one(nbd);
			return;
		}
	}
}

static struct dtl_nbd *new_nbd(const struct dtl_nbd_place *place)
{
	struct dtl_nbd *nbd = calloc(1, sizeof(*nbd));

	if (!nbd)
		return NULL;
	nbd->place = *place;
	if (!nbd->place.patience)
		nbd->place.patience = DTL_NBD_PATIENCE;
	dtl_nbd_drive(nbd);
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
		dtl_nbd_lose(nbd, "");
		dtl_nbd_close(nbd);
		return ret;
	}
	connect_more(nbd);
	*result = nbd;
	return 0;
}

/* Until the server has hung up: one that we started ends then. */
static void say_goodbye(struct dtl_nbd *nbd, struct nbd_handle *handle)
{
	double until = dtl_now() + DTL_NBD_HURRY;
	int ret = lib->nbd_aio_disconnect(handle, 0);

	while (!ret && !dtl_nbd_is_closed(handle)) {
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
