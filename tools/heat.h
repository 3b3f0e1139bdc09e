/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * heat.h - a device cut into cells, and how dirty each is.
 */
#ifndef DTRACK_HEAT_H
#define DTRACK_HEAT_H

#include <stdint.h>

/**
 * struct heat - the cells.
 * @size: bytes of the device; cell i is those from i * size / nr on
 * @nr: number of cells, > 0
 * @dirty: bytes that are dirty in each
 * @total: the sum
 */
struct heat {
	uint64_t size;
	unsigned int nr;
	uint64_t *dirty;
	uint64_t total;
};

/** heat_begin() - where cell @i begins, a byte; that of @nr is the size. */
uint64_t heat_begin(const struct heat *heat, unsigned int i);

/** heat_add() - count a dirty range; what is beyond the size is left out. */
void heat_add(struct heat *heat, uint64_t start, uint64_t length);

/**
 * heat_level() - how dirty a cell is.
 * @heat: the cells
 * @i: one of them
 * @levels: number of levels, > 2
 *
 * Return: 0 only when all clean, @levels - 1 only when all dirty.
 */
unsigned int heat_level(const struct heat *heat, unsigned int i,
			unsigned int levels);

/**
 * heat_svg() - write a picture of the cells.
 * @heat: the cells
 * @columns: in a row of the picture
 * @title: text of others
 * @path: of the file
 *
 * Return: 0 or a negative errno; then there is no whole file.
 */
int heat_svg(const struct heat *heat, unsigned int columns, const char *title,
	     const char *path);

#endif
