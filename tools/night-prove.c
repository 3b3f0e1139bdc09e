// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * night-prove.c - one run of a job: whether its restore point can be had back,
 * and what may go then.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "night.h"
#include "output.h"
#include "readback.h"

static bool look_at_chain(struct night *n, struct chain **chain)
{
	int ret;

	store_free(&n->store);
	ret = store_scan(&n->store);
	if (ret)
		return night_fail_store(n, ret);
	*chain = store_newest(&n->store);
	if (!*chain || strcmp((*chain)->name, n->chain))
		return night_fail(n, "GenericError", "chain '%s' is gone",
				  n->chain);
	if ((*chain)->broken[0])
		return night_fail(n, "GenericError", "%s", (*chain)->broken);
	return true;
}

static bool is_rotten(struct night *n, struct chain *c, const char *image,
		      const char *found)
{
	char why[POINT_WHY_LEN];
	int ret;

	snprintf(why, sizeof(why), "'%.600s': %.400s", image, found);
	clean_line(why);
	night_fail(n, "GenericError", "%s", why);
	ret = chain_break(&n->store, c, why);
	return ret ? night_fail_file(n, ret, "mark", c->name) : false;
}

static bool read_back(struct night *n, struct chain *c, unsigned int i)
{
	char path[CHAIN_PATH_LEN], target[CHAIN_PATH_LEN + 8], found[1024];

	chain_path(path, &n->store, n->chain, n->point.name,
		   n->point.image[i].file);
	snprintf(target, sizeof(target), "%s:%s",
		 point_format_word(n->c->format), path);
	switch (readback(n->h, n->c, target, found, sizeof(found))) {
	case READBACK_GOOD:
		return true;
	case READBACK_BAD:
		return is_rotten(n, c, path, found);
	case READBACK_CANCELLED:
		return night_check_cancel(n);
	default:
		return night_fail_device(n, i);
	}
}

static bool note_verified(struct night *n)
{
	char folder[CHAIN_PATH_LEN];
	int ret;

	chain_path(folder, &n->store, n->chain, n->point.name, NULL);
	ret = point_store_verified(folder, time(NULL));
	return ret ? night_fail_file(n, ret, "write to", folder) : true;
}

bool night_prove(struct night *n)
{
	struct chain *c = NULL;
	unsigned int i;

	if (!look_at_chain(n, &c))
		return false;
	if (n->c->verify == VERIFY_NONE ||
	    (n->c->verify == VERIFY_FULL && !n->full))
		return true;
	for (i = 0; i < n->c->nr; i++)
		if (!night_check_cancel(n) || !read_back(n, c, i))
			return false;
	return note_verified(n);
}

void night_prune(struct night *n)
{
	n->pruned = store_prune(&n->store, n->c->keep);
	if (n->store.why[0])
		night_warn(n, "%s", n->store.why);
}
