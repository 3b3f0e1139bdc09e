/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * json.h - members of JSON documents that others may have written.
 *
 * The command is built with this, too: it is none of the library's interface.
 */
#ifndef DTL_JSON_H
#define DTL_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** dtl_utf8_len() - bytes of the UTF-8 character that @text begins with, or 0. */
unsigned int dtl_utf8_len(const char *text);

/** dtl_is_utf8() - whether all of a text is. */
bool dtl_is_utf8(const char *text);

/**
 * dtl_json_string() - a text as JSON; the one way into a document.
 * @text: what is no UTF-8 in it becomes '?'
 *
 * A name that has to be read back must be UTF-8 before it comes here.
 */
struct json_object *dtl_json_string(const char *text);

/**
 * dtl_json_text() - a member that is a string.
 * @o: the object
 * @key: of the member
 * @buf: result
 * @size: of @buf
 *
 * Return: false when it is missing, no string, too long or has a NUL inside.
 */
bool dtl_json_text(struct json_object *o, const char *key, char *buf,
		   size_t size);

/** dtl_json_u64() - a number from 0 on; false when it is missing or none. */
bool dtl_json_u64(struct json_object *o, const char *key, uint64_t *value);

/** dtl_json_id() - a string of 16 hexadecimal digits; the same. */
bool dtl_json_id(struct json_object *o, const char *key, uint64_t *id);

/** dtl_json_new_id() - what dtl_json_id() reads. */
struct json_object *dtl_json_new_id(uint64_t id);

/** dtl_json_print() - as the text of a file; free() it.  NULL: no memory. */
char *dtl_json_print(struct json_object *o);

#endif
