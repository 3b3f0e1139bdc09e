// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * queue.c - what all queues have, and which is the best one.
 */
#include <sched.h>
#include <stdlib.h>

#include "queue.h"

struct timespec dtl_timespec(double seconds)
{
	return (struct timespec){
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};
}

unsigned int dtl_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (unsigned int)CPU_COUNT(&set);
}

/* ---- Pollers ------------------------------------------------------------ */

/* Where it is among a queue's pollers, NULL where there is room; or NULL. */
static struct dtl_poller **poller_at(struct dtl_queue *q,
				     const struct dtl_poller *p)
{
	unsigned int i;

	for (i = 0; i < DTL_POLLERS; i++)
		if (q->poller[i] == p)
			return &q->poller[i];
	return NULL;
}

static struct dtl_queue **queue_at(struct dtl_poller *p,
				   const struct dtl_queue *q)
{
	unsigned int i;

	for (i = 0; i < DTL_POLLERS; i++)
		if (p->queue[i] == q)
			return &p->queue[i];
	return NULL;
}

void dtl_queue_attach(struct dtl_queue *q, struct dtl_poller *p)
{
	struct dtl_poller **in_q = poller_at(q, NULL);
	struct dtl_queue **in_p = queue_at(p, NULL);

	if (poller_at(q, p))
		return;
	/* Its requests would never come back. */
	if (!in_q || !in_p)
		abort();
	*in_q = p;
	*in_p = q;
}

static void detach(struct dtl_queue *q, struct dtl_poller *p)
{
	*poller_at(q, p) = NULL;
	*queue_at(p, q) = NULL;
}

void dtl_queue_detach(struct dtl_poller *p)
{
	unsigned int i;

	for (i = 0; i < DTL_POLLERS; i++)
		if (p->queue[i])
			detach(p->queue[i], p);
}

void dtl_queue_done(struct dtl_queue *q, struct dtl_io *io)
{
	io->next = NULL;
	if (q->done)
		q->last->next = io;
	else
		q->done = io;
	q->last = io;
}

static struct dtl_io *take_done(struct dtl_queue *q)
{
	struct dtl_io *io = q->done;

	if (io)
		q->done = io->next;
	return io;
}

/* Once around all files.  Time is up, or a signal came: that is all right. */
static void poll_all(struct dtl_queue *q, double seconds)
{
	struct pollfd fds[1 + DTL_POLLERS * DTL_POLLER_FDS];
	unsigned int from[DTL_POLLERS + 1] = { 1 }, i;
	struct timespec ts = dtl_timespec(seconds);

	fds[0].fd = q->ops->fd ? q->ops->fd(q) : -1;
	fds[0].events = POLLIN;
	for (i = 0; i < DTL_POLLERS; i++)
		from[i + 1] = from[i] + (q->poller[i] ?
			q->poller[i]->wants(q->poller[i], fds + from[i]) : 0);
	if (ppoll(fds, from[DTL_POLLERS], &ts, NULL) < 0)
		for (i = 0; i < from[DTL_POLLERS]; i++)
			fds[i].revents = 0;
	for (i = 0; i < DTL_POLLERS; i++)
		if (q->poller[i])
			q->poller[i]->look(q->poller[i], fds + from[i],
					   from[i + 1] - from[i]);
}

static bool has_pollers(const struct dtl_queue *q)
{
	unsigned int i;

	for (i = 0; i < DTL_POLLERS; i++)
		if (q->poller[i])
			return true;
	return false;
}

int dtl_queue_wait(struct dtl_queue *q, double seconds, struct dtl_io **io)
{
	int ret;

	if (!has_pollers(q))
		return q->ops->wait(q, seconds, io);
	*io = take_done(q);
	if (*io)
		return 0;
	/* Also sends on what was pushed. */
	ret = q->ops->wait(q, 0, io);
	if (ret || *io)
		return ret;
	poll_all(q, seconds);
	*io = take_done(q);
	return *io ? 0 : q->ops->wait(q, 0, io);
}

void dtl_queue_close(struct dtl_queue *q)
{
	unsigned int i;

	if (!q)
		return;
	for (i = 0; i < DTL_POLLERS; i++)
		if (q->poller[i]) {
			q->poller[i]->leave(q->poller[i], q);
			detach(q, q->poller[i]);
		}
	q->ops->close(q);
}

/* ---- Opening ------------------------------------------------------------ */

/* One for each processor; whoever waits is one of them. */
static unsigned int hands(unsigned int depth)
{
	unsigned int n = dtl_processors();

	return (n < depth ? n : depth) - 1;
}

struct dtl_queue *dtl_queue_open(unsigned int depth, bool in_memory)
{
	struct dtl_queue *q;

	if (in_memory)
		return dtl_threads_open(hands(depth), true);
	q = dtl_uring_open(depth);
	return q ? q : dtl_threads_open(depth, false);
}
