// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * verify.c - dtrack verify: what on a target is not as it should be.
 *
 * Ranges are printed as they are found.  A JSON document is whole or not at
 * all, so they wait in a file until all are known.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "output.h"
#include "progress.h"
#include "repo-lock.h"
#include "signals.h"
#include "verbs.h"
#include "words.h"

static const struct option_spec options[] = {
	{ OPT_SPEED, "speed", KIND_SIZE, "SIZE",
	  "at most SIZE a second, 0 for no limit", NULL },
	{ OPT_JOBS, "jobs", KIND_NUMBER, "N",
	  "requests in flight, at most 128", NULL },
	{ OPT_TARGET_TIMEOUT, "target-timeout", KIND_NUMBER, "SECONDS",
	  "how long an NBD server may be silent (default 60)", NULL },
	{ OPT_PROGRESS, "progress", KIND_MAYBE, "json",
	  "show progress also where stderr is no terminal", progress_words },
	{ 0 },
};

/**
 * struct findings - what is found.
 * @call: the call
 * @p: the bar
 * @memory: of the repository that the target is in, if it is in one; without
 *	DEV
 * @image: below the target, where it is found; "" for the target
 * @ranges: JSON, or NULL: they are printed
 * @problems: JSON
 */
struct findings {
	struct call *call;
	struct progress p;
	struct memory memory;
	char image[4096];
	FILE *ranges;
	struct json_object *problems;
};

/* ---- Signals ------------------------------------------------------------ */

static void cancel(void *running)
{
	dtrack_verify_cancel(running);
}

static void resume(void *running)
{
	(void)running;
}

static const struct signal_ops signal_ops = {
	.cancel = cancel,
	.resume = resume,
};

/* ---- What is found ------------------------------------------------------ */

static void notify(void *opaque, enum dtrack_run_event event, uint64_t done,
		   uint64_t total, const char *message)
{
	struct findings *f = opaque;

	progress_notify(&f->p, event, done, total, message);
}

static void image(void *opaque, const char *path)
{
	struct findings *f = opaque;

	snprintf(f->image, sizeof(f->image), "%s", path);
	memory_image(&f->memory, path);
}

static void range_json(struct findings *f, const struct dtrack_range *r)
{
	struct json_object *name = text_json(f->image);

	fprintf(f->ranges, "%s\n    {\"start\": %" PRIu64 ", \"length\": %" PRIu64,
		ftell(f->ranges) ? "," : "", (uint64_t)r->start,
		(uint64_t)r->length);
	if (f->image[0])
		fprintf(f->ranges, ", \"image\": %s",
			json_object_to_json_string_ext(name,
				JSON_C_TO_STRING_NOSLASHESCAPE));
	fputc('}', f->ranges);
	json_object_put(name);
}

static void range_text(const struct findings *f, const struct dtrack_range *r)
{
	char name[sizeof(f->image)];

	memcpy(name, f->image, sizeof(name));
	clean_line(name);
	printf("%" PRIu64 " %" PRIu64 "%s%s\n", (uint64_t)r->start,
	       (uint64_t)r->length, name[0] ? " " : "", name);
}

static void found(void *opaque, const struct dtrack_range *range,
		  const char *why)
{
	struct findings *f = opaque;

	progress_end(&f->p);
	memory_found(&f->memory, range, why);
	if (range && f->ranges)
		range_json(f, range);
	else if (range)
		range_text(f, range);
	if (!why)
		return;
	print_error_line(f->call, why);
	json_object_array_add(f->problems, text_json(why));
}

/* ---- The result --------------------------------------------------------- */

static int print_document(struct findings *f,
			  const struct dtrack_verify_result *r)
{
	const char *problems = json_object_to_json_string_ext(
		f->problems, JSON_C_TO_STRING_SPACED |
			     JSON_C_TO_STRING_NOSLASHESCAPE);
	bool some = ftell(f->ranges) > 0;

	printf("{\n  \"status\": \"%s\",\n  \"live\": %s,\n"
	       "  \"bytes-total\": %" PRIu64 ",\n"
	       "  \"bytes-checked\": %" PRIu64 ",\n"
	       "  \"bytes-different\": %" PRIu64 ",\n",
	       r->found ? "different" : "same", r->live ? "true" : "false",
	       r->bytes_total, r->bytes_checked, r->bytes_different);
	if (f->call->argc == 1)
		printf("  \"images\": %u,\n", r->images);
	printf("  \"medium\": %s,\n", r->medium ? "true" : "false");
	printf("  \"problems\": %s,\n  \"ranges\": [", problems);
	if (!print_file(f->ranges))
		return EXIT_FAILED;
	printf("%s]\n}\n", some ? "\n  " : "");
	return r->found ? EXIT_DIFFERENT : EXIT_DONE;
}

static void say_unchecked(struct call *call,
			  const struct dtrack_verify_result *r)
{
	char why[160];

	if (call->argc == 2 || r->bytes_checked >= r->bytes_total)
		return;
	snprintf(why, sizeof(why),
		 "%" PRIu64 " of %" PRIu64 " bytes have no checksum and were not checked",
		 r->bytes_total - r->bytes_checked, r->bytes_total);
	print_line(call, LOG_WARNING, why);
}

static void say_same(const struct dtrack_verify_result *r)
{
	printf("same: %" PRIu64 " of %" PRIu64 " bytes checked",
	       r->bytes_checked, r->bytes_total);
	if (r->images > 1)
		printf(", in %u images", r->images);
	if (r->bytes_checked && !r->medium)
		printf(", not known to be from the medium");
	puts(r->live ? ", live" : "");
}

