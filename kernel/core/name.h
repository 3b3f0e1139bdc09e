/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * name.h - what a bitmap may be called.
 *
 * Names appear in status lines, table lines, messages and file names, so that
 * what separates or quotes words there is not allowed in them.
 */
#ifndef DTR_NAME_H
#define DTR_NAME_H

#include "port.h"

#define DTR_NAME_MAX	1023	/* bytes, without the NUL */

/**
 * dtr_name_check() - whether a string may be the name of a bitmap.
 * @name: @len bytes, no NUL needed
 * @len: bytes
 *
 * A name is 1..1023 bytes of well-formed UTF-8 (RFC 3629: shortest forms, no
 * surrogates, up to U+10FFFF) without control characters (C0, DEL, C1), blank,
 * '"', '\', ':' and '/'.
 *
 * Context: any.
 * Return: 0 or -EINVAL.
 */
int dtr_name_check(const char *name, size_t len);

#endif
