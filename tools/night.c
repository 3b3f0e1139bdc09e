// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * night.c - one run of a job: making its restore point.
 *
 * Invariant: a restore point is written once, and never after it has its
 * point.json.  An incremental qcow2 image lies over the one before; a raw one is
 * a copy of it, brought up to date under its own name.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "likeness.h"
#include "night.h"
#include "output.h"
#include "repo-lock.h"
#include "signals.h"

/* ---- Errors ------------------------------------------------------------- */

bool night_fail(struct night *n, const char *cls, const char *fmt, ...)
{
	va_list ap;

	if (n->cls)
		return false;
	n->cls = cls;
	va_start(ap, fmt);
	vsnprintf(n->error, sizeof(n->error), fmt, ap);
	va_end(ap);
	return false;
}

bool night_fail_too(struct night *n, const char *text)
{
	size_t len = strlen(n->error);

	if (n->cls)
		snprintf(n->error + len, sizeof(n->error) - len, "; %s", text);
	return night_fail(n, "GenericError", "%s", text);
}

static const char *class_of(int err)
{
	switch (err) {
	case -ENOSPC:
	case -EDQUOT:
		return "NoSpace";
	case -EROFS:
		return "ReadOnly";
	case -EACCES:
	case -EPERM:
		return "Permission";
	default:
		return "GenericError";
	}
}

bool night_fail_file(struct night *n, int err, const char *what,
		      const char *path)
{
	n->cancelled = n->cancelled || err == -ECANCELED;
	if (err == -ECANCELED)
		return night_fail(n, "GenericError", "Operation canceled");
	return night_fail(n, class_of(err), "Could not %s '%s': %s", what, path,
			  strerror(-err));
}

bool night_fail_device(struct night *n, unsigned int i)
{
	return night_fail(n, dtrack_errclass(n->h), "%s: %s",
			  n->c->device[i].name, dtrack_errmsg(n->h));
}

bool night_fail_store(struct night *n, int err)
{
	return night_fail(n, class_of(err), "%s", n->store.why);
}

void night_warn(struct night *n, const char *fmt, ...)
{
	unsigned int i = n->nr_warnings++;
	va_list ap;

	if (i >= NIGHT_WARNINGS)
		return;
	va_start(ap, fmt);
	vsnprintf(n->warning[i], sizeof(n->warning[i]), fmt, ap);
	va_end(ap);
	clean_line(n->warning[i]);
}

static void warn(void *opaque, const char *line)
{
	night_warn(opaque, "%s", line);
}

unsigned int night_nr_warnings(const struct night *n)
{
	return n->nr_warnings < NIGHT_WARNINGS ? n->nr_warnings :
						 NIGHT_WARNINGS;
}

bool night_check_cancel(struct night *n)
{
	if (signals_cancelled())
		night_fail_file(n, -ECANCELED, "", "");
	return !n->cls;
}

/* ---- Words -------------------------------------------------------------- */

const char *night_state(const struct night *n)
{
	return !n->cls ? "completed" : n->cancelled ? "cancelled" : "failed";
}

const char *night_kind(const struct night *n)
{
	return !n->decided ? "" : n->full ? "full" : "incremental";
}

void night_image_name(const struct night *n, unsigned int i, char *buf,
		      size_t size)
{
	snprintf(buf, size, "%s.%s", n->c->device[i].name,
		 point_format_word(n->c->format));
}

/* ---- The devices -------------------------------------------------------- */

static bool look_at_bitmap(struct night *n, unsigned int i)
{
	const struct config_device *d = &n->c->device[i];
	struct night_device *now = &n->device[i];
	struct dtrack_bitmaps *list;
	int ret = dtrack_bitmaps_get(n->h, now->dev, d->bitmap, &list);

	now->has_bitmap = ret > 0;
	if (ret == -ENOENT)
		return true;
	if (ret < 0)
		return night_fail_device(n, i);
	now->info = *dtrack_bitmaps_at(list, 0);
	dtrack_bitmaps_free(list);
	if (!(now->info.flags & DTRACK_BITMAP_BUSY))
		return true;
	return night_fail(n, "Busy",
			  "%s: Bitmap '%s' is currently in use by another operation and cannot be used",
			  d->name, d->bitmap);
}

