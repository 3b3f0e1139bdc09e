/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * private.h - what the rooms of the library share: the handle, its errors.
 *
 * Symbols that leave a file but not the library are called dtl_*.
 */
#ifndef DTL_PRIVATE_H
#define DTL_PRIVATE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

#include "dtrack.h"

#define DTL_ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* The target's name in a table. */
#define DTL_TARGET_TYPE	"dirtytrack"

/*
 * A path (4096) and a bitmap's name (1024) fit into one message; what is
 * longer is cut.
 */
#define DTL_MSG_LEN		5632

/**
 * struct dtrack - the handle.
 * @fd: the control file, -1 until it is needed
 * @shared: @fd is another handle's
 * @err: errno of the last failure, negative
 * @cls: its class, NULL when @err says it all
 * @named: the device that @label was given for
 * @label: how the user called @named, for messages
 * @msg: words of the last failure
 */
struct dtrack {
	int fd;
	bool shared;
	int err;
	const char *cls;
	struct dtrack_dev named;
	char label[256];
	char msg[DTL_MSG_LEN];
};

/* Error classes that an errno alone does not give. */
#define DTL_CLASS_GENERIC	"GenericError"
#define DTL_CLASS_NO_BITMAP	"BitmapNotFound"
#define DTL_CLASS_USAGE		"Usage"
#define DTL_CLASS_BUSY		"Busy"

/**
 * dtl_fail() - note an error.
 * @h: the handle
 * @err: negative errno
 * @cls: class, a constant, or NULL: by @err
 * @fmt: the words
 *
 * Return: @err.
 */
