// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * chain.c - a job's folder: chains of restore points.
 *
 * What is removed is first given a name under which nobody takes it for a
 * chain: an interrupted removal leaves no chain with a link missing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "chain.h"
#include "damage.h"
#include "point-state.h"
#include "repo-lock.h"

#define TRASH	"trash-"
#define MAKING	"making"

/* The first one counts. */
__attribute__((format(printf, 3, 4)))
static int failed(struct store *s, int err, const char *fmt, ...)
{
	int n;
	va_list ap;

	if (s->why[0])
		return err;
	va_start(ap, fmt);
	n = vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(s->why))
		snprintf(s->why + n, sizeof(s->why) - (size_t)n, ": %s",
			 strerror(-err));
	return err;
}

/* ---- Names -------------------------------------------------------------- */

void chain_name(char *buf, uint64_t number, int64_t now)
{
	time_t t = (time_t)now;
	struct tm tm = { 0 };
	char when[32];

	gmtime_r(&t, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(buf, FILE_NAME_LEN, "%06" PRIu64 "-%s", number, when);
}

static size_t digits(const char *text)
{
	return strspn(text, "0123456789");
}

/* What is none is somebody's, who may well name a folder by its date: it stays. */
uint64_t chain_number(const char *name)
{
	size_t n = digits(name);
	const char *when = name + n + 1, *at;

	if (n < 6 || n > 18 || name[n] != '-' || strlen(name) >= FILE_NAME_LEN)
		return 0;
	at = when + digits(when);
	if (at - when < 8 || *at != 'T' || digits(at + 1) != 6 ||
	    strcmp(at + 7, "Z"))
		return 0;
	return strtoull(name, NULL, 10);
}

bool chain_is_name(const char *name)
{
	return chain_number(name) > 0;
}

const char *chain_path(char *buf, const struct store *s, const char *chain,
		       const char *point, const char *file)
{
	snprintf(buf, CHAIN_PATH_LEN, "%s/%s%s%s%s%s", s->folder, chain,
		 point ? "/" : "", point ? point : "", file ? "/" : "",
		 file ? file : "");
	return buf;
}

/* ---- Looking ------------------------------------------------------------ */

/* An array that has room for a power of two of elements. */
static void *grown(void *array, unsigned int nr, size_t size)
{
	if (nr & (nr - 1))
		return array;
	return realloc(array, (nr ? 2 * (size_t)nr : 1) * size);
}

struct look {
	struct store *s;
	struct chain *c;
};

static int see_point(void *opaque, const char *name)
{
	struct look *l = opaque;
	struct chain *c = l->c;
	uint64_t number = chain_number(name);
	char path[CHAIN_PATH_LEN];
	struct point *p;
	int ret;

	if (!number)
		return 0;
	p = grown(c->point, c->nr, sizeof(*p));
	if (!p)
		return -ENOMEM;
	c->point = p;
	p += c->nr++;
	memset(p, 0, sizeof(*p));
	p->number = number;
	strcpy(p->name, name);
	if (number > l->s->last)
		l->s->last = number;
	ret = point_load(chain_path(path, l->s, c->name, name, NULL), p);
	if (!ret && p->state == POINT_WHOLE)
		point_look(l->s->h, path, p);
	return ret;
}

static int by_number(const void *a, const void *b)
{
	const struct point *p = a, *q = b;

	return p->number < q->number ? -1 : p->number > q->number;
}

static int chain_by_number(const void *a, const void *b)
{
	const struct chain *p = a, *q = b;

	return p->number < q->number ? -1 : p->number > q->number;
}

__attribute__((format(printf, 2, 3)))
static void breaks(struct chain *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->broken, sizeof(c->broken), fmt, ap);
	va_end(ap);
}

