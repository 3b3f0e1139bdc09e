// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * run.c - dtrack run: all that a nightly job needs, in one call.
 *
 * Locks, hooks and what is said of the run; what is copied is night.c's.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hook.h"
#include "job-check.h"
#include "job.h"
#include "night.h"
#include "output.h"
#include "signals.h"
#include "status.h"
#include "verbs.h"

static const struct option_spec options[] = {
	{ OPT_ADOPT, "adopt", KIND_FLAG, NULL,
	  "take over the folder of another job or machine", NULL },
	{ OPT_CHECK, "check", KIND_FLAG, NULL,
	  "only look for mistakes: in CONFIG, its folder, and what it needs", NULL },
	{ OPT_INIT, "init", KIND_FLAG, NULL,
	  "begin anew in an empty folder, or in one that is not", NULL },
	{ OPT_ACCEPT, "accept", KIND_FLAG, NULL,
	  "another disk under an old name is meant", NULL },
	{ OPT_LIVE, "live", KIND_FLAG, NULL,
	  "hold nothing still, whatever CONFIG says", NULL },
	{ 0 },
};

/**
 * struct job - the verb's work.
 * @call: the call
 * @config: the configuration
 * @night: the run
 * @began: monotonic clock, seconds
 * @config_lock: the configuration, locked: no hooks of two runs at once
 * @folder_lock: a file in the folder, locked; -1: not ours
 * @is_out: another run has one of the locks
 */
struct job {
	struct call *call;
	struct config config;
	struct night night;
	double began;
	int config_lock;
	int folder_lock;
	bool is_out;
};

static double monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- Locks -------------------------------------------------------------- */

static void unlock(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Files of ours are closed by a hook's exec: it keeps no lock. */
static bool lock(struct job *job, int *fd, const char *path, int flags)
{
	struct night *n = &job->night;

	*fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600);
	if (*fd < 0)
		return night_fail(n, errno == EROFS ? "ReadOnly" :
				  errno == EACCES ? "Permission" :
				  errno == ENOSPC ? "NoSpace" : "GenericError",
				  "Could not open '%s': %s", path,
				  strerror(errno));
	if (!flock(*fd, LOCK_EX | LOCK_NB))
		return true;
	job->is_out = errno == EWOULDBLOCK;
	if (job->is_out)
		night_fail(n, "Busy", "Another run has locked '%s'", path);
	else
		night_fail(n, "GenericError", "Could not lock '%s': %s", path,
			   strerror(errno));
	unlock(fd);
	return false;
}

static bool lock_folder(struct job *job)
{
	char path[CONFIG_LINE_LEN + 8];
	struct stat st;

	if (stat(job->config.folder, &st) && errno == ENOENT)
		return night_fail(&job->night, "GenericError",
				  "There is no folder '%s': make it, or mount its disk",
				  job->config.folder);
	snprintf(path, sizeof(path), "%s/lock", job->config.folder);
	return lock(job, &job->folder_lock, path, O_RDWR | O_CREAT | O_NOFOLLOW);
}

/* Before there is a lock: what is not mounted stays empty. */
static bool check_place(struct job *job)
{
	struct repository *r = &job->night.repository;

	if (!repository_check_place(r, job->night.wish))
		return true;
	job->night.is_foreign = true;
	return night_fail(&job->night, "GenericError", "%s", r->why);
}

/* ---- Hooks -------------------------------------------------------------- */

static bool run_hook(struct job *job, const char *which, const char *command,
		     const struct hook_variable *variables)
{
	char why[256];

	if (!command[0] || !hook_run(command, variables, why, sizeof(why)))
		return true;
	return night_fail(&job->night, "GenericError",
			  "The hook '%s' failed: %s", which, why);
}

static bool run_before(struct job *job)
{
	const struct hook_variable v[] = {
		{ "JOB", job->night.job },
		{ "FOLDER", job->config.folder },
		{ 0 },
	};

	return run_hook(job, "before", job->config.before, v);
}

static bool run_after(struct job *job)
{
	struct night *n = &job->night;
	char bytes[32];
	const struct hook_variable v[] = {
		{ "JOB", n->job },
		{ "FOLDER", job->config.folder },
		{ "STATUS", night_state(n) },
		{ "KIND", night_kind(n) },
		{ "WHY", n->why },
		{ "CHAIN", n->made ? n->chain : "" },
		{ "POINT", n->made ? n->point.name : "" },
		{ "BYTES", bytes },
		{ "ERROR", n->error },
		{ 0 },
	};

	snprintf(bytes, sizeof(bytes), "%" PRIu64, n->bytes_copied);
	return run_hook(job, "after", job->config.after, v);
}

