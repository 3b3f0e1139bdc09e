// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * transaction.c - dtrack transaction: a document's actions, at once or not at
 * all.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "document.h"
#include "json.h"
#include "output.h"
#include "progress.h"
#include "signals.h"
#include "table.h"
#include "verbs.h"
#include "words.h"

/**
 * struct part - an action, beside what the document says of it.
 * @dev: its device
 * @progress: of a run: what it says when it stops
 * @prefix: for that
 */
struct part {
	struct dtrack_dev dev;
	struct progress progress;
	char prefix[64];
};

/**
 * struct job - the verb's work.
 * @call: the call
 * @doc: the document
 * @part: of each action
 * @tx: the transaction
 */
struct job {
	struct call *call;
	struct document doc;
	struct part *part;
	struct dtrack_transaction *tx;
};

/* ---- Reading ------------------------------------------------------------ */

/* One byte more than a document may have; no regular file: a pipe will do. */
static char *read_all(int fd, size_t *len)
{
	char *text = malloc(DOC_MAX_BYTES + 2);
	ssize_t n = 1;

	*len = 0;
	if (!text)
		return NULL;
	while (n && *len <= DOC_MAX_BYTES) {
		n = read(fd, text + *len, DOC_MAX_BYTES + 1 - *len);
		if (n < 0 && errno != EINTR) {
			free(text);
			return NULL;
		}
		*len += n > 0 ? (size_t)n : 0;
	}
	text[*len] = '\0';
	return text;
}

static int unreadable(struct call *call)
{
	char why[4608];

	snprintf(why, sizeof(why), "Could not read '%.4096s': %s", call->argv[0],
		 strerror(errno));
	return failed_with(call, "GenericError", why);
}

static int read_document(struct job *job)
{
	struct call *call = job->call;
	bool std = !strcmp(call->argv[0], "-");
	int fd = std ? STDIN_FILENO : open(call->argv[0], O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	char *text = fd < 0 ? NULL : read_all(fd, &len);
	int ret = -1;

	if (!text)
		ret = unreadable(call);
	else if (!document_parse(text, len, &job->doc))
		ret = usage_error(call, "%s", job->doc.why);
	if (fd >= 0 && !std)
		close(fd);
	free(text);
	return ret;
}

/* ---- Building ----------------------------------------------------------- */

static int tell_of(struct job *job, unsigned int i)
{
	char why[8192];

	snprintf(why, sizeof(why), "%s%s", job->part[i].prefix,
		 dtrack_errmsg(job->call->h));
	return failed_with(job->call, dtrack_errclass(job->call->h), why);
}

static int add(struct job *job, const struct doc_action *a,
	       const struct part *p)
{
	unsigned int flags = (a->disabled ? DTRACK_ADD_DISABLED : 0) |
			     (a->persistent ? DTRACK_ADD_PERSISTENT : 0);

	/* To the library 0 is the default; it refuses 1 in the same words. */
	return dtrack_transaction_add(job->tx, p->dev, a->name,
				      a->granularity ? a->granularity : 1,
				      flags);
}

static int merge(struct job *job, const struct doc_action *a,
		 const struct part *p)
{
	struct dtrack_source *sources = calloc(a->nr_sources + 1,
					       sizeof(*sources));
	unsigned int i;
	int ret = sources ? 0 : -ENOMEM;

	for (i = 0; i < a->nr_sources && !ret; i++) {
		const struct doc_source *s = &a->sources[i];
		struct dtrack_dev dev = p->dev;

		if (s->node)
			ret = dtrack_dev_find(job->call->h, s->node, &dev);
		if (!ret)
			ret = dtrack_source_init(job->call->h, &sources[i], dev,
						 s->name);
	}
	if (!ret)
		ret = dtrack_transaction_merge(job->tx, p->dev, a->name,
					       sources, a->nr_sources);
	free(sources);
	return ret;
}

static int backup(struct job *job, const struct doc_action *a, struct part *p)
{
	struct dtrack_run_options o = a->options;

	o.bitmap = a->name;
	if (o.consistency < 0)
		o.consistency = DTRACK_CONSISTENCY_LIVE;
	if (a->force)
		o.flags |= DTRACK_RUN_FORCE;
	p->progress.call = job->call;
	p->progress.prefix = p->prefix;
	o.notify = progress_notify;
	o.opaque = &p->progress;
	return dtrack_transaction_backup(job->tx, p->dev, &o);
}

/* A negative errno with the words on the handle, or an index. */
static int take(struct job *job, const struct doc_action *a, struct part *p)
{
	struct dtrack_transaction *tx = job->tx;

	if (a->node && dtrack_dev_find(job->call->h, a->node, &p->dev))
		return dtrack_errno(job->call->h);
	switch (a->type) {
	case DOC_ADD:
		return add(job, a, p);
	case DOC_REMOVE:
		return dtrack_transaction_remove(tx, p->dev, a->name);
	case DOC_CLEAR:
		return dtrack_transaction_clear(tx, p->dev, a->name);
	case DOC_ENABLE:
		return dtrack_transaction_enable(tx, p->dev, a->name);
	case DOC_DISABLE:
		return dtrack_transaction_disable(tx, p->dev, a->name);
	case DOC_MERGE:
		return merge(job, a, p);
	case DOC_BACKUP:
		return backup(job, a, p);
	default:
		return dtrack_transaction_abort(tx);
	}
}

static int build(struct job *job)
{
	struct call *call = job->call;
	unsigned int i;

	job->part = calloc(job->doc.nr + 1, sizeof(*job->part));
	if (!job->part)
		return failed_with(call, "GenericError", "no memory");
	if (dtrack_transaction_new(call->h, job->doc.completion, &job->tx))
		return failed(call);
	for (i = 0; i < job->doc.nr; i++) {
		const struct doc_action *a = &job->doc.actions[i];
		struct part *p = &job->part[i];

		snprintf(p->prefix, sizeof(p->prefix), "action %u (%s): ", i,
			 a->word);
		if (take(job, a, p) < 0)
			return tell_of(job, i);
	}
	return -1;
}

/* ---- The result --------------------------------------------------------- */

static struct dtrack_action_result result(const struct job *job, unsigned int i)
{
	struct dtrack_action_result r;

	dtrack_transaction_result(job->tx, i, &r, sizeof(r));
	return r;
}

static bool is_run(const struct job *job, unsigned int i)
{
	return job->doc.actions[i].type == DOC_BACKUP;
}

/* What of all of them: failed before cancelled before completed. */
static int sum(const struct job *job, int err)
{
	int state = err ? DTRACK_RUN_CANCELLED : DTRACK_RUN_COMPLETED;
	unsigned int i;

	for (i = 0; i < job->doc.nr; i++)
		if (result(job, i).state == DTRACK_RUN_FAILED)
			state = DTRACK_RUN_FAILED;
	if (err && err != -ECANCELED)
		state = DTRACK_RUN_FAILED;
	return state;
}

static struct json_object *action_json(struct job *job, unsigned int i)
{
	const struct doc_action *a = &job->doc.actions[i];
	struct dtrack_action_result r = result(job, i);
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "type", dtl_json_string(a->word));
	if (a->job_id)
		json_object_object_add(o, "job-id", dtl_json_string(a->job_id));
	json_object_object_add(o, "status", dtl_json_string(
			       state_word(r.state)));
	if (r.state != DTRACK_RUN_COMPLETED)
		json_object_object_add(o, "error", error_json(r.errclass,
							      r.errmsg));
	if (is_run(job, i)) {
		json_object_object_add(o, "consistency", dtl_json_string(
				       consistency_word(r.consistency)));
		json_object_object_add(o, "bytes-total",
				       json_object_new_uint64(r.bytes_total));
		json_object_object_add(o, "bytes-copied",
				       json_object_new_uint64(r.bytes_copied));
	}
	json_object_object_add(o, "bitmap", bitmap_after(job->call,
							 job->part[i].dev,
							 a->name));
	return o;
}

