// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test-run.c - backup runs onto files, with a file for a device.
 *
 * What is copied, in which order the kernel is told, what the manifest says at
 * each end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "dtrack.h"
#include "manifest.h"
#include "mock.h"

#define SIZE	(4U << 20)
#define G	65536U

static const struct dtrack_dev dev = { 4001, 7 };

static char dir[] = "/tmp/dtrack-test-XXXXXX";
static char source[64], target[64], manifest[80], sums[96];

/* ---- Files -------------------------------------------------------------- */

static void write_file(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(data, 1, len, f) != len || fclose(f))
		abort();
}

static char *read_file(const char *path, size_t *len)
{
	static char buf[SIZE + 1];
	FILE *f = fopen(path, "r");

	*len = 0;
	if (f) {
		*len = fread(buf, 1, sizeof(buf), f);
		fclose(f);
	}
	return buf;
}

static char data[SIZE];

static void fresh(void)
{
	size_t i;

	for (i = 0; i < SIZE; i++)
		data[i] = (char)(i / G * 7 + i % 251 + 1);
	/* Zeroes in granules 8 and 9. */
	memset(data + 8 * G, 0, 2 * G);
	write_file(source, data, SIZE);
	unlink(target);
	unlink(manifest);
	unlink(sums);
}

/* Granules of the target that equal the source's, as "0-3 7". */
static const char *same_granules(void)
{
	static char text[1024];
	size_t len, i, first = 0;
	char *got = read_file(target, &len);
	bool in = false, same;

	text[0] = '\0';
	if (len != SIZE)
		sprintf(text, "size %zu ", len);
	for (i = 0; i <= SIZE / G; i++) {
		same = i < SIZE / G && (i + 1) * G <= len &&
		       !memcmp(got + i * G, data + i * G, G);
		if (same && !in)
			first = i;
		if (!same && in)
			sprintf(text + strlen(text),
				first == i - 1 ? "%zu " : "%zu-%zu ", first,
				i - 1);
		in = same;
	}
	return text;
}

/* ---- Runs --------------------------------------------------------------- */

struct outcome {
	int new;
	int execute;
	struct dtrack_run_result result;
	char msg[8192];
	char cls[32];
};

static char script_head[256];

/* Runs with @lines added to the device's script. */
static struct outcome run(const char *lines, struct dtrack_run_options o)
{
	struct outcome out = { 0 };
	struct dtrack_run *r;
	struct dtrack *h;
	char script[4096];

	snprintf(script, sizeof(script), "%s%s\n", script_head, lines);
	mock_script(script);
	dtrack_new(&h);
	out.new = dtrack_run_new(h, dev, &o, &r);
	if (!out.new) {
		out.execute = dtrack_run_execute(r);
		dtrack_run_result(r, &out.result, sizeof(out.result));
		dtrack_run_free(r);
	}
	snprintf(out.msg, sizeof(out.msg), "%s", dtrack_errmsg(h));
	snprintf(out.cls, sizeof(out.cls), "%s", dtrack_errclass(h));
	dtrack_free(h);
	return out;
}

static struct dtrack_run_options options(int sync, const char *bitmap, int mode)
{
	struct dtrack_run_options o = DTRACK_RUN_OPTIONS_INIT;

	o.target = target;
	o.sync = sync;
	o.bitmap = bitmap;
	o.mode = mode;
	return o;
}

static struct dtl_manifest load_manifest(void)
{
	struct dtl_manifest m = { 0 };
	struct dtrack *h;

	dtrack_new(&h);
	CHECK_INT(0, dtl_manifest_load(h, manifest, &m));
	dtrack_free(h);
	return m;
}

static void store_manifest(bool complete, bool has_from, uint64_t from,
			   uint64_t to, uint64_t run_id)
{
	struct dtl_manifest m = {
		.complete = complete, .has_bitmap = true,
		.has_from = has_from, .from = from, .to = to, .run = run_id,
		.size = SIZE, .granularity = G, .name = "b", .sync = "bitmap",
		.mode = "conditional",
		.uuid = "01010101-0101-0101-0101-010101010101",
	};
	struct dtrack *h;

	dtrack_new(&h);
	CHECK_INT(0, dtl_manifest_store(h, manifest, &m));
	dtrack_free(h);
}

static bool has_call(const char *what)
{
	return strstr(mock_log(), what);
}

/* @a and @b are both in the log, and in this order. */
static bool in_order(const char *a, const char *b)
{
	const char *p = strstr(mock_log(), a);

	return p && strstr(p, b);
}

