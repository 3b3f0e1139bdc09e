// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * words.c - the words of a run: in options, documents and results.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "words.h"

const struct word sync_words[] = {
	{ "full", DTRACK_SYNC_FULL },
	{ "top", DTRACK_SYNC_TOP },
	{ "incremental", DTRACK_SYNC_INCREMENTAL },
	{ "bitmap", DTRACK_SYNC_BITMAP },
	{ "none", DTRACK_SYNC_NONE },
	{ 0 },
};

const struct word mode_words[] = {
	{ "conditional", DTRACK_MODE_CONDITIONAL },
	{ "on-success", DTRACK_MODE_CONDITIONAL },
	{ "never", DTRACK_MODE_NEVER },
	{ "always", DTRACK_MODE_ALWAYS },
	{ 0 },
};

const struct word consistency_words[] = {
	{ "image", DTRACK_CONSISTENCY_IMAGE },
	{ "live", DTRACK_CONSISTENCY_LIVE },
	{ 0 },
};

const struct word on_error_words[] = {
	{ "report", DTRACK_ON_ERROR_REPORT },
	{ "ignore", DTRACK_ON_ERROR_IGNORE },
	{ "stop", DTRACK_ON_ERROR_STOP },
	{ 0 },
};

bool word_find(const struct word *words, const char *name, int *value)
{
	const struct word *w;

	for (w = words; w->name; w++)
		if (!strcmp(w->name, name)) {
			*value = w->value;
			return true;
		}
	return false;
}

const char *word_list(const struct word *words, char *buf)
{
	const struct word *w;
	size_t len = 0;

	buf[0] = '\0';
	for (w = words; w->name && len < WORD_LIST_LEN; w++)
		len += (size_t)snprintf(buf + len, WORD_LIST_LEN - len, "%s%s",
					len ? ", " : "", w->name);
	return buf;
}

bool names_target(const char *name)
{
	static const char *const prefixes[] = { "raw:", "qcow2:", "nbd" };
	struct stat st;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])) &&
		    strchr(name, ':'))
			return true;
	return strchr(name, '/') && !stat(name, &st) && S_ISREG(st.st_mode);
}

const char unsynced_words[] =
	"the mounted file systems could not write back in time what they keep in memory: it may not be in the copy";

const char *state_word(int state)
{
	return state == DTRACK_RUN_COMPLETED ? "completed" :
	       state == DTRACK_RUN_CANCELLED ? "cancelled" : "failed";
}

const char *consistency_word(int consistency)
{
	return consistency == DTRACK_CONSISTENCY_HELD ? "held" :
	       consistency == DTRACK_CONSISTENCY_IMAGE ? "image" : "live";
}
