// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz-document.c - libFuzzer target: what 'dtrack transaction' reads is
 * hostile.
 *
 * What is accepted has all that the command relies on.
 */
#include <stdlib.h>
#include <string.h>

#include "document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct doc_action *a)
{
	unsigned int i;

	if (a->type == DOC_ABORT)
		return;
	if (!a->word || !a->node || (a->type != DOC_BACKUP && !a->name) ||
	    (a->type == DOC_BACKUP && !a->options.target))
		abort();
	for (i = 0; i < a->nr_sources; i++)
		if (!a->sources[i].name)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct document doc;
	unsigned int i;

	memcpy(text, data, size);
	text[size] = '\0';
	if (document_parse(text, size, &doc)) {
		for (i = 0; i < doc.nr; i++)
			check(&doc.actions[i]);
	} else if (!doc.why[0]) {
		abort();
	}
	document_free(&doc);
	free(text);
	return 0;
}
