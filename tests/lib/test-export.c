// SPDX-License-Identifier: GPL-2.0-or-later
/* test-export.c - bitmaps as files: written whole, refused when not whole. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "dtrack.h"
#include "export.h"
#include "le.h"
#include "mock.h"

static const struct dtrack_dev dev = { 4001, 7 };

#define SIZE	1049088		/* 1M + 512: 17 granules of 64K */
#define ONE	"DEV 4001:7 1049088\nBITMAP 4001:7 b generation=5 uuid=0xab "
#define STILL	ONE "flags=0\n"
#define MAX	(8 << 20)

static char dir[64], path[96];
static unsigned char file[MAX];
static size_t len;

/* ---- Files -------------------------------------------------------------- */

static void load_file(void)
{
	FILE *f = fopen(path, "r");

	len = f ? fread(file, 1, sizeof(file), f) : 0;
	if (f)
		fclose(f);
}

static void save_file(size_t bytes)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(file, 1, bytes, f) != bytes || fclose(f))
		abort();
}

/* Entries of the folder: temporary files that were left are among them. */
static unsigned int entries(void)
{
	DIR *d = opendir(dir);
	unsigned int nr = 0;

	while (readdir(d))
		nr++;
	closedir(d);
	return nr - 2;
}

/* ---- Bitmaps without a kernel ------------------------------------------- */

static void *leaf_alloc(void *ctx, bool atomic)
{
	(void)ctx;
	(void)atomic;
	return calloc(1, DTR_LEAF_BYTES);
}

static void leaf_free(void *ctx, void *leaf)
{
	(void)ctx;
	free(leaf);
}

static const struct dtr_leaf_ops ops = { leaf_alloc, leaf_free };

/* The file of @bits; @room: of its chunks. */
static void forge(const struct dtr_bitmap *bits, size_t room)
{
	struct dtr_export head = {
		.size = bits->size,
		.shift = bits->shift,
		.count = dtr_bitmap_dirty_bytes(bits),
		.hash = dtr_bitmap_hash(bits),
		.generation = 1,
		.name = "b",
	};
	u64 cursor = 0;

	len = DTR_EXPORT_FIXED_BYTES + 1;
	while (cursor < bits->nr_bits)
		len += dtr_chunk_encode(bits, &cursor, file + len, room);
	head.length = len;
	dtr_export_encode(&head, file, sizeof(file));
	save_file(len);
}

/* As somebody who knows the checksum changes the header. */
static void sign(void)
{
	dtr_put64(file + 88, 0);
	dtr_put64(file + 88, dtr_port_hash(file + 96, 1,
					   dtr_port_hash(file, 96, 0)));
}

/* ---- Calls -------------------------------------------------------------- */

static struct dtrack *handle;

static int export(const char *script)
{
	dtrack_free(handle);
	mock_script(script);
	if (dtrack_new(&handle))
		abort();
	return dtrack_bitmap_export(handle, dev, "b", path);
}

static int import(const char *script, unsigned int flags)
{
	dtrack_free(handle);
	mock_script(script);
	if (dtrack_new(&handle))
		abort();
	return dtrack_bitmap_import(handle, dev, "b", path, flags);
}

#define CHECK_SAYS(want)	CHECK_STR(want, dtrack_errmsg(handle))
#define CHECK_NOT_LOADED()						\
	CHECK(!strstr(mock_log(), "LOAD"), "%s", mock_log())

/* The log without what every call begins with. */
static const char *loads(void)
{
	const char *at = strstr(mock_log(), "BITS_LOAD");

	return at ? at : "";
}

static struct dtr_export header(void)
{
	const char *why = "";
	struct dtr_export head;
	long ret;

	memset(&head, 0, sizeof(head));
	load_file();
	ret = dtr_export_decode(&head, file, len, &why);
	CHECK(ret > 0, "%ld %s", ret, why);
	return head;
}

/* ---- Export ------------------------------------------------------------- */

static void test_export(void)
{
	struct dtr_export head;
	struct stat st;

	CHECK_INT(0, export(STILL "EXTENT 65536 131072\nEXTENT 1048576 512\n"));
	head = header();
	CHECK_INT(len, head.length);
	CHECK_INT(SIZE, head.size);
	CHECK_INT(16, head.shift);
	CHECK_INT(131072 + 512, head.count);
	CHECK_INT(5, head.generation);
	CHECK_INT(0, head.flags);
	CHECK_INT(0xab, head.uuid[15]);
	CHECK_STR("b", head.name);
	CHECK(!stat(path, &st) && (st.st_mode & 07777) == 0600, "mode %o",
	      st.st_mode);
	CHECK_INT(1, entries());
	CHECK(strstr(mock_log(), "BITS_GET b start=0 length=1049088 generation=5\n"),
	      "%s", mock_log());
}

