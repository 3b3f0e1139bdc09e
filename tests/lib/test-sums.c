// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test-sums.c - checksums of a target over many nights, and what verify makes
 * of them.
 *
 * Nights are random writes and a run, of any kind, which may fail, be cancelled
 * or be cut by a loss of power.  Of a complete target every checksum that is
 * known is right, all that is known to be covered is, and verify finds exactly
 * what is then corrupted.
 *
 * SEED=N repeats the random test.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "dtrack.h"
#include "mock.h"
#include "random.h"
#include "sums.h"

#define SIZE	((4U << 20) + 1536)
#define MOST	(SIZE / 4096 + 1)
#define MOST_UNITS	(SIZE / 512)

static const struct dtrack_dev dev = { 4001, 7 };

static char dir[] = "/tmp/dtrack-test-XXXXXX";
static char source[64], target[64], manifest[80], sums[96];

/* ---- Chance, time and power --------------------------------------------- */

/* What dtl_now() asks: a run flushes often. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	static double now = 1;

	(void)clock;
	now += 0.11;
	ts->tv_sec = (time_t)now;
	ts->tv_nsec = (long)((now - (double)ts->tv_sec) * 1e9);
	return 0;
}

static char durable[DTL_SUMS_HEADER + 8 * (MOST + 1)];
static size_t durable_len;

static size_t read_file(const char *path, void *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t len = f ? fread(buf, 1, size, f) : 0;

	if (f)
		fclose(f);
	return len;
}

static void write_file(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(data, 1, len, f) != len || fclose(f))
		abort();
}

static int flush(const char *symbol, int fd)
{
	int (*real)(int fd);
	char link[64], path[128];
	ssize_t len;

	*(void **)&real = dlsym(RTLD_NEXT, symbol);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len > 0) {
		path[len] = '\0';
		if (!strcmp(path, sums))
			durable_len = read_file(sums, durable, sizeof(durable));
	}
	return real(fd);
}

int fsync(int fd)
{
	return flush("fsync", fd);
}

int fdatasync(int fd)
{
	return flush("fdatasync", fd);
}

/* ---- The device and its bitmap ------------------------------------------ */

static char data[SIZE], got[SIZE + 4096];

static struct world {
	uint64_t granularity;
	unsigned int nr;		/* granules */
	bool dirty[MOST];
	bool covered[MOST];		/* its checksums have to be known */
	uint64_t generation, last_run;
} w;

static uint64_t length_of(unsigned int granule)
{
	uint64_t start = granule * w.granularity;

	return SIZE - start < w.granularity ? SIZE - start : w.granularity;
}

static void write_some(void)
{
	unsigned int i, granule, n = (unsigned int)chance(5);

	for (i = 0; i < n; i++) {
		granule = (unsigned int)chance(w.nr);
		data[granule * w.granularity +
		     chance(length_of(granule))] ^= (char)(1 + chance(255));
		w.dirty[granule] = true;
	}
	write_file(source, data, SIZE);
}

/* Also the extents of the bitmap. */
static void make_script(char *text, size_t size, const char *more)
{
	unsigned int i, k, n = 0;
	uint64_t count = 0;

	for (i = 0; i < w.nr; i++)
		count += w.dirty[i] ? length_of(i) : 0;
	n += (unsigned int)snprintf(text + n, size - n,
		"FILE %s\nDEV 4001:7 %u\n"
		"BITMAP 4001:7 b uuid=1 granularity=%" PRIu64 " generation=%" PRIu64
		" last-run=%" PRIu64 " count=%" PRIu64 "\n%s",
		source, SIZE, w.granularity, w.generation, w.last_run, count,
		more);
	for (i = 0; i < w.nr; i = k + 1) {
		for (k = i; k < w.nr && w.dirty[k]; k++)
			;
		if (k > i)
			n += (unsigned int)snprintf(text + n, size - n,
				"EXTENT %" PRIu64 " %" PRIu64 "\n",
				i * w.granularity,
				(k - 1 - i) * w.granularity + length_of(k - 1));
	}
}

