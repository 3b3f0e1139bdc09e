/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mounts.h - what is mounted, in this mount namespace and in the others.
 */
#ifndef DTL_MOUNTS_H
#define DTL_MOUNTS_H

#include <dirent.h>
#include <stdio.h>

#include "private.h"

/**
 * struct dtl_mount - a line of a mountinfo file.
 * @id: of the mount
 * @dev: of the file system; major 0 where it is no block device's
 * @point: where it is mounted, unescaped
 * @type: of the file system
 * @source: what was mounted, unescaped
 * @options: of the file system; see dtl_mount_option()
 */
struct dtl_mount {
	int id;
	dev_t dev;
	char *point;
	char *type;
	char *source;
	char *options;
};

/**
 * struct dtl_mounts - a walk over the mounts of one process.
 * @file: the table
 * @line: the present line, torn into @mount
 * @room: of @line
 * @mount: the present mount
 */
struct dtl_mounts {
	FILE *file;
	char *line;
	size_t room;
	struct dtl_mount mount;
};

/**
 * dtl_mounts_open() - begin a walk.
 * @m: the walk
 * @pid: whose mounts: a number or "self"
 */
bool dtl_mounts_open(struct dtl_mounts *m, const char *pid);
bool dtl_mounts_next(struct dtl_mounts *m);
void dtl_mounts_close(struct dtl_mounts *m);

/**
 * dtl_unescape() - undo the kernel's \ooo for blanks and the like, in place.
 * @s: a field of a file in /proc
 */
void dtl_unescape(char *s);

/**
 * dtl_mount_option() - the value of an option of a file system.
 * @m: the mount
 * @key: of the option, without '='
 *
 * Return: the value, unescaped, to be free()d; NULL when it is not there.
 */
char *dtl_mount_option(const struct dtl_mount *m, const char *key);

/**
 * struct dtl_spaces - a walk over processes that see different mounts.
 * @proc: /proc
 * @pid: the present process, "self" first
 * @nr: number of @seen
 * @seen: mount namespace and root directory of each that there was
 */
struct dtl_spaces {
	DIR *proc;
	const char *pid;
	unsigned int nr;
	struct dtl_space {
		uint64_t space;
		dev_t root_dev;
		uint64_t root;
	} *seen;
};

/*
 * One process for each mount namespace and root directory.  A namespace that has
 * no process is not seen.
 */
void dtl_spaces_open(struct dtl_spaces *s);
bool dtl_spaces_next(struct dtl_spaces *s);
void dtl_spaces_close(struct dtl_spaces *s);

/**
 * dtl_mount_path() - the path by which this process gets to a mount.
 * @pid: that sees it, or "self"
 * @point: where it sees it
 * @buf: result
 * @size: of @buf
 */
void dtl_mount_path(const char *pid, const char *point, char *buf,
		    size_t size);

/**
 * dtl_mount_name() - how to call the place of a mount.
 * @pid: a process that sees it, or "self"
 * @point: where that sees it
 * @buf: result: "/mnt", "/mnt in the mount namespace of process 12 (sh)"
 * @size: of @buf
 */
void dtl_mount_name(const char *pid, const char *point, char *buf,
		    size_t size);

/**
 * dtl_mount_open() - open a file or directory of a mounted file system.
 * @pid: a process that sees the mount, or "self"
 * @m: the mount
 *
 * Never what is mounted over it: that is another file system.
 *
 * Return: a file, to be closed; -EXDEV when something else is mounted over it,
 * or its process has gone; or another errno.
 */
int dtl_mount_open(const char *pid, const struct dtl_mount *m);

#endif
