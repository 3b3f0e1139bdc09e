// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * queue.c - a queue for where io_uring is not permitted: one request at a time.
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "queue.h"

/**
 * struct plain - the queue.
 * @q: the common part
 * @first: of those that are through
 * @last: where the next one is put
 */
struct plain {
	struct dtl_queue q;
	struct dtl_io *first;
	struct dtl_io **last;
};

static ssize_t perform(const struct dtl_io *io)
{
	switch (io->op) {
	case DTL_IO_READ:
		return pread(io->fd, io->buf, io->len, (off_t)io->offset);
	case DTL_IO_WRITE:
		return pwrite(io->fd, io->buf, io->len, (off_t)io->offset);
	case DTL_IO_FLUSH:
		return fdatasync(io->fd);
	}
	errno = EINVAL;
	return -1;
}

static void plain_push(struct dtl_queue *q, struct dtl_io *io)
{
	struct plain *p = (struct plain *)q;

	do {
		io->result = perform(io);
	} while (io->result < 0 && errno == EINTR);
	if (io->result < 0)
		io->result = -errno;
	io->next = NULL;
	*p->last = io;
	p->last = &io->next;
}

static int plain_wait(struct dtl_queue *q, double seconds, struct dtl_io **io)
{
	struct plain *p = (struct plain *)q;
	struct timespec ts = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	*io = p->first;
	if (!p->first) {
		nanosleep(&ts, NULL);
		return 0;
	}
	p->first = p->first->next;
	if (!p->first)
		p->last = &p->first;
	return 0;
}

static void plain_close(struct dtl_queue *q)
{
	free(q);
}

static const struct dtl_queue_ops plain_ops = {
	.push = plain_push,
	.wait = plain_wait,
	.close = plain_close,
};

struct dtl_queue *dtl_plain_open(unsigned int depth)
{
	struct plain *p = calloc(1, sizeof(*p));

	(void)depth;
	if (!p)
		return NULL;
	p->q.ops = &plain_ops;
	p->last = &p->first;
	return &p->q;
}

struct dtl_queue *dtl_queue_open(unsigned int depth)
{
	struct dtl_queue *q = dtl_uring_open(depth);

	return q ? q : dtl_plain_open(depth);
}
