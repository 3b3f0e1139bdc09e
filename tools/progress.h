/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * progress.h - how far a backup is, on stderr.
 */
#ifndef DTRACK_PROGRESS_H
#define DTRACK_PROGRESS_H

#include "option.h"

/**
 * struct progress - the bar.
 * @call: whose
 * @prefix: of what it says, or NULL
 * @on: it is shown
 * @terminal: it is redrawn in place; otherwise a line now and then
 * @json: each line is an object
 * @drawn: there is one on the screen
 * @began: when
 * @last: when it was shown last
 * @last_done: bytes that were done then
 * @rate: bytes a second of late
 */
struct progress {
	const struct call *call;
	const char *prefix;
	bool on;
	bool terminal;
	bool json;
	bool drawn;
	double began;
	double last;
	uint64_t last_done;
	double rate;
};

/* What --progress takes. */
extern const struct word progress_words[];

/**
 * progress_begin() - begin to show, if stderr is a terminal.
 * @p: @call is set; its --progress says how
 * @always: also when it is none
 */
void progress_begin(struct progress *p, bool always);

/** progress_notify() - for struct dtrack_run_options; @opaque is the bar. */
void progress_notify(void *opaque, enum dtrack_run_event event, uint64_t done,
		     uint64_t total, const char *message);

/** progress_end() - wipe the bar. */
void progress_end(struct progress *p);

#endif
