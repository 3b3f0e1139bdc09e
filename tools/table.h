/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table.h - tables for people, as lsblk prints them.
 */
#ifndef DTRACK_TABLE_H
#define DTRACK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct libscols_table;
struct libscols_line;

/**
 * struct column - a column.
 * @name: its heading
 * @right: numbers
 */
struct column {
	const char *name;
	bool right;
};

/**
 * table_new() - begin a table.
 * @columns: its columns
 * @nr: number of them
 *
 * Return: the table; ends the program when memory is missing.
 */
struct libscols_table *table_new(const struct column *columns, unsigned int nr);

struct libscols_line *table_row(struct libscols_table *t);

/** table_tree() - children are drawn below their parents in the first column. */
void table_tree(struct libscols_table *t);

/** table_child() - a row below another one; NULL: as table_row(). */
struct libscols_line *table_child(struct libscols_table *t,
				  struct libscols_line *parent);

void cell_text(struct libscols_line *row, unsigned int col, const char *text);
void cell_number(struct libscols_line *row, unsigned int col, uint64_t number);
void cell_size(struct libscols_line *row, unsigned int col, uint64_t bytes);

/** table_free() - free a table, or NULL, that is not printed. */
void table_free(struct libscols_table *t);

/** table_print() - print a table on stdout and free it. */
void table_print(struct libscols_table *t);

#endif
