// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test-feeds.c - what lies on a device though its number does not say so.
 *
 * A file of a file system whose number is no block device's, and a table of
 * mounts that says what it is mounted from.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "check.h"
#include "feeds.h"
#include "mock.h"
#include "users.h"

#define PLACE	"/proc"

static char root[] = "/tmp/dtrack-test-XXXXXX";
static int place, mount_id;
static bool btrfs;

int fstatfs(int fd, struct statfs *fs)
{
	(void)fd;
	memset(fs, 0, sizeof(*fs));
	fs->f_type = btrfs ? BTRFS_SUPER_MAGIC : TMPFS_MAGIC;
	return 0;
}

/* ---- /proc and /sys ----------------------------------------------------- */

static void make_folders(char *path)
{
	char *slash = path + strlen(root);

	while ((slash = strchr(slash + 1, '/'))) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", root, name);
	make_folders(path);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
}

/* A file system of a number that no file has: so it is with subvolumes. */
static void mounted(int id, const char *type_and_source)
{
	char line[256];

	snprintf(line, sizeof(line),
		 "%d 1 0:4095 / %s rw - %s rw,upperdir\n", id, PLACE,
		 type_and_source);
	put("/proc/self/mountinfo", line);
}

static void member(const char *fs, const char *name, const char *number)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/fs/btrfs/%s/devices/%s/dev", fs, name);
	put(path, number);
}

static void fresh(void)
{
	char script[64], command[128];

	mock_script("");
	snprintf(command, sizeof(command), "rm -rf %s/*", root);
	if (system(command))
		abort();
	snprintf(script, sizeof(script), "ROOT %s\n", root);
	mock_script(script);
	put("/sys/dev/block/4001:7/uevent", "DEVNAME=mock/7\n");
	put("/sys/dev/block/4001:8/uevent", "DEVNAME=mock/8\n");
	put("/sys/dev/block/4001:9/uevent", "DEVNAME=mock/9\n");
	btrfs = false;
}

/* ---- Tests -------------------------------------------------------------- */

/* The devices 7, 8 and 9 that it lies on, as digits. */
static const char *lies_on(void)
{
	static char on[8];
	struct dtrack *h;
	unsigned int i, nr = 0;
	int ret;

	dtrack_new(&h);
	for (i = 7; i <= 9; i++) {
		const struct dtrack_dev dev = { 4001, i };

		ret = dtl_check_feeds(h, dev, place, PLACE);
		CHECK(!ret || ret == -ELOOP, "%d: %s", ret, dtrack_errmsg(h));
		CHECK_INT(ret != 0, dtrack_dev_carries(h, dev, PLACE));
		if (ret)
			on[nr++] = (char)('0' + i);
	}
	on[nr] = '\0';
	CHECK_INT(-ENOENT, dtrack_dev_carries(h, (struct dtrack_dev){ 0 },
					      PLACE "/no/such"));
	dtrack_free(h);
	return on;
}

static void test_btrfs(void)
{
	fresh();
	mounted(mount_id, "btrfs /dev/mock/9");
	CHECK_STR("9", lies_on());
	member("one", "x", "4001:8");
	CHECK_STR("9", lies_on());
	member("two", "y", "4001:9");
	CHECK_STR("9", lies_on());
	member("one", "z", "4001:9");
	CHECK_STR("89", lies_on());
}

/* Each of its devices is. */
static void test_btrfs_mounted(void)
{
	char point[64] = "";

	fresh();
	mounted(mount_id, "btrfs /dev/mock/9");
	CHECK(dtl_mounted_on(makedev(4001, 9), point, sizeof(point)), "9");
	CHECK_STR(PLACE, point);
	CHECK(!dtl_mounted_on(makedev(4001, 8), NULL, 0), "8, without members");
	member("one", "x", "4001:8");
	member("two", "y", "4001:9");
	CHECK(!dtl_mounted_on(makedev(4001, 8), NULL, 0), "8, another's");
	member("one", "z", "4001:9");
	CHECK(dtl_mounted_on(makedev(4001, 8), NULL, 0), "8");
	CHECK(!dtl_mounted_on(makedev(4001, 7), NULL, 0), "7");
}

/* Once, whichever of its devices are asked for. */
static void test_btrfs_frozen(void)
{
	const struct dtrack_dev devs[] = { { 4001, 7 }, { 4001, 8 }, { 4001, 9 } };
	struct dtrack_fs *fs;
	struct dtrack *h;

	fresh();
	mounted(mount_id, "btrfs /dev/mock/9");
	member("one", "x", "4001:8");
	member("one", "y", "4001:9");
	dtrack_new(&h);
	CHECK(!dtrack_fs_new(h, devs, 3, &fs), "%s", dtrack_errmsg(h));
	CHECK_INT(0, dtrack_fs_freeze(fs));
	CHECK_INT(0, dtrack_fs_thaw(fs));
	CHECK_STR("FIFREEZE\nFITHAW\n", mock_log());
	dtrack_fs_free(fs);
	CHECK_INT(0, dtrack_fs_new(h, devs, 2, &fs));
	CHECK_INT(0, dtrack_fs_freeze(fs));
	CHECK_INT(0, dtrack_fs_thaw(fs));
	CHECK_STR("FIFREEZE\nFITHAW\nFIFREEZE\nFITHAW\n", mock_log());
	dtrack_fs_free(fs);
	dtrack_free(h);
}

/* Then it may be any. */
static void test_btrfs_unknown(void)
{
	fresh();
	member("one", "x", "4001:8");
	member("two", "y", "4001:9");
	mounted(mount_id, "btrfs /dev/mapper/of-another-namespace");
	CHECK_STR("89", lies_on());
	mounted(mount_id, "btrfs name");
	CHECK_STR("89", lies_on());
	mounted(mount_id, "tmpfs name");
	CHECK_STR("", lies_on());
	mounted(mount_id + 1, "btrfs /dev/mock/9");
	CHECK_STR("", lies_on());
	btrfs = true;
	CHECK_STR("89", lies_on());
}

