// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * bitmap.c - bitmaps: one call for each thing the kernel does with them.
 *
 * The kernel judges; this file finds the words for its errnos, QEMU's where it
 * has them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forecast.h"

/**
 * struct dtrack_bitmaps - what DTRACK_IOC_INFO gave.
 * @nr: number of entries
 * @info: the entries
 */
struct dtrack_bitmaps {
	unsigned int nr;
	struct dtrack_bitmap_info info[];
};

/* ---- Words -------------------------------------------------------------- */

int dtl_bitmap_error(struct dtrack *h, struct dtrack_dev dev, const char *name,
		     int err)
{
	char buf[32];
	const char *label = dtl_label(h, dev, buf, sizeof(buf));

	switch (-err) {
	case ENOTCONN:
		return h->err;
	case ENODEV:
		return dtl_no_device(h, label, "it is not tracked");
	case ENOENT:
		return dtl_fail(h, err, DTL_CLASS_NO_BITMAP,
				"Dirty bitmap '%s' not found", name);
	case EEXIST:
		return dtl_fail(h, err, NULL, "Bitmap already exists: %s", name);
	case EBUSY:
		return dtl_fail(h, err, NULL,
				"Bitmap '%s' is currently in use by another operation and cannot be used",
				name);
	case EROFS:
		return dtl_fail(h, err, NULL,
				"Bitmap '%s' is readonly and cannot be modified",
				name);
	case EUCLEAN:
		return dtl_fail(h, err, NULL,
				"Bitmap '%s' is inconsistent and cannot be used",
				name);
	case ESTALE:
		return dtl_fail(h, err, NULL,
				"The freeze of bitmap '%s' was taken away", name);
	case EPERM:
	case EACCES:
		return dtl_fail(h, err, NULL, "%s: CAP_SYS_ADMIN is needed",
				strerror(-err));
	default:
		return dtl_fail(h, err, NULL, "Bitmap '%s': %s", name,
				strerror(-err));
	}
}

int dtl_name_copy(struct dtrack *h, __u8 *dst, const char *name)
{
	size_t len = strlen(name);

	/* The empty name means 'all' to DTRACK_IOC_INFO. */
	if (!len || len >= DTRACK_NAME_LEN)
		return dtl_fail(h, -ENOENT, DTL_CLASS_NO_BITMAP,
				"Dirty bitmap '%s' not found", name);
	memset(dst, 0, DTRACK_NAME_LEN);
	memcpy(dst, name, len);
	return 0;
}

int dtl_new_name_copy(struct dtrack *h, __u8 *dst, const char *name)
{
	if (!*name)
		return dtl_fail(h, -EINVAL, NULL, "Bitmap name cannot be empty");
	if (strlen(name) >= DTRACK_NAME_LEN)
		return dtl_fail(h, -EINVAL, NULL, "Bitmap name too long: %s",
				name);
	return dtl_name_copy(h, dst, name);
}

/* ---- Looking ------------------------------------------------------------ */

int dtrack_bitmaps_get(struct dtrack *h, struct dtrack_dev dev,
		       const char *name, struct dtrack_bitmaps **list)
{
	struct dtrack_ioc_info io = {
		.size = sizeof(io),
		.dev = dev,
		.nr = name ? 1 : 16,
		.entry_size = sizeof(struct dtrack_bitmap_info),
	};
	struct dtrack_bitmaps *l = NULL, *more;
	unsigned int room;
	int ret;

	if (name) {
		ret = dtl_name_copy(h, io.name, name);
		if (ret)
			return ret;
	}
	do {
		room = io.nr;
		more = realloc(l, sizeof(*l) + room * sizeof(l->info[0]));
		if (!more) {
			free(l);
			return dtl_nomem(h);
		}
		l = more;
		io.infos = (uintptr_t)l->info;
		ret = dtl_ioctl(h, DTRACK_IOC_INFO, &io);
	} while (ret == -EMSGSIZE && io.nr > room);
	if (!ret && name && io.nr != 1)
		ret = -ENOENT;
	if (ret) {
		free(l);
		return dtl_bitmap_error(h, dev, name ? name : "", ret);
	}
	l->nr = io.nr;
	*list = l;
	return (int)io.nr;
}

const struct dtrack_bitmap_info *
dtrack_bitmaps_at(const struct dtrack_bitmaps *list, unsigned int i)
{
	return i < list->nr ? &list->info[i] : NULL;
}

void dtrack_bitmaps_free(struct dtrack_bitmaps *list)
{
	free(list);
}

void dtrack_uuid_format(const uint8_t uuid[DTRACK_UUID_LEN],
			char text[DTRACK_UUID_TEXT])
{
	unsigned int i;
	char *p = text;

	for (i = 0; i < DTRACK_UUID_LEN; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		p += sprintf(p, "%02x", uuid[i]);
	}
}

