/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * output.h - what the command says: errors, JSON, sizes.
 */
#ifndef DTRACK_OUTPUT_H
#define DTRACK_OUTPUT_H

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <syslog.h>

#include "option.h"

/**
 * usage_error() - tell a mistake of the caller.
 * @call: the call
 *
 * Return: EXIT_USAGE.
 */
int usage_error(const struct call *call, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * failed() - tell what the library said, on stderr and, with --json, stdout.
 * @call: the call
 *
 * Return: EXIT_FAILED, or EXIT_USAGE when the options contradict each other.
 */
int failed(const struct call *call);

/**
 * failed_with() - tell an error of our own.
 * @call: the call
 * @cls: its class
 * @why: the words
 *
 * Return: EXIT_FAILED.
 */
int failed_with(const struct call *call, const char *cls, const char *why);

/**
 * print_line() - a line on stderr.
 * @call: the call
 * @priority: LOG_ERR, LOG_WARNING or LOG_INFO, for the journal
 * @text: the words
 */
void print_line(const struct call *call, int priority, const char *text);

/**
 * print_error_line() - the line on stderr alone.
 * @call: the call
 * @why: the words
 */
void print_error_line(const struct call *call, const char *why);

/**
 * text_json() - text of others as JSON.
 * @text: what is no valid UTF-8, or of control, becomes '?'
 */
struct json_object *text_json(const char *text);

/**
 * error_json() - an error as JSON.
 * @cls: its class
 * @why: the words
 *
 * Return: {"class":..., "message":...}
 */
struct json_object *error_json(const char *cls, const char *why);

/**
 * done() - the end of a verb without a result.
 * @call: the call
 *
 * Return: EXIT_DONE.
 */
int done(const struct call *call);

/**
 * print_json() - print the document and free it.
 * @o: the document
 */
void print_json(struct json_object *o);

/**
 * text_clean() - text of others that is one line of UTF-8.
 * @text: what is no valid UTF-8, or of control, becomes '?'
 *
 * Return: a copy to be freed; ends the program when memory is missing.
 */
char *text_clean(const char *text);

/**
 * print_clean() - print a line with text of others on stdout.
 * @text: what is no valid UTF-8, or of control, becomes '?'
 */
void print_clean(const char *text);

/**
 * print_file() - print what was written to a file.
 * @f: the file, open to be read, too
 *
 * Return: whether all of it was there.
 */
bool print_file(FILE *f);

/**
 * clean_line() - make one line of valid UTF-8 of a text, whatever is in it.
 * @s: the text; it stays as long as it is
 */
void clean_line(char *s);

#define HUMAN_LEN	16

/**
 * human_size() - bytes as people read them, "64K", "1.5G".
 * @bytes: the size
 * @buf: HUMAN_LEN bytes
 *
 * Return: @buf.
 */
const char *human_size(uint64_t bytes, char *buf);

#endif
