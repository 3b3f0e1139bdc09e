// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * progress.c - how far a backup is, on stderr.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "output.h"
#include "progress.h"

#define BAR_WIDTH	30
/* Often enough to look smooth; a log needs less. */
#define TERMINAL_SECONDS	0.1
#define LOG_SECONDS		10.0
#define JSON_SECONDS		1.0
/* How long the rate remembers. */
#define RATE_SECONDS		5.0

enum { WORD_JSON = 1 };

const struct word progress_words[] = {
	{ "json", WORD_JSON },
	{ 0 },
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void wipe(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}

void progress_begin(struct progress *p, bool always)
{
	p->json = p->call->option[OPT_PROGRESS].number == WORD_JSON;
	p->terminal = !p->json && isatty(STDERR_FILENO);
	p->on = p->terminal || always;
	p->began = now();
	p->last = p->began;
}

void progress_end(struct progress *p)
{
	wipe(p);
}

/* ---- How fast, how long ------------------------------------------------- */

static void take_rate(struct progress *p, double t, uint64_t done)
{
	double seconds = t - p->last, now_rate;

	if (seconds <= 0)
		return;
	now_rate = (double)(done - p->last_done) / seconds;
	if (p->last_done)
		p->rate += (now_rate - p->rate) * seconds /
			   (seconds + RATE_SECONDS);
	else
		p->rate = now_rate;
	p->last_done = done;
	p->last = t;
}

/* Negative: nobody knows. */
static double seconds_left(const struct progress *p, uint64_t done,
			   uint64_t total)
{
	if (done >= total)
		return 0;
	return p->rate < 1 ? -1 : (double)(total - done) / p->rate;
}

static const char *format_left(double seconds, char *buf, size_t size)
{
	unsigned int s = seconds < 359999 ? (unsigned int)(seconds + 0.5) :
					    359999;

	if (seconds < 0)
		snprintf(buf, size, "-:--");
	else if (s < 3600)
		snprintf(buf, size, "%u:%02u", s / 60, s % 60);
	else
		snprintf(buf, size, "%u:%02u:%02u", s / 3600, s / 60 % 60,
			 s % 60);
	return buf;
}

/* ---- What is shown ------------------------------------------------------ */

static void print_object(struct json_object *o)
{
	fprintf(stderr, "%s\n", json_object_to_json_string_ext(o,
		JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static struct json_object *event_json(const struct progress *p,
				      const char *event)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "event", dtl_json_string(event));
	json_object_object_add(o, "object", text_json(p->call->object));
	return o;
}

static void show_json(const struct progress *p, double t, uint64_t done,
		      uint64_t total)
{
	struct json_object *o = event_json(p, "progress");
	double left = seconds_left(p, done, total);

	json_object_object_add(o, "bytes-done", json_object_new_uint64(done));
	json_object_object_add(o, "bytes-total",
			       json_object_new_uint64(total));
	json_object_object_add(o, "seconds", json_object_new_uint64(
			       (uint64_t)(t - p->began)));
	json_object_object_add(o, "bytes-per-second", json_object_new_uint64(
			       (uint64_t)p->rate));
	json_object_object_add(o, "seconds-left", left < 0 ? NULL :
			       json_object_new_uint64((uint64_t)(left + 0.5)));
	print_object(o);
}

static void show(struct progress *p, uint64_t done, uint64_t total)
{
	char has[HUMAN_LEN], all[HUMAN_LEN], rate[HUMAN_LEN], left[16];
	double part = total ? (double)done / (double)total : 1;
	char bar[BAR_WIDTH + 1];

	human_size(done, has);
	human_size(total, all);
	human_size((uint64_t)p->rate, rate);
	format_left(seconds_left(p, done, total), left, sizeof(left));
	if (p->terminal) {
		memset(bar, ' ', BAR_WIDTH);
		memset(bar, '#', (size_t)(part * BAR_WIDTH));
		bar[BAR_WIDTH] = '\0';
		fprintf(stderr, "\r\033[K[%s] %3d%%  %s of %s, %s/s, %s left",
			bar, (int)(part * 100), has, all, rate, left);
		p->drawn = true;
	} else {
		fprintf(stderr, "dtrack: %s %s: %d%%, %s of %s, %s/s, %s left\n",
			p->call->verb->name, p->call->object,
			(int)(part * 100), has, all, rate, left);
	}
}

static void stopped(struct progress *p, const char *message)
{
	struct json_object *o;
	char why[8192];

	if (p->json) {
		o = event_json(p, "stopped");
		json_object_object_add(o, "message", text_json(message));
		json_object_object_add(o, "pid", json_object_new_int(getpid()));
		print_object(o);
		return;
	}
	wipe(p);
	snprintf(why, sizeof(why),
		 "%s%s; stopped: SIGUSR1 tries again, SIGTERM cancels (process %d)",
		 p->prefix ? p->prefix : "", message, (int)getpid());
	print_line(p->call, LOG_WARNING, why);
}

static void resumed(struct progress *p)
{
	char why[256];

	if (p->json) {
		print_object(event_json(p, "resumed"));
		return;
	}
	snprintf(why, sizeof(why), "%strying again", p->prefix ? p->prefix : "");
	print_line(p->call, LOG_INFO, why);
}

static double interval(const struct progress *p)
{
	return p->terminal ? TERMINAL_SECONDS :
	       p->json ? JSON_SECONDS : LOG_SECONDS;
}

void progress_notify(void *opaque, enum dtrack_run_event event, uint64_t done,
		     uint64_t total, const char *message)
{
	struct progress *p = opaque;
	double t;

	if (event == DTRACK_RUN_STOPPED)
		stopped(p, message);
	else if (event == DTRACK_RUN_RESUMED)
		resumed(p);
	if (!p->on || event != DTRACK_RUN_PROGRESS)
		return;
	t = now();
	if (done < total && t - p->last < interval(p))
		return;
	take_rate(p, t, done);
	if (p->json)
		show_json(p, t, done, total);
	else
		show(p, done, total);
}
