/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * child.h - programs that the library runs.
 */
#ifndef DTL_CHILD_H
#define DTL_CHILD_H

#include <stdio.h>

#include "private.h"

/**
 * struct dtl_child_text - what a program said.
 * @err: last line of standard error, cut, without the newline
 */
struct dtl_child_text {
	char err[1024];
};

/**
 * dtl_child_run() - run a program to its end.
 * @argv: it, found by PATH, and its arguments
 * @text: result; its standard output is dropped
 *
 * It has no input, is in a process group of its own (Ctrl-C is the caller's to
 * act on) and blocks no signals.
 *
 * Return: its exit status, 128 + N when signal N ended it, or -errno when it
 * could not be run.
 */
int dtl_child_run(char *const argv[], struct dtl_child_text *text);

/**
 * dtl_child_run_into() - the same, with its standard output in a file.
 * @argv: as for dtl_child_run()
 * @out: the file
 * @text: result
 */
int dtl_child_run_into(char *const argv[], int out,
		       struct dtl_child_text *text);

/**
 * dtl_child_read() - the same, and read its standard output meanwhile.
 * @argv: as for dtl_child_run()
 * @read: to read it, to its end
 * @opaque: handed to it
 * @text: result
 *
 * Return: as dtl_child_run().
 */
int dtl_child_read(char *const argv[], void (*read)(void *opaque, FILE *out),
		   void *opaque, struct dtl_child_text *text);

/**
 * dtl_child_last_line() - the last line of a file that is short.
 * @fd: the file
 * @buf: result, "" when there is none
 * @size: of @buf
 */
void dtl_child_last_line(int fd, char *buf, size_t size);

#endif