/* What a full copy cures is not looked at here. */
static bool is_blind(const struct dtrack_finding *f)
{
	return f->fault && f->kind != DTRACK_FINDING_INCONSISTENT &&
	       f->kind != DTRACK_FINDING_NOT_RECORDING;
}

/* A tracker that does not see all writes makes restore points that look well. */
static bool check_tracking(struct night *n, unsigned int i)
{
	const struct config_device *d = &n->c->device[i];
	struct dtrack_findings *list;
	const struct dtrack_finding *f;
	unsigned int k;

	if (dtrack_dev_check(n->h, d->device, NULL, &list) < 0)
		return night_fail_device(n, i);
	for (k = 0; (f = dtrack_findings_at(list, k)); k++)
		if (is_blind(f))
			night_fail(n, "GenericError", "%s: %s", d->name,
				   f->text);
	dtrack_findings_free(list);
	return !n->cls;
}

static bool look_at_device(struct night *n, unsigned int i)
{
	struct night_device *now = &n->device[i];
	struct dtrack_dev_info info;

	if (dtrack_dev_find(n->h, n->c->device[i].device, &now->dev) ||
	    dtrack_dev_info(n->h, now->dev, &info, sizeof(info))) {
		night_fail_device(n, i);
		/* That is so after each reboot. */
		if (dtrack_errno(n->h) == -ENODEV)
			night_fail_too(n, "'dtrack create' makes it");
		return false;
	}
	now->bytes = info.bytes;
	return check_tracking(n, i) && look_at_bitmap(n, i);
}

/* By its name and by its path it is one device. */
static bool check_twice(struct night *n, unsigned int i)
{
	const struct config_device *d = n->c->device;
	const struct night_device *now = n->device;
	unsigned int k;

	for (k = 0; k < i; k++)
		if (now[k].dev.major == now[i].dev.major &&
		    now[k].dev.minor == now[i].dev.minor &&
		    !strcmp(d[k].bitmap, d[i].bitmap))
			return night_fail(n, "GenericError",
					  "%s: It has bitmap '%s' of one device with [device %s]: '%s' is '%s'",
					  d[i].name, d[i].bitmap, d[k].name,
					  d[i].device, d[k].device);
	return true;
}

static bool look_at_devices(struct night *n)
{
	unsigned int i;

	for (i = 0; i < n->c->nr; i++)
		if (!look_at_device(n, i) || !check_twice(n, i))
			return false;
	return true;
}

/* ---- What a folder holds ------------------------------------------------ */

/* The run that wrote the manifest has come to its end, or was killed behind it. */
static bool has_ended(const struct dtrack_manifest *m,
		      const struct night_device *now)
{
	char uuid[DTRACK_UUID_TEXT];

	if (!m->has_bitmap || m->complete)
		return m->has_bitmap;
	if (!now->has_bitmap)
		return false;
	dtrack_uuid_format(now->info.uuid, uuid);
	return !strcmp(m->uuid, uuid) && now->info.generation == m->to &&
	       now->info.last_run == m->run;
}

/* It is more than a copy of the image before, and what should come after that. */
static bool follows(const struct dtrack_manifest *m,
		    const struct point_image *before)
{
	if (!before)
		return !m->has_from;
	return m->has_from && m->from == before->generation &&
	       m->run != before->run && !strcmp(m->uuid, before->uuid);
}

static int consistency_of(const struct dtrack_manifest *m)
{
	switch (m->consistency) {
	case DTRACK_CONSISTENCY_HELD:
		return POINT_HELD;
	case DTRACK_CONSISTENCY_IMAGE:
		return POINT_INSTANT;
	case DTRACK_CONSISTENCY_LIVE:
		return POINT_LIVE;
	default:
		return POINT_UNKNOWN;
	}
}

