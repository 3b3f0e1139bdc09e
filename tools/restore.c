// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * restore.c - dtrack restore: from a target back to a block device.
 */
#include <inttypes.h>
#include <string.h>

#include "output.h"
#include "progress.h"
#include "signals.h"
#include "verbs.h"
#include "words.h"

static const struct option_spec options[] = {
	{ OPT_DELTA, "delta", KIND_FLAG, NULL,
	  "read the device and write only what differs", NULL },
	{ OPT_FORCE, "force", KIND_FLAG, NULL,
	  "from an incomplete or damaged target, too", NULL },
	{ OPT_SPEED, "speed", KIND_SIZE, "SIZE", "at most SIZE a second",
	  NULL },
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

static void found(void *opaque, const struct dtrack_range *range,
		  const char *why)
{
	struct progress *p = opaque;
	char line[160];

	progress_end(p);
	if (range) {
		snprintf(line, sizeof(line),
			 "%" PRIu64 " bytes from byte %" PRIu64 " on are not what was written; restored as they are",
			 (uint64_t)range->length, (uint64_t)range->start);
		why = line;
	}
	print_error_line(p->call, why);
}

/* ---- The result --------------------------------------------------------- */

static void result_json(struct call *call,
			const struct dtrack_restore_result *r)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "status", json_object_new_string(
			       state_word(r->state)));
	json_object_object_add(o, "bytes-total",
			       json_object_new_uint64(r->bytes_total));
	json_object_object_add(o, "bytes-written",
			       json_object_new_uint64(r->bytes_written));
	json_object_object_add(o, "checked", json_object_new_boolean(r->checked));
	if (r->state != DTRACK_RUN_COMPLETED)
		json_object_object_add(o, "error",
				       error_json(dtrack_errclass(call->h),
						  dtrack_errmsg(call->h)));
	print_json(o);
}

static void result_text(const struct dtrack_restore_result *r)
{
	printf("%s: %" PRIu64 " of %" PRIu64 " bytes written%s\n",
	       state_word(r->state), r->bytes_written, r->bytes_total,
	       r->checked ? "" : ", without checksums");
	if (r->state == DTRACK_RUN_COMPLETED &&
	    r->device_bytes > r->bytes_total)
		printf("the last %" PRIu64 " bytes of the device are as they were\n",
		       r->device_bytes - r->bytes_total);
}

static int tell(struct call *call, const struct dtrack_restore_result *r)
{
	if (r->state != DTRACK_RUN_COMPLETED) {
		print_error_line(call, dtrack_errmsg(call->h));
		if (r->bytes_written)
			print_error_line(call,
					 "the device has only a part of the target's content");
	}
	if (call->json)
		result_json(call, r);
	else
		result_text(r);
	return r->state == DTRACK_RUN_COMPLETED ? EXIT_DONE : EXIT_FAILED;
}

/* ---- The verb ----------------------------------------------------------- */

static void fill(const struct call *call, struct dtrack_restore_options *o,
		 struct progress *p)
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
	o->notify = progress_notify;
	o->found = found;
	o->opaque = p;
}

static int run(struct call *call)
{
	struct dtrack_restore_options o = DTRACK_RESTORE_OPTIONS_INIT;
	const struct option_value *speed = &call->option[OPT_SPEED];
	struct progress p = { .call = call };
	struct dtrack_restore_result result;
	struct dtrack_restore *r;

	if (speed->given && !speed->number)
		return usage_error(call, "--speed must be at least 1");
	fill(call, &o, &p);
	signals_catch();
	if (dtrack_restore_new(call->h, &o, &r))
		return failed(call);
	progress_begin(&p, call->option[OPT_PROGRESS].given);
	signals_give(&signal_ops, r);
	dtrack_restore_execute(r);
	signals_ignore();
	progress_end(&p);
	dtrack_restore_result(r, &result, sizeof(result));
	dtrack_restore_free(r);
	return tell(call, &result);
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
"larger one stays as it is. Nobody else can claim it until the end.\n"
"\n"
"Where TARGET has checksums its content is compared with them as it is read, and\n"
"the restore fails where it does not match; 'dtrack verify TARGET' tells before\n"
"anything is written. --force restores it as it is, and also a target that is\n"
"incomplete, has another size than its manifest says, or a damaged manifest.\n"
"\n"
"--delta compares both and writes only what differs: less is written, and on a\n"
"tracked device less is dirty.\n"
"\n"
"SIGINT and SIGTERM cancel in order, a second one exits at once: the device then\n"
"has a part of the content.",
	.options = options,
};
