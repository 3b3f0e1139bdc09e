/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * le.h - little-endian numbers at any address, of what goes to disk or file.
 *
 * Context: any.
 */
#ifndef DTR_LE_H
#define DTR_LE_H

#include "port.h"

static inline void dtr_put16(void *at, u16 value)
{
	__le16 le = cpu_to_le16(value);

	memcpy(at, &le, sizeof(le));
}

static inline void dtr_put32(void *at, u32 value)
{
	__le32 le = cpu_to_le32(value);

	memcpy(at, &le, sizeof(le));
}

static inline void dtr_put64(void *at, u64 value)
{
	__le64 le = cpu_to_le64(value);

	memcpy(at, &le, sizeof(le));
}

static inline u16 dtr_get16(const void *at)
{
	__le16 le;

	memcpy(&le, at, sizeof(le));
	return le16_to_cpu(le);
}

static inline u32 dtr_get32(const void *at)
{
	__le32 le;

	memcpy(&le, at, sizeof(le));
	return le32_to_cpu(le);
}

static inline u64 dtr_get64(const void *at)
{
	__le64 le;

	memcpy(&le, at, sizeof(le));
	return le64_to_cpu(le);
}

#endif
