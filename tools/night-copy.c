// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * night-copy.c - one run of a job: the copy, and what is held still for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hold.h"
#include "night.h"
#include "signals.h"
#include "words.h"

/* ---- The runs ----------------------------------------------------------- */

/* "qcow2:PATH,backing=qcow2:PREVIOUS" and the like. */
static void name_target(const struct night *n, unsigned int i,
			const struct point *before, const char *folder,
			char *buf, size_t size)
{
	const char *kind = point_format_word(n->c->format);
	char file[CONFIG_NAME_LEN + 8], under[CHAIN_PATH_LEN];
	size_t len;

	night_image_name(n, i, file, sizeof(file));
	len = (size_t)snprintf(buf, size, "%s:%s/%s", kind, folder, file);
	if (before && n->c->format == FORMAT_QCOW2)
		snprintf(buf + len, size - len, ",backing=%s:%s", kind,
			 chain_path(under, &n->store, n->chain, before->name,
				    file));
}

static bool add_run(struct night *n, unsigned int i, const struct point *before,
		    const char *folder, struct dtrack_transaction *tx)
{
	struct dtrack_run_options o = DTRACK_RUN_OPTIONS_INIT;
	char target[2 * CHAIN_PATH_LEN];

	name_target(n, i, before, folder, target, sizeof(target));
	o.target = target;
	o.bitmap = n->c->device[i].bitmap;
	o.sync = n->full ? DTRACK_SYNC_FULL : DTRACK_SYNC_INCREMENTAL;
	o.mode = DTRACK_MODE_CONDITIONAL;
	o.on_source_error = n->c->on_source_error;
	o.on_target_error = n->c->on_target_error;
	o.speed = n->c->speed;
	o.jobs = (unsigned int)n->c->jobs;
	o.request_size = n->c->request_size;
	o.target_timeout = (unsigned int)n->c->target_timeout;
	if (n->c->fsfreeze == FSFREEZE_YES)
		o.flags |= DTRACK_RUN_FSFREEZE;
	if (n->c->fsfreeze == FSFREEZE_COPY)
		o.flags |= DTRACK_RUN_FROZEN;
	else if (n->c->hold[0])
		o.flags |= DTRACK_RUN_HELD;
	return dtrack_transaction_backup(tx, n->device[i].dev, &o) >= 0 ||
	       night_fail_device(n, i);
}

/* The first that failed, by the name that the job gives it. */
static bool fail_runs(struct night *n, const struct dtrack_transaction *tx)
{
	struct dtrack_action_result r;
	unsigned int i;

	for (i = 0; i < n->c->nr; i++) {
		dtrack_transaction_result(tx, i, &r, sizeof(r));
		if (r.state == DTRACK_RUN_FAILED)
			return night_fail(n, r.errclass, "%s: %s",
					  n->c->device[i].name, r.errmsg);
	}
	if (n->cancelled)
		return night_check_cancel(n);
	return night_fail(n, dtrack_errclass(n->h), "%s", dtrack_errmsg(n->h));
}

/* ---- Holding still ------------------------------------------------------ */

/*
 * Where libnbd makes a socket for qemu-nbd: we would wait for ourselves.  Also when
 * nobody knows.
 */
static bool has_tmp(const struct night *n, struct dtrack_dev dev)
{
	return n->c->format == FORMAT_QCOW2 &&
	       dtrack_dev_carries(n->h, dev, "/tmp");
}

static bool find_file_systems(struct night *n, struct hold *hold)
{
	struct dtrack_dev devs[CONFIG_MAX_DEVICES];
	unsigned int i;

	if (n->c->fsfreeze != FSFREEZE_COPY)
		return true;
	for (i = 0; i < n->c->nr; i++) {
		devs[i] = n->device[i].dev;
		if (has_tmp(n, devs[i]))
			return night_fail(n, "GenericError",
					  "%s: It cannot be frozen: /tmp is on it, where a socket is made; mount a tmpfs there, or use format = raw",
					  n->c->device[i].name);
	}
	return !dtrack_fs_new(n->h, devs, n->c->nr, &hold->fs) ||
	       night_fail(n, dtrack_errclass(n->h), "%s", dtrack_errmsg(n->h));
}

static bool begin_hold(struct night *n, struct hold *hold)
{
	char why[HOLD_WHY_LEN];

	if (!find_file_systems(n, hold))
		return false;
	if ((!n->c->hold[0] && !hold->fs) || !hold_begin(hold, why))
		return true;
	return night_check_cancel(n) && night_fail(n, "GenericError", "%s", why);
}

/* The copy stays whatever comes of this, which is told at the end. */
static void end_hold(struct night *n, struct hold *hold)
{
	char why[HOLD_WHY_LEN];

	if (hold_end(hold, why))
		snprintf(n->release_error, sizeof(n->release_error), "%s", why);
	dtrack_fs_free(hold->fs);
}

static int run(struct dtrack_transaction *tx)
{
	int err;

	signals_give(&transaction_signals, tx);
	err = dtrack_transaction_execute(tx);
	signals_take();
	return err;
}

/* The checks, the freeze and the copy: nothing else has to be held still for. */
static bool execute(struct night *n, struct dtrack_transaction *tx)
{
	const struct hook_variable v[] = {
		{ "JOB", n->job },
		{ "FOLDER", n->c->folder },
		{ "KIND", night_kind(n) },
		{ "WHY", n->why },
		{ 0 },
	};
	struct hold hold = { .h = n->h, .c = n->c, .variables = v };
	bool held = begin_hold(n, &hold);
	int err = held ? run(tx) : 0;

	end_hold(n, &hold);
	if (err == -ECANCELED && hold.late && !signals_cancelled())
		return night_fail(n, "GenericError",
				  "It took more than the %" PRIu64 " s of hold-limit",
				  n->c->hold_limit);
	n->cancelled = n->cancelled || err == -ECANCELED;
	return held && (!err || fail_runs(n, tx));
}

/* ---- The copy ----------------------------------------------------------- */

static void count(struct night *n, const struct dtrack_transaction *tx)
{
	struct dtrack_action_result r;
	bool unsynced = false;
	unsigned int i;

	for (i = 0; i < n->c->nr; i++) {
		if (dtrack_transaction_result(tx, i, &r, sizeof(r)))
			continue;
		unsynced = unsynced || r.unsynced;
		n->point.image[i].copied = r.bytes_copied;
		n->bytes_copied += r.bytes_copied;
		n->bytes_total += r.bytes_total;
	}
	if (unsynced)
		night_warn(n, "%s", unsynced_words);
}

/* All devices at one moment, and all of them or none. */
bool night_copy(struct night *n, const struct point *before, const char *folder)
{
	struct dtrack_transaction *tx;
	unsigned int i;
	bool good = true;

	if (dtrack_transaction_new(n->h, DTRACK_COMPLETION_GROUPED, &tx))
		return night_fail(n, dtrack_errclass(n->h), "%s",
				  dtrack_errmsg(n->h));
	for (i = 0; good && i < n->c->nr; i++)
		good = add_run(n, i, before, folder, tx);
	if (good) {
		good = execute(n, tx);
		count(n, tx);
	}
	dtrack_transaction_free(tx);
	return good;
}
