/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * model.h - bitmaps beside a model of them that is too simple to be wrong.
 *
 * The model is a byte for each granule and loops over all of them.  A step
 * does the same to both and compares everything that can be asked.  What is
 * done is picked from random numbers or from a fuzzer's bytes.
 *
 * Where memory is refused a bitmap may be dirtier than its model, never
 * cleaner; where an operation returns an error both must be as they were.
 *
 * Who includes this defines model_fail(): says what is wrong, and ends.
 */
#ifndef DTR_TEST_MODEL_H
#define DTR_TEST_MODEL_H

#include <stdio.h>

#include "bitmap-internal.h"
#include "extent.h"
#include "format.h"

#define WORD		((u64)BITS_PER_LONG)
#define GROUP		((u64)BIT(GROUP_SHIFT))
#define LEAF		((u64)DTR_LEAF_BITS)
/* Three of the larger unit and some: what there is at most in a model. */
#define MAX_BITS	(3 * (LEAF > GROUP ? LEAF : GROUP) + 100)

static void __attribute__((noreturn)) model_fail(int line, const char *what);

#define CHECK(cond)							\
do {									\
	if (!(cond))							\
		model_fail(__LINE__, #cond);				\
} while (0)

/* ---- Where choices come from ---- */

static struct {
	const u8 *bytes;	/* a fuzzer's, or NULL: random numbers */
	size_t left;
	u64 random;
} choices;

static u64 random_next(void)
{
	u64 x = choices.random += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* A number below @limit > 0. */
static u64 pick(u64 limit)
{
	u64 value = 0;
	u64 top;

	if (!choices.bytes)
		return random_next() % limit;
	for (top = limit - 1; top && choices.left; top >>= 8) {
		value = value << 8 | *choices.bytes++;
		choices.left--;
	}
	return value % limit;
}

static bool no_choices_left(void)
{
	return choices.bytes && !choices.left;
}

/* A granule of @nr, more likely where something begins or ends. */
static u64 pick_bit(u64 nr)
{
	const u64 units[] = { WORD, GROUP, LEAF, 2 * WORD };
	u64 bit;

	switch (pick(4)) {
	case 0:
		return pick(nr);
	case 1:
		bit = units[pick(4)];
		bit = bit * pick(nr / bit + 1) + pick(3) - 1;
		break;
	case 2:
		bit = nr - 1 - pick(3);
		break;
	default:
		bit = pick(3);
	}
	return bit < nr ? bit : nr - 1;
}

static void pick_range(u64 nr, u64 *first, u64 *last)
{
	u64 bit = pick_bit(nr);

	*first = bit;
	switch (pick(4)) {
	case 0:
		break;
	case 1:
		bit += pick(200);
		break;
	default:
		bit = pick_bit(nr);
	}
	if (bit < *first) {
		*last = *first;
		*first = bit;
	} else {
		*last = bit < nr ? bit : nr - 1;
	}
}

/* Bytes of a device that has MAX_BITS granules of 1 << @shift at most. */
static u64 pick_size(unsigned int shift)
{
	u64 nr;

	switch (pick(6)) {
	case 0:
		nr = 1 + pick(4);
		break;
	case 1:
		nr = GROUP * (1 + pick(2)) + pick(3) - 1;
		break;
	case 2:
		nr = LEAF * (1 + pick(3)) + pick(3) - 1;
		break;
	case 3:
		nr = 1 + pick(MAX_BITS);
		break;
	default:
		nr = 1 + pick(700);
	}
	return (nr << shift) - (pick(2) ? pick(1ULL << shift) : 0);
}

/* ---- Memory that is refused and counted ---- */

static struct {
	long live;		/* leaves not given back */
	long asked;		/* allocations, of roots too */
	long fail_at;		/* the number of the first that is refused */
	bool fail_on;		/* whether those behind it are refused, too */
	bool suspended;		/* nothing is refused nor counted */
	bool failed;		/* one was since this was set to false */
} memory;

static bool refused(void)
{
	long nr;

	if (memory.suspended)
		return false;
	nr = memory.asked++;
	if (nr == memory.fail_at ||
	    (memory.fail_on && nr > memory.fail_at && memory.fail_at >= 0)) {
		memory.failed = true;
		return true;
	}
	return false;
}

bool dtr_port_fail(void)
{
	return refused();
}

static void *model_alloc(void *ctx, bool atomic)
{
	void *leaf;

	(void)ctx;
	(void)atomic;
	if (refused())
		return NULL;
	leaf = calloc(1, DTR_LEAF_BYTES);
	if (leaf)
		memory.live++;
	return leaf;
}

static void model_free(void *ctx, void *leaf)
{
	(void)ctx;
	memory.live--;
	free(leaf);
}

static const struct dtr_leaf_ops model_ops = { model_alloc, model_free };

static void memory_refuse(long at, bool on)
{
	memset(&memory, 0, sizeof(memory));
	memory.fail_at = at;
	memory.fail_on = on;
}

/* ---- The model ---- */

struct model {
	u64 size;
	unsigned int shift;
	u64 nr;
	u8 *dirty;
};

static void *need(void *mem)
{
	if (!mem)
		abort();
	return mem;
}

static u64 granules(u64 size, unsigned int shift)
{
	return size >> shift << shift == size ? size >> shift :
						(size >> shift) + 1;
}

static void model_init(struct model *m, u64 size, unsigned int shift)
{
	m->size = size;
	m->shift = shift;
	m->nr = granules(size, shift);
	m->dirty = need(calloc(1, m->nr));
}

static void model_copy(struct model *dst, const struct model *src)
{
	model_init(dst, src->size, src->shift);
	memcpy(dst->dirty, src->dirty, src->nr);
}

static void model_set(struct model *m, u64 first, u64 last, bool dirty)
{
	memset(m->dirty + first, dirty, last - first + 1);
}

static u64 model_count(const struct model *m, u64 first, u64 last)
{
	u64 count = 0;

	for (; first <= last; first++)
		count += m->dirty[first];
	return count;
}

static void model_merge(struct model *dst, const struct model *src)
{
	u64 bit, to;

	for (bit = 0; bit < src->nr; bit++) {
		if (!src->dirty[bit])
			continue;
		to = bit << src->shift >> dst->shift;
		for (; to < dst->nr && to << dst->shift <
				       (bit + 1) << src->shift; to++)
			dst->dirty[to] = 1;
	}
}

static void model_resize(struct model *m, u64 size)
{
	struct model new;
	u64 bit;

	model_init(&new, size, m->shift);
	for (bit = 0; bit < new.nr; bit++) {
		u64 end = (bit + 1) << m->shift;

		if (bit < m->nr)
			new.dirty[bit] = m->dirty[bit];
		/* A byte in what was added? */
		if (size > m->size && end > m->size)
			new.dirty[bit] = 1;
	}
	free(m->dirty);
	*m = new;
}

/* The first granule from..end - 1 that is @dirty, or @end. */
static u64 model_next(const struct model *m, u64 from, u64 end, bool dirty)
{
	while (from < end && m->dirty[from] != dirty)
		from++;
	return from < end ? from : end;
}

/* ---- Both ---- */

#define NR_PAIRS	3

struct pair {
	struct dtr_bitmap bm;
	struct model m;
};

static struct pair pairs[NR_PAIRS];

/* What bitmap.h promises of a bitmap's insides; returns its leaves. */
static long check_insides(const struct dtr_bitmap *bm, const struct model *m)
{
	unsigned long degraded = 0;
	unsigned long slot, word;
	unsigned int k;
	long leaves = 0;
	u64 bit, pos;

	if (!bm->slots)
		return 0;
	CHECK(bm->nr_slots == ((bm->nr_bits - 1) >> DTR_LEAF_SHIFT) + 1);
	for (slot = 0; slot < bm->nr_slots; slot++) {
		unsigned long *leaf = bm->slots[slot];
		unsigned long nr = leaf_nr_bits(bm, slot);

		degraded += leaf == DTR_LEAF_DEGRADED;
		if (!leaf_exists(leaf))
			continue;
		leaves++;
		for (word = nr / WORD; word < LEAF_WORDS; word++) {
			unsigned long beyond = ~0UL;

			if (word == nr / WORD)
				beyond <<= nr % WORD;
			CHECK(!(leaf[word] & beyond));
		}
	}
	CHECK(bm->nr_degraded == degraded);
	for (bit = model_next(m, 0, m->nr, true); bit < m->nr;
	     bit = model_next(m, bit, m->nr, true)) {
		pos = bit >> GROUP_SHIFT;
		for (k = 0; k < bm->nr_levels; k++) {
			CHECK(bm->level[k][pos / WORD] >> pos % WORD & 1);
			pos /= WORD;
		}
		bit = (bit | GROUP_MASK) + 1;
		if (bit > m->nr)
			bit = m->nr;
	}
	return leaves;
}

/*
 * Compares as a whole; if memory was refused the model takes what the bitmap
 * has more.  Returns the leaves.
 */
static long check_pair(struct pair *p)
{
	struct dtr_bitmap *bm = &p->bm;
	struct model *m = &p->m;
	u8 *raw = need(malloc((m->nr + 7) / 8 + 1));
	bool more = false;
	u64 count = 0;
	u64 bytes = 0;
	u64 bit;

	CHECK(bm->size == m->size && bm->shift == m->shift);
	CHECK(bm->nr_bits == m->nr);
	raw[(m->nr + 7) / 8] = 0x5a;
	dtr_bitmap_get_bits(bm, 0, m->nr, raw);
	CHECK(raw[(m->nr + 7) / 8] == 0x5a);
	for (bit = 0; bit < m->nr; bit++) {
		bool dirty = raw[bit / 8] >> bit % 8 & 1;

		if (dirty != m->dirty[bit]) {
			CHECK(dirty && "a lost bit");
			CHECK(memory.failed && "a spurious bit");
			more = true;
			m->dirty[bit] = 1;
		}
		count += dirty;
		if (dirty)
			bytes += (bit + 1) << m->shift > m->size ?
				 m->size - (bit << m->shift) : 1ULL << m->shift;
	}
	for (; bit & 7; bit++)
		CHECK(!(raw[bit / 8] >> bit % 8 & 1));
	free(raw);
	CHECK(!more || dtr_bitmap_nr_degraded(bm));
	CHECK(bm->count == count);
	CHECK(dtr_bitmap_count_range(bm, 0, m->nr - 1) == count);
	CHECK(dtr_bitmap_dirty_bytes(bm) == bytes);
	return check_insides(bm, m);
}

static void check_pairs(void)
{
	long leaves = 0;
	unsigned int i;

	for (i = 0; i < NR_PAIRS; i++)
		if (pairs[i].m.dirty)
			leaves += check_pair(&pairs[i]);
	CHECK(memory.live == leaves);
	memory.failed = false;
}

static int pair_init(struct pair *p, u64 size, unsigned int shift)
{
	int err = dtr_bitmap_init(&p->bm, size, shift, &model_ops, NULL);

	if (err) {
		CHECK(err == -ENOMEM && memory.failed);
		memory.failed = false;
		dtr_bitmap_exit(&p->bm);
		return err;
	}
	model_init(&p->m, size, shift);
	return 0;
}

static void pairs_exit(void)
{
	unsigned int i;

	for (i = 0; i < NR_PAIRS; i++) {
		dtr_bitmap_exit(&pairs[i].bm);
		free(pairs[i].m.dirty);
	}
	memset(pairs, 0, sizeof(pairs));
	CHECK(!memory.live);
}

/* ---- Operations ---- */

static void do_mark(struct pair *p, u64 first, u64 last)
{
	if (!p->bm.slots)
		return;
	dtr_bitmap_mark(&p->bm, first, last);
	dtr_bitmap_recount(&p->bm);
	model_set(&p->m, first, last, true);
}

static void do_set_range(struct pair *p, u64 first, u64 last)
{
	u64 before = p->bm.count;
	u64 clean = last - first + 1 - model_count(&p->m, first, last);
	u64 added = dtr_bitmap_set_range(&p->bm, first, last);

	CHECK(added == p->bm.count - before);
	CHECK(added == clean || (memory.failed && added > clean));
	model_set(&p->m, first, last, true);
}

/* An operation may say that it had no memory only if it had none. */
static bool done(int err)
{
	if (err) {
		CHECK(err == -ENOMEM && memory.failed);
		/* Unchanged then: what is compared next must be equal. */
		memory.failed = false;
	}
	return !err;
}

static void do_clear_range(struct pair *p, u64 first, u64 last)
{
	if (done(dtr_bitmap_clear_range(&p->bm, first, last))) {
		/* What succeeds is exact. */
		memory.failed = false;
		model_set(&p->m, first, last, false);
	}
}

static void do_clear_all(struct pair *p)
{
	if (done(dtr_bitmap_clear_all(&p->bm)))
		model_set(&p->m, 0, p->m.nr - 1, false);
}

static void do_set_all(struct pair *p)
{
	dtr_bitmap_set_all(&p->bm);
	model_set(&p->m, 0, p->m.nr - 1, true);
}

static void do_set_list(struct pair *p, u64 first)
{
	u16 offsets[80];
	unsigned int max = 1 + pick(80);
	unsigned int nr = 0;
	u64 offset = pick(50);

	while (nr < max && offset < 65536 && first + offset < p->m.nr) {
		offsets[nr++] = offset;
		p->m.dirty[first + offset] = 1;
		offset += 1 + pick(pick(2) ? 3 : 2000);
	}
	dtr_bitmap_set_list(&p->bm, first, offsets, nr);
}

static void do_put_bits(struct pair *p, u64 first, u64 last)
{
	u64 nr = last - first + 1;
	size_t len = (nr + 7) / 8;
	u8 *buf = need(malloc(len));
	u64 kind = pick(4);
	u64 seed = pick(256);
	size_t i;
	u64 bit;

	for (i = 0; i < len; i++)
		buf[i] = kind == 0 ? 0 : kind == 1 ? 0xff :
			 kind == 2 ? (i * seed) >> 3 : i % 97 ? 0 : seed;
	for (bit = 0; bit < nr; bit++)
		p->m.dirty[first + bit] |= buf[bit / 8] >> bit % 8 & 1;
	dtr_bitmap_put_bits(&p->bm, first, nr, buf);
	free(buf);
}

static void do_merge(struct pair *dst, struct pair *src)
{
	dtr_bitmap_merge(&dst->bm, &src->bm);
	model_merge(&dst->m, &src->m);
}

static void do_copy(struct pair *dst, struct pair *src)
{
	static const struct dtr_bitmap zero;
	struct dtr_bitmap bm;

	if (dst == src)
		return;
	if (!done(dtr_bitmap_copy(&bm, &src->bm))) {
		CHECK(!memcmp(&bm, &zero, sizeof(bm)));
		return;
	}
	dtr_bitmap_exit(&dst->bm);
	free(dst->m.dirty);
	dst->bm = bm;
	model_copy(&dst->m, &src->m);
	CHECK(dtr_bitmap_nr_degraded(&bm) == dtr_bitmap_nr_degraded(&src->bm));
}

static void do_resize(struct pair *p, u64 size)
{
	dtr_bitmap_resize(&p->bm, size);
	model_resize(&p->m, size);
}

/* All chunks of @src, each of @room bytes at most; returns their bytes. */
static size_t encode(const struct dtr_bitmap *src, size_t room, u8 **bytes)
{
	size_t len = 0;
	u64 cursor = 0;
	u64 before;

	*bytes = NULL;
	while (cursor < src->nr_bits) {
		size_t nr;

		*bytes = need(realloc(*bytes, len + room));
		before = cursor;
		nr = dtr_chunk_encode(src, &cursor, *bytes + len, room);
		CHECK(nr >= DTR_CHUNK_HEAD_BYTES && nr <= room);
		CHECK(cursor > before && cursor <= src->nr_bits);
		len += nr;
	}
	CHECK(!dtr_chunk_encode(src, &cursor, *bytes, room));
	/* Of this size exactly: ASan sees who reads beyond. */
	*bytes = need(realloc(*bytes, len));
	return len;
}

static size_t pick_room(void)
{
	return DTR_CHUNK_MIN_BYTES + (pick(2) ? pick(20000) : 0);
}

/* @dst gets what is in the chunks of @src, or refuses them as a whole. */
static void do_load(struct pair *dst, struct pair *src)
{
	u64 cursor = 0;
	size_t at = 0;
	u8 *bytes;
	size_t len = encode(&src->bm, pick_room(), &bytes);

	if (dst->m.size != src->m.size || dst->m.shift != src->m.shift) {
		CHECK(dtr_chunk_decode(&dst->bm, &cursor, bytes, len) ==
		      -ERANGE);
		CHECK(!cursor);
	} else {
		while (at < len) {
			long nr = dtr_chunk_decode(&dst->bm, &cursor,
						   bytes + at, len - at);

			CHECK(nr > 0 && (size_t)nr <= len - at);
			at += nr;
		}
		CHECK(cursor == dst->m.nr);
		model_merge(&dst->m, &src->m);
	}
	free(bytes);
}

/* ---- Questions ---- */

static void ask_bits(struct pair *p)
{
	u64 first, last, bit, got, want;
	u8 *raw;

	pick_range(p->m.nr, &first, &last);
	CHECK(dtr_bitmap_get(&p->bm, first) == p->m.dirty[first]);
	CHECK(dtr_bitmap_count_range(&p->bm, first, last) ==
	      model_count(&p->m, first, last));

	raw = need(malloc((last - first + 8) / 8));
	dtr_bitmap_get_bits(&p->bm, first, last - first + 1, raw);
	for (bit = first; bit <= last; bit++)
		CHECK((raw[(bit - first) / 8] >> (bit - first) % 8 & 1) ==
		      p->m.dirty[bit]);
	free(raw);

	got = ~0ULL;
	want = model_next(&p->m, first, p->m.nr, true);
	CHECK(dtr_bitmap_next_dirty(&p->bm, first, &got) == (want < p->m.nr));
	CHECK(got == (want < p->m.nr ? want : ~0ULL));
	got = ~0ULL;
	want = model_next(&p->m, first, p->m.nr, false);
	CHECK(dtr_bitmap_next_clean(&p->bm, first, &got) == (want < p->m.nr));
	CHECK(got == (want < p->m.nr ? want : ~0ULL));
	CHECK(!dtr_bitmap_next_dirty(&p->bm, p->m.nr + pick(2), &got));
	CHECK(!dtr_bitmap_next_clean(&p->bm, p->m.nr + pick(2), &got));
}

static void ask_area(struct pair *p)
{
	u64 first, last, start, end, want_start, want_end;
	u64 max = pick(2) ? p->m.nr : 1 + pick(pick(2) ? 3 : 5000);
	u64 stop;
	bool found;

	pick_range(p->m.nr, &first, &last);
	stop = pick(8) ? last + 1 : ~0ULL;
	found = dtr_bitmap_next_dirty_area(&p->bm, first, stop, max, &start,
					   &end);
	if (stop > p->m.nr)
		stop = p->m.nr;
	want_start = model_next(&p->m, first, stop, true);
	CHECK(found == (want_start < stop));
	if (!found)
		return;
	want_end = model_next(&p->m, want_start, stop, false);
	if (want_end - want_start > max)
		want_end = want_start + max;
	CHECK(start == want_start);
	CHECK(end == want_end);
}

static void ask_union(struct pair *base, struct pair *live)
{
	struct dtr_extent ext;
	u64 from, start, end;
	struct model both;

	model_copy(&both, &base->m);
	if (live) {
		model_merge(&both, &live->m);
		CHECK(dtr_bitmap_count_union(&base->bm, &live->bm) ==
		      model_count(&both, 0, both.nr - 1));
	}

	from = pick(2) ? 0 : pick(base->m.size + 1);
	for (;;) {
		bool found = dtr_extent_next(&base->bm, live ? &live->bm : NULL,
					     from, &ext);

		start = from >= both.size ? both.nr :
			model_next(&both, from >> both.shift, both.nr, true);
		CHECK(found == (start < both.nr));
		if (!found)
			break;
		end = model_next(&both, start, both.nr, false);
		CHECK(ext.start == start << both.shift);
		from = end < both.nr ? end << both.shift : both.size;
		CHECK(ext.len == from - ext.start);
	}
	free(both.dirty);
}

/* A bitmap that went through bytes is the same, and has the same hash. */
static void ask_bytes(struct pair *p)
{
	struct dtr_bitmap bm;
	u64 cursor = 0;
	size_t at = 0;
	size_t len;
	u8 *bytes, *raw;
	u64 hash, bit;
	long live = memory.live;
	long nr;

	memory.suspended = true;
	hash = dtr_bitmap_hash(&p->bm);
	CHECK(!dtr_bitmap_init(&bm, p->m.size, p->m.shift, &model_ops, NULL));
	len = encode(&p->bm, pick_room(), &bytes);

	/* A changed byte, wherever it is, and a missing one. */
	bit = pick(8 * DTR_CHUNK_HEAD_BYTES);
	bytes[bit / 8] ^= 1 << bit % 8;
	CHECK(dtr_chunk_decode(&bm, &cursor, bytes, len) < 0);
	bytes[bit / 8] ^= 1 << bit % 8;
	CHECK(dtr_chunk_decode(&bm, &cursor, bytes,
			       pick(DTR_CHUNK_HEAD_BYTES)) < 0);
	CHECK(!cursor && !dtr_bitmap_next_dirty(&bm, 0, &bit));

	for (; at < len; at += nr) {
		nr = dtr_chunk_decode(&bm, &cursor, bytes + at, len - at);
		CHECK(nr > 0);
	}
	CHECK(cursor == p->m.nr && bm.count == p->bm.count);
	for (bit = 0; bit < p->m.nr; bit++)
		CHECK(dtr_bitmap_get(&bm, bit) == p->m.dirty[bit]);
	CHECK(dtr_bitmap_hash(&bm) == hash);

	/* One granule makes a difference, and the hash knows the way back. */
	bit = pick_bit(p->m.nr);
	if (p->m.dirty[bit])
		CHECK(!dtr_bitmap_clear_range(&bm, bit, bit));
	else
		dtr_bitmap_set_range(&bm, bit, bit);
	CHECK(dtr_bitmap_hash(&bm) != hash);
	CHECK(!dtr_bitmap_clear_all(&bm));
	raw = need(malloc((p->m.nr + 7) / 8));
	dtr_bitmap_get_bits(&p->bm, 0, p->m.nr, raw);
	dtr_bitmap_put_bits(&bm, 0, p->m.nr, raw);
	CHECK(dtr_bitmap_hash(&bm) == hash);

	free(raw);
	free(bytes);
	dtr_bitmap_exit(&bm);
	memory.suspended = false;
	CHECK(memory.live == live);
}

/* ---- Sequences ---- */

static void step(void)
{
	struct pair *p = &pairs[pick(NR_PAIRS)];
	struct pair *other = &pairs[pick(NR_PAIRS)];
	u64 first, last;

	pick_range(p->m.nr, &first, &last);
	switch (pick(16)) {
	case 0:
	case 1:
		do_mark(p, first, last);
		break;
	case 2:
	case 3:
		do_set_range(p, first, last);
		break;
	case 4:
	case 5:
	case 6:
		do_clear_range(p, first, last);
		break;
	case 7:
		if (pick(2))
			do_set_all(p);
		else
			do_clear_all(p);
		break;
	case 8:
		do_set_list(p, first);
		break;
	case 9:
		do_put_bits(p, first, last);
		break;
	case 10:
	case 11:
	case 12:
		do_merge(p, other);
		break;
	case 13:
		do_copy(p, other);
		break;
	case 14:
		do_load(p, other);
		break;
	default:
		do_resize(p, pick(4) ? pick_size(p->m.shift) :
			  1 + (p->m.size + pick(2ULL << p->m.shift)) %
			  (MAX_BITS << p->m.shift));
	}
	check_pairs();

	switch (pick(5)) {
	case 0:
		ask_union(p, pick(4) ? other : NULL);
		break;
	case 1:
		ask_bytes(p);
		break;
	case 2:
		ask_area(p);
		break;
	default:
		ask_bits(p);
	}
}

/* Bitmaps of one device, mostly, but not all of one granularity. */
static void __attribute__((unused)) sequence(unsigned int steps)
{
	unsigned int base = pick(4) ? 9 + pick(8) : 9 + pick(23);
	u64 size = pick_size(base);
	unsigned int i;

	for (i = 0; i < NR_PAIRS; i++) {
		unsigned int shift = base + (pick(2) ? pick(9) : 0);

		if (shift > DTR_MAX_SHIFT)
			shift = base;
		if (pair_init(&pairs[i], pick(4) ? size : pick_size(shift),
			      shift))
			goto out;
	}
	while (steps-- && !no_choices_left())
		step();
out:
	pairs_exit();
}

#endif
