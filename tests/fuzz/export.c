// SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later
/*
 * export.c - any bytes as the file of a bitmap, and files with one change.
 *
 * The first byte chooses: bytes as they are; bytes that get the magic and the
 * checksum that let the header's fields through; or the file of a bitmap that
 * the bytes are the bits of, which is taken as it is and refused when any one
 * of its bytes is another.
 */
#include "export.h"
#include "le.h"
#include "model.h"

#define MAX_GRANULES	100000

static void model_fail(int line, const char *what)
{
	fprintf(stderr, "export: line %d: %s\n", line, what);
	abort();
}

/* ---- As an importer reads ---- */

static bool take_chunks(struct dtr_bitmap *bm, const struct dtr_export *head,
			const u8 *file, size_t at, size_t len)
{
	u64 cursor = 0;
	long r;

	while (cursor < bm->nr_bits) {
		r = dtr_chunk_decode(bm, &cursor, file + at, len - at);
		if (r < 0)
			return false;
		at += r;
	}
	return at == len && !dtr_export_differs(head, bm);
}

/* Whether the file is taken; then @bm, to be given back, is what it says. */
static bool take(struct dtr_bitmap *bm, struct dtr_export *head, const u8 *file,
		 size_t len)
{
	const char *why = NULL;
	long r = dtr_export_decode(head, file, len, &why);

	if (r < 0) {
		CHECK(why && *why);
		CHECK(r == -EINVAL || r == -EOPNOTSUPP || r == -EBADMSG);
		return false;
	}
	CHECK(!why && (size_t)r <= len);
	CHECK(!dtr_name_check(head->name, strlen(head->name)));
	if (head->length != len ||
	    dtr_nr_granules(head->size, head->shift) > MAX_GRANULES)
		return false;
	CHECK(!dtr_bitmap_init(bm, head->size, head->shift, &model_ops, NULL));
	if (take_chunks(bm, head, file, r, len))
		return true;
	dtr_bitmap_exit(bm);
	return false;
}

/* ---- As an exporter writes ---- */

static u8 *give(struct dtr_export *head, const struct dtr_bitmap *bm, size_t room,
		size_t *len)
{
	u8 fixed[DTR_EXPORT_MAX_BYTES];
	u8 *file = NULL;
	u64 cursor = 0;
	size_t n;

	head->count = dtr_bitmap_dirty_bytes(bm);
	head->hash = dtr_bitmap_hash(bm);
	*len = dtr_export_encode(head, fixed, sizeof(fixed));
	CHECK(*len);
	while (cursor < bm->nr_bits) {
		file = need(realloc(file, *len + room));
		n = dtr_chunk_encode(bm, &cursor, file + *len, room);
		CHECK(n && n <= room);
		*len += n;
	}
	head->length = *len;
	n = dtr_export_encode(head, file, *len);
	CHECK(n == DTR_EXPORT_FIXED_BYTES + strlen(head->name));
	return file;
}

/* ---- The three ways ---- */

static void any_bytes(const u8 *data, size_t len, bool forge)
{
	u8 *file = need(malloc(len + 1));
	struct dtr_export head;
	struct dtr_bitmap bm;
	u32 bytes;
	size_t again;
	u8 *copy;

	memcpy(file, data, len);
	if (forge && len > DTR_EXPORT_FIXED_BYTES) {
		bytes = DTR_EXPORT_FIXED_BYTES + 1 + file[12] % 8;
		if (bytes > len)
			bytes = len;
		memcpy(file, DTR_EXPORT_MAGIC, 8);
		dtr_put32(file + 8, DTR_EXPORT_VERSION);
		dtr_put32(file + 12, bytes);
		dtr_put64(file + 16, len);
		dtr_put64(file + 88, 0);
		dtr_put64(file + 88,
			  XXH64(file + 96, bytes - 96, XXH64(file, 96, 0)));
	}
	if (take(&bm, &head, file, len)) {
		/* What is taken can be written again, and is the same header. */
		u64 length = head.length;

		copy = give(&head, &bm, DTR_CHUNK_MIN_BYTES, &again);
		head.length = length;
		CHECK(dtr_export_encode(&head, copy, again));
		CHECK(!memcmp(copy, file, DTR_EXPORT_FIXED_BYTES));
		free(copy);
		dtr_bitmap_exit(&bm);
	}
	free(file);
}

static void one_change(const u8 *data, size_t len)
{
	struct dtr_export head = {
		.shift = 9 + data[0] % 23,
		.generation = 1 + data[1],
		.flags = data[2] % 4,
		.name = "b",
	}, got;
	u8 change = data[3];
	size_t at = data[4] | data[5] << 8, file_len;
	struct dtr_bitmap bm, read;
	u64 nr = 8 * (len - 6) + 1;
	u64 hash;
	u8 *file;

	head.size = (nr << head.shift) - (data[2] & 4 ? 1 : 0);
	CHECK(!dtr_bitmap_init(&bm, head.size, head.shift, &model_ops, NULL));
	dtr_bitmap_put_bits(&bm, 0, nr - 1, data + 6);
	file = give(&head, &bm, DTR_CHUNK_MIN_BYTES + data[4], &file_len);

	CHECK(take(&read, &got, file, file_len));
	hash = dtr_bitmap_hash(&read);
	CHECK(hash == dtr_bitmap_hash(&bm));
	CHECK(!memcmp(&got, &head, sizeof(head)));
	dtr_bitmap_exit(&read);

	file[at % file_len] ^= change;
	if (change)
		CHECK(!take(&read, &got, file, file_len));
	file[at % file_len] ^= change;
	CHECK(!take(&read, &got, file, at % file_len));

	free(file);
	dtr_bitmap_exit(&bm);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	if (len < 7 || len > 12000)
		return 0;
	memory_refuse(-1, false);
	switch (data[0] % 3) {
	case 0:
		any_bytes(data + 1, len - 1, false);
		break;
	case 1:
		any_bytes(data + 1, len - 1, true);
		break;
	default:
		if (len > 7)
			one_change(data + 1, len - 1);
	}
	return 0;
}
