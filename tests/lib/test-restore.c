// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test-restore.c - targets go back to a device, which is a file here.
 *
 * SEED=N repeats the random test.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "dtrack.h"
#include "mock.h"
#include "random.h"
#include "sums.h"

#define MOST	(4U << 20)
#define DEVICE	"/dev/mock/9"

static char dir[] = "/tmp/dtrack-test-XXXXXX";
static char device[64], target[64], manifest[80], sums[96];

/* ---- A device that takes no direct write ---------------------------------- */

static bool refuse_direct;
static unsigned int refused;

/* Then each is a pwrite(). */
int io_uring_queue_init(unsigned int depth, struct io_uring *ring,
			unsigned int flags)
{
	int (*real)(unsigned int depth, struct io_uring *ring,
		    unsigned int flags);

	*(void **)&real = dlsym(RTLD_NEXT, "io_uring_queue_init");
	return refuse_direct ? -ENOSYS : real(depth, ring, flags);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
	ssize_t (*real)(int fd, const void *buf, size_t len, off_t at);

	*(void **)&real = dlsym(RTLD_NEXT, "pwrite64");
	if (refuse_direct && fcntl(fd, F_GETFL) & O_DIRECT) {
		__atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED);
		errno = EINVAL;
		return -1;
	}
	return real(fd, buf, len, at);
}

/* ---- Files -------------------------------------------------------------- */

static char data[MOST], before[MOST + 65536], after[MOST + 65536];

static void write_file(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(bytes, 1, len, f) != len || fclose(f))
		abort();
}

static size_t read_file(const char *path, void *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t len = f ? fread(buf, 1, size, f) : 0;

	if (f)
		fclose(f);
	return len;
}

/* A complete target of @size bytes, as a run leaves it. */
static void make_target(uint64_t size, uint64_t unit)
{
	struct dtl_manifest m = {
		.complete = true, .size = size, .sync = "full",
		.has_sums = true, .sums_unit = unit, .sums_id = 7,
	};
	struct dtl_sums s;
	struct dtrack *h;
	size_t i;

	for (i = 0; i < size; i++)
		data[i] = (char)(i / 4096 * 7 + i % 251 + 1);
	memset(data + size / 2, 0, size / 8);
	write_file(target, data, size);
	dtrack_new(&h);
	CHECK_INT(0, dtl_manifest_store(h, manifest, &m));
	CHECK_INT(0, dtl_sums_create(h, manifest, &m, &s));
	CHECK_INT(0, dtl_sums_put(h, &s, 0, data, size));
	dtl_sums_close(&s);
	dtrack_free(h);
}

static void make_device(uint64_t size)
{
	memset(before, 0xee, size);
	write_file(device, before, size);
}

static void flip(const char *path, uint64_t at)
{
	int fd = open(path, O_RDWR);
	char c;

	pread(fd, &c, 1, (off_t)at);
	c ^= 1;
	pwrite(fd, &c, 1, (off_t)at);
	close(fd);
}

/* ---- Restores ----------------------------------------------------------- */

static struct dtrack_restore_result result;
static char words[8192], told[8192];
static struct dtrack_restore *running;
static uint64_t cancel_at, rot_at;

static void found(void *opaque, const struct dtrack_range *r, const char *why)
{
	(void)opaque;
	if (r)
		snprintf(told + strlen(told), sizeof(told) - strlen(told),
			 "%" PRIu64 "+%" PRIu64 " ", (uint64_t)r->start,
			 (uint64_t)r->length);
	else
		snprintf(told + strlen(told), sizeof(told) - strlen(told),
			 "%s; ", why);
}

static void notify(void *opaque, enum dtrack_run_event event, uint64_t done,
		   uint64_t total, const char *message)
{
	(void)opaque;
	(void)event;
	(void)message;
	CHECK(done <= total, "%" PRIu64 " of %" PRIu64, done, total);
	if (done > rot_at) {
		flip(target, rot_at);
		rot_at = UINT64_MAX;
	}
	if (done >= cancel_at)
		dtrack_restore_cancel(running);
}

