// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * bypass.c - who writes to the device below a tracked one, past the tracker.
 *
 * The claim that device-mapper has on the lower device keeps mounts and swap
 * off it, but neither another table, nor a loop device, nor a program that
 * opens it, nor what another kernel let through.  So everything is looked at,
 * in /sys and /proc.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bypass.h"
#include "dm.h"
#include "holders.h"
#include "openers.h"
#include "sysfs.h"

__attribute__((format(printf, 3, 4)))
static void tell(const struct dtl_bypass *b, dev_t dev, const char *fmt, ...)
{
	char node[DTL_PATH_LEN], use[4400], how[5000];
	va_list ap;

	if (!dtl_sysfs_node(b->h, dev, node, sizeof(node)))
		snprintf(node, sizeof(node), "%u:%u", major(dev), minor(dev));
	va_start(ap, fmt);
	vsnprintf(use, sizeof(use), fmt, ap);
	va_end(ap);
	snprintf(how, sizeof(how), "'%s' is %s", node, use);
	b->found(b->opaque, how);
}

/* ---- Holders ------------------------------------------------------------ */

struct overlap {
	const struct dtl_bypass *b;
	dev_t dev;
};

/* Whether a line of another table may write to what we track. */
static bool overlaps(void *opaque, const struct dtl_dm_target *line)
{
	const struct overlap *o = opaque;
	unsigned int maj, min;
	uint64_t first, end;
	int used = 0;

	/* Others may spread what they hold in any way. */
	if (strcmp(line->type, "linear") &&
	    strcmp(line->type, DTL_TARGET_TYPE))
		return true;
	if (sscanf(line->params, "%u:%u %n", &maj, &min, &used) != 2 || !used)
		return true;
	if (makedev(maj, min) != o->dev)
		return false;
	first = strtoull(line->params + used, NULL, 10);
	end = (o->b->start + o->b->length + 511) / 512;
	return o->dev != o->b->lower ||
	       (first < end && o->b->start / 512 < first + line->length);
}

static void look_at_holder(const struct dtl_bypass *b, dev_t dev, dev_t holder,
			   const char *kernel_name)
{
	struct dtrack_dev number = { major(holder), minor(holder) };
	struct overlap overlap = { b, dev };
	char user[4200], name[160] = "";
	struct dtl_dm_info info;

	if (!dtl_dm_by_dev(b->h, number, &info)) {
		if (!dtl_dm_table(b->h, number, overlaps, &overlap))
			return;
		snprintf(name, sizeof(name), " (%s)", info.name);
	}
	if (dtl_used_itself(holder, user, sizeof(user)))
		tell(b, dev, "held by %s%s, which is %s", kernel_name, name,
		     user);
	else
		tell(b, dev, "held by %s%s", kernel_name, name);
}

static void look_at_holders(const struct dtl_bypass *b, dev_t dev)
{
	struct dtl_kin k;

	if (!dtl_kin_open(&k, dev, DTL_KIN_HOLDERS))
		return;
	while (dtl_kin_next(&k))
		if (k.dev != b->top)
			look_at_holder(b, dev, k.dev, k.name);
	dtl_kin_close(&k);
}

/* ---- Loop devices ------------------------------------------------------- */

static void look_at_loop(const struct dtl_bypass *b, dev_t dev,
			 const char *name)
{
	char path[DTL_PATH_LEN], file[4096], user[4200];
	struct stat st;
	dev_t loop;

	snprintf(path, sizeof(path), "/sys/block/%.64s/loop/backing_file", name);
	if (!dtl_sysfs_line(path, file, sizeof(file)) || stat(file, &st) ||
	    !S_ISBLK(st.st_mode) || st.st_rdev != dev)
		return;
	snprintf(path, sizeof(path), "/sys/block/%.64s/dev", name);
	if (dtl_sysfs_dev(path, &loop) &&
	    dtl_used_itself(loop, user, sizeof(user)))
		tell(b, dev, "behind %s, which is %s", name, user);
	else
		tell(b, dev, "behind %s", name);
}

static void look_at_loops(const struct dtl_bypass *b, dev_t dev)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (!strncmp(e->d_name, "loop", 4))
			look_at_loop(b, dev, e->d_name);
	closedir(dir);
}

/* ---- Processes ---------------------------------------------------------- */

static bool is_opener(void *opaque, dev_t dev, const char *pid,
		      const char *comm)
{
	tell(opaque, dev, "open for writing in process %s (%s)", pid, comm);
	return true;
}

static void look_at_processes(const struct dtl_bypass *b, dev_t dev)
{
	dtl_openers_find(&dev, 1, is_opener, (void *)b);
}

/* ---- All of it ---------------------------------------------------------- */

static void look_at(const struct dtl_bypass *b, dev_t dev)
{
	char user[4200];

	if (dtl_used_itself(dev, user, sizeof(user)))
		tell(b, dev, "%s", user);
	look_at_holders(b, dev);
	look_at_loops(b, dev);
	look_at_processes(b, dev);
}

static void look_at_parts(const struct dtl_bypass *b, dev_t disk)
{
	struct dtl_kin k;

	if (!dtl_kin_open(&k, disk, DTL_KIN_PARTS))
		return;
	while (dtl_kin_next(&k))
		look_at(b, k.dev);
	dtl_kin_close(&k);
}

void dtl_bypass_find(const struct dtl_bypass *b)
{
	dev_t disk;

	look_at(b, b->lower);
	look_at_parts(b, b->lower);
	if (dtl_sysfs_disk(b->lower, &disk))
		look_at(b, disk);
}
