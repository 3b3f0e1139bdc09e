/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * control.h - /dev/dirtytrack.
 */
#ifndef DTR_CONTROL_H
#define DTR_CONTROL_H

int dtr_control_init(void);
void dtr_control_exit(void);

#endif
