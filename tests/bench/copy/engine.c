// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * engine.c - the library's copy engine on files or devices, without a module.
 *
 * Usage: engine SOURCE TARGET EXTENTS GRANULARITY [KEY=VALUE...]
 *   jobs=N request=BYTES speed=BYTES threads=1 sums=1
 *
 * EXTENTS: a line 'START LENGTH' for each, in bytes, ascending.  TARGET is made
 * when it does not exist, as by a full copy.
 *
 * With sums=1 it keeps checksums, as a run does, in TARGET.sums.
 *
 * Prints the bytes that were reported and the number of reports.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "sums.h"

static FILE *list;
static struct dtl_sums sums;
static unsigned int reports;

static int next(void *opaque, struct dtrack_range *range)
{
	unsigned long long start, length;

	(void)opaque;
	if (fscanf(list, "%llu %llu", &start, &length) != 2)
		return 0;
	*range = (struct dtrack_range){ start, length };
	return 1;
}

static int flushed(void *opaque, const struct dtrack_range *ranges,
		   unsigned int nr)
{
	(void)opaque;
	(void)ranges;
	(void)nr;
	reports++;
	return 0;
}

static int seen(void *opaque, uint64_t start, const char *data, size_t len)
{
	return dtl_sums_put(opaque, &sums, start, data, len);
}

/* As where io_uring is not permitted. */
static struct dtl_queue *open_threads(unsigned int depth, bool in_memory)
{
	(void)in_memory;
	return dtl_threads_open(depth, false);
}

static void take(struct dtl_copy *c, struct dtrack_run_options *o, char *word)
{
	char *value = strchr(word, '=');
	uint64_t n = value ? strtoull(value + 1, NULL, 0) : 0;

	if (value)
		*value = '\0';
	if (!strcmp(word, "jobs"))
		o->jobs = (unsigned int)n;
	else if (!strcmp(word, "request"))
		o->request_size = n;
	else if (!strcmp(word, "speed"))
		o->speed = n;
	else if (!strcmp(word, "threads") && n)
		c->open_queue = open_threads;
	else if (!strcmp(word, "sums") && n)
		c->seen = seen;
	else
		exit(2);
}

static int begin_sums(struct dtl_copy *c)
{
	struct dtl_manifest m = {
		.size = c->size, .sums_unit = DTL_SUMS_MAX_UNIT,
	};

	return dtl_sums_create(c->h, c->target->path, &m, &sums);
}

static int copy(struct dtl_copy *c)
{
	struct dtl_target *t = c->target;
	int ret = t->ops->begin(c->h, t, c->size);

	if (!ret && c->seen)
		ret = begin_sums(c);
	if (!ret)
		ret = dtl_copy_run(c);
	if (!ret)
		ret = dtl_sums_sync(c->h, &sums);
	if (!ret)
		ret = t->ops->finish(t);
	return ret;
}

int main(int argc, char **argv)
{
	struct dtrack_run_options o = DTRACK_RUN_OPTIONS_INIT;
	struct dtrack_dev nowhere = { 0 };
	struct dtl_source source;
	struct dtl_target target = { 0 };
	atomic_int cancel = 0, resume = 0;
	struct dtl_copy c = {
		.source = &source, .target = &target, .options = &o,
		.cancel = &cancel, .resume = &resume, .next = next,
		.flushed = flushed,
	};
	int i, ret;

	if (argc < 5)
		return 2;
	list = fopen(argv[3], "re");
	if (!list) {
		perror("engine");
		return 1;
	}
	c.granularity = strtoull(argv[4], NULL, 0);
	for (i = 5; i < argc; i++)
		take(&c, &o, argv[i]);
	dtl_sums_init(&sums);
	dtrack_new(&c.h);
	c.opaque = c.h;
	ret = dtl_source_open_device(c.h, argv[1], &source);
	c.size = source.size;
	c.total = source.size;
	if (!ret)
		ret = dtl_target_open(c.h, argv[2], nowhere, &target);
	if (!ret)
		ret = copy(&c);
	if (ret)
		fprintf(stderr, "engine: %s\n", dtrack_errmsg(c.h));
	else
		printf("%" PRIu64 " %u\n", c.copied, reports);
	dtl_sums_close(&sums);
	dtl_source_close(&source);
	dtl_target_close(&target);
	dtrack_free(c.h);
	fclose(list);
	return ret != 0;
}