/* Return: of dtrack_restore_execute(), or of dtrack_restore_new() - 1000. */
static int restore(unsigned int flags)
{
	struct dtrack_restore_options o = DTRACK_RESTORE_OPTIONS_INIT;
	struct dtrack *h;
	int ret;

	told[0] = '\0';
	memset(&result, 0, sizeof(result));
	o.target = target;
	o.device = DEVICE;
	o.flags = flags;
	o.jobs = (unsigned int)chance(20);
	o.found = found;
	o.notify = notify;
	dtrack_new(&h);
	ret = dtrack_restore_new(h, &o, &running);
	if (ret) {
		ret -= 1000;
	} else {
		ret = dtrack_restore_execute(running);
		dtrack_restore_result(running, &result, sizeof(result));
		dtrack_restore_free(running);
	}
	snprintf(words, sizeof(words), "%s", dtrack_errmsg(h));
	dtrack_free(h);
	return ret;
}

/* The device has the target's content, then what it had. */
static void check_device(uint64_t content, uint64_t size)
{
	CHECK_INT(size, read_file(device, after, sizeof(after)));
	CHECK(!memcmp(after, data, content), "the content is another");
	CHECK(!memcmp(after + content, before + content, size - content),
	      "the rest was touched");
}

static void check_untouched(uint64_t size)
{
	CHECK_INT(size, read_file(device, after, sizeof(after)));
	CHECK(!memcmp(after, before, size), "the device was touched");
}

/* ---- Tests -------------------------------------------------------------- */

static void fresh(void)
{
	char script[256];

	unlink(manifest);
	unlink(sums);
	cancel_at = UINT64_MAX;
	rot_at = UINT64_MAX;
	snprintf(script, sizeof(script), "FILE %s 9\n", device);
	mock_script(script);
}

static void test_whole(void)
{
	fresh();
	make_target(MOST, 65536);
	make_device(MOST);
	CHECK_INT(0, restore(0));
	check_device(MOST, MOST);
	CHECK_INT(DTRACK_RUN_COMPLETED, result.state);
	CHECK(result.checked, "not checked");
	CHECK_INT(MOST, result.bytes_total);
	CHECK_INT(MOST, result.bytes_written);
	CHECK_INT(MOST, result.bytes_checked);
	CHECK_STR("", told);
}

static void test_larger(void)
{
	fresh();
	make_target(MOST - 1536, 4096);
	make_device(MOST + 4096);
	CHECK_INT(0, restore(0));
	check_device(MOST - 1536, MOST + 4096);
	CHECK_INT(MOST + 4096, result.device_bytes);
	make_device(MOST + 4096);
	CHECK_INT(0, restore(DTRACK_RESTORE_DELTA));
	check_device(MOST - 1536, MOST + 4096);
}

/* Whatever differs is written, in whole units, and nothing else. */
static void test_delta(void)
{
	static const uint64_t units[] = { 512, 4096, 65536 };
	uint64_t unit, size, at, want;
	unsigned int i, k, n;

	for (i = 0; i < 30 && !check_why[0]; i++) {
		fresh();
		unit = units[i % 3];
		size = MOST - 512 * chance(3000);
		make_target(size, unit);
		memcpy(before, data, size);
		n = (unsigned int)chance(chance(2) ? 10 : 2000);
		for (k = 0; k < n; k++) {
			at = chance(size);
			before[at] ^= (char)(1 + chance(255));
		}
		for (at = 0, want = 0; at < size; at += unit) {
			uint64_t len = size - at < unit ? size - at : unit;

			if (memcmp(before + at, data + at, len))
				want += len;
		}
		write_file(device, before, size);
		CHECK_INT(0, restore(DTRACK_RESTORE_DELTA));
		check_device(size, size);
		CHECK_INT(want, result.bytes_written);
		CHECK_INT(size, result.bytes_total);
	}
}