/* ---- Changing ----------------------------------------------------------- */

int dtl_add_error(struct dtrack *h, struct dtrack_dev dev, const char *name,
		  uint64_t granularity, int err)
{
	char buf[32];

	if (err == -EOVERFLOW)
		return dtl_fail(h, err, NULL,
				"A device has at most %d bitmaps, and for them the memory that the parameter max_memory_mb of the module dm_dirtytrack allows",
				DTRACK_MAX_BITMAPS);
	if (err == -EOPNOTSUPP)
		return dtl_fail(h, err, NULL,
				"Can't store persistent bitmaps to %s: Operation not supported",
				dtl_label(h, dev, buf, sizeof(buf)));
	if (err != -EINVAL)
		return dtl_bitmap_error(h, dev, name, err);
	/* Which of its fields is malformed? */
	if (granularity > UINT32_MAX)
		return dtl_fail(h, err, NULL,
				"Parameter 'granularity' expects uint32_t");
	if (granularity && (granularity < DTRACK_MIN_GRANULARITY ||
			    granularity & (granularity - 1)))
		return dtl_fail(h, err, NULL,
				"Granularity must be power of 2 and at least 512");
	return dtl_fail(h, err, NULL,
			"Bitmap name '%s' must be UTF-8 without control characters, blanks and any of \" \\ : /",
			name);
}

int dtrack_bitmap_add(struct dtrack *h, struct dtrack_dev dev,
		      const char *name, uint64_t granularity,
		      unsigned int flags)
{
	struct dtrack_ioc_add io = {
		.size = sizeof(io),
		.flags = flags,
		.dev = dev,
		.granularity = granularity,
	};
	int ret;

	ret = dtl_new_name_copy(h, io.name, name);
	if (ret)
		return ret;
	ret = dtl_ioctl(h, DTRACK_IOC_ADD, &io);
	return ret ? dtl_add_error(h, dev, name, granularity, ret) : 0;
}

static int simple(struct dtrack *h, unsigned long cmd, struct dtrack_dev dev,
		  const char *name)
{
	struct dtrack_ioc_bitmap io = { .size = sizeof(io), .dev = dev };
	int ret = dtl_name_copy(h, io.name, name);

	if (ret)
		return ret;
	ret = dtl_ioctl(h, cmd, &io);
	return ret ? dtl_bitmap_error(h, dev, name, ret) : 0;
}

int dtrack_bitmap_remove(struct dtrack *h, struct dtrack_dev dev,
			 const char *name)
{
	return simple(h, DTRACK_IOC_REMOVE, dev, name);
}

int dtrack_bitmap_clear(struct dtrack *h, struct dtrack_dev dev,
			const char *name)
{
	return simple(h, DTRACK_IOC_CLEAR, dev, name);
}

int dtrack_bitmap_enable(struct dtrack *h, struct dtrack_dev dev,
			 const char *name)
{
	return simple(h, DTRACK_IOC_ENABLE, dev, name);
}

int dtrack_bitmap_disable(struct dtrack *h, struct dtrack_dev dev,
			  const char *name)
{
	return simple(h, DTRACK_IOC_DISABLE, dev, name);
}

/* ---- Merging ------------------------------------------------------------ */

int dtrack_source_init(struct dtrack *h, struct dtrack_source *source,
		       struct dtrack_dev dev, const char *name)
{
	source->dev = dev;
	return dtl_name_copy(h, source->name, name);
}

static bool peek(struct dtrack *h, const struct dtl_forecast *f,
		 struct dtrack_dev dev, const char *name,
		 struct dtrack_bitmap_info *info)
{
	const struct dtl_outlook *o = f ? dtl_forecast_find(f, dev, name) : NULL;
	struct dtrack_bitmaps *list;

	if (o) {
		*info = o->info;
		return true;
	}
	if (dtrack_bitmaps_get(h, dev, name, &list) < 0)
		return false;
	*info = list->info[0];
	dtrack_bitmaps_free(list);
	return true;
}

static bool has_state(const struct dtrack_bitmap_info *info, int err)
{
	unsigned int flag = err == -EBUSY   ? DTRACK_BITMAP_BUSY :
			    err == -EROFS   ? DTRACK_BITMAP_READONLY :
			    err == -EUCLEAN ? DTRACK_BITMAP_INCONSISTENT :
					      0;

	return info->flags & flag;
}

/*
 * The kernel says what is wrong but not with which of the bitmaps: look for the
 * first that shows it, the target before the sources.
 */
