/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hold.h - the hooks 'hold' and 'release', frozen file systems, and the process
 * that keeps them.
 *
 * What was held still is released whatever becomes of us: a process of its own
 * holds it, and takes our end, however we end, for the word to release.
 */
#ifndef DTRACK_HOLD_H
#define DTRACK_HOLD_H

#include <stdbool.h>
#include <sys/types.h>

#include "config.h"
#include "dtrack.h"
#include "hook.h"

#define HOLD_WHY_LEN	512

/**
 * struct hold - what is held still.
 * @h: the handle
 * @c: the job
 * @fs: to be frozen behind 'hold', thawed before 'release'; or NULL
 * @variables: for both hooks
 * @pid: the keeper; 0: there is none
 * @fd: to it
 * @late: it was held for too long, and we were told by SIGALRM
 */
struct hold {
	struct dtrack *h;
	const struct config *c;
	struct dtrack_fs *fs;
	const struct hook_variable *variables;
	pid_t pid;
	int fd;
	bool late;
};

/**
 * hold_begin() - run the hook 'hold', if there is one, and freeze @fs.
 * @hold: all down to @variables in; they stay until hold_end()
 * @why: result: what failed, HOLD_WHY_LEN bytes
 *
 * A signal that cancels ends the hook.  hold_end() has to follow, also on errors.
 *
 * Return: 0, or -1 with @why.
 */
int hold_begin(struct hold *hold, char *why);

/**
 * hold_end() - have @fs thaw and 'release' run, and wait for it.
 * @hold: begun, or never; @late out
 * @why: result: what failed, HOLD_WHY_LEN bytes
 *
 * It may have been run already: when 'hold' failed, or after the job's limit.
 *
 * Return: 0, or -1 with @why.
 */
int hold_end(struct hold *hold, char *why);

#endif
