/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * point-state.h - what is known of a restore point, and whether it may go.
 *
 * Both are decided here, for all who ask: the run, points, status, metrics.
 *
 * A restore point depends on its own images, and of qcow2 images on those of all
 * restore points below it in its chain.  It is
 *
 *	damaged		one of these is missing, was changed or has rotted, as far as
 *			anybody has found out
 *	unproven	none is, but one was not read from the medium as it is now
 *	verified	each was, and matched its checksums
 *
 * Chains are removed as a whole, the oldest first, and only where enough remains:
 * see chain_may_go().
 */
#ifndef DTRACK_POINT_STATE_H
#define DTRACK_POINT_STATE_H

#include "chain.h"

enum point_verdict_state {
	VERDICT_DAMAGED,
	VERDICT_UNPROVEN,
	VERDICT_VERIFIED,
};

/**
 * struct point_verdict - what is known of a restore point.
 * @state: enum point_verdict_state
 * @checked: the oldest of the readings that prove it; "" unless it is verified
 * @problem: what is wrong, one line; "" unless it is damaged
 */
struct point_verdict {
	enum point_verdict_state state;
	char checked[POINT_TIME_LEN];
	char problem[POINT_WHY_LEN];
};

/**
 * point_judge() - decide what is known of a restore point.
 * @s: scanned
 * @c: its chain
 * @p: the restore point, not a partial one
 * @v: result
 */
void point_judge(const struct store *s, const struct chain *c,
		 const struct point *p, struct point_verdict *v);

/** point_state() - the same, but for the words. */
enum point_verdict_state point_state(const struct store *s,
				     const struct chain *c,
				     const struct point *p);

/** point_state_word() - "damaged", "unproven" or "verified". */
const char *point_state_word(enum point_verdict_state state);

/**
 * chain_may_go() - decide whether a chain may be removed.
 * @s: scanned
 * @job: what it says of history
 * @index: the chain
 * @why: result: what keeps it although it is old enough, or ""; POINT_WHY_LEN
 *	bytes; or NULL
 *
 * 'keep' newer chains remain that begin with a full copy which was due, is not
 * damaged and was read back.  None newer begins with a copy of another disk, unless
 * that is accepted.  And for each of its restore points a newer one of all the
 * job's devices remains, which is verified and of a consistency as good.
 */
bool chain_may_go(const struct store *s, const struct config *job,
		  unsigned int index, char *why);

/** chain_is_planned() - whether it begins with a full copy that was due. */
bool chain_is_planned(const struct chain *c);

/** chain_of_other_disk() - its full copy is, and nobody has accepted that. */
bool chain_of_other_disk(const struct chain *c);

#endif
