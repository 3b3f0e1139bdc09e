// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * restore.c - from a target back to a block device.
 *
 * The copy engine the other way round.  With DTRACK_RESTORE_DELTA the device is
 * compared window by window, and what differs in one is copied before or while
 * the next one is compared: what is kept of it does not grow with the device.
 * Nobody else writes meanwhile: the device is claimed from the checks on.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "copy.h"
#include "device-lock.h"
#include "feeds.h"
#include "finding.h"
#include "holders.h"
#include "layers.h"
#include "scan.h"

/* Without a manifest to say it. */
#define DEFAULT_UNIT	65536U
/* A multiple of what dtl_scan_run() begins at. */
#define WINDOW		(64ULL << 20)

/**
 * struct dtrack_restore - a restore.
 * @h: the handle
 * @options: with strings of our own
 * @target_name: owns @options.target
 * @device_name: owns @options.device
 * @source: the target of a run
 * @manifest: its, zeroes when there is none
 * @layers: checksums, where they are used
 * @known: what was compared with them
 * @damaged: what of it did not match, and was told, with --force
 * @first: of a piece: what did not match them, unless forced; or empty
 * @writer: the image below the target that has written it, or NULL
 * @told: the one that @options.image was told of last, or NULL
 * @size: bytes to restore
 * @unit: bytes; what differs is copied in units
 * @device_lock: keeps backups of the device away, or -1
 * @device: where it goes
 * @present: the same, to be compared
 * @scan: compares
 * @at: up to here it was compared
 * @list: what differs, of one window
 * @nr: number of them
 * @taken: number of those that the engine has
 * @unread: what could not be read
 * @cancel: asked to end
 * @resume: the engine's
 * @result: for the caller
 */
struct dtrack_restore {
	struct dtrack *h;
	struct dtrack_restore_options options;
	char *target_name;
	char *device_name;
	struct dtl_source source;
	struct dtl_manifest manifest;
	struct dtl_layers layers;
	struct dtr_bitmap known;
	struct dtr_bitmap damaged;
	struct dtrack_range first;
	const char *writer;
	const char *told;
	uint64_t size;
	uint64_t unit;
	int device_lock;
	struct dtl_target device;
	struct dtl_source present;
	struct dtl_scan scan;
	uint64_t at;
	struct dtrack_range *list;
	unsigned int nr;
	unsigned int taken;
	struct dtl_finding unread;
	atomic_int cancel;
	atomic_int resume;
	struct dtrack_restore_result result;
};

static bool forced(const struct dtrack_restore *r)
{
	return r->options.flags & DTRACK_RESTORE_FORCE;
}

static bool is_delta(const struct dtrack_restore *r)
{
	return r->options.flags & DTRACK_RESTORE_DELTA;
}

/* ---- Options ------------------------------------------------------------ */

static int check_options(struct dtrack *h,
			 const struct dtrack_restore_options *o)
{
	if (o->flags & ~(DTRACK_RESTORE_FORCE | DTRACK_RESTORE_DELTA))
		return dtl_fail(h, -EINVAL, DTL_CLASS_USAGE,
				"An option of the restore is out of range");
	if (!o->target || !o->device)
		return dtl_fail(h, -EINVAL, DTL_CLASS_USAGE,
				"The %s has no name",
				o->target ? "device" : "target");
	return 0;
}

static int copy_options(struct dtrack_restore *r,
			const struct dtrack_restore_options *options)
{
	size_t size = options->size;
	int ret;

	if (size < sizeof(size) || size > sizeof(r->options))
		return dtl_fail(r->h, -EINVAL, NULL,
				"struct dtrack_restore_options is of another version");
	memcpy(&r->options, options, size);
	ret = check_options(r->h, &r->options);
	if (ret)
		return ret;
	r->target_name = strdup(r->options.target);
	r->device_name = strdup(r->options.device);
	if (!r->target_name || !r->device_name)
		return dtl_nomem(r->h);
	r->options.target = r->target_name;
	r->options.device = r->device_name;
	return 0;
}

