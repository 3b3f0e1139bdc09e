/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * layers.h - the checksums of an image and of all that it lies over.
 *
 * What is read through a chain is, unit by unit, what the topmost image with a
 * checksum of it has written.  That is so where a later image has copied it up
 * (a granule smaller than a cluster), and where a damaged table hides it.
 */
#ifndef DTL_LAYERS_H
#define DTL_LAYERS_H

#include "finding.h"

struct dtl_layers;

/**
 * struct dtl_layer - one of the images.
 * @sums: its checksums
 * @path: its name
 * @bad: what does not match them
 * @all: what it is one of
 * @below: the next, or NULL
 */
struct dtl_layer {
	struct dtl_sums sums;
	char *path;
	struct dtl_finding bad;
	struct dtl_layers *all;
	struct dtl_layer *below;
};

/**
 * struct dtl_layers - all of them.  The caller fills in the first part.
 * @bad: told of bytes that are not what @layer has written
 * @opaque: handed to it
 * @known: where it is set what was compared, in granules of @least; or NULL
 *
 * @top: the image itself, or NULL: nothing can be compared
 * @least: the smallest unit, bytes
 * @most: the largest
 * @unchecked: why what lies below the last is not compared, or is another's; or
 *	NULL
 */
struct dtl_layers {
	void (*bad)(void *opaque, const struct dtl_layer *layer,
		    const struct dtrack_range *range);
	void *opaque;
	struct dtr_bitmap *known;

	struct dtl_layer *top;
	uint64_t least;
	uint64_t most;
	char *unchecked;
};

/**
 * dtl_layers_open() - open the checksums that manifests speak of.
 * @h: the handle
 * @path: the image, by its real name
 * @m: its manifest, complete
 * @force: take a chain that is not as it should be
 * @l: result; dtl_layers_close() it, also on errors
 *
 * They end at the first image that has none that are of use: whether something
 * is that image's is not known.
 *
 * Return: 0; unless @force -ESTALE when an image is not what the next was made
 * over, and an errno when a manifest below cannot be read; with words.
 */
int dtl_layers_open(struct dtrack *h, const char *path,
		    const struct dtl_manifest *m, bool force,
		    struct dtl_layers *l);

/**
 * dtl_layers_check() - compare content with its checksums.
 * @h: the handle
 * @l: them
 * @start: of the content
 * @data: it
 * @len: bytes of it
 *
 * Of a unit that is there in part, or in part another layer's, nothing is known.
 *
 * Return: 0 or an errno with words.
 */
int dtl_layers_check(struct dtrack *h, struct dtl_layers *l, uint64_t start,
		     const char *data, size_t len);

/** dtl_layers_close() - close them, if they are open. */
void dtl_layers_close(struct dtl_layers *l);

#endif