/* Whether an image is all that its restore point needs; @image and @p get it. */
static bool take_image(struct night *n, unsigned int i, const char *folder,
		       const struct point *before, struct point *p)
{
	struct point_image *image = &p->image[i];
	const char *name = n->c->device[i].name;
	char path[CHAIN_PATH_LEN + sizeof(image->file)];
	struct dtrack_manifest m;

	snprintf(image->device, sizeof(image->device), "%s", name);
	night_image_name(n, i, image->file, sizeof(image->file));
	snprintf(path, sizeof(path), "%s/%s", folder, image->file);
	if (dtrack_manifest_read(n->h, path, &m, sizeof(m)) ||
	    !has_ended(&m, &n->device[i]) ||
	    !follows(&m, before ? point_image(before, name) : NULL))
		return false;
	memcpy(image->uuid, m.uuid, sizeof(image->uuid));
	image->generation = m.to;
	image->run = m.run;
	image->size = m.bytes;
	/* All of it is as good as the worst of its images. */
	if (!i || consistency_of(&m) < p->consistency)
		p->consistency = consistency_of(&m);
	return !point_take(folder, image);
}

static bool take_images(struct night *n, const char *folder,
			const struct point *before, struct point *p)
{
	for (p->nr = 0; p->nr < n->c->nr; p->nr++)
		if (!take_image(n, p->nr, folder, before, p))
			return false;
	return true;
}

/* From here on it is a restore point. */
static bool store_point(struct night *n, const char *chain, struct point *p)
{
	char folder[CHAIN_PATH_LEN], above[CHAIN_PATH_LEN];
	int ret;

	chain_path(folder, &n->store, chain, p->name, NULL);
	chain_path(above, &n->store, chain, NULL, NULL);
	ret = dtl_sync_folder(n->store.folder);
	if (!ret)
		ret = dtl_sync_folder(above);
	if (!ret)
		ret = point_store(folder, p);
	if (ret)
		return night_fail_file(n, ret, "write restore point", folder);
	ret = store_end(&n->store);
	if (ret)
		night_warn(n, "Could not remove '%s/making': %s",
			   n->store.folder, strerror(-ret));
	return true;
}

/* ---- What an interrupted run has left ------------------------------------ */

/* Of a point's folder. */
static int64_t time_of_name(const char *name)
{
	struct tm tm = { 0 };

	return strptime(strchr(name, '-'), "-%Y%m%dT%H%M%SZ", &tm) ?
	       timegm(&tm) : 0;
}

static bool begin_point(struct night *n, struct point *p,
			const struct point *before, int64_t when)
{
	p->image = calloc(n->c->nr, sizeof(*p->image));
	if (!p->image)
		return night_fail(n, "GenericError", "no memory");
	p->format = n->c->format;
	p->previous = before ? before->number : 0;
	point_time_format(when, p->time);
	return true;
}

/*
 * The newest of all points is partial: if all was copied it is whole, up to its
 * point.json.
 */
static bool adopt(struct night *n, struct chain *c, struct point *p)
{
	const struct point *before = chain_last(c);
	char folder[CHAIN_PATH_LEN];

	if (p->number != n->store.last || c->broken[0])
		return true;
	if (!begin_point(n, p, before, time_of_name(p->name)))
		return false;
	if (!before)
		snprintf(p->why, sizeof(p->why),
			 "the run that made it was interrupted");
	p->surprising = !before && store_newest(&n->store);
	if (take_images(n, chain_path(folder, &n->store, c->name, p->name, NULL),
			before, p)) {
		if (!store_point(n, c->name, p))
			return false;
		p->state = POINT_WHOLE;
		point_look(n->h, folder, p);
	}
	return true;
}

static bool adopt_newest(struct night *n)
{
	struct chain *c = n->store.nr ? &n->store.chain[n->store.nr - 1] : NULL;
	struct point *p = c && c->nr ? &c->point[c->nr - 1] : NULL;

	return !p || p->state != POINT_PARTIAL || adopt(n, c, p);
}