/* The same content is the same file. */
static void test_export_replaces(void)
{
	static unsigned char before[4096];
	size_t before_len;

	CHECK_INT(0, export(STILL "EXTENT 0 512\n"));
	load_file();
	memcpy(before, file, before_len = len);
	CHECK_INT(0, export(STILL "EXTENT 0 65536\n"));
	load_file();
	CHECK(len == before_len && !memcmp(before, file, len), "differs");
	CHECK_INT(1, entries());
}

static void test_export_flags(void)
{
	static const struct {
		const char *more;
		unsigned int flags;
	} rows[] = {
		{ "flags=0\n", 0 },
		{ "flags=1\n", DTR_EXPORT_RECORDING | DTR_EXPORT_AT_LEAST },
		{ "flags=3 run=9\n", DTR_EXPORT_RECORDING },
		{ "flags=2 run=9\n", 0 },
		/* frozen, thawed and frozen again meanwhile */
		{ "flags=3 run=9\nTHEN 2 run=10\n",
		  DTR_EXPORT_RECORDING | DTR_EXPORT_AT_LEAST },
		/* thawed; frozen; enabled */
		{ "flags=3 run=9\nTHEN 2 run=0\nTHEN 2 flags=1\n",
		  DTR_EXPORT_RECORDING | DTR_EXPORT_AT_LEAST },
		{ "flags=1\nTHEN 2 run=9\nTHEN 2 flags=3\n",
		  DTR_EXPORT_RECORDING | DTR_EXPORT_AT_LEAST },
		{ "flags=0\nTHEN 2 flags=1\n", DTR_EXPORT_AT_LEAST },
	};
	char script[512];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(script, sizeof(script), ONE "%s", rows[i].more);
		CHECK_INT(0, export(script));
		CHECK(header().flags == rows[i].flags, "row %zu: %u", i,
		      header().flags);
	}
}

static void test_export_changed(void)
{
	static const char *const more[] = {
		"FAIL BITS_GET ESTALE\n", "FAIL BITS_GET EINVAL\n",
		"THEN 2 generation=6\n", "THEN 2 uuid=0xac\n",
		"THEN 2 bytes=4096\n",
	};
	char script[512];
	size_t i;

	save_file(0);
	for (i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		snprintf(script, sizeof(script), STILL "%s", more[i]);
		CHECK_INT(-ESTALE, export(script));
		CHECK_SAYS("Bitmap 'b' changed while it was read");
		CHECK_STR("Stale", dtrack_errclass(handle));
		load_file();
		CHECK(!len && entries() == 1, "row %zu: written", i);
	}
}

static void test_export_kernel_errors(void)
{
	CHECK_INT(-ENOENT, export("DEV 4001:7 4096\n"));
	CHECK_SAYS("Dirty bitmap 'b' not found");
	CHECK_INT(-EUCLEAN, export(ONE "flags=12\n"));
	CHECK_SAYS("Bitmap 'b' is inconsistent and cannot be used");
	CHECK_INT(-ENODEV, export(STILL "FAIL BITS_GET ENODEV\n"));
	CHECK_INT(-ENOMEM, export(STILL "FAIL BITS_GET ENOMEM\n"));
	CHECK_INT(0, entries());
}

static void test_export_no_regular_file(void)
{
	char other[128];
	struct stat st;

	snprintf(other, sizeof(other), "%s/other", dir);
	CHECK(!mkfifo(path, 0600), "mkfifo");
	CHECK_INT(-EEXIST, export(STILL));
	CHECK_STR("GenericError", dtrack_errclass(handle));
	CHECK(strstr(dtrack_errmsg(handle), "it exists and is no regular file"),
	      "%s", dtrack_errmsg(handle));
	CHECK(!lstat(path, &st) && S_ISFIFO(st.st_mode), "gone");
	unlink(path);
	CHECK(!symlink(other, path), "symlink");
	CHECK_INT(-EEXIST, export(STILL));
	CHECK(!lstat(path, &st) && S_ISLNK(st.st_mode), "gone");
	unlink(path);
	CHECK(!mkdir(path, 0700), "mkdir");
	CHECK_INT(-EEXIST, export(STILL));
	rmdir(path);
	CHECK_INT(0, entries());
}

