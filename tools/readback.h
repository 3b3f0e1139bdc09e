/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * readback.h - whether an image holds what was written to it.
 */
#ifndef DTRACK_READBACK_H
#define DTRACK_READBACK_H

#include "config.h"
#include "dtrack.h"
#include "point.h"

enum readback {
	READBACK_GOOD,
	READBACK_BAD,		/* it does not */
	READBACK_FAILED,	/* it is not known */
	READBACK_CANCELLED,
};

/**
 * struct readback_request - what to read back.
 * @h: the handle; has the words of a failure
 * @c: the job: its speed and timeout
 * @target: as in struct dtrack_verify_options
 * @by: "run" or "scrub", for what is found
 * @over: it lies over another image
 * @chain: read those, too
 * @why: result: what was found first
 * @unkept: result: why what was found, or not, could not be noted, or ""
 * @medium: result: all came from the medium
 */
struct readback_request {
	struct dtrack *h;
	const struct config *c;
	const char *target;
	const char *by;
	bool over;
	bool chain;
	char why[POINT_WHY_LEN];
	char unkept[POINT_WHY_LEN];
	bool medium;
};

/**
 * readback() - compare an image with the checksums beside it.
 * @r: the request
 *
 * What comes of it is noted in the repository.
 *
 * Return: enum readback.
 */
enum readback readback(struct readback_request *r);

#endif