static bool own_folder(struct night *n)
{
	struct repository *r = &n->repository;
	int ret = repository_open(r, &n->store, n->wish);

	n->is_foreign = ret == -1;
	if (ret)
		return night_fail(n, ret == -1 ? "GenericError" : class_of(ret),
				  "%s", r->why);
	if (repository_remember(r))
		night_warn(n, "%s", r->why);
	return true;
}

bool night_settle(struct night *n)
{
	int ret;

	snprintf(n->store.folder, sizeof(n->store.folder), "%s", n->c->folder);
	n->store.h = n->h;
	n->store.warn = warn;
	n->store.opaque = n;
	ret = store_scan(&n->store);
	if (ret)
		return night_fail_store(n, ret);
	if (!own_folder(n))
		return false;
	if (!look_at_devices(n) || !adopt_newest(n))
		return false;
	/* Tried again by the next run: what is in the way of nothing may stay. */
	if (store_sweep(&n->store))
		night_warn(n, "%s", n->store.why);
	return true;
}

/* ---- Making it ---------------------------------------------------------- */

static bool make_folder(struct night *n, const char *path)
{
	return !mkdir(path, 0700) ||
	       night_fail_file(n, -errno, "make folder", path);
}

static bool make_folders(struct night *n, char *folder)
{
	struct point *p = &n->point;
	int ret;

	p->number = n->store.last + 1;
	chain_name(p->name, p->number, n->now);
	if (n->full)
		memcpy(n->chain, p->name, sizeof(n->chain));
	ret = store_begin(&n->store, n->chain, p->name);
	if (ret)
		return night_fail_file(n, ret, "write to", n->store.folder);
	if (n->full) {
		if (!make_folder(n, chain_path(folder, &n->store, n->chain,
					       NULL, NULL)))
			return false;
	}
	return make_folder(n, chain_path(folder, &n->store, n->chain, p->name,
					 NULL));
}

/**
 * struct cloning - the way through a folder.
 * @from: the folder
 * @to: the new one
 * @file: the image; what has its name and more is its, too
 */
struct cloning {
	const char *from;
	const char *to;
	const char *file;
};

static int clone_one(void *opaque, const char *name)
{
	const struct cloning *c = opaque;
	char from[CHAIN_PATH_LEN + FILE_NAME_LEN];
	char to[CHAIN_PATH_LEN + FILE_NAME_LEN];
	size_t len = strlen(c->file);

	if (strncmp(name, c->file, len) || (name[len] && name[len] != '.'))
		return 0;
	snprintf(from, sizeof(from), "%s/%s", c->from, name);
	snprintf(to, sizeof(to), "%s/%s", c->to, name);
	return file_clone(from, to, signals_cancelled);
}

/* The image before under a new name, to be brought up to date. */
static bool clone_image(struct night *n, unsigned int i,
			const struct point *before, const char *folder)
{
	const struct point_image *image = point_image(before,
						      n->c->device[i].name);
	char from[CHAIN_PATH_LEN];
	struct cloning c = {
		.from = chain_path(from, &n->store, n->chain, before->name,
				   NULL),
		.to = folder,
		.file = image->file,
	};
	int ret = file_each(from, clone_one, &c);

	return ret ? night_fail_file(n, ret, "copy the images of", from) : true;
}

/* For a full copy: one that is sound, and records. */
static bool mend_bitmap(struct night *n, unsigned int i)
{
	const struct config_device *d = &n->c->device[i];
	struct night_device *now = &n->device[i];
	bool bad = now->has_bitmap &&
		   (now->info.flags & DTRACK_BITMAP_INCONSISTENT ||
		    (d->granularity &&
		     d->granularity != now->info.granularity));

	if (bad && dtrack_bitmap_remove(n->h, now->dev, d->bitmap))
		return night_fail_device(n, i);
	if ((bad || !now->has_bitmap) &&
	    dtrack_bitmap_add(n->h, now->dev, d->bitmap, d->granularity, 0))
		return night_fail_device(n, i);
	if (!bad && now->has_bitmap &&
	    !(now->info.flags & DTRACK_BITMAP_RECORDING) &&
	    dtrack_bitmap_enable(n->h, now->dev, d->bitmap))
		return night_fail_device(n, i);
	return true;
}

