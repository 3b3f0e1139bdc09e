// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * backup.c - dtrack backup: a run of libdtrack, with signals and a bar.
 */
#include <inttypes.h>
#include <string.h>

#include "json.h"
#include "output.h"
#include "progress.h"
#include "signals.h"
#include "verbs.h"
#include "words.h"

static const struct option_spec options[] = {
	{ OPT_TARGET, "target", KIND_TEXT, "TARGET",
	  "where to: PATH, an NBD URI, or qcow2:PATH[,backing=PREVIOUS]", NULL },
	{ OPT_SYNC, "sync", KIND_WORD, "MODE", "what to copy", sync_words },
	{ OPT_BITMAP, "bitmap", KIND_TEXT, "BITMAP",
	  "the bitmap to copy, or to start with a full copy", NULL },
	{ OPT_BITMAP_MODE, "bitmap-mode", KIND_WORD, "MODE",
	  "what the end does to it", mode_words },
	{ OPT_CONSISTENCY, "consistency", KIND_WORD, "HOW",
	  "of one instant, or not", consistency_words },
	{ OPT_FSFREEZE, "fsfreeze", KIND_FLAG, NULL,
	  "hold the mounted file system still at the freeze", NULL },
	{ OPT_SPEED, "speed", KIND_SIZE, "SIZE",
	  "at most SIZE a second, 0 for no limit", NULL },
	{ OPT_JOBS, "jobs", KIND_NUMBER, "N",
	  "requests in flight, at most 256", NULL },
	{ OPT_REQUEST_SIZE, "request-size", KIND_SIZE, "SIZE",
	  "at most SIZE in one request", NULL },
	{ OPT_ON_SOURCE_ERROR, "on-source-error", KIND_WORD, "WHAT",
	  "when a read fails", on_error_words },
	{ OPT_ON_TARGET_ERROR, "on-target-error", KIND_WORD, "WHAT",
	  "when a write fails", on_error_words },
	{ OPT_STOP_TIMEOUT, "stop-timeout", KIND_NUMBER, "SECONDS",
	  "how long 'stop' waits (default 3600)", NULL },
	{ OPT_TARGET_TIMEOUT, "target-timeout", KIND_NUMBER, "SECONDS",
	  "how long an NBD server may be silent (default 60)", NULL },
	{ OPT_FORCE, "force", KIND_FLAG, NULL,
	  "onto a target that is not known to fit the bitmap", NULL },
	{ OPT_PROGRESS, "progress", KIND_MAYBE, "json",
	  "show progress also where stderr is no terminal", progress_words },
	{ 0 },
};

/* ---- Signals ------------------------------------------------------------ */

static void cancel(void *running)
{
	dtrack_run_cancel(running);
}

static void resume(void *running)
{
	dtrack_run_resume(running);
}

static const struct signal_ops signal_ops = {
	.cancel = cancel,
	.resume = resume,
};

/* ---- Options ------------------------------------------------------------ */

static void take_word(const struct call *call, enum option_id id, int *to)
{
	if (call->option[id].given)
		*to = (int)call->option[id].number;
}

static void fill(const struct call *call, struct dtrack_run_options *o,
		 struct progress *p)
{
	o->target = call->option[OPT_TARGET].text;
	o->bitmap = call->option[OPT_BITMAP].text;
	o->speed = call->option[OPT_SPEED].number;
	o->request_size = call->option[OPT_REQUEST_SIZE].number;
	take_word(call, OPT_SYNC, &o->sync);
	take_word(call, OPT_BITMAP_MODE, &o->mode);
	take_word(call, OPT_CONSISTENCY, &o->consistency);
	take_word(call, OPT_ON_SOURCE_ERROR, &o->on_source_error);
	take_word(call, OPT_ON_TARGET_ERROR, &o->on_target_error);
	if (call->option[OPT_JOBS].given)
		o->jobs = (unsigned int)call->option[OPT_JOBS].number;
	if (call->option[OPT_STOP_TIMEOUT].given)
		o->stop_timeout =
			(unsigned int)call->option[OPT_STOP_TIMEOUT].number;
	o->target_timeout =
		(unsigned int)call->option[OPT_TARGET_TIMEOUT].number;
	if (call->option[OPT_FORCE].given)
		o->flags |= DTRACK_RUN_FORCE;
	if (call->option[OPT_FSFREEZE].given)
		o->flags |= DTRACK_RUN_FSFREEZE;
	o->notify = progress_notify;
	o->opaque = p;
}

static int check(struct call *call)
{
	if (!call->option[OPT_TARGET].given)
		return usage_error(call, "--target must be given");
	if (call->option[OPT_BITMAP].given && !call->option[OPT_SYNC].given)
		return usage_error(call, "--sync must be given with --bitmap");
	return -1;
}

/* ---- The result --------------------------------------------------------- */

