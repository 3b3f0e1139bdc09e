// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * format.c - bitmaps as bytes: encode, validate, decode.
 *
 * Owns every byte of a chunk, see format.h; where the bytes go and come from
 * is for its callers.
 *
 * Contexts: encode any, beside setters; decode the owner of the bitmap.
 * Invariant: a chunk is validated as a whole before any bit of it is set.
 */
#include "format.h"
#include "le.h"

#define BLOCK_SHIFT		15
#define BLOCK_BITS		BIT_ULL(BLOCK_SHIFT)
#define BLOCK_BYTES		(BLOCK_BITS / 8)

#define RECORD_HEAD_BYTES	6
#define KIND_RAW		0x8000
#define KIND_FULL		0x8001
/* From here on the raw bits are not longer. */
#define SPARSE_MAX		(BLOCK_BYTES / 2 - 1)

/* ---- Header ---- */

struct head {
	u64 first;
	u64 next;
	u32 payload;
};

static u64 checksum(const u8 *buf, u32 payload)
{
	u8 head[DTR_CHUNK_HEAD_BYTES];

	memcpy(head, buf, sizeof(head));
	dtr_put64(head + 40, 0);
	return dtr_port_hash(buf + sizeof(head), payload,
			     dtr_port_hash(head, sizeof(head), 0));
}

static void put_head(const struct dtr_bitmap *bm, const struct head *head,
		     u8 *buf)
{
	dtr_put32(buf, DTR_CHUNK_MAGIC);
	dtr_put16(buf + 4, DTR_CHUNK_VERSION);
	dtr_put16(buf + 6, bm->shift);
	dtr_put32(buf + 8, head->payload);
	dtr_put32(buf + 12, 0);
	dtr_put64(buf + 16, bm->size);
	dtr_put64(buf + 24, head->first);
	dtr_put64(buf + 32, head->next);
	dtr_put64(buf + 40, checksum(buf, head->payload));
}

static int get_head(const struct dtr_bitmap *bm, u64 cursor, const u8 *buf,
		    size_t len, struct head *head)
{
	if (len < DTR_CHUNK_HEAD_BYTES || dtr_get32(buf) != DTR_CHUNK_MAGIC)
		return -EINVAL;
	if (dtr_get16(buf + 4) != DTR_CHUNK_VERSION)
		return -EOPNOTSUPP;
	head->payload = dtr_get32(buf + 8);
	if (head->payload > len - DTR_CHUNK_HEAD_BYTES)
		return -EINVAL;
	if (dtr_get64(buf + 40) != checksum(buf, head->payload))
		return -EBADMSG;

	if (dtr_get16(buf + 6) != bm->shift || dtr_get64(buf + 16) != bm->size)
		return -ERANGE;
	head->first = dtr_get64(buf + 24);
	head->next = dtr_get64(buf + 32);
	if (dtr_get32(buf + 12) || head->first != cursor ||
	    head->next <= head->first || head->next > bm->nr_bits ||
	    head->first & (BLOCK_BITS - 1) ||
	    (head->next & (BLOCK_BITS - 1) && head->next != bm->nr_bits))
		return -EINVAL;
	return 0;
}

/* ---- Encoding ---- */

/*
 * Writes the granules first..last, dirty and at most SPARSE_MAX, as numbers
 * from @first on.  Returns how many, or 0 if it were more: setters may have
 * been quicker than the caller's count.
 */
static unsigned int put_sparse(const struct dtr_bitmap *bm, u64 first, u64 last,
			       u8 *buf)
{
	unsigned int nr = 0;
	u64 bit = first;

	while (dtr_bitmap_next_dirty(bm, bit, &bit) && bit <= last) {
		if (nr == SPARSE_MAX)
			return 0;
		dtr_put16(buf + 2 * nr++, bit - first);
		bit++;
	}
	return nr;
}

