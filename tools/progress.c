// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * progress.c - how far a backup is, on stderr.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "output.h"
#include "progress.h"

#define BAR_WIDTH	30
/* Often enough to look smooth; a log needs less. */
#define TERMINAL_SECONDS	0.1
#define LOG_SECONDS		10.0

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
	p->terminal = isatty(STDERR_FILENO);
	p->on = p->terminal || always;
	p->began = now();
}

void progress_end(struct progress *p)
{
	wipe(p);
}

static void show(struct progress *p, double t, uint64_t done, uint64_t total)
{
	char has[HUMAN_LEN], all[HUMAN_LEN], rate[HUMAN_LEN], bar[BAR_WIDTH + 1];
	double part = total ? (double)done / (double)total : 1;
	double seconds = t - p->began;

	human_size(done, has);
	human_size(total, all);
	human_size(seconds > 0 ? (uint64_t)((double)done / seconds) : 0, rate);
	if (p->terminal) {
		memset(bar, ' ', BAR_WIDTH);
		memset(bar, '#', (size_t)(part * BAR_WIDTH));
		bar[BAR_WIDTH] = '\0';
		fprintf(stderr, "\r\033[K[%s] %3d%%  %s of %s, %s/s", bar,
			(int)(part * 100), has, all, rate);
		p->drawn = true;
	} else {
		fprintf(stderr, "dtrack: %s %s: %d%%, %s of %s, %s/s\n",
			p->call->verb->name, p->call->object,
			(int)(part * 100), has, all, rate);
	}
}

static void stopped(struct progress *p, const char *message)
{
	char why[8192];

	wipe(p);
	snprintf(why, sizeof(why),
		 "%s%s; stopped: SIGUSR1 tries again, SIGTERM cancels (process %d)",
		 p->prefix ? p->prefix : "", message, (int)getpid());
	print_error_line(p->call, why);
}

static void resumed(struct progress *p)
{
	char why[256];

	snprintf(why, sizeof(why), "%strying again", p->prefix ? p->prefix : "");
	print_error_line(p->call, why);
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
	if (done < total &&
	    t - p->last < (p->terminal ? TERMINAL_SECONDS : LOG_SECONDS))
		return;
	p->last = t;
	show(p, t, done, total);
}
