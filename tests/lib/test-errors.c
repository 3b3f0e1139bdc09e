// SPDX-License-Identifier: GPL-2.0-or-later
/* test-errors.c - errno, class and words of each way to fail. */
#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "dtrack.h"
#include "mock.h"

static const struct dtrack_dev dev = { 4001, 7 }, other = { 4001, 8 };

#define TWO	"DEV 4001:7 4194304 7:0\nDEV 4001:8 8388608 7:1\n"

static struct dtrack *begin(const char *script)
{
	struct dtrack *h;

	mock_script(script);
	dtrack_new(&h);
	return h;
}

static void expect(struct dtrack *h, int ret, int err, const char *cls,
		   const char *msg)
{
	CHECK_INT(err, ret);
	CHECK_INT(err, dtrack_errno(h));
	CHECK_STR(cls, dtrack_errclass(h));
	CHECK_STR(msg, dtrack_errmsg(h));
	dtrack_free(h);
}

static void test_close_null(void)
{
	dtrack_free(NULL);
	dtrack_bitmaps_free(NULL);
	dtrack_extents_close(NULL);
	dtrack_run_free(NULL);
}

static void test_fresh_handle(void)
{
	struct dtrack *h = begin("");

	CHECK_STR("", dtrack_errmsg(h));
	CHECK_INT(0, dtrack_errno(h));
	CHECK_STR("", mock_log());
	dtrack_free(h);
}

static void test_no_module(void)
{
	struct dtrack *h = begin("OPEN ENOENT\n");

	expect(h, dtrack_open(h), -ENOENT, "GenericError",
	       "Could not load the kernel module dm-dirtytrack: it is not installed for this kernel");
	h = begin("OPEN ENXIO\nKMOD EPERM\n");
	expect(h, dtrack_open(h), -EPERM, "Permission",
	       "Could not load the kernel module dm-dirtytrack: Operation not permitted");
}

static void test_no_permission(void)
{
	struct dtrack *h = begin("OPEN EACCES\n");

	expect(h, dtrack_open(h), -EACCES, "Permission",
	       "Could not open '/dev/dirtytrack': Permission denied");
	CHECK_STR("OPEN\nOPEN ro\n", mock_log());
}

static void test_other_abi(void)
{
	struct dtrack *h = begin("ABI 2\n");

	expect(h, dtrack_open(h), -EPROTO, "GenericError",
	       "the kernel module speaks ABI version 2, libdtrack 1");
}

static void test_find(void)
{
	struct dtrack_dev found;
	struct dtrack *h = begin(TWO);

	CHECK_INT(0, dtrack_dev_find(h, "/dev/mock/7", &found));
	CHECK(found.major == dev.major && found.minor == dev.minor, "number");
	expect(h, dtrack_dev_find(h, "/dev/mock/9", &found), -ENODEV,
	       "DeviceNotFound",
	       "Cannot find device '/dev/mock/9': it is not tracked");
	h = begin(TWO);
	expect(h, dtrack_dev_find(h, "nosuch", &found), -ENODEV,
	       "DeviceNotFound",
	       "Cannot find device 'nosuch'");
	h = begin(TWO);
	expect(h, dtrack_dev_find(h, "/dev/null", &found), -ENODEV,
	       "DeviceNotFound",
	       "Cannot find device '/dev/null': it is no block device");
}

/* Each errno of the kernel, as 'clear' meets it. */
static void test_bitmap_words(void)
{
	static const struct {
		const char *script;
		int err;
		const char *cls, *msg;
	} rows[] = {
		{ "FAIL CLEAR EBUSY", EBUSY, "Busy",
		  "Bitmap 'b' is currently in use by another operation and cannot be used" },
		{ "FAIL CLEAR EROFS", EROFS, "ReadOnly",
		  "Bitmap 'b' is readonly and cannot be modified" },
		{ "FAIL CLEAR EUCLEAN", EUCLEAN, "Inconsistent",
		  "Bitmap 'b' is inconsistent and cannot be used" },
		{ "FAIL CLEAR ENOENT", ENOENT, "BitmapNotFound",
		  "Dirty bitmap 'b' not found" },
		{ "FAIL CLEAR ENODEV", ENODEV, "DeviceNotFound",
		  "Cannot find device '4001:7': it is not tracked" },
		{ "FAIL CLEAR EPERM", EPERM, "Permission",
		  "Operation not permitted: CAP_SYS_ADMIN is needed" },
		{ "FAIL CLEAR EACCES", EACCES, "Permission",
		  "Permission denied: CAP_SYS_ADMIN is needed" },
		{ "FAIL CLEAR ENOMEM", ENOMEM, "GenericError",
		  "Bitmap 'b': Cannot allocate memory" },
	};
	char script[256];
	struct dtrack *h;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(script, sizeof(script), TWO "BITMAP 4001:7 b\n%s\n",
			 rows[i].script);
		h = begin(script);
		expect(h, dtrack_bitmap_clear(h, dev, "b"), -rows[i].err,
		       rows[i].cls, rows[i].msg);
	}
}

