/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * likeness.h - whether a full copy is of the disk that was copied before.
 */
#ifndef DTRACK_LIKENESS_H
#define DTRACK_LIKENESS_H

#include "chain.h"

/**
 * likeness_is_other() - whether a copy has next to nothing of the one before.
 * @s: scanned, without the copy
 * @chain: name of the copy's chain
 * @p: the copy's restore point
 * @image: the copy
 *
 * It is compared with the newest restore point that has this device and is not
 * damaged.  Of the pieces there that are not zero, less than one in a hundred has
 * the checksum that the copy's piece has.
 *
 * Return: false also where there is none, or where it cannot be told: a checksum
 * missing, or of pieces of another size.
 */
bool likeness_is_other(const struct store *s, const char *chain,
		       const struct point *p, const struct point_image *image);

#endif