/* Each is there, as it was, and goes on from the one before. */
static void check_points(const struct store *s, struct chain *c)
{
	char path[CHAIN_PATH_LEN];
	uint64_t before = 0;
	unsigned int i;

	for (i = 0; i < c->nr && !c->broken[0]; i++) {
		const struct point *p = &c->point[i];

		if (p->state == POINT_PARTIAL)
			continue;
		chain_path(path, s, c->name, p->name, NULL);
		if (p->state == POINT_DAMAGED)
			breaks(c, "'%.800s/%s' is damaged: %.64s", path,
			       POINT_FILE, p->why);
		else if (p->previous != before)
			breaks(c, "a restore point before '%.800s' is missing",
			       path);
		else if (p->problem[0])
			breaks(c, "%s", p->problem);
		before = p->number;
	}
}

static void read_broken(const struct store *s, struct chain *c)
{
	char path[CHAIN_PATH_LEN], *text;
	size_t len;
	int ret = dtl_file_read(chain_path(path, s, c->name, NULL,
					   CHAIN_BROKEN),
				POINT_WHY_LEN, &text, &len);

	if (ret == -ENOENT)
		return;
	if (ret)
		snprintf(c->marked, sizeof(c->marked), "'%.800s': %s", path,
			 strerror(-ret));
	else
		snprintf(c->marked, sizeof(c->marked), "%.*s",
			 (int)strcspn(text, "\n"), text);
	free(text);
}

static void read_damage(const struct store *s, struct chain *c)
{
	char path[CHAIN_PATH_LEN];
	const char *why;

	why = damage_load(chain_path(path, s, c->name, NULL, DAMAGE_FILE),
			  &c->damage);
	if (why)
		snprintf(c->unknown, sizeof(c->unknown),
			 "'%.800s' is damaged: %s", path, why);
}

/* The next restore point would depend on what was found. */
static void check_findings(const struct store *s, struct chain *c)
{
	const struct point *last = chain_last(c);
	struct damage_finding f;
	char path[CHAIN_PATH_LEN];
	size_t at = 0;

	if (c->broken[0] || !last)
		return;
	if (c->marked[0] || c->unknown[0])
		breaks(c, "%s", c->marked[0] ? c->marked : c->unknown);
	else if (damage_next(c->damage, last->format == FORMAT_RAW ?
					last->name : NULL, &at, &f))
		breaks(c, "'%.600s': %.400s",
		       chain_path(path, s, c->name, f.point, f.file), f.what);
}

static bool is_accepted(const struct store *s, const struct chain *c)
{
	char path[CHAIN_PATH_LEN];

	return !access(chain_path(path, s, c->name, NULL, CHAIN_ACCEPTED),
		       F_OK);
}

static int look_at(struct store *s, struct chain *c)
{
	struct look l = { s, c };
	char path[CHAIN_PATH_LEN];
	int ret = file_each(chain_path(path, s, c->name, NULL, NULL), see_point,
			    &l);

	/* Not a folder: none of ours. */
	if (ret == -ENOTDIR)
		return 1;
	if (ret)
		return failed(s, ret, "Could not read '%s'", path);
	if (c->nr)
		qsort(c->point, c->nr, sizeof(*c->point), by_number);
	read_broken(s, c);
	read_damage(s, c);
	c->accepted = is_accepted(s, c);
	check_points(s, c);
	check_findings(s, c);
	return 0;
}

static void forget(struct chain *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		point_free(&c->point[i]);
	free(c->point);
	json_object_put(c->damage);
	memset(c, 0, sizeof(*c));
}

static int see_chain(void *opaque, const char *name)
{
	struct store *s = opaque;
	uint64_t number = chain_number(name);
	struct chain *c;
	int ret;

	if (!number)
		return 0;
	c = grown(s->chain, s->nr, sizeof(*c));
	if (!c)
		return failed(s, -ENOMEM, "Could not read '%s'", s->folder);
	s->chain = c;
	c += s->nr;
	memset(c, 0, sizeof(*c));
	c->number = number;
	strcpy(c->name, name);
	if (number > s->last)
		s->last = number;
	ret = look_at(s, c);
	if (ret)
		forget(c);
	else
		s->nr++;
	return ret < 0 ? ret : 0;
}

