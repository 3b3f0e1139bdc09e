/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chain.h - a job's folder: chains of restore points.
 *
 *	FOLDER/lock				held by the run that uses it
 *	FOLDER/status.json			how the last run ended
 *	FOLDER/making				CHAIN/POINT that is not whole yet
 *	FOLDER/NUMBER-TIME/			a chain, named as its first point
 *	FOLDER/NUMBER-TIME/NUMBER-TIME/		a restore point
 *	FOLDER/NUMBER-TIME/damage.json		what was found in it, see damage.h
 *	FOLDER/NUMBER-TIME/accepted		another disk is meant, see point-state.h
 *	FOLDER/NUMBER-TIME/broken		why it must not grow on: of version
 *						0.1.0, about its last point
 *	FOLDER/trash-NUMBER-TIME/		a chain that is being removed
 *
 * Numbers order them; times are for people.
 */
#ifndef DTRACK_CHAIN_H
#define DTRACK_CHAIN_H

#include <json-c/json.h>

#include "point.h"

#define CHAIN_BROKEN	"broken"
#define CHAIN_ACCEPTED	"accepted"

/**
 * struct chain - a chain.
 * @number: of its first point
 * @name: of its folder
 * @broken: why it must not grow on, "" if it may
 * @marked: version 0.1.0 has found something in the last point: what; or ""
 * @unknown: what is wrong with the list of damages; "" if nothing is
 * @damage: what was found in it, or NULL; see damage_next()
 * @accepted: that it is of another disk is meant
 * @nr: number of points
 * @point: them, by number; partial ones, too
 */
struct chain {
	uint64_t number;
	char name[FILE_NAME_LEN];
	char broken[POINT_WHY_LEN];
	char marked[POINT_WHY_LEN];
	char unknown[POINT_WHY_LEN];
	struct json_object *damage;
	bool accepted;
	unsigned int nr;
	struct point *point;
};

/**
 * struct store - the folder.
 * @h: the library's handle
 * @folder: its path
 * @last: the greatest number of any point
 * @nr: number of chains
 * @chain: them, by number
 * @why: what went wrong
 * @warn: told of what does not make a run fail, one line; or NULL
 * @opaque: handed to @warn
 */
struct store {
	struct dtrack *h;
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
 * @s: @h and @folder in; store_free() it, also on errors
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

/**
 * chain_has_its_name() - whether it is named as its first point.
 *
 * Whoever renames a chain, or copies it, does so to keep it: it is not ours.
 */
bool chain_has_its_name(const struct chain *c);

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
 * chain_number() - the number that a chain's or point's name begins with.
 * @name: any name
 *
 * Return: the number, or 0 when it is no name of a chain or a point.
 */
uint64_t chain_number(const char *name);

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
 * @job: what it says of history
 * @why: result: why one stays that was due, or ""; POINT_WHY_LEN bytes
 *
 * A chain that somebody reads is kept, with a warning.  Goes on where one cannot
 * be removed; the first is in @s->why, which is "" if
 * there was none.
 *
 * Return: number of chains removed.
 */
unsigned int store_prune(struct store *s, const struct config *job, char *why);

#endif
