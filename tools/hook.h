/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hook.h - commands before and after a run.
 */
#ifndef DTRACK_HOOK_H
#define DTRACK_HOOK_H

#include <stddef.h>

/**
 * struct hook_variable - a variable of a hook's environment.
 * @name: without "DTRACK_"
 * @value: its value
 */
struct hook_variable {
	const char *name;
	const char *value;
};

/**
 * hook_run() - run a command by the shell, and wait for it.
 * @command: the command
 * @variables: ended by a NULL name
 * @why: result: how it failed, "exit status 3"
 * @size: of @why
 *
 * It has no input, its output goes to stderr, it has no files of ours, and
 * signals do to it what they do by default.  One that cancels is passed on.
 *
 * Return: 0, or -1 with @why.
 */
int hook_run(const char *command, const struct hook_variable *variables,
	     char *why, size_t size);

#endif
