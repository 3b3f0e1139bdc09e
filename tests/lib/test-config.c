// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test-config.c - what 'dtrack run' reads, and what it says of mistakes.
 */
#include "check.h"
#include "config.h"
#include "dtrack.h"

#define DEVICE	"[device data]\nbitmap = nightly\n"
#define JOB	"[job]\nfolder = /f\n"

static struct config c;

static bool parse(const char *text)
{
	return config_parse(text, strlen(text), &c);
}

static void good(const char *text)
{
	CHECK(parse(text), "%s: %s", text, c.why);
}

static void bad(const char *text, const char *why)
{
	CHECK(!parse(text), "accepted: %s", text);
	CHECK_STR(why, c.why);
}

static void test_config_defaults(void)
{
	good(JOB DEVICE);
	CHECK_STR("/f", c.folder);
	CHECK_STR("", c.status);
	CHECK_STR("", c.before);
	CHECK_STR("", c.after);
	CHECK_STR("", c.hold);
	CHECK_STR("", c.release);
	CHECK_INT(300, c.hook_timeout);
	CHECK_INT(3600, c.hold_limit);
	CHECK_INT(FORMAT_QCOW2, c.format);
	CHECK_INT(30, c.full_every);
	CHECK_INT(false, c.by_time);
	CHECK_INT(2, c.keep);
	CHECK_INT(VERIFY_FULL, c.verify);
	CHECK_INT(FSFREEZE_NO, c.fsfreeze);
	CHECK_INT(0, c.speed);
	CHECK_INT(0, c.jobs);
	CHECK_INT(0, c.request_size);
	CHECK_INT(0, c.target_timeout);
	CHECK_INT(DTRACK_ON_ERROR_REPORT, c.on_source_error);
	CHECK_INT(1, c.nr);
	CHECK_STR("data", c.device[0].name);
	CHECK_STR("data", c.device[0].device);
	CHECK_STR("nightly", c.device[0].bitmap);
	CHECK_INT(0, c.device[0].granularity);
}

static void every(const char *text, uint64_t seconds)
{
	char file[256];

	snprintf(file, sizeof(file), JOB "full-every = %s\n" DEVICE, text);
	good(file);
	CHECK_INT(true, c.by_time);
	CHECK_INT(seconds, c.full_every);
}

static void test_config_times(void)
{
	every("1 day", 86400);
	every("2 days", 2 * 86400);
	every("1 week", 7 * 86400);
	every("4 weeks", 28 * 86400);
	every("12 hours", 12 * 3600);
	every("1 hour", 3600);
	good(JOB "full-every = 1 run\nhook-timeout = 5 minutes\nhold = a\n"
	     "release = b\nhold-limit = 1 hour\ntarget-timeout = 1 second\n" DEVICE);
	CHECK_INT(false, c.by_time);
	CHECK_INT(1, c.full_every);
	CHECK_INT(300, c.hook_timeout);
	CHECK_INT(3600, c.hold_limit);
	CHECK_INT(1, c.target_timeout);
}

static void test_config_all_keys(void)
{
	good("# comment\n; another\n\n[device a_b-1]\r\nbitmap= n\r\n"
	     "granularity=1m\ndevice =/dev/mapper/x\n"
	     "[job]\nfolder = /a folder/b\nstatus=/run/s\nformat = raw\n"
	     "full-every = 7 days\nkeep = 5\nverify = all\nbefore = a \"b\";c && d\nafter = e # f\n"
	     "hold = h\nrelease = r;s\nhook-timeout = 20\nhold-limit = 600\n"
	     "fsfreeze = copy\nspeed = 2M\njobs = 3\nrequest-size = 64K\n"
	     "target-timeout = 600\n"
	     "on-source-error = ignore\non-target-error = ignore\n"
	     "[device z]\nbitmap = n");
	CHECK_STR("/a folder/b", c.folder);
	CHECK_STR("/run/s", c.status);
	CHECK_INT(FORMAT_RAW, c.format);
	CHECK_STR("a \"b\";c && d", c.before);
	CHECK_STR("e # f", c.after);
	CHECK_STR("h", c.hold);
	CHECK_STR("r;s", c.release);
	CHECK_INT(20, c.hook_timeout);
	CHECK_INT(600, c.hold_limit);
	CHECK_INT(7 * 86400, c.full_every);
	CHECK_INT(true, c.by_time);
	CHECK_INT(5, c.keep);
	CHECK_INT(VERIFY_ALL, c.verify);
	CHECK_INT(FSFREEZE_COPY, c.fsfreeze);
	CHECK_INT(2 << 20, c.speed);
	CHECK_INT(3, c.jobs);
	CHECK_INT(65536, c.request_size);
	CHECK_INT(600, c.target_timeout);
	CHECK_INT(DTRACK_ON_ERROR_IGNORE, c.on_source_error);
	CHECK_INT(DTRACK_ON_ERROR_IGNORE, c.on_target_error);
	CHECK_INT(2, c.nr);
	CHECK_STR("a_b-1", c.device[0].name);
	CHECK_STR("/dev/mapper/x", c.device[0].device);
	CHECK_INT(1 << 20, c.device[0].granularity);
	CHECK_STR("z", c.device[1].device);
}

