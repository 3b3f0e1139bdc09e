// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * verify.c - whether a target holds what it should.
 *
 * With a device: its content.  Without one: what the manifest and the checksums
 * beside the target say.  Writes nothing.
 *
 * What lies below an image is verified after it, image by image, each by itself:
 * what has a checksum there was written there, and is not read from below.  Only
 * one is open at a time: our lock on a raw file keeps qemu from opening it.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "finding.h"
#include "holders.h"
#include "users.h"
#include "links.h"
#include "qemu.h"
#include "scan.h"

/* Without a manifest to say it. */
#define DEFAULT_UNIT	65536

/**
 * struct dtrack_verify - a verification.
 * @h: the handle
 * @options: with strings of our own
 * @target_name: owns @options.target
 * @device_name: owns @options.device
 * @target: what is verified, or the image below it that is looked at; not open
 *	when it is missing
 * @device: what it is compared with; not open without one
 * @manifest: of @target, valid without a device
 * @sums: of @target; open where they are used
 * @unit: of what is found, bytes
 * @top: what is to be verified, by its real name
 * @path: of @target
 * @depth: number of images over @target, 0 for what is to be verified
 * @is_image: what is to be verified is one, by qemu
 * @links: why @target is there and cannot be opened, or ""
 * @lost: something is missing, or cannot be opened
 * @unchecked: why one below was not checked, or ""
 * @unreadable: some of @target could not be read
 * @settled: what is had from @target or an image over it, checked or not: there
 *	the content does not come from below
 * @bytes_before: of the images over @target
 * @bytes_all: of all
 * @finding: what is found
 * @cancel: asked to end
 * @result: for the caller
 */
