// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * metrics.c - dtrack metrics: counters in Prometheus' text format, or in JSON.
 *
 * All samples of a metric stand together, so everything is looked at before
 * anything is printed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "metrics-jobs.h"
#include "output.h"
#include "samples.h"
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
 * @jobs: jobs
 * @samples: array that what is told goes into, or NULL: it is printed
 */
struct all {
	int nr;
	struct seen *seen;
	struct jobs jobs;
	struct json_object *samples;
};

/* @key, @label: what is told beside the device, or NULL; @value is freed. */
static void sample(const struct all *all, const char *metric,
		   const struct seen *seen, const char *key, const char *label,
		   struct json_object *value)
{
	char number[32];
	const struct label labels[] = {
		{ "device", seen->info.name[0] ? seen->info.name : number },
		{ "number", number },
		{ key, label },
	};

	snprintf(number, sizeof(number), "%u:%u", seen->dev.major,
		 seen->dev.minor);
	sample_tell(all->samples, metric, labels, key ? 3 : 2, value);
}

static void head(const struct all *all, const char *name, const char *type,
		 const char *help)
{
	sample_head(all->samples, name, type, help);
}

/* ---- Devices ------------------------------------------------------------ */

static void print_device(const struct all *all)
{
	int i;

	head(all, "device_size_bytes", "gauge", "Size of the tracked device.");
	for (i = 0; i < all->nr; i++)
		sample(all, "device_size_bytes", &all->seen[i], NULL, NULL,
		       json_object_new_uint64(all->seen[i].info.bytes));
	head(all, "device_bitmaps", "gauge", "Number of bitmaps of the device.");
	for (i = 0; i < all->nr; i++)
		sample(all, "device_bitmaps", &all->seen[i], NULL, NULL,
		       json_object_new_uint64(all->seen[i].info.nr_bitmaps));
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

static void print_tallies(const struct all *all, const struct seen *seen,
			  const char *metric, size_t member)
{
	const char *writes = (const char *)&seen->info.writes;
	size_t k;

	for (k = 0; seen->info.counted && k < ARRAY_SIZE(kinds); k++) {
		__u64 value;

		memcpy(&value, writes + kinds[k].tally + member, sizeof(value));
		sample(all, metric, seen, "kind", kinds[k].name,
		       json_object_new_uint64(value));
	}
}

static void print_writes(const struct all *all)
{
	char seconds[32];
	int i;

	head(all, "marked_requests_total", "counter",
	     "Requests that changed data and were marked, since the device was made.");
	for (i = 0; i < all->nr; i++)
		print_tallies(all, &all->seen[i], "marked_requests_total",
			      offsetof(struct dtrack_tally, nr));
	head(all, "marked_bytes_total", "counter", "Bytes of these requests.");
	for (i = 0; i < all->nr; i++)
		print_tallies(all, &all->seen[i], "marked_bytes_total",
			      offsetof(struct dtrack_tally, bytes));
	head(all, "last_mark_seconds", "gauge",
	     "Seconds since the last of these requests; none if there was none.");
	for (i = 0; i < all->nr; i++) {
		const struct dtrack_dev_info *info = &all->seen[i].info;

		if (!info->counted || info->writes.idle == UINT64_MAX)
			continue;
		snprintf(seconds, sizeof(seconds), "%" PRIu64 ".%03u",
			 (uint64_t)info->writes.idle / 1000,
			 (unsigned int)(info->writes.idle % 1000));
		sample(all, "last_mark_seconds", &all->seen[i], NULL, NULL,
		       json_object_new_double_s((double)info->writes.idle / 1000,
						seconds));
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

static void print_bitmaps(const struct all *all, const struct seen *seen,
			  size_t i)
{
	const struct dtrack_bitmap_info *info;
	unsigned int k;

	for (k = 0; (info = dtrack_bitmaps_at(seen->bitmaps, k)); k++)
		sample(all, of_bitmap[i].name, seen, "bitmap",
		       (const char *)info->name,
		       json_object_new_uint64(value_of(info, i)));
}

static void print_all(const struct all *all)
{
	size_t i;
	int k;

	print_device(all);
	print_writes(all);
	for (i = 0; i < ARRAY_SIZE(of_bitmap); i++) {
		head(all, of_bitmap[i].name, "gauge", of_bitmap[i].help);
		for (k = 0; k < all->nr; k++)
			print_bitmaps(all, &all->seen[k], i);
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

static int look_at(struct call *call, struct all *all,
		   const struct dtrack_dev *devs, int nr)
{
	int i, ret = 0;

	all->seen = calloc((size_t)nr + 1, sizeof(*all->seen));
	if (!all->seen)
		return failed_with(call, "GenericError", strerror(ENOMEM));
	for (i = 0; !ret && i < nr; i++)
		ret = look(call, all, devs[i]);
	return ret ? failed(call) : -1;
}

static int look_at_all(struct call *call, struct all *all)
{
	struct dtrack_dev *devs = NULL;
	int ret, nr = dtrack_dev_list(call->h, &devs);

	if (nr < 0)
		return failed(call);
	ret = look_at(call, all, devs, nr);
	free(devs);
	return ret < 0 ? jobs_find_all(call, &all->jobs) : ret;
}

/* Devices come first: a job may have the name of one. */
static int look_at_some(struct call *call, struct all *all)
{
	struct dtrack_dev *devs = calloc((size_t)call->argc, sizeof(*devs));
	int i, nr = 0, ret = devs ? -1 : failed_with(call, "GenericError",
						      strerror(ENOMEM));

	for (i = 0; ret < 0 && i < call->argc; i++) {
		if (jobs_is_file(call->argv[i]))
			ret = jobs_find(call, &all->jobs, call->argv[i]);
		else if (!dtrack_dev_find(call->h, call->argv[i], &devs[nr]))
			nr++;
		else
			ret = jobs_is_name(call->argv[i]) ?
			      jobs_find(call, &all->jobs, call->argv[i]) :
			      failed(call);
	}
	if (ret < 0)
		ret = look_at(call, all, devs, nr);
	free(devs);
	return ret;
}

static int run(struct call *call)
{
	struct all all = { 0 };
	int i, ret;

	if (call->json)
		all.samples = json_object_new_array();
	ret = call->argc ? look_at_some(call, &all) : look_at_all(call, &all);
	if (ret < 0) {
		if (all.nr || !all.jobs.nr)
			print_all(&all);
		jobs_tell(&all.jobs, all.samples);
		if (all.samples)
			print_json(json_object_get(all.samples));
		ret = EXIT_DONE;
	}
	for (i = 0; i < all.nr; i++)
		dtrack_bitmaps_free(all.seen[i].bitmaps);
	jobs_free(&all.jobs);
	json_object_put(all.samples);
	free(all.seen);
	return ret;
}

const struct verb verb_metrics = {
	.name = "metrics",
	.run = run,
	.args = "[DEV|JOB...]",
	.summary = "Print counters of devices, bitmaps and jobs for Prometheus.",
	.details =
"In its text format, for the textfile collector of the node exporter:\n"
"	dtrack metrics >FILE.tmp && mv FILE.tmp FILE.prom\n"
"Without arguments: of all devices, and of all jobs of /etc/dtrack. JOB is such a\n"
"job's name, its configuration, or a status file; what is known of it is what its\n"
"last run has left there. For jobs alone no kernel module is needed.\n"
"With --json the same samples as an array of name, labels and value.",
};
