// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * config.c - what 'dtrack run' reads: one job, see dtrack.conf(5).
 *
 * inih takes the lines apart.  As it is built it cuts what is too long, takes
 * an indented line for more of the value before, ends a value at ' ;' and tells
 * neither lines nor empty sections: the lines that it is fed are looked at
 * first, so that none of that goes unnoticed.
 */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "words.h"

/* inih's buffer of a section's name; NUL and all. */
#define SECTION_LEN	50

/**
 * struct reader - the way through the text.
 * @next: what was not read yet
 * @left: its length
 * @line: number of the line that was read last
 * @section: where the current section begins, 0 before the first
 * @has_keys: it has one
 * @seen: keys of the current section that were given, by bit
 * @job: the section [job] was there
 * @c: the result
 */
struct reader {
	const char *next;
	size_t left;
	unsigned int line;
	unsigned int section;
	bool has_keys;
	unsigned int seen;
	bool job;
	struct config *c;
};

/* The first mistake counts. */
__attribute__((format(printf, 3, 4)))
static bool wrong(struct reader *r, unsigned int line, const char *fmt, ...)
{
	struct config *c = r->c;
	size_t n = 0;
	va_list ap;

	if (c->why[0])
		return false;
	if (line)
		n = (size_t)snprintf(c->why, sizeof(c->why), "line %u: ", line);
	va_start(ap, fmt);
	vsnprintf(c->why + n, sizeof(c->why) - n, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- Values ------------------------------------------------------------- */

static const struct word format_words[] = {
	{ "qcow2", FORMAT_QCOW2 },
	{ "raw", FORMAT_RAW },
	{ 0 },
};

static const struct word verify_words[] = {
	{ "full", VERIFY_FULL },
	{ "all", VERIFY_ALL },
	{ "no", VERIFY_NONE },
	{ "chain", VERIFY_CHAIN },
	{ 0 },
};

static const struct word fsfreeze_words[] = {
	{ "yes", FSFREEZE_YES },
	{ "no", FSFREEZE_NO },
	{ "copy", FSFREEZE_COPY },
	{ 0 },
};

/* Nobody is there to let a run go on that has stopped. */
static const struct word on_error[] = {
	{ "report", DTRACK_ON_ERROR_REPORT },
	{ "ignore", DTRACK_ON_ERROR_IGNORE },
	{ 0 },
};

enum value_kind {
	VALUE_TEXT,
	VALUE_PATH,	/* absolute */
	VALUE_DEVICE,
	VALUE_BITMAP,	/* as the kernel has it, but for UTF-8 */
	VALUE_SIZE,	/* bytes with K, M, G, T; at least 1 */
	VALUE_GRANULE,	/* the same, a power of two */
	VALUE_COUNT,	/* 1 .. 1000000 */
	VALUE_TIME,	/* 1 .. 1000000 seconds, or of another unit */
	VALUE_WORD,	/* one of a list; an int */
	VALUE_EVERY,	/* N runs, or a time */
	VALUE_AGE,	/* a time; seconds */
	VALUE_SCRUB,	/* a time or no; seconds */
	VALUE_BUDGET,	/* a size, or a time */
};

/**
 * struct key - a key of a section.
 * @name: the key
 * @kind: of its value
 * @offset: of the value in struct config or struct config_device
 * @words: for VALUE_WORD
 */
struct key {
	const char *name;
	enum value_kind kind;
	size_t offset;
	const struct word *words;
};

#define JOB(member)	offsetof(struct config, member)
#define DEVICE(member)	offsetof(struct config_device, member)

static const struct key job_keys[] = {
	{ "folder", VALUE_PATH, JOB(folder), NULL },
	{ "status", VALUE_PATH, JOB(status), NULL },
	{ "format", VALUE_WORD, JOB(format), format_words },
	{ "full-every", VALUE_EVERY, 0, NULL },
	{ "keep", VALUE_COUNT, JOB(keep), NULL },
	{ "verify", VALUE_WORD, JOB(verify), verify_words },
	{ "max-age", VALUE_AGE, JOB(max_age), NULL },
	{ "scrub-every", VALUE_SCRUB, JOB(scrub_every), NULL },
	{ "scrub-budget", VALUE_BUDGET, 0, NULL },
	{ "before", VALUE_TEXT, JOB(before), NULL },
	{ "after", VALUE_TEXT, JOB(after), NULL },
	{ "hold", VALUE_TEXT, JOB(hold), NULL },
	{ "release", VALUE_TEXT, JOB(release), NULL },
	{ "hook-timeout", VALUE_TIME, JOB(hook_timeout), NULL },
	{ "hold-limit", VALUE_TIME, JOB(hold_limit), NULL },
	{ "fsfreeze", VALUE_WORD, JOB(fsfreeze), fsfreeze_words },
	{ "speed", VALUE_SIZE, JOB(speed), NULL },
	{ "jobs", VALUE_COUNT, JOB(jobs), NULL },
	{ "request-size", VALUE_SIZE, JOB(request_size), NULL },
	{ "target-timeout", VALUE_TIME, JOB(target_timeout), NULL },
	{ "on-source-error", VALUE_WORD, JOB(on_source_error), on_error },
	{ "on-target-error", VALUE_WORD, JOB(on_target_error), on_error },
	{ 0 },
};

static const struct key device_keys[] = {
	{ "device", VALUE_DEVICE, DEVICE(device), NULL },
	{ "bitmap", VALUE_BITMAP, DEVICE(bitmap), NULL },
	{ "granularity", VALUE_GRANULE, DEVICE(granularity), NULL },
	{ 0 },
};

static bool take_word(struct reader *r, const struct key *key,
		      const char *value, int *to)
{
	char list[WORD_LIST_LEN];

	if (word_find(key->words, value, to))
		return true;
	return wrong(r, r->line, "%s: '%s' is none of %s", key->name, value,
		     word_list(key->words, list));
}

static bool take_size(struct reader *r, const struct key *key,
		      const char *value, uint64_t *to)
{
	int ret = dtrack_parse_size(value, to);

	if (ret == -ERANGE)
		return wrong(r, r->line, "%s: '%s' is too great", key->name,
			     value);
	if (ret || !*to)
		return wrong(r, r->line,
			     "%s: '%s' is no size: digits, not only 0, and one of K, M, G, T",
			     key->name, value);
	return true;
}

static bool take_granule(struct reader *r, const struct key *key,
			 const char *value, uint64_t *to)
{
	if (!take_size(r, key, value, to))
		return false;
	if (*to >= DTRACK_MIN_GRANULARITY && *to <= DTRACK_MAX_GRANULARITY &&
	    !(*to & (*to - 1)))
		return true;
	return wrong(r, r->line,
		     "%s: '%s' is no power of two from 512 to 2G", key->name,
		     value);
}

/* Digits of a number 1 .. 1000000 that @value begins with; 0: none. */
static size_t count_of(const char *value, uint64_t *to)
{
	size_t i, n = strspn(value, "0123456789");

	*to = 0;
	for (i = 0; i < n && *to <= 1000000; i++)
		*to = *to * 10 + (uint64_t)(value[i] - '0');
	return *to && *to <= 1000000 ? n : 0;
}

static bool take_count(struct reader *r, const struct key *key,
		       const char *value, uint64_t *to)
{
	size_t n = count_of(value, to);

	if (n && !value[n])
		return true;
	return wrong(r, r->line, "%s: '%s' is no number of 1 to 1000000",
		     key->name, value);
}

static const struct word unit_words[] = {
	{ "second", 1 },
	{ "minute", 60 },
	{ "hour", 3600 },
	{ "day", 86400 },
	{ "week", 7 * 86400 },
	{ 0 },
};

/* " hours", or " hour": seconds of one; 0: it is no unit. */
static uint64_t unit_of(const char *text)
{
	size_t len = strlen(text);
	char name[8];
	int seconds;

	if (text[0] != ' ' || len - 1 >= sizeof(name))
		return 0;
	memcpy(name, text + 1, len);
	if (len > 2 && name[len - 2] == 's')
		name[len - 2] = '\0';
	return word_find(unit_words, name, &seconds) ? (uint64_t)seconds : 0;
}

static bool take_time(struct reader *r, const struct key *key,
		      const char *value, uint64_t *to)
{
	size_t n = count_of(value, to);

	if (n && value[n])
		*to *= unit_of(value + n);
	if (n && *to && *to <= 1000000)
		return true;
	return wrong(r, r->line,
		     "%s: '%s' is no time of 1 to 1000000 seconds: a number, and behind a blank seconds, minutes, hours or days",
		     key->name, value);
}

static bool take_every(struct reader *r, const struct key *key,
		       const char *value)
{
	struct config *c = r->c;
	size_t n = count_of(value, &c->full_every);
	uint64_t unit = n ? unit_of(value + n) : 0;

	c->by_time = unit;
	if (unit)
		c->full_every *= unit;
	if (unit || (n && (!strcmp(value + n, " runs") ||
			   !strcmp(value + n, " run"))))
		return true;
	return wrong(r, r->line,
		     "%s: '%s' is neither 'N runs' nor 'N hours', 'N days' or 'N weeks'",
		     key->name, value);
}

/* "N hours": seconds; 0: it is no time. */
static uint64_t time_of(const char *value)
{
	uint64_t nr;
	size_t n = count_of(value, &nr);

	return n ? nr * unit_of(value + n) : 0;
}

static bool take_age(struct reader *r, const struct key *key, const char *value,
		     uint64_t *to)
{
	*to = time_of(value);
	return *to || wrong(r, r->line,
			    "%s: '%s' is neither 'N hours' nor 'N days'",
			    key->name, value);
}

static bool take_scrub(struct reader *r, const struct key *key,
		       const char *value, uint64_t *to)
{
	*to = time_of(value);
	return *to || !strcmp(value, "no") ||
	       wrong(r, r->line, "%s: '%s' is neither 'N days' nor 'no'",
		     key->name, value);
}

static bool take_budget(struct reader *r, const struct key *key,
			const char *value)
{
	struct config *c = r->c;

	c->scrub_seconds = time_of(value);
	if (c->scrub_seconds ||
	    (!dtrack_parse_size(value, &c->scrub_bytes) && c->scrub_bytes))
		return true;
	return wrong(r, r->line,
		     "%s: '%s' is neither a size nor 'N minutes' or 'N hours'",
		     key->name, value);
}

/* In a command it may be a comment of the shell's, in a name it is a mistake. */
static bool has_comment(const char *value)
{
	return strstr(value, " #") || strstr(value, "\t#");
}

/* All lines are shorter than the room that a text has. */
static bool take_text(struct reader *r, const struct key *key,
		      const char *value, char *to)
{
	if (!*value)
		return wrong(r, r->line, "%s: the value is missing", key->name);
	if (key->kind == VALUE_PATH && *value != '/')
		return wrong(r, r->line, "%s: '%s' is no absolute path",
			     key->name, value);
	if ((key->kind == VALUE_PATH || key->kind == VALUE_DEVICE) &&
	    has_comment(value))
		return wrong(r, r->line,
			     "%s: a '#' behind a blank is no comment: a comment has a line of its own",
			     key->name);
	if (key->kind == VALUE_BITMAP && strpbrk(value, " \t\"\\:/"))
		return wrong(r, r->line,
			     "%s: '%s' has a blank or one of \" \\ : /",
			     key->name, value);
	snprintf(to, CONFIG_LINE_LEN, "%s", value);
	return true;
}

static bool take(struct reader *r, const struct key *key, const char *value,
		 void *object)
{
	void *to = (char *)object + key->offset;

	switch (key->kind) {
	case VALUE_SIZE:
		return take_size(r, key, value, to);
	case VALUE_GRANULE:
		return take_granule(r, key, value, to);
	case VALUE_COUNT:
		return take_count(r, key, value, to);
	case VALUE_TIME:
		return take_time(r, key, value, to);
	case VALUE_WORD:
		return take_word(r, key, value, to);
	case VALUE_EVERY:
		return take_every(r, key, value);
	case VALUE_AGE:
		return take_age(r, key, value, to);
	case VALUE_SCRUB:
		return take_scrub(r, key, value, to);
	case VALUE_BUDGET:
		return take_budget(r, key, value);
	default:
		return take_text(r, key, value, to);
	}
}

/* ---- Sections ----------------------------------------------------------- */

/* A '.' would make 'a' and 'a.raw' meet: see night.c's clone_one(). */
static bool is_name(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!isascii(name[i]) ||
		    (!isalnum(name[i]) && !strchr("_-", name[i])))
			return false;
	return len && len < CONFIG_NAME_LEN && isalnum(name[0]);
}

static bool begin_device(struct reader *r, const char *name, size_t len)
{
	struct config *c = r->c;
	struct config_device *d = &c->device[c->nr];
	unsigned int i;

	if (!is_name(name, len))
		return wrong(r, r->line,
			     "'%.*s' is no name: at most %d letters, digits, '_' and '-', the first a letter or digit",
			     (int)len, name, CONFIG_NAME_LEN - 1);
	if (c->nr == CONFIG_MAX_DEVICES)
		return wrong(r, r->line, "more than %d devices",
			     CONFIG_MAX_DEVICES);
	memcpy(d->name, name, len);
	d->line = r->line;
	for (i = 0; i < c->nr; i++)
		if (!strcmp(c->device[i].name, d->name))
			return wrong(r, r->line, "[device %s] is there twice",
				     d->name);
	c->nr++;
	return true;
}

static bool begin_job(struct reader *r)
{
	if (r->job)
		return wrong(r, r->line, "[job] is there twice");
	r->job = true;
	return true;
}

static bool end_section(struct reader *r)
{
	if (r->section && !r->has_keys)
		return wrong(r, r->section, "the section is empty");
	return true;
}

/* @text: from the '[' on */
static bool begin_section(struct reader *r, const char *text, size_t len)
{
	const char *end = memchr(text, ']', len);
	size_t n = end ? (size_t)(end - text) - 1 : 0;

	if (!end_section(r))
		return false;
	if (!end || end != text + len - 1)
		return wrong(r, r->line, "a section is '[job]' or '[device NAME]', and nothing behind it");
	if (n >= SECTION_LEN)
		return wrong(r, r->line, "the name of the section is too long");
	r->section = r->line;
	r->has_keys = false;
	r->seen = 0;
	if (n == 3 && !memcmp(text + 1, "job", 3))
		return begin_job(r);
	if (n > 7 && !memcmp(text + 1, "device ", 7))
		return begin_device(r, text + 8, n - 7);
	return wrong(r, r->line, "'%.*s' is neither [job] nor [device NAME]",
		     (int)len, text);
}

/* ---- Lines -------------------------------------------------------------- */

static bool is_printable(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((unsigned char)text[i] < ' ' && text[i] != '\t') ||
		    text[i] == 0x7f)
			return false;
	return true;
}

