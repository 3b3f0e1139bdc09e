/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * words.h - the words of a run: in options, documents and results.
 */
#ifndef DTRACK_WORDS_H
#define DTRACK_WORDS_H

#include "option.h"

/* Tables, each ended by a NULL name. */
extern const struct word sync_words[], mode_words[], consistency_words[],
	on_error_words[];

/**
 * word_find() - what a word means.
 * @words: the table
 * @name: the word
 * @value: result
 *
 * Return: whether it is in the table.
 */
bool word_find(const struct word *words, const char *name, int *value);

#define WORD_LIST_LEN	256

/**
 * word_list() - the words of a table, for messages.
 * @words: the table
 * @buf: WORD_LIST_LEN bytes
 *
 * Return: @buf: "full, top, none".
 */
const char *word_list(const struct word *words, char *buf);

/**
 * names_target() - whether an argument can only be a target.
 * @name: the argument
 *
 * 'restore' takes the target first and 'verify' the device, as what is read comes
 * first in one and what is looked at in the other: people mix that up.
 */
bool names_target(const char *name);

/** What is said of a run whose 'unsynced' is set. */
extern const char unsynced_words[];

/** state_word() - what an enum dtrack_run_state is called. */
const char *state_word(int state);

/** consistency_word() - what an enum dtrack_consistency is called. */
const char *consistency_word(int consistency);

#endif
