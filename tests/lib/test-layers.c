// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test-layers.c - content of a chain against the checksums of its images.
 *
 * Chance makes the images, what each has written, what has rotted since and
 * what is looked at; a slow model says byte by byte whose it is.
 *
 * SEED=N repeats the random test.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bits.h"
#include "check.h"
#include "layers.h"
#include "random.h"

#define MOST	(1U << 20)
#define IMAGES	5

static char dir[] = "/tmp/dtrack-test-XXXXXX";
static char data[MOST];

/**
 * struct image - an image of a chain.
 * @unit: of its checksums
 * @size: of its content
 * @known: units with a checksum
 * @bad: those whose checksum is that of something else
 */
struct image {
	uint64_t unit;
	uint64_t size;
	bool known[MOST / 512];
	bool bad[MOST / 512];
};

static struct image image[IMAGES];
static unsigned int nr;

/* Of each byte; 0xff is nobody's. */
static unsigned char writer[MOST];
static bool known[MOST], want_known[MOST], bad[MOST], want_bad[MOST];

/* ---- The chain ---------------------------------------------------------- */

/* Image 0 is the topmost. */
static void name(char *path, size_t size, unsigned int i)
{
	snprintf(path, size, "%s/%u", dir, i);
}

static void write_units(struct dtrack *h, struct dtl_sums *s,
			const struct image *it)
{
	char wrong[65536];
	uint64_t at, len;

	for (at = 0; at < it->size; at += it->unit) {
		len = it->size - at < it->unit ? it->size - at : it->unit;
		if (!it->known[at / it->unit])
			continue;
		memcpy(wrong, data + at, len);
		wrong[len / 2] ^= it->bad[at / it->unit];
		CHECK_INT(0, dtl_sums_put(h, s, at, wrong, len));
	}
}

static void make_image(struct dtrack *h, unsigned int i)
{
	struct dtl_manifest m = {
		.complete = true, .size = image[i].size, .has_sums = true,
		.sums_unit = image[i].unit, .sums_id = i + 1, .sync = "full",
		.has_bitmap = true, .granularity = 65536, .has_from = i + 1 < nr,
		.from = nr - i - 1, .to = nr - i, .image = "qcow2",
		.mode = "conditional", .name = "b",
		.uuid = "00000000-0000-4000-8000-000000000001",
	};
	char path[64], manifest[80];
	struct dtl_sums s;

	if (i + 1 < nr)
		snprintf(m.backing, sizeof(m.backing), "%u", i + 1);
	name(path, sizeof(path), i);
	snprintf(manifest, sizeof(manifest), "%s.dtrack", path);
	CHECK_INT(0, dtl_manifest_store(h, manifest, &m));
	CHECK_INT(0, dtl_sums_create(h, manifest, &m, &s));
	write_units(h, &s, &image[i]);
	dtl_sums_close(&s);
}

static void draw_image(struct image *it, uint64_t size)
{
	unsigned int units, k, odds = (unsigned int)chance(3) + 1;
	bool on = false;

	memset(it, 0, sizeof(*it));
	it->unit = 512U << chance(8);
	it->size = size;
	units = (unsigned int)((size - 1) / it->unit + 1);
	for (k = 0; k < units; k++) {
		if (!chance(odds * 3))
			on = !on;
		it->known[k] = on;
		it->bad[k] = on && !chance(9);
	}
}

/* ---- The model ---------------------------------------------------------- */

static void whose(uint64_t size)
{
	unsigned int i;
	uint64_t at;

	memset(writer, 0xff, sizeof(writer));
	for (i = 0; i < nr; i++)
		for (at = 0; at < image[i].size && at < size; at++)
			if (writer[at] == 0xff &&
			    image[i].known[at / image[i].unit])
				writer[at] = (unsigned char)i;
}

/*
 * A unit counts when all of it is there and its image's; where the image ends
 * within a granule of the books, that does not.
 */
static void judge(uint64_t start, uint64_t end, uint64_t size, uint64_t least)
{
	unsigned int i;
	uint64_t at, k, stop;
	bool all;

	for (i = 0; i < nr; i++)
		for (at = 0; at < image[i].size; at = stop) {
			stop = at + image[i].unit;
			if (stop > image[i].size)
				stop = image[i].size;
			all = at >= start && stop <= end;
			for (k = at; all && k < stop; k++)
				all = writer[k] == i;
			for (k = at; all && k < stop; k++) {
				want_known[k] = stop >= size ||
						k < stop - stop % least;
				want_bad[k] = image[i].bad[at / image[i].unit];
			}
		}
}