static int tell(struct findings *f, const struct dtrack_verify_result *r)
{
	struct call *call = f->call;
	char why[160];

	say_unchecked(call, r);
	if (call->json)
		return print_document(f, r);
	if (!r->found) {
		say_same(r);
		return EXIT_DONE;
	}
	snprintf(why, sizeof(why), "%" PRIu64 " bytes differ%s",
		 r->bytes_different, r->live ? ", compared live" : "");
	print_error_line(call, why);
	return EXIT_DIFFERENT;
}

/* ---- The verb ----------------------------------------------------------- */

static void fill(const struct call *call, struct dtrack_verify_options *o,
		 struct findings *f)
{
	o->target = call->argv[call->argc - 1];
	o->device = call->argc == 2 ? call->argv[0] : NULL;
	o->speed = call->option[OPT_SPEED].number;
	o->jobs = (unsigned int)call->option[OPT_JOBS].number;
	o->target_timeout =
		(unsigned int)call->option[OPT_TARGET_TIMEOUT].number;
	o->notify = notify;
	o->found = found;
	o->image = image;
	o->opaque = f;
}

/* A comparison with a device says nothing of the image alone. */
static void remember(struct findings *f, int ret,
		     const struct dtrack_verify_result *r)
{
	bool all = r->images && r->bytes_checked == r->bytes_total;

	if (f->call->argc == 2)
		return;
	if (!memory_keep(&f->memory, ret || !r->images ? MEMORY_PART :
				     r->medium && all ? MEMORY_MEDIUM :
							MEMORY_WELL))
		print_error_line(f->call, f->memory.why);
}

static int execute(struct findings *f, struct dtrack_verify *v)
{
	struct dtrack_verify_result r;
	struct call *call = f->call;
	int ret;

	dtrack_verify_result(v, &r, sizeof(r));
	if (r.live)
		print_line(call, LOG_WARNING,
			   "the device is in use: it is compared live, and what differs may have been written meanwhile");
	progress_begin(&f->p, call->option[OPT_PROGRESS].given);
	signals_give(&signal_ops, v);
	ret = dtrack_verify_execute(v);
	signals_ignore();
	progress_end(&f->p);
	dtrack_verify_result(v, &r, sizeof(r));
	remember(f, ret, &r);
	return ret < 0 ? failed(call) : tell(f, &r);
}

static int verify(struct findings *f)
{
	struct dtrack_verify_options o = DTRACK_VERIFY_OPTIONS_INIT;
	struct call *call = f->call;
	struct dtrack_verify *v;
	int ret;

	if (call->argc == 2 && names_target(call->argv[0]))
		return usage_error(call, "DEV comes first, then TARGET: '%s' is no block device",
				   call->argv[0]);
	fill(call, &o, f);
	signals_catch();
	if (call->argc == 1)
		memory_begin(&f->memory, o.target);
	if (dtrack_verify_new(call->h, &o, &v))
		return failed(call);
	ret = execute(f, v);
	dtrack_verify_free(v);
	return ret;
}

/* What is read is not removed by a run meanwhile. */
static int verify_locked(struct findings *f)
{
	struct call *call = f->call;
	int ret, lock;

	if (repo_lock_shared(call->argv[call->argc - 1], &lock))
		return failed_with(call, "Busy", "Its chain is being removed");
	ret = verify(f);
	if (lock >= 0)
		close(lock);
	return ret;
}

static int run(struct call *call)
{
	struct findings f = { .call = call, .p = { .call = call } };
	int ret;

	f.memory.h = call->h;
	f.memory.by = "verify";
	if (call->json) {
		f.ranges = tmpfile();
		if (!f.ranges)
			return failed_with(call, "GenericError",
					   strerror(errno));
		fcntl(fileno(f.ranges), F_SETFD, FD_CLOEXEC);
	}
	f.problems = json_object_new_array();
	ret = verify_locked(&f);
	memory_free(&f.memory);
	json_object_put(f.problems);
	if (f.ranges)
		fclose(f.ranges);
	return ret;
}

const struct verb verb_verify = {
	.name = "verify",
	.run = run,
	.args = "[DEV] TARGET",
	.summary = "Compare a target with a device, or with its own checksums.",
	.details =
"With DEV, any block device: prints what differs, 'START LENGTH' in bytes, one a\n"
"line. What only one of both has differs, too, but a block device may be larger\n"
"than what it holds. A device that is in use is compared live: what differs may\n"
"have been written meanwhile.\n"
"\n"
"Without DEV: compares a file with its manifest and the checksums beside it\n"
"(TARGET.dtrack, TARGET.dtrack.sums), which a run keeps. That finds what went bad\n"
"in the file, was changed by others or can no longer be read, and that it was cut;\n"
"not that DEV is other than it was. How much has no checksum is said. Of a qcow2\n"
"image all that it lies over is verified, too, each image once: what is found\n"
"there is printed as 'START LENGTH IMAGE'.\n"
"\n"
"TARGET is read from the medium, not from what memory has of it. Where that cannot\n"
"be had or known (a server's, a file system on a network or of FUSE) it is said.\n"
"\n"
"Exit status: 0 same, 3 something differs or is missing, 1 not verified: the\n"
"target is incomplete or has no manifest, or nothing was found but an image could\n"
"not be checked, or not all of it, the device or with DEV the target could not be\n"
"read, or it was cancelled.",
	.options = options,
};