/* @len: without the newline */
static bool check_line(struct reader *r, const char *text, size_t len)
{
	size_t i;

	/* Room for the newline and a NUL. */
	if (len > CONFIG_LINE_LEN - 2)
		return wrong(r, r->line, "longer than %d bytes",
			     CONFIG_LINE_LEN - 2);
	if (len && text[len - 1] == '\r')
		len--;
	if (!is_printable(text, len))
		return wrong(r, r->line, "it has a control character");
	while (len && strchr(" \t", text[len - 1]))
		len--;
	if (!len || strchr("#;", text[0]))
		return true;
	if (strchr(" \t", text[0]))
		return wrong(r, r->line, "it begins with a blank");
	if (text[0] == '[')
		return begin_section(r, text, len);
	if (!memchr(text, '=', len))
		return wrong(r, r->line,
			     "it is neither a section nor 'key = value'");
	for (i = 1; i < len; i++)
		if (text[i] == ';' && strchr(" \t", text[i - 1]))
			return wrong(r, r->line,
				     "a ';' behind a blank would begin a comment");
	return true;
}

/* For inih: fgets(). */
static char *read_line(char *to, int size, void *opaque)
{
	struct reader *r = opaque;
	const char *end = memchr(r->next, '\n', r->left);
	size_t len = end ? (size_t)(end - r->next) : r->left;
	size_t all = end ? len + 1 : len;

	if (!r->left || r->c->why[0])
		return NULL;
	r->line++;
	if (!check_line(r, r->next, len) || all >= (size_t)size)
		return NULL;
	memcpy(to, r->next, all);
	to[all] = '\0';
	r->next += all;
	r->left -= all;
	return to;
}

