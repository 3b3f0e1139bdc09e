// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test-transaction.c - transactions and groups of runs, with files for devices.
 *
 * What is asked of the kernel and in which order, who is blamed in which words,
 * and what manifests say at each end.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "dtrack.h"
#include "manifest.h"
#include "mock.h"

#define SIZE	(1U << 20)
#define G	65536U

/* Two devices, a bitmap of each with the same three granules dirty. */
#define NR	2
static const struct dtrack_dev dev[NR] = { { 4001, 7 }, { 4001, 8 } };

static char dir[] = "/tmp/dtrack-test-XXXXXX";
static char source[NR][64], target[NR][64], manifest[NR][80];
static char data[SIZE];

/* ---- Files -------------------------------------------------------------- */

static void write_file(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(bytes, 1, len, f) != len || fclose(f))
		abort();
}

static struct dtl_manifest load(int i)
{
	struct dtl_manifest m = { 0 };
	struct dtrack *h;

	dtrack_new(&h);
	CHECK_INT(0, dtl_manifest_load(h, manifest[i], &m));
	dtrack_free(h);
	return m;
}

/* Sources with content, targets that fit generation 3 of bitmap b. */
static void fresh(void)
{
	struct dtl_manifest m = {
		.complete = true, .has_bitmap = true, .has_from = true,
		.from = 2, .to = 3, .run = 9, .size = SIZE, .granularity = G,
		.name = "b", .sync = "bitmap", .mode = "conditional",
		.uuid = "01010101-0101-0101-0101-010101010101",
	};
	static const char blank[SIZE];
	struct dtrack *h;
	int i;

	dtrack_new(&h);
	for (i = 0; i < NR; i++) {
		memset(data, 0x11 * (i + 1), SIZE);
		write_file(source[i], data, SIZE);
		write_file(target[i], blank, SIZE);
		CHECK_INT(0, dtl_manifest_store(h, manifest[i], &m));
	}
	dtrack_free(h);
}

/* Granules of a target that were copied, as "0 1". */
static const char *copied(int i)
{
	static char text[256], byte;
	FILE *f = fopen(target[i], "r");
	unsigned int g;

	text[0] = '\0';
	for (g = 0; f && g < SIZE / G; g++) {
		if (fseek(f, g * G, SEEK_SET) || fread(&byte, 1, 1, f) != 1)
			break;
		if (byte == 0x11 * (i + 1))
			sprintf(text + strlen(text), "%u ", g);
	}
	if (f)
		fclose(f);
	return text;
}

/* ---- Transactions -------------------------------------------------------- */

static struct dtrack *h;
static struct dtrack_transaction *tx;
static char script_head[512];

#define B	"BITMAP 4001:7 b uuid=1 generation=3 count=196608\n" \
		"BITMAP 4001:8 b uuid=1 generation=3 count=196608\n" \
		"EXTENT 0 65536\nEXTENT 131072 65536\nEXTENT 524288 65536\n"

static void begin(const char *lines, int completion)
{
	char script[4096];

	fresh();
	snprintf(script, sizeof(script), "%s" B "%s\n", script_head, lines);
	mock_script(script);
	dtrack_new(&h);
	CHECK_INT(0, dtrack_transaction_new(h, completion, &tx));
}

static void end(void)
{
	dtrack_transaction_free(tx);
	dtrack_free(h);
}

static void individual(const char *lines)
{
	begin(lines, DTRACK_COMPLETION_INDIVIDUAL);
}

static void grouped(const char *lines)
{
	begin(lines, DTRACK_COMPLETION_GROUPED);
}

static struct dtrack_run_options options(int i, int mode)
{
	struct dtrack_run_options o = DTRACK_RUN_OPTIONS_INIT;

	o.target = target[i];
	o.bitmap = "b";
	o.sync = DTRACK_SYNC_BITMAP;
	o.mode = mode;
	return o;
}

static int backup(int i, int mode)
{
	struct dtrack_run_options o = options(i, mode);

	return dtrack_transaction_backup(tx, dev[i], &o);
}

static void both(int mode)
{
	CHECK_INT(0, backup(0, mode));
	CHECK_INT(1, backup(1, mode));
}

static struct dtrack_action_result result(unsigned int index)
{
	struct dtrack_action_result r;

	CHECK_INT(0, dtrack_transaction_result(tx, index, &r, sizeof(r)));
	return r;
}

static bool has_call(const char *what)
{
	return strstr(mock_log(), what);
}

static bool in_order(const char *a, const char *b)
{
	const char *p = strstr(mock_log(), a);

	return p && strstr(p, b);
}

