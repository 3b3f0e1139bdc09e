// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * night-prove.c - one run of a job: whether its restore point can be had back,
 * and what may go then.
 */
#include <stdio.h>
#include <string.h>

#include "night.h"
#include "output.h"
#include "point-state.h"
#include "readback.h"

bool night_look_again(struct night *n)
{
	int ret;

	store_free(&n->store);
	ret = store_scan(&n->store);
	return ret ? night_fail_store(n, ret) : true;
}

/* ---- Reading ------------------------------------------------------------ */

static void note(struct night *n, const struct readback_request *r,
		 const char *path)
{
	if (r->unkept[0])
		night_warn(n, "%s", r->unkept);
	if (r->medium || n->unread)
		return;
	n->unread = true;
	night_warn(n, "'%.900s' could not be read from the medium, only from memory: it stays 'unproven'",
		   path);
}

int night_read_image(struct night *n, const struct chain *c,
		     const struct point *p, unsigned int i, const char *by,
		     bool chain, char *why)
{
	char path[CHAIN_PATH_LEN], target[CHAIN_PATH_LEN + 8];
	struct readback_request r = {
		.h = n->h,
		.c = n->c,
		.target = target,
		.by = by,
		.over = p->format == FORMAT_QCOW2 && p->previous,
		.chain = chain,
	};
	enum readback outcome;

	chain_path(path, &n->store, c->name, p->name, p->image[i].file);
	snprintf(target, sizeof(target), "%s:%s",
		 point_format_word(p->format), path);
	outcome = readback(&r);
	snprintf(why, POINT_WHY_LEN, "'%.600s': %.400s", path, r.why);
	clean_line(why);
	if (outcome == READBACK_GOOD)
		note(n, &r, path);
	return outcome;
}

/* ---- What earlier runs should have read back ----------------------------- */

static bool is_asked_for(const struct night *n, const struct point *p)
{
	return n->c->verify == VERIFY_ALL || n->c->verify == VERIFY_CHAIN ||
	       (n->c->verify == VERIFY_FULL && !p->previous);
}

static bool has_to_be_read(const struct night *n, const struct point *p,
			   const struct point_image *image)
{
	if (image->checked[0])
		return false;
	return image->touched || (!image->read && is_asked_for(n, p));
}

/* It was changed, and is not known to hold what was written. */
static void be_unsure(struct night *n, const struct chain *c,
		      const struct point *p, unsigned int i)
{
	char path[CHAIN_PATH_LEN];

	chain_path(path, &n->store, c->name, p->name, p->image[i].file);
	if (p->image[i].touched &&
	    (p->format == FORMAT_QCOW2 || p == chain_last(c)))
		snprintf(n->unsure, sizeof(n->unsure),
			 "'%.900s' was changed since", path);
}

/* Not knowing is no reason to make no restore point. */
static bool catch_up(struct night *n, const struct chain *c,
		     const struct point *p, unsigned int i)
{
	char why[POINT_WHY_LEN];

	if (!night_check_cancel(n))
		return false;
	switch (night_read_image(n, c, p, i, "run", false, why)) {
	case READBACK_BAD:
		/* Of one that the next lies over it is the reason for a full copy. */
		if (p->format == FORMAT_RAW && p != chain_last(c))
			night_warn(n, "%s", why);
		return true;
	case READBACK_CANCELLED:
		return night_check_cancel(n);
	case READBACK_FAILED:
		night_warn(n, "%s", dtrack_errmsg(n->h));
		be_unsure(n, c, p, i);
		return true;
	default:
		return true;
	}
}

bool night_catch_up(struct night *n)
{
	const struct chain *c = store_newest(&n->store);
	bool some = false;
	unsigned int i, k;

	/* It ends anyway. */
	if (!c || c->broken[0])
		return true;
	for (i = 0; i < c->nr; i++)
		for (k = 0; k < c->point[i].nr; k++) {
			const struct point *p = &c->point[i];

			if (!has_to_be_read(n, p, &p->image[k]))
				continue;
			some = true;
			if (!catch_up(n, c, p, k))
				return false;
		}
	return !some || night_look_again(n);
}

/* ---- The new one -------------------------------------------------------- */

static bool look_at_chain(struct night *n, struct chain **chain)
{
	if (!night_look_again(n))
		return false;
	*chain = store_newest(&n->store);
	if (!*chain || strcmp((*chain)->name, n->chain))
		return night_fail(n, "GenericError", "chain '%s' is gone",
				  n->chain);
	if ((*chain)->broken[0])
		return night_fail(n, "GenericError", "%s", (*chain)->broken);
	return true;
}

static bool read_back(struct night *n, const struct chain *c, unsigned int i)
{
	char why[POINT_WHY_LEN];

	switch (night_read_image(n, c, &n->point, i, "run",
				 n->c->verify == VERIFY_CHAIN, why)) {
	case READBACK_GOOD:
		return true;
	case READBACK_BAD:
		return night_fail(n, "GenericError", "%s", why);
	case READBACK_CANCELLED:
		return night_check_cancel(n);
	default:
		return night_fail_device(n, i);
	}
}

bool night_prove(struct night *n)
{
	struct chain *c = NULL;
	unsigned int i;

	if (!look_at_chain(n, &c))
		return false;
	if (!is_asked_for(n, &n->point))
		return true;
	for (i = 0; i < n->c->nr; i++)
		if (!night_check_cancel(n) || !read_back(n, c, i))
			return false;
	return look_at_chain(n, &c);
}

/* ---- What may go -------------------------------------------------------- */

void night_accept(struct night *n)
{
	char path[CHAIN_PATH_LEN];
	unsigned int i;
	int ret;

	for (i = 0; n->accept && i < n->store.nr; i++) {
		struct chain *c = &n->store.chain[i];

		if (!chain_of_other_disk(c))
			continue;
		chain_path(path, &n->store, c->name, NULL, CHAIN_ACCEPTED);
		ret = dtl_file_replace(path, "", 0644);
		if (ret)
			night_warn(n, "Could not write '%.900s': %s", path,
				   strerror(-ret));
		c->accepted = !ret;
	}
}

void night_prune(struct night *n)
{
	/* Also of the new one. */
	night_accept(n);
	n->pruned = store_prune(&n->store, n->c, n->kept);
	clean_line(n->kept);
	if (n->store.why[0])
		night_warn(n, "%s", n->store.why);
}
