/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * files.h - small files: read as a whole, written durably, whole or not at all.
 *
 * The command is built with this, too: it is none of the library's interface.
 * All return 0 or a negative errno.
 */
#ifndef DTL_FILES_H
#define DTL_FILES_H

#include <stddef.h>
#include <sys/types.h>

/**
 * dtl_file_read() - the whole of a regular file.
 * @path: the file
 * @max: it may have so many bytes; more is -EFBIG
 * @text: result, with a NUL behind it; free() it.  NULL on errors
 * @len: result, without the NUL
 */
int dtl_file_read(const char *path, size_t max, char **text, size_t *len);

/**
 * dtl_file_replace() - write a file, durably, whole or not at all.
 * @path: the file; with '.new' behind it, its name while it is written
 * @text: its content
 * @mode: who may read it, less the umask
 */
int dtl_file_replace(const char *path, const char *text, mode_t mode);

/** dtl_sync_folder() - make the entries of a folder durable. */
int dtl_sync_folder(const char *path);

/** dtl_sync_dir() - make the entry of a file in its folder durable. */
int dtl_sync_dir(const char *path);

#endif
