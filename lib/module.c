// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * module.c - loading dm-dirtytrack when it is missing.
 *
 * The only file that knows libkmod.  Runs before anything is frozen: libkmod
 * may start a program that modprobe.d asks for.
 */
#include <libkmod.h>
#include <string.h>

#include "private.h"

#define MODULE	"dm-dirtytrack"

static void be_silent(void *data, int priority, const char *file, int line,
		      const char *fn, const char *format, va_list args)
{
	(void)data;
	(void)priority;
	(void)file;
	(void)line;
	(void)fn;
	(void)format;
	(void)args;
}

static int insert(struct kmod_ctx *ctx)
{
	struct kmod_list *list = NULL, *item;
	int ret;

	ret = kmod_module_new_from_lookup(ctx, MODULE, &list);
	if (ret < 0)
		return ret;
	if (!list)
		return -ENOENT;
	kmod_list_foreach(item, list) {
		struct kmod_module *mod = kmod_module_get_module(item);

		ret = kmod_module_probe_insert_module(mod, 0, NULL, NULL, NULL,
						      NULL);
		kmod_module_unref(mod);
		if (ret)
			break;
	}
	kmod_module_unref_list(list);
	/* > 0: kept out by a blacklist that was asked for; not by us. */
	return ret > 0 ? -EPERM : ret;
}

int dtl_module_load(struct dtrack *h)
{
	struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	int ret;

	if (!ctx)
		return dtl_nomem(h);
	kmod_set_log_fn(ctx, be_silent, NULL);
	ret = insert(ctx);
	kmod_unref(ctx);
	if (ret)
		return dtl_fail(h, ret, ret == -ENODEV ? DTL_CLASS_GENERIC : NULL,
				"Could not load the kernel module " MODULE ": %s",
				ret == -ENOENT ? "it is not installed for this kernel" :
				strerror(-ret));
	return 0;
}
