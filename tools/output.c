// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * output.c - what the command says: errors, JSON, sizes.
 *
 * Errors are one line on stderr, 'dtrack: VERB DEV[:BITMAP]: WHY'; with --json
 * stdout has one document, of the result or of the error.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "output.h"

/* ---- Text of others ----------------------------------------------------- */

void clean_line(char *s)
{
	unsigned int len;

	for (; *s; s += len) {
		len = dtl_utf8_len(s);
		if (!len || (unsigned char)*s < ' ' || *s == 0x7f) {
			*s = '?';
			len = 1;
		}
	}
}

char *text_clean(const char *text)
{
	char *copy = strdup(text);

	if (!copy) {
		fprintf(stderr, "dtrack: no memory\n");
		exit(EXIT_FAILED);
	}
	clean_line(copy);
	return copy;
}

void print_clean(const char *text)
{
	char *line = text_clean(text);

	puts(line);
	free(line);
}

/* ---- JSON --------------------------------------------------------------- */

static bool is_empty(struct json_object *o)
{
	return json_object_is_type(o, json_type_array) ?
	       !json_object_array_length(o) : !json_object_object_length(o);
}

void print_json(struct json_object *o)
{
	/* '{}' and '[]': scripts compare them as they are. */
	int how = is_empty(o) ? JSON_C_TO_STRING_PLAIN :
				JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;

	puts(json_object_to_json_string_ext(o, how |
					       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

struct json_object *text_json(const char *text)
{
	char *line = text_clean(text);
	struct json_object *o = dtl_json_string(line);

	free(line);
	return o;
}

struct json_object *error_json(const char *cls, const char *why)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "class", dtl_json_string(cls));
	json_object_object_add(o, "message", text_json(why));
	return o;
}

/* ---- Errors ------------------------------------------------------------- */

/* As systemd says it: "DEVICE:INODE" of what stderr was then. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char now[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st))
		return false;
	snprintf(now, sizeof(now), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	return !strcmp(stream, now);
}

void print_line(const struct call *call, int priority, const char *text)
{
	char line[12288];

	snprintf(line, sizeof(line), "dtrack: %s%s%s%s%s", call->verb->name,
		 call->object[0] ? " " : "", call->object,
		 call->verb->name[0] ? ": " : "", text);
	clean_line(line);
	if (is_journal())
		fprintf(stderr, "<%d>%s\n", priority, line);
	else
		fprintf(stderr, "%s\n", line);
}

void print_error_line(const struct call *call, const char *why)
{
	print_line(call, LOG_ERR, why);
}

static int tell(const struct call *call, const char *cls, const char *why,
		int code)
{
	struct json_object *o;

	print_error_line(call, why);
	if (call->json) {
		o = json_object_new_object();
		json_object_object_add(o, "error", error_json(cls, why));
		print_json(o);
	}
	return code;
}

int usage_error(const struct call *call, const char *fmt, ...)
{
	char why[8192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return tell(call, "Usage", why, EXIT_USAGE);
}

int failed_with(const struct call *call, const char *cls, const char *why)
{
	return tell(call, cls, why, EXIT_FAILED);
}

int failed(const struct call *call)
{
	const char *cls = dtrack_errclass(call->h);

	return tell(call, cls, dtrack_errmsg(call->h),
		    strcmp(cls, "Usage") ? EXIT_FAILED : EXIT_USAGE);
}

int done(const struct call *call)
{
	if (call->json)
		print_json(json_object_new_object());
	return EXIT_DONE;
}

bool print_file(FILE *f)
{
	char buf[65536];
	size_t n;

	if (fflush(f) || ferror(f))
		return false;
	rewind(f);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		fwrite(buf, 1, n, stdout);
	return !ferror(f);
}

/* ---- Sizes -------------------------------------------------------------- */

const char *human_size(uint64_t bytes, char *buf)
{
	static const char units[] = "BKMGTPE";
	unsigned int unit = 0;
	uint64_t whole = bytes, rest = 0;

	for (; whole >= 1024; whole /= 1024, unit++)
		rest = whole % 1024;
	/* One decimal, cut: 1023.9K is not 1024K. */
	if (rest * 10 / 1024)
		snprintf(buf, HUMAN_LEN, "%u.%u%c", (unsigned int)whole,
			 (unsigned int)(rest * 10 / 1024), units[unit]);
	else
		snprintf(buf, HUMAN_LEN, "%u%c", (unsigned int)whole,
			 units[unit]);
	return buf;
}
