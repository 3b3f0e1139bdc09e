// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * uring.c - a queue that is an io_uring.
 *
 * What is pushed goes to the kernel in one call with the next wait for which
 * nothing is ready: a call for several requests.
 */
#include <liburing.h>
#include <stdlib.h>
#include <time.h>

#include "queue.h"

/**
 * struct uring - the queue.
 * @q: the common part
 * @ring: the ring
 */
struct uring {
	struct dtl_queue q;
	struct io_uring ring;
};

static void uring_push(struct dtl_queue *q, struct dtl_io *io)
{
	struct uring *u = (struct uring *)q;
	/* There is one: the ring has an entry for each request. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	switch (io->op) {
	case DTL_IO_READ:
		io_uring_prep_read(sqe, io->fd, io->buf,
				   (unsigned int)io->len, io->offset);
		break;
	case DTL_IO_WRITE:
		io_uring_prep_write(sqe, io->fd, io->buf,
				    (unsigned int)io->len, io->offset);
		break;
	case DTL_IO_FLUSH:
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
		break;
	}
	if (io->async)
		io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	io_uring_sqe_set_data(sqe, io);
}

/* Return: whether it goes round once more. */
static bool again(struct dtl_queue *q, struct dtl_io *io)
{
	/* A thread of its own may sleep for what there was too little of. */
	if (io->result == -EAGAIN && !io->async)
		io->async = true;
	else if (io->result != -EINTR)
		return false;
	uring_push(q, io);
	return true;
}

static struct dtl_io *reap(struct uring *u)
{
	struct io_uring_cqe *cqe;
	struct dtl_io *io;

	while (io_uring_cq_ready(&u->ring) &&
	       !io_uring_peek_cqe(&u->ring, &cqe)) {
		io = io_uring_cqe_get_data(cqe);
		io->result = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
		if (!again(&u->q, io))
			return io;
	}
	return NULL;
}

static int uring_wait(struct dtl_queue *q, double seconds, struct dtl_io **io)
{
	struct __kernel_timespec ts = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long long)((seconds - (double)(time_t)seconds) *
				       1e9),
	};
	struct timespec moment = { .tv_nsec = 1000 * 1000 };
	struct uring *u = (struct uring *)q;
	struct io_uring_cqe *cqe;
	int ret;

	*io = reap(u);
	if (*io)
		return 0;
	ret = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
	*io = reap(u);
	if (*io || ret >= 0 || ret == -ETIME || ret == -EINTR)
		return 0;
	if (ret != -EAGAIN && ret != -EBUSY)
		return ret;
	nanosleep(&moment, NULL);
	return 0;
}

static int uring_fd(struct dtl_queue *q)
{
	return ((struct uring *)q)->ring.ring_fd;
}

static void uring_close(struct dtl_queue *q)
{
	struct uring *u = (struct uring *)q;

	io_uring_queue_exit(&u->ring);
	free(u);
}

static const struct dtl_queue_ops uring_ops = {
	.push = uring_push,
	.wait = uring_wait,
	.fd = uring_fd,
	.close = uring_close,
};

struct dtl_queue *dtl_uring_open(unsigned int depth)
{
	/*
	 * Cheapest first; older kernels refuse what they do not know.  Not
	 * DEFER_TASKRUN: who polls such a ring does not hear of everything.
	 */
	static const unsigned int flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
		0,
	};
	struct uring *u = calloc(1, sizeof(*u));
	size_t i;

	if (!u)
		return NULL;
	u->q.ops = &uring_ops;
	for (i = 0; i < DTL_ARRAY_SIZE(flags); i++)
		if (!io_uring_queue_init(depth, &u->ring, flags[i]))
			return &u->q;
	free(u);
	return NULL;
}
