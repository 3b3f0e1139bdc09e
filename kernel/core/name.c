// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * name.c - what a bitmap may be called.
 *
 * Owns the one definition of a valid name; that it is not taken yet is the
 * tracker's to see to.  Context: any, pure function of its input.
 */
#include "name.h"

/* Bytes that follow lead byte @c in UTF-8; -1 if it can't lead. */
static int utf8_tail(unsigned char c)
{
	if (c < 0x80)
		return 0;
	if (c >= 0xc2 && c <= 0xdf)
		return 1;
	if (c >= 0xe0 && c <= 0xef)
		return 2;
	if (c >= 0xf0 && c <= 0xf4)
		return 3;
	return -1;
}

/* One character of @len bytes at most: its bytes, or -1 if it is not allowed. */
static int name_char(const unsigned char *s, size_t len)
{
	static const u32 lowest[] = { 0, 0xa0, 0x800, 0x10000 };
	int i, tail = utf8_tail(s[0]);
	u32 c;

	if (tail < 0 || (size_t)tail >= len)
		return -1;
	c = tail ? s[0] & (0x3f >> tail) : s[0];
	for (i = 1; i <= tail; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (s[i] & 0x3f);
	}
	/* 0xa0: the two-byte characters below it are the C1 controls */
	if (c < lowest[tail] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return -1;
	if (c <= ' ' || c == 0x7f || c == '"' || c == '\\' || c == ':' ||
	    c == '/')
		return -1;
	return tail + 1;
}

int dtr_name_check(const char *name, size_t len)
{
	const unsigned char *s = (const unsigned char *)name;

	if (!len || len > DTR_NAME_MAX)
		return -EINVAL;
	while (len) {
		int n = name_char(s, len);

		if (n < 0)
			return -EINVAL;
		s += n;
		len -= n;
	}
	return 0;
}
