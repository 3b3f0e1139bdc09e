// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dtrack.c - the verb table.
 *
 * Finds the verb, lets option.c sort out its arguments, and runs it.
 */
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "complete.h"
#include "output.h"
#include "verbs.h"

static const struct verb *const verbs[] = {
	&verb_create,
	&verb_remove,
	&verb_list,
	&verb_check,
	&verb_map,
	&verb_metrics,
	&verb_bitmap_add,
	&verb_bitmap_remove,
	&verb_bitmap_clear,
	&verb_bitmap_enable,
	&verb_bitmap_disable,
	&verb_bitmap_merge,
	&verb_bitmap_show,
	&verb_bitmap_extents,
	&verb_bitmap_export,
	&verb_bitmap_import,
	&verb_bitmap_freeze,
	&verb_bitmap_abdicate,
	&verb_bitmap_reclaim,
	&verb_backup,
	&verb_restore,
	&verb_verify,
	&verb_transaction,
	&verb_run,
	&verb_points,
	NULL
};

#define NR_VERBS	(ARRAY_SIZE(verbs) - 1)

/* For mistakes that belong to no verb. */
static const struct verb no_verb = { .name = "", .args = "" };

/* ---- Finding ------------------------------------------------------------ */

/* Words of a verb's name that @argv begins with; 0: it is another verb. */
static int match(const struct verb *verb, int argc, char **argv)
{
	const char *p = verb->name;
	int i;

	for (i = 0; *p; i++) {
		size_t len = strcspn(p, " ");

		if (i == argc || strlen(argv[i]) != len ||
		    strncmp(argv[i], p, len))
			return 0;
		p += len;
		p += strspn(p, " ");
	}
	return i;
}

static const struct verb *find(int argc, char **argv, int *words)
{
	size_t i;

	for (i = 0; i < NR_VERBS; i++) {
		*words = match(verbs[i], argc, argv);
		if (*words)
			return verbs[i];
	}
	return NULL;
}

static bool is_group(const char *word)
{
	size_t i, len = strlen(word);

	for (i = 0; i < NR_VERBS; i++)
		if (!strncmp(verbs[i]->name, word, len) &&
		    verbs[i]->name[len] == ' ')
			return true;
	return false;
}

/* ---- Help --------------------------------------------------------------- */

static void print_verbs(const char *group)
{
	size_t i, len = strlen(group);

	for (i = 0; i < NR_VERBS; i++)
		if (!strncmp(verbs[i]->name, group, len))
			printf("  %-16s  %s\n", verbs[i]->name,
			       verbs[i]->summary);
}

static int help_all(void)
{
	printf("Usage: dtrack VERB [ARGUMENT...] [OPTION...]\n"
	       "       dtrack help [VERB]\n"
	       "       dtrack --version | -V\n\n"
	       "Track the changed blocks of a device and copy what has changed.\n\n"
	       "Verbs:\n");
	print_verbs("");
	printf("\n'dtrack VERB --help' or -h says more. Sizes take K, M, G, T (powers of 1024).\n"
	       "DEV is a path if it contains '/', otherwise a device-mapper name.\n"
	       "Exit status: 0 done, 1 failed or cancelled, 2 wrong usage,\n"
	       "3 verify found a difference, check a fault, or restore --force damage.\n");
	return EXIT_DONE;
}

static int help_group(const char *group)
{
	printf("Usage: dtrack %s VERB [ARGUMENT...] [OPTION...]\n\nVerbs:\n",
	       group);
	print_verbs(group);
	return EXIT_DONE;
}

static int unknown(int argc, char **argv)
{
	struct call call = { .verb = &no_verb };
	int i;

	for (i = 0; i < argc; i++)
		call.json = call.json || !strcmp(argv[i], "--json");
	if (!argc)
		return usage_error(&call, "a verb is missing; see 'dtrack help'");
	if (is_group(argv[0]) && argc > 1 && argv[1][0] != '-')
		return usage_error(&call,
				   "'%s %s' is no verb; see 'dtrack help'",
				   argv[0], argv[1]);
	return usage_error(&call, "'%s' is no verb; see 'dtrack help'",
			   argv[0]);
}

static int help(int argc, char **argv)
{
	const struct verb *verb;
	int words;

	if (!argc)
		return help_all();
	if (argc == 1 && is_group(argv[0]))
		return help_group(argv[0]);
	verb = find(argc, argv, &words);
	if (!verb || words != argc)
		return unknown(argc, argv);
	options_help(verb);
	return EXIT_DONE;
}

/* ---- Main --------------------------------------------------------------- */

static int run(const struct verb *verb, int argc, char **argv)
{
	struct call call = { .verb = verb };
	int ret = options_parse(&call, argc, argv);

	if (ret >= 0)
		return ret;
	if (dtrack_new(&call.h))
		return failed_with(&call, "GenericError", "no memory");
	ret = verb->run(&call);
	dtrack_free(call.h);
	return ret;
}

static bool is_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h");
}

static int dispatch(int argc, char **argv)
{
	const struct verb *verb;
	int words;

	if (argc && !strcmp(argv[0], "help"))
		return help(argc - 1, argv + 1);
	if (argc && is_help(argv[0]))
		return help(0, NULL);
	if (argc == 1 && (!strcmp(argv[0], "--version") ||
			  !strcmp(argv[0], "-V"))) {
		printf("dtrack %s\n", dtrack_version());
		return EXIT_DONE;
	}
	if (argc && is_group(argv[0]) &&
	    (argc == 1 || (argc == 2 && is_help(argv[1]))))
		return help_group(argv[0]);
	/* What the shell's completion asks; not for people. */
	if (argc && !strcmp(argv[0], "__complete"))
		return complete(verbs, argc - 1, argv + 1);
	verb = find(argc, argv, &words);
	if (!verb)
		return unknown(argc, argv);
	/* The last word of the verb stands for argv[0]. */
	return run(verb, argc - words + 1, argv + words - 1);
}

/*
 * Where stdin, stdout or stderr is closed the next file that is opened would take
 * its place, and a line of progress would be written onto a target.  What is put
 * there is at its end for who reads, and still fails who writes.
 */
static void fill_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	int ret;

	fill_standard_files();
	/* Lines of trees and blocks of heat where the terminal has them. */
	setlocale(LC_CTYPE, "");
	ret = dispatch(argc - 1, argv + 1);

	/* A result that did not get out is none. */
	if ((fflush(stdout) || ferror(stdout)) && ret == EXIT_DONE) {
		perror("dtrack: stdout");
		ret = EXIT_FAILED;
	}
	return ret;
}