/* For inih: 0 is an error. */
static int on_key(void *opaque, const char *section, const char *name,
		  const char *value)
{
	struct reader *r = opaque;
	struct config *c = r->c;
	bool job = !strcmp(section, "job");
	const struct key *keys = job ? job_keys : device_keys, *key;

	if (!r->section)
		return wrong(r, r->line, "'%s' is before any section", name);
	r->has_keys = true;
	for (key = keys; key->name && strcmp(key->name, name); key++)
		;
	if (!key->name)
		return wrong(r, r->line, "'%s' is no key of [%s]", name, section);
	if (r->seen & 1U << (key - keys))
		return wrong(r, r->line, "'%s' is there twice", name);
	r->seen |= 1U << (key - keys);
	return take(r, key, value, job ? (void *)c :
					 (void *)&c->device[c->nr - 1]);
}

/* ---- The whole ---------------------------------------------------------- */

static bool check_device(struct reader *r, struct config_device *d)
{
	const struct config *c = r->c;
	const struct config_device *other;

	if (!d->bitmap[0])
		return wrong(r, d->line, "[device %s] has no bitmap", d->name);
	if (!d->device[0])
		memcpy(d->device, d->name, sizeof(d->name));
	for (other = c->device; other < d; other++)
		if (!strcmp(other->device, d->device) &&
		    !strcmp(other->bitmap, d->bitmap))
			return wrong(r, d->line,
				     "[device %s] and [device %s] have one bitmap",
				     other->name, d->name);
	return true;
}

