/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file.h - files and folders of 'dtrack run': whole, durable, or not at all.
 *
 * All return 0 or a negative errno.
 */
#ifndef DTRACK_FILE_H
#define DTRACK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a name in a folder that is looked at, with the NUL. */
#define FILE_NAME_LEN	256

/**
 * file_read() - the whole of a regular file.
 * @path: the file
 * @max: it may have so many bytes; more is -EFBIG
 * @text: result; free() it
 * @len: result
 */
int file_read(const char *path, size_t max, char **text, size_t *len);

/**
 * file_replace() - write a file, durably, whole or not at all.
 * @path: the file; with '.new' behind it, its name while it is written
 * @text: its content
 */
int file_replace(const char *path, const char *text);

/** file_sync_dir() - make the entries of a folder durable. */
int file_sync_dir(const char *path);

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