static void test_config_missing(void)
{
	bad("", "there is no [job]");
	bad(DEVICE, "there is no [job]");
	bad("[job]\nkeep = 1\n" DEVICE, "[job] has no folder");
	bad(JOB, "there is no [device NAME]");
	bad(JOB "[device a]\ndevice = x\n", "line 3: [device a] has no bitmap");
	bad(JOB "[device a]\n" DEVICE, "line 3: the section is empty");
	bad(JOB "[device a]\n# bitmap = n\n", "line 3: the section is empty");
	bad(JOB DEVICE "keep =\n", "line 5: 'keep' is no key of [device data]");
	bad(JOB "before =\n" DEVICE, "line 3: before: the value is missing");
}

static void test_config_twice(void)
{
	bad(JOB "folder = /g\n" DEVICE, "line 3: 'folder' is there twice");
	bad(JOB JOB DEVICE, "line 3: [job] is there twice");
	bad(JOB DEVICE DEVICE, "line 5: [device data] is there twice");
	bad(JOB DEVICE "[device b]\ndevice = data\nbitmap = nightly\n",
	    "line 5: [device data] and [device b] have one bitmap");
	good(JOB DEVICE "[device b]\ndevice = data\nbitmap = other\n");
}

static void test_config_syntax(void)
{
	bad("folder = /f\n", "line 1: 'folder' is before any section");
	bad("[job]\nfolder\n" DEVICE,
	    "line 2: it is neither a section nor 'key = value'");
	bad("[job]\nfolder: /f\n" DEVICE,
	    "line 2: it is neither a section nor 'key = value'");
	bad("[job]\n= /f\n" DEVICE, "line 2: '' is no key of [job]");
	bad("[job\nfolder = /f\n",
	    "line 1: a section is '[job]' or '[device NAME]', and nothing behind it");
	bad("[job] # x\n",
	    "line 1: a section is '[job]' or '[device NAME]', and nothing behind it");
	bad("[jobs]\n", "line 1: '[jobs]' is neither [job] nor [device NAME]");
	bad("[device]\n", "line 1: '[device]' is neither [job] nor [device NAME]");
	bad(JOB "Keep = 2\n" DEVICE, "line 3: 'Keep' is no key of [job]");
	bad(JOB "before = a\n  b\n" DEVICE, "line 4: it begins with a blank");
	bad(JOB "before = a ; b\n" DEVICE,
	    "line 3: a ';' behind a blank would begin a comment");
	bad(JOB "before = a\x1b[0m\n" DEVICE,
	    "line 3: it has a control character");
	CHECK(!config_parse("[job]\0", 6, &c), "a NUL was accepted");
	CHECK_STR("line 1: it has a control character", c.why);
}

static void test_config_length(void)
{
	char text[1024];

	snprintf(text, sizeof(text), JOB DEVICE "device = %0189d\n", 7);
	good(text);
	CHECK_INT(189, strlen(c.device[0].device));
	snprintf(text, sizeof(text), JOB DEVICE "device = %0189d\r\n", 7);
	bad(text, "line 5: longer than 198 bytes");
	snprintf(text, sizeof(text), JOB DEVICE "device = %0190d", 7);
	bad(text, "line 5: longer than 198 bytes");
	snprintf(text, sizeof(text), JOB "[device %032d]\nbitmap = b\n", 7);
	good(text);
	snprintf(text, sizeof(text), "[device %033d]\nbitmap = b\n", 7);
	CHECK(!parse(text), "a long name was accepted");
	snprintf(text, sizeof(text), "[device %043d]\n", 7);
	bad(text, "line 1: the name of the section is too long");
}

static void test_config_names(void)
{
	static const char *const names[] = { "", ".a", "-a", "a/b", "a b", "\303\244",
					     "a%", "a.b" };
	char text[128];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "[device %s]\nbitmap = b\n" JOB,
			 names[i]);
		CHECK(!parse(text), "'%s' was accepted", names[i]);
	}
	bad("[device a/b]\n",
	    "line 1: 'a/b' is no name: at most 32 letters, digits, '_' and '-', the first a letter or digit");
}