/* What is held still is released. */
static bool check_hooks(struct reader *r)
{
	struct config *c = r->c;

	if (c->hold[0] && !c->release[0])
		return wrong(r, 0, "hold: there is no release");
	if (c->release[0] && !c->hold[0])
		return wrong(r, 0, "release: there is no hold");
	if (c->hold_limit && !c->hold[0] && c->fsfreeze != FSFREEZE_COPY)
		return wrong(r, 0, "hold-limit: nothing is held");
	if (!c->hold_limit)
		c->hold_limit = CONFIG_HOLD_LIMIT;
	return true;
}

static bool check_all(struct reader *r)
{
	struct config *c = r->c;
	unsigned int i;

	if (!end_section(r))
		return false;
	if (!r->job)
		return wrong(r, 0, "there is no [job]");
	if (!c->folder[0])
		return wrong(r, 0, "[job] has no folder");
	if (strstr(c->folder, ",backing="))
		return wrong(r, 0, "folder: ',backing=' cannot be in it");
	if (!c->nr)
		return wrong(r, 0, "there is no [device NAME]");
	if (c->jobs > 256)
		return wrong(r, 0, "jobs: at most 256");
	if (!check_hooks(r))
		return false;
	c->holds = c->hold[0] || c->fsfreeze == FSFREEZE_COPY;
	for (i = 0; i < c->nr; i++)
		if (!check_device(r, &c->device[i]))
			return false;
	return true;
}

bool config_parse(const char *text, size_t len, struct config *c)
{
	struct reader r = { .next = text, .left = len, .c = c };
	int line;

	memset(c, 0, sizeof(*c));
	c->full_every = 30;
	c->keep = 2;
	c->hook_timeout = CONFIG_HOOK_TIMEOUT;
	c->max_age = CONFIG_MAX_AGE;
	c->scrub_every = CONFIG_SCRUB_EVERY;
	if (len > CONFIG_MAX_BYTES)
		return wrong(&r, 0, "it is too long");
	line = ini_parse_stream(read_line, &r, on_key, &r);
	/* Whatever else inih may not like, or did not read to the end. */
	if (line || (r.left && !c->why[0]))
		wrong(&r, line > 0 ? (unsigned int)line : r.line,
		      "it cannot be read");
	return !c->why[0] && check_all(&r);
}
