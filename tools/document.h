/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * document.h - what 'dtrack transaction' reads: QMP's shape of a transaction.
 *
 *	{ "actions": [ { "type": T, "data": { ... } }, ... ],
 *	  "properties": { "completion-mode": "individual" | "grouped" } }
 */
#ifndef DTRACK_DOCUMENT_H
#define DTRACK_DOCUMENT_H

#include <json-c/json.h>
#include <stdbool.h>

#include "dtrack.h"

/* More than 256 actions with the longest names and targets need. */
#define DOC_MAX_BYTES	(4 << 20)
#define DOC_WHY_LEN	4096

enum doc_type {
	DOC_ABORT,
	DOC_ADD,
	DOC_REMOVE,
	DOC_CLEAR,
	DOC_ENABLE,
	DOC_DISABLE,
	DOC_MERGE,
	DOC_BACKUP,
};

/**
 * struct doc_source - a source of a merge.
 * @node: its device, or NULL: the target's
 * @name: the bitmap
 */
struct doc_source {
	const char *node;
	const char *name;
};

/**
 * struct doc_action - an action.
 * @type: enum doc_type
 * @word: it, as the document has it
 * @node: the device; NULL for an abort only
 * @name: the bitmap, the target of a merge; NULL for a run without one
 * @granularity: of an add
 * @persistent: of an add
 * @disabled: of an add
 * @sources: of a merge
 * @nr_sources: number of them
 * @force: of a run
 * @job_id: of a run, or NULL: what a client calls it
 * @options: of a run, but for its @flags and @notify; @consistency is -1 if not
 *	given
 */
struct doc_action {
	int type;
	const char *word;
	const char *node;
	const char *name;
	uint64_t granularity;
	bool persistent;
	bool disabled;
	struct doc_source *sources;
	unsigned int nr_sources;
	bool force;
	const char *job_id;
	struct dtrack_run_options options;
};

/**
 * struct document - a transaction.  Strings are @root's.
 * @root: what json-c read
 * @completion: enum dtrack_completion
 * @nr: number of actions
 * @actions: them
 * @why: what is wrong with it
 */
struct document {
	struct json_object *root;
	int completion;
	unsigned int nr;
	struct doc_action *actions;
	char why[DOC_WHY_LEN];
};

/**
 * document_parse() - read a document from memory; the text is hostile.
 * @text: the document, followed by a NUL
 * @len: its length without that
 * @doc: result; document_free() it, also on errors
 *
 * Accepted is only what is known: another key, another type, a key that is
 * given twice or text after the document is refused, and where, as a path:
 * 'actions[1].data.foo: unknown key'.
 *
 * Return: whether it is a transaction; if not @doc->why says why.
 */
bool document_parse(const char *text, size_t len, struct document *doc);

/** document_free() - free what document_parse() made. */
void document_free(struct document *doc);

#endif
