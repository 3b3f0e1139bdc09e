// SPDX-License-Identifier: GPL-2.0-only
/*
 * control.c - /dev/dirtytrack.
 *
 * Owns the dispatch table, what every command has in common (sizes, flags,
 * permissions, copying) and the content that an open file loads.  What a
 * command means is actions.c's, lifecycle.c's, freeze.c's and query.c's.
 *
 * Contexts: process context; every entry is under memalloc_noio.  User memory
 * is touched only while no tracker is locked: a page fault may wait for the
 * very device that a resume wants to lock.
 *
 * Lock order: file->mutex -> tracker->mutex; file->leases has its own.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "actions.h"
#include "control.h"
#include "freeze.h"
#include "lifecycle.h"

/**
 * struct dtr_file - an open control file.
 * @leases: its freezes; its address is their owner
 * @mutex: protects all below
 * @staged: tracker of @staging with a reference, NULL when nothing is loading
 * @staging: what is loading
 */
struct dtr_file {
	struct dtr_leases leases;
	struct mutex mutex;	/* protects the rest */
	struct dtr_tracker *staged;
	struct dtr_staging staging;
};

/* One command being executed. */
struct dtr_call {
	struct dtr_file *file;
	struct dtr_tracker *t;
	union {
		struct dtrack_ioc_version version;
		struct dtrack_ioc_list list;
		struct dtrack_ioc_info info;
		struct dtrack_ioc_add add;
		struct dtrack_ioc_bitmap bitmap;
		struct dtrack_ioc_merge merge;
		struct dtrack_ioc_freeze freeze;
		struct dtrack_ioc_end end;
		struct dtrack_ioc_report report;
		struct dtrack_ioc_extents extents;
		struct dtrack_ioc_bits bits;
		struct dtrack_ioc_transaction transaction;
	} arg;
};

/* ---- Staging ---- */

static void staging_drop(struct dtr_file *file)
{
	if (!file->staged)
		return;
	dtr_bitmap_exit(&file->staging.bits);
	dtr_tracker_put(file->staged);
	file->staged = NULL;
}

/* What was staged before is dropped only if the new load may begin. */
static int staging_begin(struct dtr_file *file, struct dtr_tracker *t,
			 const struct dtrack_ioc_bits *arg)
{
	struct dtr_staging staging;
	int r = dtr_named_load_begin(t, arg->name, arg->generation, &staging);

	if (r)
		return r;
	staging_drop(file);
	file->staging = staging;
	file->staged = dtr_tracker_get(t);
	return 0;
}

static int staging_put(struct dtr_file *file, const struct dtrack_ioc_bits *arg,
		       const void *buf)
{
	struct dtr_bitmap *bits = &file->staging.bits;
	u64 first, nr;
	int r = dtr_bits_range(arg->start, arg->length, bits->size, bits->shift,
			       &first, &nr);

	if (r || !nr)
		return r;
	dtr_bitmap_put_bits(bits, first, nr, buf);
	/* Loading is exact or not at all; what is staged is spoilt now. */
	if (!dtr_bitmap_nr_degraded(bits))
		return 0;
	staging_drop(file);
	return -ENOMEM;
}

/* ---- Commands ---- */

static int do_version(struct dtr_call *call)
{
	struct dtrack_ioc_version *arg = &call->arg.version;

	arg->out_abi = DTRACK_ABI_VERSION;
	arg->out_max_bitmaps = DTRACK_MAX_BITMAPS;
	arg->out_features = DTRACK_FEATURE_WRITES;
	arg->out_max_memory = dtr_tracker_max_memory();
	return 0;
}

static int do_list(struct dtr_call *call)
{
	struct dtrack_ioc_list *arg = &call->arg.list;
	u32 room = min_t(u32, arg->nr, 1U << MINORBITS);
	struct dtrack_dev *devs;
	int r = 0;

	if (arg->reserved)
		return -EINVAL;
	devs = kvcalloc(max(room, 1U), sizeof(*devs), GFP_KERNEL);
	if (!devs)
		return -ENOMEM;
	arg->nr = dtr_tracker_list(devs, room);
	if (arg->nr > room)
		r = -EMSGSIZE;
	else if (copy_to_user(u64_to_user_ptr(arg->devs), devs,
			      arg->nr * sizeof(*devs)))
		r = -EFAULT;
	kvfree(devs);
	return r;
}

