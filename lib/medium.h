/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * medium.h - whether what is read of a file comes from its medium.
 *
 * What a disk has made of a file is not seen where memory answers instead.
 */
#ifndef DTL_MEDIUM_H
#define DTL_MEDIUM_H

#include <stdbool.h>

/**
 * dtl_medium_is_direct() - whether a file can be read past memory.
 * @fd: it, open to be read, of which nothing is in flight
 */
bool dtl_medium_is_direct(int fd);

/**
 * dtl_medium_refresh() - drop what memory has of a file.
 * @fd: a file or block device, open to be read
 * @direct: it is read past memory
 *
 * Return: whether reads come from the medium from now on.  Of a file system in
 * memory, memory is the medium.  What a server has in its memory nobody can tell.
 */
bool dtl_medium_refresh(int fd, bool direct);

#endif