/* More than what is compared before it is copied. */
static void test_windows(void)
{
	static const uint64_t at[] = {
		0, 65536, (64 << 20) - 1, 64 << 20, (130 << 20) + 511,
	};
	struct stat st;
	size_t i;
	int fd;

	fresh();
	write_file(target, "", 0);
	write_file(device, "", 0);
	truncate(target, (130 << 20) + 512);
	truncate(device, (130 << 20) + 512);
	for (i = 0; i < 5; i++)
		flip(target, at[i]);
	CHECK_INT(0, restore(DTRACK_RESTORE_DELTA));
	CHECK(!result.checked, "checked without a manifest");
	CHECK_INT(4 * 65536 + 512, result.bytes_written);
	fd = open(device, O_RDONLY);
	for (i = 0; i < 5; i++) {
		char c = 0;

		pread(fd, &c, 1, (off_t)at[i]);
		CHECK_INT(1, c);
	}
	CHECK(!fstat(fd, &st) && st.st_blocks * 512 < 4 << 20,
	      "more was written");
	close(fd);
}

static void test_refused(void)
{
	struct dtl_manifest m = {
		.size = MOST, .sync = "full",
	};
	struct dtrack *h;

	fresh();
	make_target(MOST, 65536);
	make_device(MOST - 512);
	CHECK_INT(-ERANGE - 1000, restore(DTRACK_RESTORE_FORCE));
	CHECK(strstr(words, "is too small: it has 4193792 bytes, and the target 4194304"),
	      "%s", words);
	check_untouched(MOST - 512);

	make_device(MOST);
	dtrack_new(&h);
	CHECK_INT(0, dtl_manifest_store(h, manifest, &m));
	dtrack_free(h);
	CHECK_INT(-ESTALE - 1000, restore(0));
	CHECK(strstr(words, "is incomplete"), "%s", words);
	check_untouched(MOST);
	CHECK_INT(0, restore(DTRACK_RESTORE_FORCE));
	check_device(MOST, MOST);

	make_device(MOST);
	write_file(manifest, "{", 1);
	CHECK_INT(-EBADMSG - 1000, restore(0));
	check_untouched(MOST);
	CHECK_INT(0, restore(DTRACK_RESTORE_FORCE));
	check_device(MOST, MOST);

	make_target(MOST, 65536);
	make_device(MOST);
	truncate(target, MOST / 2);
	CHECK_INT(-ERANGE - 1000, restore(0));
	check_untouched(MOST);
	CHECK_INT(0, restore(DTRACK_RESTORE_FORCE));
	check_device(MOST / 2, MOST);
}

static void test_damaged(void)
{
	fresh();
	make_target(MOST, 65536);
	make_device(MOST);
	flip(target, 70000);
	CHECK_INT(-EBADMSG, restore(0));
	CHECK(strstr(words, "is damaged: 65536 bytes from byte 65536 on"), "%s",
	      words);
	CHECK_INT(DTRACK_RUN_FAILED, result.state);
	read_file(device, after, sizeof(after));
	CHECK(!memcmp(after + 65536, before + 65536, 65536),
	      "what is damaged was written");
	make_device(MOST);
	CHECK_INT(-EBADMSG, restore(DTRACK_RESTORE_DELTA));
	check_untouched(MOST);
	CHECK_INT(0, restore(DTRACK_RESTORE_FORCE));
	CHECK_STR("65536+65536 ", told);
	data[70000] ^= 1;
	check_device(MOST, MOST);
	make_device(MOST);
	CHECK_INT(0, restore(DTRACK_RESTORE_FORCE | DTRACK_RESTORE_DELTA));
	CHECK_STR("65536+65536 ", told);
	check_device(MOST, MOST);
}