/* Copies entries cut or padded to the size that the caller knows. */
static int copy_infos(const struct dtrack_ioc_info *arg,
		      const struct dtrack_bitmap_info *infos)
{
	u8 __user *to = u64_to_user_ptr(arg->infos);
	size_t known = min_t(size_t, arg->entry_size, sizeof(*infos));
	u32 i;

	for (i = 0; i < arg->nr; i++, to += arg->entry_size)
		if (copy_to_user(to, &infos[i], known) ||
		    clear_user(to + known, arg->entry_size - known))
			return -EFAULT;
	return 0;
}

static int do_info(struct dtr_call *call)
{
	struct dtrack_ioc_info *arg = &call->arg.info;
	/* No array of the caller that holds all bitmaps is too small. */
	u32 room = min_t(u32, arg->nr, 2 * DTRACK_MAX_BITMAPS);
	struct dtrack_bitmap_info *infos;
	int r;

	if (arg->entry_size < sizeof(*infos) || arg->entry_size > PAGE_SIZE)
		return -EINVAL;
	infos = kvcalloc(max(room, 1U), sizeof(*infos), GFP_KERNEL);
	if (!infos)
		return -ENOMEM;
	r = dtr_tracker_info(call->t, arg, infos, room);
	if (!r)
		r = copy_infos(arg, infos);
	kvfree(infos);
	return r;
}

/* ---- Commands that change a bitmap: transactions of one action ---- */

/* Flags and device are at the same place in all of these structs. */
static struct dtrack_action *one_action(const struct dtr_call *call, u32 type,
					const u8 *name)
{
	const struct dtrack_ioc_bitmap *arg = &call->arg.bitmap;
	struct dtrack_action *u = kzalloc(sizeof(*u), GFP_KERNEL);

	BUILD_BUG_ON(offsetof(struct dtrack_ioc_add, dev) !=
		     offsetof(struct dtrack_ioc_bitmap, dev));

	if (!u)
		return NULL;
	u->type = type;
	u->flags = arg->flags;
	u->dev = arg->dev;
	memcpy(u->name, name, sizeof(u->name));
	return u;
}

static int run_action(struct dtr_call *call, struct dtrack_action *u)
{
	u32 failed;

	return dtr_actions_run(&call->file->leases, u, 1, &failed);
}

static int do_add(struct dtr_call *call)
{
	struct dtrack_ioc_add *arg = &call->arg.add;
	struct dtrack_action *u = one_action(call, DTRACK_ACTION_ADD,
					     arg->name);
	int r;

	if (!u)
		return -ENOMEM;
	u->granularity = arg->granularity;
	r = run_action(call, u);
	if (!r)
		memcpy(arg->out_uuid, u->uuid, sizeof(arg->out_uuid));
	kfree(u);
	return r;
}

static int do_simple(struct dtr_call *call, u32 type)
{
	struct dtrack_action *u = one_action(call, type,
					     call->arg.bitmap.name);
	int r = u ? run_action(call, u) : -ENOMEM;

	kfree(u);
	return r;
}

static int do_remove(struct dtr_call *call)
{
	return do_simple(call, DTRACK_ACTION_REMOVE);
}

static int do_clear(struct dtr_call *call)
{
	return do_simple(call, DTRACK_ACTION_CLEAR);
}

static int do_enable(struct dtr_call *call)
{
	return do_simple(call, DTRACK_ACTION_ENABLE);
}

static int do_disable(struct dtr_call *call)
{
	return do_simple(call, DTRACK_ACTION_DISABLE);
}

static int do_merge(struct dtr_call *call)
{
	struct dtrack_ioc_merge *arg = &call->arg.merge;
	struct dtrack_action *u;
	int r;

	if (arg->reserved)
		return -EINVAL;
	u = one_action(call, DTRACK_ACTION_MERGE, arg->name);
	if (!u)
		return -ENOMEM;
	u->nr = arg->nr;
	u->sources = arg->sources;
	r = run_action(call, u);
	kfree(u);
	return r;
}