struct dtrack_verify {
	struct dtrack *h;
	struct dtrack_verify_options options;
	char *target_name;
	char *device_name;
	struct dtl_source target;
	struct dtl_source device;
	struct dtl_manifest manifest;
	struct dtl_sums sums;
	uint64_t unit;
	char top[4096];
	char path[4096];
	unsigned int depth;
	bool is_image;
	char links[DTL_MSG_LEN];
	bool lost;
	char unchecked[DTL_MSG_LEN];
	bool unreadable;
	struct dtr_bitmap settled;
	uint64_t bytes_before;
	uint64_t bytes_all;
	struct dtl_finding finding;
	atomic_int cancel;
	struct dtrack_verify_result result;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- Beginning ---------------------------------------------------------- */

static int copy_options(struct dtrack_verify *v,
			const struct dtrack_verify_options *options)
{
	size_t size = options->size;

	if (size < sizeof(size) || size > sizeof(v->options))
		return dtl_fail(v->h, -EINVAL, NULL,
				"struct dtrack_verify_options is of another version");
	memcpy(&v->options, options, size);
	if (v->options.flags & ~DTRACK_VERIFY_ALONE)
		return dtl_fail(v->h, -EINVAL, DTL_CLASS_USAGE,
				"An option of the verification is out of range");
	if (!v->options.target)
		return dtl_fail(v->h, -EINVAL, DTL_CLASS_USAGE,
				"The target has no name");
	v->target_name = strdup(v->options.target);
	if (v->options.device)
		v->device_name = strdup(v->options.device);
	if (!v->target_name || (v->options.device && !v->device_name))
		return dtl_nomem(v->h);
	v->options.target = v->target_name;
	v->options.device = v->device_name;
	v->finding.found = v->options.found;
	v->finding.opaque = v->options.opaque;
	return 0;
}

/* The unit alone is asked of the manifest: what it says is not the question. */
static void choose_unit(struct dtrack_verify *v)
{
	struct dtl_manifest *m = &v->manifest;
	struct dtl_error first;

	dtl_error_save(v->h, &first);
	v->unit = DEFAULT_UNIT;
	if (v->target.manifest[0] &&
	    !dtl_manifest_load(v->h, v->target.manifest, m) && m->has_sums)
		v->unit = m->sums_unit;
	dtl_error_restore(v->h, &first);
}

static bool is_used(struct dtrack_verify *v, struct dtrack_dev dev)
{
	char user[DTL_USE_LEN];
	struct dtl_error first;
	int ret;

	if (dtl_use_find(v->h, dtl_dev_t(dev), user))
		return true;
	dtl_error_save(v->h, &first);
	ret = dtl_check_unused(v->h, v->device.path, dtl_dev_t(dev));
	dtl_error_restore(v->h, &first);
	return ret == -EBUSY;
}

static int begin_with_device(struct dtrack_verify *v)
{
	char path[sizeof(v->device.path)];
	struct dtrack_dev dev;
	int ret;

	ret = dtl_dev_node(v->h, v->device_name, &dev, path, sizeof(path));
	if (!ret)
		ret = dtl_source_open_device(v->h, path, &v->device);
	v->target.cancel = &v->cancel;
	v->target.patience = v->options.target_timeout;
	if (!ret)
		ret = dtl_source_open(v->h, v->target_name, &v->target);
	if (ret)
		return ret;
	choose_unit(v);
	v->result.live = is_used(v, dev);
	v->result.bytes_total = v->device.size;
	v->bytes_all = v->device.size;
	return 0;
}

static int load_manifest(struct dtrack_verify *v)
{
	int ret = -ENOENT;

	if (v->target.manifest[0])
		ret = dtl_manifest_load(v->h, v->target.manifest, &v->manifest);
	if (ret == -ENOENT)
		return dtl_fail(v->h, ret, DTL_CLASS_GENERIC,
				"Target '%s' has no manifest to be verified against",
				v->target.path);
	if (!ret && !v->manifest.complete)
		return dtl_fail(v->h, -ESTALE, NULL,
				"Target '%s' is incomplete: the last run onto it did not end well",
				v->target.path);
	return ret;
}

static void choose_unit_alone(struct dtrack_verify *v)
{
	v->unit = v->manifest.has_sums ? v->manifest.sums_unit : DEFAULT_UNIT;
}

/* How much there is to read, and the smallest unit of it. */
static uint64_t look_ahead(struct dtrack_verify *v)
{
	struct dtl_manifest m = v->manifest;
	char path[sizeof(v->path)];
	uint64_t unit = v->unit;
	enum dtl_link link;
	unsigned int i;

	memcpy(path, v->path, sizeof(path));
	v->bytes_all = m.size;
	if (v->options.flags & DTRACK_VERIFY_ALONE)
		return unit;
	for (i = 0; i < DTL_MAX_LINKS; i++) {
		link = dtl_links_next(v->h, path, sizeof(path), &m);
		if (link != DTL_LINK_GOOD && link != DTL_LINK_FORCED)
			break;
		v->bytes_all += m.size;
		if (m.has_sums)
			unit = min_u64(unit, m.sums_unit);
	}
	return unit;
}

static int begin_checked(struct dtrack_verify *v)
{
	uint64_t bytes = min_u64(v->manifest.size, v->target.size);
	struct dtl_error first;
	uint64_t unit;
	int ret = 0;

	dtl_error_save(v->h, &first);
	unit = look_ahead(v);
	dtl_error_restore(v->h, &first);
	if (bytes)
		ret = dtl_bits_init(v->h, &v->settled, bytes, unit);
	if (bytes && !ret)
		v->finding.known = &v->settled;
	return ret;
}

static int open_target(struct dtrack_verify *v, const char *name)
{
	int ret;

	dtl_source_init(&v->target);
	v->target.cancel = &v->cancel;
	v->target.patience = v->options.target_timeout;
	v->target.alone = true;
	v->links[0] = '\0';
	ret = dtl_source_open(v->h, name, &v->target);
	if (ret == -ENOLINK)
		snprintf(v->links, sizeof(v->links), "%s", dtrack_errmsg(v->h));
	if (ret)
		v->lost = true;
	return ret;
}

/* A manifest makes a target that is not there a loss, not a mistake. */
static int begin_alone(struct dtrack_verify *v)
{
	struct dtl_error missing;
	int ret, open_ret;

	open_ret = open_target(v, v->target_name);
	if (open_ret && open_ret != -ENOENT && open_ret != -ENOLINK)
		return open_ret;
	v->is_image = v->target.nbd;
	memcpy(v->path, v->target.path, sizeof(v->path));
	if (!realpath(v->path, v->top))
		v->lost = true;
	dtl_error_save(v->h, &missing);
	ret = load_manifest(v);
	if (ret == -ENOENT && open_ret)
		dtl_error_restore(v->h, &missing);
	if (!ret && v->manifest.has_sums && !open_ret)
		ret = dtl_sums_open(v->h, v->target.manifest, &v->manifest,
				    false, &v->sums);
	v->result.bytes_total = v->manifest.size;
	choose_unit_alone(v);
	return ret ? ret : begin_checked(v);
}

int dtrack_verify_new(struct dtrack *h,
		      const struct dtrack_verify_options *options,
		      struct dtrack_verify **result)
{
	struct dtrack_verify *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return dtl_nomem(h);
	v->h = h;
	dtl_source_init(&v->target);
	dtl_source_init(&v->device);
	dtl_sums_init(&v->sums);
	ret = copy_options(v, options);
	if (!ret)
		ret = v->device_name ? begin_with_device(v) : begin_alone(v);
	if (ret)
		dtrack_verify_free(v);
	else
		*result = v;
	return ret;
}

void dtrack_verify_free(struct dtrack_verify *v)
{
	if (!v)
		return;
	if (v->finding.known)
		dtr_bitmap_exit(&v->settled);
	dtl_sums_close(&v->sums);
	dtl_source_close(&v->device);
	dtl_source_close(&v->target);
	free(v->target_name);
	free(v->device_name);
	free(v);
}

/* ---- Comparing ---------------------------------------------------------- */

__attribute__((format(printf, 2, 3)))
static void tell(struct dtrack_verify *v, const char *fmt, ...)
{
	char why[DTL_MSG_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	v->result.found = 1;
	if (v->options.found)
		v->options.found(v->options.opaque, NULL, why);
}

/* For words. */
static const char *who(const struct dtrack_verify *v, char buf[4096 + 2])
{
	if (!v->depth)
		return "the target";
	snprintf(buf, 4096 + 2, "'%s'", v->path);
	return buf;
}

static int look(void *opaque, uint64_t start, size_t len,
		const char *const data[DTL_SCAN_SOURCES])
{
	struct dtrack_verify *v = opaque;
	int ret = 0;

	if (v->device_name) {
		dtl_finding_compare(start, data[0], data[1], len, v->unit,
				    &v->finding);
		v->result.bytes_checked += len;
	} else {
		ret = dtl_finding_sums(v->h, &v->sums, start, data[0], len,
				       &v->finding);
	}
	if (v->options.notify)
		v->options.notify(v->options.opaque, DTRACK_RUN_PROGRESS,
				  v->bytes_before + start + len, v->bytes_all,
				  NULL);
	return ret;
}

/* What a disk no longer gives is lost like what it gives wrongly. */
static void unread(void *opaque, uint64_t start, size_t len)
{
	struct dtrack_verify *v = opaque;
	char buf[4096 + 2];

	if (!v->unreadable)
		tell(v, "some of %s cannot be read", who(v, buf));
	v->unreadable = true;
	dtl_finding_add(&v->finding, start, len);
}

/* Of an image over another one: what is not its own is checked there. */
static int find(void *opaque, uint64_t at, struct dtrack_range *range)
{
	struct dtrack_verify *v = opaque;
	uint64_t end, mask = v->target.block - 1;
	int ret = dtl_sums_find(v->h, &v->sums, at, range);

	if (ret <= 0)
		return ret;
	end = (range->start + range->length + mask) & ~mask;
	range->start &= ~mask;
	range->length = end - range->start;
	return 1;
}

static int scan(struct dtrack_verify *v, uint64_t bytes)
{
	const bool over = !v->device_name && v->manifest.backing[0];
	struct dtl_scan s = {
		.h = v->h,
		.source = { &v->target, v->device_name ? &v->device : NULL },
		.jobs = v->options.jobs,
		.speed = v->options.speed,
		.cancel = &v->cancel,
		.find = over ? find : NULL,
		.look = look,
		.unread = v->device_name ? NULL : unread,
		.unit = v->unit,
		.opaque = v,
	};
	int ret = dtl_scan_open(&s);

	if (!ret)
		ret = dtl_scan_run(&s, 0, bytes);
	dtl_scan_close(&s);
	return ret;
}

/* What an image above hides, or has of its own, is not of the content. */
static int scan_counted(struct dtrack_verify *v, uint64_t bytes)
{
	uint64_t before;
	int ret;

	if (!v->finding.known)
		return scan(v, bytes);
	before = dtr_bitmap_dirty_bytes(&v->settled);
	ret = scan(v, bytes);
	v->result.bytes_checked += dtr_bitmap_dirty_bytes(&v->settled) - before;
	return ret;
}

/* What only one of both has; a block device may be larger than its content. */
static void judge_sizes(struct dtrack_verify *v, uint64_t want)
{
	const uint64_t has = v->target.size;
	char buf[4096 + 2];

	if (v->links[0])
		tell(v, "%s", v->links);
	if (!v->target.ops)
		tell(v, "%s is missing", who(v, buf));
	else if (!v->target.size && v->links[0])
		return;
	else if (has < want)
		tell(v, "%s is %s", who(v, buf), v->device_name ?
		     "smaller than the device" : "cut");
	else if (has > want && !v->target.is_block)
		tell(v, "%s is %s", who(v, buf), v->device_name ?
		     "larger than the device" : "longer than it was");
	else
		return;
	if (has < want)
		dtl_finding_add(&v->finding, has, want - has);
	else
		dtl_finding_add(&v->finding, want, has - want);
}

__attribute__((format(printf, 2, 3)))
static void not_checked(struct dtrack_verify *v, const char *fmt, ...)
{
	va_list ap;

	if (v->unchecked[0])
		return;
	va_start(ap, fmt);
	vsnprintf(v->unchecked, sizeof(v->unchecked), fmt, ap);
	va_end(ap);
}

/* What comes from here and was not checked; what lies below it does not count. */
static void hide(struct dtrack_verify *v, uint64_t start, uint64_t end)
{
	if (v->finding.known)
		dtl_bits_set(&v->settled, start, end - start);
}

/* Each cluster of the image's own has something that its run wrote. */
static void look_at_gap(struct dtrack_verify *v, uint64_t start, uint64_t end,
			bool last)
{
	const uint64_t cluster = v->target.cluster;
	uint64_t at = (start + cluster - 1) & -cluster;

	hide(v, start, end);
	if (at + cluster <= end || (last && at < end))
		not_checked(v, "'%s' has something at byte %" PRIu64
			    " of which there is no checksum", v->path, at);
}

static int look_at_own(void *opaque, const struct dtrack_range *own)
{
	uint64_t at = own->start, end = own->start + own->length, to;
	struct dtrack_verify *v = opaque;
	struct dtrack_range known;
	int ret;

	for (; at < end; at = known.start + known.length) {
		ret = dtl_sums_find(v->h, &v->sums, at, &known);
		if (ret < 0)
			return ret;
		to = ret && known.start < end ? known.start : end;
		if (at < to)
			look_at_gap(v, at, to, to == end);
		if (to == end)
			break;
	}
	return 0;
}

static int hide_own(void *opaque, const struct dtrack_range *own)
{
	hide(opaque, own->start, own->start + own->length);
	return 0;
}

/*
 * What an image has itself hides what lies below.  A bit of its tables is enough
 * for that, and what nobody wrote has no checksum that would tell.
 */
static int check_own(struct dtrack_verify *v)
{
	char real[PATH_MAX];
	int ret;

	if (v->device_name || !v->manifest.backing[0] ||
	    v->options.flags & DTRACK_VERIFY_ALONE)
		return 0;
	if (!v->target.cluster || !realpath(v->path, real)) {
		hide(v, 0, v->manifest.size);
		return 0;
	}
	ret = dtl_qemu_map(v->h, real, v->sums.fd < 0 ? hide_own : look_at_own,
			   v);
	if (ret != -ENOLINK)
		return ret;
	tell(v, "%s", dtrack_errmsg(v->h));
	hide(v, 0, v->manifest.size);
	return 0;
}

static void note_medium(struct dtrack_verify *v)
{
	if (!v->target.medium || (!v->device_name && !v->sums.medium))
		v->result.medium = 0;
}

static int check_one(struct dtrack_verify *v, uint64_t want)
{
	int ret = 0;

	if (v->device_name || v->sums.fd >= 0)
		note_medium(v);
	if (v->device_name || v->sums.fd >= 0)
		ret = scan_counted(v, min_u64(want, v->target.size));
	if (!ret)
		ret = check_own(v);
	if (!ret)
		judge_sizes(v, want);
	dtl_finding_end(&v->finding);
	v->bytes_before += want;
	v->result.images += v->sums.fd >= 0;
	return ret;
}

/* ---- Below -------------------------------------------------------------- */

/* @above: what lies over it.  Return: whether it can be looked at. */
static bool step(struct dtrack_verify *v)
{
	bool forced = !v->manifest.has_from;
	char above[sizeof(v->path)];

	memcpy(above, v->path, sizeof(above));
	switch (dtl_links_next(v->h, v->path, sizeof(v->path), &v->manifest)) {
	case DTL_LINK_END:
		return false;
	case DTL_LINK_LOST:
		if (forced)
			not_checked(v, "%s: it was not checked",
				    dtrack_errmsg(v->h));
		else
			tell(v, "%s", dtrack_errmsg(v->h));
		return false;
	case DTL_LINK_OTHER:
		tell(v, "'%s' is not what '%s' was made over", v->path, above);
		return false;
	default:
		return true;
	}
}

/* Return: whether there are checksums to look at, or -errno with words. */
static int open_below(struct dtrack_verify *v)
{
	int ret = open_target(v, v->path);

	if (ret == -ENOENT || ret == -ENOLINK)
		return 0;
	if (ret)
		return ret;
	if (!v->manifest.complete)
		not_checked(v, "'%s' is incomplete: it was not checked", v->path);
	else if (!v->manifest.has_sums)
		not_checked(v, "'%s' has no checksums: it was not checked",
			    v->path);
	else if (dtl_sums_open(v->h, v->target.manifest, &v->manifest, false,
			       &v->sums))
		not_checked(v, "%s", dtrack_errmsg(v->h));
	return 0;
}

static int check_below(struct dtrack_verify *v)
{
	int ret;

	dtl_sums_close(&v->sums);
	dtl_source_close(&v->target);
	v->unreadable = false;
	if (v->options.image)
		v->options.image(v->options.opaque, v->path);
	choose_unit_alone(v);
	ret = open_below(v);
	return ret ? ret : check_one(v, v->manifest.size);
}

/* What has no manifest is of the chain, too. */
static int check_chain(struct dtrack_verify *v)
{
	struct dtl_qemu_info info = { 0 };
	int ret;

	if (!v->is_image || v->lost)
		return 0;
	ret = dtl_qemu_look(v->h, v->top, "qcow2", false, &info);
	if (ret == -ENOLINK)
		tell(v, "%s", dtrack_errmsg(v->h));
	return ret == -ENOLINK ? 0 : ret;
}

static int check_all_below(struct dtrack_verify *v)
{
	int ret = 0;

	while (!ret && step(v)) {
		if (++v->depth > DTL_MAX_LINKS) {
			tell(v, "more than %u images lie over each other",
			     DTL_MAX_LINKS);
			break;
		}
		if (!(v->options.flags & DTRACK_VERIFY_ALONE))
			ret = check_below(v);
	}
	return ret ? ret : check_chain(v);
}

/* ---- All ---------------------------------------------------------------- */

static int verify(struct dtrack_verify *v)
{
	int ret;

	v->result.medium = 1;
	ret = check_one(v, v->result.bytes_total);
	if (v->device_name || ret)
		return ret;
	ret = check_all_below(v);
	/* Of nothing that was read nothing is known. */
	if (!v->result.images)
		v->result.medium = 0;
	if (ret || !v->finding.known)
		return ret;
	return dtl_bits_whole(v->h, &v->settled);
}

/* Return: as dtrack_verify_execute(). */
static int judge(struct dtrack_verify *v)
{
	if (!v->unchecked[0])
		return v->result.found;
	if (!v->result.found)
		return dtl_fail(v->h, -ENODATA, DTL_CLASS_GENERIC, "%s",
				v->unchecked);
	tell(v, "%s", v->unchecked);
	return 1;
}

int dtrack_verify_execute(struct dtrack_verify *v)
{
	int ret;

	if (v->result.state != DTRACK_RUN_READY)
		return dtl_fail(v->h, -EINVAL, NULL,
				"A verification can be executed once");
	ret = verify(v);
	v->result.bytes_different = v->finding.bytes;
	v->result.found |= v->finding.bytes != 0;
	if (!ret)
		ret = judge(v);
	v->result.state = ret >= 0 ? DTRACK_RUN_COMPLETED :
			  ret == -ECANCELED ? DTRACK_RUN_CANCELLED :
					      DTRACK_RUN_FAILED;
	return ret;
}

/* ---- Public ------------------------------------------------------------- */

void dtrack_verify_result(const struct dtrack_verify *v,
			  struct dtrack_verify_result *result, size_t size)
{
	memset(result, 0, size);
	memcpy(result, &v->result,
	       size < sizeof(v->result) ? size : sizeof(v->result));
}

void dtrack_verify_cancel(struct dtrack_verify *v)
{
	atomic_store(&v->cancel, 1);
}
