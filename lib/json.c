// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * json.c - members of JSON documents that others may have written.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* ---- Strings ------------------------------------------------------------ */

unsigned int dtl_utf8_len(const char *text)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	unsigned int i, len = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 :
			      (s[0] & 0xf0) == 0xe0 ? 3 :
			      (s[0] & 0xf8) == 0xf0 ? 4 : 0;
	uint32_t c = len > 1 ? s[0] & (0x7fU >> len) : s[0];

	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	return len;
}

bool dtl_is_utf8(const char *text)
{
	unsigned int len = 1;

	for (; *text && len; text += len)
		len = dtl_utf8_len(text);
	return len;
}

struct json_object *dtl_json_string(const char *text)
{
	struct json_object *o;
	unsigned int len;
	char *copy, *s;

	if (dtl_is_utf8(text))
		return json_object_new_string(text);
	copy = strdup(text);
	for (s = copy; s && *s; s += len ? len : 1) {
		len = dtl_utf8_len(s);
		if (!len)
			*s = '?';
	}
	o = copy ? json_object_new_string(copy) : NULL;
	free(copy);
	return o;
}

/* ---- Members ------------------------------------------------------------ */

bool dtl_json_text(struct json_object *o, const char *key, char *buf,
		   size_t size)
{
	struct json_object *v;
	size_t len;

	if (!json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_string))
		return false;
	len = (size_t)json_object_get_string_len(v);
	/* A NUL inside, or too long. */
	if (len >= size || strlen(json_object_get_string(v)) != len)
		return false;
	memcpy(buf, json_object_get_string(v), len + 1);
	return true;
}

bool dtl_json_u64(struct json_object *o, const char *key, uint64_t *value)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_int))
		return false;
	*value = json_object_get_uint64(v);
	/* json-c makes 0 of negative numbers and the limit of too great ones. */
	return json_object_get_int64(v) >= 0 && *value != UINT64_MAX;
}

bool dtl_json_id(struct json_object *o, const char *key, uint64_t *id)
{
	char text[17];

	if (!dtl_json_text(o, key, text, sizeof(text)) ||
	    strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
		return false;
	*id = strtoull(text, NULL, 16);
	return true;
}

struct json_object *dtl_json_new_id(uint64_t id)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, id);
	return dtl_json_string(text);
}

char *dtl_json_print(struct json_object *o)
{
	char *text;

	if (asprintf(&text, "%s\n", json_object_to_json_string_ext(o,
		     JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
		     JSON_C_TO_STRING_NOSLASHESCAPE)) < 0)
		return NULL;
	return text;
}
