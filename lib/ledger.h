/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ledger.h - what was written, what a flush covers, what may be reported.
 *
 *	written --dtl_ledger_cut()--> flushing --dtl_ledger_take()--> reported
 *
 * Invariant: only whole granules get to 'flushing', and only what was written
 * before the flush began.
 */
#ifndef DTL_LEDGER_H
#define DTL_LEDGER_H

#include "private.h"

/* 16 bytes each: 1 MiB a list. */
#define DTL_LEDGER_MAX	DTRACK_MAX_RANGES

/**
 * struct dtl_ledger_list - ranges, ascending and merged.
 * @range: the ranges; room for one more than DTL_LEDGER_MAX
 * @nr: number of them
 */
struct dtl_ledger_list {
	struct dtrack_range *range;
	unsigned int nr;
};

/**
 * struct dtl_ledger - the books of one copy.
 * @granularity: the unit of reports
 * @size: of the content: there the last granule ends
 * @written: not covered by a flush yet, but for what is left of a granule that
 *	is only begun
 * @flushing: covered by the flush that is under way
 * @unflushed: bytes written since the last flush began
 * @in_flush: bytes that this one covers
 */
struct dtl_ledger {
	uint64_t granularity;
	uint64_t size;
	struct dtl_ledger_list written;
	struct dtl_ledger_list flushing;
	uint64_t unflushed;
	uint64_t in_flush;
};

/** dtl_ledger_open() - begin; @granularity and @size are set. Return: 0, -ENOMEM. */
int dtl_ledger_open(struct dtl_ledger *l);

/** dtl_ledger_close() - free the lists. */
void dtl_ledger_close(struct dtl_ledger *l);

/** dtl_ledger_full() - there is no room: cut first. */
bool dtl_ledger_full(const struct dtl_ledger *l);

/**
 * dtl_ledger_add() - bytes were written.
 * @l: the ledger; not full
 * @start: the first; not before the end of what was added before
 * @end: after the last
 */
void dtl_ledger_add(struct dtl_ledger *l, uint64_t start, uint64_t end);

/** dtl_ledger_cut() - a flush begins; none is under way. */
void dtl_ledger_cut(struct dtl_ledger *l);

/**
 * dtl_ledger_take() - the flush is done.
 * @l: the ledger
 *
 * Return: what may be reported; valid until the next dtl_ledger_cut().
 */
struct dtl_ledger_list dtl_ledger_take(struct dtl_ledger *l);

#endif
