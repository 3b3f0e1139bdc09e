/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * direct.h - what direct I/O on a file asks for.
 */
#ifndef DTL_DIRECT_H
#define DTL_DIRECT_H

#include <stdbool.h>

/** dtl_direct_unit() - what offsets of direct I/O on a file are multiples of. */
unsigned int dtl_direct_unit(int fd);

/** dtl_in_memory() - whether I/O on a file is but a copy from or to memory. */
bool dtl_in_memory(int fd);

#endif
