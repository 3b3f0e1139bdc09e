// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * heat.c - a device cut into cells, and how dirty each is.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "heat.h"

/* Of a cell of the picture, and between two. */
#define CELL	12
#define STEP	13
#define TOP	40

typedef unsigned __int128 wide;

uint64_t heat_begin(const struct heat *heat, unsigned int i)
{
	return (uint64_t)((wide)heat->size * i / heat->nr);
}

/* The cell that a byte is in. */
static unsigned int cell_of(const struct heat *heat, uint64_t byte)
{
	unsigned int i = (unsigned int)((wide)byte * heat->nr / heat->size);

	while (heat_begin(heat, i + 1) <= byte)
		i++;
	return i;
}

void heat_add(struct heat *heat, uint64_t start, uint64_t length)
{
	uint64_t end = start + length, stop;
	unsigned int i;

	/* The device may have grown while it was read. */
	if (start >= heat->size)
		return;
	if (end > heat->size)
		end = heat->size;
	i = cell_of(heat, start);
	heat->total += end - start;
	for (; start < end; start = stop, i++) {
		stop = heat_begin(heat, i + 1);
		if (stop > end)
			stop = end;
		heat->dirty[i] += stop - start;
	}
}

unsigned int heat_level(const struct heat *heat, unsigned int i,
			unsigned int levels)
{
	uint64_t size = heat_begin(heat, i + 1) - heat_begin(heat, i);

	if (!heat->dirty[i])
		return 0;
	if (heat->dirty[i] >= size)
		return levels - 1;
	return 1 + (unsigned int)((wide)heat->dirty[i] * (levels - 2) / size);
}

/* ---- The picture -------------------------------------------------------- */

/* Clean, then from a little to all dirty. */
static const char *const colour[] = {
	"#eeeeee", "#ffe8a0", "#fecc5c", "#fd9f3c", "#f46d2c", "#e03020",
	"#bd0026", "#700018",
};

#define LEVELS	(sizeof(colour) / sizeof(colour[0]))

static void put_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", f);
		else if (*text == '>')
			fputs("&gt;", f);
		else if (*text == '&')
			fputs("&amp;", f);
		else
			fputc(*text, f);
	}
}

static void put_cell(FILE *f, const struct heat *heat, unsigned int columns,
		     unsigned int i)
{
	uint64_t begin = heat_begin(heat, i);

	fprintf(f, "<rect x=\"%u\" y=\"%u\" width=\"%d\" height=\"%d\" fill=\"%s\"><title>%"
		PRIu64 "-%" PRIu64 ": %" PRIu64 " bytes dirty</title></rect>\n",
		i % columns * STEP + 8, i / columns * STEP + TOP, CELL, CELL,
		colour[heat_level(heat, i, LEVELS)], begin,
		heat_begin(heat, i + 1), heat->dirty[i]);
}

static void put_picture(FILE *f, const struct heat *heat, unsigned int columns,
			const char *title)
{
	unsigned int i, rows = (heat->nr + columns - 1) / columns;

	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" font-family=\"sans-serif\" font-size=\"13\">\n"
		"<text x=\"8\" y=\"24\">", columns * STEP + 16,
		rows * STEP + TOP + 8);
	put_text(f, title);
	fputs("</text>\n", f);
	for (i = 0; i < heat->nr; i++)
		put_cell(f, heat, columns, i);
	fputs("</svg>\n", f);
}

int heat_svg(const struct heat *heat, unsigned int columns, const char *title,
	     const char *path)
{
	FILE *f = fopen(path, "we");
	int err = 0;

	if (!f)
		return -errno;
	put_picture(f, heat, columns, title);
	if (fflush(f) || ferror(f))
		err = errno ? errno : EIO;
	if (fclose(f) && !err)
		err = errno;
	return -err;
}
