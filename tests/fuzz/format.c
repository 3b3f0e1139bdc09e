// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * format.c - any bytes as a chunk: refused without a trace, or a valid bitmap.
 *
 * The first bytes choose the bitmap and whether what follows is taken as it is
 * or given the header, or the checksum, that would let its records through.
 */
#include "model.h"

#define SHIFT		12

static void model_fail(int line, const char *what)
{
	fprintf(stderr, "format: line %d: %s\n", line, what);
	abort();
}

static void put(u8 *at, u64 value, unsigned int bytes)
{
	for (; bytes--; value >>= 8)
		*at++ = value;
}

/* What a writer would have put before the payload; @all: but for nothing. */
static void forge(u8 *chunk, size_t len, u64 size, u64 nr, bool all)
{
	u32 payload = len - DTR_CHUNK_HEAD_BYTES;

	put(chunk, DTR_CHUNK_MAGIC, 4);
	put(chunk + 4, DTR_CHUNK_VERSION, 2);
	put(chunk + 6, SHIFT, 2);
	put(chunk + 8, payload, 4);
	put(chunk + 16, size, 8);
	if (all) {
		put(chunk + 12, 0, 4);
		put(chunk + 24, 0, 8);
		put(chunk + 32, nr, 8);
	}
	put(chunk + 40, 0, 8);
	put(chunk + 40,
	    XXH64(chunk + DTR_CHUNK_HEAD_BYTES, payload,
		  XXH64(chunk, DTR_CHUNK_HEAD_BYTES, 0)), 8);
}

/* What the records of a chunk that was taken say, without the core's help. */
static void model_decode(struct model *m, const u8 *at, const u8 *end)
{
	while (at < end) {
		u64 block = at[0] | at[1] << 8 | at[2] << 16 | (u64)at[3] << 24;
		unsigned int kind = at[4] | at[5] << 8;
		u64 first = block * 32768;
		u64 nr = m->nr - first < 32768 ? m->nr - first : 32768;
		u64 i;

		at += 6;
		if (kind == 0x8001) {
			nr = at[0] | at[1] << 8 | at[2] << 16 | (u64)at[3] << 24;
			at += 4;
			for (i = first; i < first + nr * 32768 && i < m->nr; i++)
				m->dirty[i] = 1;
		} else if (kind == 0x8000) {
			for (i = 0; i < nr; i++)
				m->dirty[first + i] |= at[i / 8] >> i % 8 & 1;
			at += (nr + 7) / 8;
		} else {
			for (; kind; kind--, at += 2)
				m->dirty[first + (at[0] | at[1] << 8)] = 1;
		}
	}
}

static void try(struct pair *p, const u8 *chunk, size_t len)
{
	u64 before = dtr_bitmap_hash(&p->bm);
	u64 cursor = 0;
	long got = dtr_chunk_decode(&p->bm, &cursor, chunk, len);

	if (got < 0) {
		CHECK(!cursor);
		CHECK(dtr_bitmap_hash(&p->bm) == before);
		CHECK(got == -EINVAL || got == -EOPNOTSUPP ||
		      got == -EBADMSG || got == -ERANGE);
	} else {
		CHECK(got >= DTR_CHUNK_HEAD_BYTES && (size_t)got <= len);
		CHECK(cursor && cursor <= p->m.nr);
		model_decode(&p->m, chunk + DTR_CHUNK_HEAD_BYTES, chunk + got);
	}
	check_pairs();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	static const u64 nrs[] = { 1, 7, 64, 1000, 32768, 32769, 40003, 98304 };
	u8 how;
	u64 size;
	u8 *chunk;

	if (len < 2 || len > 20000)
		return 0;
	how = data[0];
	size = (nrs[data[1] % 8] << SHIFT) - (data[1] & 8 ? 512 : 0);
	data += 2;
	len -= 2;
	chunk = need(malloc(len + 1));
	memcpy(chunk, data, len);

	memory_refuse(-1, false);
	pair_init(&pairs[0], size, SHIFT);
	if (how & 4)
		do_set_range(&pairs[0], 0, pairs[0].m.nr / 2);
	if (how & 3 && len >= DTR_CHUNK_HEAD_BYTES)
		forge(chunk, len, size, pairs[0].m.nr, how & 1);
	try(&pairs[0], chunk, len);
	pairs_exit();
	free(chunk);
	return 0;
}
