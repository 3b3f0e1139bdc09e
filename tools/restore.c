// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * restore.c - dtrack restore: from a target back to a block device.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "memory.h"
#include "output.h"
#include "progress.h"
#include "repo-lock.h"
#include "signals.h"
#include "verbs.h"
#include "words.h"

static const struct option_spec options[] = {
	{ OPT_DELTA, "delta", KIND_FLAG, NULL,
	  "read the device and write only what differs", NULL },
	{ OPT_FORCE, "force", KIND_FLAG, NULL,
	  "from an incomplete or damaged target, too", NULL },
	{ OPT_SPEED, "speed", KIND_SIZE, "SIZE",
	  "at most SIZE a second, 0 for no limit", NULL },
	{ OPT_JOBS, "jobs", KIND_NUMBER, "N",
	  "requests in flight, at most 256", NULL },
	{ OPT_TARGET_TIMEOUT, "target-timeout", KIND_NUMBER, "SECONDS",
	  "how long an NBD server may be silent (default 60)", NULL },
	{ OPT_PROGRESS, "progress", KIND_MAYBE, "json",
	  "show progress also where stderr is no terminal", progress_words },
	{ 0 },
};

/* ---- Signals ------------------------------------------------------------ */

static void cancel(void *running)
{
	dtrack_restore_cancel(running);
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

/**
 * struct findings - what is found.
 * @p: the bar
 * @memory: of the repository that the target is in, if it is in one
 * @image: below the target, which wrote what is found; "" for the target
 */
struct findings {
	struct progress p;
	struct memory memory;
	char image[4096];
};

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
	if (path[0])
		memory_image(&f->memory, path);
	else
		memory_begin(&f->memory, f->p.call->argv[0]);
}

static void found(void *opaque, const struct dtrack_range *range,
		  const char *why)
{
	struct findings *f = opaque;
	char line[sizeof(f->image) + 160], writer[sizeof(f->image) + 8] = "";

	progress_end(&f->p);
	if (range)
		memory_found(&f->memory, range, why);
	if (f->image[0])
		snprintf(writer, sizeof(writer), " to '%s'", f->image);
	if (range && why)
		snprintf(line, sizeof(line),
			 "%" PRIu64 " bytes from byte %" PRIu64 " on cannot be read; the device is as it was there",
			 (uint64_t)range->length, (uint64_t)range->start);
	else if (range)
		snprintf(line, sizeof(line),
			 "%" PRIu64 " bytes from byte %" PRIu64 " on are not what was written%s; restored as they are",
			 (uint64_t)range->length, (uint64_t)range->start,
			 writer);
	print_error_line(f->p.call, range ? line : why);
}

/* ---- The result --------------------------------------------------------- */

static void result_json(struct call *call,
			const struct dtrack_restore_result *r)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "status", dtl_json_string(
			       state_word(r->state)));
	json_object_object_add(o, "bytes-total",
			       json_object_new_uint64(r->bytes_total));
	json_object_object_add(o, "bytes-written",
			       json_object_new_uint64(r->bytes_written));
	json_object_object_add(o, "bytes-damaged",
			       json_object_new_uint64(r->bytes_damaged));
	json_object_object_add(o, "bytes-unread",
			       json_object_new_uint64(r->bytes_unread));
	json_object_object_add(o, "checked", json_object_new_boolean(r->checked));
	if (r->state == DTRACK_RUN_COMPLETED) {
		json_object_object_add(o, "bytes-checked",
				       json_object_new_uint64(r->bytes_checked));
	} else {
		json_object_object_add(o, "restored-to",
				       json_object_new_uint64(r->done_to));
		json_object_object_add(o, "untouched-from",
				       json_object_new_uint64(r->begun_to));
		json_object_object_add(o, "error",
				       error_json(dtrack_errclass(call->h),
						  dtrack_errmsg(call->h)));
	}
	print_json(o);
}

static void result_text(const struct dtrack_restore_result *r)
{
	printf("%s: %" PRIu64 " of %" PRIu64 " bytes written%s",
	       state_word(r->state), r->bytes_written, r->bytes_total,
	       r->checked ? "" : ", without checksums");
	if (r->bytes_damaged)
		printf(", %" PRIu64 " damaged", r->bytes_damaged);
	if (r->bytes_unread)
		printf(", %" PRIu64 " not read", r->bytes_unread);
	putchar('\n');
	if (r->state == DTRACK_RUN_COMPLETED &&
	    r->device_bytes > r->bytes_total)
		printf("the last %" PRIu64 " bytes of the device are as they were\n",
		       r->device_bytes - r->bytes_total);
}

/* How the device was left. */
static void tell_ends(struct call *call, const struct dtrack_restore_result *r)
{
	char line[256];

	if (!r->begun_to)
		snprintf(line, sizeof(line), "nothing was written to the device");
	else if (!r->done_to)
		snprintf(line, sizeof(line),
			 "the device may have a part of the content up to byte %" PRIu64 "; the rest is as it was",
			 r->begun_to);
	else if (r->done_to == r->begun_to)
		snprintf(line, sizeof(line),
			 "the device has the content up to byte %" PRIu64 "; the rest is as it was",
			 r->done_to);
	else
		snprintf(line, sizeof(line),
			 "the device has the content up to byte %" PRIu64 ", and may have a part of it up to byte %" PRIu64 "; the rest is as it was",
			 r->done_to, r->begun_to);
	print_error_line(call, line);
}

