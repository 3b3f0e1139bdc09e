// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * complete.c - what may come next on a command line, for the shell.
 *
 * From the same tables as getopt and --help.  The shell may take a word apart at
 * '=', which then is a word by itself.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "complete.h"
#include "job.h"

/**
 * struct typed - a command line.
 * @verbs: all verbs
 * @argc: number of words before the last
 * @argv: them
 * @last: the word that is being typed
 */
struct typed {
	const struct verb *const *verbs;
	int argc;
	char **argv;
	const char *last;
};

static void offer(const struct typed *t, const char *prefix, const char *word)
{
	char text[DTRACK_NAME_LEN + 8];

	snprintf(text, sizeof(text), "%s%s", prefix, word);
	if (!strncmp(text, t->last, strlen(t->last)))
		puts(text);
}

/* ---- Verbs -------------------------------------------------------------- */

/* The rest of a verb's name after @nr words, NULL if it has others. */
static const char *after_words(const struct verb *verb, int nr, char **words)
{
	const char *p = verb->name;
	int i;

	for (i = 0; i < nr; i++) {
		size_t len = strcspn(p, " ");

		if (!len || strlen(words[i]) != len ||
		    strncmp(p, words[i], len))
			return NULL;
		p += len;
		p += strspn(p, " ");
	}
	return p;
}

static void offer_verbs(const struct typed *t)
{
	const struct verb *const *v;
	char word[32], before[32] = "";

	for (v = t->verbs; *v; v++) {
		const char *rest = after_words(*v, t->argc, t->argv);

		if (!rest || !*rest)
			continue;
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(rest, " "),
			 rest);
		/* Verbs of a group stand together. */
		if (strcmp(word, before))
			offer(t, "", word);
		snprintf(before, sizeof(before), "%s", word);
	}
}

/* The verb that the words begin with, and of how many it is. */
static const struct verb *find_verb(const struct typed *t, int *nr)
{
	const struct verb *const *v;

	for (*nr = 1; *nr <= t->argc; (*nr)++)
		for (v = t->verbs; *v; v++) {
			const char *rest = after_words(*v, *nr, t->argv);

			if (rest && !*rest)
				return *v;
		}
	return NULL;
}

/* ---- What the kernel knows ---------------------------------------------- */

/* A handle, if the module is there: to look must not load it. */
static struct dtrack *open_quietly(void)
{
	int fd = open("/dev/" DTRACK_DEVICE, O_RDONLY | O_CLOEXEC);
	struct dtrack *h;

	if (fd < 0)
		return NULL;
	close(fd);
	return dtrack_new(&h) ? NULL : h;
}

static void offer_devices(const struct typed *t)
{
	struct dtrack *h = open_quietly();
	struct dtrack_dev *devs = NULL;
	struct dtrack_dev_info info;
	int i, nr;

	if (!h)
		return;
	nr = dtrack_dev_list(h, &devs);
	for (i = 0; i < nr; i++)
		if (!dtrack_dev_info(h, devs[i], &info, sizeof(info)) &&
		    info.name[0])
			offer(t, "", info.name);
	free(devs);
	dtrack_free(h);
}

static void offer_bitmaps(const struct typed *t, const char *device)
{
	struct dtrack *h = device ? open_quietly() : NULL;
	const struct dtrack_bitmap_info *info;
	struct dtrack_bitmaps *list;
	struct dtrack_dev dev;
	unsigned int i;

	if (!h)
		return;
	if (!dtrack_dev_find(h, device, &dev) &&
	    dtrack_bitmaps_get(h, dev, NULL, &list) >= 0) {
		for (i = 0; (info = dtrack_bitmaps_at(list, i)); i++)
			offer(t, "", (const char *)info->name);
		dtrack_bitmaps_free(list);
	}
	dtrack_free(h);
}

/* ---- Jobs --------------------------------------------------------------- */

static void offer_jobs(const struct typed *t)
{
	char **names;
	int i, nr = job_list(&names);

	for (i = 0; i < nr; i++) {
		offer(t, "", names[i]);
		free(names[i]);
	}
	free(names);
}

/* ---- Options and arguments ---------------------------------------------- */

