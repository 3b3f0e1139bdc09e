// SPDX-License-Identifier: GPL-2.0-only
/*
 * control.c - /dev/dirtytrack.
 *
 * Owns the dispatch table, what every command has in common (sizes, flags,
 * permissions, copying) and what belongs to an open file: its freezes and the
 * content that it loads.  What a command means is lifecycle.c's and query.c's.
 *
 * Contexts: process context; every entry is under memalloc_noio.  User memory
 * is touched only while no tracker is locked: a page fault may wait for the
 * very device that a resume wants to lock.
 *
 * Lock order: file->mutex -> tracker->mutex.
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

#include "control.h"
#include "lifecycle.h"

/**
 * struct dtr_lease - a freeze that belongs to an open file.
 * @link: in the file's list
 * @t: its tracker, with a reference
 * @run: its id; it may have been ended by others since
 * @files: the owning process's table of open files, compared and never
 *	followed: a child that inherited the file does not keep the freeze
 */
struct dtr_lease {
	struct list_head link;
	struct dtr_tracker *t;
	u64 run;
	fl_owner_t files;
};

/**
 * struct dtr_file - an open control file.
 * @mutex: protects all below
 * @leases: struct dtr_lease
 * @staged: tracker of @staging with a reference, NULL when nothing is loading
 * @staging: what is loading
 */
struct dtr_file {
	struct mutex mutex;	/* protects the rest */
	struct list_head leases;
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
	} arg;
};

/* ---- Leases ---- */

static void lease_free(struct dtr_lease *lease)
{
	dtr_tracker_put(lease->t);
	kfree(lease);
}

/* The freeze @run has been ended by its owner's command. */
static void lease_drop(struct dtr_file *file, u64 run)
{
	struct dtr_lease *lease;

	mutex_lock(&file->mutex);
	list_for_each_entry(lease, &file->leases, link) {
		if (lease->run == run) {
			list_del(&lease->link);
			lease_free(lease);
			break;
		}
	}
	mutex_unlock(&file->mutex);
}

/* Reclaims what belongs to @files, or everything for NULL. */
static void reclaim_leases(struct dtr_file *file, fl_owner_t files)
{
	unsigned int noio = memalloc_noio_save();
	struct dtr_lease *lease, *next;

	mutex_lock(&file->mutex);
	list_for_each_entry_safe(lease, next, &file->leases, link) {
		if (files && lease->files != files)
			continue;
		list_del(&lease->link);
		dtr_named_reclaim_run(lease->t, lease->run);
		lease_free(lease);
	}
	mutex_unlock(&file->mutex);
	memalloc_noio_restore(noio);
}

/* ---- Staging ---- */

static void staging_drop(struct dtr_file *file)
{
	if (!file->staged)
		return;
	dtr_bitmap_exit(&file->staging.bits);
	dtr_tracker_put(file->staged);
	file->staged = NULL;
}