#define BITMAP	"BITMAP 4001:7 b uuid=1 generation=3 count=196608\n" \
		"EXTENT 65536 131072\nEXTENT 655360 65536\n"

static void blank_target(void)
{
	static char blank[SIZE];

	memset(blank, 0xee, SIZE);
	write_file(target, blank, SIZE);
}

/* ---- Good runs ---------------------------------------------------------- */

static void test_full(void)
{
	struct outcome out;
	struct dtl_manifest m;
	struct stat st;

	fresh();
	out = run("", options(DTRACK_SYNC_FULL, NULL, DTRACK_MODE_UNSET));
	CHECK(!out.new && !out.execute, "%s", out.msg);
	CHECK_INT(DTRACK_RUN_COMPLETED, out.result.state);
	CHECK_INT(SIZE, out.result.bytes_total);
	CHECK_INT(SIZE, out.result.bytes_copied);
	CHECK_STR("0-63 ", same_granules());
	CHECK(!has_call("FREEZE") && !has_call("REPORT"), "%s", mock_log());
	CHECK(has_call("SOURCE direct cloexec"), "%s", mock_log());
	m = load_manifest();
	CHECK(m.complete && !m.has_bitmap && m.size == SIZE, "manifest");
	CHECK(!stat(target, &st) && st.st_blocks * 512 < SIZE,
	      "zeroes are no holes in a new file");
	CHECK_INT(0600, st.st_mode & 0777);
}

static void test_full_with_bitmap(void)
{
	struct outcome out;
	struct dtl_manifest m;

	fresh();
	out = run(BITMAP, options(DTRACK_SYNC_FULL, "b",
				  DTRACK_MODE_CONDITIONAL));
	CHECK(!out.new && !out.execute, "%s", out.msg);
	CHECK_STR("0-63 ", same_granules());
	CHECK(has_call("FREEZE b mode=0 set=1 flags=0\n"), "%s", mock_log());
	CHECK(!has_call("EXTENTS"), "%s", mock_log());
	CHECK(in_order("REPORT b run=1 0+4194304", "ABDICATE b run=1"), "%s",
	      mock_log());
	m = load_manifest();
	CHECK(m.complete && m.has_bitmap && !m.has_from && m.to == 4 && m.run,
	      "manifest");
}

static void test_incremental(void)
{
	struct outcome out;
	struct dtl_manifest m;

	fresh();
	blank_target();
	store_manifest(true, true, 2, 3, 9);
	out = run(BITMAP, options(DTRACK_SYNC_INCREMENTAL, "b",
				  DTRACK_MODE_UNSET));
	CHECK(!out.new && !out.execute, "%s", out.msg);
	CHECK_INT(196608, out.result.bytes_total);
	CHECK_INT(196608, out.result.bytes_copied);
	CHECK_STR("1-2 10 ", same_granules());
	CHECK(has_call("REPORT b run=1 65536+131072 655360+65536\n"), "%s",
	      mock_log());
	CHECK(in_order("FREEZE b mode=0 set=0", "ABDICATE b run=1"), "%s",
	      mock_log());
	m = load_manifest();
	CHECK(m.complete && m.has_from && m.from == 3 && m.to == 4, "manifest");
	CHECK_STR("incremental", m.sync);
}

/*
 * What the copy is of: nothing was written to a device that is not in use, or
 * something was, or the caller has seen to it.
 */
static void test_what_it_is_of(void)
{
	static const struct {
		const char *written;
		unsigned int flags;
		int consistency;
	} known[] = {
		{ "", 0, DTRACK_CONSISTENCY_HELD },
		{ "THEN 2 successor=65536\n", 0, DTRACK_CONSISTENCY_LIVE },
		{ "THEN 2 flags=0\n", 0, DTRACK_CONSISTENCY_LIVE },
		{ "THEN 2 successor=65536\n", DTRACK_RUN_FROZEN,
		  DTRACK_CONSISTENCY_LIVE },
		{ "THEN 2 successor=65536\n", DTRACK_RUN_HELD,
		  DTRACK_CONSISTENCY_HELD },
	};
	struct dtrack_run_options o = options(DTRACK_SYNC_FULL, "b",
					      DTRACK_MODE_CONDITIONAL);
	struct outcome out;
	char lines[512];
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		fresh();
		snprintf(lines, sizeof(lines), "%s\n%s", BITMAP,
			 known[i].written);
		o.flags = known[i].flags;
		out = run(lines, o);
		CHECK(!out.new && !out.execute, "%zu: %s", i, out.msg);
		CHECK_INT(known[i].consistency, out.result.consistency);
		CHECK_INT(known[i].consistency, load_manifest().consistency);
	}
	/* Nobody knows what was written. */
	fresh();
	out = run("", options(DTRACK_SYNC_FULL, NULL, DTRACK_MODE_UNSET));
	CHECK_INT(DTRACK_CONSISTENCY_LIVE, out.result.consistency);
	CHECK_INT(DTRACK_CONSISTENCY_LIVE, load_manifest().consistency);
}