static void test_interrupted(void)
{
	struct dtrack *h = begin(TWO "BITMAP 4001:7 b\nFAIL CLEAR EINTR 3\n");

	CHECK_INT(0, dtrack_bitmap_clear(h, dev, "b"));
	dtrack_free(h);
}

static void test_names(void)
{
	char name[1025];
	struct dtrack *h = begin(TWO);

	memset(name, 'n', sizeof(name));
	name[1024] = '\0';
	CHECK_INT(-EINVAL, dtrack_bitmap_add(h, dev, name, 0, 0));
	CHECK(!strncmp(dtrack_errmsg(h), "Bitmap name too long: nnn", 25), "%s",
	      dtrack_errmsg(h));
	CHECK_INT(-ENOENT, dtrack_bitmap_clear(h, dev, name));
	CHECK_STR("BitmapNotFound", dtrack_errclass(h));
	name[1023] = '\0';
	CHECK_INT(0, dtrack_bitmap_add(h, dev, name, 0, 0));
	expect(h, dtrack_bitmap_add(h, dev, "", 0, 0), -EINVAL, "GenericError",
	       "Bitmap name cannot be empty");
	h = begin(TWO "BITMAP 4001:7 b\n");
	/* The kernel would take it for 'all'. */
	expect(h, dtrack_bitmap_remove(h, dev, ""), -ENOENT, "BitmapNotFound",
	       "Dirty bitmap '' not found");
}

static void add_fails(const char *line, uint64_t granularity, int err,
		      const char *cls, const char *msg)
{
	char script[256];
	struct dtrack *h;

	snprintf(script, sizeof(script), TWO "BITMAP 4001:7 b\n%s\n", line);
	h = begin(script);
	expect(h, dtrack_bitmap_add(h, dev, "b", granularity, 0), -err, cls,
	       msg);
}

static void test_add(void)
{
	add_fails("", 0, EEXIST, "Exists", "Bitmap already exists: b");
	add_fails("FAIL ADD EINVAL", 513, EINVAL, "GenericError",
		  "Granularity must be power of 2 and at least 512");
	add_fails("FAIL ADD EINVAL", 256, EINVAL, "GenericError",
		  "Granularity must be power of 2 and at least 512");
	add_fails("FAIL ADD EINVAL", 1ULL << 32, EINVAL, "GenericError",
		  "Parameter 'granularity' expects uint32_t");
	add_fails("FAIL ADD EINVAL", 65536, EINVAL, "GenericError",
		  "Bitmap name 'b' must be UTF-8 without control characters, blanks and any of \" \\ : /");
	add_fails("FAIL ADD EOVERFLOW", 512, EOVERFLOW, "GenericError",
		  "A device has at most 256 bitmaps, and for them the memory that the parameter max_memory_mb of the module dm_dirtytrack allows");
	add_fails("FAIL ADD EOPNOTSUPP", 0, EOPNOTSUPP, "GenericError",
		  "Can't store persistent bitmaps to 4001:7: Operation not supported");
}

static void merge_fails(const char *lines, struct dtrack_dev from, int err,
			const char *cls, const char *msg)
{
	struct dtrack_source s[2];
	char script[512];
	struct dtrack *h;

	snprintf(script, sizeof(script), TWO "%s\n", lines);
	h = begin(script);
	dtrack_source_init(h, &s[0], dev, "x");
	dtrack_source_init(h, &s[1], from, "y");
	expect(h, dtrack_bitmap_merge(h, dev, "t", s, 2), -err, cls, msg);
}