/* How often @what is in the log. */
static int count(const char *what)
{
	const char *p = mock_log();
	int nr = 0;

	while ((p = strstr(p, what))) {
		p += strlen(what);
		nr++;
	}
	return nr;
}

/* Executes; nothing must have been done. */
static void refused(int err, const char *cls, const char *words)
{
	CHECK_INT(-err, dtrack_transaction_execute(tx));
	CHECK_STR(words, dtrack_errmsg(h));
	CHECK_STR(cls, dtrack_errclass(h));
	CHECK(!has_call("REPORT") && !has_call("RECLAIM"), "%s", mock_log());
	CHECK(load(0).complete && load(1).complete, "a manifest was touched");
	CHECK_STR("", copied(0));
	CHECK_STR("", copied(1));
	end();
}

/* ---- Actions of the kernel ---------------------------------------------- */

static void test_actions(void)
{
	struct dtrack_source s[2];

	individual("");
	dtrack_source_init(h, &s[0], dev[0], "b");
	dtrack_source_init(h, &s[1], dev[1], "b");
	CHECK_INT(0, dtrack_transaction_add(tx, dev[0], "c", 4096,
					    DTRACK_ADD_DISABLED));
	CHECK_INT(1, dtrack_transaction_merge(tx, dev[0], "c", s, 2));
	CHECK_INT(2, dtrack_transaction_clear(tx, dev[0], "b"));
	CHECK_INT(3, dtrack_transaction_enable(tx, dev[0], "c"));
	CHECK_INT(4, dtrack_transaction_disable(tx, dev[0], "b"));
	CHECK_INT(5, dtrack_transaction_freeze(tx, dev[0], "c",
					       DTRACK_MODE_ALWAYS,
					       DTRACK_SET_ALL,
					       DTRACK_FREEZE_NO_OWNER));
	CHECK_INT(6, dtrack_transaction_abdicate(tx, dev[1], "b", 0));
	CHECK_INT(7, dtrack_transaction_reclaim(tx, dev[1], "b", 0,
						DTRACK_END_FORCE));
	CHECK_INT(8, dtrack_transaction_remove(tx, dev[0], "b"));
	CHECK(!has_call("TRANSACTION"), "%s", mock_log());
	CHECK_INT(0, dtrack_transaction_execute(tx));
	CHECK(has_call("TRANSACTION ADD c granularity=4096 flags=1;"
		       " MERGE c <- 4001:7:b 4001:8:b; CLEAR b; ENABLE c;"
		       " DISABLE b; FREEZE c mode=2 set=1 flags=1;"
		       " ABDICATE b run=0 flags=0; RECLAIM b run=0 flags=1;"
		       " REMOVE b\n"), "%s", mock_log());
	CHECK_INT(1, count("TRANSACTION"));
	CHECK_INT(DTRACK_RUN_COMPLETED, result(8).state);
	CHECK(result(5).run, "no id of a freeze");
	CHECK_INT(1, result(5).generation);
	CHECK_INT(4, result(6).generation);
	CHECK_STR("", result(0).errmsg);
	CHECK_STR("", result(0).errclass);
	end();
}

static void test_nothing(void)
{
	individual("");
	CHECK_INT(0, dtrack_transaction_execute(tx));
	CHECK_INT(-EINVAL, dtrack_transaction_execute(tx));
	CHECK_INT(-EINVAL, dtrack_transaction_clear(tx, dev[0], "b"));
	CHECK(!has_call("TRANSACTION"), "%s", mock_log());
	CHECK_INT(-EINVAL, dtrack_transaction_result(tx, 0, NULL, 0));
	end();
	grouped("");
	CHECK_INT(0, dtrack_transaction_execute(tx));
	end();
}

static void test_too_many(void)
{
	int i;

	individual("");
	for (i = 0; i < DTRACK_MAX_ACTIONS; i++)
		CHECK_INT(i, dtrack_transaction_enable(tx, dev[0], "b"));
	CHECK_INT(-EOVERFLOW, dtrack_transaction_enable(tx, dev[0], "b"));
	CHECK_INT(0, dtrack_transaction_execute(tx));
	end();
}

#define BUSY "Bitmap 'b' is currently in use by another operation and cannot be used"