/* ---- Runs --------------------------------------------------------------- */

static struct dtl_manifest load(void)
{
	struct dtl_manifest m = { 0 };
	struct dtrack *h;

	dtrack_new(&h);
	dtl_manifest_load(h, manifest, &m);
	dtrack_free(h);
	return m;
}

static struct dtrack_run *running;
static uint64_t cancel_at;

static void notify(void *opaque, enum dtrack_run_event event, uint64_t done,
		   uint64_t total, const char *message)
{
	(void)opaque;
	(void)event;
	(void)total;
	(void)message;
	if (done >= cancel_at)
		dtrack_run_cancel(running);
}

/* Granules that the kernel was told of, and took: all but the last line's @n. */
static void take_reports(bool *reported, unsigned int untaken)
{
	unsigned long long start, length;
	const char *p = mock_log(), *end;
	unsigned int lines = 0, i, k;
	int n;

	for (p = mock_log(); (p = strstr(p, "REPORT b ")); p++)
		lines++;
	for (p = mock_log(), k = 0; (p = strstr(p, "REPORT b ")) &&
	     k + untaken < lines; k++) {
		end = strchr(p, '\n');
		p = strchr(p, '=');
		for (p = strchr(p, ' '); p && p < end; p += n) {
			if (sscanf(p, " %llu+%llu%n", &start, &length, &n) != 2)
				break;
			for (i = 0; i < w.nr; i++)
				if (i * w.granularity >= start &&
				    i * w.granularity < start + length)
					reported[i] = true;
		}
		p = end;
	}
}

/* What is not known to be copied may be anything after a loss of power. */
static void lose_power(void)
{
	uint64_t start;
	unsigned int i;
	int fd;

	write_file(sums, durable, durable_len);
	fd = open(target, O_WRONLY);
	for (i = 0; i < w.nr && fd >= 0; i++) {
		start = i * w.granularity;
		if (w.dirty[i] && chance(2))
			pwrite(fd, "torn", 4, (off_t)start);
	}
	close(fd);
}

static void end_night(int mode, int sync, int ret, bool fitted,
		      unsigned int untaken)
{
	bool all = sync == DTRACK_SYNC_FULL;
	bool reported[MOST] = { 0 };
	unsigned int i;

	take_reports(reported, untaken);
	for (i = 0; i < w.nr; i++) {
		if (!fitted)
			w.covered[i] = false;
		if (!ret && (all || w.dirty[i]))
			w.covered[i] = true;
	}
	if (ret && mode == DTRACK_MODE_ALWAYS)
		for (i = 0; i < w.nr; i++) {
			w.dirty[i] = (all || w.dirty[i]) && !reported[i];
			w.covered[i] |= reported[i];
		}
	else if (!ret && mode != DTRACK_MODE_NEVER)
		memset(w.dirty, 0, sizeof(w.dirty));
	if (mode == DTRACK_MODE_ALWAYS ||
	    (!ret && mode == DTRACK_MODE_CONDITIONAL)) {
		w.generation++;
		w.last_run = load().run;
	}
}

static bool power_fails;