static int do_freeze(struct dtr_call *call)
{
	struct dtrack_ioc_freeze *arg = &call->arg.freeze;
	struct dtrack_action *u = one_action(call, DTRACK_ACTION_FREEZE,
					     arg->name);
	int r;

	if (!u)
		return -ENOMEM;
	u->mode = arg->mode;
	u->set = arg->set;
	r = run_action(call, u);
	arg->out_run = u->run;
	arg->out_generation = u->generation;
	kfree(u);
	return r;
}

static int do_end(struct dtr_call *call, u32 type)
{
	struct dtrack_ioc_end *arg = &call->arg.end;
	struct dtrack_action *u = one_action(call, type, arg->name);
	int r;

	if (!u)
		return -ENOMEM;
	u->run = arg->run;
	r = run_action(call, u);
	arg->out_generation = u->generation;
	kfree(u);
	return r;
}

static int do_abdicate(struct dtr_call *call)
{
	return do_end(call, DTRACK_ACTION_ABDICATE);
}

static int do_reclaim(struct dtr_call *call)
{
	return do_end(call, DTRACK_ACTION_RECLAIM);
}

/* ---- Transactions ---- */

/* The @i-th of the caller's actions. */
static u8 __user *user_action(const struct dtrack_ioc_transaction *arg, u32 i)
{
	return (u8 __user *)u64_to_user_ptr(arg->actions) +
	       (size_t)i * arg->entry_size;
}

/*
 * Writes each back as it came, as execute() does with the struct: results that
 * can't be told must not be made.
 */
static int read_actions(const struct dtrack_ioc_transaction *arg,
			struct dtrack_action *actions)
{
	u32 i;
	int r;

	for (i = 0; i < arg->nr; i++) {
		r = copy_struct_from_user(&actions[i], sizeof(actions[i]),
					  user_action(arg, i), arg->entry_size);
		if (r)
			return r;
		if (copy_to_user(user_action(arg, i), &actions[i],
				 sizeof(actions[i])))
			return -EFAULT;
	}
	return 0;
}

static int write_actions(const struct dtrack_ioc_transaction *arg,
			 const struct dtrack_action *actions)
{
	u32 i;

	for (i = 0; i < arg->nr; i++)
		if (copy_to_user(user_action(arg, i), &actions[i],
				 sizeof(actions[i])))
			return -EFAULT;
	return 0;
}

static int do_transaction(struct dtr_call *call)
{
	struct dtrack_ioc_transaction *arg = &call->arg.transaction;
	struct dtrack_action *actions;
	int r;

	arg->out_failed = arg->nr;
	if (arg->reserved || arg->nr > DTRACK_MAX_ACTIONS ||
	    arg->entry_size < sizeof(*actions) || arg->entry_size > PAGE_SIZE)
		return -EINVAL;
	actions = kvcalloc(max(arg->nr, 1U), sizeof(*actions), GFP_KERNEL);
	if (!actions)
		return -ENOMEM;
	r = read_actions(arg, actions);
	if (!r)
		r = dtr_actions_run(&call->file->leases, actions, arg->nr,
				    &arg->out_failed);
	if (!r)
		r = write_actions(arg, actions);
	kvfree(actions);
	return r;
}

/* ---- Commands beside transactions ---- */

static int do_report(struct dtr_call *call)
{
	struct dtrack_ioc_report *arg = &call->arg.report;
	struct dtr_run run = { .owner = &call->file->leases, .run = arg->run };
	struct dtrack_range *ranges = NULL;
	int r;

	if (arg->reserved || arg->nr > DTRACK_MAX_RANGES)
		return -EINVAL;
	if (arg->nr) {
		ranges = vmemdup_user(u64_to_user_ptr(arg->ranges),
				      arg->nr * sizeof(*ranges));
		if (IS_ERR(ranges))
			return PTR_ERR(ranges);
	}
	r = dtr_named_report(call->t, arg->name, &run, ranges, arg->nr);
	kvfree(ranges);
	return r;
}

