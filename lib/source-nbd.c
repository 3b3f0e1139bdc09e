// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * source-nbd.c - sources that a server reads for us: exports of NBD servers, and
 * qcow2 images with all that they lie over.
 */
#include <argz.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "medium.h"
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

/* Its lock would go if it was opened once more, and closed. */
static int open_file(const struct dtl_source *s, const char *names,
		     const char *name)
{
	return name == names ? s->fd :
			       open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void close_file(const struct dtl_source *s, int fd)
{
	if (fd != s->fd)
		dtl_close(fd);
}

/**
 * struct files - images that lie over each other, by name.
 * @names: them, the source itself first, each with a NUL behind it
 * @len: bytes of it
 * @lost: memory did not suffice
 */
struct files {
	char *names;
	size_t len;
	bool lost;
};

static void add_file(void *opaque, const char *name)
{
	struct files *f = opaque;

	if (argz_add(&f->names, &f->len, name))
		f->lost = true;
}

/* What cannot be opened by its name is a server's, or the like. */
static bool are_direct(const struct dtl_source *s, const struct files *f)
{
	const char *name = NULL;
	bool direct = true;
	int fd;

	while (direct && (name = argz_next(f->names, f->len, name))) {
		fd = open_file(s, f->names, name);
		direct = fd >= 0 && dtl_medium_is_direct(fd);
		close_file(s, fd);
	}
	return direct;
}

/* Of all, also when one cannot be. */
static bool refresh(const struct dtl_source *s, const struct files *f,
		    bool direct)
{
	const char *name = NULL;
	bool medium = true;
	int fd;

	while ((name = argz_next(f->names, f->len, name))) {
		fd = open_file(s, f->names, name);
		if (fd < 0 || !dtl_medium_refresh(fd, direct))
			medium = false;
		close_file(s, fd);
	}
	return medium;
}

static int serve(struct dtrack *h, struct dtl_source *s, const char *real,
		 const struct files *f)
{
	const struct dtl_nbd_place place = {
		.name = s->path,
		.patience = s->patience,
		.cancel = s->cancel,
	};
	bool direct = !f->lost && are_direct(s, f);

	s->medium = refresh(s, f, direct) && !f->lost;
	if (s->alone)
		return dtl_qemu_serve_alone(h, real, direct, &place, &s->nbd);
	return dtl_qemu_serve(h, real, "qcow2", direct, &place, &s->nbd);
}

int dtl_source_serve_qcow2(struct dtrack *h, struct dtl_source *s)
{
	char *real = realpath(s->path, NULL);
	struct files files = { 0 };
	struct dtl_qemu_info info = {
		.file = add_file,
		.opaque = &files,
	};
	int ret;

	if (!real)
		return dtl_open_error(h, s->path);
	s->ops = &nbd_ops;
	ret = dtl_qemu_look(h, real, "qcow2", s->alone, &info);
	if (!ret)
		ret = serve(h, s, real, &files);
	free(files.names);
	free(real);
	if (ret)
		return ret;
	measure(s);
	s->cluster = info.cluster ? : DTL_QEMU_CLUSTER;
	return 0;
}