static void test_never(void)
{
	struct outcome out;
	struct dtl_manifest m;

	fresh();
	blank_target();
	store_manifest(true, true, 2, 3, 9);
	out = run(BITMAP, options(DTRACK_SYNC_BITMAP, "b", DTRACK_MODE_NEVER));
	CHECK(!out.new && !out.execute, "%s", out.msg);
	CHECK(has_call("RECLAIM b run=1 flags=0\n") && !has_call("ABDICATE"),
	      "%s", mock_log());
	m = load_manifest();
	CHECK(m.complete && m.from == 3 && m.to == 3, "manifest");
}

static void test_empty(void)
{
	struct outcome out;

	fresh();
	blank_target();
	store_manifest(true, true, 2, 3, 9);
	out = run("BITMAP 4001:7 b uuid=1 generation=3 count=0\n",
		  options(DTRACK_SYNC_INCREMENTAL, "b", DTRACK_MODE_UNSET));
	CHECK(!out.new && !out.execute, "%s", out.msg);
	CHECK_INT(0, out.result.bytes_total);
	CHECK_STR("", same_granules());
	CHECK(!has_call("REPORT") && has_call("ABDICATE"), "%s", mock_log());
}

/* Zeroes must be written over what an old target has there. */
static void test_zeroes(void)
{
	struct outcome out;

	fresh();
	blank_target();
	store_manifest(true, true, 2, 3, 9);
	out = run("BITMAP 4001:7 b uuid=1 generation=3 count=131072\n"
		  "EXTENT 524288 131072\n",
		  options(DTRACK_SYNC_BITMAP, "b", DTRACK_MODE_ALWAYS));
	CHECK(!out.new && !out.execute, "%s", out.msg);
	CHECK_STR("8-9 ", same_granules());
}

static void test_full_over_old(void)
{
	struct outcome out;

	fresh();
	blank_target();
	out = run("", options(DTRACK_SYNC_TOP, NULL, DTRACK_MODE_UNSET));
	CHECK(!out.new && !out.execute, "%s", out.msg);
	CHECK_STR("0-63 ", same_granules());
}

static void test_forced_holes(void)
{
	struct dtrack_run_options o = options(DTRACK_SYNC_BITMAP, "b",
					      DTRACK_MODE_ALWAYS);
	struct outcome out;
	struct dtl_manifest m;

	fresh();
	o.flags = DTRACK_RUN_FORCE;
	out = run(BITMAP, o);
	CHECK(!out.new && !out.execute, "%s", out.msg);
	CHECK_STR("1-2 8-10 ", same_granules());
	m = load_manifest();
	CHECK(m.complete && !m.has_from, "manifest");
}

/* A tail that is no whole granule, coarse granules, one that spans requests. */
static void test_tail(void)
{
	struct outcome out;

	fresh();
	truncate(source, SIZE - G / 2);
	snprintf(script_head, sizeof(script_head), "FILE %s\nDEV 4001:7 %u\n",
		 source, SIZE - G / 2);
	out = run("BITMAP 4001:7 b granularity=2097152 count=4161536\n",
		  options(DTRACK_SYNC_FULL, "b", DTRACK_MODE_ALWAYS));
	snprintf(script_head, sizeof(script_head), "FILE %s\nDEV 4001:7 %u\n",
		 source, SIZE);
	CHECK(!out.new && !out.execute, "%s", out.msg);
	CHECK_INT(SIZE - G / 2, out.result.bytes_total);
	CHECK_INT(SIZE - G / 2, out.result.bytes_copied);
	CHECK(has_call("REPORT b run=1 0+4161536\n"), "%s", mock_log());
}

/* ---- Refused runs ------------------------------------------------------- */

static void refused(const char *lines, struct dtrack_run_options o, int err,
		    const char *cls, const char *words)
{
	struct outcome out = run(lines, o);

	CHECK_INT(-err, out.new);
	CHECK_STR(cls, out.cls);
	CHECK(strstr(out.msg, words), "expected '%s', got '%s'", words,
	      out.msg);
	CHECK(!has_call("FREEZE"), "%s", mock_log());
}