/* ---- The run ------------------------------------------------------------ */

static void tell_clock(struct job *job)
{
	const struct chain *c = store_newest(&job->night.store);
	const struct point *p = c ? chain_last(c) : NULL;
	char line[256];

	if (!p || point_time_parse(p->time) <= job->night.now)
		return;
	snprintf(line, sizeof(line),
		 "the clock went back: the last restore point is of %s", p->time);
	print_line(job->call, LOG_WARNING, line);
}

/* Whatever else there is to say: something may stand still for ever. */
static void tell_release(struct night *n)
{
	if (!n->release_error[0])
		return;
	night_fail_too(n, n->release_error);
	n->cancelled = false;
}

static void make(struct job *job)
{
	struct night *n = &job->night;

	if (!night_settle(n))
		return;
	tell_clock(job);
	night_accept(n);
	if (!night_catch_up(n))
		return;
	night_decide(n);
	/* It may be worse than what it would replace. */
	if (night_make(n) && night_prove(n) && night_scrub(n) &&
	    !n->release_error[0])
		night_prune(n);
	tell_release(n);
}

/* ---- The result --------------------------------------------------------- */

static void say(struct job *job)
{
	const struct night *n = &job->night;
	char line[NIGHT_ERROR_LEN + 2048], more[64 + POINT_WHY_LEN] = "";
	unsigned int i;

	if (n->pruned)
		snprintf(more, sizeof(more), ", %u old chain%s removed",
			 n->pruned, n->pruned > 1 ? "s" : "");
	if (n->kept[0])
		snprintf(more + strlen(more), sizeof(more) - strlen(more),
			 "; %s", n->kept);
	for (i = 0; i < night_nr_warnings(n); i++) {
		snprintf(line, sizeof(line), "warning: %s", n->warning[i]);
		print_line(job->call, LOG_WARNING, line);
	}
	if (n->made && n->full)
		snprintf(line, sizeof(line), "full copy %s (%s): %" PRIu64
			 " bytes copied%s", n->point.name, n->why,
			 n->bytes_copied, more);
	else if (n->made)
		snprintf(line, sizeof(line), "incremental copy %s of chain %s: %"
			 PRIu64 " bytes copied%s", n->point.name, n->chain,
			 n->bytes_copied, more);
	if (n->made)
		print_line(job->call, LOG_INFO, line);
	if (n->cls && n->decided && n->full && !n->made)
		snprintf(line, sizeof(line), "full copy (%s): %s", n->why,
			 n->error);
	else
		snprintf(line, sizeof(line), "%s", n->error);
	if (n->cls)
		print_error_line(job->call, line);
}

/*
 * So that the status has what is there now, also of a run that came to nothing.
 * The hook 'after' may have unmounted the folder: then it is as it was before.
 */
static void look_again(struct job *job)
{
	struct night *n = &job->night;

	if (n->store.folder[0] && job->folder_lock < 0)
		return;
	snprintf(n->store.folder, sizeof(n->store.folder), "%s", n->c->folder);
	n->store.h = n->h;
	store_free(&n->store);
	store_scan(&n->store);
}

static struct json_object *status(struct job *job)
{
	look_again(job);
	return status_json(&job->night, monotonic() - job->began);
}

/* Others need /dev/null as it is. */
static bool is_no_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && !S_ISREG(st.st_mode);
}

static void store_status(struct job *job, const char *path)
{
	struct json_object *o = status(job);
	bool no_file = is_no_file(path);
	int ret = no_file ? -EEXIST : status_store(path, o);
	char line[CONFIG_LINE_LEN + 256];

	json_object_put(o);
	if (!ret)
		return;
	snprintf(line, sizeof(line), "Could not write '%s': %s", path,
		 no_file ? "it exists and is no regular file" : strerror(-ret));
	night_fail_too(&job->night, line);
}

/* ---- The steps ---------------------------------------------------------- */

static bool exists(const char *folder, const char *file)
{
	char path[CONFIG_LINE_LEN + 32];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	return !access(path, F_OK);
}