/* ---- Checksums ---------------------------------------------------------- */

/* Return: whether there is some from @at on that was not told of. */
static bool next_untold(const struct dtrack_restore *r, uint64_t at,
			uint64_t end, struct dtrack_range *some)
{
	const struct dtr_bitmap *told = &r->damaged;
	u64 bit = at >> told->shift;

	if (at >= end || !dtr_bitmap_next_clean(told, bit, &bit) ||
	    bit << told->shift >= end)
		return false;
	some->start = bit << told->shift;
	if (dtr_bitmap_next_dirty(told, bit, &bit) &&
	    bit << told->shift < end)
		end = bit << told->shift;
	some->length = end - some->start;
	return true;
}

/*
 * Once: after a write that was refused it is shown anew.
 * @writer: the image below the target that wrote it, or NULL
 */
static void tell_damaged(struct dtrack_restore *r, const char *writer,
			 const struct dtrack_range *range)
{
	uint64_t at = range->start, end = range->start + range->length;
	struct dtrack_range some;

	for (; next_untold(r, at, end, &some); at = some.start + some.length) {
		r->result.bytes_damaged += some.length;
		if (r->options.image && writer != r->told)
			r->options.image(r->options.opaque, writer ? : "");
		r->told = writer;
		if (r->options.found)
			r->options.found(r->options.opaque, &some, NULL);
	}
	dtl_bits_set(&r->damaged, range->start, range->length);
}

static void bad(void *opaque, const struct dtl_layer *layer,
		const struct dtrack_range *range)
{
	struct dtrack_restore *r = opaque;
	const char *writer = layer == r->layers.top ? NULL : layer->path;

	if (forced(r)) {
		tell_damaged(r, writer, range);
	} else if (!r->first.length) {
		r->first = *range;
		r->writer = writer;
	}
}

static int seen(void *opaque, uint64_t start, const char *data, size_t len)
{
	struct dtrack_restore *r = opaque;
	int ret;

	r->first.length = 0;
	ret = dtl_layers_check(r->h, &r->layers, start, data, len);
	if (ret || !r->first.length)
		return ret;
	return dtl_fail(r->h, -EBADMSG, NULL,
			"Target '%s' is damaged: %" PRIu64
			" bytes from byte %" PRIu64
			" on are not what was written%s%s%s",
			r->source.path, (uint64_t)r->first.length,
			(uint64_t)r->first.start, r->writer ? " to '" : "",
			r->writer ? : "", r->writer ? "'" : "");
}

/* ---- The target --------------------------------------------------------- */

static int load_manifest(struct dtrack_restore *r)
{
	struct dtl_manifest *m = &r->manifest;
	struct dtl_error first;
	int ret = -ENOENT;

	dtl_error_save(r->h, &first);
	if (r->source.manifest[0])
		ret = dtl_manifest_load(r->h, r->source.manifest, m);
	if (ret && ret != -ENOENT && !forced(r))
		return ret;
	if (ret) {
		dtl_error_restore(r->h, &first);
		memset(m, 0, sizeof(*m));
		r->size = r->source.size;
		return 0;
	}
	if (!m->complete && !forced(r))
		return dtl_fail(r->h, -ESTALE, NULL,
				"Target '%s' is incomplete: the last run onto it did not end well",
				r->source.path);
	if (m->size != r->source.size && !forced(r))
		return dtl_fail(r->h, -ERANGE, NULL,
				"Target '%s' has %" PRIu64 " bytes and should have %" PRIu64,
				r->source.path, r->source.size, m->size);
	r->size = m->size < r->source.size ? m->size : r->source.size;
	return 0;
}