#define INCREMENTAL \
	options(DTRACK_SYNC_INCREMENTAL, "b", DTRACK_MODE_UNSET)

static void test_no_target(void)
{
	fresh();
	refused(BITMAP, INCREMENTAL, ENOENT, "GenericError", "does not exist");
	CHECK(access(target, F_OK), "it was made");
}

static void test_no_manifest(void)
{
	fresh();
	blank_target();
	refused(BITMAP, INCREMENTAL, ENOENT, "GenericError", "no manifest");
}

static void test_bad_manifest(void)
{
	fresh();
	blank_target();
	write_file(manifest, "{", 1);
	refused(BITMAP, INCREMENTAL, EBADMSG, "GenericError", "damaged");
}

static void test_misfit(void)
{
	fresh();
	blank_target();
	store_manifest(true, true, 3, 4, 9);
	refused(BITMAP, INCREMENTAL, ESTALE, "Stale",
		"fits generation 4 of bitmap 'b', which is at generation 3");
	store_manifest(false, false, 2, 4, 9);
	refused(BITMAP, INCREMENTAL, ESTALE, "Stale", "unfinished full copy");
	store_manifest(true, true, 2, 3, 9);
	refused("BITMAP 4001:7 b uuid=2 generation=3\n", INCREMENTAL, ESTALE,
		"Stale", "no copy that bitmap 'b' belongs to");
	CHECK_STR("", same_granules());
}

static void test_sizes(void)
{
	struct dtrack_run_options o = options(DTRACK_SYNC_FULL, NULL,
					      DTRACK_MODE_UNSET);

	fresh();
	write_file(target, "x", 1);
	refused("", o, ERANGE, "GenericError",
		"Source and target image have different sizes (4194304 and 1 bytes)");
	blank_target();
	truncate(target, SIZE + 512);
	o.flags = DTRACK_RUN_FORCE;
	refused("", o, ERANGE, "GenericError", "different sizes");
	truncate(target, SIZE - 512);
	CHECK_INT(0, run("", o).new);
	CHECK_STR("0-63 ", same_granules());
}

static void test_kinds(void)
{
	struct dtrack_run_options o = options(DTRACK_SYNC_FULL, NULL,
					      DTRACK_MODE_UNSET);

	fresh();
	o.target = "nbd+unix:///?socket=/nonexistent/x";
	refused("", o, ENOENT, "GenericError", "Could not connect to");
	o.target = "qcow2:";
	refused("", o, EINVAL, "Usage", "no name");
	o.target = "raw:";
	refused("", o, EINVAL, "Usage", "no name");
	o.target = dir;
	refused("", o, EINVAL, "GenericError", "neither a file nor");
	o.target = "/nonexistent/x";
	refused("", o, ENOENT, "GenericError", "/nonexistent/x");
	o.target = "/dev/null";
	refused("", o, EINVAL, "GenericError", "neither a file nor");
}

static void test_consistency(void)
{
	struct dtrack_run_options o = options(DTRACK_SYNC_NONE, NULL,
					      DTRACK_MODE_UNSET);

	fresh();
	refused("", o, EOPNOTSUPP, "GenericError", "sync mode none needs images");
	o.sync = DTRACK_SYNC_FULL;
	o.consistency = DTRACK_CONSISTENCY_IMAGE;
	refused("", o, EOPNOTSUPP, "GenericError", "images are not supported yet");
}