static void test_export_no_place(void)
{
	char saved[96];

	memcpy(saved, path, sizeof(saved));
	snprintf(path, sizeof(path), "%s/no/file", dir);
	CHECK_INT(-ENOENT, export(STILL));
	CHECK(strstr(dtrack_errmsg(handle), "No such file or directory"), "%s",
	      dtrack_errmsg(handle));
	snprintf(path, sizeof(path), "/dev/full");
	CHECK_INT(-EEXIST, export(STILL));
	memcpy(path, saved, sizeof(saved));
	CHECK_INT(0, entries());
}

/* The file that was there stays. */
static void test_export_no_room(void)
{
	struct rlimit limit = { 100, RLIM_INFINITY };

	CHECK_INT(0, export(STILL));
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	CHECK_INT(-EFBIG, export(STILL "EXTENT 0 65536\n"));
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	CHECK_INT(0, header().count);
	CHECK_INT(1, entries());
}

/* 2^27 granules: sixteen chunks of the kernel's. */
static void test_export_chunks(void)
{
	CHECK_INT(0, export("DEV 4001:7 68719476736\n"
			    "BITMAP 4001:7 b granularity=512 flags=0\n"
			    "EXTENT 4294966784 1024\nEXTENT 68719476224 512\n"));
	CHECK_INT(1536, header().count);
	CHECK(strstr(mock_log(), "BITS_GET b start=64424509440 length=4294967296 generation=1\n"),
	      "%s", mock_log());
	CHECK_INT(0, import("DEV 4001:7 68719476736\n"
			    "BITMAP 4001:7 b granularity=512\n", 0));
	CHECK_STR("BITS_LOAD b flags=1 start=0 length=0\n"
		  "INFO\n"
		  "BITS_LOAD b flags=0 start=0 length=4294967296 4294966784+512\n"
		  "BITS_LOAD b flags=0 start=4294967296 length=4294967296 4294967296+512\n"
		  "BITS_LOAD b flags=0 start=64424509440 length=4294967296 68719476224+512\n"
		  "BITS_LOAD b flags=2 start=0 length=0\n", loads());
}

/* ---- Import ------------------------------------------------------------- */

static void exported(void)
{
	CHECK_INT(0, export(STILL "EXTENT 65536 131072\nEXTENT 1048576 512\n"));
	load_file();
}

static void test_import(void)
{
	exported();
	CHECK_INT(0, import(ONE "\n", 0));
	CHECK_STR("BITS_LOAD b flags=1 start=0 length=0\n"
		  "INFO\n"
		  "BITS_LOAD b flags=0 start=0 length=1049088 65536+131072 1048576+65536\n"
		  "BITS_LOAD b flags=2 start=0 length=0\n", loads());
	CHECK_INT(0, import(ONE "\n", DTRACK_IMPORT_MERGE));
	CHECK_STR("BITS_LOAD b flags=1 start=0 length=0\n"
		  "INFO\n"
		  "BITS_LOAD b flags=0 start=0 length=1049088 65536+131072 1048576+65536\n"
		  "BITS_LOAD b flags=6 start=0 length=0\n", loads());
}

static void test_import_empty(void)
{
	CHECK_INT(0, export(STILL));
	CHECK_INT(0, import(ONE "\n", 0));
	CHECK_STR("BITS_LOAD b flags=1 start=0 length=0\n"
		  "INFO\n"
		  "BITS_LOAD b flags=2 start=0 length=0\n", loads());
}

static void test_import_granularity(void)
{
	exported();
	CHECK_INT(-EINVAL, import(ONE "granularity=4096\n", 0));
	CHECK(strstr(dtrack_errmsg(handle), "The granularities differ: "), "%s",
	      dtrack_errmsg(handle));
	CHECK_NOT_LOADED();
	CHECK_INT(0, import(ONE "granularity=4096\n", DTRACK_IMPORT_MERGE));
	CHECK(strstr(loads(), "length=1049088 65536+131072 1048576+4096\n"),
	      "%s", loads());
	CHECK_INT(0, import(ONE "granularity=524288\n", DTRACK_IMPORT_MERGE));
	CHECK(strstr(loads(), "length=1049088 0+524288 1048576+524288\n"),
	      "%s", loads());
}

static void test_import_size(void)
{
	char want[512];

	exported();
	CHECK_INT(-ERANGE, import("DEV 4001:7 1048576\nBITMAP 4001:7 b\n",
				  DTRACK_IMPORT_MERGE));
	snprintf(want, sizeof(want),
		 "The sizes differ: the bitmap file '%s' is of a device of 1049088 bytes, '4001:7' has 1048576",
		 path);
	CHECK_SAYS(want);
	CHECK_NOT_LOADED();
}

