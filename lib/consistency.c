// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * consistency.c - whether a copy is of one moment.
 *
 * Until images exist a run reads the device while others may write to it.  The
 * successor of the frozen bitmap has every write that was in flight at the
 * freeze or came after it.  If the successor is empty once all is read, the copy
 * is the device at the freeze.
 */
#include <string.h>

#include "run.h"
#include "users.h"

static const char *const words[] = {
	[DTRACK_CONSISTENCY_LIVE] = "live",
	[DTRACK_CONSISTENCY_IMAGE] = "instant",
	[DTRACK_CONSISTENCY_HELD] = "held",
};

const char *dtl_consistency_word(int consistency)
{
	return words[consistency];
}

int dtl_consistency_parse(const char *word)
{
	unsigned int i;

	for (i = 0; i < DTL_ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i]))
			return (int)i;
	return DTRACK_CONSISTENCY_UNKNOWN;
}

void dtl_run_look_for_users(struct dtrack_run *run)
{
	char user[DTL_USE_LEN];

	run->unused = !dtl_use_find(run->h, dtl_dev_t(run->dev), user);
}

/* The successor of a disabled bitmap does not record: then nobody knows. */
static bool is_empty(const struct dtrack_bitmap_info *info)
{
	return info->flags & DTRACK_BITMAP_RECORDING && !info->successor_count;
}

/* Return: whether nothing was written since the freeze. */
static bool is_untouched(struct dtrack_run *run)
{
	struct dtrack_bitmaps *list;
	bool untouched;

	if (!run->frozen ||
	    dtrack_bitmaps_get(run->h, run->dev, run->bitmap, &list) < 0)
		return false;
	untouched = is_empty(dtrack_bitmaps_at(list, 0));
	dtrack_bitmaps_free(list);
	return untouched;
}

static bool was_still(const struct dtrack_run *run)
{
	return run->unused || run->options.flags & (DTRACK_RUN_FSFREEZE |
						    DTRACK_RUN_FROZEN);
}

void dtl_run_settle_consistency(struct dtrack_run *run)
{
	int *result = &run->result.consistency;

	if (run->options.flags & DTRACK_RUN_HELD)
		*result = DTRACK_CONSISTENCY_HELD;
	else if (!is_untouched(run))
		*result = DTRACK_CONSISTENCY_LIVE;
	else
		*result = was_still(run) ? DTRACK_CONSISTENCY_HELD :
					   DTRACK_CONSISTENCY_IMAGE;
	run->manifest.consistency = *result;
}
