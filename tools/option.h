/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * option.h - verbs, their options and arguments, said once.
 *
 * A verb's table gives getopt, --help and the checks, so none of them can drift
 * from the others.
 */
#ifndef DTRACK_OPTION_H
#define DTRACK_OPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "dtrack.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_DIFFERENT = 3,
};

/* Every option of every verb. */
enum option_id {
	OPT_ADOPT,
	OPT_BITMAP,
	OPT_BITMAP_MODE,
	OPT_CHECK,
	OPT_CONSISTENCY,
	OPT_DELTA,
	OPT_DISABLED,
	OPT_FORCE,
	OPT_FSFREEZE,
	OPT_GRANULARITY,
	OPT_INIT,
	OPT_JOBS,
	OPT_ACCEPT,
	OPT_LIVE,
	OPT_MERGE,
	OPT_METADATA,
	OPT_ON_SOURCE_ERROR,
	OPT_ON_TARGET_ERROR,
	OPT_PERSISTENT,
	OPT_PROGRESS,
	OPT_REQUEST_SIZE,
	OPT_SPEED,
	OPT_STOP_TIMEOUT,
	OPT_SVG,
	OPT_SYNC,
	OPT_TARGET,
	OPT_TARGET_TIMEOUT,
	OPT_WIDTH,
	OPT_JSON,
	OPT_HELP,
	NR_OPTIONS,
};

enum option_kind {
	KIND_FLAG,
	KIND_TEXT,
	KIND_SIZE,	/* bytes with K, M, G, T */
	KIND_NUMBER,	/* 1 .. 2^31 - 1 */
	KIND_WORD,	/* one of a list */
	KIND_MAYBE,	/* nothing, or '=' and one of a list */
};

/**
 * struct word - a word that an option takes.
 * @name: the word
 * @value: what it means
 */
struct word {
	const char *name;
	int value;
};

/**
 * struct option_spec - one option of a verb.
 * @id: enum option_id
 * @name: without '--'; NULL ends a table
 * @kind: enum option_kind
 * @arg: what its argument is called in --help
 * @help: one line
 * @words: for KIND_WORD and KIND_MAYBE; ended by a NULL name
 */
struct option_spec {
	enum option_id id;
	const char *name;
	enum option_kind kind;
	const char *arg;
	const char *help;
	const struct word *words;
};

/**
 * struct option_value - what the user gave.
 * @given: at all
 * @text: its argument; NULL for a KIND_MAYBE without
 * @number: as a number, size or the word's value
 */
struct option_value {
	bool given;
	const char *text;
	uint64_t number;
};

struct call;

/**
 * struct verb - a verb.
 * @name: "create", "bitmap add"
 * @run: does it; returns an exit code
 * @args: positional arguments: "DEV [BITMAP]", "[DEV] TARGET",
 *	"DEV TARGET [SOURCE...]"
 * @summary: one line
 * @details: more for --help, or NULL
 * @options: its options, or NULL; --json and --help are every verb's
 */
struct verb {
	const char *name;
	int (*run)(struct call *call);
	const char *args;
	const char *summary;
	const char *details;
	const struct option_spec *options;
};

/**
 * struct call - one call of a verb.
 * @verb: the verb
 * @h: the library's handle
 * @json: --json
 * @argc: number of positional arguments
 * @argv: them
 * @option: by enum option_id
 * @object: DEV[:BITMAP], for errors
 */
struct call {
	const struct verb *verb;
	struct dtrack *h;
	bool json;
	int argc;
	char **argv;
	struct option_value option[NR_OPTIONS];
	char object[2048];
};

/**
 * options_parse() - sort out the command line of a verb.
 * @call: @verb is set; the rest is filled in
 * @argc: of the verb: @argv[0] is its name
 * @argv: is reordered
 *
 * Return: -1 to go on, or an exit code: --help was printed or a mistake told.
 */
int options_parse(struct call *call, int argc, char **argv);

/**
 * options_find() - walk over a verb's options, those of every verb last.
 * @verb: the verb
 * @fn: called for each until it returns true
 * @opaque: handed to @fn
 *
 * Return: the one for which it did, or NULL.
 */
const struct option_spec *
options_find(const struct verb *verb,
	     bool (*fn)(const struct option_spec *spec, void *opaque),
	     void *opaque);

/**
 * options_help() - print a verb's --help on stdout.
 * @verb: the verb
 */
void options_help(const struct verb *verb);

#endif