static int make_books(struct dtrack_restore *r)
{
	int ret;

	if (!r->size || !r->layers.top)
		return 0;
	ret = dtl_bits_init(r->h, &r->known, r->size, r->layers.least);
	if (ret)
		return ret;
	ret = dtl_bits_init(r->h, &r->damaged, r->size, r->layers.least);
	if (ret)
		dtr_bitmap_exit(&r->known);
	else
		r->layers.known = &r->known;
	return ret;
}

/* On the worst day a copy without checksums is better than none. */
static int open_sums(struct dtrack_restore *r)
{
	char path[PATH_MAX];
	int ret;

	r->unit = r->manifest.has_sums ? r->manifest.sums_unit : DEFAULT_UNIT;
	if (!r->manifest.complete || !r->manifest.has_sums)
		return 0;
	r->layers.bad = bad;
	r->layers.opaque = r;
	if (!realpath(r->source.path, path))
		return dtl_open_error(r->h, r->source.path);
	ret = dtl_layers_open(r->h, path, &r->manifest, forced(r), &r->layers);
	if (r->layers.most > r->unit)
		r->unit = r->layers.most;
	r->result.checked = r->layers.top != NULL;
	return ret ? ret : make_books(r);
}

static int open_target(struct dtrack_restore *r)
{
	int ret;

	r->source.cancel = &r->cancel;
	r->source.patience = r->options.target_timeout;
	ret = dtl_source_open(r->h, r->target_name, &r->source);
	if (!ret)
		ret = load_manifest(r);
	if (!ret)
		ret = open_sums(r);
	r->result.bytes_total = r->size;
	return ret;
}

/* ---- The device --------------------------------------------------------- */

/* A backup on the device, or on what it is made of, would be written over. */
static int check_feeds(struct dtrack_restore *r, struct dtrack_dev dev)
{
	int ret = 0;

	if (r->source.fd >= 0)
		ret = dtl_check_feeds(r->h, dev, r->source.fd, r->source.path);
	if (ret != -ELOOP)
		return ret;
	return dtl_fail(r->h, ret, DTL_CLASS_GENERIC,
			"Target '%s' and device '%s' are the same or one lies on the other",
			r->source.path, r->device_name);
}

static int check_size(struct dtrack_restore *r)
{
	r->result.device_bytes = r->device.size;
	if (r->device.size >= r->size)
		return 0;
	return dtl_fail(r->h, -ERANGE, NULL,
			"Device '%s' is too small: it has %" PRIu64
			" bytes, and the target %" PRIu64,
			r->device_name, r->device.size, r->size);
}

static int open_device(struct dtrack_restore *r)
{
	const struct dtrack_dev nowhere = { 0 };
	char path[sizeof(r->device.path)];
	struct dtrack_dev dev;
	int ret;

	ret = dtl_dev_node(r->h, r->device_name, &dev, path, sizeof(path));
	if (!ret)
		ret = dtl_check_unused(r->h, path, dtl_dev_t(dev));
	if (!ret)
		ret = dtl_device_lock_restore(r->h, dev, r->device_name,
					      &r->device_lock);
	if (!ret)
		ret = check_feeds(r, dev);
	if (!ret)
		ret = dtl_target_open(r->h, path, nowhere, &r->device);
	if (!ret)
		ret = check_size(r);
	if (!ret && is_delta(r))
		ret = dtl_source_open_device(r->h, path, &r->present);
	return ret;
}

int dtrack_restore_new(struct dtrack *h,
		       const struct dtrack_restore_options *options,
		       struct dtrack_restore **result)
{
	struct dtrack_restore *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return dtl_nomem(h);
	r->h = h;
	dtl_source_init(&r->source);
	dtl_source_init(&r->present);
	r->device_lock = -1;
	r->device.fd = -1;
	r->device.direct = -1;
	ret = copy_options(r, options);
	if (!ret)
		ret = open_target(r);
	if (!ret)
		ret = open_device(r);
	if (ret)
		dtrack_restore_free(r);
	else
		*result = r;
	return ret;
}