static void test_blame(void)
{
	struct dtrack_source s;

	individual("");
	dtrack_transaction_clear(tx, dev[0], "b");
	dtrack_transaction_enable(tx, dev[0], "x");
	dtrack_transaction_clear(tx, dev[1], "b");
	CHECK_INT(-ENOENT, dtrack_transaction_execute(tx));
	CHECK_STR("action 1 (block-dirty-bitmap-enable): Dirty bitmap 'x' not found",
		  dtrack_errmsg(h));
	CHECK_STR("BitmapNotFound", dtrack_errclass(h));
	CHECK_INT(DTRACK_RUN_CANCELLED, result(0).state);
	CHECK_INT(DTRACK_RUN_FAILED, result(1).state);
	CHECK_INT(DTRACK_RUN_CANCELLED, result(2).state);
	CHECK_STR("Dirty bitmap 'x' not found", result(1).errmsg);
	CHECK_STR("BitmapNotFound", result(1).errclass);
	CHECK_STR("Operation canceled", result(0).errmsg);
	end();

	individual("");
	dtrack_transaction_remove(tx, dev[0], "b");
	dtrack_transaction_add(tx, dev[0], "b", 0, 0);
	refused(EEXIST, "Exists",
		"action 1 (block-dirty-bitmap-add): Bitmap already exists: b");

	individual("");
	dtrack_transaction_remove(tx, dev[0], "b");
	dtrack_transaction_remove(tx, dev[0], "b");
	refused(EBUSY, "Busy", "action 1 (block-dirty-bitmap-remove): " BUSY);

	individual("");
	dtrack_transaction_abort(tx);
	refused(ECANCELED, "GenericError",
		"action 0 (abort): Transaction aborted using Abort action");

	/* A source that an earlier action froze. */
	individual("FAIL TRANSACTION EBUSY\nBLAME 2\n");
	dtrack_source_init(h, &s, dev[1], "b");
	dtrack_transaction_add(tx, dev[0], "c", 0, 0);
	dtrack_transaction_freeze(tx, dev[1], "b", DTRACK_MODE_NEVER,
				  DTRACK_SET_BITMAP, 0);
	dtrack_transaction_merge(tx, dev[0], "c", &s, 1);
	refused(EBUSY, "Busy", "action 2 (block-dirty-bitmap-merge): " BUSY);

	individual("FAIL TRANSACTION ENODATA\nBLAME 0\n");
	dtrack_transaction_abdicate(tx, dev[0], "b", 0);
	refused(ENODATA, "GenericError",
		"action 0 (block-dirty-bitmap-abdicate): "
		"Cannot relinquish control if there's no successor present");

	individual("FAIL TRANSACTION ENOMEM\n");
	dtrack_transaction_clear(tx, dev[0], "b");
	refused(ENOMEM, "GenericError", "Cannot allocate memory");

	individual("FAIL TRANSACTION ENOTTY\n");
	dtrack_transaction_clear(tx, dev[0], "b");
	refused(EOPNOTSUPP, "GenericError",
		"The kernel module knows no transactions");

	individual("OPEN EACCES\n");
	dtrack_transaction_clear(tx, dev[0], "b");
	refused(EACCES, "Permission",
		"Could not open '/dev/dirtytrack': Permission denied");
}

static void test_bad_names(void)
{
	char name[DTRACK_NAME_LEN + 1];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	individual("");
	dtrack_transaction_clear(tx, dev[0], "b");
	CHECK_INT(1, dtrack_transaction_add(tx, dev[0], "", 0, 0));
	refused(EINVAL, "GenericError",
		"action 1 (block-dirty-bitmap-add): Bitmap name cannot be empty");
	individual("");
	CHECK_INT(0, dtrack_transaction_clear(tx, dev[0], name));
	CHECK_INT(-ENOENT, dtrack_transaction_execute(tx));
	CHECK_STR("BitmapNotFound", dtrack_errclass(h));
	end();
	/* The first that is bad is told, whoever finds it. */
	individual("");
	dtrack_transaction_enable(tx, dev[0], "x");
	dtrack_transaction_clear(tx, dev[0], "");
	CHECK_INT(-ENOENT, dtrack_transaction_execute(tx));
	CHECK_STR("action 0 (block-dirty-bitmap-enable): Dirty bitmap 'x' not found",
		  dtrack_errmsg(h));
	end();
}

/* ---- Checks of runs ------------------------------------------------------ */

static void test_grouped_needs_runs(void)
{
	grouped("");
	backup(0, DTRACK_MODE_ALWAYS);
	dtrack_transaction_enable(tx, dev[0], "x");
	CHECK_INT(-EINVAL, dtrack_transaction_execute(tx));
	CHECK_STR("action 1 (block-dirty-bitmap-enable): Action 'block-dirty-bitmap-enable' does not support transaction property completion-mode = grouped",
		  dtrack_errmsg(h));
	CHECK_STR("GenericError", dtrack_errclass(h));
	CHECK_STR("", mock_log());
	end();
}

