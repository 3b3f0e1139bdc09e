// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * target-nbd.c - targets that are exports of an NBD server.
 *
 * An export is like a block device: it is there, its size is its own, and it
 * has no manifest.
 */
#include <string.h>

#include "nbd.h"
#include "target.h"

bool dtl_target_is_nbd(const char *name)
{
	static const char *const schemes[] = {
		"nbd://", "nbds://", "nbd+unix://", "nbds+unix://",
		"nbd+vsock://", "nbds+vsock://",
	};
	size_t i;

	for (i = 0; i < DTL_ARRAY_SIZE(schemes); i++)
		if (!strncmp(name, schemes[i], strlen(schemes[i])))
			return true;
	return false;
}

static int nbd_begin(struct dtrack *h, struct dtl_target *t, uint64_t size)
{
	(void)h;
	(void)t;
	(void)size;
	return 0;
}

static void nbd_unit(struct dtl_target *t, uint64_t unit)
{
	(void)t;
	(void)unit;
}

static void nbd_write(struct dtl_target *t, struct dtl_queue *q,
		      struct dtl_io *io)
{
	io->op = DTL_IO_WRITE;
	dtl_nbd_push(t->nbd, q, io);
}

static void nbd_flush(struct dtl_target *t, struct dtl_queue *q,
		      struct dtl_io *io)
{
	io->op = DTL_IO_FLUSH;
	dtl_nbd_push(t->nbd, q, io);
}

static bool nbd_retry(struct dtl_target *t, const struct dtl_io *io)
{
	(void)t;
	(void)io;
	return false;
}

static int nbd_finish(struct dtl_target *t)
{
	(void)t;
	return 0;
}

static const char *nbd_lost(const struct dtl_target *t)
{
	return dtl_nbd_lost(t->nbd);
}

static bool nbd_same(const struct dtl_target *a, const struct dtl_target *b)
{
	return !strcmp(a->path, b->path);
}

static void nbd_close_target(struct dtl_target *t)
{
	dtl_nbd_close(t->nbd);
	t->nbd = NULL;
}

static const struct dtl_target_ops nbd_ops = {
	.begin = nbd_begin,
	.unit = nbd_unit,
	.write = nbd_write,
	.flush = nbd_flush,
	.retry = nbd_retry,
	.finish = nbd_finish,
	.lost = nbd_lost,
	.same = nbd_same,
	.close = nbd_close_target,
};

int dtl_target_open_nbd(struct dtrack *h, const char *name,
			struct dtl_target *t)
{
	struct dtl_nbd_place place = {
		.name = t->path,
		.uri = name,
		.writable = true,
		.patience = t->patience,
		.cancel = t->cancel,
	};
	int ret;

	t->ops = &nbd_ops;
	ret = dtl_target_set_path(h, name, t);
	if (!ret)
		ret = dtl_nbd_open(h, &place, &t->nbd);
	if (ret)
		return ret;
	t->exists = true;
	t->is_block = true;
	/* What is beyond its last whole block cannot be written. */
	t->size = dtl_nbd_size(t->nbd);
	t->size -= t->size % dtl_nbd_unit(t->nbd);
	return 0;
}
