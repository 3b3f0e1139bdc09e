// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * handle.c - the handle and its errors.
 *
 * Owns the life of struct dtrack and the words of the last failure.  How the
 * control file is opened is ioctl.c's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "private.h"

void dtl_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

double dtl_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- Errors ------------------------------------------------------------- */

int dtl_fail(struct dtrack *h, int err, const char *cls, const char *fmt, ...)
{
	va_list ap;

	h->err = err;
	h->cls = cls;
	va_start(ap, fmt);
	vsnprintf(h->msg, sizeof(h->msg), fmt, ap);
	va_end(ap);
	return err;
}

void dtl_error_save(const struct dtrack *h, struct dtl_error *e)
{
	e->err = h->err;
	e->cls = h->cls;
	memcpy(e->msg, h->msg, sizeof(e->msg));
}

void dtl_error_restore(struct dtrack *h, const struct dtl_error *e)
{
	h->err = e->err;
	h->cls = e->cls;
	memcpy(h->msg, e->msg, sizeof(h->msg));
}

int dtl_open_error(struct dtrack *h, const char *path)
{
	return dtl_fail(h, -errno, dtl_os_class(-errno), "Could not open '%s': %s",
			path, strerror(errno));
}

int dtl_nomem(struct dtrack *h)
{
	return dtl_fail(h, -ENOMEM, NULL, "%s", strerror(ENOMEM));
}

int dtl_share(struct dtrack *h, struct dtrack **copy)
{
	if (dtrack_new(copy))
		return dtl_nomem(h);
	(*copy)->fd = h->fd;
	(*copy)->shared = true;
	(*copy)->named = h->named;
	memcpy((*copy)->label, h->label, sizeof(h->label));
	return 0;
}

const char *dtl_label(const struct dtrack *h, struct dtrack_dev dev, char *buf,
		      size_t size)
{
	if (h->label[0] && dtl_same_dev(h->named, dev))
		return h->label;
	snprintf(buf, size, "%u:%u", dev.major, dev.minor);
	return buf;
}

int dtl_no_device(struct dtrack *h, const char *name, const char *why)
{
	return dtl_fail(h, -ENODEV, NULL,
			"Cannot find device '%s'%s%s", name, why ? ": " : "",
			why ? why : "");
}

const char *dtl_os_class(int err)
{
	switch (-err) {
	case ENODEV:
	case ESTALE:
	case EUCLEAN:
	case EEXIST:
		return DTL_CLASS_GENERIC;
	default:
		return NULL;
	}
}

const char *dtl_class(int err, const char *cls)
{
	static const struct {
		int no;
		const char *cls;
	} by_errno[] = {
		{ ENODEV, "DeviceNotFound" },	{ EEXIST, "Exists" },
		{ EBUSY, DTL_CLASS_BUSY },	{ EUCLEAN, "Inconsistent" },
		{ EROFS, "ReadOnly" },		{ ENOSPC, "NoSpace" },
		{ EDQUOT, "NoSpace" },		{ ESTALE, "Stale" },
		{ EPERM, "Permission" },	{ EACCES, "Permission" },
	};
	size_t i;

	if (cls)
		return cls;
	for (i = 0; i < DTL_ARRAY_SIZE(by_errno); i++)
		if (err == -by_errno[i].no)
			return by_errno[i].cls;
	return DTL_CLASS_GENERIC;
}

/* ---- Public ------------------------------------------------------------- */

int dtrack_new(struct dtrack **h)
{
	*h = calloc(1, sizeof(**h));
	if (!*h)
		return -ENOMEM;
	(*h)->fd = -1;
	return 0;
}

void dtrack_free(struct dtrack *h)
{
	if (!h)
		return;
	if (!h->shared)
		dtl_close(h->fd);
	free(h);
}

const char *dtrack_errmsg(const struct dtrack *h)
{
	return h->msg;
}

int dtrack_errno(const struct dtrack *h)
{
	return h->err;
}

const char *dtrack_errclass(const struct dtrack *h)
{
	return dtl_class(h->err, h->cls);
}

const char *dtrack_version(void)
{
	return DTRACK_VERSION;
}