static void test_new_bitmap(void)
{
	struct dtrack_run_options o = options(0, DTRACK_MODE_ALWAYS);
	struct dtrack_source s;
	struct dtl_manifest m;

	individual("");
	dtrack_source_init(h, &s, dev[0], "b");
	o.bitmap = "c";
	o.flags = DTRACK_RUN_FORCE;
	dtrack_transaction_add(tx, dev[0], "c", 0, 0);
	dtrack_transaction_merge(tx, dev[0], "c", &s, 1);
	dtrack_transaction_backup(tx, dev[0], &o);
	CHECK_INT(0, dtrack_transaction_execute(tx));
	CHECK(has_call("TRANSACTION ADD c granularity=0 flags=0;"
		       " MERGE c <- 4001:7:b; FREEZE c mode=2 set=0 flags=0\n"),
	      "%s", mock_log());
	CHECK_STR("0 2 8 ", copied(0));
	m = load(0);
	CHECK(m.complete && !m.has_from && m.to == 2, "the manifest");
	CHECK_STR("cccccccc-cccc-cccc-cccc-cccccccccccc", m.uuid);
	end();

	/* Nothing fits what is not there yet. */
	individual("");
	o.flags = 0;
	dtrack_transaction_add(tx, dev[0], "c", 0, 0);
	dtrack_transaction_backup(tx, dev[0], &o);
	CHECK_INT(-ESTALE, dtrack_transaction_execute(tx));
	CHECK(strstr(dtrack_errmsg(h), "action 1 (blockdev-backup): Target '") &&
	      strstr(dtrack_errmsg(h), "is no copy that bitmap 'c' belongs to"),
	      "%s", dtrack_errmsg(h));
	CHECK(has_call("TRANSACTION ADD c granularity=0 flags=0; ABORT failed\n"),
	      "%s", mock_log());
	CHECK_INT(1, count("TRANSACTION"));
	CHECK(load(0).complete, "the manifest was touched");
	end();
}

static void test_clear_and_full(void)
{
	struct dtrack_run_options o = options(0, DTRACK_MODE_CONDITIONAL);
	struct dtl_manifest m;

	individual("");
	o.sync = DTRACK_SYNC_FULL;
	dtrack_transaction_clear(tx, dev[0], "b");
	dtrack_transaction_backup(tx, dev[0], &o);
	CHECK_INT(0, dtrack_transaction_execute(tx));
	m = load(0);
	/* It fitted generation 3; a clear steps to 4, the end to 5. */
	CHECK(m.complete && !m.has_from && m.to == 5, "the manifest");
	end();
}

static void misfit(int (*change)(struct dtrack_transaction *tx,
				 struct dtrack_dev dev, const char *name))
{
	individual("");
	change(tx, dev[0], "b");
	backup(0, DTRACK_MODE_ALWAYS);
	CHECK_INT(-ESTALE, dtrack_transaction_execute(tx));
	CHECK(strstr(dtrack_errmsg(h),
		     "fits generation 3 of bitmap 'b', which is at generation 4"),
	      "%s", dtrack_errmsg(h));
	CHECK(has_call("; ABORT failed\n"), "%s", mock_log());
	CHECK_INT(1, count("TRANSACTION"));
	CHECK_STR("", copied(0));
	end();
}

static void test_misfit(void)
{
	misfit(dtrack_transaction_clear);
	misfit(dtrack_transaction_disable);
	/* What takes nothing away. */
	individual("");
	dtrack_transaction_enable(tx, dev[0], "b");
	dtrack_transaction_merge(tx, dev[0], "b", NULL, 0);
	backup(0, DTRACK_MODE_ALWAYS);
	CHECK_INT(0, dtrack_transaction_execute(tx));
	CHECK_INT(3, load(0).from);
	end();
}

static void test_busy_within(void)
{
	struct dtrack_run_options o = options(1, DTRACK_MODE_ALWAYS);

	individual("");
	backup(0, DTRACK_MODE_ALWAYS);
	dtrack_transaction_backup(tx, dev[0], &o);
	refused(EBUSY, "Busy", "action 1 (blockdev-backup): " BUSY);
	individual("");
	backup(0, DTRACK_MODE_ALWAYS);
	dtrack_transaction_clear(tx, dev[0], "b");
	refused(EBUSY, "Busy", "action 1 (block-dirty-bitmap-clear): " BUSY);
	individual("");
	dtrack_transaction_remove(tx, dev[0], "b");
	backup(0, DTRACK_MODE_ALWAYS);
	refused(EBUSY, "Busy", "action 1 (blockdev-backup): " BUSY);
}

