// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * nbd-calls.c - libnbd, loaded when it is needed.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "nbd-calls.h"

#define SONAME	"libnbd.so.0"

struct dtl_nbd_calls dtl_libnbd;

static char why[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fail(void)
{
	const char *text = dlerror();

	snprintf(why, sizeof(why), "%s", text ? text : "no reason is known");
}

static void find(void *lib, const char *name, void *call)
{
	void *found = dlsym(lib, name);

	if (!found && !why[0])
		fail();
	memcpy(call, &found, sizeof(found));
}

static void load(void)
{
	void *lib = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

	if (!lib) {
		fail();
		return;
	}
#define CALL(name) find(lib, #name, &dtl_libnbd.name);
	DTL_NBD_CALLS(CALL)
#undef CALL
}

int dtl_libnbd_load(struct dtrack *h)
{
	pthread_once(&once, load);
	if (why[0])
		return dtl_fail(h, -ELIBACC, DTL_CLASS_GENERIC,
				"Could not load libnbd: %s", why);
	return 0;
}