static void refused(int want, const char *what, size_t i)
{
	int ret = import(ONE "\n", DTRACK_IMPORT_MERGE);

	CHECK(ret < 0 && (!want || ret == want), "%s %zu: %d %s", what, i, ret,
	      dtrack_errmsg(handle));
	CHECK(strstr(dtrack_errmsg(handle), path), "%s %zu: %s", what, i,
	      dtrack_errmsg(handle));
	CHECK(!strchr(dtrack_errmsg(handle), '\n'), "%s", dtrack_errmsg(handle));
	CHECK_NOT_LOADED();
}

/* Every byte changed, every length, one byte more. */
static void test_import_damaged(void)
{
	size_t i;

	exported();
	for (i = 0; i < len; i++) {
		file[i] ^= 1 << i % 8;
		save_file(len);
		refused(i >= 8 && i < 12 ? -EOPNOTSUPP : -EBADMSG, "byte", i);
		file[i] ^= 1 << i % 8;
		save_file(i);
		refused(-EBADMSG, "length", i);
	}
	file[len] = 0;
	save_file(len + 1);
	refused(-EBADMSG, "length", len + 1);
	CHECK(strstr(dtrack_errmsg(handle), "is damaged: length: it has "),
	      "%s", dtrack_errmsg(handle));
	save_file(len);
	CHECK_INT(0, import(ONE "\n", 0));
}

static void test_import_newer(void)
{
	char want[512];

	exported();
	dtr_put32(file + 8, 2);
	sign();
	save_file(len);
	refused(-EOPNOTSUPP, "version", 2);
	snprintf(want, sizeof(want),
		 "The bitmap file '%s' is not understood: version: it is of a newer one",
		 path);
	CHECK_SAYS(want);
}