static void test_same_target(void)
{
	struct dtrack_run_options o = DTRACK_RUN_OPTIONS_INIT;
	char link_[80], words[256];

	snprintf(words, sizeof(words),
		 "action 1 (blockdev-backup): Target '%s' is used by another run",
		 target[0]);
	individual("");
	o.target = target[0];
	dtrack_transaction_backup(tx, dev[0], &o);
	dtrack_transaction_backup(tx, dev[1], &o);
	refused(EBUSY, "Busy", words);
	/* One by another name. */
	individual("");
	snprintf(link_, sizeof(link_), "%s/link", dir);
	CHECK(!link(target[0], link_), "link");
	dtrack_transaction_backup(tx, dev[0], &o);
	o.target = link_;
	dtrack_transaction_backup(tx, dev[1], &o);
	CHECK_INT(-EBUSY, dtrack_transaction_execute(tx));
	end();
	unlink(link_);
	/* One that is not there yet. */
	individual("");
	dtrack_transaction_backup(tx, dev[0], &o);
	snprintf(link_, sizeof(link_), "%s/./link", dir);
	dtrack_transaction_backup(tx, dev[1], &o);
	CHECK_INT(-EBUSY, dtrack_transaction_execute(tx));
	end();
	snprintf(link_, sizeof(link_), "%s/link", dir);
	CHECK(access(link_, F_OK), "a refused target was made");
}

static void test_usage(void)
{
	struct dtrack_run_options o = options(0, DTRACK_MODE_NEVER);

	individual("");
	o.sync = DTRACK_SYNC_FULL;
	dtrack_transaction_backup(tx, dev[0], &o);
	refused(EINVAL, "Usage",
		"action 0 (blockdev-backup): Bitmap sync mode 'never' has no meaningful effect when combined with sync mode 'full'");
	individual("");
	o.size = 1;
	CHECK_INT(-EINVAL, dtrack_transaction_backup(tx, dev[0], &o));
	CHECK_INT(0, backup(0, DTRACK_MODE_NEVER));
	end();
	CHECK_INT(0, dtrack_new(&h));
	CHECK_INT(-EINVAL, dtrack_transaction_new(h, 2, &tx));
	dtrack_free(h);
}

/* ---- Individual ---------------------------------------------------------- */

static void test_individual(void)
{
	individual("");
	both(DTRACK_MODE_CONDITIONAL);
	CHECK_INT(0, dtrack_transaction_execute(tx));
	CHECK(has_call("TRANSACTION FREEZE b mode=0 set=0 flags=0;"
		       " FREEZE b mode=0 set=0 flags=0\n"), "%s", mock_log());
	CHECK_INT(1, count("TRANSACTION"));
	CHECK(has_call("\nABDICATE b run=1 flags=0\n") &&
	      has_call("\nABDICATE b run=2 flags=0\n"), "%s", mock_log());
	CHECK_STR("0 2 8 ", copied(0));
	CHECK_STR("0 2 8 ", copied(1));
	CHECK(load(0).complete && load(1).complete && load(0).to == 4 &&
	      load(0).run == result(0).run, "the manifests");
	CHECK_INT(3 * G, result(1).bytes_total);
	CHECK_INT(3 * G, result(1).bytes_copied);
	CHECK_INT(DTRACK_RUN_COMPLETED, result(1).state);
	/* The one control file was opened once, and is still open. */
	CHECK_INT(1, count("OPEN"));
	end();
}

/* What is not mounted is not held. */
static void test_fsfreeze_unmounted(void)
{
	struct dtrack_run_options o = options(0, DTRACK_MODE_CONDITIONAL);

	individual("");
	o.flags |= DTRACK_RUN_FSFREEZE;
	CHECK_INT(0, dtrack_transaction_backup(tx, dev[0], &o));
	CHECK_INT(0, dtrack_transaction_execute(tx));
	CHECK_INT(1, count("TRANSACTION"));
	CHECK(load(0).complete && load(0).to == 4, "the manifest");
	end();
}

static void test_individual_fails(void)
{
	individual("");
	truncate(source[1], 2 * G);
	both(DTRACK_MODE_CONDITIONAL);
	CHECK_INT(-EIO, dtrack_transaction_execute(tx));
	CHECK_STR("action 1 (blockdev-backup): Could not read '/dev/mock/8' at byte 131072: Input/output error",
		  dtrack_errmsg(h));
	CHECK_INT(DTRACK_RUN_COMPLETED, result(0).state);
	CHECK_INT(DTRACK_RUN_FAILED, result(1).state);
	CHECK_INT(G, result(1).bytes_copied);
	CHECK(has_call("\nABDICATE b run=1 flags=0\n") &&
	      has_call("\nRECLAIM b run=2 flags=0\n"), "%s", mock_log());
	CHECK(load(0).complete && !load(1).complete, "the manifests");
	end();
}