static bool prepare(struct night *n, const struct point *before,
		    const char *folder)
{
	unsigned int i;

	for (i = 0; i < n->c->nr; i++) {
		if (!night_check_cancel(n) || (n->full && !mend_bitmap(n, i)))
			return false;
		if (!n->full && n->c->format == FORMAT_RAW &&
		    !clone_image(n, i, before, folder))
			return false;
	}
	return true;
}

/* Where that is not known it is none: the full copy shortens no history anyway. */
static void look_for_another_disk(struct night *n)
{
	unsigned int i;

	if (!n->full)
		return;
	for (i = 0; i < n->c->nr && !n->point.other_disk; i++)
		n->point.other_disk = likeness_is_other(&n->store, n->chain,
							&n->point,
							&n->point.image[i]);
	if (!n->point.other_disk)
		return;
	n->point.surprising = true;
	if (!n->accept)
		night_warn(n, "'%s' has next to nothing in common with the restore point before: if it is a copy of another disk, and meant, 'dtrack run --accept' says so; until then it removes nothing",
			   n->point.image[i - 1].device);
}

/*
 * All is copied.  Also after an error: a run may have failed to say in its
 * manifest that it had ended well.
 */
static bool finish(struct night *n, const struct point *before,
		   const char *folder)
{
	unsigned int i;

	for (i = 0; i < n->c->nr; i++)
		if (!look_at_bitmap(n, i))
			return false;
	if (!take_images(n, folder, before, &n->point))
		return night_fail(n, "GenericError",
				  "'%s' does not hold what was copied", folder);
	/* What was to be held was not, until the end. */
	if (n->release_error[0])
		n->point.consistency = POINT_LIVE;
	look_for_another_disk(n);
	n->made = store_point(n, n->chain, &n->point);
	return n->made;
}

/* What remains of it fits no bitmap: the next run would remove it, too. */
static void undo(struct night *n, const char *folder)
{
	char chain[CHAIN_PATH_LEN];

	file_remove_tree(folder);
	if (n->full)
		rmdir(chain_path(chain, &n->store, n->chain, NULL, NULL));
}

static bool holds_all(struct night *n, const struct point *before,
		      const char *folder)
{
	unsigned int i;

	for (i = 0; i < n->c->nr; i++)
		if (!look_at_bitmap(n, i))
			return true;
	return take_images(n, folder, before, &n->point);
}

static bool make(struct night *n, const struct point *before,
		 const char *folder)
{
	bool good = prepare(n, before, folder) &&
		    night_copy(n, before, folder);

	if (good)
		return finish(n, before, folder);
	/* Where it is not certain it stays, for the next run to decide. */
	if (!holds_all(n, before, folder))
		undo(n, folder);
	return false;
}

/* Whoever removes chains lets those alone that a run reads. */
static bool make_locked(struct night *n, const struct point *before,
			const char *folder)
{
	char chain[CHAIN_PATH_LEN];
	int lock;
	bool good;

	chain_path(chain, &n->store, n->chain, NULL, NULL);
	if (repo_lock_chain(chain, &lock))
		return night_fail(n, "Busy", "chain '%s' is being removed",
				  n->chain);
	good = make(n, before, folder);
	if (lock >= 0)
		close(lock);
	return good;
}

bool night_make(struct night *n)
{
	const struct chain *c = n->full ? NULL : store_newest(&n->store);
	const struct point *before = c ? chain_last(c) : NULL;
	char folder[CHAIN_PATH_LEN];

	if (!begin_point(n, &n->point, before, n->now))
		return false;
	snprintf(n->point.why, sizeof(n->point.why), "%s", n->why);
	n->point.surprising = n->surprising;
	if (!make_folders(n, folder)) {
		rmdir(chain_path(folder, &n->store, n->chain, NULL, NULL));
		return false;
	}
	return make_locked(n, before, folder);
}

void night_free(struct night *n)
{
	store_free(&n->store);
	point_free(&n->point);
}
