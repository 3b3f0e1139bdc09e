/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * queue.h - requests in flight.
 *
 * A request is pushed, and comes back from dtl_queue_wait() when it is through;
 * in which order is not said.  Its memory and its buffer are the queue's
 * meanwhile.
 */
#ifndef DTL_QUEUE_H
#define DTL_QUEUE_H

#include <poll.h>
#include <time.h>

#include "private.h"

struct dtl_queue;

/** enum dtl_io_op - what a request does. */
enum dtl_io_op {
	DTL_IO_READ,
	DTL_IO_WRITE,
	DTL_IO_FLUSH,
};

/**
 * struct dtl_io - a request.
 * @op: what it does
 * @fd: where
 * @buf: the data
 * @len: bytes of it
 * @offset: in the file
 * @async: it would keep a processor for as long as it takes (a copy from or to
 *	memory): better done by another thread
 * @result: when it is through: bytes, fewer than @len perhaps, or -errno
 * @owner: the pusher's
 * @queue: a poller's: where it was pushed
 * @hand: the queue's: who did it last
 * @next: the queue's
 */
struct dtl_io {
	enum dtl_io_op op;
	int fd;
	char *buf;
	size_t len;
	uint64_t offset;
	bool async;
	ssize_t result;
	void *owner;
	struct dtl_queue *queue;
	const void *hand;
	struct dtl_io *next;
};

/**
 * struct dtl_queue_ops - a kind of queue.
 * @push: see dtl_queue_push()
 * @wait: see dtl_queue_wait()
 * @fd: a file that is readable when something is through, or NULL: whatever is
 *	through is known without a wait
 * @close: free it; nothing is in flight
 */
struct dtl_queue_ops {
	void (*push)(struct dtl_queue *q, struct dtl_io *io);
	int (*wait)(struct dtl_queue *q, double seconds, struct dtl_io **io);
	int (*fd)(struct dtl_queue *q);
	void (*close)(struct dtl_queue *q);
};

/* Files of one poller, pollers of one queue, queues of one poller. */
#define DTL_POLLER_FDS	8
#define DTL_POLLERS	2

/**
 * struct dtl_queue - a queue; the first member of each kind's own.
 * @ops: its kind
 * @poller: what else brings requests through; NULLs among them
 * @done: requests of theirs that are through
 * @last: of @done, valid unless it is empty
 */
struct dtl_queue {
	const struct dtl_queue_ops *ops;
	struct dtl_poller *poller[DTL_POLLERS];
	struct dtl_io *done;
	struct dtl_io *last;
};

/**
 * struct dtl_poller - requests that go through sockets, not through the kernel's
 *	queue; they come back from dtl_queue_wait() like all others.
 * @wants: say what to wait for, DTL_POLLER_FDS files at most; return how many
 * @look: take what came; @fds is what @wants said; also called in vain
 * @leave: forget the requests of a queue, which is closed; none is in flight,
 *	unless it is broken
 * @queue: where it is attached; NULLs among them
 *
 * Who waits for one queue looks after the requests of the other one, too.
 */
struct dtl_poller {
	unsigned int (*wants)(struct dtl_poller *p, struct pollfd *fds);
	void (*look)(struct dtl_poller *p, const struct pollfd *fds,
		     unsigned int nr);
	void (*leave)(struct dtl_poller *p, const struct dtl_queue *q);
	struct dtl_queue *queue[DTL_POLLERS];
};

/**
 * dtl_uring_open() - a queue that is an io_uring.
 * @depth: most requests in flight
 *
 * Return: the queue, or NULL where that is not permitted or does not exist.
 */
struct dtl_queue *dtl_uring_open(unsigned int depth);

/**
 * dtl_threads_open() - a queue of threads.
 * @most: threads that there may be; 0 for one request at a time
 * @helps: requests take no time: whoever waits does some himself
 *
 * Return: the queue, or NULL without memory.
 */
struct dtl_queue *dtl_threads_open(unsigned int most, bool helps);

/**
 * dtl_queue_open() - the best queue there is.
 * @depth: most requests in flight
 * @in_memory: each is but a copy from or to memory
 *
 * Return: the queue, or NULL without memory.
 */
struct dtl_queue *dtl_queue_open(unsigned int depth, bool in_memory);

/** dtl_processors() - how many this thread may run on; at least 1. */
unsigned int dtl_processors(void);

/** dtl_timespec() - a time as system calls want it. */
struct timespec dtl_timespec(double seconds);

/**
 * dtl_queue_push() - begin a request.
 * @q: the queue; less than its depth is in flight
 * @io: the request
 *
 * It may begin as late as in the next dtl_queue_wait().
 */
static inline void dtl_queue_push(struct dtl_queue *q, struct dtl_io *io)
{
	q->ops->push(q, io);
}

/**
 * dtl_queue_wait() - wait for a request.
 * @q: the queue
 * @seconds: how long at most
 * @io: result: one that is through, or NULL: time is up, or a signal came
 *
 * Return: 0, or -errno when the queue is broken: what is in flight will not
 * come back.
 */
int dtl_queue_wait(struct dtl_queue *q, double seconds, struct dtl_io **io);

/**
 * dtl_queue_attach() - let a queue wait for a poller's requests, too.
 * @q: the queue; unless @p is one of them it has less than DTL_POLLERS pollers
 * @p: the same of queues
 */
void dtl_queue_attach(struct dtl_queue *q, struct dtl_poller *p);

/** dtl_queue_detach() - end that for all queues; nothing of it is in flight. */
void dtl_queue_detach(struct dtl_poller *p);

/** dtl_queue_done() - a poller's request is through; @result is set. */
void dtl_queue_done(struct dtl_queue *q, struct dtl_io *io);

/**
 * dtl_queue_close() - free a queue.
 * @q: the queue, or NULL; nothing is in flight, unless it is broken
 *
 * Its pollers are detached.
 */
void dtl_queue_close(struct dtl_queue *q);

#endif