void dtrack_restore_free(struct dtrack_restore *r)
{
	if (!r)
		return;
	dtl_source_close(&r->present);
	dtl_target_close(&r->device);
	dtl_close(r->device_lock);
	if (r->layers.known) {
		dtr_bitmap_exit(&r->known);
		dtr_bitmap_exit(&r->damaged);
	}
	dtl_layers_close(&r->layers);
	dtl_source_close(&r->source);
	free(r->target_name);
	free(r->device_name);
	free(r);
}

/* ---- What differs ------------------------------------------------------- */

static void add_range(void *opaque, const struct dtrack_range *range,
		      const char *why)
{
	struct dtrack_restore *r = opaque;

	(void)why;
	r->list[r->nr++] = *range;
}

/* What differs is read anew, and is checked, and named, when it is written. */
static int check_equal(struct dtrack_restore *r, unsigned int first,
		       uint64_t start, const char *data, size_t len)
{
	uint64_t at = start;
	unsigned int i;
	int ret = 0;

	for (i = first; !ret && i < r->nr; i++) {
		ret = seen(r, at, data + (at - start), r->list[i].start - at);
		at = r->list[i].start + r->list[i].length;
	}
	return ret ? ret : seen(r, at, data + (at - start), start + len - at);
}

/* A range goes no further than what is compared at once: they may touch. */
static int look(void *opaque, uint64_t start, size_t len,
		const char *const data[DTL_SCAN_SOURCES])
{
	struct dtrack_restore *r = opaque;
	struct dtl_finding f = { .found = add_range, .opaque = r };
	unsigned int first = r->nr;
	int ret;

	dtl_finding_compare(start, data[0], data[1], len, r->unit, &f);
	dtl_finding_end(&f);
	/* So that nothing of a window is written when some of it is damaged. */
	ret = forced(r) ? check_equal(r, first, start, data[0], len) :
			  seen(r, start, data[0], len);
	if (r->options.notify)
		r->options.notify(r->options.opaque, DTRACK_RUN_PROGRESS,
				  start + len, r->size, NULL);
	return ret;
}

/* Of either: the engine will see whether there is something to write. */
static void may_differ(void *opaque, uint64_t start, size_t len)
{
	const struct dtrack_range range = { start, len };

	add_range(opaque, &range, NULL);
}

static int next_different(void *opaque, struct dtrack_range *range)
{
	struct dtrack_restore *r = opaque;
	uint64_t from = r->at;
	int ret;

	while (r->taken == r->nr) {
		if (r->at == r->size)
			return 0;
		r->nr = 0;
		r->taken = 0;
		r->at = r->size - from < WINDOW ? r->size : from + WINDOW;
		ret = dtl_scan_run(&r->scan, from, r->at);
		if (ret)
			return ret;
		from = r->at;
	}
	*range = r->list[r->taken++];
	return 1;
}

static int next_all(void *opaque, struct dtrack_range *range)
{
	struct dtrack_restore *r = opaque;

	if (r->at == r->size)
		return 0;
	*range = (struct dtrack_range){ 0, r->size };
	r->at = r->size;
	return 1;
}

/* ---- Copying ------------------------------------------------------------ */

static void tell_unread(void *opaque, const struct dtrack_range *range,
			const char *why)
{
	struct dtrack_restore *r = opaque;

	(void)why;
	if (r->options.found)
		r->options.found(r->options.opaque, range,
				 "they cannot be read");
}

static void unread(void *opaque, uint64_t start, uint64_t len)
{
	struct dtrack_restore *r = opaque;

	dtl_finding_add(&r->unread, start, len);
	r->result.bytes_unread += len;
}

static int flushed(void *opaque, const struct dtrack_range *ranges,
		   unsigned int nr)
{
	(void)opaque;
	(void)ranges;
	(void)nr;
	return 0;
}

