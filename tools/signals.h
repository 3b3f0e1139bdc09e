/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * signals.h - SIGINT, SIGTERM and SIGHUP cancel what runs, SIGUSR1 lets it go on.
 */
#ifndef DTRACK_SIGNALS_H
#define DTRACK_SIGNALS_H

#include <stdbool.h>

/**
 * struct signal_ops - what signals do; called from a handler.
 * @cancel: end in order
 * @resume: try again
 */
struct signal_ops {
	void (*cancel)(void *running);
	void (*resume)(void *running);
};

/** transaction_signals - what they do to a struct dtrack_transaction. */
extern const struct signal_ops transaction_signals;

/**
 * signals_catch() - from here on a signal does not end the process, nor does a
 * line that nobody reads.
 *
 * One more SIGINT or SIGTERM, a second or more after the first, does: the kernel
 * takes freezes back.
 */
void signals_catch(void);

/**
 * signals_give() - from here on signals go to what runs.
 * @ops: to it
 * @running: handed to @ops
 *
 * A cancel that came before reaches it now.
 */
void signals_give(const struct signal_ops *ops, void *running);

/** signals_take() - what ran has ended, but something else may come. */
void signals_take(void);

/** signals_expect_alarm() - from here on SIGALRM cancels what runs, or runs next. */
void signals_expect_alarm(void);

/** signals_end_alarm() - from here on it does nothing; one that came is over. */
void signals_end_alarm(void);

/** signals_cancelled() - whether there was a signal that cancels. */
bool signals_cancelled(void);

/** signals_ignore() - it has ended: what comes now is too late. */
void signals_ignore(void);

#endif
