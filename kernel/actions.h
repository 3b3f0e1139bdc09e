/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * actions.h - actions as the control device's callers write them.
 */
#ifndef DTR_ACTIONS_H
#define DTR_ACTIONS_H

#include "lease.h"

int dtr_actions_run(struct dtr_leases *leases, struct dtrack_action *user,
		    u32 nr, u32 *failed);

#endif
