// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * table.c - tables for people, as lsblk prints them.
 *
 * The only file that knows libsmartcols.
 */
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>

#include "output.h"
#include "table.h"

static void check(bool ok)
{
	if (ok)
		return;
	fprintf(stderr, "dtrack: no memory\n");
	exit(EXIT_FAILED);
}

struct libscols_table *table_new(const struct column *columns, unsigned int nr)
{
	struct libscols_table *t = scols_new_table();
	unsigned int i;

	check(t);
	for (i = 0; i < nr; i++)
		check(scols_table_new_column(t, columns[i].name, 0,
			columns[i].right ? SCOLS_FL_RIGHT : 0));
	return t;
}

void table_tree(struct libscols_table *t)
{
	check(!scols_column_set_flags(scols_table_get_column(t, 0),
				      SCOLS_FL_TREE));
}

struct libscols_line *table_child(struct libscols_table *t,
				  struct libscols_line *parent)
{
	struct libscols_line *row = scols_table_new_line(t, parent);

	check(row);
	return row;
}

struct libscols_line *table_row(struct libscols_table *t)
{
	return table_child(t, NULL);
}

void cell_text(struct libscols_line *row, unsigned int col, const char *text)
{
	check(!scols_line_set_data(row, col, text));
}

void cell_number(struct libscols_line *row, unsigned int col, uint64_t number)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRIu64, number);
	cell_text(row, col, buf);
}

void cell_size(struct libscols_line *row, unsigned int col, uint64_t bytes)
{
	char buf[HUMAN_LEN];

	cell_text(row, col, human_size(bytes, buf));
}

void table_free(struct libscols_table *t)
{
	scols_unref_table(t);
}

void table_print(struct libscols_table *t)
{
	scols_print_table(t);
	scols_unref_table(t);
}
