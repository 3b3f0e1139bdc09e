// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * readback.c - whether an image holds what was written to it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "readback.h"
#include "signals.h"

/**
 * struct first - what was found first.
 * @why: the words; "" before
 * @size: of @why
 */
struct first {
	char *why;
	size_t size;
};

static void found(void *opaque, const struct dtrack_range *range,
		  const char *why)
{
	struct first *first = opaque;

	if (first->why[0])
		return;
	if (why)
		snprintf(first->why, first->size, "%s", why);
	else
		snprintf(first->why, first->size,
			 "it does not have its checksum at byte %" PRIu64,
			 (uint64_t)range->start);
}

static void cancel(void *running)
{
	dtrack_verify_cancel(running);
}

static void resume(void *running)
{
	(void)running;
}

static const struct signal_ops signal_ops = {
	.cancel = cancel,
	.resume = resume,
};

enum readback readback(struct dtrack *h, const struct config *c,
		       const char *target, char *why, size_t size)
{
	struct dtrack_verify_options o = DTRACK_VERIFY_OPTIONS_INIT;
	struct first first = { .why = why, .size = size };
	struct dtrack_verify *v;
	int ret;

	why[0] = '\0';
	o.target = target;
	o.speed = c->speed;
	o.target_timeout = (unsigned int)c->target_timeout;
	/* Those below were read back in their night. */
	o.flags = DTRACK_VERIFY_ALONE;
	o.found = found;
	o.opaque = &first;
	ret = dtrack_verify_new(h, &o, &v);
	/* What was complete a moment ago. */
	if (ret == -ESTALE || ret == -ENOENT || ret == -EBADMSG) {
		snprintf(why, size, "%s", dtrack_errmsg(h));
		return READBACK_BAD;
	}
	if (ret)
		return READBACK_FAILED;
	signals_give(&signal_ops, v);
	ret = dtrack_verify_execute(v);
	signals_take();
	dtrack_verify_free(v);
	return !ret ? READBACK_GOOD : ret > 0 ? READBACK_BAD :
	       ret == -ECANCELED ? READBACK_CANCELLED : READBACK_FAILED;
}
