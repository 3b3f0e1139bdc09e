/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * readback.h - whether an image holds what was written to it.
 */
#ifndef DTRACK_READBACK_H
#define DTRACK_READBACK_H

#include "config.h"
#include "dtrack.h"

enum readback {
	READBACK_GOOD,
	READBACK_BAD,		/* it does not */
	READBACK_FAILED,	/* it is not known */
	READBACK_CANCELLED,
};

/**
 * readback() - compare an image with the checksums beside it.
 * @h: the handle; has the words of a failure
 * @c: the job: its speed and timeout
 * @target: as in struct dtrack_verify_options
 * @why: result: what was found first
 * @size: of @why
 *
 * Return: enum readback.
 */
enum readback readback(struct dtrack *h, const struct config *c,
		       const char *target, char *why, size_t size);

#endif
