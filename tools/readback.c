// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * readback.c - whether an image holds what was written to it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "memory.h"
#include "readback.h"
#include "signals.h"

static void found(void *opaque, const struct dtrack_range *range,
		  const char *why)
{
	memory_found(opaque, range, why);
}

static void image(void *opaque, const char *path)
{
	memory_image(opaque, path);
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

/* What has no checksum was not compared; what is below may have it. */
static bool is_proof(const struct readback_request *r, struct dtrack_verify *v)
{
	struct dtrack_verify_result result;

	dtrack_verify_result(v, &result, sizeof(result));
	return result.medium && result.images &&
	       ((r->over && !r->chain) ||
		result.bytes_checked == result.bytes_total);
}

/* A copy of a raw image takes its checksums along, and so their loss. */
static bool lacks_checksums(const struct readback_request *r,
			    struct dtrack_verify *v, struct memory *m)
{
	struct dtrack_verify_result result;
	char why[128];

	dtrack_verify_result(v, &result, sizeof(result));
	if (r->over || result.bytes_checked == result.bytes_total)
		return false;
	snprintf(why, sizeof(why), "%" PRIu64 " of %" PRIu64
		 " bytes have no checksum, and cannot be verified",
		 result.bytes_total - result.bytes_checked, result.bytes_total);
	memory_found(m, NULL, why);
	return true;
}

static enum readback execute(struct readback_request *r, struct memory *m,
			     struct dtrack_verify *v)
{
	int ret;

	signals_give(&signal_ops, v);
	ret = dtrack_verify_execute(v);
	signals_take();
	/* An image has something that its run did not write. */
	if (ret == -ENODATA) {
		memory_found(m, NULL, dtrack_errmsg(r->h));
		ret = 1;
	}
	if (!ret && lacks_checksums(r, v, m))
		ret = 1;
	r->medium = !ret && is_proof(r, v);
	memory_keep(m, ret ? MEMORY_PART :
		       r->medium ? MEMORY_MEDIUM : MEMORY_WELL);
	return !ret ? READBACK_GOOD : ret > 0 ? READBACK_BAD :
	       ret == -ECANCELED ? READBACK_CANCELLED : READBACK_FAILED;
}

static enum readback read_it(struct readback_request *r, struct memory *m)
{
	struct dtrack_verify_options o = DTRACK_VERIFY_OPTIONS_INIT;
	enum readback outcome;
	struct dtrack_verify *v;
	int ret;

	o.target = r->target;
	o.speed = r->c->speed;
	o.target_timeout = (unsigned int)r->c->target_timeout;
	if (!r->chain)
		o.flags |= DTRACK_VERIFY_ALONE;
	o.found = found;
	o.image = image;
	o.opaque = m;
	memory_begin(m, r->target);
	ret = dtrack_verify_new(r->h, &o, &v);
	/* What was complete once. */
	if (ret == -ESTALE || ret == -ENOENT || ret == -EBADMSG) {
		memory_found(m, NULL, dtrack_errmsg(r->h));
		memory_keep(m, MEMORY_PART);
		return READBACK_BAD;
	}
	if (ret)
		return READBACK_FAILED;
	outcome = execute(r, m, v);
	dtrack_verify_free(v);
	return outcome;
}

enum readback readback(struct readback_request *r)
{
	struct memory m = { .h = r->h, .by = r->by };
	enum readback outcome = read_it(r, &m);

	snprintf(r->why, sizeof(r->why), "%s", memory_what(&m));
	snprintf(r->unkept, sizeof(r->unkept), "%s", m.why);
	memory_free(&m);
	return outcome;
}