static void result_json(struct call *call, struct dtrack_dev dev,
			const struct dtrack_run_result *r)
{
	struct json_object *o = json_object_new_object(), *error = NULL;

	/* Before the next call on the handle. */
	if (r->state != DTRACK_RUN_COMPLETED)
		error = error_json(dtrack_errclass(call->h),
				   dtrack_errmsg(call->h));
	json_object_object_add(o, "status", dtl_json_string(
			       state_word(r->state)));
	json_object_object_add(o, "consistency", dtl_json_string(
			       consistency_word(r->consistency)));
	json_object_object_add(o, "bytes-total",
			       json_object_new_uint64(r->bytes_total));
	json_object_object_add(o, "bytes-copied",
			       json_object_new_uint64(r->bytes_copied));
	json_object_object_add(o, "bitmap", bitmap_after(call, dev,
			       call->option[OPT_BITMAP].text));
	if (error)
		json_object_object_add(o, "error", error);
	print_json(o);
}

static int tell(struct call *call, struct dtrack_dev dev,
		struct dtrack_run *run)
{
	struct dtrack_run_result r;

	dtrack_run_result(run, &r, sizeof(r));
	if (r.state != DTRACK_RUN_COMPLETED)
		print_error_line(call, dtrack_errmsg(call->h));
	if (r.unsynced && r.state == DTRACK_RUN_COMPLETED)
		print_line(call, LOG_WARNING, unsynced_words);
	if (call->json)
		result_json(call, dev, &r);
	else
		printf("%s: %" PRIu64 " of %" PRIu64 " bytes copied, %s\n",
		       state_word(r.state), r.bytes_copied, r.bytes_total,
		       consistency_word(r.consistency));
	return r.state == DTRACK_RUN_COMPLETED ? EXIT_DONE : EXIT_FAILED;
}

/* ---- The verb ----------------------------------------------------------- */

static void warn_live(struct call *call, struct dtrack_dev dev)
{
	char how[4600], line[4700];

	if (call->option[OPT_CONSISTENCY].given ||
	    dtrack_dev_used(call->h, dev, how, sizeof(how)) <= 0)
		return;
	snprintf(line, sizeof(line),
		 "the device is in use (%s): the copy is live, not of one instant",
		 how);
	print_line(call, LOG_WARNING, line);
}

static int run(struct call *call)
{
	struct dtrack_run_options o = DTRACK_RUN_OPTIONS_INIT;
	struct progress p = { .call = call };
	struct dtrack_run *r;
	struct dtrack_dev dev;
	int ret = check(call);

	if (ret >= 0)
		return ret;
	fill(call, &o, &p);
	signals_catch();
	if (dtrack_run_check(call->h, &o) ||
	    dtrack_dev_find(call->h, call->argv[0], &dev) ||
	    dtrack_run_new(call->h, dev, &o, &r))
		return failed(call);
	warn_live(call, dev);
	progress_begin(&p, call->option[OPT_PROGRESS].given);
	signals_give(&signal_ops, r);
	dtrack_run_execute(r);
	signals_ignore();
	progress_end(&p);
	ret = tell(call, dev, r);
	dtrack_run_free(r);
	return ret;
}

const struct verb verb_backup = {
	.name = "backup",
	.run = run,
	.args = "DEV",
	.summary = "Copy a tracked device, or what has changed on it, to a target.",
	.details =
"--sync is 'full' without a bitmap and must be given with one. 'incremental' is\n"
"'bitmap' in mode 'conditional'; 'top' is 'full' on a device without layers;\n"
"'none' needs images, which are not supported yet.\n"
"\n"
"--bitmap-mode must be given with a bitmap, but for 'incremental':\n"
"  conditional  success leaves what was written meanwhile, failure everything\n"
"               (also called on-success)\n"
"  never        the bitmap goes on as if there had been no run\n"
"  always       either leaves what was not copied and what was written meanwhile\n"
"\n"
"A file is made by 'full' (by the others with --force: the rest are holes), and\n"
"otherwise updated in place: it must have the device's size. What it holds is\n"
"said in TARGET.dtrack beside it; 'incremental' and 'bitmap' need one that fits\n"
"the bitmap, or --force. A block device must be as large as DEV, is opened\n"
"exclusively, and has no such file: that it fits is yours to know. So it is with\n"
"an NBD URI (nbd://HOST[:PORT]/[EXPORT], nbd+unix:///[EXPORT]?socket=PATH, nbds\n"
"for TLS). An NBD server that is lost, or silent for too long, ends the run.\n"
"A qcow2 image is made by the run: 'full' makes one by itself, 'incremental' and\n"
"'bitmap' one over PREVIOUS, whose .dtrack must fit the bitmap, or --force.\n"
"\n"
"--fsfreeze freezes and thaws a mounted file system around the moment at which\n"
"the bitmap is frozen; a SIGKILL in between leaves it frozen ('fsfreeze -u').\n"
"\n"
"When a read or write fails: 'report' ends the run, 'ignore' tries three times\n"
"more first, 'stop' waits for SIGUSR1 (try again) or SIGTERM (cancel). SIGINT\n"
"and SIGTERM cancel in order, another one a second or more later exits at once;\n"
"either way the bitmap thaws and nothing dirty is lost.",
	.options = options,
};