/* @fate: 0 well, 1 the end fails, 2 a report does, 3 cancelled. */
static void run(int sync, int mode, unsigned int fate)
{
	static const char *const more[] = {
		"", "FAIL ABDICATE EIO\nFAIL RECLAIM EIO\n",
		"FAIL REPORT EINVAL\nSKIP REPORT 2\n", "",
	};
	struct dtrack_run_options o = DTRACK_RUN_OPTIONS_INIT;
	static char script[1 << 18];
	struct dtrack *h;
	bool fitted;
	int ret;

	make_script(script, sizeof(script), more[fate]);
	mock_script(script);
	o.target = target;
	o.bitmap = "b";
	o.sync = sync;
	o.mode = mode;
	o.jobs = 1 + (unsigned int)chance(4);
	o.request_size = chance(2) ? 0 : 65536;
	o.notify = notify;
	cancel_at = fate != 3 ? UINT64_MAX : power_fails ? 1 : chance(SIZE / 4);
	dtrack_new(&h);
	ret = dtrack_run_new(h, dev, &o, &running);
	CHECK(!ret, "%s", dtrack_errmsg(h));
	if (!ret) {
		struct dtl_manifest m = load();
		struct dtrack_bitmap_info info = {
			.generation = w.generation, .last_run = w.last_run,
		};

		memset(info.uuid, 1, sizeof(info.uuid));
		fitted = dtl_manifest_fits(&m, &info);
		ret = dtrack_run_execute(running);
		CHECK(fate || !ret, "%s", dtrack_errmsg(h));
		dtrack_run_free(running);
		end_night(mode, sync, ret, fitted, fate == 2 && ret == -EINVAL);
		if (ret && (power_fails || chance(2)))
			lose_power();
	}
	dtrack_free(h);
}

/* ---- What is there ------------------------------------------------------ */

static void check_sums(void)
{
	struct dtl_manifest m = load();
	unsigned int i, units = 0;
	struct dtl_sums s;
	struct dtrack *h;
	uint64_t sum, at, len;

	dtrack_new(&h);
	CHECK(m.complete && m.has_sums, "the manifest");
	CHECK_INT(w.granularity < 65536 ? w.granularity : 65536, m.sums_unit);
	CHECK(!dtl_sums_open(h, manifest, &m, false, &s), "%s",
	      dtrack_errmsg(h));
	read_file(target, got, sizeof(got));
	CHECK(!memcmp(got, data, SIZE), "the copy is wrong");
	for (at = 0; s.fd >= 0 && at < SIZE; at += s.unit, units++) {
		i = (unsigned int)(at / w.granularity);
		len = SIZE - at < s.unit ? SIZE - at : s.unit;
		CHECK_INT(0, dtl_sums_get(h, &s, units, &sum, 1));
		CHECK(sum || !w.covered[i], "unit %u is not known", units);
		CHECK(!sum || sum == dtl_sum(got + at, len),
		      "the checksum of unit %u is wrong", units);
	}
	dtl_sums_close(&s);
	dtrack_free(h);
}

struct list {
	char text[1 << 16];
	unsigned int nr;
};

static void found(void *opaque, const struct dtrack_range *r, const char *why)
{
	struct list *l = opaque;

	l->nr++;
	if (r)
		sprintf(l->text + strlen(l->text), "%" PRIu64 "+%" PRIu64 " ",
			(uint64_t)r->start, (uint64_t)r->length);
	else
		sprintf(l->text + strlen(l->text), "%s; ", why);
}

static struct dtrack_verify_result result;

/* Return: of dtrack_verify_execute(), or of dtrack_verify_new() - 1000. */
static int verify(const char *device, struct list *l, char *words, size_t size)
{
	struct dtrack_verify_options o = DTRACK_VERIFY_OPTIONS_INIT;
	struct dtrack_verify *v;
	struct dtrack *h;
	int ret;

	memset(l, 0, sizeof(*l));
	o.target = target;
	o.device = device;
	o.found = found;
	o.opaque = l;
	o.jobs = (unsigned int)chance(20);
	dtrack_new(&h);
	ret = dtrack_verify_new(h, &o, &v);
	if (ret) {
		ret -= 1000;
	} else {
		ret = dtrack_verify_execute(v);
		dtrack_verify_result(v, &result, sizeof(result));
		dtrack_verify_free(v);
	}
	snprintf(words, size, "%s", dtrack_errmsg(h));
	dtrack_free(h);
	return ret;
}

