// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * findings.c - whether a tracker sees the writes.
 *
 * Puts together what the module, device-mapper and bypass.c know; changes
 * nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bypass.h"
#include "dm.h"

/**
 * struct dtrack_findings - what was found.
 * @nr: number of findings
 * @nr_faults: of them
 * @nomem: some found no room
 * @finding: them
 */
struct dtrack_findings {
	unsigned int nr;
	unsigned int nr_faults;
	bool nomem;
	struct dtrack_finding *finding;
};

/**
 * struct look - a look at a device.
 * @h: the handle
 * @dev: the device
 * @label: how the user calls it
 * @list: what was found
 */
struct look {
	struct dtrack *h;
	struct dtrack_dev dev;
	const char *label;
	struct dtrack_findings *list;
};

/* ---- The list ----------------------------------------------------------- */

static bool is_fault(int kind)
{
	return kind != DTRACK_FINDING_READ_ONLY &&
	       kind != DTRACK_FINDING_NO_BITMAP &&
	       kind != DTRACK_FINDING_NO_WRITES;
}

static bool add(struct dtrack_findings *list, int kind, const char *bitmap,
		const char *text)
{
	struct dtrack_finding *more, *f;

	more = reallocarray(list->finding, list->nr + 1, sizeof(*more));
	if (!more)
		return false;
	list->finding = more;
	f = &more[list->nr++];
	*f = (struct dtrack_finding) {
		.kind = kind,
		.fault = is_fault(kind),
		.bitmap = bitmap ? strdup(bitmap) : NULL,
		.text = strdup(text),
	};
	list->nr_faults += is_fault(kind);
	return f->text && (f->bitmap || !bitmap);
}

__attribute__((format(printf, 4, 5)))
static void found(struct look *look, int kind, const char *bitmap,
		  const char *fmt, ...)
{
	char text[DTL_MSG_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!add(look->list, kind, bitmap, text))
		look->list->nomem = true;
}

const struct dtrack_finding *
dtrack_findings_at(const struct dtrack_findings *list, unsigned int i)
{
	return i < list->nr ? &list->finding[i] : NULL;
}

void dtrack_findings_free(struct dtrack_findings *list)
{
	unsigned int i;

	if (!list)
		return;
	for (i = 0; i < list->nr; i++) {
		free((char *)list->finding[i].bitmap);
		free((char *)list->finding[i].text);
	}
	free(list->finding);
	free(list);
}

/* ---- The device itself -------------------------------------------------- */

struct table {
	unsigned int nr;
	char type[64];
};

/* A table has one line of ours or none, so the first says it. */
static bool take_type(void *opaque, const struct dtl_dm_target *line)
{
	struct table *table = opaque;

	table->nr++;
	snprintf(table->type, sizeof(table->type), "%s", line->type);
	return true;
}

/* Return: 1 when the live table is ours, 0, or an errno. */
static int look_at_table(struct look *look)
{
	struct table table = { 0 };
	int ret = dtl_dm_table(look->h, look->dev, take_type, &table);

	if (ret == -ENXIO)
		found(look, DTRACK_FINDING_NOT_TRACKED, NULL,
		      "'%s' is no device-mapper device: nothing tracks it",
		      look->label);
	else if (ret < 0)
		return ret;
	else if (!table.nr)
		found(look, DTRACK_FINDING_NOT_TRACKED, NULL,
		      "'%s' has no table: nothing tracks it", look->label);
	else if (strcmp(table.type, DTL_TARGET_TYPE))
		found(look, DTRACK_FINDING_NOT_TRACKED, NULL,
		      "'%s' is of type '%s' now: nothing tracks it",
		      look->label, table.type);
	else
		return 1;
	return 0;
}

static int look_at_state(struct look *look)
{
	struct dtl_dm_info dm;
	int ret = dtl_dm_by_dev(look->h, look->dev, &dm);

	if (ret)
		return ret == -ENXIO ? 0 : ret;
	if (dm.suspended)
		found(look, DTRACK_FINDING_SUSPENDED, NULL,
		      "'%s' is suspended: its I/O waits", look->label);
	if (dm.read_only)
		found(look, DTRACK_FINDING_READ_ONLY, NULL,
		      "'%s' is read-only", look->label);
	return 0;
}

/* ---- Bitmaps ------------------------------------------------------------ */

static void look_at_bitmap(struct look *look,
			   const struct dtrack_bitmap_info *info)
{
	const char *name = (const char *)info->name;

	if (info->flags & DTRACK_BITMAP_INCONSISTENT)
		found(look, DTRACK_FINDING_INCONSISTENT, name,
		      "bitmap '%s' is inconsistent", name);
	else if (!(info->flags & DTRACK_BITMAP_RECORDING))
		found(look, DTRACK_FINDING_NOT_RECORDING, name,
		      "bitmap '%s' is disabled: it does not record", name);
}

static int look_at_bitmaps(struct look *look, const char *bitmap)
{
	const struct dtrack_bitmap_info *info;
	struct dtrack_bitmaps *list;
	unsigned int i;
	int ret = dtrack_bitmaps_get(look->h, look->dev, bitmap, &list);

	if (ret < 0)
		return ret;
	for (i = 0; (info = dtrack_bitmaps_at(list, i)); i++)
		look_at_bitmap(look, info);
	if (!i)
		found(look, DTRACK_FINDING_NO_BITMAP, NULL,
		      "'%s' has no bitmap", look->label);
	dtrack_bitmaps_free(list);
	return 0;
}

/* ---- What is below ------------------------------------------------------ */

static void bypassed(void *opaque, const char *how)
{
	found(opaque, DTRACK_FINDING_BYPASSED, NULL,
	      "%s: what is written there is not tracked", how);
}

static void look_at_writes(struct look *look,
			   const struct dtrack_dev_info *info)
{
	if (info->counted && info->writes.idle == UINT64_MAX)
		found(look, DTRACK_FINDING_NO_WRITES, NULL,
		      "'%s' has seen no write since it was made", look->label);
}

static void look_below(struct look *look, const struct dtrack_dev_info *info)
{
	const struct dtl_bypass bypass = {
		.h = look->h,
		.top = dtl_dev_t(look->dev),
		.lower = dtl_dev_t(info->lower),
		.start = info->lower_start,
		.length = info->bytes,
		.found = bypassed,
		.opaque = look,
	};

	dtl_bypass_find(&bypass);
}

static int look_at_all(struct look *look, const char *bitmap)
{
	struct dtrack_dev_info info;
	int ret = look_at_table(look);

	if (ret <= 0)
		return ret;
	ret = dtrack_dev_info(look->h, look->dev, &info, sizeof(info));
	if (!ret)
		ret = look_at_state(look);
	if (!ret)
		ret = look_at_bitmaps(look, bitmap);
	if (!ret)
		look_below(look, &info);
	if (!ret)
		look_at_writes(look, &info);
	return ret;
}

int dtrack_dev_check(struct dtrack *h, const char *name, const char *bitmap,
		     struct dtrack_findings **list)
{
	struct look look = { .h = h, .label = name };
	int ret = dtl_dev_number(h, name, &look.dev);

	*list = NULL;
	if (ret)
		return ret;
	look.list = calloc(1, sizeof(*look.list));
	if (!look.list)
		return dtl_nomem(h);
	ret = look_at_all(&look, bitmap);
	if (!ret && look.list->nomem)
		ret = dtl_nomem(h);
	if (ret) {
		dtrack_findings_free(look.list);
		return ret;
	}
	*list = look.list;
	return (int)look.list->nr_faults;
}