static int copy(struct dtrack_restore *r)
{
	const struct dtrack_run_options o = {
		.size = sizeof(o),
		.jobs = r->options.jobs,
		.speed = r->options.speed,
		.notify = is_delta(r) ? NULL : r->options.notify,
		.opaque = r->options.opaque,
	};
	struct dtl_copy c = {
		.h = r->h,
		.source = &r->source,
		.target = &r->device,
		.size = r->size,
		.granularity = is_delta(r) ? r->unit : DEFAULT_UNIT,
		.total = r->size,
		.options = &o,
		.cancel = &r->cancel,
		.resume = &r->resume,
		.next = is_delta(r) ? next_different : next_all,
		.seen = seen,
		.flushed = flushed,
		.unread = forced(r) ? unread : NULL,
		.opaque = r,
	};
	int ret = r->device.ops->begin(r->h, &r->device, r->size);

	r->unread.found = tell_unread;
	r->unread.opaque = r;
	if (!ret)
		ret = dtl_copy_run(&c);
	dtl_finding_end(&r->unread);
	r->result.bytes_written = c.written;
	r->result.done_to = c.done_to;
	r->result.begun_to = c.begun_to;
	return ret;
}

static int copy_different(struct dtrack_restore *r)
{
	struct dtl_scan *s = &r->scan;
	int ret;

	*s = (struct dtl_scan) {
		.h = r->h,
		.source = { &r->source, &r->present },
		.jobs = r->options.jobs,
		.speed = r->options.speed,
		.cancel = &r->cancel,
		.look = look,
		.unread = may_differ,
		.unit = r->unit,
		.opaque = r,
	};
	/* At most each unit is one, where they are read one by one. */
	r->list = calloc(WINDOW / r->unit + 1, sizeof(*r->list));
	ret = r->list ? dtl_scan_open(s) : dtl_nomem(r->h);
	if (!ret)
		ret = copy(r);
	dtl_scan_close(s);
	free(r->list);
	r->list = NULL;
	return ret;
}

static int finish(struct dtrack_restore *r)
{
	int ret = r->device.ops->finish(&r->device);

	if (!ret)
		return 0;
	r->result.done_to = 0;
	return dtl_fail(r->h, ret, dtl_os_class(ret),
			"Could not flush '%s': %s", r->device.path,
			strerror(-ret));
}

/* Books for which memory did not suffice say that too much was told. */
static int close_books(struct dtrack_restore *r)
{
	int ret;

	if (!r->layers.known)
		return 0;
	r->result.bytes_checked = dtr_bitmap_dirty_bytes(&r->known);
	ret = dtl_bits_whole(r->h, &r->known);
	return ret ? ret : dtl_bits_whole(r->h, &r->damaged);
}

int dtrack_restore_execute(struct dtrack_restore *r)
{
	int ret;

	if (r->result.state != DTRACK_RUN_READY)
		return dtl_fail(r->h, -EINVAL, NULL,
				"A restore can be executed once");
	if (r->layers.unchecked && r->options.found)
		r->options.found(r->options.opaque, NULL, r->layers.unchecked);
	ret = is_delta(r) ? copy_different(r) : copy(r);
	if (!ret)
		ret = finish(r);
	if (!ret)
		ret = close_books(r);
	r->result.state = !ret ? DTRACK_RUN_COMPLETED :
			  ret == -ECANCELED ? DTRACK_RUN_CANCELLED :
					      DTRACK_RUN_FAILED;
	return ret;
}

/* ---- Public ------------------------------------------------------------- */

void dtrack_restore_result(const struct dtrack_restore *r,
			   struct dtrack_restore_result *result, size_t size)
{
	memset(result, 0, size);
	memcpy(result, &r->result,
	       size < sizeof(r->result) ? size : sizeof(r->result));
}

void dtrack_restore_cancel(struct dtrack_restore *r)
{
	atomic_store(&r->cancel, 1);
}
