// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * metrics.c - dtrack metrics: counters in Prometheus' text format.
 *
 * All samples of a metric stand together, so everything is looked at before
 * anything is printed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "verbs.h"

/**
 * struct seen - a device as it was seen.
 * @dev: its number
 * @info: the device
 * @bitmaps: of it
 */
struct seen {
	struct dtrack_dev dev;
	struct dtrack_dev_info info;
	struct dtrack_bitmaps *bitmaps;
};

/**
 * struct all - all that was seen.
 * @nr: number of devices
 * @seen: them
 */
struct all {
	int nr;
	struct seen *seen;
};

static void head(const char *name, const char *type, const char *help)
{
	printf("# HELP dtrack_%s %s\n# TYPE dtrack_%s %s\n", name, help, name,
	       type);
}

/* A label's value: what is hostile is escaped or replaced. */
static void print_label(const char *name, const char *value)
{
	char *text = text_clean(value), *p;

	printf("%s=\"", name);
	for (p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			putchar('\\');
		putchar(*p);
	}
	putchar('"');
	free(text);
}

static void print_name(const char *metric, const struct seen *seen)
{
	char number[32];

	snprintf(number, sizeof(number), "%u:%u", seen->dev.major,
		 seen->dev.minor);
	printf("dtrack_%s{", metric);
	print_label("device", seen->info.name[0] ? seen->info.name : number);
	putchar(',');
	print_label("number", number);
}

/* ---- Devices ------------------------------------------------------------ */

static void print_device(const struct all *all)
{
	int i;

	head("device_size_bytes", "gauge", "Size of the tracked device.");
	for (i = 0; i < all->nr; i++) {
		print_name("device_size_bytes", &all->seen[i]);
		printf("} %" PRIu64 "\n", all->seen[i].info.bytes);
	}
	head("device_bitmaps", "gauge", "Number of bitmaps of the device.");
	for (i = 0; i < all->nr; i++) {
		print_name("device_bitmaps", &all->seen[i]);
		printf("} %u\n", all->seen[i].info.nr_bitmaps);
	}
}

static const struct {
	const char *name;
	size_t tally;
} kinds[] = {
	{ "write", offsetof(struct dtrack_writes, writes) },
	{ "discard", offsetof(struct dtrack_writes, discards) },
	{ "write-zeroes", offsetof(struct dtrack_writes, zeroes) },
	{ "other", offsetof(struct dtrack_writes, others) },
};

static void print_tallies(const struct seen *seen, const char *metric,
			  size_t member)
{
	const char *writes = (const char *)&seen->info.writes;
	size_t k;

	for (k = 0; seen->info.counted && k < ARRAY_SIZE(kinds); k++) {
		__u64 value;

		memcpy(&value, writes + kinds[k].tally + member, sizeof(value));
		print_name(metric, seen);
		printf(",kind=\"%s\"} %" PRIu64 "\n", kinds[k].name,
		       (uint64_t)value);
	}
}

static void print_writes(const struct all *all)
{
	int i;

	head("marked_requests_total", "counter",
	     "Requests that changed data and were marked, since the device was made.");
	for (i = 0; i < all->nr; i++)
		print_tallies(&all->seen[i], "marked_requests_total",
			      offsetof(struct dtrack_tally, nr));
	head("marked_bytes_total", "counter", "Bytes of these requests.");
	for (i = 0; i < all->nr; i++)
		print_tallies(&all->seen[i], "marked_bytes_total",
			      offsetof(struct dtrack_tally, bytes));
	head("last_mark_seconds", "gauge",
	     "Seconds since the last of these requests; none if there was none.");
	for (i = 0; i < all->nr; i++) {
		const struct dtrack_dev_info *info = &all->seen[i].info;

		if (!info->counted || info->writes.idle == UINT64_MAX)
			continue;
		print_name("last_mark_seconds", &all->seen[i]);
		printf("} %" PRIu64 ".%03u\n",
		       (uint64_t)info->writes.idle / 1000,
		       (unsigned int)(info->writes.idle % 1000));
	}
}

/* ---- Bitmaps ------------------------------------------------------------ */

