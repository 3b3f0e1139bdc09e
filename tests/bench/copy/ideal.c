// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ideal.c - what a copy of extents costs when it does nothing else.
 *
 * Usage: ideal rw|uring|read|write SOURCE TARGET EXTENTS [KEY=VALUE...]
 *   rw     one pread and one pwrite after the other, buffered
 *   uring  O_DIRECT, 'depth' requests in flight
 *   read   the reads of that alone
 *   write  the writes of that alone, of what is not the source
 *   chunk=BYTES depth=N flush=BYTES (0: at the end only)
 *   sdirect=0|1 tdirect=0|1 async=0|1
 *
 * EXTENTS: a line 'START LENGTH' for each, in bytes, multiples of 4096.  No
 * errors are survived, nothing is reported, the target is flushed at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct slot {
	char *buf;
	uint64_t offset;
	uint32_t len;
	int writing;
};

static uint64_t chunk = 1 << 20, flush_bytes, written;
static unsigned int depth = 16;
static int sdirect = -1, tdirect = -1, async;
static int source, target;
static int reads = 1, writes = 1;
static FILE *list;
static uint64_t at, end;

static void die(const char *what, int err)
{
	fprintf(stderr, "ideal: %s: %s\n", what, strerror(err));
	exit(1);
}

/* The next piece: 0 at the end. */
static uint32_t next_piece(uint64_t *offset)
{
	unsigned long long start, length;
	uint64_t stop;

	if (at == end) {
		if (fscanf(list, "%llu %llu", &start, &length) != 2)
			return 0;
		at = start;
		end = start + length;
	}
	stop = at - at % chunk + chunk;
	stop = stop < end ? stop : end;
	*offset = at;
	at = stop;
	return (uint32_t)(stop - *offset);
}

static void flush(void)
{
	if (fdatasync(target))
		die("fdatasync", errno);
}

static void copy_rw(char *buf)
{
	uint64_t offset;
	uint32_t len;

	while ((len = next_piece(&offset))) {
		if (pread(source, buf, len, (off_t)offset) != len)
			die("pread", errno);
		if (pwrite(target, buf, len, (off_t)offset) != len)
			die("pwrite", errno);
	}
}

static void start(struct io_uring *ring, struct slot *s, int writing)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	s->writing = writing;
	if (writing)
		io_uring_prep_write(sqe, target, s->buf, s->len, s->offset);
	else
		io_uring_prep_read(sqe, source, s->buf, s->len, s->offset);
	if (async)
		sqe->flags |= IOSQE_ASYNC;
	io_uring_sqe_set_data(sqe, s);
}

static int start_next(struct io_uring *ring, struct slot *s)
{
	s->len = next_piece(&s->offset);
	if (s->len)
		start(ring, s, !reads);
	return s->len != 0;
}

static int done(struct io_uring *ring, struct io_uring_cqe *cqe)
{
	struct slot *s = io_uring_cqe_get_data(cqe);
	int res = cqe->res;

	io_uring_cqe_seen(ring, cqe);
	if (res != (int)s->len)
		die(s->writing ? "write" : "read", res < 0 ? -res : EIO);
	if (!s->writing && writes) {
		start(ring, s, 1);
		return 0;
	}
	written += s->len;
	if (flush_bytes && written >= flush_bytes) {
		flush();
		written = 0;
	}
	return !start_next(ring, s);
}

static void copy_uring(char *room)
{
	struct slot *slots = calloc(depth, sizeof(*slots));
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	unsigned int i, running = 0;
	int ret;

	ret = io_uring_queue_init(depth * 2, &ring, 0);
	if (ret)
		die("io_uring", -ret);
	for (i = 0; i < depth; i++) {
		slots[i].buf = room + i * chunk;
		running += (unsigned int)start_next(&ring, &slots[i]);
	}
	while (running) {
		if (!io_uring_cq_ready(&ring)) {
			ret = io_uring_submit_and_wait(&ring, 1);
			if (ret < 0)
				die("io_uring", -ret);
		}
		if (!io_uring_peek_cqe(&ring, &cqe))
			running -= (unsigned int)done(&ring, cqe);
	}
	io_uring_queue_exit(&ring);
	free(slots);
}

static void take(const char *word)
{
	const char *value = strchr(word, '=');

	if (!value)
		die(word, EINVAL);
	value++;
	if (!strncmp(word, "chunk=", 6))
		chunk = strtoull(value, NULL, 0);
	else if (!strncmp(word, "depth=", 6))
		depth = (unsigned int)atoi(value);
	else if (!strncmp(word, "flush=", 6))
		flush_bytes = strtoull(value, NULL, 0);
	else if (!strncmp(word, "sdirect=", 8))
		sdirect = atoi(value);
	else if (!strncmp(word, "tdirect=", 8))
		tdirect = atoi(value);
	else if (!strncmp(word, "async=", 6))
		async = atoi(value);
	else
		die(word, EINVAL);
}

int main(int argc, char **argv)
{
	int i, uring;
	char *room;

	if (argc < 5)
		die("usage", EINVAL);
	for (i = 5; i < argc; i++)
		take(argv[i]);
	uring = strcmp(argv[1], "rw");
	writes = strcmp(argv[1], "read");
	reads = strcmp(argv[1], "write");
	if (sdirect < 0)
		sdirect = uring;
	if (tdirect < 0)
		tdirect = uring;
	source = open(argv[2], O_RDONLY | (sdirect ? O_DIRECT : 0));
	target = open(argv[3], O_RDWR | (tdirect ? O_DIRECT : 0));
	list = fopen(argv[4], "r");
	if (source < 0 || target < 0 || !list)
		die("open", errno);
	if (!uring)
		depth = 1;
	room = aligned_alloc(4096, depth * chunk);
	if (!reads)
		memset(room, 0x5a, depth * chunk);
	if (uring)
		copy_uring(room);
	else
		copy_rw(room);
	flush();
	free(room);
	return 0;
}