static bool is_named(const struct option_spec *spec, void *opaque)
{
	const char *word = opaque;

	return !strncmp(word, "--", 2) && !strcmp(word + 2, spec->name);
}

static const struct option_spec *option_of(const struct verb *verb, char *word)
{
	return options_find(verb, is_named, word);
}

/* Whether an option's argument is the word after it. */
static bool takes_next(const struct option_spec *spec)
{
	return spec && spec->kind != KIND_FLAG && spec->kind != KIND_MAYBE;
}

/* The @index-th argument before the last word; the number of them in @nr. */
static const char *argument(const struct typed *t, const struct verb *verb,
			    int begin, int index, int *nr)
{
	const char *found = NULL;
	int i;

	*nr = 0;
	for (i = begin; i < t->argc; i++) {
		if (t->argv[i][0] == '-' && t->argv[i][1]) {
			if (takes_next(option_of(verb, t->argv[i])))
				i++;
			/* "=" and what follows it */
			if (i + 1 < t->argc && !strcmp(t->argv[i + 1], "="))
				i += 2;
			continue;
		}
		if ((*nr)++ == index)
			found = t->argv[i];
	}
	return found;
}

static void offer_value(const struct typed *t, const struct verb *verb,
			int begin, const struct option_spec *spec)
{
	const struct word *w;
	int nr;

	for (w = spec->words; w && w->name; w++)
		offer(t, "", w->name);
	if (spec->id == OPT_BITMAP)
		offer_bitmaps(t, argument(t, verb, begin, 0, &nr));
}

static bool offer_option(const struct option_spec *spec, void *opaque)
{
	offer(opaque, "--", spec->name);
	return false;
}

static void offer_argument(const struct typed *t, const struct verb *verb,
			   int begin)
{
	const char *device, *p = verb->args;
	int nr;

	device = argument(t, verb, begin, 0, &nr);
	for (; nr && *p; nr--) {
		p += strcspn(p, " ");
		p += strspn(p, " ");
	}
	p += *p == '[';
	if (!strncmp(p, "DEV|JOB", 7)) {
		offer_devices(t);
		offer_jobs(t);
	} else if (!strncmp(p, "BITMAP", 6) ||
	    (verb->args != p && !strncmp(p, "TARGET [S", 9)) ||
	    !strncmp(p, "SOURCE", 6))
		offer_bitmaps(t, device);
	else if (!strncmp(p, "DEV", 3) && strncmp(p, "DEVICE", 6))
		offer_devices(t);
	else if (!strncmp(p, "CONFIG", 6))
		offer_jobs(t);
	else if (!strcmp(verb->name, "remove"))
		offer_devices(t);
}

static void offer_for(struct typed *t, const struct verb *verb, int begin)
{
	const struct option_spec *spec = NULL;
	int before = t->argc - 1;

	/* --name=VALUE, taken apart */
	if (!strcmp(t->last, "="))
		t->last = "";
	else if (before > begin && !strcmp(t->argv[before], "="))
		before--;
	else if (before >= begin && !takes_next(option_of(verb,
							   t->argv[before])))
		before = -1;
	if (before >= begin)
		spec = option_of(verb, t->argv[before]);
	if (spec)
		offer_value(t, verb, begin, spec);
	else if (t->last[0] == '-')
		options_find(verb, offer_option, t);
	else
		offer_argument(t, verb, begin);
}

int complete(const struct verb *const *verbs, int argc, char **argv)
{
	struct typed t = { verbs, argc - 1, argv, argc ? argv[argc - 1] : "" };
	const struct verb *verb;
	bool help;
	int nr;

	if (!argc)
		t.argc = 0;
	help = t.argc && !strcmp(argv[0], "help");
	if (help) {
		t.argc--;
		t.argv++;
	}
	verb = find_verb(&t, &nr);
	if (!verb)
		offer_verbs(&t);
	else if (!help)
		offer_for(&t, verb, nr);
	if (!t.argc && !help) {
		offer(&t, "", "help");
		offer(&t, "", "--help");
		offer(&t, "", "--version");
	}
	return EXIT_DONE;
}
