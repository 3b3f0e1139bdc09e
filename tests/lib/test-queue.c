// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test-queue.c - queues of requests over real files.
 *
 * Also built with the thread sanitizer, from the queues' own sources.
 *
 * SEED=N repeats a random test.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "queue.h"
#include "random.h"

#ifdef __SANITIZE_THREAD__
void dtl_close(int fd)
{
	close(fd);
}
#endif

static int new_file(void)
{
	char path[] = "/tmp/dtrack-test-XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	return fd;
}

/* ---- One of each -------------------------------------------------------- */

static void exercise(struct dtl_queue *q)
{
	char in[8][512], out[8][512];
	struct dtl_io io[9] = { 0 }, *done;
	unsigned int i, nr;
	int fd = new_file();

	CHECK(q, "no queue");
	for (nr = 0; nr < 3 && q; nr++) {
		for (i = 0; i < 8; i++) {
			memset(out[i], (int)i + 1, 512);
			io[i] = (struct dtl_io){
				.op = nr == 1 ? DTL_IO_FLUSH :
				      nr ? DTL_IO_READ : DTL_IO_WRITE,
				.fd = i == 7 ? -1 : fd,
				.buf = nr ? in[i] : out[i],
				.len = 512, .offset = 512 * (uint64_t)i,
				.async = i & 1,
			};
			dtl_queue_push(q, &io[i]);
		}
		for (i = 0; i < 8;) {
			CHECK_INT(0, dtl_queue_wait(q, 1, &done));
			i += done != NULL;
		}
		for (i = 0; i < 7; i++)
			CHECK_INT(nr == 1 ? 0 : 512, io[i].result);
		CHECK_INT(-EBADF, io[7].result);
	}
	CHECK(!memcmp(in, out, 7 * 512), "what was written was not read");
	CHECK_INT(0, dtl_queue_wait(q, 0.001, &done));
	CHECK(!done, "something came from nowhere");
	dtl_queue_close(q);
	close(fd);
}

static void test_threads(void)
{
	exercise(dtl_threads_open(0, false));
	exercise(dtl_threads_open(1, true));
	exercise(dtl_threads_open(8, false));
}

static void test_best(void)
{
	exercise(dtl_queue_open(8, false));
}

/* ---- Many --------------------------------------------------------------- */

#define SLOTS	8
#define LEN	4096

/* A slot is written with what nobody else has, and read; again and again. */
struct slot {
	struct dtl_io io;
	char data[LEN];
	unsigned int rounds;
	bool in_flight;
};

static uint64_t word_of(const struct slot *s, const struct slot *first)
{
	return (uint64_t)(s - first) << 32 | s->rounds;
}

static void fill(struct slot *s, uint64_t word)
{
	size_t i;

	for (i = 0; i < LEN; i += sizeof(word))
		memcpy(s->data + i, &word, sizeof(word));
}

static void go_on(struct dtl_queue *q, struct slot *s, struct slot *first)
{
	s->io.op = s->io.op == DTL_IO_WRITE ? DTL_IO_READ : DTL_IO_WRITE;
	if (s->io.op == DTL_IO_WRITE)
		fill(s, word_of(s, first));
	else
		memset(s->data, 0, LEN);
	s->in_flight = true;
	dtl_queue_push(q, &s->io);
}

static void look_at(struct slot *s, const struct slot *first)
{
	uint64_t want = word_of(s, first), is[2];

	CHECK(s->in_flight, "it came back twice");
	s->in_flight = false;
	CHECK_INT(LEN, s->io.result);
	if (s->io.op == DTL_IO_WRITE)
		return;
	memcpy(is, s->data, sizeof(want));
	memcpy(is + 1, s->data + LEN - sizeof(want), sizeof(want));
	CHECK(is[0] == want && is[1] == want,
	      "%" PRIx64 " and %" PRIx64 " instead of %" PRIx64, is[0], is[1],
	      want);
	s->rounds++;
}