static int staging_begin(struct dtr_file *file, struct dtr_tracker *t,
			 const char *name)
{
	int r;

	staging_drop(file);
	r = dtr_named_load_begin(t, name, &file->staging);
	if (!r)
		file->staged = dtr_tracker_get(t);
	return r;
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
	arg->out_features = 0;
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
	u32 room = min_t(u32, arg->nr, DTRACK_MAX_BITMAPS);
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

static int do_add(struct dtr_call *call)
{
	struct dtrack_ioc_add *arg = &call->arg.add;
	uuid_t uuid;
	int r;

	if (arg->flags & DTRACK_ADD_PERSISTENT)
		return -EOPNOTSUPP;
	r = dtr_named_add(call->t, arg->name, arg->granularity,
			  arg->flags & DTRACK_ADD_DISABLED, &uuid);
	if (!r)
		export_uuid(arg->out_uuid, &uuid);
	return r;
}

static int do_remove(struct dtr_call *call)
{
	return dtr_named_remove(call->t, call->arg.bitmap.name);
}

static int do_clear(struct dtr_call *call)
{
	return dtr_named_clear(call->t, call->arg.bitmap.name);
}

static int do_enable(struct dtr_call *call)
{
	return dtr_named_enable(call->t, call->arg.bitmap.name);
}

static int do_disable(struct dtr_call *call)
{
	return dtr_named_disable(call->t, call->arg.bitmap.name);
}

static bool name_terminated(const u8 *name)
{
	return memchr(name, 0, DTRACK_NAME_LEN);
}

/* Looks the devices of @from up; on error gives back what it got. */
static int resolve_sources(const struct dtrack_source *from,
			   struct dtr_source *to, u32 nr)
{
	int r = 0;
	u32 i;

	for (i = 0; !r && i < nr; i++) {
		if (!name_terminated(from[i].name)) {
			r = -EINVAL;
			break;
		}
		to[i].name = from[i].name;
		to[i].t = dtr_tracker_find(MKDEV(from[i].dev.major,
						 from[i].dev.minor));
		if (!to[i].t) {
			r = -ENODEV;
			break;
		}
	}
	if (r)
		while (i--)
			dtr_tracker_put(to[i].t);
	return r;
}

static int merge_sources(struct dtr_call *call,
			 const struct dtrack_source *from)
{
	struct dtrack_ioc_merge *arg = &call->arg.merge;
	struct dtr_source *to;
	u32 i;
	int r;

	to = kvcalloc(max(arg->nr, 1U), sizeof(*to), GFP_KERNEL);
	if (!to)
		return -ENOMEM;
	r = resolve_sources(from, to, arg->nr);
	if (r)
		goto out;
	r = dtr_named_merge(call->t, arg->name, to, arg->nr);
	for (i = 0; i < arg->nr; i++)
		dtr_tracker_put(to[i].t);
out:
	kvfree(to);
	return r;
}

static int do_merge(struct dtr_call *call)
{
	struct dtrack_ioc_merge *arg = &call->arg.merge;
	struct dtrack_source *from = NULL;
	int r;

	if (arg->reserved || arg->nr > DTRACK_MAX_BITMAPS)
		return -EINVAL;
	if (arg->nr) {
		from = vmemdup_user(u64_to_user_ptr(arg->sources),
				    arg->nr * sizeof(*from));
		if (IS_ERR(from))
			return PTR_ERR(from);
	}
	r = merge_sources(call, from);
	kvfree(from);
	return r;
}

static int do_freeze(struct dtr_call *call)
{
	struct dtrack_ioc_freeze *arg = &call->arg.freeze;
	bool owned = !(arg->flags & DTRACK_FREEZE_NO_OWNER);
	struct dtr_lease *lease = NULL;
	int r;

	if (owned) {
		lease = kzalloc(sizeof(*lease), GFP_KERNEL);
		if (!lease)
			return -ENOMEM;
	}
	r = dtr_named_freeze(call->t, arg->name, arg->mode, arg->set,
			     owned ? call->file : NULL, &arg->out_run,
			     &arg->out_generation);
	if (r || !owned) {
		kfree(lease);
		return r;
	}
	lease->t = dtr_tracker_get(call->t);
	lease->run = arg->out_run;
	lease->files = current->files;
	/* A close from here on may find it late, the last one finds it. */
	mutex_lock(&call->file->mutex);
	list_add_tail(&lease->link, &call->file->leases);
	mutex_unlock(&call->file->mutex);
	return 0;
}

static int do_abdicate(struct dtr_call *call)
{
	struct dtrack_ioc_end *arg = &call->arg.end;
	struct dtr_run run = { .owner = call->file, .run = arg->run };
	int r;

	if (arg->flags)
		return -EINVAL;
	r = dtr_named_abdicate(call->t, arg->name, &run, &arg->out_generation);
	if (!r)
		lease_drop(call->file, arg->run);
	return r;
}

static int do_reclaim(struct dtr_call *call)
{
	struct dtrack_ioc_end *arg = &call->arg.end;
	struct dtr_run run = {
		.owner = call->file,
		.run = arg->run,
		.force = arg->flags & DTRACK_END_FORCE,
	};
	int r = dtr_named_reclaim(call->t, arg->name, &run,
				  &arg->out_generation);

	if (!r)
		lease_drop(call->file, arg->run);
	return r;
}

static int do_report(struct dtr_call *call)
{
	struct dtrack_ioc_report *arg = &call->arg.report;
	struct dtr_run run = { .owner = call->file, .run = arg->run };
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
	if (r || !(arg->flags & DTRACK_BITS_COMMIT))
		return r;
	r = dtr_named_load_commit(call->t, arg->name, &file->staging,
				  arg->flags & DTRACK_BITS_MERGE);
	if (r)
		return r;
	arg->generation = file->staging.generation + 1;
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
		r = staging_begin(file, call->t, arg->name);
	else if (file->staged != call->t)
		r = -ESTALE;
	if (!r)
		r = load_chunk(call);
	mutex_unlock(&file->mutex);
	return r;
}

/* ---- Dispatch ---- */

/**
 * struct dtr_command - a row of the dispatch table.
 * @size: of the struct as this module knows it
 * @flags: that are known
 * @dev: offset of its struct dtrack_dev; 0: it has none
 * @name: offset of its name; 0: it has none
 * @changes: needs CAP_SYS_ADMIN and a file open for writing
 * @run: executes it; its struct is copied back on 0 and on -EMSGSIZE
 */
struct dtr_command {
	size_t size;
	u32 flags;
	size_t dev;
	size_t name;
	bool changes;
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
		BITMAP(dtrack_ioc_info), .run = do_info },
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

	if (r)
		return r;
	if (copy_to_user(uarg, &call->arg, command->size))
		return -EFAULT;
	r = prepare_call(command, call);
	if (r)
		return r;
	r = command->run(call);
	if (call->t)
		dtr_tracker_put(call->t);
	if ((!r || r == -EMSGSIZE) &&
	    copy_to_user(uarg, &call->arg, command->size))
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
	if (usize < command->size)
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
	INIT_LIST_HEAD(&file->leases);
	filp->private_data = file;
	return 0;
}

/* Each close of each process that has the file, its end included. */
static int control_flush(struct file *filp, fl_owner_t files)
{
	reclaim_leases(filp->private_data, files);
	return 0;
}

static int control_release(struct inode *inode, struct file *filp)
{
	struct dtr_file *file = filp->private_data;

	reclaim_leases(file, NULL);
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