/* The kernel compares the generation: nothing is done. */
static void test_late_generation(void)
{
	individual("SWAP generation=5\n");
	both(DTRACK_MODE_ALWAYS);
	CHECK_INT(-EAGAIN, dtrack_transaction_execute(tx));
	CHECK_STR("action 0 (blockdev-backup): Bitmap 'b' changed while the run began",
		  dtrack_errmsg(h));
	CHECK(!has_call("RECLAIM") && !has_call("REPORT"), "%s", mock_log());
	CHECK_INT(DTRACK_RUN_CANCELLED, result(1).state);
	CHECK_STR("", copied(0));
	end();
}

static void test_late_change(void)
{
	individual("SWAP uuid=7\n");
	both(DTRACK_MODE_ALWAYS);
	CHECK_INT(-EAGAIN, dtrack_transaction_execute(tx));
	CHECK_STR("action 0 (blockdev-backup): Bitmap 'b' changed while the run began",
		  dtrack_errmsg(h));
	CHECK(has_call("TRANSACTION RECLAIM b run=1 flags=0;"
		       " RECLAIM b run=2 flags=0\n"), "%s", mock_log());
	CHECK(!has_call("REPORT") && !has_call("ABDICATE"), "%s", mock_log());
	CHECK_INT(DTRACK_RUN_CANCELLED, result(1).state);
	CHECK_STR("", copied(0));
	CHECK_STR("", copied(1));
	end();
}

/* ---- Grouped ------------------------------------------------------------- */

#define ABDICATES "TRANSACTION ABDICATE b run=1 flags=0; ABDICATE b run=2 flags=0"
#define RECLAIMS  "TRANSACTION RECLAIM b run=1 flags=0; RECLAIM b run=2 flags=0"

static void test_grouped(void)
{
	grouped("");
	both(DTRACK_MODE_CONDITIONAL);
	CHECK_INT(0, dtrack_transaction_execute(tx));
	CHECK(in_order("REPORT b run=1", ABDICATES "\n") &&
	      in_order("REPORT b run=2", ABDICATES "\n"), "%s", mock_log());
	CHECK_INT(2, count("ABDICATE"));
	CHECK(load(0).complete && load(1).complete && load(1).to == 4,
	      "the manifests");
	CHECK_INT(DTRACK_RUN_COMPLETED, result(0).state);
	end();

	grouped("");
	both(DTRACK_MODE_NEVER);
	CHECK_INT(0, dtrack_transaction_execute(tx));
	CHECK(has_call(RECLAIMS "\n"), "%s", mock_log());
	CHECK(load(0).complete && load(0).to == 3, "the manifest");
	end();
}

static void grouped_fails(int mode, const char *words)
{
	grouped("");
	truncate(source[1], 2 * G);
	both(mode);
	CHECK_INT(-EIO, dtrack_transaction_execute(tx));
	CHECK(has_call(RECLAIMS "\n"), "%s", mock_log());
	CHECK_INT(2, count("RECLAIM"));
	CHECK(!has_call("ABDICATE"), "%s", mock_log());
	CHECK_INT(DTRACK_RUN_CANCELLED, result(0).state);
	CHECK_INT(DTRACK_RUN_FAILED, result(1).state);
	CHECK(!load(0).complete && !load(1).complete, "the manifests");
	CHECK_STR("action 1 (blockdev-backup): Could not read '/dev/mock/8' at byte 131072: Input/output error",
		  dtrack_errmsg(h));
	if (result(0).bytes_copied)
		CHECK_STR(words, result(0).errmsg);
	else
		CHECK_STR("Operation canceled", result(0).errmsg);
	end();
}

static void test_grouped_fails(void)
{
	char words[512];

	grouped_fails(DTRACK_MODE_CONDITIONAL, "Operation canceled");
	grouped_fails(DTRACK_MODE_NEVER, "Operation canceled");
	snprintf(words, sizeof(words),
		 "Operation canceled; bitmap 'b' no longer has what was copied: target '%s' must be kept",
		 target[0]);
	grouped_fails(DTRACK_MODE_ALWAYS, words);
}

/* Cancelled when one has copied everything, and the other waits. */

static void when_full(void *opaque, enum dtrack_run_event event, uint64_t done,
		      uint64_t total, const char *message)
{
	(void)event;
	(void)message;
	if (done == total && opaque)
		dtrack_transaction_cancel(tx);
}

