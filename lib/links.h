/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * links.h - whether images lie over what they were made over.
 */
#ifndef DTL_LINKS_H
#define DTL_LINKS_H

#include "manifest.h"

/**
 * dtl_links_check() - follow the manifests of a chain.
 * @h: the handle
 * @path: the image at its top
 * @m: its manifest; changed
 * @why: result, what is wrong
 * @size: of @why
 *
 * Each must be of the same bitmap, and of the generation that the one over it
 * came from.  It ends at a full copy, or where --force took what was there.
 *
 * Return: whether all is right.
 */
bool dtl_links_check(struct dtrack *h, const char *path, struct dtl_manifest *m,
		     char *why, size_t size);

#endif