/* Corrupts some units and says what should be found. */
static void corrupt(uint64_t unit, bool *bad, struct list *want)
{
	unsigned int i, n = (unsigned int)(SIZE / unit + 1);
	uint64_t first = 0;
	int fd = open(target, O_RDWR);
	char c;

	memset(want, 0, sizeof(*want));
	for (i = 0; i < n; i++) {
		uint64_t at = i * unit, len = SIZE - at < unit ? SIZE - at : unit;

		bad[i] = !chance(n / 6 + 1);
		if (!bad[i])
			continue;
		at += chance(len);
		c = (char)(got[at] ^ (1 << chance(8)));
		pwrite(fd, &c, 1, (off_t)at);
	}
	close(fd);
	for (i = 0; i <= n; i++) {
		uint64_t end = i * unit < SIZE ? i * unit : SIZE;

		if (i < n && bad[i] && (!i || !bad[i - 1]))
			first = end;
		if (i && bad[i - 1] && (i == n || !bad[i]))
			sprintf(want->text + strlen(want->text),
				"%" PRIu64 "+%" PRIu64 " ", first, end - first);
	}
}

static void check_verify(bool all_known)
{
	static struct list want, have;
	bool bad[MOST + 1] = { 0 };
	char words[8192];

	CHECK_INT(0, verify(NULL, &have, words, sizeof(words)));
	CHECK(!have.nr, "found without a corruption: %s", have.text);
	CHECK(!all_known || result.bytes_checked == SIZE,
	      "%" PRIu64 " bytes checked", result.bytes_checked);
	CHECK_INT(0, verify("/dev/mock/7", &have, words, sizeof(words)));
	CHECK_INT(SIZE, result.bytes_checked);
	corrupt(load().sums_unit, bad, &want);
	CHECK_INT(want.text[0] != 0,
		  verify("/dev/mock/7", &have, words, sizeof(words)));
	CHECK_STR(want.text, have.text);
	if (all_known) {
		CHECK_INT(want.text[0] != 0,
			  verify(NULL, &have, words, sizeof(words)));
		CHECK_STR(want.text, have.text);
	}
	write_file(target, got, SIZE);
}

static void fresh(uint64_t granularity)
{
	size_t i;

	memset(&w, 0, sizeof(w));
	w.granularity = granularity;
	w.nr = (unsigned int)((SIZE - 1) / granularity + 1);
	w.generation = 1;
	for (i = 0; i < SIZE; i++)
		data[i] = (char)(i / 65536 * 7 + i % 251 + 1);
	memset(data + 8 * 65536, 0, 2 * 65536);
	write_file(source, data, SIZE);
	unlink(target);
	unlink(manifest);
	unlink(sums);
}

/* ---- Tests -------------------------------------------------------------- */

static bool all_covered(void)
{
	unsigned int i;

	for (i = 0; i < w.nr; i++)
		if (!w.covered[i])
			return false;
	return true;
}

static void nights(unsigned int n)
{
	unsigned int fate;
	int mode, sync;

	while (n-- && !check_why[0]) {
		write_some();
		mode = (int)chance(3);
		sync = chance(5) ? DTRACK_SYNC_BITMAP : DTRACK_SYNC_FULL;
		if (sync == DTRACK_SYNC_FULL && mode == DTRACK_MODE_NEVER)
			mode = DTRACK_MODE_CONDITIONAL;
		fate = chance(2) ? 0 : (unsigned int)chance(4);
		run(sync, mode, fate);
		if (!load().complete)
			continue;
		check_sums();
		check_verify(all_covered());
	}
}

static void test_nights(void)
{
	static const uint64_t granularity[] = { 4096, 65536, 1 << 20 };
	unsigned int i;

	for (i = 0; i < 9 && !check_why[0]; i++) {
		fresh(granularity[i % 3]);
		run(DTRACK_SYNC_FULL, DTRACK_MODE_CONDITIONAL, 0);
		check_sums();
		nights(10);
	}
}

