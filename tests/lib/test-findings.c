// SPDX-License-Identifier: GPL-2.0-or-later
/* test-findings.c - whether it is noticed that a tracker misses writes. */
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "dtrack.h"
#include "mock.h"

/* What is below is /dev/mock/9, of which 'data' has the second half. */
#define ONE	"DEV 4001:7 4194304 4001:9 4194304\n"			\
		"DM 4001:7 data dirtytrack - 4001:9 8192\n"
#define B	"BITMAP 4001:7 b\n"

static char root[64];

/* ---- /sys and /proc ----------------------------------------------------- */

static void parents(char *path)
{
	char *p;

	for (p = path + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		mkdir(path, 0700);
	}
}

static void put(const char *name, const char *text)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", root, name);
	parents(path);
	f = fopen(path, "w");
	if (!f)
		abort();
	fputs(text, f);
	fclose(f);
}

static void put_link(const char *name, const char *to)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s%s", root, name);
	parents(path);
	if (symlink(to, path))
		abort();
}

static int wipe_one(const char *path, const struct stat *st, int type,
		    struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void wipe(void)
{
	nftw(root, wipe_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* As every machine has it. */
static void fresh(void)
{
	wipe();
	mkdir(root, 0700);
	put("/proc/swaps", "Filename Type Size Used Priority\n");
	put("/proc/self/mountinfo", "1 1 0:1 / / rw - tmpfs none rw\n");
	put("/sys/dev/block/4001:9/uevent", "MAJOR=4001\nDEVNAME=mock/9\n");
	put("/sys/dev/block/4001:9/holders/dm-7/dev", "4001:7\n");
	put("/sys/block/sda/dev", "4001:9\n");
}

/* ---- The question ------------------------------------------------------- */

/* "RETURN|FAULT text|..." of a look at @name, or "ERRNO words". */
static const char *look(const char *script, const char *name,
			const char *bitmap)
{
	static char text[16384];
	const struct dtrack_finding *f;
	struct dtrack_findings *list;
	char whole[4096];
	struct dtrack *h;
	unsigned int i;
	int ret;

	snprintf(whole, sizeof(whole), "%sROOT %s\n", script, root);
	mock_script(whole);
	dtrack_new(&h);
	ret = dtrack_dev_check(h, name, bitmap, &list);
	sprintf(text, "%d", ret);
	if (ret < 0)
		sprintf(text + strlen(text), " %s", dtrack_errmsg(h));
	for (i = 0; ret >= 0 && (f = dtrack_findings_at(list, i)); i++)
		sprintf(text + strlen(text), "|%s%s%s %s",
			f->fault ? "fault" : "note", f->bitmap ? " of " : "",
			f->bitmap ? f->bitmap : "", f->text);
	CHECK(ret >= 0 || !list, "a list in spite of an error");
	dtrack_findings_free(list);
	dtrack_free(h);
	return text;
}

#define UNTRACKED	": what is written there is not tracked"

static void test_fine(void)
{
	fresh();
	CHECK_STR("0", look(ONE B, "data", NULL));
	CHECK_STR("0", look(ONE B, "data", "b"));
	CHECK_STR("0", look(ONE B, "/dev/mock/7", NULL));
	CHECK_STR("0|note 'data' has no bitmap", look(ONE, "data", NULL));
	CHECK_STR("-2 Dirty bitmap 'x' not found", look(ONE B, "data", "x"));
	CHECK_STR("-19 Cannot find device 'nosuch'",
		  look(ONE B, "nosuch", NULL));
}

static void test_not_ours(void)
{
	fresh();
	CHECK_STR("1|fault 'data' is of type 'linear' now: nothing tracks it",
		  look("DM 4001:7 data linear - 4001:9 8192\n", "data", NULL));
	/* The tracker may be alive in a table that is not. */
	CHECK_STR("1|fault 'data' is of type 'linear' now: nothing tracks it",
		  look("DEV 4001:7 4194304 4001:9\n" B
		       "DM 4001:7 data linear - 4001:9 8192\n", "data", "b"));
	CHECK_STR("1|fault 'data' has no table: nothing tracks it",
		  look("DM 4001:7 data -\n", "data", NULL));
	CHECK_STR("1|fault '/dev/mock/9' is no device-mapper device: nothing tracks it",
		  look(ONE, "/dev/mock/9", NULL));
}

static void test_state(void)
{
	fresh();
	CHECK_STR("1|fault 'data' is suspended: its I/O waits",
		  look("DEV 4001:7 4194304 4001:9\n" B
		       "DM 4001:7 data dirtytrack suspended 4001:9 0\n",
		       "data", NULL));
	CHECK_STR("0|note 'data' is read-only",
		  look("DEV 4001:7 4194304 4001:9\n" B
		       "DM 4001:7 data dirtytrack readonly 4001:9 0\n",
		       "data", NULL));
}

static void test_bitmaps(void)
{
	static const char three[] = ONE B "BITMAP 4001:7 off flags=0\n"
				    "BITMAP 4001:7 bad flags=9\n";

	fresh();
	CHECK_STR("2|fault of off bitmap 'off' is disabled: it does not record"
		  "|fault of bad bitmap 'bad' is inconsistent",
		  look(three, "data", NULL));
	CHECK_STR("0", look(three, "data", "b"));
	CHECK_STR("1|fault of off bitmap 'off' is disabled: it does not record",
		  look(three, "data", "off"));
}

#define NEVER	"18446744073709551615"

static void test_writes(void)
{
	fresh();
	CHECK_STR("0|note 'data' has seen no write since it was made",
		  look(ONE B "WRITES 4001:7 0 0 0 0 0 0 0 0 " NEVER "\n", "data",
		       NULL));
	CHECK_STR("0", look(ONE B "WRITES 4001:7 0 0 1 512 0 0 0 0 0\n", "data",
			    NULL));
}

static void test_mount_and_swap(void)
{
	fresh();
	put("/proc/self/mountinfo",
	    "1 1 0:1 / / rw - tmpfs none rw\n"
	    "2 1 4001:9 / /mnt/a\\040b rw - ext4 /dev/mock/9 rw\n");
	CHECK_STR("1|fault '/dev/mock/9' is mounted on /mnt/a b" UNTRACKED,
		  look(ONE B, "data", NULL));
	fresh();
	put("/proc/swaps", "Filename Type Size Used Priority\n"
	    "/dev/mock/9 partition 4096 0 -2\n");
	CHECK_STR("1|fault '/dev/mock/9' is used as swap" UNTRACKED,
		  look(ONE B, "data", NULL));
	/* The tracked device itself may be used, of course. */
	fresh();
	put("/proc/self/mountinfo",
	    "2 1 4001:7 / /mnt rw - ext4 /dev/mapper/data rw\n");
	CHECK_STR("0", look(ONE B, "data", NULL));
}

#define SIDE(params)	"DM 4001:3 side " params "\n"

static void test_holders(void)
{
	fresh();
	put("/sys/dev/block/4001:9/holders/dm-3/dev", "4001:3\n");
	CHECK_STR("1|fault '/dev/mock/9' is held by dm-3 (side)" UNTRACKED,
		  look(ONE B SIDE("linear - 4001:9 1"), "data", NULL));
	CHECK_STR("1|fault '/dev/mock/9' is held by dm-3 (side)" UNTRACKED,
		  look(ONE B SIDE("crypt - aes key 0 4001:9 0"), "data", NULL));
	/* It maps what lies before or behind ours, or another device. */
	CHECK_STR("0", look(ONE B SIDE("linear - 4001:9 0"), "data", NULL));
	CHECK_STR("0", look(ONE B SIDE("linear - 4001:9 16384"), "data", NULL));
	CHECK_STR("1|fault '/dev/mock/9' is held by dm-3 (side)" UNTRACKED,
		  look(ONE B SIDE("linear - 4001:9 16383"), "data", NULL));
	CHECK_STR("0", look(ONE B SIDE("linear - 4001:8 0"), "data", NULL));
	put("/proc/self/mountinfo",
	    "2 1 4001:3 / /mnt rw - ext4 /dev/mapper/side rw\n");
	CHECK_STR("1|fault '/dev/mock/9' is held by dm-3 (side), which is mounted on /mnt"
		  UNTRACKED,
		  look(ONE B SIDE("linear - 4001:9 8192"), "data", NULL));
	/* md and the like have no table. */
	fresh();
	put("/sys/dev/block/4001:9/holders/md0/dev", "9:0\n");
	CHECK_STR("1|fault '/dev/mock/9' is held by md0" UNTRACKED,
		  look(ONE B, "data", NULL));
}

static void test_loop(void)
{
	fresh();
	put("/sys/block/loop5/loop/backing_file", "/dev/mock/9\n");
	put("/sys/block/loop5/dev", "7:5\n");
	put("/sys/block/loop6/loop/backing_file", "/dev/mock/8\n");
	put("/sys/block/loop6/dev", "7:6\n");
	CHECK_STR("1|fault '/dev/mock/9' is behind loop5" UNTRACKED,
		  look(ONE B, "data", NULL));
	put("/proc/self/mountinfo", "2 1 7:5 / /mnt rw - ext4 /dev/loop5 rw\n");
	CHECK_STR("1|fault '/dev/mock/9' is behind loop5, which is mounted on /mnt"
		  UNTRACKED, look(ONE B, "data", NULL));
}

static void test_process(void)
{
	fresh();
	put("/proc/31/comm", "qemu\n");
	put_link("/proc/31/fd/4", "/dev/mock/9");
	put("/proc/31/fdinfo/4", "pos:\t0\nflags:\t0100000\n");
	put_link("/proc/31/fd/5", "/dev/mock/7");
	put("/proc/31/fdinfo/5", "pos:\t0\nflags:\t0100002\n");
	CHECK_STR("0", look(ONE B, "data", NULL));
	put("/proc/31/fdinfo/4", "pos:\t0\nflags:\t0140002\n");
	CHECK_STR("1|fault '/dev/mock/9' is open for writing in process 31 (qemu)"
		  UNTRACKED, look(ONE B, "data", NULL));
}

static void test_partitions(void)
{
	fresh();
	put("/sys/dev/block/4001:9/sda1/partition", "1\n");
	put("/sys/dev/block/4001:9/sda1/dev", "4001:10\n");
	put("/sys/dev/block/4001:10/uevent", "DEVNAME=mock/10\n");
	CHECK_STR("0", look(ONE B, "data", NULL));
	put("/proc/self/mountinfo", "2 1 4001:10 / /p rw - ext4 /dev/mock/10 rw\n");
	CHECK_STR("1|fault '/dev/mock/10' is mounted on /p" UNTRACKED,
		  look(ONE B, "data", NULL));
	/* A partition is tracked, its disk used; its neighbour may be. */
	fresh();
	put("/sys/dev/block/4001:9/partition", "1\n");
	put("/sys/dev/block/4001:9/../dev", "4001:12\n");
	put("/sys/dev/block/4001:12/uevent", "DEVNAME=mock/12\n");
	put("/sys/dev/block/4001:12/sda2/partition", "2\n");
	put("/sys/dev/block/4001:12/sda2/dev", "4001:13\n");
	put("/proc/self/mountinfo", "2 1 4001:13 / /p rw - ext4 /dev/mock/13 rw\n");
	CHECK_STR("0", look(ONE B, "data", NULL));
	put("/proc/self/mountinfo", "2 1 4001:12 / /p rw - ext4 /dev/mock/12 rw\n");
	CHECK_STR("1|fault '/dev/mock/12' is mounted on /p" UNTRACKED,
		  look(ONE B, "data", NULL));
}

static void test_errors(void)
{
	fresh();
	CHECK_STR("-1 Could not open '/dev/dirtytrack': Operation not permitted",
		  look(ONE B "OPEN EPERM\n", "data", NULL));
	CHECK_STR("-12 Cannot allocate memory",
		  look(ONE B "FAIL INFO ENOMEM\n", "data", NULL));
}

int main(void)
{
	static const struct check checks[] = {
		{ "findings-fine", test_fine },
		{ "findings-not-ours", test_not_ours },
		{ "findings-state", test_state },
		{ "findings-bitmaps", test_bitmaps },
		{ "findings-writes", test_writes },
		{ "findings-mount-and-swap", test_mount_and_swap },
		{ "findings-holders", test_holders },
		{ "findings-loop", test_loop },
		{ "findings-process", test_process },
		{ "findings-partitions", test_partitions },
		{ "findings-errors", test_errors },
		{ 0 },
	};
	int ret;

	snprintf(root, sizeof(root), "/tmp/dtr-findings.%d", (int)getpid());
	ret = run_checks(checks);
	wipe();
	return ret;
}