static int do_extents(struct dtr_call *call)
{
	struct dtrack_ioc_extents *arg = &call->arg.extents;
	u32 room = min_t(u32, arg->nr, DTRACK_MAX_RANGES);
	struct dtrack_range *ranges;
	int r;

	if (arg->reserved || !room)
		return -EINVAL;
	ranges = kvmalloc_array(room, sizeof(*ranges), GFP_KERNEL);
	if (!ranges)
		return -ENOMEM;
	r = dtr_named_extents(call->t, arg, ranges, room);
	if (!r && copy_to_user(u64_to_user_ptr(arg->ranges), ranges,
			       arg->nr * sizeof(*ranges)))
		r = -EFAULT;
	kvfree(ranges);
	return r;
}

static int do_bits_get(struct dtr_call *call)
{
	struct dtrack_ioc_bits *arg = &call->arg.bits;
	u64 length = arg->length;
	void *buf;
	int r;

	if (arg->flags)
		return -EINVAL;
	buf = kvzalloc(DTRACK_MAX_CHUNK, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	r = dtr_named_get_bits(call->t, arg, buf);
	if (!r && copy_to_user(u64_to_user_ptr(arg->buffer), buf, arg->length))
		r = -EFAULT;
	arg->length = length;
	kvfree(buf);
	return r;
}

/* The bits of a chunk for what is being staged, NULL for an empty chunk. */
static void *read_chunk(const struct dtr_file *file,
			const struct dtrack_ioc_bits *arg)
{
	u64 nr = dtr_nr_granules(arg->length, file->staging.bits.shift);

	if (!nr)
		return NULL;
	if (nr > DTRACK_MAX_CHUNK * 8ULL)
		return ERR_PTR(-EINVAL);
	return vmemdup_user(u64_to_user_ptr(arg->buffer), (nr + 7) >> 3);
}

static int load_chunk(struct dtr_call *call)
{
	struct dtrack_ioc_bits *arg = &call->arg.bits;
	struct dtr_file *file = call->file;
	void *buf = read_chunk(file, arg);
	int r;

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	r = staging_put(file, arg, buf);
	kvfree(buf);
	if (r)
		return r;
	arg->generation = file->staging.generation;
	if (!(arg->flags & DTRACK_BITS_COMMIT))
		return 0;
	r = dtr_named_load_commit(call->t, arg->name, &file->staging,
				  arg->flags & DTRACK_BITS_MERGE);
	if (r)
		return r;
	arg->generation++;
	staging_drop(file);
	return 0;
}

static int do_bits_load(struct dtr_call *call)
{
	struct dtrack_ioc_bits *arg = &call->arg.bits;
	struct dtr_file *file = call->file;
	int r = 0;

	if ((arg->flags & DTRACK_BITS_MERGE) &&
	    !(arg->flags & DTRACK_BITS_COMMIT))
		return -EINVAL;
	mutex_lock(&file->mutex);
	if (arg->flags & DTRACK_BITS_BEGIN)
		r = staging_begin(file, call->t, arg);
	else if (file->staged != call->t)
		r = -ESTALE;
	else
		r = dtr_named_load_check(call->t, arg->name, arg->generation,
					 &file->staging);
	if (!r)
		r = load_chunk(call);
	mutex_unlock(&file->mutex);
	return r;
}

/* ---- Dispatch ---- */

static bool name_terminated(const u8 *name)
{
	return memchr(name, 0, DTRACK_NAME_LEN);
}

/**
 * struct dtr_command - a row of the dispatch table.
 * @size: of the struct as this module knows it
 * @least: of the struct in version 1, where it has grown since
 * @flags: that are known
 * @dev: offset of its struct dtrack_dev; 0: it has none
 * @name: offset of its name; 0: it has none
 * @changes: needs CAP_SYS_ADMIN and a file open for writing
 * @tells_failure: its struct is copied back on any error
 * @run: executes it; its struct is copied back on 0 and on -EMSGSIZE
 */
struct dtr_command {
	size_t size;
	size_t least;
	u32 flags;
	size_t dev;
	size_t name;
	bool changes;
	bool tells_failure;
	int (*run)(struct dtr_call *call);
};

#define DEVICE(type)	.size = sizeof(struct type), \
			.dev = offsetof(struct type, dev)
#define BITMAP(type)	DEVICE(type), .name = offsetof(struct type, name)

static const struct dtr_command commands[] = {
	[_IOC_NR(DTRACK_IOC_VERSION)] = {
		.size = sizeof(struct dtrack_ioc_version), .run = do_version },
	[_IOC_NR(DTRACK_IOC_LIST)] = {
		.size = sizeof(struct dtrack_ioc_list), .run = do_list },
	[_IOC_NR(DTRACK_IOC_INFO)] = {
		BITMAP(dtrack_ioc_info), .run = do_info,
		.least = offsetof(struct dtrack_ioc_info, out_writes) },
	[_IOC_NR(DTRACK_IOC_ADD)] = {
		BITMAP(dtrack_ioc_add), .changes = true, .run = do_add,
		.flags = DTRACK_ADD_DISABLED | DTRACK_ADD_PERSISTENT },
	[_IOC_NR(DTRACK_IOC_REMOVE)] = {
		BITMAP(dtrack_ioc_bitmap), .changes = true, .run = do_remove },
	[_IOC_NR(DTRACK_IOC_CLEAR)] = {
		BITMAP(dtrack_ioc_bitmap), .changes = true, .run = do_clear },
	[_IOC_NR(DTRACK_IOC_ENABLE)] = {
		BITMAP(dtrack_ioc_bitmap), .changes = true, .run = do_enable },
	[_IOC_NR(DTRACK_IOC_DISABLE)] = {
		BITMAP(dtrack_ioc_bitmap), .changes = true, .run = do_disable },
	[_IOC_NR(DTRACK_IOC_MERGE)] = {
		BITMAP(dtrack_ioc_merge), .changes = true, .run = do_merge },
	[_IOC_NR(DTRACK_IOC_FREEZE)] = {
		BITMAP(dtrack_ioc_freeze), .changes = true, .run = do_freeze,
		.flags = DTRACK_FREEZE_NO_OWNER },
	[_IOC_NR(DTRACK_IOC_ABDICATE)] = {
		BITMAP(dtrack_ioc_end), .changes = true, .run = do_abdicate },
	[_IOC_NR(DTRACK_IOC_RECLAIM)] = {
		BITMAP(dtrack_ioc_end), .changes = true, .run = do_reclaim,
		.flags = DTRACK_END_FORCE },
	[_IOC_NR(DTRACK_IOC_REPORT)] = {
		BITMAP(dtrack_ioc_report), .changes = true, .run = do_report },
	[_IOC_NR(DTRACK_IOC_EXTENTS)] = {
		BITMAP(dtrack_ioc_extents), .run = do_extents,
		.flags = DTRACK_EXTENTS_SUCCESSOR },
	[_IOC_NR(DTRACK_IOC_BITS_GET)] = {
		BITMAP(dtrack_ioc_bits), .run = do_bits_get },
	[_IOC_NR(DTRACK_IOC_BITS_LOAD)] = {
		BITMAP(dtrack_ioc_bits), .changes = true, .run = do_bits_load,
		.flags = DTRACK_BITS_BEGIN | DTRACK_BITS_COMMIT |
			 DTRACK_BITS_MERGE },
	[_IOC_NR(DTRACK_IOC_TRANSACTION)] = {
		.size = sizeof(struct dtrack_ioc_transaction), .changes = true,
		.tells_failure = true, .run = do_transaction },
};

static int check_permission(const struct dtr_command *command,
			    const struct file *filp)
{
	if (!command->changes)
		return 0;
	if (!(filp->f_mode & FMODE_WRITE))
		return -EACCES;
	return capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

/* Checks what all commands have in common; the tracker in @call is to be put. */
static int prepare_call(const struct dtr_command *command,
			struct dtr_call *call)
{
	u8 *arg = (u8 *)&call->arg;
	struct dtrack_dev *dev = (void *)(arg + command->dev);
	u32 flags = call->arg.bitmap.flags;

	/* size and flags are the first two members of every struct */
	BUILD_BUG_ON(offsetof(struct dtrack_ioc_version, flags) !=
		     offsetof(struct dtrack_ioc_bitmap, flags));
	if (flags & ~command->flags)
		return -EINVAL;
	if (command->name && !name_terminated(arg + command->name))
		return -EINVAL;
	if (!command->dev)
		return 0;
	if (dev->major >= 1U << (32 - MINORBITS) || dev->minor > MINORMASK)
		return -ENODEV;
	call->t = dtr_tracker_find(MKDEV(dev->major, dev->minor));
	return call->t ? 0 : -ENODEV;
}

/*
 * The struct is written back as it came before anything is done: a result that
 * can't be told must not be made.
 */
static int execute(const struct dtr_command *command, struct dtr_call *call,
		   void __user *uarg, u32 usize)
{
	int r = copy_struct_from_user(&call->arg, command->size, uarg, usize);
	size_t known = min_t(size_t, usize, command->size);

	if (r)
		return r;
	if (copy_to_user(uarg, &call->arg, known))
		return -EFAULT;
	r = prepare_call(command, call);
	if (r)
		return r;
	r = command->run(call);
	if (call->t)
		dtr_tracker_put(call->t);
	if ((!r || r == -EMSGSIZE || command->tells_failure) &&
	    copy_to_user(uarg, &call->arg, known))
		r = -EFAULT;
	return r;
}

static long control_ioctl(struct file *filp, unsigned int cmd,
			  unsigned long uarg)
{
	const struct dtr_command *command;
	unsigned int noio, nr = _IOC_NR(cmd);
	struct dtr_call *call;
	u32 usize;
	int r;

	if (nr >= ARRAY_SIZE(commands) || cmd != _IO(DTRACK_IOC_TYPE, nr))
		return -ENOTTY;
	command = &commands[nr];
	r = check_permission(command, filp);
	if (r)
		return r;
	if (get_user(usize, (u32 __user *)uarg))
		return -EFAULT;
	if (usize < (command->least ? command->least : command->size))
		return -EINVAL;
	if (usize > PAGE_SIZE)
		return -E2BIG;
	noio = memalloc_noio_save();
	call = kzalloc(sizeof(*call), GFP_KERNEL);
	if (call) {
		call->file = filp->private_data;
		r = execute(command, call, (void __user *)uarg, usize);
		kfree(call);
	} else {
		r = -ENOMEM;
	}
	memalloc_noio_restore(noio);
	return r;
}

static int control_open(struct inode *inode, struct file *filp)
{
	struct dtr_file *file = kzalloc(sizeof(*file), GFP_KERNEL);

	if (!file)
		return -ENOMEM;
	mutex_init(&file->mutex);
	dtr_leases_init(&file->leases);
	filp->private_data = file;
	return 0;
}

static void reclaim(struct dtr_file *file, fl_owner_t files)
{
	unsigned int noio = memalloc_noio_save();

	dtr_leases_reclaim(&file->leases, files);
	memalloc_noio_restore(noio);
}

/* Each close of each process that has the file, its end included. */
static int control_flush(struct file *filp, fl_owner_t files)
{
	reclaim(filp->private_data, files);
	return 0;
}

static int control_release(struct inode *inode, struct file *filp)
{
	struct dtr_file *file = filp->private_data;

	reclaim(file, NULL);
	staging_drop(file);
	kfree(file);
	return 0;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.flush = control_flush,
	.release = control_release,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice control_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = DTRACK_DEVICE,
	.mode = 0600,
	.fops = &control_fops,
};

/**
 * dtr_control_init() - offer /dev/dirtytrack, at module load.
 *
 * Return: 0 or -errno of misc_register().
 */
int dtr_control_init(void)
{
	return misc_register(&control_device);
}

/** dtr_control_exit() - withdraw it, at module unload: no file is open. */
void dtr_control_exit(void)
{
	misc_deregister(&control_device);
}
