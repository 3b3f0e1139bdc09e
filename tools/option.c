// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * option.c - the command line of a verb, from its table.
 */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "option.h"
#include "output.h"
#include "words.h"

static const struct option_spec common[] = {
	{ OPT_JSON, "json", KIND_FLAG, NULL, "print one JSON document", NULL },
	{ OPT_HELP, "help", KIND_FLAG, NULL, "print this and exit; also -h", NULL },
	{ 0 },
};

/* What everybody tries first; all others are words. */
#define SHORT_OPTIONS	":h"

/* Where the words of --help line up. */
#define HELP_COLUMN	32

/* ---- The table ---------------------------------------------------------- */

const struct option_spec *
options_find(const struct verb *verb,
	     bool (*fn)(const struct option_spec *spec, void *opaque),
	     void *opaque)
{
	const struct option_spec *s;

	for (s = verb->options; s && s->name; s++)
		if (fn(s, opaque))
			return s;
	for (s = common; s->name; s++)
		if (fn(s, opaque))
			return s;
	return NULL;
}

static bool has_id(const struct option_spec *spec, void *opaque)
{
	return spec->id == *(enum option_id *)opaque;
}

static bool add_long(const struct option_spec *spec, void *opaque)
{
	struct option **next = opaque;

	*(*next)++ = (struct option) {
		.name = spec->name,
		.has_arg = spec->kind == KIND_FLAG ? no_argument :
			   spec->kind == KIND_MAYBE ? optional_argument :
						      required_argument,
		.val = (int)spec->id,
	};
	return false;
}

static const char *spec_name(const struct verb *verb, enum option_id id)
{
	return options_find(verb, has_id, &id)->name;
}

/* ---- Values ------------------------------------------------------------- */

static int take_word(struct call *call, const struct option_spec *spec,
		     struct option_value *v)
{
	char list[WORD_LIST_LEN];
	int value;

	if (!word_find(spec->words, v->text, &value))
		return usage_error(call, "--%s: '%s' is none of %s", spec->name,
				   v->text, word_list(spec->words, list));
	v->number = (uint64_t)value;
	return -1;
}

static int take_number(struct call *call, const struct option_spec *spec,
		       struct option_value *v)
{
	uint64_t max = spec->kind == KIND_NUMBER ? INT_MAX : UINT64_MAX;
	int ret = dtrack_parse_size(v->text, &v->number);

	if (spec->kind == KIND_NUMBER &&
	    strspn(v->text, "0123456789") != strlen(v->text))
		ret = -EINVAL;
	if (ret == -EINVAL)
		return usage_error(call, "--%s: '%s' is no %s", spec->name,
				   v->text, spec->kind == KIND_SIZE ?
				   "size: digits and one of K, M, G, T" :
				   "number");
	if (ret || v->number > max)
		return usage_error(call, "--%s: '%s' is too great", spec->name,
				   v->text);
	if (spec->kind == KIND_NUMBER && !v->number)
		return usage_error(call, "--%s: must be at least 1",
				   spec->name);
	return -1;
}

static int take(struct call *call, enum option_id id, const char *text)
{
	const struct option_spec *spec = options_find(call->verb, has_id, &id);
	struct option_value *v = &call->option[id];

	v->given = true;
	v->text = text;
	switch (spec->kind) {
	case KIND_MAYBE:
		return text ? take_word(call, spec, v) : -1;
	case KIND_WORD:
		return take_word(call, spec, v);
	case KIND_SIZE:
	case KIND_NUMBER:
		return take_number(call, spec, v);
	default:
		return -1;
	}
}

/* ---- Arguments ---------------------------------------------------------- */

static int check_args(struct call *call)
{
	const char *p = call->verb->args;
	int min = 0, max = 0;

	/* "DEV TARGET [SOURCE...]": 2 and no limit. */
	for (; *p; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");

		min += *p != '[';
		max++;
		if (len > 4 && !strncmp(p + len - 4, "...]", 4))
			max = INT_MAX;
		p += len;
	}
	if (call->argc < min)
		return usage_error(call, "too few arguments: %s %s",
				   call->verb->name, call->verb->args);
	if (call->argc > max)
		return usage_error(call, "too many arguments: '%s'",
				   call->argv[max]);
	return -1;
}