int store_scan(struct store *s)
{
	int ret;

	s->why[0] = '\0';
	ret = file_each(s->folder, see_chain, s);
	if (ret && !s->why[0])
		failed(s, ret, "Could not read '%s'", s->folder);
	if (s->nr)
		qsort(s->chain, s->nr, sizeof(*s->chain), chain_by_number);
	return ret;
}

void store_free(struct store *s)
{
	unsigned int i;

	for (i = 0; i < s->nr; i++)
		forget(&s->chain[i]);
	free(s->chain);
	s->chain = NULL;
	s->nr = 0;
	s->last = 0;
}

/* ---- Asking ------------------------------------------------------------- */

bool chain_has_its_name(const struct chain *c)
{
	return c->nr && !strcmp(c->name, c->point[0].name);
}

unsigned int chain_length(const struct chain *c)
{
	unsigned int i, nr = 0;

	for (i = 0; i < c->nr; i++)
		nr += c->point[i].state != POINT_PARTIAL;
	return nr;
}

const struct point *chain_last(const struct chain *c)
{
	unsigned int i = c->nr;

	while (i--)
		if (c->point[i].state != POINT_PARTIAL)
			return &c->point[i];
	return NULL;
}

struct chain *store_newest(const struct store *s)
{
	unsigned int i = s->nr;

	while (i--)
		if (chain_length(&s->chain[i]))
			return &s->chain[i];
	return NULL;
}

/* ---- Removing ----------------------------------------------------------- */