/* SEMANTICS 5.1, the whole table and the order of its checks. */
static void test_validity(void)
{
	static const char *const err[] = {
		NULL,
		"must provide a valid bitmap name for '%s' sync mode",
		"Bitmap sync mode must be 'on-success' when using sync mode 'incremental'",
		"Bitmap 'b' could not be found",
		"Bitmap sync mode must be given when providing a bitmap",
		NULL,
		"sync mode 'none' does not produce meaningful bitmap outputs",
		"Bitmap sync mode 'never' has no meaningful effect when combined with sync mode '%s'",
		"Cannot specify bitmap sync mode without a bitmap",
		"sync mode none needs images",
	};
	static const char *const name[] = {
		"full", "top", "incremental", "bitmap", "none",
	};
	/* No bitmap and no mode, mode; bitmap and no mode, and each mode. */
	static const int table[5][6] = {
		[DTRACK_SYNC_FULL] = { 0, 8, 4, 0, 7, 0 },
		[DTRACK_SYNC_TOP] = { 0, 8, 4, 0, 7, 0 },
		[DTRACK_SYNC_BITMAP] = { 1, 1, 4, 0, 0, 0 },
		[DTRACK_SYNC_INCREMENTAL] = { 1, 1, 0, 0, 2, 2 },
		[DTRACK_SYNC_NONE] = { 9, 8, 4, 6, 6, 6 },
	};
	static const int mode[6] = {
		DTRACK_MODE_UNSET, DTRACK_MODE_CONDITIONAL, DTRACK_MODE_UNSET,
		DTRACK_MODE_CONDITIONAL, DTRACK_MODE_NEVER, DTRACK_MODE_ALWAYS,
	};
	struct outcome out;
	char words[256];
	int sync, col;

	for (sync = 0; sync < 5; sync++)
		for (col = 0; col < 6; col++) {
			int e = table[sync][col];

			fresh();
			blank_target();
			store_manifest(true, true, 2, 3, 9);
			out = run(BITMAP, options(sync, col < 2 ? NULL : "b",
						  mode[col]));
			snprintf(words, sizeof(words), err[e] ? : "",
				 name[sync]);
			CHECK(!e == !out.new, "%s/%d: %s", name[sync], col,
			      out.msg);
			CHECK(!e || !strcmp(words, out.msg),
			      "%s/%d: expected '%s', got '%s'", name[sync], col,
			      words, out.msg);
			CHECK(!e || !strcmp(out.cls, e == 9 ? "GenericError" :
					    "Usage"),
			      "%s/%d: %s", name[sync], col, out.cls);
		}
	out = run("", options(DTRACK_SYNC_FULL, "b", DTRACK_MODE_UNSET));
	CHECK_STR(err[3], out.msg);
	CHECK_STR("BitmapNotFound", out.cls);
	out = run("", options(DTRACK_SYNC_INCREMENTAL, "b", DTRACK_MODE_NEVER));
	CHECK_STR(err[2], out.msg);
}

static void test_unfit_bitmap(void)
{
	fresh();
	blank_target();
	refused("BITMAP 4001:7 b flags=3\n", INCREMENTAL, EBUSY, "Busy",
		"Bitmap 'b' is currently in use by another operation and cannot be used");
	refused("BITMAP 4001:7 b flags=8\n", INCREMENTAL, EUCLEAN,
		"Inconsistent", "Bitmap 'b' is inconsistent and cannot be used");
	refused("BITMAP 4001:7 b flags=17\n", INCREMENTAL, EROFS, "ReadOnly",
		"Bitmap 'b' is readonly and cannot be modified");
}

/* ---- Runs that fail on the way ------------------------------------------ */

static struct outcome failing(const char *line)
{
	char script[1024];
	struct outcome out;

	fresh();
	blank_target();
	store_manifest(true, true, 2, 3, 9);
	snprintf(script, sizeof(script), BITMAP "%s\n", line);
	out = run(script, INCREMENTAL);
	CHECK(!out.new && out.execute, "new %d, execute %d", out.new,
	      out.execute);
	CHECK_INT(DTRACK_RUN_FAILED, out.result.state);
	return out;
}

static void test_fail_freeze(void)
{
	struct outcome out = failing("FAIL TRANSACTION EBUSY");

	CHECK_STR("Busy", out.cls);
	CHECK(!has_call("RECLAIM"), "%s", mock_log());
	CHECK(load_manifest().complete, "the manifest was touched");
	CHECK_STR("", same_granules());
}

static void test_fail_extents(void)
{
	struct outcome out = failing("FAIL EXTENTS ENOMEM");

	CHECK_INT(-ENOMEM, out.execute);
	CHECK(has_call("RECLAIM b run=1"), "%s", mock_log());
	CHECK(!load_manifest().complete, "the manifest");
}

static void test_fail_report(void)
{
	struct outcome out = failing("FAIL REPORT EINVAL");

	CHECK_INT(-EINVAL, out.execute);
	CHECK_INT(0, out.result.bytes_copied);
	CHECK(in_order("REPORT", "RECLAIM b run=1"), "%s", mock_log());
	CHECK(!load_manifest().complete, "the manifest");
}

