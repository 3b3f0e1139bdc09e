/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * links.h - whether images lie over what they were made over.
 */
#ifndef DTL_LINKS_H
#define DTL_LINKS_H

#include "manifest.h"

/* A chain may be long, but must not be a ring. */
#define DTL_MAX_LINKS	1000

/**
 * enum dtl_link - what there is below an image.
 * @DTL_LINK_END: nothing: it is a full copy
 * @DTL_LINK_GOOD: what it was made over
 * @DTL_LINK_FORCED: what it was made over is not known; --force took it
 * @DTL_LINK_OTHER: something else
 * @DTL_LINK_LOST: something without a manifest that can be read
 */
enum dtl_link {
	DTL_LINK_END,
	DTL_LINK_GOOD,
	DTL_LINK_FORCED,
	DTL_LINK_OTHER,
	DTL_LINK_LOST,
};

/**
 * dtl_links_next() - step to what an image lies over.
 * @h: the handle
 * @path: the image; result: the one below, unless there is none
 * @size: of @path
 * @m: the image's manifest; result: of the one below, unless it is lost
 *
 * What it was made over is of the same bitmap and of the generation that the
 * image came from, as both manifests say.
 *
 * Return: enum dtl_link; for DTL_LINK_LOST with words.
 */
enum dtl_link dtl_links_next(struct dtrack *h, char *path, size_t size,
			     struct dtl_manifest *m);

#endif
