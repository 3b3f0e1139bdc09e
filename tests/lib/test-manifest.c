// SPDX-License-Identifier: GPL-2.0-or-later
/* test-manifest.c - manifests: written, read, damaged, and what they admit. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "manifest.h"

#define UUID	"01010101-0101-0101-0101-010101010101"

static const char good[] =
	"{ \"format\": \"dtrack-manifest\", \"version\": 1,\n"
	"  \"state\": \"incomplete\", \"size\": 4194304,\n"
	"  \"sync\": \"bitmap\", \"mode\": \"always\", \"later\": [1, {}],\n"
	"  \"bitmap\": { \"name\": \"b\", \"uuid\": \"" UUID "\",\n"
	"    \"granularity\": 65536, \"from\": 3, \"to\": 4,\n"
	"    \"run\": \"00000000deadbeef\" },\n"
	"  \"checksums\": { \"algorithm\": \"XXH3-64\", \"unit\": 4096,\n"
	"    \"id\": \"0123456789abcdef\" } }\n";

static const char *parse(const char *text, struct dtl_manifest *m)
{
	return dtl_manifest_parse(text, strlen(text), m);
}

static void test_good(void)
{
	struct dtl_manifest m;

	CHECK(!parse(good, &m), "%s", parse(good, &m));
	CHECK(!m.complete && m.has_bitmap && m.has_from, "flags");
	CHECK_INT(4194304, m.size);
	CHECK_INT(65536, m.granularity);
	CHECK_INT(3, m.from);
	CHECK_INT(4, m.to);
	CHECK_INT(0xdeadbeef, m.run);
	CHECK_STR("b", m.name);
	CHECK_STR(UUID, m.uuid);
	CHECK_STR("bitmap", m.sync);
	CHECK_STR("always", m.mode);
	CHECK(m.has_sums, "no checksums");
	CHECK_INT(4096, m.sums_unit);
	CHECK_INT(0x123456789abcdef, m.sums_id);
}

/* @good with its first @old replaced. */
static bool accepts(const char *old, const char *new, struct dtl_manifest *m)
{
	const char *at = strstr(good, old);
	char text[4096];

	CHECK(at, "no '%s' in the manifest", old);
	if (!at)
		return false;
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, new,
		 at + strlen(old));
	return !parse(text, m);
}

static void refuses(const char *old, const char *new)
{
	struct dtl_manifest m;

	CHECK(!accepts(old, new, &m), "accepted with %s for %s", new, old);
}

static void test_fields(void)
{
	static const char *const keys[] = {
		"\"format\":", "\"version\":", "\"state\":", "\"size\":",
		"\"sync\":", "\"mode\":", "\"bitmap\":", "\"name\":", "\"uuid\":",
		"\"granularity\":", "\"from\":", "\"to\":", "\"run\":",
	};
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		refuses(keys[i], "\"x\":");
	refuses("dtrack-manifest", "dtrack");
	refuses("\"version\": 1", "\"version\": 2");
	refuses("\"version\": 1", "\"version\": 0");
	refuses("\"version\": 1", "\"version\": \"1\"");
	refuses("incomplete", "done");
	refuses("4194304", "-1");
	refuses("4194304", "1.5");
	refuses("4194304", "99999999999999999999999");
	refuses("4194304", "null");
	refuses("\"from\": 3", "\"from\": -3");
	refuses("\"from\": 3", "\"from\": \"3\"");
	refuses("\"to\": 4", "\"to\": null");
	refuses("deadbeef", "DEADBEEF");
	refuses("deadbeef", "deadbee");
	refuses("deadbeef", "deadbeef0");
	refuses(UUID, "0101");
	refuses("\"b\"", "\"b\\u0000c\"");
	refuses("\"name\": \"b\"", "\"name\": 7");
	refuses("{ \"name\"", "[ \"name\"");
}

