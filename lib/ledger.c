// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ledger.c - what was written, what a flush covers, what may be reported.
 */
#include <stdlib.h>

#include "ledger.h"

int dtl_ledger_open(struct dtl_ledger *l)
{
	const size_t room = DTL_LEDGER_MAX + 1;

	l->written.range = malloc(room * sizeof(*l->written.range));
	l->flushing.range = malloc(room * sizeof(*l->flushing.range));
	return l->written.range && l->flushing.range ? 0 : -ENOMEM;
}

void dtl_ledger_close(struct dtl_ledger *l)
{
	free(l->written.range);
	free(l->flushing.range);
	l->written.range = NULL;
	l->flushing.range = NULL;
}

bool dtl_ledger_full(const struct dtl_ledger *l)
{
	return l->written.nr >= DTL_LEDGER_MAX;
}

void dtl_ledger_add(struct dtl_ledger *l, uint64_t start, uint64_t end)
{
	struct dtl_ledger_list *w = &l->written;
	struct dtrack_range *last = w->nr ? &w->range[w->nr - 1] : NULL;

	if (start == end)
		return;
	l->unflushed += end - start;
	if (last && last->start + last->length == start)
		last->length += end - start;
	else
		w->range[w->nr++] = (struct dtrack_range){ start, end - start };
}

/* The last granule may be only begun: its bytes stay for the next flush. */
static struct dtrack_range cut_partial(struct dtl_ledger *l)
{
	struct dtl_ledger_list *w = &l->written;
	struct dtrack_range *last = &w->range[w->nr - 1];
	struct dtrack_range rest = { 0 };
	uint64_t end = last->start + last->length;

	if (end == l->size || !(end & (l->granularity - 1)))
		return rest;
	rest.start = end & ~(l->granularity - 1);
	if (rest.start < last->start)
		rest.start = last->start;
	rest.length = end - rest.start;
	last->length -= rest.length;
	if (!last->length)
		w->nr--;
	return rest;
}

void dtl_ledger_cut(struct dtl_ledger *l)
{
	struct dtl_ledger_list free_list = l->flushing;
	struct dtrack_range rest = { 0 };

	if (l->written.nr)
		rest = cut_partial(l);
	l->flushing = l->written;
	l->written = free_list;
	l->written.nr = 0;
	if (rest.length)
		l->written.range[l->written.nr++] = rest;
	l->in_flush = l->unflushed;
	l->unflushed = 0;
}

struct dtl_ledger_list dtl_ledger_take(struct dtl_ledger *l)
{
	struct dtl_ledger_list list = l->flushing;

	l->flushing.nr = 0;
	l->in_flush = 0;
	return list;
}
