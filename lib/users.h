/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * users.h - who uses a block device, itself or through what is on top of it.
 */
#ifndef DTL_USERS_H
#define DTL_USERS_H

#include "mounts.h"
#include "private.h"

/* More than any stack of devices has. */
#define DTL_STACK_MAX	256

/**
 * struct dtl_stack - a block device and all that are on top of it.
 * @nr: number of @dev
 * @more: there were more than there is room for
 * @dev: the device itself first; then its partitions, loop devices over a device,
 *	and what device-mapper, md, bcache and the like make of them
 */
struct dtl_stack {
	unsigned int nr;
	bool more;
	dev_t dev[DTL_STACK_MAX];
};

/**
 * dtl_stack_find() - walk upward from a block device.
 * @s: result
 * @dev: the device
 */
void dtl_stack_find(struct dtl_stack *s, dev_t dev);

/**
 * dtl_stack_mounts() - find the file systems on a stack, in all mount namespaces.
 * @s: the stack
 * @found: told of each mount, of the process that sees it ("self" or a number)
 *	and of the device that it is on; returns false for no more
 * @opaque: handed to @found
 */
void dtl_stack_mounts(const struct dtl_stack *s,
		      bool (*found)(void *opaque, const char *pid,
				    const struct dtl_mount *m, dev_t dev),
		      void *opaque);

/**
 * enum dtl_use - how a device is used.
 * @DTL_USE_NONE: not at all, as far as can be seen
 * @DTL_USE_MOUNT: a file system is mounted
 * @DTL_USE_SWAP: as swap
 * @DTL_USE_OPEN: a process has it open for writing
 * @DTL_USE_CLAIM: somebody has claimed it
 */
enum dtl_use {
	DTL_USE_NONE,
	DTL_USE_MOUNT,
	DTL_USE_SWAP,
	DTL_USE_OPEN,
	DTL_USE_CLAIM,
};

/** Room for what dtl_use_find() says. */
#define DTL_USE_LEN	4600

/**
 * dtl_use_find() - who uses a block device, or one on top of it.
 * @h: the handle
 * @dev: the device
 * @buf: result: "mounted on /mnt", "dm-3 (data) is open for writing in process
 *	12 (qemu)"; DTL_USE_LEN bytes
 *
 * Nobody but the caller's process has to do with it when there is none.
 *
 * Return: enum dtl_use, the first of its order that there is.
 */
enum dtl_use dtl_use_find(struct dtrack *h, dev_t dev, char *buf);

/**
 * dtl_writer_find() - who may write to a device without a claim on it.
 * @h: the handle
 * @dev: the device
 * @buf: result, as of dtl_use_find()
 *
 * Processes that have it or a partition open, and loop devices over it.  Waits up
 * to a second for that to end: it may be a program that only has a look.
 */
bool dtl_writer_find(struct dtrack *h, dev_t dev, char *buf);

/**
 * dtl_use_beside() - who uses a stack beside the file systems on it.
 * @h: the handle
 * @s: the stack
 * @covered: devices of the stack whose file systems are known
 * @nr: number of them
 * @buf: result, as of dtl_use_find()
 *
 * Waits as dtl_writer_find() does.  Swap counts only when nothing is covered:
 * nobody wants it back.
 *
 * Return: enum dtl_use.
 */
enum dtl_use dtl_use_beside(struct dtrack *h, const struct dtl_stack *s,
			    const dev_t *covered, unsigned int nr, char *buf);

/**
 * dtl_mounted_on() - where a device itself is mounted, in any mount namespace.
 * @dev: the device
 * @buf: result: the place, and, when it is not in ours, whose namespace; or NULL
 * @size: of @buf
 *
 * Return: true if it is.
 */
bool dtl_mounted_on(dev_t dev, char *buf, size_t size);

#endif
