/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hook.h - commands of a job: before and after it, and around the copy.
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
 * It has no input, its output goes to stderr, it has no files of ours, a process
 * group of its own, and signals do to it what they do by default.  One that
 * cancels is passed on to the group.
 *
 * Return: 0, or -1 with @why.
 */
int hook_run(const char *command, const struct hook_variable *variables,
	     char *why, size_t size);

/**
 * hook_run_limited() - the same, but it has to end.
 * @command: the command
 * @variables: ended by a NULL name
 * @seconds: that it may take; then it is ended by SIGTERM, and SIGKILL
 * @fd: so it is when this has anything to read or is closed; or -1
 * @why: result: how it failed
 * @size: of @why
 *
 * Return: 0, or -1 with @why.
 */
int hook_run_limited(const char *command, const struct hook_variable *variables,
		     unsigned int seconds, int fd, char *why, size_t size);

#endif