static void test_grouped_cancel(void)
{
	struct dtrack_run_options o = options(0, DTRACK_MODE_ALWAYS);
	char words[512];

	grouped("");
	truncate(source[1], 2 * G);
	o.notify = when_full;
	o.opaque = tx;
	dtrack_transaction_backup(tx, dev[0], &o);
	o = options(1, DTRACK_MODE_ALWAYS);
	o.on_source_error = DTRACK_ON_ERROR_STOP;
	dtrack_transaction_backup(tx, dev[1], &o);
	CHECK_INT(-ECANCELED, dtrack_transaction_execute(tx));
	CHECK_INT(DTRACK_RUN_CANCELLED, result(0).state);
	CHECK_INT(DTRACK_RUN_CANCELLED, result(1).state);
	CHECK_INT(3 * G, result(0).bytes_copied);
	snprintf(words, sizeof(words),
		 "Operation canceled; bitmap 'b' no longer has what was copied: target '%s' must be kept",
		 target[0]);
	CHECK_STR(words, result(0).errmsg);
	CHECK(has_call(RECLAIMS "\n"), "%s", mock_log());
	CHECK(!load(0).complete && !load(1).complete, "the manifests");
	end();
}

static void test_cancel_before(void)
{
	individual("");
	both(DTRACK_MODE_ALWAYS);
	dtrack_transaction_cancel(tx);
	CHECK_INT(-ECANCELED, dtrack_transaction_execute(tx));
	CHECK_STR("Operation canceled", dtrack_errmsg(h));
	CHECK(!has_call("TRANSACTION"), "%s", mock_log());
	CHECK(load(0).complete && load(1).complete, "a manifest was touched");
	CHECK_INT(DTRACK_RUN_CANCELLED, result(1).state);
	end();
}

static void stopped(void *opaque, enum dtrack_run_event event, uint64_t done,
		    uint64_t total, const char *message)
{
	(void)opaque;
	(void)done;
	(void)total;
	(void)message;
	if (event != DTRACK_RUN_STOPPED)
		return;
	truncate(source[1], SIZE);
	dtrack_transaction_resume(tx);
}

static void test_resume(void)
{
	struct dtrack_run_options o = options(1, DTRACK_MODE_ALWAYS);

	grouped("");
	truncate(source[1], 2 * G);
	backup(0, DTRACK_MODE_ALWAYS);
	o.on_source_error = DTRACK_ON_ERROR_STOP;
	o.notify = stopped;
	dtrack_transaction_backup(tx, dev[1], &o);
	CHECK_INT(0, dtrack_transaction_execute(tx));
	CHECK(has_call(ABDICATES "\n"), "%s", mock_log());
	end();
}

/* One freeze was taken away when all had copied. */
static void test_grouped_not_ended(void)
{
	grouped("SKIP TRANSACTION 1\nFAIL TRANSACTION ESTALE 1\nBLAME 1\n");
	both(DTRACK_MODE_CONDITIONAL);
	CHECK_INT(-ESTALE, dtrack_transaction_execute(tx));
	CHECK_STR("action 1 (blockdev-backup): The freeze of bitmap 'b' was taken away",
		  dtrack_errmsg(h));
	CHECK_STR("Stale", result(1).errclass);
	CHECK_INT(DTRACK_RUN_CANCELLED, result(0).state);
	CHECK(in_order(ABDICATES " failed\n", RECLAIMS "\n"), "%s", mock_log());
	CHECK(!load(0).complete && !load(1).complete, "the manifests");
	end();
	/* The reclaim of both is refused, too: the other must not stay frozen. */
	grouped("SKIP TRANSACTION 1\nFAIL TRANSACTION ESTALE 2\nBLAME 1\n");
	both(DTRACK_MODE_CONDITIONAL);
	CHECK_INT(-ESTALE, dtrack_transaction_execute(tx));
	CHECK(in_order(RECLAIMS " failed\n", "\nRECLAIM b run=2 flags=0\n") &&
	      has_call("TRANSACTION RECLAIM b run=1 flags=0\n"), "%s",
	      mock_log());
	end();
	/* No one to blame. */
	grouped("SKIP TRANSACTION 1\nFAIL TRANSACTION ENOMEM\n");
	both(DTRACK_MODE_CONDITIONAL);
	CHECK_INT(-ENOMEM, dtrack_transaction_execute(tx));
	CHECK(has_call("\nRECLAIM b run=1 flags=0\n") &&
	      has_call("\nRECLAIM b run=2 flags=0\n"), "%s", mock_log());
	end();
}

