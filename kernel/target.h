/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * target.h - the device-mapper target.
 */
#ifndef DTR_TARGET_H
#define DTR_TARGET_H

int dtr_target_init(void);
void dtr_target_exit(void);

#endif