/* Headers with a right checksum that do not fit their chunks. */
static void test_import_hostile(void)
{
	static const struct {
		unsigned int at;
		const char *why;
	} rows[] = {
		{ 40, "count: not that of the chunks" },
		{ 80, "hash: not that of the chunks" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		exported();
		file[rows[i].at] ^= 1;
		sign();
		save_file(len);
		refused(-EBADMSG, "field", i);
		CHECK(strstr(dtrack_errmsg(handle), rows[i].why), "%s",
		      dtrack_errmsg(handle));
	}
	/* A chunk twice. */
	exported();
	memcpy(file + len, file + 97, len - 97);
	len += len - 97;
	dtr_put64(file + 16, len);
	sign();
	save_file(len);
	refused(-EBADMSG, "twice", 0);
	CHECK(strstr(dtrack_errmsg(handle), "something follows the last chunk"),
	      "%s", dtrack_errmsg(handle));
	/* Another granularity in the header than in the chunk. */
	exported();
	dtr_put64(file + 32, 4096);
	sign();
	save_file(len);
	refused(-EBADMSG, "granularity", 0);
	CHECK(strstr(dtrack_errmsg(handle), "chunk at byte 97: it is of another size or granularity"),
	      "%s", dtrack_errmsg(handle));
}

#define BIG	"DEV 4001:7 12884901888\nBITMAP 4001:7 b granularity=1073741824\n"

/* 25165824 granules, every second dirty: 3 MiB of raw bits. */
static void test_import_many_chunks(void)
{
	struct dtr_bitmap bits;
	u64 bit;

	if (dtr_bitmap_init(&bits, 12884901888, 9, &ops, NULL))
		abort();
	for (bit = 2097152; bit < 23068672; bit += 2)
		dtr_bitmap_set_range(&bits, bit, bit);
	forge(&bits, DTR_EXPORT_CHUNK_BYTES);
	CHECK_INT(0, import(BIG, DTRACK_IMPORT_MERGE));
	CHECK(strstr(loads(), " 1073741824+10737418240\n"), "%s", loads());
	/* As small as they come, so that windows end anywhere in them. */
	forge(&bits, DTR_CHUNK_MIN_BYTES);
	CHECK_INT(0, import(BIG, DTRACK_IMPORT_MERGE));
	CHECK(strstr(loads(), " 1073741824+10737418240\n"), "%s", loads());
	/* Longer than the format allows. */
	forge(&bits, DTR_EXPORT_CHUNK_BYTES + 8192);
	CHECK_INT(-EBADMSG, import(BIG, DTRACK_IMPORT_MERGE));
	CHECK_NOT_LOADED();
	dtr_bitmap_exit(&bits);
}

static void test_import_kernel_errors(void)
{
	exported();
	CHECK_INT(-EBUSY, import(ONE "\nFAIL BITS_LOAD EBUSY\n", 0));
	CHECK_SAYS("Bitmap 'b' is currently in use by another operation and cannot be used");
	CHECK_INT(-EROFS, import(ONE "\nFAIL BITS_LOAD EROFS\n", 0));
	CHECK_INT(-EUCLEAN, import(ONE "\nFAIL BITS_LOAD EUCLEAN\n", 0));
	CHECK_INT(-EPERM, import(ONE "\nFAIL BITS_LOAD EPERM\n", 0));
	CHECK_INT(-ENOENT, import("DEV 4001:7 1049088\n", 0));
	CHECK_INT(-ENOMEM, import(ONE "\nSKIP BITS_LOAD 1\nFAIL BITS_LOAD ENOMEM\n", 0));
	CHECK(!strstr(loads(), "flags=2"), "committed: %s", loads());
}

static void test_import_changed(void)
{
	static const char *const more[] = {
		"THEN 2 uuid=0xac\n", "THEN 2 size=2098176\n",
		"SKIP BITS_LOAD 1\nFAIL BITS_LOAD ESTALE\n",
		"SKIP BITS_LOAD 1\nFAIL BITS_LOAD EINVAL\n",
		"SKIP BITS_LOAD 2\nFAIL BITS_LOAD ESTALE\n",
	};
	char script[512];
	size_t i;

	exported();
	for (i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		snprintf(script, sizeof(script), ONE "\n%s", more[i]);
		CHECK_INT(-ESTALE, import(script, 0));
		CHECK_SAYS("Bitmap 'b' changed while it was loaded");
		CHECK(i == 4 || !strstr(loads(), "flags=2"), "row %zu: %s", i,
		      loads());
	}
}

static void test_import_no_file(void)
{
	CHECK_INT(-ENOENT, import(ONE "\n", 0));
	CHECK(strstr(dtrack_errmsg(handle), "Could not read '"), "%s",
	      dtrack_errmsg(handle));
	CHECK(!mkfifo(path, 0600), "mkfifo");
	CHECK_INT(-EINVAL, import(ONE "\n", 0));
	CHECK(strstr(dtrack_errmsg(handle), "it is no regular file"), "%s",
	      dtrack_errmsg(handle));
	unlink(path);
	CHECK(!mkdir(path, 0700), "mkdir");
	CHECK_INT(-EINVAL, import(ONE "\n", 0));
	rmdir(path);
	exported();
	CHECK_INT(-EINVAL, import(ONE "\n", 2));
	CHECK_STR("", mock_log());
}

/* ---- Each in a folder of its own ---------------------------------------- */

#define TESTS(X)							\
	X(export, "export-header")					\
	X(export_replaces, "export-replaces")				\
	X(export_flags, "export-flags")					\
	X(export_changed, "export-changed")				\
	X(export_kernel_errors, "export-kernel-errors")			\
	X(export_no_regular_file, "export-no-regular-file")		\
	X(export_no_place, "export-no-place")				\
	X(export_no_room, "export-no-room")				\
	X(export_chunks, "export-chunks")				\
	X(import, "export-import")					\
	X(import_empty, "export-import-empty")				\
	X(import_granularity, "export-import-granularity")		\
	X(import_size, "export-import-size")				\
	X(import_damaged, "export-import-damaged")			\
	X(import_newer, "export-import-newer")				\
	X(import_hostile, "export-import-hostile")			\
	X(import_many_chunks, "export-import-many-chunks")		\
	X(import_kernel_errors, "export-import-kernel-errors")		\
	X(import_changed, "export-import-changed")			\
	X(import_no_file, "export-import-no-file")

#define IN_FOLDER(name, text)						\
	static void in_folder_##name(void)				\
	{								\
		snprintf(dir, sizeof(dir), "/tmp/dtrack-test.XXXXXX");	\
		if (!mkdtemp(dir))					\
			abort();					\
		snprintf(path, sizeof(path), "%s/file", dir);		\
		test_##name();						\
		unlink(path);						\
		CHECK(!rmdir(dir), "%s: not empty", dir);		\
	}

TESTS(IN_FOLDER)

int main(void)
{
#define ROW(name, text) { text, in_folder_##name },
	static const struct check checks[] = { TESTS(ROW) { 0 } };
	int ret = run_checks(checks);

	dtrack_free(handle);
	return ret;
}