static void result_json(struct job *job, int state, struct json_object *error)
{
	struct json_object *o = json_object_new_object();
	struct json_object *actions = json_object_new_array();
	unsigned int i;

	for (i = 0; i < job->doc.nr; i++)
		json_object_array_add(actions, action_json(job, i));
	json_object_object_add(o, "status", dtl_json_string(
			       state_word(state)));
	if (error)
		json_object_object_add(o, "error", error);
	json_object_object_add(o, "completion-mode", dtl_json_string(
			       job->doc.completion == DTRACK_COMPLETION_GROUPED ?
			       "grouped" : "individual"));
	json_object_object_add(o, "actions", actions);
	print_json(o);
}

static const struct column columns[] = {
	{ "ACTION", true }, { "TYPE", false }, { "NODE", false },
	{ "BITMAP", false }, { "STATUS", false }, { "COPIED", true },
	{ "TOTAL", true },
};

static void result_table(struct job *job)
{
	struct libscols_table *t = table_new(columns, ARRAY_SIZE(columns));
	unsigned int i;

	for (i = 0; i < job->doc.nr; i++) {
		const struct doc_action *a = &job->doc.actions[i];
		struct dtrack_action_result r = result(job, i);
		struct libscols_line *row = table_row(t);

		cell_number(row, 0, i);
		cell_text(row, 1, a->word);
		cell_text(row, 2, a->node ? a->node : "");
		cell_text(row, 3, a->name ? a->name : "");
		cell_text(row, 4, state_word(r.state));
		if (!is_run(job, i))
			continue;
		cell_size(row, 5, r.bytes_copied);
		cell_size(row, 6, r.bytes_total);
	}
	table_print(t);
}

static void warn_live(struct job *job)
{
	char how[4600], line[5000];
	unsigned int i;

	for (i = 0; i < job->doc.nr; i++) {
		if (!is_run(job, i) ||
		    job->doc.actions[i].options.consistency >= 0 ||
		    dtrack_dev_used(job->call->h, job->part[i].dev, how,
				    sizeof(how)) <= 0)
			continue;
		snprintf(line, sizeof(line),
			 "%sthe device is in use (%s): the copy is live, not of one instant",
			 job->part[i].prefix, how);
		print_line(job->call, LOG_WARNING, line);
	}
}

