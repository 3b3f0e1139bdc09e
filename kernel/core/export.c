// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * export.c - the header of a bitmap in a file: encode, validate, decode.
 *
 * Owns every byte of the header, see export.h; the chunks behind it are
 * format.c's, reading and writing them is for its callers.
 *
 * Context: any.
 */
#include "export.h"
#include "le.h"

#define KNOWN_FLAGS	(DTR_EXPORT_RECORDING | DTR_EXPORT_AT_LEAST)
/* Up to and with 'header': what has to be there before the rest is looked for. */
#define LEAD_BYTES	16

static u64 export_checksum(const u8 *buf, u32 len)
{
	u8 fixed[DTR_EXPORT_FIXED_BYTES];

	memcpy(fixed, buf, sizeof(fixed));
	dtr_put64(fixed + 88, 0);
	return dtr_port_hash(buf + sizeof(fixed), len - sizeof(fixed),
			     dtr_port_hash(fixed, sizeof(fixed), 0));
}

/**
 * dtr_export_encode() - write a header.
 * @head: what it shall say; valid
 * @buf: where to; any alignment
 * @len: bytes of @buf; DTR_EXPORT_MAX_BYTES suffice
 *
 * The bytes of a header depend on the name alone: one that is to be written
 * again when length, count and hash are known has its place.
 *
 * Return: bytes written; 0 if @len is too small.
 */
size_t dtr_export_encode(const struct dtr_export *head, void *buf, size_t len)
{
	size_t name_len = strlen(head->name);
	size_t bytes = DTR_EXPORT_FIXED_BYTES + name_len;
	u8 *at = buf;

	if (len < bytes)
		return 0;
	memcpy(at, DTR_EXPORT_MAGIC, 8);
	dtr_put32(at + 8, DTR_EXPORT_VERSION);
	dtr_put32(at + 12, bytes);
	dtr_put64(at + 16, head->length);
	dtr_put64(at + 24, head->size);
	dtr_put64(at + 32, 1ULL << head->shift);
	dtr_put64(at + 40, head->count);
	dtr_put64(at + 48, head->generation);
	memcpy(at + 56, head->uuid, sizeof(head->uuid));
	dtr_put32(at + 72, head->flags);
	dtr_put32(at + 76, 0);
	dtr_put64(at + 80, head->hash);
	memcpy(at + DTR_EXPORT_FIXED_BYTES, head->name, name_len);
	dtr_put64(at + 88, export_checksum(at, bytes));
	return bytes;
}

/* The bytes of a header that is whole, or an error. */
static long get_bytes(const u8 *at, size_t len, const char **why)
{
	u32 bytes;

	*why = "magic: it is no bitmap file";
	if (len < LEAD_BYTES || memcmp(at, DTR_EXPORT_MAGIC, 8))
		return -EINVAL;
	*why = "version: it is of a newer one";
	if (dtr_get32(at + 8) != DTR_EXPORT_VERSION)
		return -EOPNOTSUPP;
	bytes = dtr_get32(at + 12);
	*why = "header: it has no such length";
	if (bytes <= DTR_EXPORT_FIXED_BYTES || bytes > DTR_EXPORT_MAX_BYTES)
		return -EINVAL;
	*why = "header: it is cut short";
	if (bytes > len)
		return -EINVAL;
	*why = "checksum: it is not that of the header";
	if (dtr_get64(at + 88) != export_checksum(at, bytes))
		return -EBADMSG;
	return bytes;
}

/* What is wrong with a field of a header whose checksum is right, or NULL. */
static const char *check_fields(const struct dtr_export *head, const u8 *at,
				u32 bytes, int shift)
{
	if (head->length < bytes)
		return "length: shorter than the header";
	if (!head->size || head->size > DTR_MAX_SIZE)
		return "size: not in 1..2^63";
	if (shift < 0)
		return "granularity: no power of two in 512..2^31";
	if (head->count > head->size)
		return "count: more than the size";
	if (!head->generation)
		return "generation: it is 0";
	if (head->flags & ~KNOWN_FLAGS)
		return "flags: an unknown one is set";
	if (dtr_get32(at + 76))
		return "zero: it is not 0";
	if (dtr_name_check(head->name, bytes - DTR_EXPORT_FIXED_BYTES))
		return "name: it can be no bitmap's";
	return NULL;
}

/**
 * dtr_export_decode() - read a header.
 * @head: out; undefined on error
 * @buf: the file's beginning, maybe more than the header; any content, any
 *	alignment
 * @len: bytes of @buf
 * @why: out on error: the field and what is wrong with it, a constant
 *
 * Return: bytes that the header has; -EINVAL if it is cut short or malformed,
 * -EOPNOTSUPP for an unknown version, -EBADMSG for a wrong checksum.
 */
long dtr_export_decode(struct dtr_export *head, const void *buf, size_t len,
		       const char **why)
{
	long bytes = get_bytes(buf, len, why);
	const u8 *at = buf;
	int shift;

	if (bytes < 0)
		return bytes;
	shift = dtr_granularity_shift(dtr_get64(at + 32));
	memset(head, 0, sizeof(*head));
	head->length = dtr_get64(at + 16);
	head->size = dtr_get64(at + 24);
	head->shift = shift;
	head->count = dtr_get64(at + 40);
	head->generation = dtr_get64(at + 48);
	memcpy(head->uuid, at + 56, sizeof(head->uuid));
	head->flags = dtr_get32(at + 72);
	head->hash = dtr_get64(at + 80);
	memcpy(head->name, at + DTR_EXPORT_FIXED_BYTES,
	       bytes - DTR_EXPORT_FIXED_BYTES);
	*why = check_fields(head, at, bytes, shift);
	return *why ? -EINVAL : bytes;
}

/**
 * dtr_export_differs() - whether chunks are not those that a header speaks of.
 * @head: the header
 * @bm: what all chunks of the file made dirty
 *
 * Return: the field that differs, or NULL.
 */
const char *dtr_export_differs(const struct dtr_export *head,
			       const struct dtr_bitmap *bm)
{
	if (dtr_bitmap_dirty_bytes(bm) != head->count)
		return "count: not that of the chunks";
	if (dtr_bitmap_hash(bm) != head->hash)
		return "hash: not that of the chunks";
	return NULL;
}