int dtl_fail(struct dtrack *h, int err, const char *cls, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * struct dtl_error - an error set aside while something else is called.
 * @err: as in struct dtrack
 * @cls: as in struct dtrack
 * @msg: as in struct dtrack
 */
struct dtl_error {
	int err;
	const char *cls;
	char msg[DTL_MSG_LEN];
};

void dtl_error_save(const struct dtrack *h, struct dtl_error *e);
void dtl_error_restore(struct dtrack *h, const struct dtl_error *e);

/**
 * dtl_os_class() - class of an errno that is about a file, not a bitmap.
 * @err: negative errno
 *
 * There ESTALE is NFS's, EUCLEAN a file system's and ENODEV a driver's.
 */
const char *dtl_os_class(int err);

/** dtl_class() - the class of an error: @cls, or by @err. Return: a constant. */
const char *dtl_class(int err, const char *cls);

/** dtl_open_error() - note that a file does not open. Return: -errno. */
int dtl_open_error(struct dtrack *h, const char *path);

/** dtl_nomem() - note that memory is missing. Return: -ENOMEM. */
int dtl_nomem(struct dtrack *h);

/**
 * dtl_ioctl() - the one place that talks to the kernel module.
 * @h: the handle; the control file is opened
 * @cmd: DTRACK_IOC_*
 * @arg: its struct
 *
 * Return: 0 or -errno; words only when the control file cannot be opened
 * (then @h->err is the same value and -ENOTCONN is returned).
 */
int dtl_ioctl(struct dtrack *h, unsigned long cmd, void *arg);

/**
 * dtl_share() - another handle on the same control file, for a thread.
 * @h: the handle; it is open and must outlive @copy
 * @copy: result; dtrack_free() it
 *
 * The number of the file is shared and not duplicated: the kernel reclaims what
 * a process has frozen when it closes any duplicate.
 *
 * Return: 0 or -ENOMEM with words on @h.
 */
int dtl_share(struct dtrack *h, struct dtrack **copy);

/**
 * dtl_module_load() - load dm-dirtytrack.
 * @h: the handle
 *
 * Return: 0 or a negative errno with words.
 */
int dtl_module_load(struct dtrack *h);

/**
 * dtl_dev_number() - the device that a name means, tracked or not.
 * @h: the handle; the control file is opened
 * @name: as for dtrack_dev_find()
 * @dev: result
 *
 * Messages about @dev call it @name from then on.
 *
 * Return: 0; -ENODEV when there is no such block device; or an errno, with
 * words.
 */
int dtl_dev_number(struct dtrack *h, const char *name, struct dtrack_dev *dev);

/**
 * dtl_label() - how to call a device in a message.
 * @h: the handle
 * @dev: the device
 * @buf: room for a name that the user did not give
 * @size: of @buf
 */
const char *dtl_label(const struct dtrack *h, struct dtrack_dev dev, char *buf,
		      size_t size);

/**
 * dtl_dev_node() - find any block device, tracked or not.
 * @h: the handle
 * @name: a path if it contains '/', else a dm name
 * @dev: result
 * @path: result: its node
 * @size: of @path
 *
 * Return: 0; -ENODEV and others with words.
 */
int dtl_dev_node(struct dtrack *h, const char *name, struct dtrack_dev *dev,
		 char *path, size_t size);

/** dtl_no_device() - note that a device is not there. Return: -ENODEV. */
int dtl_no_device(struct dtrack *h, const char *name, const char *why);

/**
 * dtl_name_copy() - put a bitmap's name into an ioctl's struct.
 * @h: the handle
 * @dst: DTRACK_NAME_LEN bytes
 * @name: the name
 *
 * Return: 0; -ENOENT for a name that no bitmap can have.
 */
int dtl_name_copy(struct dtrack *h, __u8 *dst, const char *name);

/**
 * dtl_new_name_copy() - the same for a bitmap to be added.
 *
 * Return: 0; -EINVAL, in QEMU's words.
 */
int dtl_new_name_copy(struct dtrack *h, __u8 *dst, const char *name);

/**
 * dtl_bitmap_error() - find words for what the kernel said about a bitmap.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 * @err: negative errno of the ioctl
 *
 * Return: @err, or what dtl_ioctl() had noted already.
 */
int dtl_bitmap_error(struct dtrack *h, struct dtrack_dev dev, const char *name,
		     int err);

struct dtl_forecast;

/**
 * dtl_add_error() - words for why a bitmap could not be added.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 * @granularity: as given
 * @err: negative errno of the ioctl
 *
 * Return: @err, or what dtl_ioctl() had noted already.
 */
int dtl_add_error(struct dtrack *h, struct dtrack_dev dev, const char *name,
		  uint64_t granularity, int err);

/**
 * dtl_merge_error() - words for why bitmaps could not be merged.
 * @h: the handle
 * @io: what was asked
 * @f: what earlier actions of the same transaction do, or NULL
 * @err: negative errno of the ioctl
 *
 * Return: @err, or what dtl_ioctl() or a look at the bitmaps noted.
 */
int dtl_merge_error(struct dtrack *h, const struct dtrack_ioc_merge *io,
		    const struct dtl_forecast *f, int err);

/** dtl_too_many_sources() - note that a merge has. Return: -EINVAL. */
int dtl_too_many_sources(struct dtrack *h);

/**
 * dtl_end_error() - words for why a freeze could not be ended.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 * @abdicate: it should be, by abdicating
 * @err: negative errno of the ioctl
 *
 * Return: @err, or what dtl_ioctl() had noted already.
 */
int dtl_end_error(struct dtrack *h, struct dtrack_dev dev, const char *name,
		  bool abdicate, int err);

/* ---- Small things ------------------------------------------------------- */

static inline dev_t dtl_dev_t(struct dtrack_dev dev)
{
	return makedev(dev.major, dev.minor);
}

static inline bool dtl_same_dev(struct dtrack_dev a, struct dtrack_dev b)
{
	return a.major == b.major && a.minor == b.minor;
}

/** dtl_close() - close a file if it is open; errno stays. */
void dtl_close(int fd);

/** dtl_now() - seconds of the monotonic clock. */
double dtl_now(void);

#endif