static void test_bcachefs(void)
{
	fresh();
	mounted(mount_id, "bcachefs /dev/mock/7:/dev/mock/9");
	CHECK_STR("79", lies_on());
	mounted(mount_id, "bcachefs /dev/mock/7:/dev/of-another-namespace");
	CHECK_STR("789", lies_on());
}

static void test_none(void)
{
	fresh();
	mounted(mount_id, "nfs server:/dev/mock/9");
	CHECK_STR("", lies_on());
}

/* ---- Who uses a device -------------------------------------------------- */

static void put_link(const char *name, const char *to)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", root, name);
	make_folders(path);
	if (symlink(to, path))
		abort();
}

/* 8 is on top of 9; a process with mounts of its own. */
static void stacked(const char *mountinfo)
{
	fresh();
	put("/proc/self/mountinfo", "1 1 0:1 / / rw - tmpfs none rw\n");
	put("/sys/dev/block/4001:9/holders/dm-8/dev", "4001:8\n");
	put("/proc/31/comm", "sh\n");
	put("/proc/31/ns/mnt", "");
	put("/proc/31/root", "");
	put("/proc/31/mountinfo", mountinfo);
}

static const char *use(unsigned int nr)
{
	static char buf[DTL_USE_LEN];
	struct dtrack *h;

	dtrack_new(&h);
	dtl_use_find(h, makedev(4001, nr), buf);
	dtrack_free(h);
	return buf;
}

/* "ERRNO words" of an attempt to freeze. */
static const char *freeze(unsigned int nr)
{
	static char text[8192];
	const struct dtrack_dev dev = { 4001, nr };
	struct dtrack_fs *fs;
	struct dtrack *h;
	int ret;

	dtrack_new(&h);
	ret = dtrack_fs_new(h, &dev, 1, &fs);
	snprintf(text, sizeof(text), "%d %s", ret, dtrack_errmsg(h));
	if (!ret)
		dtrack_fs_free(fs);
	dtrack_free(h);
	return text;
}

static void test_use_of_a_mount(void)
{
	stacked("");
	CHECK_STR("", use(9));
	CHECK_STR("0 ", freeze(9));
	stacked("2 1 4001:8 / /my\\040srv rw - ext4 /dev/mock/8 rw\n");
	CHECK_STR("mock/8 is mounted on /my srv in the mount namespace of process 31 (sh)",
		  use(9));
	CHECK_STR("mounted on /my srv in the mount namespace of process 31 (sh)",
		  use(8));
	CHECK_STR("", use(7));
}

/* There is nothing that could be frozen. */
static void test_use_by_a_process(void)
{
	stacked("");
	put_link("/proc/31/fd/4", "/dev/mock/8");
	put("/proc/31/fdinfo/4", "pos:\t0\nflags:\t0100000\n");
	CHECK_STR("", use(9));
	put("/proc/31/fdinfo/4", "pos:\t0\nflags:\t0100002\n");
	CHECK_STR("mock/8 is open for writing in process 31 (sh)", use(9));
	CHECK_STR("-16 Could not freeze all that uses '4001:9': no file system is to be seen where it is in use: mock/8 is open for writing in process 31 (sh)",
		  freeze(9));
}

static void test_use_as_swap(void)
{
	stacked("");
	put("/proc/swaps", "Filename Type Size Used Priority\n"
	    "/dev/mock\\0578 partition 4096 0 -2\n");
	CHECK_STR("mock/8 is used as swap", use(9));
}

/* A comma of a value is escaped, one between options is not. */
static void test_options(void)
{
	char options[] = "rw,xupperdir=/no,lowerdir=/a\\054upperdir=/no,upperdir=/u\\040p\\054\\134x,workdir=/w";
	const struct dtl_mount m = { .options = options };
	char *upper = dtl_mount_option(&m, "upperdir");
	char *work = dtl_mount_option(&m, "workdir");
	char *lower = dtl_mount_option(&m, "lowerdir");

	CHECK_STR("/u p,\\x", upper);
	CHECK_STR("/w", work);
	CHECK_STR("/a,upperdir=/no", lower);
	CHECK(!dtl_mount_option(&m, "upper"), "a part of a name");
	CHECK(!dtl_mount_option(&m, "rw"), "an option without a value");
	free(upper);
	free(work);
	free(lower);
}

int main(void)
{
	static const struct check checks[] = {
		{ "feeds-btrfs", test_btrfs },
		{ "feeds-btrfs-mounted", test_btrfs_mounted },
		{ "feeds-btrfs-frozen", test_btrfs_frozen },
		{ "feeds-btrfs-unknown", test_btrfs_unknown },
		{ "feeds-bcachefs", test_bcachefs },
		{ "feeds-no-device", test_none },
		{ "feeds-use-of-a-mount-elsewhere", test_use_of_a_mount },
		{ "feeds-use-by-a-process", test_use_by_a_process },
		{ "feeds-use-as-swap", test_use_as_swap },
		{ "feeds-mount-options", test_options },
		{ 0 },
	};
	struct statx stx;
	char command[64];
	struct stat st;
	int ret;

	place = open(PLACE, O_PATH | O_CLOEXEC);
	if (place < 0 || fstat(place, &st) || major(st.st_dev) ||
	    statx(place, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) ||
	    !mkdtemp(root))
		return 1;
	mount_id = (int)stx.stx_mnt_id;
	ret = run_checks(checks);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command) ? 1 : ret;
}
