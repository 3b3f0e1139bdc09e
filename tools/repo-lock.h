/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * repo-lock.h - who reads a chain of a repository, and whether it may go.
 *
 * The lock is flock() on the chain's directory, which needs no file of its own
 * and works on read-only media.  Where there are no locks readers go on, and
 * nothing is removed.
 */
#ifndef DTRACK_REPO_LOCK_H
#define DTRACK_REPO_LOCK_H

#include <stddef.h>

#define REPO_LOCK_WHY_LEN	1024

/**
 * repo_lock_shared() - keep a chain from being removed while an image is read.
 * @target: PATH, qcow2:PATH or raw:PATH of an image; anything else is of no
 *	repository
 * @lock: result, a file descriptor; close it when the image is no longer read;
 *	-1: nothing to hold, or it cannot be held
 *
 * Return: 0, or -EBUSY: the chain is being removed.
 */
int repo_lock_shared(const char *target, int *lock);

/** repo_lock_chain() - the same, by the directory of the chain. */
int repo_lock_chain(const char *chain, int *lock);

/**
 * repo_lock_for_removal() - make sure that nobody reads a chain or a point.
 * @path: its directory; a chain's, or a point's in it
 * @chain: directory of the chain
 * @why: result: who reads it, or why there is no lock
 * @size: of @why
 *
 * Does not wait.  Readers have the shared lock, or, as qemu-nbd does, have a
 * file of it open.
 *
 * Return: a file descriptor, to be closed when it is removed; or a negative
 * errno with @why.
 */
int repo_lock_for_removal(const char *path, const char *chain, char *why,
			  size_t size);

#endif