/* Older runs have no checksums; of a later kind there are none for us. */
static void test_checksums(void)
{
	struct dtl_manifest m;

	CHECK(accepts("\"checksums\":", "\"x\":", &m) && !m.has_sums, "without");
	CHECK(accepts("XXH3-64", "BLAKE3", &m) && !m.has_sums, "other ones");
	refuses("\"algorithm\":", "\"x\":");
	refuses("\"unit\":", "\"x\":");
	refuses("\"id\":", "\"x\":");
	refuses("4096", "0");
	refuses("4096", "256");
	refuses("4096", "4095");
	refuses("4096", "131072");
	refuses("4096", "\"4096\"");
	refuses("0123456789abcdef", "0123456789abcde");
	refuses("{ \"algorithm\"", "[ \"algorithm\"");
}

static void test_every_cut(void)
{
	struct dtl_manifest m;
	size_t len;

	/* The last byte is a newline. */
	for (len = 0; len < strlen(good) - 1; len++)
		CHECK(dtl_manifest_parse(good, len, &m), "cut at %zu", len);
	CHECK(!dtl_manifest_parse(good, strlen(good) - 1, &m), "uncut");
}

/* No flipped bit may crash; what is accepted must be well-formed. */
static void test_every_flip(void)
{
	char text[sizeof(good)];
	struct dtl_manifest m;
	size_t i;
	int bit;

	for (i = 0; i < sizeof(good) - 1; i++)
		for (bit = 0; bit < 8; bit++) {
			memcpy(text, good, sizeof(good));
			text[i] = (char)(text[i] ^ 1 << bit);
			if (!dtl_manifest_parse(text, sizeof(good) - 1, &m))
				CHECK(strlen(m.uuid) == 36, "byte %zu", i);
		}
}

static void test_garbage(void)
{
	static const char *const bad[] = {
		"", " ", "null", "[]", "{}", "0", "\"x\"", "{", "}", "{{",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "\xff\xfe", "{} {}",
		"{\"a\":1}x", "// c\n{}", "{'format': 'dtrack-manifest'}",
	};
	char nul[sizeof(good) + 1];
	struct dtl_manifest m;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(parse(bad[i], &m), "accepted '%s'", bad[i]);
	memcpy(nul, good, sizeof(good));
	nul[sizeof(good)] = 'x';
	CHECK(dtl_manifest_parse(nul, sizeof(nul), &m), "NUL and more");
}

/* ---- Files -------------------------------------------------------------- */

static char dir[] = "/tmp/dtrack-test-XXXXXX";
static char path[64];

static void test_round_trip(void)
{
	struct dtl_manifest in = {
		.complete = true, .has_bitmap = true, .size = 1ULL << 62,
		.granularity = 512, .to = UINT64_MAX - 1, .run = UINT64_MAX,
		.uuid = UUID, .name = "\xc3\xa4'<>&", .sync = "full",
		.mode = "always", .has_sums = true, .sums_unit = 512,
		.sums_id = UINT64_MAX,
		.consistency = DTRACK_CONSISTENCY_HELD,
	}, out;
	char temp[80];
	struct dtrack *h;
	struct stat st;

	dtrack_new(&h);
	CHECK_INT(-ENOENT, dtl_manifest_load(h, path, &out));
	CHECK_INT(0, dtl_manifest_store(h, path, &in));
	CHECK_INT(0, dtl_manifest_load(h, path, &out));
	CHECK(!memcmp(&in, &out, sizeof(in)), "differs");
	CHECK(!stat(path, &st) && (st.st_mode & 0777) == 0600, "mode %o",
	      st.st_mode);
	snprintf(temp, sizeof(temp), "%s.new", path);
	CHECK(access(temp, F_OK), "the temporary file was left");
	in = (struct dtl_manifest){
		.size = 1, .sync = "full",
		.consistency = DTRACK_CONSISTENCY_UNKNOWN,
	};
	CHECK_INT(0, dtl_manifest_store(h, path, &in));
	CHECK_INT(0, dtl_manifest_load(h, path, &out));
	CHECK(!memcmp(&in, &out, sizeof(in)), "without a bitmap: differs");
	dtrack_free(h);
}