/* Somebody may have to look; a run does not fail for that. */
__attribute__((format(printf, 2, 3)))
static void warn(const struct store *s, const char *fmt, ...)
{
	char line[REPO_LOCK_WHY_LEN + CHAIN_PATH_LEN + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (s->warn)
		s->warn(s->opaque, line);
}

static int rename_chain(struct store *s, const char *path, const char *trash)
{
	if (!rename(path, trash))
		return 0;
	return failed(s, -errno, "Could not remove '%s'", path);
}

/* Return: 0 it is no chain any more, 1 it is read and stays, or -errno. */
static int remove_chain(struct store *s, unsigned int index)
{
	struct chain *c = &s->chain[index];
	char path[CHAIN_PATH_LEN], trash[CHAIN_PATH_LEN];
	char why[REPO_LOCK_WHY_LEN];
	int ret, lock;

	chain_path(path, s, c->name, NULL, NULL);
	snprintf(trash, sizeof(trash), "%s/" TRASH "%s", s->folder, c->name);
	lock = repo_lock_for_removal(path, path, why, sizeof(why));
	if (lock < 0) {
		warn(s, "chain '%s' is kept: %s", c->name, why);
		return 1;
	}
	ret = rename_chain(s, path, trash);
	if (ret) {
		close(lock);
		return ret;
	}
	/* From here on it is no chain, also if some of it stays. */
	forget(c);
	s->nr--;
	memmove(c, c + 1, (s->nr - index) * sizeof(*c));
	ret = dtl_sync_folder(s->folder);
	if (!ret)
		ret = file_remove_tree(trash);
	if (ret)
		failed(s, ret, "Could not remove '%s'", trash);
	close(lock);
	return 0;
}

/* Return: 0 removed, 1 it is read and stays, or a negative errno. */
static int remove_point(struct store *s, struct chain *c, unsigned int index)
{
	struct point *p = &c->point[index];
	char path[CHAIN_PATH_LEN], chain[CHAIN_PATH_LEN];
	char why[REPO_LOCK_WHY_LEN];
	int ret, lock;

	chain_path(chain, s, c->name, NULL, NULL);
	chain_path(path, s, c->name, p->name, NULL);
	lock = repo_lock_for_removal(path, chain, why, sizeof(why));
	if (lock < 0) {
		warn(s, "'%s/%s' is kept: %s", c->name, p->name, why);
		return 1;
	}
	ret = file_remove_tree(path);
	close(lock);
	if (ret)
		return failed(s, ret, "Could not remove '%s'", path);
	point_free(p);
	c->nr--;
	memmove(p, p + 1, (c->nr - index) * sizeof(*p));
	return 0;
}

int store_begin(const struct store *s, const char *chain, const char *point)
{
	char path[CHAIN_PATH_LEN], line[2 * FILE_NAME_LEN + 4];

	snprintf(line, sizeof(line), "%s/%s\n", chain, point);
	return dtl_file_replace(chain_path(path, s, MAKING, NULL, NULL), line,
				0644);
}

int store_end(const struct store *s)
{
	char path[CHAIN_PATH_LEN];

	if (unlink(chain_path(path, s, MAKING, NULL, NULL)))
		return errno == ENOENT ? 0 : -errno;
	return dtl_sync_folder(s->folder);
}

/* Whether the last run that did not come to an end was making it. */
static bool is_begun(const struct store *s, const char *chain,
		     const char *point)
{
	char path[CHAIN_PATH_LEN], name[2 * FILE_NAME_LEN + 4], *text;
	size_t len;
	bool begun;

	if (dtl_file_read(chain_path(path, s, MAKING, NULL, NULL),
			  sizeof(name), &text, &len))
		return false;
	snprintf(name, sizeof(name), "%s/%s\n", chain, point);
	begun = !strcmp(text, name);
	free(text);
	return begun;
}

/*
 * What an interrupted run has left is at the end.  What lies below others was
 * whole once, and has lost its point.json: they need it.  Any other point without
 * one was whole, too, or was put there by somebody.
 */
static int sweep_chain(struct store *s, struct chain *c)
{
	const struct point *p = c->nr ? &c->point[c->nr - 1] : NULL;

	if (!p || p->state != POINT_PARTIAL)
		return 0;
	if (is_begun(s, c->name, p->name))
		return remove_point(s, c, c->nr - 1);
	warn(s, "'%s/%s' has no " POINT_FILE ", and is not what an interrupted run has left: it is kept",
	     c->name, p->name);
	return 1;
}

static int sweep_trash(void *opaque, const char *name)
{
	struct store *s = opaque;
	char path[CHAIN_PATH_LEN];
	int ret;

	if (strncmp(name, TRASH, strlen(TRASH)) ||
	    !chain_number(name + strlen(TRASH)))
		return 0;
	ret = file_remove_tree(chain_path(path, s, name, NULL, NULL));
	if (ret)
		failed(s, ret, "Could not remove '%s'", path);
	return 0;
}

int store_sweep(struct store *s)
{
	unsigned int i = s->nr;
	int first = 0, ret;

	s->why[0] = '\0';
	ret = file_each(s->folder, sweep_trash, s);
	if (ret)
		first = failed(s, ret, "Could not read '%s'", s->folder);
	while (i--) {
		ret = sweep_chain(s, &s->chain[i]);
		if (!ret && !s->chain[i].nr &&
		    is_begun(s, s->chain[i].name, s->chain[i].name))
			ret = remove_chain(s, i);
		first = first ? : ret < 0 ? ret : 0;
	}
	return s->why[0] && !first ? -EIO : first;
}

/* What has no point.json is somebody's, or has lost it: what is in it may be good. */
static bool is_ours(struct store *s, const struct chain *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++) {
		if (c->point[i].state != POINT_PARTIAL)
			continue;
		warn(s, "chain '%s' is kept: '%s' in it has no " POINT_FILE,
		     c->name, c->point[i].name);
		return false;
	}
	if (c->nr && !chain_has_its_name(c))
		warn(s, "chain '%s' is kept: it does not have the name of its first restore point",
		     c->name);
	return chain_has_its_name(c);
}

unsigned int store_prune(struct store *s, const struct config *job, char *why)
{
	unsigned int i = s->nr, nr = 0;
	bool *goes = calloc(s->nr + 1, sizeof(*goes));

	why[0] = '\0';
	s->why[0] = '\0';
	for (i = 0; goes && i < s->nr; i++)
		goes[i] = chain_may_go(s, job, i, why[0] ? NULL : why);
	while (goes && i--)
		if (goes[i])
			nr += is_ours(s, &s->chain[i]) && !remove_chain(s, i);
	free(goes);
	return nr;
}
