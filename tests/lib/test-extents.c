// SPDX-License-Identifier: GPL-2.0-or-later
/* test-extents.c - extents by cursor: joined, bounded, ended. */
#include <errno.h>

#include "check.h"
#include "dtrack.h"
#include "mock.h"

static const struct dtrack_dev dev = { 4001, 7 };

#define ONE	"DEV 4001:7 4194304\nBITMAP 4001:7 b generation=5\n"

/* All extents as "START+LENGTH ...", or the error. */
static const char *walk(const char *script, uint64_t generation)
{
	static char text[4096];
	struct dtrack_extents *ext;
	struct dtrack_range r;
	struct dtrack *h;
	int ret;

	mock_script(script);
	dtrack_new(&h);
	text[0] = '\0';
	ret = dtrack_extents_open(h, dev, "b", 0, generation, &ext);
	if (!ret) {
		while ((ret = dtrack_extents_next(ext, &r)) > 0)
			sprintf(text + strlen(text), "%llu+%llu ",
				(unsigned long long)r.start,
				(unsigned long long)r.length);
		dtrack_extents_close(ext);
	}
	if (ret)
		sprintf(text + strlen(text), "%d %s", ret, dtrack_errmsg(h));
	dtrack_free(h);
	return text;
}

static void test_empty(void)
{
	CHECK_STR("", walk(ONE, 0));
	CHECK_STR("", walk(ONE "STEP 65536\n", 0));
}

static void test_plain(void)
{
	CHECK_STR("0+65536 131072+65536 4128768+65536 ",
		  walk(ONE "EXTENT 0 65536\nEXTENT 131072 65536\n"
		       "EXTENT 4128768 65536\n", 0));
}

/* Cut by the kernel at its own borders, given as one. */
static void test_joined(void)
{
	static const char script[] = ONE "EXTENT 65536 1048576\n"
				     "EXTENT 2097152 65536\nSTEP 131072\n";

	CHECK_STR("65536+1048576 2097152+65536 ", walk(script, 0));
}

static void test_small_pieces(void)
{
	CHECK_STR("0+65536 131072+65536 262144+65536 ",
		  walk(ONE "EXTENT 0 65536\nEXTENT 131072 65536\n"
		       "EXTENT 262144 65536\nPIECE 1\n", 0));
}

static void test_generation(void)
{
	CHECK_STR("", walk(ONE, 5));
	CHECK_STR("-116 Bitmap 'b' changed while it was read", walk(ONE, 4));
}

/* An error in the middle is no end. */
static void test_error(void)
{
	const char *got = walk(ONE "EXTENT 0 65536\nEXTENT 131072 65536\n"
			       "PIECE 1\nSKIP EXTENTS 1\nFAIL EXTENTS ENODEV\n",
			       0);

	CHECK(strstr(got, "-19 "), "%s", got);
	CHECK(!strstr(got, "131072"), "%s", got);
}

static void test_unknown(void)
{
	CHECK_STR("-2 Dirty bitmap 'b' not found",
		  walk("DEV 4001:7 4194304\n", 0));
}

int main(void)
{
	static const struct check checks[] = {
		{ "extents-empty", test_empty },
		{ "extents-plain", test_plain },
		{ "extents-joined", test_joined },
		{ "extents-small-pieces", test_small_pieces },
		{ "extents-generation", test_generation },
		{ "extents-error", test_error },
		{ "extents-unknown-bitmap", test_unknown },
		{ 0 },
	};

	return run_checks(checks);
}