/* The second argument of the 'bitmap' verbs and some others is a bitmap. */
static void name_object(struct call *call)
{
	const char *bitmap = call->option[OPT_BITMAP].text;
	int dev = call->argc > 1 && !strcmp(call->verb->args, "TARGET DEV");

	if ((!strncmp(call->verb->name, "bitmap ", 7) ||
	     !strncmp(call->verb->args, "DEV BITMAP", 10) ||
	     !strncmp(call->verb->args, "DEV [BITMAP]", 12)) && call->argc > 1)
		bitmap = call->argv[1];
	if (call->argc)
		snprintf(call->object, sizeof(call->object), "%s%s%s",
			 call->argv[dev], bitmap ? ":" : "",
			 bitmap ? bitmap : "");
}

/* Before anything else: it decides how mistakes are told. */
static bool wants_json(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--json"))
			return true;
	return false;
}

static int bad_option(struct call *call, int c, char **argv)
{
	if (c == ':')
		return usage_error(call, "option '--%s' needs an argument",
				   spec_name(call->verb,
					     (enum option_id)optopt));
	return usage_error(call, "'%s' is no option of this verb",
			   argv[optind - 1]);
}

/* Whatever is wrong with an option, the line begins with what is meant. */
static void find_object(struct call *call, int argc, char **argv,
			const struct option *longs)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));
	int c;

	if (!copy)
		return;
	/* getopt sorts what it reads: the second time it would be another line. */
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	while ((c = getopt_long(argc, copy, SHORT_OPTIONS, longs, NULL)) != -1)
		if (c == OPT_BITMAP)
			call->option[OPT_BITMAP].text = optarg;
	call->argc = argc - optind;
	call->argv = copy + optind;
	name_object(call);
	free(copy);
	/* So glibc and musl begin anew. */
	optind = 0;
}

int options_parse(struct call *call, int argc, char **argv)
{
	struct option longs[NR_OPTIONS + 1] = { { 0 } }, *next = longs;
	int c, ret;

	call->json = wants_json(argc, argv);
	options_find(call->verb, add_long, &next);
	opterr = 0;
	find_object(call, argc, argv, longs);
	while ((c = getopt_long(argc, argv, SHORT_OPTIONS, longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(call, c, argv);
		if (c == OPT_HELP || c == 'h') {
			options_help(call->verb);
			return EXIT_DONE;
		}
		ret = take(call, (enum option_id)c, optarg);
		if (ret >= 0)
			return ret;
	}
	call->argc = argc - optind;
	call->argv = argv + optind;
	return check_args(call);
}

/* ---- Help --------------------------------------------------------------- */

static bool print_option(const struct option_spec *spec, void *opaque)
{
	char left[80], list[WORD_LIST_LEN];

	(void)opaque;
	if (spec->kind == KIND_MAYBE)
		snprintf(left, sizeof(left), "  --%s[=%s]", spec->name,
			 spec->arg);
	else
		snprintf(left, sizeof(left), "  --%s%s%s", spec->name,
			 spec->arg ? " " : "", spec->arg ? spec->arg : "");
	printf("%-*s%s", HELP_COLUMN, left, spec->help);
	if (spec->words && spec->kind == KIND_WORD)
		printf(": %s", word_list(spec->words, list));
	putchar('\n');
	return false;
}

void options_help(const struct verb *verb)
{
	printf("Usage: dtrack %s %s%s[OPTION...]\n\n%s\n", verb->name,
	       verb->args, *verb->args ? " " : "", verb->summary);
	if (verb->details)
		printf("\n%s\n", verb->details);
	printf("\nOptions:\n");
	options_find(verb, print_option, NULL);
}