/* Writes the record of a block that is dirty in part; returns its bytes. */
static size_t put_block(const struct dtr_bitmap *bm, u64 first, u64 nr, u8 *buf)
{
	u8 *body = buf + RECORD_HEAD_BYTES;
	unsigned int sparse = 0;

	if (dtr_bitmap_count_range(bm, first, first + nr - 1) <= SPARSE_MAX)
		sparse = put_sparse(bm, first, first + nr - 1, body);
	if (sparse) {
		dtr_put16(buf + 4, sparse);
		return RECORD_HEAD_BYTES + 2 * sparse;
	}
	dtr_put16(buf + 4, KIND_RAW);
	dtr_bitmap_get_bits(bm, first, nr, body);
	return RECORD_HEAD_BYTES + ((nr + 7) >> 3);
}

/**
 * dtr_chunk_encode() - write the next chunk of a bitmap.
 * @bm: bitmap
 * @cursor: granule to begin with, 0 for the first chunk; then the one the next
 *	chunk begins with: nr_bits means that this was the last
 * @buf: where to; any alignment
 * @len: bytes of @buf, >= DTR_CHUNK_MIN_BYTES
 *
 * A chunk holds as much as surely fits: up to 4 KiB of @buf may stay unused.
 *
 * Context: any, beside setters.
 * Return: bytes written; 0 if @len is too small or nothing is left to write.
 */
size_t dtr_chunk_encode(const struct dtr_bitmap *bm, u64 *cursor, void *buf,
			size_t len)
{
	struct head head = { .first = *cursor, .next = bm->nr_bits };
	u8 *at = (u8 *)buf + DTR_CHUNK_HEAD_BYTES;
	u64 bit = *cursor;

	if (len < DTR_CHUNK_MIN_BYTES || bit >= bm->nr_bits)
		return 0;
	if (len > U32_MAX)
		len = U32_MAX;

	while (dtr_bitmap_next_dirty(bm, bit, &bit)) {
		u64 block = (bit - head.first) >> BLOCK_SHIFT;
		u64 nr, clean;

		bit &= ~(BLOCK_BITS - 1);
		if (at + RECORD_HEAD_BYTES + BLOCK_BYTES > (u8 *)buf + len ||
		    block > U32_MAX) {
			head.next = bit;
			break;
		}
		nr = bm->nr_bits - bit;
		if (nr > BLOCK_BITS)
			nr = BLOCK_BITS;

		dtr_put32(at, block);
		if (!dtr_bitmap_next_clean(bm, bit, &clean))
			clean = bm->nr_bits;
		if (clean - bit >= nr) {
			u64 run = (clean - bit) >> BLOCK_SHIFT;

			if (clean == bm->nr_bits && clean & (BLOCK_BITS - 1))
				run++;
			if (run > U32_MAX)
				run = U32_MAX;
			dtr_put16(at + 4, KIND_FULL);
			dtr_put32(at + RECORD_HEAD_BYTES, run);
			at += RECORD_HEAD_BYTES + 4;
			bit += run << BLOCK_SHIFT;
		} else {
			at += put_block(bm, bit, nr, at);
			bit += BLOCK_BITS;
		}
	}

	head.payload = at - (u8 *)buf - DTR_CHUNK_HEAD_BYTES;
	put_head(bm, &head, buf);
	*cursor = head.next;
	return DTR_CHUNK_HEAD_BYTES + head.payload;
}

/* ---- Decoding ---- */

/* A record that lies inside its chunk; @body holds what @kind demands. */
struct record {
	u64 first;
	u64 nr;
	const u8 *body;
	unsigned int kind;
	u32 body_len;
};

/*
 * The record at @at, or -EINVAL.  @min: least granule it may speak of; @left:
 * bytes that the chunk has from @at on.
 */
static int get_record(const struct head *head, u64 min, const u8 *at, u32 left,
		      struct record *rec)
{
	u64 blocks = 1;

	if (left < RECORD_HEAD_BYTES)
		return -EINVAL;
	left -= RECORD_HEAD_BYTES;
	rec->first = head->first + ((u64)dtr_get32(at) << BLOCK_SHIFT);
	rec->kind = dtr_get16(at + 4);
	rec->body = at + RECORD_HEAD_BYTES;
	if (rec->first < min || rec->first >= head->next)
		return -EINVAL;

	if (rec->kind == KIND_FULL) {
		rec->body_len = 4;
		if (left < rec->body_len)
			return -EINVAL;
		blocks = dtr_get32(rec->body);
		if (!blocks || blocks - 1 > (head->next - 1 - rec->first) >>
					    BLOCK_SHIFT)
			return -EINVAL;
	}
	rec->nr = head->next - rec->first;
	if (rec->nr > blocks << BLOCK_SHIFT)
		rec->nr = blocks << BLOCK_SHIFT;

