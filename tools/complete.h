/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * complete.h - what may come next on a command line, for the shell.
 */
#ifndef DTRACK_COMPLETE_H
#define DTRACK_COMPLETE_H

#include "option.h"

/**
 * complete() - print what the last word may become, one a line.
 * @verbs: all verbs, ended by NULL
 * @argc: number of words
 * @argv: them, without the command's name; the last is what is being typed,
 *	"" when nothing is yet
 *
 * Words of the verbs, options, what options take, tracked devices and their
 * bitmaps.  Nothing where a file is meant.  Neither loads the module nor says
 * what is wrong.
 *
 * Return: EXIT_DONE.
 */
int complete(const struct verb *const *verbs, int argc, char **argv);

#endif
