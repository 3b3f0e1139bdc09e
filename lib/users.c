// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * users.c - who uses a block device, itself or through what is on top of it.
 *
 * One finder for all: what is frozen, what makes a copy live, and what must not
 * be written over.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dm.h"
#include "holders.h"
#include "openers.h"
#include "sysfs.h"
#include "users.h"

/* ---- Upward ------------------------------------------------------------- */

static bool has(const struct dtl_stack *s, dev_t dev)
{
	unsigned int i;

	for (i = 0; i < s->nr; i++)
		if (s->dev[i] == dev)
			return true;
	return false;
}

static void push(struct dtl_stack *s, dev_t dev)
{
	if (has(s, dev))
		return;
	if (s->nr == DTL_STACK_MAX)
		s->more = true;
	else
		s->dev[s->nr++] = dev;
}

static void push_kin(struct dtl_stack *s, dev_t dev, const char *kind)
{
	struct dtl_kin k;

	if (!dtl_kin_open(&k, dev, kind))
		return;
	while (dtl_kin_next(&k))
		push(s, k.dev);
	dtl_kin_close(&k);
}

static void push_loop(struct dtl_stack *s, dev_t dev, const char *name)
{
	char path[DTL_PATH_LEN], file[4096];
	struct stat st;
	dev_t loop;

	snprintf(path, sizeof(path), "/sys/block/%.64s/loop/backing_file", name);
	if (!dtl_sysfs_line(path, file, sizeof(file)) || stat(file, &st) ||
	    !S_ISBLK(st.st_mode) || st.st_rdev != dev)
		return;
	snprintf(path, sizeof(path), "/sys/block/%.64s/dev", name);
	if (dtl_sysfs_dev(path, &loop))
		push(s, loop);
}

static void push_loops(struct dtl_stack *s, dev_t dev)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (!strncmp(e->d_name, "loop", 4))
			push_loop(s, dev, e->d_name);
	closedir(dir);
}

void dtl_stack_find(struct dtl_stack *s, dev_t dev)
{
	unsigned int i;

	s->nr = 0;
	s->more = false;
	push(s, dev);
	for (i = 0; i < s->nr; i++) {
		push_kin(s, s->dev[i], DTL_KIN_PARTS);
		push_kin(s, s->dev[i], DTL_KIN_HOLDERS);
		push_loops(s, s->dev[i]);
	}
}

/* ---- Mounts ------------------------------------------------------------- */

/*
 * btrfs and its like have a number of their own; their source is the device, or one
 * of them.
 *
 * Return: the device of the stack that it is on, or 0.
 */
static dev_t carries(const struct dtl_stack *s, const struct dtl_mount *m)
{
	struct stat st;
	unsigned int i;

	if (has(s, m->dev))
		return m->dev;
	if (major(m->dev) || m->source[0] != '/' || stat(m->source, &st) ||
	    !S_ISBLK(st.st_mode))
		return 0;
	if (has(s, st.st_rdev))
		return st.st_rdev;
	for (i = 0; i < s->nr; i++)
		if (dtl_share_btrfs(st.st_rdev, s->dev[i]))
			return s->dev[i];
	return 0;
}

void dtl_stack_mounts(const struct dtl_stack *s,
		      bool (*found)(void *opaque, const char *pid,
				    const struct dtl_mount *m, dev_t dev),
		      void *opaque)
{
	struct dtl_spaces spaces;
	struct dtl_mounts m;
	bool more = true;
	dev_t dev;

	dtl_spaces_open(&spaces);
	while (more && dtl_spaces_next(&spaces)) {
		if (!dtl_mounts_open(&m, spaces.pid))
			continue;
		while (more && dtl_mounts_next(&m)) {
			dev = carries(s, &m.mount);
			if (dev)
				more = found(opaque, spaces.pid, &m.mount, dev);
		}
		dtl_mounts_close(&m);
	}
	dtl_spaces_close(&spaces);
}

/**
 * struct place - where something is mounted.
 * @found: it is
 * @buf: result, in words, or NULL
 * @size: of @buf
 */
struct place {
	bool found;
	char *buf;
	size_t size;
};

static bool is_place(void *opaque, const char *pid, const struct dtl_mount *m,
		     dev_t dev)
{
	struct place *p = opaque;

	(void)dev;
	p->found = true;
	if (p->buf)
		dtl_mount_name(pid, m->point, p->buf, p->size);
	return false;
}

bool dtl_mounted_on(dev_t dev, char *buf, size_t size)
{
	struct place p = { .buf = buf, .size = size };
	struct dtl_stack one = { .nr = 1, .dev = { dev } };

	dtl_stack_mounts(&one, is_place, &p);
	return p.found;
}

/* ---- Uses --------------------------------------------------------------- */

/**
 * struct question - who uses a stack.
 * @h: the handle
 * @top: the device that is asked about
 * @stack: the devices to look at
 * @use: result
 * @buf: result, in words; DTL_USE_LEN bytes
 */
struct question {
	struct dtrack *h;
	dev_t top;
	struct dtl_stack stack;
	enum dtl_use use;
	char *buf;
};