/* @fd: wait as if there were pollers. */
static struct dtl_io *next_through(struct dtl_queue *q, bool poll_fd)
{
	struct pollfd fd = { .events = POLLIN };
	struct dtl_io *io;

	if (!poll_fd || !q->ops->fd) {
		CHECK_INT(0, dtl_queue_wait(q, 60, &io));
		return io;
	}
	CHECK_INT(0, dtl_queue_wait(q, 0, &io));
	if (io)
		return io;
	fd.fd = q->ops->fd(q);
	CHECK_INT(1, poll(&fd, 1, 60000));
	CHECK_INT(0, dtl_queue_wait(q, 0, &io));
	CHECK(io, "nothing is through, and it says there is");
	return io;
}

static void many(struct dtl_queue *q, bool poll_fd)
{
	struct slot *slots = calloc(SLOTS, sizeof(*slots));
	unsigned int i, flight = 0, begun = 0;
	struct dtl_io *io;
	int fd = new_file();

	CHECK(q, "no queue");
	for (i = 0; i < SLOTS; i++)
		slots[i].io = (struct dtl_io){
			.op = DTL_IO_READ, .fd = fd, .buf = slots[i].data,
			.len = LEN, .offset = LEN * (uint64_t)i,
			.owner = &slots[i],
		};
	while (!check_why[0] && (begun < 4000 || flight)) {
		while (begun < 4000 && flight < SLOTS && chance(4)) {
			i = chance(SLOTS);
			if (slots[i].in_flight)
				continue;
			go_on(q, &slots[i], slots);
			begun++;
			flight++;
		}
		if (!flight)
			continue;
		io = next_through(q, poll_fd);
		CHECK(io, "a request did not come back");
		if (io)
			look_at(io->owner, slots);
		flight -= io != NULL;
	}
	if (check_why[0])
		sprintf(check_why + strlen(check_why), " (SEED=%" PRIu64 ")",
			seed);
	dtl_queue_close(q);
	free(slots);
	close(fd);
}

static void test_many(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		many(dtl_threads_open(0, false), i);
		many(dtl_threads_open(1, true), i);
		many(dtl_threads_open(3, true), i);
		many(dtl_threads_open(3, false), i);
		many(dtl_threads_open(SLOTS, false), i);
		many(dtl_queue_open(SLOTS, false), i);
	}
}

/* Signals are for the program, not for threads that it does not know of. */
static void test_signals(void)
{
	struct dtl_queue *q = dtl_threads_open(2, false);
	struct dtl_io io = { .op = DTL_IO_FLUSH, .fd = new_file() }, *done;
	sigset_t set, old;
	siginfo_t info;
	struct timespec second = { .tv_sec = 1 };

	dtl_queue_push(q, &io);
	CHECK_INT(0, dtl_queue_wait(q, 5, &done));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	kill(getpid(), SIGUSR1);
	CHECK_INT(SIGUSR1, sigtimedwait(&set, &info, &second));
	sigprocmask(SIG_SETMASK, &old, NULL);
	dtl_queue_close(q);
	close(io.fd);
}

/* ---- Without io_uring ---------------------------------------------------- */

/* In a container: io_uring_setup() is not permitted. */
static int without_uring(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 2;
	if (dtl_uring_open(8))
		return 3;
	exercise(dtl_queue_open(8, false));
	if (check_why[0])
		fprintf(stderr, "%s\n", check_why);
	return check_why[0] != '\0';
}

static void test_not_permitted(void)
{
	int status;

	if (!fork())
		_exit(without_uring());
	wait(&status);
	CHECK_INT(0, status);
}

int main(void)
{
	static const struct check checks[] = {
		{ "queue-threads", test_threads },
		{ "queue-best", test_best },
		{ "queue-many", test_many },
		{ "queue-signals", test_signals },
		{ "queue-uring-not-permitted", test_not_permitted },
		{ 0 },
	};

	take_seed();
	return run_checks(checks);
}