static void test_taken_away(void)
{
	struct outcome out = failing("FAIL REPORT ESTALE\nFAIL RECLAIM ESTALE");

	CHECK_STR("Stale", out.cls);
	CHECK_STR("The freeze of bitmap 'b' was taken away", out.msg);
	out = failing("FAIL EXTENTS ESTALE\nFAIL RECLAIM ESTALE");
	CHECK_STR("The freeze of bitmap 'b' was taken away", out.msg);
	out = failing("FAIL ABDICATE ESTALE\nFAIL RECLAIM ESTALE");
	CHECK_STR("The freeze of bitmap 'b' was taken away", out.msg);
	CHECK(!load_manifest().complete, "the manifest");
}

static void test_fail_abdicate(void)
{
	struct outcome out = failing("FAIL ABDICATE EIO");

	CHECK_INT(-EIO, out.execute);
	CHECK(in_order("ABDICATE", "RECLAIM b run=1"), "%s", mock_log());
	CHECK(!load_manifest().complete, "the manifest");
	CHECK_STR("1-2 10 ", same_granules());
}

static void test_short_source(void)
{
	struct outcome out;

	fresh();
	truncate(source, 12 * G + 512);
	out = run("BITMAP 4001:7 b generation=3\n",
		  options(DTRACK_SYNC_FULL, "b", DTRACK_MODE_ALWAYS));
	CHECK_INT(-EIO, out.execute);
	CHECK(strstr(out.msg, "Could not read '/dev/mock/7' at byte 786432"),
	      "%s", out.msg);
	CHECK_INT(12 * G, out.result.bytes_copied);
	CHECK(in_order("REPORT b run=1 0+786432\n", "RECLAIM b run=1"), "%s",
	      mock_log());
}

static int notified;
static struct dtrack_run *running;

static void cancel_at_once(void *opaque, enum dtrack_run_event event,
			   uint64_t done, uint64_t total, const char *message)
{
	(void)event;
	(void)total;
	(void)message;
	notified++;
	if (done >= *(uint64_t *)opaque)
		dtrack_run_cancel(running);
}

static void cancel_at(uint64_t bytes, const char *same, uint64_t copied)
{
	struct dtrack_run_options o = options(DTRACK_SYNC_BITMAP, "b",
					      DTRACK_MODE_ALWAYS);
	struct dtrack_run_result result;
	struct dtrack *h;
	char script[512];

	fresh();
	blank_target();
	store_manifest(true, true, 2, 3, 9);
	o.jobs = 1;
	o.notify = cancel_at_once;
	o.opaque = &bytes;
	snprintf(script, sizeof(script), "%s" BITMAP, script_head);
	mock_script(script);
	dtrack_new(&h);
	CHECK_INT(0, dtrack_run_new(h, dev, &o, &running));
	CHECK_INT(-ECANCELED, dtrack_run_execute(running));
	CHECK_STR("Operation canceled", dtrack_errmsg(h));
	dtrack_run_result(running, &result, sizeof(result));
	CHECK_INT(DTRACK_RUN_CANCELLED, result.state);
	CHECK_INT((long long)copied, result.bytes_copied);
	CHECK(has_call("RECLAIM b run=1") && !has_call("ABDICATE"), "%s",
	      mock_log());
	CHECK_STR(same, same_granules());
	CHECK(!load_manifest().complete, "the manifest");
	CHECK_INT(-EINVAL, dtrack_run_execute(running));
	dtrack_run_free(running);
	dtrack_free(h);
}

static void test_cancel_before(void)
{
	struct dtrack_run_options o = INCREMENTAL;
	char script[512];
	struct dtrack *h;

	fresh();
	blank_target();
	store_manifest(true, true, 2, 3, 9);
	snprintf(script, sizeof(script), "%s" BITMAP, script_head);
	mock_script(script);
	dtrack_new(&h);
	CHECK_INT(0, dtrack_run_new(h, dev, &o, &running));
	dtrack_run_cancel(running);
	CHECK_INT(-ECANCELED, dtrack_run_execute(running));
	CHECK(!has_call("FREEZE"), "%s", mock_log());
	CHECK(load_manifest().complete, "the manifest");
	dtrack_run_free(running);
	dtrack_free(h);
}

static void test_cancel(void)
{
	cancel_at(0, "", 0);
	cancel_at(2 * G, "1-2 ", 2 * G);
	/* Everything is copied, nothing is ended. */
	cancel_at(3 * G, "1-2 10 ", 3 * G);
	CHECK(has_call("REPORT b run=1 65536+131072 655360+65536"), "%s",
	      mock_log());
}

/* With the bitmap at @generation, after the run @last_run. */
static int new_at(int generation, uint64_t last_run)
{
	char script[256];

	snprintf(script, sizeof(script),
		 "BITMAP 4001:7 b uuid=1 generation=%d last-run=%" PRIu64 "\n",
		 generation, last_run);
	return run(script, INCREMENTAL).new;
}