/* Each word is read back; a later one, or none, is unknown. */
static void test_consistency(void)
{
	static const struct {
		const char *text;
		int consistency;
	} known[] = {
		{ "\"sync\": \"bitmap\"", DTRACK_CONSISTENCY_UNKNOWN },
		{ "\"sync\": \"bitmap\", \"consistency\": \"live\"",
		  DTRACK_CONSISTENCY_LIVE },
		{ "\"sync\": \"bitmap\", \"consistency\": \"instant\"",
		  DTRACK_CONSISTENCY_IMAGE },
		{ "\"sync\": \"bitmap\", \"consistency\": \"held\"",
		  DTRACK_CONSISTENCY_HELD },
		{ "\"sync\": \"bitmap\", \"consistency\": \"image\"",
		  DTRACK_CONSISTENCY_UNKNOWN },
	};
	struct dtl_manifest m;
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		CHECK(accepts("\"sync\": \"bitmap\"", known[i].text, &m), "%s",
		      known[i].text);
		CHECK_INT(known[i].consistency, m.consistency);
	}
	CHECK(!accepts("\"sync\": \"bitmap\"",
		       "\"sync\": \"bitmap\", \"consistency\": 1", &m),
	      "a number");
}

static void test_failed_store(void)
{
	struct dtl_manifest m = { .size = 1, .sync = "full" };
	struct dtrack *h;
	char temp[80];

	dtrack_new(&h);
	CHECK_INT(0, dtl_manifest_store(h, path, &m));
	snprintf(temp, sizeof(temp), "%s.new", path);
	CHECK(!mkdir(temp, 0700), "mkdir");
	m.size = 2;
	CHECK_INT(-EISDIR, dtl_manifest_store(h, path, &m));
	rmdir(temp);
	CHECK(!symlink("/nonexistent", temp), "symlink");
	CHECK_INT(-ELOOP, dtl_manifest_store(h, path, &m));
	CHECK_INT(0, dtl_manifest_load(h, path, &m));
	CHECK_INT(1, m.size);
	unlink(temp);
	dtrack_free(h);
}

static void test_not_a_file(void)
{
	struct dtl_manifest m;
	struct dtrack *h;

	dtrack_new(&h);
	unlink(path);
	CHECK(!mkdir(path, 0700), "mkdir");
	CHECK(dtl_manifest_load(h, path, &m) < 0, "a folder");
	rmdir(path);
	/* One that would block an open for ever. */
	CHECK(!mkfifo(path, 0600), "mkfifo");
	CHECK(dtl_manifest_load(h, path, &m) < 0, "a fifo");
	CHECK(strstr(dtrack_errmsg(h), path), "%s", dtrack_errmsg(h));
	unlink(path);
	dtrack_free(h);
}

/* ---- For programs -------------------------------------------------------- */

static void test_read(void)
{
	struct dtl_manifest m = {
		.complete = true, .has_bitmap = true, .has_from = true,
		.size = 4096, .granularity = 512, .from = 3, .to = 4,
		.run = 7, .uuid = UUID, .name = "b", .sync = "full",
		.mode = "conditional",
	};
	struct dtrack_manifest r;
	char target[4096];
	struct dtrack *h;

	snprintf(target, sizeof(target), "%s/t", dir);
	dtrack_new(&h);
	CHECK_INT(-ENOENT, dtrack_manifest_read(h, target, &r, sizeof(r)));
	CHECK(strstr(dtrack_errmsg(h), "Could not open"), "%s",
	      dtrack_errmsg(h));
	CHECK(!mknod(target, S_IFREG | 0600, 0), "a target");
	CHECK_INT(-ENOENT, dtrack_manifest_read(h, target, &r, sizeof(r)));
	CHECK(strstr(dtrack_errmsg(h), "has no manifest"), "%s",
	      dtrack_errmsg(h));
	CHECK_INT(0, dtl_manifest_store(h, path, &m));
	CHECK_INT(0, dtrack_manifest_read(h, target, &r, sizeof(r)));
	CHECK(r.complete && r.has_bitmap && r.has_from && r.bytes == 4096 &&
	      r.granularity == 512 && r.from == 3 && r.to == 4 && r.run == 7,
	      "a member differs");
	CHECK_STR(UUID, r.uuid);
	/* A program that knows less. */
	memset(&r, 0xff, sizeof(r));
	CHECK_INT(0, dtrack_manifest_read(h, target, &r,
					  offsetof(struct dtrack_manifest, to)));
	CHECK(r.from == 3 && r.to == UINT64_MAX, "too much was written");
	CHECK(!truncate(path, 20), "truncate");
	CHECK_INT(-EBADMSG, dtrack_manifest_read(h, target, &r, sizeof(r)));
	unlink(path);
	unlink(target);
	dtrack_free(h);
}