/* The words must name the one of three that is to blame. */
static void test_merge(void)
{
	merge_fails("BITMAP 4001:7 t\nBITMAP 4001:7 x", dev, ENOENT,
		    "BitmapNotFound", "Dirty bitmap 'y' not found");
	merge_fails("BITMAP 4001:7 x\nBITMAP 4001:7 y", dev, ENOENT,
		    "BitmapNotFound", "Dirty bitmap 't' not found");
	merge_fails("BITMAP 4001:7 t\nBITMAP 4001:7 x\n"
		    "BITMAP 4001:8 y flags=3\nFAIL MERGE EBUSY", other, EBUSY,
		    "Busy",
		    "Bitmap 'y' is currently in use by another operation and cannot be used");
	merge_fails("BITMAP 4001:7 t\nBITMAP 4001:7 x flags=8\n"
		    "BITMAP 4001:7 y\nFAIL MERGE EUCLEAN", dev, EUCLEAN,
		    "Inconsistent",
		    "Bitmap 'x' is inconsistent and cannot be used");
	merge_fails("BITMAP 4001:7 t flags=16\nBITMAP 4001:7 x\n"
		    "BITMAP 4001:7 y\nFAIL MERGE EROFS", dev, EROFS, "ReadOnly",
		    "Bitmap 't' is readonly and cannot be modified");
	merge_fails("BITMAP 4001:7 t\nBITMAP 4001:7 x\nBITMAP 4001:8 y\n"
		    "FAIL MERGE ERANGE", other, ERANGE, "GenericError",
		    "Bitmaps are of different sizes (destination size is 4194304, source size is 8388608) and can't be merged");
}

static void test_end(void)
{
	struct dtrack *h = begin(TWO "BITMAP 4001:7 b\nFAIL RECLAIM ENODATA\n"
				 "FAIL ABDICATE ENODATA\n");

	CHECK_INT(-ENODATA, dtrack_bitmap_reclaim(h, dev, "b", 0, 0, NULL));
	CHECK_STR("Cannot reclaim a successor when none is present",
		  dtrack_errmsg(h));
	expect(h, dtrack_bitmap_abdicate(h, dev, "b", 0, NULL), -ENODATA,
	       "GenericError",
	       "Cannot relinquish control if there's no successor present");
	h = begin(TWO "BITMAP 4001:7 b\nFAIL ABDICATE ESTALE\n");
	expect(h, dtrack_bitmap_abdicate(h, dev, "b", 1, NULL), -ESTALE,
	       "Stale", "The freeze of bitmap 'b' was taken away");
}

/* A table that grows while it is read, and one that was too small. */
static void test_many(void)
{
	struct dtrack_bitmaps *list;
	struct dtrack_dev *devs;
	char script[4096] = TWO;
	struct dtrack *h;
	int i;

	for (i = 0; i < 40; i++)
		sprintf(script + strlen(script), "BITMAP 4001:7 b%d\n", i);
	h = begin(script);
	CHECK_INT(40, dtrack_bitmaps_get(h, dev, NULL, &list));
	CHECK_STR("b39", (const char *)dtrack_bitmaps_at(list, 39)->name);
	CHECK(!dtrack_bitmaps_at(list, 40), "one beyond the last");
	dtrack_bitmaps_free(list);
	CHECK_INT(2, dtrack_dev_list(h, &devs));
	CHECK_INT(8, devs[1].minor);
	free(devs);
	dtrack_free(h);
	h = begin("");
	CHECK_INT(0, dtrack_dev_list(h, &devs));
	free(devs);
	dtrack_free(h);
}

/* A caller built with a shorter struct. */
static void test_short_struct(void)
{
	struct dtrack *h = begin(TWO);
	struct dtrack_dev_info info;

	memset(&info, 0x5a, sizeof(info));
	CHECK_INT(0, dtrack_dev_info(h, dev, &info,
				     offsetof(struct dtrack_dev_info, lower)));
	CHECK_INT(4194304, info.bytes);
	CHECK_INT(0x5a5a5a5a, info.lower.major);
	CHECK_INT(0, dtrack_dev_info(h, dev, &info, sizeof(info)));
	CHECK_INT(7, info.lower.major);
	dtrack_free(h);
}

static void test_long_message(void)
{
	char name[300];
	struct dtrack_dev found;
	struct dtrack *h = begin(TWO);

	memset(name, '/', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	CHECK(dtrack_dev_find(h, name, &found) < 0, "found");
	CHECK(strlen(dtrack_errmsg(h)) > 300, "cut");
	dtrack_free(h);
}

int main(void)
{
	static const struct check checks[] = {
		{ "close-null", test_close_null },
		{ "handle-opens-nothing", test_fresh_handle },
		{ "open-no-module", test_no_module },
		{ "open-no-permission", test_no_permission },
		{ "open-other-abi", test_other_abi },
		{ "find-words", test_find },
		{ "bitmap-words", test_bitmap_words },
		{ "ioctl-interrupted", test_interrupted },
		{ "bitmap-names", test_names },
		{ "add-words", test_add },
		{ "merge-words-name-the-culprit", test_merge },
		{ "end-words", test_end },
		{ "list-many", test_many },
		{ "info-short-struct", test_short_struct },
		{ "message-long", test_long_message },
		{ 0 },
	};

	return run_checks(checks);
}