static void found(void *opaque, const struct dtl_layer *layer,
		  const struct dtrack_range *range)
{
	uint64_t k, end = range->start + range->length;
	const char *path = strrchr(layer->path, '/') + 1;

	(void)opaque;
	for (k = range->start; k < end; k++) {
		CHECK(!bad[k], "byte %" PRIu64 " is told twice", k);
		CHECK_INT(writer[k], atoi(path));
		bad[k] = true;
	}
}

/* ---- Tests -------------------------------------------------------------- */

static void look(struct dtrack *h, struct dtl_layers *l, uint64_t size)
{
	uint64_t start = chance(2) ? 0 : 512 * chance(size / 512);
	uint64_t len = chance(2) ? size - start : chance(size - start) + 1;
	struct dtr_bitmap bits;
	uint64_t k;

	memset(bad, 0, sizeof(bad));
	memset(want_bad, 0, sizeof(want_bad));
	memset(want_known, 0, sizeof(want_known));
	CHECK_INT(0, dtl_bits_init(h, &bits, size, l->least));
	l->known = &bits;
	judge(start, start + len, size, l->least);
	CHECK_INT(0, dtl_layers_check(h, l, start, data + start, len));
	for (k = 0; k < size; k++)
		known[k] = dtr_bitmap_get(&bits, k >> bits.shift);
	CHECK(!memcmp(want_bad, bad, size), "%" PRIu64 "+%" PRIu64 ": bad",
	      start, len);
	CHECK(!memcmp(want_known, known, size), "%" PRIu64 "+%" PRIu64 ": known",
	      start, len);
	dtr_bitmap_exit(&bits);
}

static void check_chain(struct dtrack *h)
{
	uint64_t size = MOST - chance(2) * 512 * chance(500);
	struct dtl_layers l = { .bad = found };
	struct dtl_manifest m;
	char path[64];
	unsigned int i;

	nr = 1 + (unsigned int)chance(IMAGES);
	for (i = 0; i < nr; i++)
		draw_image(&image[i], i && !chance(4) ?
			   MOST - 512 * chance(500) : size);
	for (i = 0; i < nr; i++)
		make_image(h, i);
	whose(size);
	name(path, sizeof(path), 0);
	snprintf(path + strlen(path), 16, ".dtrack");
	CHECK_INT(0, dtl_manifest_load(h, path, &m));
	name(path, sizeof(path), 0);
	CHECK_INT(0, dtl_layers_open(h, path, &m, false, &l));
	CHECK(!l.unchecked, "%s", l.unchecked);
	for (i = 0; i < 6 && !check_why[0]; i++)
		look(h, &l, size);
	dtl_layers_close(&l);
}

static void test_random(void)
{
	struct dtrack *h;
	unsigned int i;

	dtrack_new(&h);
	for (i = 0; i < MOST; i++)
		data[i] = (char)(i / 512 * 7 + i % 251);
	for (i = 0; i < 12 && !check_why[0]; i++)
		check_chain(h);
	dtrack_free(h);
}

/* Images that name each other are no chain that qemu opens; it ends. */
static void test_ring(void)
{
	struct dtl_layers l = { .bad = found };
	struct dtl_manifest m;
	char path[64];
	struct dtrack *h;
	FILE *f;

	dtrack_new(&h);
	nr = 2;
	draw_image(&image[0], MOST);
	make_image(h, 0);
	name(path, sizeof(path), 0);
	strcat(path, ".dtrack");
	CHECK_INT(0, dtl_manifest_load(h, path, &m));
	snprintf(m.backing, sizeof(m.backing), "0");
	m.from = m.to;
	CHECK_INT(0, dtl_manifest_store(h, path, &m));
	name(path, sizeof(path), 0);
	f = fopen(path, "w");
	if (!f || fclose(f))
		abort();
	CHECK_INT(0, dtl_layers_open(h, path, &m, false, &l));
	CHECK(l.unchecked, "it is whole");
	CHECK_STR("", dtrack_errmsg(h));
	dtl_layers_close(&l);
	unlink(path);
	dtrack_free(h);
}

int main(void)
{
	static const struct check checks[] = {
		{ "layers-random", test_random },
		{ "layers-ring", test_ring },
		{ 0 },
	};
	char path[64];
	unsigned int i;
	int ret;

	take_seed();
	fflush(stdout);
	if (!mkdtemp(dir))
		return 1;
	ret = run_checks(checks);
	for (i = 0; i < IMAGES; i++) {
		snprintf(path, sizeof(path), "%s/%u.dtrack", dir, i);
		unlink(path);
		strcat(path, ".sums");
		unlink(path);
	}
	rmdir(dir);
	return ret;
}