/* It is shown anew, and is the same damage. */
static void test_damaged_refused(void)
{
	unsigned int flags;
	int fd;

	for (flags = 0; flags <= DTRACK_RESTORE_DELTA;
	     flags += DTRACK_RESTORE_DELTA) {
		fresh();
		make_target(MOST, 4096);
		make_device(MOST);
		flip(target, 70000);
		flip(target, 74000);
		flip(target, MOST - 1);
		refused = 0;
		refuse_direct = true;
		CHECK_INT(0, restore(DTRACK_RESTORE_FORCE | flags));
		refuse_direct = false;
		fd = open(device, O_RDONLY | O_DIRECT);
		CHECK(refused || fd < 0, "nothing was refused");
		if (fd >= 0)
			close(fd);
		CHECK_INT(3 * 4096, result.bytes_damaged);
		CHECK_INT(MOST, result.bytes_checked);
		CHECK(strstr(told, "69632+8192 "), "%s", told);
		CHECK(strstr(told, "4190208+4096 "), "%s", told);
		CHECK_INT(24, strlen(told));
	}
}

/* What is written is what was checked, not what was compared before. */
static void test_read_anew(void)
{
	fresh();
	make_target(MOST, 65536);
	make_device(MOST);
	rot_at = 70000;
	CHECK_INT(-EBADMSG, restore(DTRACK_RESTORE_DELTA));
	CHECK(strstr(words, "is damaged: 65536 bytes from byte 65536 on"), "%s",
	      words);
	read_file(device, after, sizeof(after));
	CHECK(!memcmp(after + 65536, before + 65536, 65536),
	      "what is damaged was written");
}

/* Then it is restored, and said. */
static void test_no_sums(void)
{
	fresh();
	make_target(MOST, 65536);
	make_device(MOST);
	unlink(sums);
	flip(target, 70000);
	data[70000] ^= 1;
	CHECK_INT(0, restore(0));
	CHECK(!result.checked, "checked");
	CHECK(strstr(told, "Could not open the checksums"), "%s", told);
	check_device(MOST, MOST);
}

static void test_cancel(void)
{
	fresh();
	make_target(MOST, 65536);
	make_device(MOST);
	cancel_at = 1 << 20;
	CHECK_INT(-ECANCELED, restore(DTRACK_RESTORE_DELTA));
	CHECK_INT(DTRACK_RUN_CANCELLED, result.state);
	CHECK_STR("Operation canceled", words);
	CHECK_INT(-ECANCELED, restore(0));
	CHECK_INT(DTRACK_RUN_CANCELLED, result.state);
}

static void test_locked(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd, ready[2];
	char c;
	pid_t pid;

	fresh();
	make_target(MOST, 65536);
	make_device(MOST);
	if (pipe(ready))
		abort();
	pid = fork();
	if (!pid) {
		fd = open(target, O_RDWR);
		if (fcntl(fd, F_SETLK, &l) || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	close(ready[1]);
	CHECK_INT(1, read(ready[0], &c, 1));
	close(ready[0]);
	CHECK_INT(-EBUSY - 1000, restore(0));
	CHECK(strstr(words, "is used by a run"), "%s", words);
	check_untouched(MOST);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	static const struct check checks[] = {
		{ "restore-whole", test_whole },
		{ "restore-onto-larger", test_larger },
		{ "restore-delta", test_delta },
		{ "restore-delta-in-windows", test_windows },
		{ "restore-refused", test_refused },
		{ "restore-damaged", test_damaged },
		{ "restore-damaged-and-refused", test_damaged_refused },
		{ "restore-read-anew", test_read_anew },
		{ "restore-without-checksums", test_no_sums },
		{ "restore-cancel", test_cancel },
		{ "restore-from-locked", test_locked },
		{ 0 },
	};
	int ret;

	take_seed();
	fflush(stdout);
	if (!mkdtemp(dir))
		return 1;
	snprintf(device, sizeof(device), "%s/device", dir);
	snprintf(target, sizeof(target), "%s/target", dir);
	snprintf(manifest, sizeof(manifest), "%s.dtrack", target);
	snprintf(sums, sizeof(sums), "%s.sums", manifest);
	ret = run_checks(checks);
	unlink(device);
	unlink(target);
	unlink(manifest);
	unlink(sums);
	rmdir(dir);
	return ret;
}
