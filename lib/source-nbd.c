// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * source-nbd.c - sources that a server reads for us: exports of NBD servers, and
 * qcow2 images with all that they lie over.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nbd.h"
#include "qemu.h"
#include "source.h"

/* ---- Reading ------------------------------------------------------------ */

static void nbd_read(struct dtl_source *s, struct dtl_queue *q,
		     struct dtl_io *io)
{
	io->op = DTL_IO_READ;
	dtl_nbd_push(s->nbd, q, io);
}

static const char *nbd_lost(const struct dtl_source *s)
{
	return dtl_nbd_lost(s->nbd);
}

static void nbd_close_source(struct dtl_source *s)
{
	dtl_nbd_close(s->nbd);
	dtl_close(s->fd);
	s->nbd = NULL;
	s->fd = -1;
}

static const struct dtl_source_ops nbd_ops = {
	.read = nbd_read,
	.lost = nbd_lost,
	.close = nbd_close_source,
};

static void measure(struct dtl_source *s)
{
	s->size = dtl_nbd_size(s->nbd);
	s->block = dtl_nbd_unit(s->nbd);
}

/* ---- Opening ------------------------------------------------------------ */

int dtl_source_open_nbd(struct dtrack *h, const char *uri, struct dtl_source *s)
{
	const struct dtl_nbd_place place = {
		.name = s->path,
		.uri = uri,
		.patience = s->patience,
		.cancel = s->cancel,
	};
	int ret;

	s->ops = &nbd_ops;
	if (snprintf(s->path, sizeof(s->path), "%s", uri) >=
	    (int)sizeof(s->path))
		return dtl_fail(h, -ENAMETOOLONG, NULL,
				"The name of the target is too long");
	ret = dtl_nbd_open(h, &place, &s->nbd);
	if (ret)
		return ret;
	s->is_block = true;
	measure(s);
	return 0;
}

int dtl_source_serve_qcow2(struct dtrack *h, struct dtl_source *s)
{
	const struct dtl_nbd_place place = {
		.name = s->path,
		.patience = s->patience,
		.cancel = s->cancel,
	};
	char *real = realpath(s->path, NULL);
	struct dtl_qemu_info info;
	int ret;

	if (!real)
		return dtl_open_error(h, s->path);
	s->ops = &nbd_ops;
	ret = dtl_qemu_look(h, real, "qcow2", s->alone, &info);
	if (!ret && s->alone)
		ret = dtl_qemu_serve_alone(h, real, &place, &s->nbd);
	else if (!ret)
		ret = dtl_qemu_serve(h, real, "qcow2", &place, &s->nbd);
	free(real);
	if (ret)
		return ret;
	measure(s);
	s->cluster = info.cluster ? : DTL_QEMU_CLUSTER;
	return 0;
}