/* What was reported will not be copied again: its checksums have to be there. */
static void test_power(void)
{
	unsigned int i, k;

	fresh(65536);
	power_fails = true;
	run(DTRACK_SYNC_FULL, DTRACK_MODE_CONDITIONAL, 0);
	for (i = 0; i < 5; i++) {
		for (k = 0; k < w.nr; k++)
			data[k * w.granularity] ^= 1;
		memset(w.dirty, true, w.nr);
		write_file(source, data, SIZE);
		run(DTRACK_SYNC_BITMAP, DTRACK_MODE_ALWAYS, 3);
		CHECK(!load().complete, "the run was not cancelled");
		run(DTRACK_SYNC_BITMAP, DTRACK_MODE_ALWAYS, 0);
		check_sums();
	}
	power_fails = false;
}

/* A run that may not fit begins with none, an older manifest has none. */
static void test_unknown(void)
{
	struct dtrack_run_options o = DTRACK_RUN_OPTIONS_INIT;
	static char script[1 << 18];
	static struct list l;
	char words[8192];
	struct dtrack_run *r;
	struct dtrack *h;

	fresh(65536);
	run(DTRACK_SYNC_FULL, DTRACK_MODE_CONDITIONAL, 0);
	w.generation += 5;
	w.dirty[3] = true;
	make_script(script, sizeof(script), "");
	mock_script(script);
	o.target = target;
	o.bitmap = "b";
	o.sync = DTRACK_SYNC_INCREMENTAL;
	o.flags = DTRACK_RUN_FORCE;
	dtrack_new(&h);
	CHECK(!dtrack_run_new(h, dev, &o, &r) && !dtrack_run_execute(r), "%s",
	      dtrack_errmsg(h));
	dtrack_run_free(r);
	dtrack_free(h);
	CHECK_INT(0, verify(NULL, &l, words, sizeof(words)));
	CHECK_INT(65536, result.bytes_checked);
	CHECK_INT(SIZE, result.bytes_total);
}

static void test_refused(void)
{
	static struct list l;
	char words[8192];
	int fd;

	fresh(65536);
	CHECK_INT(-ENOENT - 1000, verify(NULL, &l, words, sizeof(words)));
	CHECK(strstr(words, "Could not open"), "%s", words);
	write_file(target, data, SIZE);
	CHECK_INT(-ENOENT - 1000, verify(NULL, &l, words, sizeof(words)));
	CHECK(strstr(words, "has no manifest"), "%s", words);
	run(DTRACK_SYNC_FULL, DTRACK_MODE_CONDITIONAL, 1);
	if (load().complete)
		CHECK(false, "the run did not fail");
	CHECK_INT(-ESTALE - 1000, verify(NULL, &l, words, sizeof(words)));
	CHECK(strstr(words, "is incomplete"), "%s", words);
	run(DTRACK_SYNC_FULL, DTRACK_MODE_CONDITIONAL, 0);
	CHECK_INT(0, verify(NULL, &l, words, sizeof(words)));
	fd = open(sums, O_RDWR);
	pwrite(fd, "x", 1, 17);
	CHECK_INT(-EBADMSG - 1000, verify(NULL, &l, words, sizeof(words)));
	CHECK(strstr(words, "their header is wrong"), "%s", words);
	ftruncate(fd, 63);
	CHECK_INT(-EBADMSG - 1000, verify(NULL, &l, words, sizeof(words)));
	CHECK(strstr(words, "they are cut"), "%s", words);
	close(fd);
	unlink(sums);
	CHECK_INT(-ENOENT - 1000, verify(NULL, &l, words, sizeof(words)));
	/* The next run begins anew with them. */
	run(DTRACK_SYNC_BITMAP, DTRACK_MODE_NEVER, 0);
	CHECK_INT(0, verify(NULL, &l, words, sizeof(words)));
	CHECK_INT(0, result.bytes_checked);
}

