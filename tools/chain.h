/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chain.h - a job's folder: chains of restore points.
 *
 *	FOLDER/lock				held by the run that uses it
 *	FOLDER/status.json			how the last run ended
 *	FOLDER/making				CHAIN/POINT that is not whole yet
 *	FOLDER/NUMBER-TIME/			a chain, named as its first point
 *	FOLDER/NUMBER-TIME/NUMBER-TIME/		a restore point
 *	FOLDER/NUMBER-TIME/broken		why it must not grow on
 *	FOLDER/trash-NUMBER-TIME/		a chain that is being removed
 *
 * Numbers order them; times are for people.
 */
#ifndef DTRACK_CHAIN_H
#define DTRACK_CHAIN_H

#include "point.h"

/**
 * struct chain - a chain.
 * @number: of its first point
 * @name: of its folder
 * @broken: what is wrong with it, "" if nothing is
 * @marked: it was found by a run, in the last point, and noted
 * @nr: number of points
 * @point: them, by number; partial ones, too
 */
struct chain {
	uint64_t number;
	char name[FILE_NAME_LEN];
	char broken[POINT_WHY_LEN];
	bool marked;
	unsigned int nr;
	struct point *point;
};

/**
 * struct store - the folder.
 * @folder: its path
 * @last: the greatest number of any point
 * @nr: number of chains
 * @chain: them, by number
 * @why: what went wrong
 * @warn: told of what does not make a run fail, one line; or NULL
 * @opaque: handed to @warn
 */
struct store {
	char folder[CONFIG_LINE_LEN];
	uint64_t last;
	unsigned int nr;
	struct chain *chain;
	char why[POINT_WHY_LEN];
	void (*warn)(void *opaque, const char *line);
	void *opaque;
};

/* Of a path in the folder: chain, point and file. */
#define CHAIN_PATH_LEN	(CONFIG_LINE_LEN + 3 * FILE_NAME_LEN)

/**
 * store_scan() - look at the folder.
 * @s: @folder in; store_free() it, also on errors
 *
 * Nothing is changed.
 *
 * Return: 0 or a negative errno with @s->why.
 */
int store_scan(struct store *s);

/** store_free() - forget what was seen. */
void store_free(struct store *s);

/** store_newest() - the chain with the greatest number that has a whole point,
 * or NULL.
 */
struct chain *store_newest(const struct store *s);

/** chain_last() - its last point that is not partial, or NULL. */
const struct point *chain_last(const struct chain *c);

/** chain_length() - number of its points that are not partial. */
unsigned int chain_length(const struct chain *c);

/**
 * chain_path() - path of a chain, a point, or a file in it.
 * @buf: CHAIN_PATH_LEN bytes
 * @s: the store
 * @chain: name of the chain
 * @point: name of the point, or NULL
 * @file: a file's, or NULL
 *
 * Return: @buf.
 */
const char *chain_path(char *buf, const struct store *s, const char *chain,
		       const char *point, const char *file);

/**
 * chain_name() - name of a point, or of the chain that it begins.
 * @buf: FILE_NAME_LEN bytes
 * @number: its number
 * @now: when it begins, seconds since 1970
 */
void chain_name(char *buf, uint64_t number, int64_t now);

/** chain_is_name() - whether a directory of that name may be a chain or point. */
bool chain_is_name(const char *name);

/**
 * chain_break() - note durably that a chain must not grow on.
 * @s: the store
 * @c: the chain
 * @why: a line
 *
 * Return: 0 or a negative errno.
 */
int chain_break(const struct store *s, struct chain *c, const char *why);

/**
 * store_begin() - note durably which point is about to be made.
 * @s: the store
 * @chain: name of its chain
 * @point: its name
 *
 * Only that may store_sweep() remove when the run did not come to its end.
 *
 * Return: 0 or a negative errno.
 */
int store_begin(const struct store *s, const char *chain, const char *point);

/**
 * store_end() - note durably that the point is a whole one.
 * @s: the store
 *
 * From here on store_sweep() keeps the point, whatever it loses.
 *
 * Return: 0 or a negative errno.
 */
int store_end(const struct store *s);

/**
 * store_sweep() - remove what interrupted runs have left.
 * @s: scanned; what was removed is in it no longer
 *
 * That is: the point that store_begin() has noted, if it is partial and the last
 * of its chain, the chain that it began, chains
 * that were being removed.  Goes on where one cannot be removed.  One that
 * somebody reads is kept, with a warning.
 *
 * Return: 0 or the first negative errno with @s->why.
 */
int store_sweep(struct store *s);

/**
 * store_prune() - remove old chains.
 * @s: scanned; what was removed is in it no longer
 * @keep: so many of the newest chains that are not broken stay, and all that
 *	are newer than the oldest of these
 *
 * A chain that somebody reads is kept, with a warning.  Goes on where one cannot
 * be removed; the first is in @s->why, which is "" if
 * there was none.
 *
 * Return: number of chains removed.
 */
unsigned int store_prune(struct store *s, uint64_t keep);

#endif