static void test_config_values(void)
{
	bad("[job]\nfolder = f\n", "line 2: folder: 'f' is no absolute path");
	bad("[job]\nfolder = /f,backing=g\n" DEVICE,
	    "folder: ',backing=' cannot be in it");
	bad(JOB "status = s\n", "line 3: status: 's' is no absolute path");
	bad(JOB "format = x\n", "line 3: format: 'x' is none of qcow2, raw");
	bad(JOB "verify = yes\n",
	    "line 3: verify: 'yes' is none of full, all, no, chain");
	bad(JOB "fsfreeze = 1\n", "line 3: fsfreeze: '1' is none of yes, no, copy");
	bad(JOB "keep = 0\n", "line 3: keep: '0' is no number of 1 to 1000000");
	bad(JOB "keep = 1000001\n",
	    "line 3: keep: '1000001' is no number of 1 to 1000000");
	bad(JOB "keep = 2x\n", "line 3: keep: '2x' is no number of 1 to 1000000");
	bad(JOB "speed = 0\n",
	    "line 3: speed: '0' is no size: digits, not only 0, and one of K, M, G, T");
	bad(JOB "speed = 99999999999999999999\n",
	    "line 3: speed: '99999999999999999999' is too great");
	bad(JOB "jobs = 257\n" DEVICE, "jobs: at most 256");
	bad(JOB "hold = true\n" DEVICE, "hold: there is no release");
	bad(JOB "release = true\n" DEVICE, "release: there is no hold");
	bad(JOB "hold-limit = 9\n" DEVICE, "hold-limit: nothing is held");
	bad(JOB "full-every = 7\n",
	    "line 3: full-every: '7' is neither 'N runs' nor 'N hours', 'N days' or 'N weeks'");
	bad(JOB "full-every = 7 months\n",
	    "line 3: full-every: '7 months' is neither 'N runs' nor 'N hours', 'N days' or 'N weeks'");
	bad(JOB "full-every = 7 \n[x]\n",
	    "line 3: full-every: '7' is neither 'N runs' nor 'N hours', 'N days' or 'N weeks'");
	bad(JOB "hook-timeout = 2 weeks\n",
	    "line 3: hook-timeout: '2 weeks' is no time of 1 to 1000000 seconds: a number, and behind a blank seconds, minutes, hours or days");
	bad(JOB "hold-limit = 5m\n",
	    "line 3: hold-limit: '5m' is no time of 1 to 1000000 seconds: a number, and behind a blank seconds, minutes, hours or days");
	bad("[job]\nfolder = /b # note\n",
	    "line 2: folder: a '#' behind a blank is no comment: a comment has a line of its own");
	bad(JOB "status = /s\t# x\n",
	    "line 3: status: a '#' behind a blank is no comment: a comment has a line of its own");
	bad(JOB "[device a]\ndevice = /dev/a #1\n",
	    "line 4: device: a '#' behind a blank is no comment: a comment has a line of its own");
	bad(JOB "full-every = 0 runs\n",
	    "line 3: full-every: '0 runs' is neither 'N runs' nor 'N hours', 'N days' or 'N weeks'");
	bad(JOB "on-source-error = stop\n",
	    "line 3: on-source-error: 'stop' is none of report, ignore");
}

static void test_config_bitmaps(void)
{
	static const char *const names[] = { "a b", "a\tb", "a:b", "a/b", "\"a\"",
					     "a\\b" };
	static const char *const granules[] = { "3K", "256", "1", "4G", "65537" };
	char text[128], why[128];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), JOB "[device a]\nbitmap = %s\n",
			 names[i]);
		snprintf(why, sizeof(why),
			 "line 4: bitmap: '%s' has a blank or one of \" \\ : /",
			 names[i]);
		bad(text, why);
	}
	good(JOB "[device a]\nbitmap = a.b-\303\244,$\n");
	for (i = 0; i < sizeof(granules) / sizeof(granules[0]); i++) {
		snprintf(text, sizeof(text), JOB DEVICE "granularity = %s\n",
			 granules[i]);
		snprintf(why, sizeof(why),
			 "line 5: granularity: '%s' is no power of two from 512 to 2G",
			 granules[i]);
		bad(text, why);
	}
	good(JOB DEVICE "granularity = 512\n");
	good(JOB DEVICE "granularity = 2G\n");
}

static const struct check checks[] = {
	{ "config-defaults", test_config_defaults },
	{ "config-times", test_config_times },
	{ "config-all-keys", test_config_all_keys },
	{ "config-missing", test_config_missing },
	{ "config-twice", test_config_twice },
	{ "config-syntax", test_config_syntax },
	{ "config-length", test_config_length },
	{ "config-names", test_config_names },
	{ "config-values", test_config_values },
	{ "config-bitmaps", test_config_bitmaps },
	{ 0 },
};

int main(void)
{
	return run_checks(checks);
}
