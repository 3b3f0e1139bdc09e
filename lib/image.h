/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image.h - a qcow2 image that a run makes.
 */
#ifndef DTL_IMAGE_H
#define DTL_IMAGE_H

#include "private.h"

/* Beside the place where it will be lies what is not finished. */
#define DTL_IMAGE_SUFFIX	".incomplete"

/**
 * struct dtl_image - the part of a target that only a qcow2 image has.
 * @unfinished: where it is while it is made, absolute
 * @backing: image that it lies over, as given, or ""
 * @backing_path: the same, absolute
 * @backing_name: how the image is to name it
 * @backing_manifest: path of its manifest
 * @backing_format: "raw" or "qcow2", a constant
 * @granule: bytes; what is written of it over another image is granules
 * @begun: @unfinished is this run's
 */
struct dtl_image {
	char unfinished[4096];
	char backing[4096];
	char backing_path[4096];
	char backing_name[4096];
	char backing_manifest[4096];
	const char *backing_format;
	uint64_t granule;
	bool begun;
};

#endif