static void say_unchecked(struct call *call,
			  const struct dtrack_restore_result *r)
{
	const uint64_t all = r->bytes_total - r->bytes_unread;
	char why[160];

	if (!r->checked || r->bytes_checked >= all)
		return;
	snprintf(why, sizeof(why),
		 "%" PRIu64 " of %" PRIu64 " bytes have no checksum and were not checked",
		 all - r->bytes_checked, r->bytes_total);
	print_line(call, LOG_WARNING, why);
}

static int tell(struct call *call, const struct dtrack_restore_result *r)
{
	bool done = r->state == DTRACK_RUN_COMPLETED;

	if (done) {
		say_unchecked(call, r);
	} else {
		print_error_line(call, dtrack_errmsg(call->h));
		tell_ends(call, r);
	}
	if (call->json)
		result_json(call, r);
	else
		result_text(r);
	if (!done)
		return EXIT_FAILED;
	return r->bytes_damaged || r->bytes_unread ? EXIT_DIFFERENT : EXIT_DONE;
}

/* ---- The verb ----------------------------------------------------------- */

static void fill(const struct call *call, struct dtrack_restore_options *o,
		 struct findings *f)
{
	o->target = call->argv[0];
	o->device = call->argv[1];
	o->speed = call->option[OPT_SPEED].number;
	o->jobs = (unsigned int)call->option[OPT_JOBS].number;
	o->target_timeout =
		(unsigned int)call->option[OPT_TARGET_TIMEOUT].number;
	if (call->option[OPT_FORCE].given)
		o->flags |= DTRACK_RESTORE_FORCE;
	if (call->option[OPT_DELTA].given)
		o->flags |= DTRACK_RESTORE_DELTA;
	o->notify = notify;
	o->found = found;
	o->image = image;
	o->opaque = f;
}

static int restore(struct call *call)
{
	struct dtrack_restore_options o = DTRACK_RESTORE_OPTIONS_INIT;
	struct findings f = {
		.p.call = call,
		.memory = { .h = call->h, .by = "restore" },
	};
	struct dtrack_restore_result result;
	struct dtrack_restore *r;

	if (names_target(call->argv[1]) && !names_target(call->argv[0]))
		return usage_error(call, "TARGET comes first, then DEV: '%s' is no block device",
				   call->argv[1]);
	fill(call, &o, &f);
	signals_catch();
	if (dtrack_restore_new(call->h, &o, &r))
		return failed(call);
	memory_begin(&f.memory, call->argv[0]);
	progress_begin(&f.p, call->option[OPT_PROGRESS].given);
	signals_give(&signal_ops, r);
	dtrack_restore_execute(r);
	signals_ignore();
	progress_end(&f.p);
	dtrack_restore_result(r, &result, sizeof(result));
	dtrack_restore_free(r);
	if (!memory_keep(&f.memory, MEMORY_PART))
		print_error_line(call, f.memory.why);
	memory_free(&f.memory);
	return tell(call, &result);
}

/* What is read is not removed by a run meanwhile. */
static int run(struct call *call)
{
	int ret, lock;

	if (repo_lock_shared(call->argv[0], &lock))
		return failed_with(call, "Busy", "Its chain is being removed");
	ret = restore(call);
	if (lock >= 0)
		close(lock);
	return ret;
}

const struct verb verb_restore = {
	.name = "restore",
	.run = run,
	.args = "TARGET DEV",
	.summary = "Copy a target back to a block device.",
	.details =
"TARGET is what a backup has written, as --target was given (qcow2:PATH with all\n"
"that it lies over), or any raw image. DEV is any block device,\n"
"tracked or not; on a tracked one what is written is dirty. Refused is a device\n"
"that is mounted or otherwise in use, or smaller than the content; the rest of a\n"
"larger one stays as it is. Nobody else can claim it until the end, and no backup\n"
"of it is made so long; while one is made it is not restored.\n"
"\n"
"Where TARGET has checksums its content is compared with them as it is read, of an\n"
"image also with those of the images that it lies over, and the restore fails where\n"
"it does not match; 'dtrack verify TARGET' tells before anything is written.\n"
"--force saves what can be saved: what does not match is restored as it is, what\n"
"cannot be read leaves the device as it was there, and both are named. It also takes\n"
"a target that is incomplete, has another size than its manifest says, or a damaged\n"
"manifest, and one over another image than it was made over.\n"
"\n"
"--delta compares both and writes only what differs: less is written, and on a\n"
"tracked device less is dirty.\n"
"\n"
"SIGINT and SIGTERM cancel in order, another one a second or more later exits at\n"
"once: the device then has a part of the content. Unless it exits at once, the last\n"
"line says up to where.\n"
"\n"
"Exit status: 0 restored, 3 restored with --force but for what was named, 1 failed\n"
"or cancelled.",
	.options = options,
};