int dtl_merge_error(struct dtrack *h, const struct dtrack_ioc_merge *io,
		    const struct dtl_forecast *f, int err)
{
	const struct dtrack_source *sources = (void *)(uintptr_t)io->sources;
	struct dtrack_bitmap_info target, source;
	const char *name = (const char *)io->name;
	unsigned int i;

	if (err == -ENOTCONN)
		return h->err;
	if (!peek(h, f, io->dev, name, &target))
		return h->err;
	if (has_state(&target, err))
		return dtl_bitmap_error(h, io->dev, name, err);
	for (i = 0; i < io->nr; i++) {
		const char *s = (const char *)sources[i].name;

		if (!peek(h, f, sources[i].dev, s, &source))
			return h->err;
		if (has_state(&source, err))
			return dtl_bitmap_error(h, sources[i].dev, s, err);
		if (err == -ERANGE && source.device_size != target.device_size)
			return dtl_fail(h, err, NULL,
					"Bitmaps are of different sizes (destination size is %llu, source size is %llu) and can't be merged",
					(unsigned long long)target.device_size,
					(unsigned long long)source.device_size);
	}
	return dtl_bitmap_error(h, io->dev, name, err);
}

int dtl_too_many_sources(struct dtrack *h)
{
	return dtl_fail(h, -EINVAL, NULL,
			"More than %u sources cannot be merged at once",
			DTRACK_MAX_BITMAPS);
}

int dtrack_bitmap_merge(struct dtrack *h, struct dtrack_dev dev,
			const char *name, const struct dtrack_source *sources,
			unsigned int nr)
{
	struct dtrack_ioc_merge io = {
		.size = sizeof(io),
		.dev = dev,
		.nr = nr,
		.sources = (uintptr_t)sources,
	};
	int ret = dtl_name_copy(h, io.name, name);

	if (ret)
		return ret;
	if (nr > DTRACK_MAX_BITMAPS)
		return dtl_too_many_sources(h);
	ret = dtl_ioctl(h, DTRACK_IOC_MERGE, &io);
	return ret ? dtl_merge_error(h, &io, NULL, ret) : 0;
}

/* ---- Freezing ----------------------------------------------------------- */

int dtrack_bitmap_freeze(struct dtrack *h, struct dtrack_dev dev,
			 const char *name, struct dtrack_freeze *f)
{
	struct dtrack_ioc_freeze io = {
		.size = sizeof(io),
		.flags = f->flags,
		.dev = dev,
		.mode = f->mode,
		.set = f->set,
	};
	int ret = dtl_name_copy(h, io.name, name);

	if (ret)
		return ret;
	ret = dtl_ioctl(h, DTRACK_IOC_FREEZE, &io);
	if (ret)
		return dtl_bitmap_error(h, dev, name, ret);
	f->run = io.out_run;
	f->generation = io.out_generation;
	return 0;
}

int dtl_end_error(struct dtrack *h, struct dtrack_dev dev, const char *name,
		  bool abdicate, int err)
{
	if (err == -ENODATA)
		return dtl_fail(h, err, NULL, "%s",
				abdicate ?
				"Cannot relinquish control if there's no successor present" :
				"Cannot reclaim a successor when none is present");
	return dtl_bitmap_error(h, dev, name, err);
}

static int end(struct dtrack *h, unsigned long cmd, struct dtrack_dev dev,
	       const char *name, uint64_t run, unsigned int flags,
	       uint64_t *generation)
{
	struct dtrack_ioc_end io = {
		.size = sizeof(io),
		.flags = flags,
		.dev = dev,
		.run = run,
	};
	int ret = dtl_name_copy(h, io.name, name);

	if (ret)
		return ret;
	ret = dtl_ioctl(h, cmd, &io);
	if (ret)
		return dtl_end_error(h, dev, name, cmd == DTRACK_IOC_ABDICATE,
				     ret);
	if (generation)
		*generation = io.out_generation;
	return 0;
}

int dtrack_bitmap_abdicate(struct dtrack *h, struct dtrack_dev dev,
			   const char *name, uint64_t run,
			   uint64_t *generation)
{
	return end(h, DTRACK_IOC_ABDICATE, dev, name, run, 0, generation);
}

int dtrack_bitmap_reclaim(struct dtrack *h, struct dtrack_dev dev,
			  const char *name, uint64_t run, unsigned int flags,
			  uint64_t *generation)
{
	return end(h, DTRACK_IOC_RECLAIM, dev, name, run, flags, generation);
}

int dtrack_bitmap_report(struct dtrack *h, struct dtrack_dev dev,
			 const char *name, uint64_t run,
			 const struct dtrack_range *ranges, unsigned int nr)
{
	struct dtrack_ioc_report io = {
		.size = sizeof(io),
		.dev = dev,
		.run = run,
		.nr = nr,
		.ranges = (uintptr_t)ranges,
	};
	int ret = dtl_name_copy(h, io.name, name);

	if (ret)
		return ret;
	ret = dtl_ioctl(h, DTRACK_IOC_REPORT, &io);
	return ret ? dtl_bitmap_error(h, dev, name, ret) : 0;
}