static void test_without_bitmap(void)
{
	struct dtrack_run_options o = DTRACK_RUN_OPTIONS_INIT;

	grouped("");
	o.target = target[0];
	dtrack_transaction_backup(tx, dev[0], &o);
	backup(1, DTRACK_MODE_CONDITIONAL);
	CHECK_INT(0, dtrack_transaction_execute(tx));
	CHECK(has_call("TRANSACTION FREEZE b mode=0 set=0 flags=0\n") &&
	      has_call("TRANSACTION ABDICATE b run=1 flags=0\n"), "%s",
	      mock_log());
	CHECK(load(0).complete && !load(0).has_bitmap && load(1).complete,
	      "the manifests");
	end();
	grouped("");
	truncate(source[1], 2 * G);
	dtrack_transaction_backup(tx, dev[0], &o);
	backup(1, DTRACK_MODE_CONDITIONAL);
	CHECK_INT(-EIO, dtrack_transaction_execute(tx));
	CHECK(!load(0).complete, "the manifest of a cancelled run");
	CHECK_INT(DTRACK_RUN_CANCELLED, result(0).state);
	end();
}

/* ---- Rolled back --------------------------------------------------------- */

static char *text_of(const char *path)
{
	static char buf[65536];
	FILE *f = fopen(path, "r");
	size_t len = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;

	if (f)
		fclose(f);
	buf[len] = '\0';
	return buf;
}

static void test_manifests_restored(void)
{
	struct dtrack_run_options o = options(1, DTRACK_MODE_ALWAYS);
	char before[65536];

	individual("");
	strcpy(before, text_of(manifest[0]));
	both(DTRACK_MODE_ALWAYS);
	dtrack_transaction_abort(tx);
	CHECK_INT(-ECANCELED, dtrack_transaction_execute(tx));
	CHECK_STR(before, text_of(manifest[0]));
	CHECK_STR(before, text_of(manifest[1]));
	end();

	/* A target that was to be made, or made right, is left alone. */
	individual("FAIL TRANSACTION EBUSY\nBLAME 0\n");
	unlink(manifest[1]);
	unlink(target[1]);
	o.flags = DTRACK_RUN_FORCE;
	backup(0, DTRACK_MODE_ALWAYS);
	dtrack_transaction_backup(tx, dev[1], &o);
	CHECK_INT(-EBUSY, dtrack_transaction_execute(tx));
	CHECK_STR(before, text_of(manifest[0]));
	CHECK(access(manifest[1], F_OK) && access(target[1], F_OK),
	      "a target was made");
	end();
}

int main(void)
{
	static const struct check checks[] = {
		{ "transaction-actions", test_actions },
		{ "transaction-of-nothing", test_nothing },
		{ "transaction-too-many-actions", test_too_many },
		{ "transaction-blames-the-first", test_blame },
		{ "transaction-bad-names", test_bad_names },
		{ "transaction-grouped-needs-runs", test_grouped_needs_runs },
		{ "transaction-run-of-new-bitmap", test_new_bitmap },
		{ "transaction-clear-and-full", test_clear_and_full },
		{ "transaction-refuses-misfit", test_misfit },
		{ "transaction-busy-within", test_busy_within },
		{ "transaction-same-target", test_same_target },
		{ "transaction-usage", test_usage },
		{ "transaction-individual", test_individual },
		{ "transaction-fsfreeze-unmounted", test_fsfreeze_unmounted },
		{ "transaction-individual-fails", test_individual_fails },
		{ "transaction-late-generation", test_late_generation },
		{ "transaction-late-change", test_late_change },
		{ "transaction-grouped", test_grouped },
		{ "transaction-grouped-fails", test_grouped_fails },
		{ "transaction-grouped-cancel", test_grouped_cancel },
		{ "transaction-cancel-before", test_cancel_before },
		{ "transaction-resume", test_resume },
		{ "transaction-grouped-not-ended", test_grouped_not_ended },
		{ "transaction-without-bitmap", test_without_bitmap },
		{ "transaction-manifests-restored", test_manifests_restored },
		{ 0 },
	};
	char sums[96];
	int ret, i;

	if (!mkdtemp(dir))
		return 1;
	for (i = 0; i < NR; i++) {
		snprintf(source[i], sizeof(source[i]), "%s/source%d", dir, i);
		snprintf(target[i], sizeof(target[i]), "%s/target%d", dir, i);
		snprintf(manifest[i], sizeof(manifest[i]), "%s.dtrack",
			 target[i]);
		snprintf(script_head + strlen(script_head),
			 sizeof(script_head) - strlen(script_head),
			 "FILE %s %d\nDEV 4001:%d %u\n", source[i], 7 + i,
			 7 + i, SIZE);
	}
	ret = run_checks(checks);
	for (i = 0; i < NR; i++) {
		unlink(source[i]);
		unlink(target[i]);
		unlink(manifest[i]);
		snprintf(sums, sizeof(sums), "%s.sums", manifest[i]);
		unlink(sums);
	}
	rmdir(dir);
	return ret;
}