	if (rec->kind == KIND_RAW)
		rec->body_len = (rec->nr + 7) >> 3;
	else if (rec->kind && rec->kind <= SPARSE_MAX)
		rec->body_len = 2 * rec->kind;
	else if (rec->kind != KIND_FULL)
		return -EINVAL;
	return left < rec->body_len ? -EINVAL : 0;
}

/* Whether the body of a record says nothing of granules that are not there. */
static bool body_is_valid(const struct record *rec)
{
	unsigned int i;
	u32 min = 0;

	if (rec->kind == KIND_RAW)
		return !(rec->nr & 7) ||
		       !(rec->body[rec->body_len - 1] >> (rec->nr & 7));
	if (rec->kind == KIND_FULL)
		return true;
	for (i = 0; i < rec->kind; i++) {
		u32 bit = dtr_get16(rec->body + 2 * i);

		if (bit < min || bit >= rec->nr)
			return false;
		min = bit + 1;
	}
	return true;
}

static void apply_sparse(struct dtr_bitmap *bm, const struct record *rec)
{
	u16 offsets[64];
	unsigned int i;
	unsigned int nr = 0;

	for (i = 0; i < rec->kind; i++) {
		offsets[nr++] = dtr_get16(rec->body + 2 * i);
		if (nr < ARRAY_SIZE(offsets) && i + 1 < rec->kind)
			continue;
		dtr_bitmap_set_list(bm, rec->first, offsets, nr);
		nr = 0;
	}
}

static void apply(struct dtr_bitmap *bm, const struct record *rec)
{
	switch (rec->kind) {
	case KIND_FULL:
		dtr_bitmap_set_range(bm, rec->first, rec->first + rec->nr - 1);
		break;
	case KIND_RAW:
		dtr_bitmap_put_bits(bm, rec->first, rec->nr, rec->body);
		break;
	default:
		apply_sparse(bm, rec);
	}
}

/* Goes over the records of a chunk: @bm NULL validates, else sets. */
static int walk_records(struct dtr_bitmap *bm, const struct head *head,
			const u8 *at)
{
	u32 left = head->payload;
	u64 min = head->first;
	struct record rec;

	while (left) {
		if (get_record(head, min, at, left, &rec))
			return -EINVAL;
		if (bm)
			apply(bm, &rec);
		else if (!body_is_valid(&rec))
			return -EINVAL;
		min = rec.first + rec.nr;
		at = rec.body + rec.body_len;
		left -= RECORD_HEAD_BYTES + rec.body_len;
	}
	return 0;
}

/**
 * dtr_chunk_decode() - make dirty what a chunk says is.
 * @bm: bitmap of the size and granularity that was encoded; clean ones become
 *	what was encoded, others the union
 * @cursor: granule that the chunk must begin with, 0 for the first; then the
 *	one the next chunk must begin with: nr_bits means that all is there
 * @buf: a chunk, maybe more behind it; any content, any alignment
 * @len: bytes of @buf
 *
 * Context: process, may sleep; the owner.
 * Return: bytes that the chunk has; -EINVAL if it is cut short, malformed or
 * not the next one, -EOPNOTSUPP for an unknown version, -EBADMSG for a wrong
 * checksum, -ERANGE for another size or granularity.  @bm and @cursor are not
 * changed then.
 */
long dtr_chunk_decode(struct dtr_bitmap *bm, u64 *cursor, const void *buf,
		      size_t len)
{
	const u8 *records = (const u8 *)buf + DTR_CHUNK_HEAD_BYTES;
	struct head head;
	int err;

	/* So that what is returned fits a long of 32 bits too. */
	if (len > LONG_MAX)
		len = LONG_MAX;
	err = get_head(bm, *cursor, buf, len, &head);
	if (!err)
		err = walk_records(NULL, &head, records);
	if (err)
		return err;

	walk_records(bm, &head, records);
	*cursor = head.next;
	return (long)head.payload + DTR_CHUNK_HEAD_BYTES;
}