static void warn_unsynced(struct job *job)
{
	unsigned int i;

	for (i = 0; i < job->doc.nr; i++) {
		struct dtrack_action_result r = result(job, i);

		if (r.unsynced && r.state == DTRACK_RUN_COMPLETED) {
			print_line(job->call, LOG_WARNING, unsynced_words);
			return;
		}
	}
}

/* A line for each run that did not complete; of what never began, one. */
static void print_errors(struct job *job, const char *why)
{
	bool told = false;
	char line[8192];
	unsigned int i;

	for (i = 0; i < job->doc.nr; i++) {
		struct dtrack_action_result r = result(job, i);

		if (r.state == DTRACK_RUN_COMPLETED ||
		    (!r.run && r.state == DTRACK_RUN_CANCELLED))
			continue;
		snprintf(line, sizeof(line), "%s%s", job->part[i].prefix,
			 r.errmsg);
		print_error_line(job->call, line);
		told = true;
	}
	if (!told)
		print_error_line(job->call, why);
}

/* Not when all of it was undone: there is nothing but the error to tell. */
static bool took_effect(const struct job *job)
{
	unsigned int i;

	for (i = 0; i < job->doc.nr; i++) {
		struct dtrack_action_result r = result(job, i);

		if (r.run || r.state == DTRACK_RUN_COMPLETED)
			return true;
	}
	return false;
}

static int tell(struct job *job, int err)
{
	struct call *call = job->call;
	bool effect = !err || took_effect(job);
	struct json_object *error = NULL;
	int state = sum(job, err), code = EXIT_DONE;

	/* Before the next call on the handle. */
	if (err) {
		code = strcmp(dtrack_errclass(call->h), "Usage") ? EXIT_FAILED :
								   EXIT_USAGE;
		error = error_json(dtrack_errclass(call->h),
				   dtrack_errmsg(call->h));
		print_errors(job, dtrack_errmsg(call->h));
	}
	if (effect) {
		warn_live(job);
		warn_unsynced(job);
	}
	if (call->json)
		result_json(job, state, error);
	else
		json_object_put(error);
	if (effect && !call->json)
		result_table(job);
	return code;
}

/* ---- The verb ----------------------------------------------------------- */

static int execute(struct job *job)
{
	int err;

	signals_give(&transaction_signals, job->tx);
	err = dtrack_transaction_execute(job->tx);
	signals_ignore();
	return tell(job, err);
}

static int run(struct call *call)
{
	struct job job = { .call = call };
	int ret = read_document(&job);

	/* An unfinished pipe may be left by Ctrl-C. */
	signals_catch();
	if (ret < 0)
		ret = build(&job);
	if (ret < 0)
		ret = execute(&job);
	dtrack_transaction_free(job.tx);
	document_free(&job.doc);
	free(job.part);
	return ret;
}

const struct verb verb_transaction = {
	.name = "transaction",
	.run = run,
	.args = "FILE|-",
	.summary = "Do many things at one point in time, or none of them.",
	.details =
"FILE, or with '-' the standard input, is one JSON document in the shape of QMP's\n"
"'transaction':\n"
"  {\"actions\": [{\"type\": TYPE, \"data\": {...}}, ...],\n"
"   \"properties\": {\"completion-mode\": \"individual\" or \"grouped\"}}\n"
"TYPE and its data, [..] may be left out:\n"
"  block-dirty-bitmap-add      node, name, [granularity, disabled, persistent]\n"
"  block-dirty-bitmap-remove, -clear, -enable, -disable\n"
"                              node, name\n"
"  block-dirty-bitmap-merge    node, target, bitmaps: an array of names and of\n"
"                              {node, name}\n"
"  blockdev-backup             device, target, sync, [bitmap, bitmap-mode, speed,\n"
"                              on-source-error, on-target-error, target-timeout,\n"
"                              consistency, force]: as the options of 'dtrack backup';\n"
"                              [job-id], which --json answers with; what else QMP\n"
"                              has, where it changes nothing\n"
"  abort                       fails: the actions are tried and undone\n"
"A node or device, whichever is given, is a DEV, sizes are numbers of bytes, granularity is 65536 if\n"
"it is left out.\n"
"\n"
"Later actions see earlier ones: a bitmap that is added may be merged into and\n"
"copied. If one fails nothing is done. Then the backups copy at the same time and\n"
"the command waits for all. 'individual': each ends by itself. 'grouped', only\n"
"for backups: all end well and at one point in time, or none does; a run in mode\n"
"'always' that is cancelled because another failed leaves a bitmap without what\n"
"it had copied, and says that its target must be kept.\n"
"\n"
"SIGINT and SIGTERM cancel all backups that have not ended, SIGUSR1 lets those\n"
"that stopped on an error try again, another SIGINT or SIGTERM a second or more\n"
"later exits at once.",
};