/* ---- What a manifest admits --------------------------------------------- */

static bool fits(bool complete, int from, uint64_t to, uint64_t run,
		 uint64_t generation, uint64_t last_run)
{
	struct dtl_manifest m = {
		.complete = complete, .has_bitmap = true,
		.has_from = from >= 0, .from = (uint64_t)from, .to = to,
		.run = run, .uuid = UUID,
	};
	struct dtrack_bitmap_info info = {
		.generation = generation, .last_run = last_run,
	};

	memset(info.uuid, 1, sizeof(info.uuid));
	return dtl_manifest_fits(&m, &info);
}

static void test_fits(void)
{
	CHECK(fits(true, 3, 4, 7, 4, 7), "complete");
	CHECK(fits(true, 3, 4, 7, 4, 9), "complete, by its generation alone");
	CHECK(!fits(true, 3, 4, 7, 3, 0), "complete, older bitmap");
	CHECK(!fits(true, 3, 4, 7, 5, 7), "complete, newer bitmap");

	CHECK(fits(false, 3, 4, 7, 3, 0), "reclaimed");
	CHECK(fits(false, 3, 4, 7, 4, 7), "abdicated, then killed");
	CHECK(!fits(false, 3, 4, 7, 4, 0), "cleared after the reclaim");
	CHECK(!fits(false, 3, 4, 7, 4, 8), "another run's step");
	CHECK(!fits(false, 3, 4, 7, 5, 7), "abdicated, then cleared");

	CHECK(!fits(false, -1, 4, 7, 3, 0), "a cut full copy");
	CHECK(!fits(false, -1, 4, 7, 0, 0), "a cut full copy, generation 0");
	CHECK(fits(false, -1, 4, 7, 4, 7), "a full copy, killed at the end");

	CHECK(fits(false, 3, 3, 7, 3, 0), "cut 'never'");
}

static void test_fits_uuid(void)
{
	struct dtl_manifest m = { .complete = true, .to = 1, .uuid = UUID };
	struct dtrack_bitmap_info info = { .generation = 1 };

	memset(info.uuid, 1, sizeof(info.uuid));
	CHECK(!dtl_manifest_fits(&m, &info), "made without a bitmap");
	m.has_bitmap = true;
	CHECK(dtl_manifest_fits(&m, &info), "its bitmap");
	info.uuid[15] = 2;
	CHECK(!dtl_manifest_fits(&m, &info), "another bitmap");
}

int main(void)
{
	static const struct check checks[] = {
		{ "manifest-good", test_good },
		{ "manifest-fields", test_fields },
		{ "manifest-checksums", test_checksums },
		{ "manifest-every-cut", test_every_cut },
		{ "manifest-every-flip", test_every_flip },
		{ "manifest-garbage", test_garbage },
		{ "manifest-round-trip", test_round_trip },
		{ "manifest-consistency", test_consistency },
		{ "manifest-failed-store", test_failed_store },
		{ "manifest-not-a-file", test_not_a_file },
		{ "manifest-read", test_read },
		{ "manifest-fits", test_fits },
		{ "manifest-fits-uuid", test_fits_uuid },
		{ 0 },
	};
	int ret;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/t.dtrack", dir);
	ret = run_checks(checks);
	unlink(path);
	rmdir(dir);
	return ret;
}