/* What a bitmap has as a member of 64 bits, or as a flag. */
static const struct {
	const char *name;
	const char *help;
	size_t member;
	unsigned int flag;
} of_bitmap[] = {
#define MEMBER(m)	offsetof(struct dtrack_bitmap_info, m), 0
#define FLAG(f)		0, DTRACK_BITMAP_##f
	{ "bitmap_size_bytes", "Bytes that the bitmap covers.", MEMBER(bytes) },
	{ "bitmap_granularity_bytes", "Bytes of a granule.",
	  MEMBER(granularity) },
	{ "bitmap_dirty_bytes",
	  "Dirty bytes; at least these while it records.", MEMBER(count) },
	{ "bitmap_successor_dirty_bytes",
	  "Dirty bytes of the successor while it is frozen.",
	  MEMBER(successor_count) },
	{ "bitmap_generation", "Generation of the content.",
	  MEMBER(generation) },
	{ "bitmap_full_leaves",
	  "Parts that report too much because memory was missing.",
	  MEMBER(full_leaves) },
	{ "bitmap_recording", "Whether it records.", FLAG(RECORDING) },
	{ "bitmap_busy", "Whether it is frozen.", FLAG(BUSY) },
	{ "bitmap_inconsistent", "Whether it is not to be trusted.",
	  FLAG(INCONSISTENT) },
#undef MEMBER
#undef FLAG
};

static uint64_t value_of(const struct dtrack_bitmap_info *info, size_t i)
{
	__u64 value;

	if (of_bitmap[i].flag)
		return !!(info->flags & of_bitmap[i].flag);
	memcpy(&value, (const char *)info + of_bitmap[i].member, sizeof(value));
	return value;
}

static void print_bitmaps(const struct seen *seen, size_t i)
{
	const struct dtrack_bitmap_info *info;
	unsigned int k;

	for (k = 0; (info = dtrack_bitmaps_at(seen->bitmaps, k)); k++) {
		print_name(of_bitmap[i].name, seen);
		putchar(',');
		print_label("bitmap", (const char *)info->name);
		printf("} %" PRIu64 "\n", value_of(info, i));
	}
}

static void print_all(const struct all *all)
{
	size_t i;
	int k;

	print_device(all);
	print_writes(all);
	for (i = 0; i < ARRAY_SIZE(of_bitmap); i++) {
		head(of_bitmap[i].name, "gauge", of_bitmap[i].help);
		for (k = 0; k < all->nr; k++)
			print_bitmaps(&all->seen[k], i);
	}
}

/* ---- The verb ----------------------------------------------------------- */

static int look(struct call *call, struct all *all, struct dtrack_dev dev)
{
	struct seen *seen = &all->seen[all->nr];
	int ret;

	seen->dev = dev;
	ret = dtrack_dev_info(call->h, dev, &seen->info, sizeof(seen->info));
	if (!ret)
		ret = dtrack_bitmaps_get(call->h, dev, NULL, &seen->bitmaps);
	if (ret >= 0)
		all->nr++;
	/* It went between the list and the look. */
	return ret < 0 && !(ret == -ENODEV && !call->argc) ? ret : 0;
}

static int look_at(struct call *call, const struct dtrack_dev *devs, int nr)
{
	struct all all = { 0, calloc((size_t)nr + 1, sizeof(*all.seen)) };
	int i, ret = 0;

	if (!all.seen)
		return failed_with(call, "GenericError", strerror(ENOMEM));
	for (i = 0; !ret && i < nr; i++)
		ret = look(call, &all, devs[i]);
	if (ret)
		ret = failed(call);
	else
		print_all(&all);
	for (i = 0; i < all.nr; i++)
		dtrack_bitmaps_free(all.seen[i].bitmaps);
	free(all.seen);
	return ret;
}

static int run(struct call *call)
{
	struct dtrack_dev one, *devs = NULL;
	int nr, ret;

	if (call->json)
		return usage_error(call, "--json: the format is Prometheus'");
	if (call->argc) {
		if (dtrack_dev_find(call->h, call->argv[0], &one))
			return failed(call);
		return look_at(call, &one, 1);
	}
	nr = dtrack_dev_list(call->h, &devs);
	if (nr < 0)
		return failed(call);
	ret = look_at(call, devs, nr);
	free(devs);
	return ret;
}

const struct verb verb_metrics = {
	.name = "metrics",
	.run = run,
	.args = "[DEV]",
	.summary = "Print counters of devices and bitmaps for Prometheus.",
	.details =
"In its text format, for the textfile collector of the node exporter:\n"
"	dtrack metrics >FILE.tmp && mv FILE.tmp FILE.prom\n"
"There is no --json.",
};
