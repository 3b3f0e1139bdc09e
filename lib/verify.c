// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * verify.c - whether a target holds what it should.
 *
 * With a device: its content.  Without one: what the manifest and the checksums
 * beside the target say.  Writes nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "finding.h"
#include "holders.h"
#include "links.h"
#include "scan.h"

/* Without a manifest to say it. */
#define DEFAULT_UNIT	65536

/**
 * struct dtrack_verify - a verification.
 * @h: the handle
 * @options: with strings of our own
 * @target_name: owns @options.target
 * @device_name: owns @options.device
 * @target: what is verified; not open when it is missing
 * @device: what it is compared with; not open without one
 * @manifest: of the target, valid without a device
 * @sums: checksums; open where they are used
 * @unit: of what is found, bytes
 * @links: what is wrong with what the target lies over, or ""
 * @unreadable: some of it could not be read
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
	char links[DTL_MSG_LEN];
	bool unreadable;
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
	if (v->options.flags)
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
	struct dtl_error first;
	int ret;

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
	if (!ret)
		ret = dtl_source_open(v->h, v->target_name, &v->target);
	if (ret)
		return ret;
	dtl_source_heed(&v->target, &v->cancel);
	choose_unit(v);
	v->result.live = is_used(v, dev);
	v->result.bytes_total = v->device.size;
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

static void check_links(struct dtrack_verify *v)
{
	struct dtl_manifest m = v->manifest;
	struct dtl_error first;

	dtl_error_save(v->h, &first);
	if (dtl_links_check(v->h, v->target.path, &m, v->links,
			    sizeof(v->links)))
		v->links[0] = '\0';
	dtl_error_restore(v->h, &first);
}

/* A manifest makes a target that is not there a loss, not a mistake. */
static int begin_alone(struct dtrack_verify *v)
{
	struct dtl_error missing;
	int ret, open_ret;

	open_ret = dtl_source_open(v->h, v->target_name, &v->target);
	if (open_ret && open_ret != -ENOENT && open_ret != -ENOLINK)
		return open_ret;
	if (open_ret == -ENOLINK)
		snprintf(v->links, sizeof(v->links), "%s", dtrack_errmsg(v->h));
	dtl_source_heed(&v->target, &v->cancel);
	dtl_error_save(v->h, &missing);
	ret = load_manifest(v);
	if (ret == -ENOENT && open_ret)
		dtl_error_restore(v->h, &missing);
	if (!ret && v->manifest.has_sums && !open_ret)
		ret = dtl_sums_open(v->h, v->target.manifest, &v->manifest,
				    false, &v->sums);
	v->unit = v->manifest.has_sums ? v->manifest.sums_unit : DEFAULT_UNIT;
	v->result.bytes_total = v->manifest.size;
	if (!ret && !open_ret)
		check_links(v);
	return ret;
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
	dtl_sums_close(&v->sums);
	dtl_source_close(&v->device);
	dtl_source_close(&v->target);
	free(v->target_name);
	free(v->device_name);
	free(v);
}

/* ---- Comparing ---------------------------------------------------------- */

static void tell(struct dtrack_verify *v, const char *why)
{
	v->result.found = 1;
	if (v->options.found)
		v->options.found(v->options.opaque, NULL, why);
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
				       &v->finding, &v->result.bytes_checked);
	}
	if (v->options.notify)
		v->options.notify(v->options.opaque, DTRACK_RUN_PROGRESS,
				  start + len, v->result.bytes_total, NULL);
	return ret;
}

/* What a disk no longer gives is lost like what it gives wrongly. */
static void unread(void *opaque, uint64_t start, size_t len)
{
	struct dtrack_verify *v = opaque;

	if (!v->unreadable)
		tell(v, "some of the target cannot be read");
	v->unreadable = true;
	dtl_finding_add(&v->finding, start, len);
}

static int scan(struct dtrack_verify *v, uint64_t bytes)
{
	struct dtl_scan s = {
		.h = v->h,
		.source = { &v->target, v->device_name ? &v->device : NULL },
		.jobs = v->options.jobs,
		.speed = v->options.speed,
		.cancel = &v->cancel,
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

/* What only one of both has; a block device may be larger than its content. */
static void judge_sizes(struct dtrack_verify *v)
{
	const uint64_t want = v->result.bytes_total, has = v->target.size;

	if (v->links[0])
		tell(v, v->links);
	if (!v->target.ops)
		tell(v, "the target is missing");
	else if (!v->target.size && v->links[0])
		return;
	else if (has < want)
		tell(v, v->device_name ? "the target is smaller than the device" :
					 "the target is cut");
	else if (has > want && !v->target.is_block)
		tell(v, v->device_name ? "the target is larger than the device" :
					 "the target is longer than it was");
	else
		return;
	if (has < want)
		dtl_finding_add(&v->finding, has, want - has);
	else
		dtl_finding_add(&v->finding, want, has - want);
}

int dtrack_verify_execute(struct dtrack_verify *v)
{
	uint64_t both = min_u64(v->result.bytes_total, v->target.size);
	int ret = 0;

	if (v->result.state != DTRACK_RUN_READY)
		return dtl_fail(v->h, -EINVAL, NULL,
				"A verification can be executed once");
	if (v->device_name || v->sums.fd >= 0)
		ret = scan(v, both);
	if (!ret)
		judge_sizes(v);
	dtl_finding_end(&v->finding);
	v->result.bytes_different = v->finding.bytes;
	v->result.found |= v->finding.bytes != 0;
	v->result.state = !ret ? DTRACK_RUN_COMPLETED :
			  ret == -ECANCELED ? DTRACK_RUN_CANCELLED :
					      DTRACK_RUN_FAILED;
	return ret ? ret : v->result.found;
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