__attribute__((format(printf, 4, 5)))
static void answer(struct question *q, enum dtl_use use, dev_t dev,
		   const char *fmt, ...)
{
	char name[200];
	size_t len = 0;
	va_list ap;

	q->use = use;
	if (dev != q->top) {
		dtl_sysfs_name(q->h, dev, name, sizeof(name));
		len = (size_t)snprintf(q->buf, DTL_USE_LEN, "%s is ", name);
	}
	va_start(ap, fmt);
	vsnprintf(q->buf + len, DTL_USE_LEN - len, fmt, ap);
	va_end(ap);
}

static bool is_mount(void *opaque, const char *pid, const struct dtl_mount *m,
		     dev_t dev)
{
	char place[4300];

	dtl_mount_name(pid, m->point, place, sizeof(place));
	answer(opaque, DTL_USE_MOUNT, dev, "mounted on %s", place);
	return false;
}

static bool is_opener(void *opaque, dev_t dev, const char *pid,
		      const char *comm)
{
	answer(opaque, DTL_USE_OPEN, dev, "open for writing in process %s (%s)",
	       pid, comm);
	return false;
}

static void look_for_swap(struct question *q)
{
	unsigned int i;

	for (i = 0; !q->use && i < q->stack.nr; i++)
		if (dtl_is_swap(q->stack.dev[i]))
			answer(q, DTL_USE_SWAP, q->stack.dev[i],
			       "used as swap");
}

static void look_for_openers(struct question *q)
{
	if (!q->use)
		dtl_openers_find(q->stack.dev, q->stack.nr, is_opener, q);
}

static bool has_above(dev_t dev)
{
	struct dtl_stack s;

	dtl_stack_find(&s, dev);
	return s.nr > 1;
}

/* Only of what nothing else is on top of: a holder that is not used is none. */
static void look_for_claim(struct question *q, dev_t dev)
{
	char node[DTL_PATH_LEN];
	int fd;

	if (has_above(dev))
		return;
	if (!dtl_sysfs_node(q->h, dev, node, sizeof(node))) {
		answer(q, DTL_USE_CLAIM, dev,
		       "perhaps in use: it has no node below /dev");
		return;
	}
	fd = open(node, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	else if (errno == EBUSY)
		answer(q, DTL_USE_CLAIM, dev, "used by another program");
}

static void look_for_claims(struct question *q)
{
	unsigned int i;

	for (i = 0; !q->use && i < q->stack.nr; i++)
		look_for_claim(q, q->stack.dev[i]);
	if (!q->use && q->stack.more)
		answer(q, DTL_USE_CLAIM, q->top,
		       "below more than %d devices", DTL_STACK_MAX);
}

enum dtl_use dtl_use_find(struct dtrack *h, dev_t dev, char *buf)
{
	struct question q = { .h = h, .buf = buf, .top = dev };

	buf[0] = '\0';
	dtl_stack_find(&q.stack, dev);
	dtl_stack_mounts(&q.stack, is_mount, &q);
	look_for_swap(&q);
	look_for_openers(&q);
	look_for_claims(&q);
	return q.use;
}

/* ---- What is refused ---------------------------------------------------- */

/* What is only looked at by somebody is closed again soon. */
#define TRIES	10

static bool try_again(int *tries)
{
	static const struct timespec tick = { .tv_nsec = 100000000 };

	return (*tries)-- && !nanosleep(&tick, NULL);
}

/* A claim keeps all but partitions and loop devices off. */
static bool is_loop(dev_t dev)
{
	char path[DTL_PATH_LEN], line[16];

	dtl_sysfs_path(path, dev, "loop/backing_file");
	return dtl_sysfs_line(path, line, sizeof(line));
}

static void look_for_loops(struct question *q)
{
	unsigned int i;

	for (i = 1; !q->use && i < q->stack.nr; i++)
		if (is_loop(q->stack.dev[i]))
			answer(q, DTL_USE_CLAIM, q->stack.dev[i],
			       "a loop device over it");
}

bool dtl_writer_find(struct dtrack *h, dev_t dev, char *buf)
{
	struct question q = { .h = h, .buf = buf, .top = dev };
	int tries = TRIES;

	do {
		q.use = DTL_USE_NONE;
		dtl_stack_find(&q.stack, dev);
		look_for_openers(&q);
		look_for_loops(&q);
	} while (q.use && try_again(&tries));
	return q.use;
}

static bool is_in(const dev_t *devs, unsigned int nr, dev_t dev)
{
	while (nr--)
		if (devs[nr] == dev)
			return true;
	return false;
}

enum dtl_use dtl_use_beside(struct dtrack *h, const struct dtl_stack *s,
			    const dev_t *covered, unsigned int nr, char *buf)
{
	struct question q = { .h = h, .buf = buf, .top = s->dev[0] };
	int tries = TRIES;
	unsigned int i;

	q.stack.more = s->more;
	for (i = 0; i < s->nr; i++)
		if (!is_in(covered, nr, s->dev[i]) &&
		    (!nr || !dtl_is_swap(s->dev[i])))
			q.stack.dev[q.stack.nr++] = s->dev[i];
	do {
		q.use = DTL_USE_NONE;
		look_for_swap(&q);
		look_for_openers(&q);
		look_for_claims(&q);
	} while (q.use && q.use != DTL_USE_SWAP && try_again(&tries));
	return q.use;
}