/* A killed or failed run's target is taken up again. */
static void test_retry(void)
{
	failing("FAIL ABDICATE EIO");
	CHECK_INT(0, run(BITMAP, INCREMENTAL).execute);
	CHECK(load_manifest().complete, "the manifest");

	failing("FAIL ABDICATE EIO");
	CHECK_INT(0, new_at(4, load_manifest().run));
	failing("FAIL ABDICATE EIO");
	CHECK_INT(-ESTALE, new_at(4, load_manifest().run + 1));
}

/*
 * A process that dies at its freeze, which in mode 'always' steps the
 * generation, has a manifest that tells whose step it was.
 */
static void test_killed_at_freeze(void)
{
	struct dtl_manifest m;

	fresh();
	blank_target();
	store_manifest(true, true, 2, 3, 9);
	mock_script(script_head);
	if (!fork()) {
		setenv("DTR_MOCK_EXIT", "TRANSACTION", 1);
		run(BITMAP, options(DTRACK_SYNC_BITMAP, "b",
				    DTRACK_MODE_ALWAYS));
		_exit(0);
	}
	wait(NULL);
	m = load_manifest();
	CHECK(!m.complete && m.has_from && m.from == 3 && m.to == 4,
	      "the manifest");
	CHECK_INT(0, new_at(4, m.run));
	store_manifest(false, true, 3, 4, 9);
	CHECK_INT(-ESTALE, new_at(4, 8));
}

/* A full copy of something else says that it is unfinished only when it is. */
static void test_misfit_and_no_freeze(void)
{
	struct outcome out;

	fresh();
	blank_target();
	store_manifest(true, true, 1, 2, 9);
	out = run(BITMAP "FAIL TRANSACTION EBUSY\n",
		  options(DTRACK_SYNC_FULL, "b", DTRACK_MODE_ALWAYS));
	CHECK_INT(-EBUSY, out.execute);
	CHECK(load_manifest().complete && load_manifest().to == 2,
	      "the manifest was touched");
}

/* What was frozen is not what was checked. */
static void test_changed_before_freeze(void)
{
	failing("SWAP generation=4");
	CHECK(!strstr(mock_log(), "RECLAIM"), "frozen: %s", mock_log());
	failing("SWAP last-run=5");
	CHECK(in_order("FREEZE b", "RECLAIM b run=1"), "%s", mock_log());
	failing("SWAP uuid=2");
	failing("SWAP bytes=1048576");
	CHECK_STR("", same_granules());
}

/* An image of another run must not be relied on before it is written. */
static void test_stale_manifest_of_gone_target(void)
{
	struct outcome out;

	fresh();
	store_manifest(true, true, 2, 3, 9);
	/* The full copy dies early: the folder's old manifest must be gone. */
	out = run("BITMAP 4001:7 b uuid=1 generation=3\nFAIL REPORT EIO\n",
		  options(DTRACK_SYNC_FULL, "b", DTRACK_MODE_CONDITIONAL));
	CHECK(out.execute, "it went well");
	refused("BITMAP 4001:7 b uuid=1 generation=3\n", INCREMENTAL, ESTALE,
		"Stale", "unfinished full copy");
}

