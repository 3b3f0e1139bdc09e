/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file.h - files and folders of 'dtrack run'; small files are files.h's.
 *
 * All return 0 or a negative errno.
 */
#ifndef DTRACK_FILE_H
#define DTRACK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "files.h"

/* Of a name in a folder that is looked at, with the NUL. */
#define FILE_NAME_LEN	256

/**
 * file_each() - look at the entries of a folder.
 * @path: the folder
 * @see: called for each, but for those that begin with '.'; not 0 ends it
 * @opaque: for @see
 *
 * Return: also what @see returned.
 */
int file_each(const char *path, int (*see)(void *opaque, const char *name),
	      void *opaque);

/**
 * file_remove_tree() - remove a folder with all in it, or nothing.
 * @path: the folder; it is no error if it is not there
 *
 * Follows no links and stays on its file system.
 */
int file_remove_tree(const char *path);

/**
 * file_clone() - a copy of a file under a new name.
 * @from: the file
 * @to: does not exist
 * @cancelled: asked now and then
 *
 * Shares the data where the file system can, otherwise keeps the holes.  The
 * content is durable; on an error there may be a part.
 *
 * Return: also -ECANCELED.
 */
int file_clone(const char *from, const char *to, bool (*cancelled)(void));

#endif