/* A place to mount a disk on is no folder of ours while there is none. */
static bool has_place(const struct job *job)
{
	if (job->config.status[0])
		return true;
	return !job->night.is_foreign && exists(job->config.folder, "lock");
}

/*
 * The hook 'before' may mount the folder, and 'after' unmount it: before the
 * one and behind the other nothing in it is open, nor new.
 */
static void work(struct job *job)
{
	char path[CONFIG_LINE_LEN + 16];

	if (run_before(job) && check_place(job) && lock_folder(job))
		make(job);
	job_status_path(&job->config, path, sizeof(path));
	/* Of a run that another one kept out the other one has the status. */
	if (job->is_out || !has_place(job))
		path[0] = '\0';
	if (path[0])
		store_status(job, path);
	unlock(&job->folder_lock);
	if (!run_after(job) && path[0] && !access(path, F_OK))
		store_status(job, path);
}

/* ---- The verb ----------------------------------------------------------- */

static void hold_nothing(struct config *c)
{
	c->hold[0] = '\0';
	c->release[0] = '\0';
	c->fsfreeze = FSFREEZE_NO;
}

static int wish_of(const struct call *call)
{
	return call->option[OPT_ADOPT].given ? REPOSITORY_ADOPT :
	       call->option[OPT_INIT].given ? REPOSITORY_INIT : REPOSITORY_USE;
}

static int nightly(struct job *job)
{
	struct night *n = &job->night;

	if (job->call->option[OPT_LIVE].given)
		hold_nothing(&job->config);
	n->h = job->call->h;
	n->c = &job->config;
	n->job = job->call->argv[0];
	n->accept = job->call->option[OPT_ACCEPT].given;
	n->now = time(NULL);
	n->wish = wish_of(job->call);
	repository_init(&n->repository, n->c, n->job);
	job->began = monotonic();
	signals_catch();
	if (lock(job, &job->config_lock, job->call->argv[0], O_RDONLY))
		work(job);
	say(job);
	if (job->call->json)
		print_json(status(job));
	return n->cls ? EXIT_FAILED : EXIT_DONE;
}

static int run(struct call *call)
{
	struct job *job = calloc(1, sizeof(*job));
	int ret;

	if (!job)
		return failed_with(call, "GenericError", "no memory");
	job->call = call;
	job->config_lock = -1;
	job->folder_lock = -1;
	if (call->option[OPT_ADOPT].given && call->option[OPT_INIT].given)
		ret = usage_error(call, "--adopt and --init exclude each other");
	else
		ret = job_read(call, &job->config);
	if (ret < 0)
		ret = call->option[OPT_CHECK].given ?
		      job_check(call, &job->config) : nightly(job);
	night_free(&job->night);
	unlock(&job->config_lock);
	free(job);
	return ret;
}

const struct verb verb_run = {
	.name = "run",
	.run = run,
	.args = "CONFIG",
	.summary = "Do what a nightly job needs: a new restore point of its devices.",
	.details =
"CONFIG is one job, see dtrack.conf(5), by its path, or by its name: 'dtrack run db'\n"
"takes /etc/dtrack/db.conf if there is no file 'db' here. It has devices with their\n"
"bitmaps, and a folder with chains of restore points. The first run copies all, later ones what has\n"
"changed. A new chain with a full copy is begun, and the reason told, when it is\n"
"due, when a bitmap is lost, inconsistent or does not belong to the last restore\n"
"point, and when something in the chain is missing or was changed. Old chains are\n"
"removed only when the newest one is found whole. All devices are copied, or none.\n"
"\n"
"The folder belongs to one job of one machine, and says so: one of another job or\n"
"machine is refused (--adopt takes it over), and so is an empty one if the job had\n"
"one before, whose disk is not mounted then (--init begins anew).\n"
"\n"
"The copy is of one moment if the job holds the devices still for it. --live does\n"
"not: the next run, which does, has only to copy what was written meanwhile.\n"
"\n"
"A run says one line on stderr and leaves FOLDER/status.json for monitoring; with\n"
"--json it prints that, too. Two at once: the second one fails. SIGINT and SIGTERM\n"
"cancel in order; whatever happens, older restore points stay as they are, and\n"
"what is half-made is removed at once or by the next run.",
	.options = options,
};
