// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * threads.c - a queue of threads that wait, each for its request: where
 * io_uring is not permitted, and for copies from memory to memory, where a
 * thread of the kernel takes as long to wake up as they take.
 *
 * Threads are started when there is something for them to do.  Whoever waits
 * does requests, too, if they take no time, or nobody else is there.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "queue.h"

/* A system call, and what calls it. */
#define STACK	(256U << 10)

/**
 * struct threads - the queue.
 * @q: the common part
 * @most: threads that there may be
 * @helps: whoever waits does requests, too
 * @event: readable once something is through, if @sleeping; never blocks
 * @thread: those that were started
 * @nr: number of them
 * @lock: protects what follows; @most to @nr are of whoever pushes and waits
 * @work: signalled with each of @called
 * @idle: threads that wait and were not called
 * @called: threads that were called and have not heard it
 * @stop: the end
 * @sleeping: whoever waits sleeps on @event
 * @rung: @event is readable
 * @pending: nobody has begun them
 * @nr_pending: number of them
 * @writing: writes that are being done
 * @pending_end: where the next one is put
 * @through: those that are through, in that order
 * @through_end: where the next one is put
 */
struct threads {
	struct dtl_queue q;
	unsigned int most;
	bool helps;
	int event;
	pthread_t *thread;
	unsigned int nr;
	pthread_mutex_t lock;
	pthread_cond_t work;
	unsigned int idle;
	unsigned int called;
	bool stop;
	bool sleeping;
	bool rung;
	struct dtl_io *pending;
	unsigned int nr_pending;
	unsigned int writing;
	struct dtl_io **pending_end;
	struct dtl_io *through;
	struct dtl_io **through_end;
};

/* ---- A request ---------------------------------------------------------- */

static ssize_t call(const struct dtl_io *io)
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

