// SPDX-License-Identifier: GPL-2.0-or-later
/* test-size.c - sizes as people write them. */
#include <errno.h>

#include "check.h"
#include "dtrack.h"

static void accepts(const char *text, uint64_t bytes)
{
	uint64_t got = 1;

	CHECK(!dtrack_parse_size(text, &got), "'%s' refused", text);
	CHECK(got == bytes, "'%s': expected %" PRIu64 ", got %" PRIu64, text,
	      bytes, got);
}

static void refuses(const char *text, int err)
{
	uint64_t got = 1;

	CHECK_INT(err, dtrack_parse_size(text, &got));
	CHECK(got == 1, "'%s': the result was touched", text);
}

static void test_units(void)
{
	accepts("0", 0);
	accepts("512", 512);
	accepts("64K", 65536);
	accepts("64k", 65536);
	accepts("1M", 1048576);
	accepts("2G", 2147483648);
	accepts("3T", 3298534883328);
	accepts("007", 7);
}

static void test_malformed(void)
{
	static const char *const bad[] = {
		"", "K", "-1", "+1", " 1", "1 ", "1.5M", "1KB", "1KK", "0x10",
		"1P", "1e3", "1,000", "\xff",
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(bad[i], -EINVAL);
}

static void test_overflow(void)
{
	accepts("18446744073709551615", UINT64_MAX);
	accepts("16777215T", 16777215ULL << 40);
	refuses("18446744073709551616", -ERANGE);
	refuses("16777216T", -ERANGE);
	refuses("99999999999999999999999999999999", -ERANGE);
}

int main(void)
{
	static const struct check checks[] = {
		{ "size-units", test_units },
		{ "size-malformed", test_malformed },
		{ "size-overflow", test_overflow },
		{ 0 },
	};

	return run_checks(checks);
}