/* Another process locks the target; the lock must end with that process. */
static void test_locked(void)
{
	struct dtrack_run_options o = options(DTRACK_SYNC_FULL, NULL,
					      DTRACK_MODE_UNSET);
	int ready[2], end[2];
	char byte;

	fresh();
	blank_target();
	if (pipe(ready) || pipe(end))
		abort();
	if (!fork()) {
		struct dtrack_run *r;
		struct dtrack *h;

		close(end[1]);
		mock_script(script_head);
		dtrack_new(&h);
		if (dtrack_run_new(h, dev, &o, &r) || write(ready[1], "", 1) != 1 ||
		    read(end[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	CHECK_INT(1, read(ready[0], &byte, 1));
	refused("", o, EBUSY, "Busy", "used by another run");
	close(end[1]);
	close(end[0]);
	wait(NULL);
	CHECK_INT(0, run("", o).execute);
	close(ready[0]);
	close(ready[1]);
}

/* A full copy over a target that fits may be cut, over another one not. */
static void test_full_again(void)
{
	struct dtrack_run_options o = options(DTRACK_SYNC_FULL, "b",
					      DTRACK_MODE_CONDITIONAL);

	fresh();
	blank_target();
	store_manifest(true, true, 2, 3, 9);
	CHECK(run(BITMAP "FAIL REPORT EIO\n", o).execute, "it went well");
	CHECK(load_manifest().has_from, "the target fitted");
	CHECK_INT(0, run(BITMAP, INCREMENTAL).execute);
	store_manifest(true, true, 1, 2, 9);
	CHECK(run(BITMAP "FAIL REPORT EIO\n", o).execute, "it went well");
	refused(BITMAP, INCREMENTAL, ESTALE, "Stale", "unfinished full copy");
}

static void test_symlink(void)
{
	char link[80];
	struct dtrack_run_options o = INCREMENTAL;

	fresh();
	blank_target();
	store_manifest(true, true, 2, 3, 9);
	snprintf(link, sizeof(link), "%s/link", dir);
	CHECK(!symlink(target, link), "symlink");
	o.target = link;
	CHECK_INT(0, run(BITMAP, o).execute);
	CHECK_INT(4, load_manifest().to);
	unlink(target);
	o.flags = DTRACK_RUN_FORCE;
	refused(BITMAP, o, ENOENT, "GenericError", "symbolic link to nothing");
	unlink(link);
}

static void test_speed(void)
{
	struct dtrack_run_options o = options(DTRACK_SYNC_FULL, NULL,
					      DTRACK_MODE_UNSET);
	struct timespec a, b;
	double seconds;

	fresh();
	o.speed = 8 << 20;
	clock_gettime(CLOCK_MONOTONIC, &a);
	CHECK_INT(0, run("", o).execute);
	clock_gettime(CLOCK_MONOTONIC, &b);
	seconds = (double)(b.tv_sec - a.tv_sec) +
		  (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	/* 4 MiB at 8 MiB a second; above, a loaded machine. */
	CHECK(seconds > 0.475 && seconds < 50, "%f s", seconds);
}

int main(void)
{
	static const struct check checks[] = {
		{ "run-full", test_full },
		{ "run-full-with-bitmap", test_full_with_bitmap },
		{ "run-incremental", test_incremental },
		{ "run-says-what-it-is-of", test_what_it_is_of },
		{ "run-never", test_never },
		{ "run-empty-bitmap", test_empty },
		{ "run-zeroes-are-written", test_zeroes },
		{ "run-full-over-old-target", test_full_over_old },
		{ "run-forced-onto-new-file", test_forced_holes },
		{ "run-tail", test_tail },
		{ "refuse-missing-target", test_no_target },
		{ "refuse-missing-manifest", test_no_manifest },
		{ "refuse-damaged-manifest", test_bad_manifest },
		{ "refuse-misfit", test_misfit },
		{ "refuse-sizes", test_sizes },
		{ "refuse-kinds-of-target", test_kinds },
		{ "refuse-what-needs-images", test_consistency },
		{ "refuse-combinations", test_validity },
		{ "refuse-unfit-bitmap", test_unfit_bitmap },
		{ "fail-freeze", test_fail_freeze },
		{ "fail-extents", test_fail_extents },
		{ "fail-report", test_fail_report },
		{ "fail-freeze-taken-away", test_taken_away },
		{ "fail-abdicate", test_fail_abdicate },
		{ "fail-read", test_short_source },
		{ "cancel-before", test_cancel_before },
		{ "cancel", test_cancel },
		{ "retry-onto-incomplete-target", test_retry },
		{ "run-killed-at-freeze", test_killed_at_freeze },
		{ "fail-freeze-for-misfit", test_misfit_and_no_freeze },
		{ "run-changed-before-freeze", test_changed_before_freeze },
		{ "manifest-before-target",
		  test_stale_manifest_of_gone_target },
		{ "full-again-may-be-cut", test_full_again },
		{ "target-locked", test_locked },
		{ "target-symlink", test_symlink },
		{ "speed", test_speed },
		{ 0 },
	};
	int ret;

	if (!mkdtemp(dir))
		return 1;
	snprintf(source, sizeof(source), "%s/source", dir);
	snprintf(target, sizeof(target), "%s/target", dir);
	snprintf(manifest, sizeof(manifest), "%s.dtrack", target);
	snprintf(sums, sizeof(sums), "%s.sums", manifest);
	snprintf(script_head, sizeof(script_head), "FILE %s\nDEV 4001:7 %u\n",
		 source, SIZE);
	ret = run_checks(checks);
	unlink(source);
	unlink(target);
	unlink(manifest);
	unlink(sums);
	rmdir(dir);
	return ret;
}