static ssize_t call_on(const struct dtl_io *io)
{
	ssize_t n;

	do {
		n = call(io);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* ---- With the lock ------------------------------------------------------ */

static void add(struct dtl_io ***end, struct dtl_io *io)
{
	io->next = NULL;
	**end = io;
	*end = &io->next;
}

static struct dtl_io *take(struct dtl_io **at, struct dtl_io ***end)
{
	struct dtl_io *io = *at;

	if (!io)
		return NULL;
	*at = io->next;
	if (!*at)
		*end = at;
	return io;
}

static struct dtl_io **first_write(struct threads *t, const void *hand)
{
	struct dtl_io **at = &t->pending;

	while (*at && ((*at)->op != DTL_IO_WRITE || (*at)->hand != hand))
		at = &(*at)->next;
	return at;
}

static struct dtl_io **first_other(struct threads *t)
{
	struct dtl_io **at = &t->pending;

	while (*at && (*at)->op == DTL_IO_WRITE)
		at = &(*at)->next;
	return at;
}

/*
 * What a hand has read is still in the cache of its processor.  But a file takes
 * one buffered write at a time.
 */
static struct dtl_io *take_pending(struct threads *t, const void *hand)
{
	struct dtl_io **at = first_write(t, hand);

	if (!*at || t->writing)
		at = first_other(t);
	if (!*at)
		at = first_write(t, hand);
	if (!*at)
		at = &t->pending;
	t->nr_pending -= *at != NULL;
	return take(at, &t->pending_end);
}

/* The lock is let go meanwhile. */
static void perform(struct threads *t, struct dtl_io *io, const void *hand)
{
	t->writing += io->op == DTL_IO_WRITE;
	pthread_mutex_unlock(&t->lock);
	io->result = call_on(io);
	pthread_mutex_lock(&t->lock);
	t->writing -= io->op == DTL_IO_WRITE;
	io->hand = hand;
}

static void ring(struct threads *t)
{
	t->sleeping = false;
	t->rung = true;
	eventfd_write(t->event, 1);
}

static void add_through(struct threads *t, struct dtl_io *io)
{
	add(&t->through_end, io);
	if (t->sleeping)
		ring(t);
}

static void await_call(struct threads *t)
{
	t->idle++;
	while (!t->called && !t->stop)
		pthread_cond_wait(&t->work, &t->lock);
	if (t->called)
		t->called--;
}

/* ---- Threads ------------------------------------------------------------ */

static void *thread_main(void *opaque)
{
	struct threads *t = opaque;
	struct dtl_io *io;

	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		io = take_pending(t, &io);
		if (!io) {
			await_call(t);
			continue;
		}
		perform(t, io, &io);
		add_through(t, io);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* The caller's signals stay his.  Without a thread others do the work. */
static void start_thread(struct threads *t)
{
	sigset_t all, old;
	pthread_attr_t attr;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	if (!pthread_create(&t->thread[t->nr], &attr, thread_main, t))
		t->nr++;
	else
		t->most = t->nr;
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!t->nr)
		t->helps = true;
}

/* ---- The queue ---------------------------------------------------------- */

/* One is left for whoever waits, if he is to do some. */
static bool wants_thread(const struct threads *t)
{
	return t->nr_pending > t->called + t->helps;
}

static void threads_push(struct dtl_queue *q, struct dtl_io *io)
{
	struct threads *t = (struct threads *)q;
	bool wake = false;

	pthread_mutex_lock(&t->lock);
	add(&t->pending_end, io);
	t->nr_pending++;
	if (wants_thread(t) && t->idle) {
		t->idle--;
		t->called++;
		wake = true;
	} else if (wants_thread(t) && t->nr < t->most) {
		start_thread(t);
	}
	pthread_mutex_unlock(&t->lock);
	if (wake)
		pthread_cond_signal(&t->work);
}

/* It is readable at once if something is through already. */
static int threads_fd(struct dtl_queue *q)
{
	struct threads *t = (struct threads *)q;
	eventfd_t count;

	pthread_mutex_lock(&t->lock);
	if (t->rung)
		eventfd_read(t->event, &count);
	t->rung = false;
	t->sleeping = true;
	if (t->through)
		ring(t);
	pthread_mutex_unlock(&t->lock);
	return t->event;
}

static struct dtl_io *take_through(struct threads *t)
{
	struct dtl_io *io;

	pthread_mutex_lock(&t->lock);
	t->sleeping = false;
	io = take(&t->through, &t->through_end);
	pthread_mutex_unlock(&t->lock);
	return io;
}

static struct dtl_io *help(struct threads *t)
{
	struct dtl_io *io;

	pthread_mutex_lock(&t->lock);
	io = take_pending(t, t);
	if (io)
		perform(t, io, t);
	pthread_mutex_unlock(&t->lock);
	return io;
}

static void sleep_on(struct threads *t, double seconds)
{
	struct pollfd fd = { .fd = threads_fd(&t->q), .events = POLLIN };
	struct timespec ts = dtl_timespec(seconds);

	ppoll(&fd, 1, &ts, NULL);
}

static int threads_wait(struct dtl_queue *q, double seconds, struct dtl_io **io)
{
	struct threads *t = (struct threads *)q;

	*io = take_through(t);
	if (!*io && t->helps)
		*io = help(t);
	if (*io || seconds <= 0)
		return 0;
	sleep_on(t, seconds);
	*io = take_through(t);
	return 0;
}

static void threads_close(struct dtl_queue *q)
{
	struct threads *t = (struct threads *)q;
	unsigned int i;

	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (i = 0; i < t->nr; i++)
		pthread_join(t->thread[i], NULL);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	dtl_close(t->event);
	free(t->thread);
	free(t);
}

static const struct dtl_queue_ops threads_ops = {
	.push = threads_push,
	.wait = threads_wait,
	.fd = threads_fd,
	.close = threads_close,
};

struct dtl_queue *dtl_threads_open(unsigned int most, bool helps)
{
	struct threads *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->q.ops = &threads_ops;
	t->most = most;
	t->helps = helps || !most;
	t->pending_end = &t->pending;
	t->through_end = &t->through;
	t->thread = calloc(most + 1, sizeof(*t->thread));
	t->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!t->thread || t->event < 0) {
		free(t->thread);
		dtl_close(t->event);
		free(t);
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	return &t->q;
}