static void check_found(struct dtrack *h, const struct dtl_sums *s,
			const bool *known, uint64_t nr)
{
	bool have[MOST_UNITS] = { 0 };
	struct dtrack_range r = { 0 };
	uint64_t at = 0, i;
	int ret;

	while ((ret = dtl_sums_find(h, s, at, &r)) > 0) {
		CHECK(r.start >= at && !(r.start % s->unit) && r.length,
		      "%" PRIu64 "+%" PRIu64, (uint64_t)r.start,
		      (uint64_t)r.length);
		at = r.start + r.length;
		CHECK(at == s->size || (at < s->size && !(at % s->unit)),
		      "a part of a unit");
		for (i = r.start / s->unit; i * s->unit < at; i++)
			have[i] = true;
		if (at == s->size)
			break;
	}
	CHECK(ret >= 0, "%s", dtrack_errmsg(h));
	for (i = 0; i < nr; i++)
		CHECK(have[i] == known[i], "unit %" PRIu64 " is %sfound", i,
		      have[i] ? "" : "not ");
}

/* Runs of units that are known, from none to all, with holes in the file. */
static void test_find(void)
{
	static bool known[MOST_UNITS];
	unsigned int k;

	for (k = 0; k < 20 && !check_why[0]; k++) {
		struct dtl_manifest m = {
			.has_sums = true, .sums_unit = 512, .sums_id = 1,
			.size = 512 * (1 + chance(MOST_UNITS - 1)),
		};
		uint64_t at = 0, n, nr;
		struct dtl_sums s;
		struct dtrack *h;

		if (k % 2)
			m.size -= chance(512);
		nr = (m.size + 511) / 512;
		memset(known, 0, sizeof(known));
		dtrack_new(&h);
		CHECK_INT(0, dtl_sums_create(h, manifest, &m, &s));
		while (k && at < nr) {
			n = 1 + chance(chance(3) ? 20 : 6000);
			n = n < nr - at ? n : nr - at;
			if (chance(2)) {
				uint64_t start = at * 512, end = start + n * 512;

				end = end < m.size ? end : m.size;
				CHECK_INT(0, dtl_sums_put(h, &s, start, data,
							  end - start));
				memset(known + at, true, n);
			}
			at += n;
		}
		check_found(h, &s, known, nr);
		dtl_sums_close(&s);
		dtrack_free(h);
	}
}

static void test_sizes(void)
{
	static struct list l;
	char words[8192];

	fresh(65536);
	run(DTRACK_SYNC_FULL, DTRACK_MODE_CONDITIONAL, 0);
	truncate(target, 3 << 20);
	CHECK_INT(1, verify(NULL, &l, words, sizeof(words)));
	CHECK_STR("the target is cut; 3145728+1050112 ", l.text);
	CHECK_INT(3 << 20, result.bytes_checked);
	CHECK_INT(1050112, result.bytes_different);
	CHECK_INT(1, verify("/dev/mock/7", &l, words, sizeof(words)));
	CHECK_STR("the target is smaller than the device; 3145728+1050112 ",
		  l.text);
	write_file(target, data, SIZE);
	truncate(target, SIZE + 512);
	CHECK_INT(1, verify(NULL, &l, words, sizeof(words)));
	CHECK_STR("the target is longer than it was; 4195840+512 ", l.text);
	unlink(target);
	CHECK_INT(1, verify(NULL, &l, words, sizeof(words)));
	CHECK_STR("the target is missing; 0+4195840 ", l.text);
}

int main(void)
{
	static const struct check checks[] = {
		{ "sums-over-many-nights", test_nights },
		{ "sums-survive-loss-of-power", test_power },
		{ "sums-unknown-when-forced", test_unknown },
		{ "sums-find", test_find },
		{ "verify-refused", test_refused },
		{ "verify-sizes", test_sizes },
		{ 0 },
	};
	int ret;

	take_seed();
	if (!mkdtemp(dir))
		return 1;
	snprintf(source, sizeof(source), "%s/source", dir);
	snprintf(target, sizeof(target), "%s/target", dir);
	snprintf(manifest, sizeof(manifest), "%s.dtrack", target);
	snprintf(sums, sizeof(sums), "%s.sums", manifest);
	ret = run_checks(checks);
	unlink(source);
	unlink(target);
	unlink(manifest);
	unlink(sums);
	rmdir(dir);
	return ret;
}
