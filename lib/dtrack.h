/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dtrack.h - libdtrack: changed-block tracking and backup with dm-dirtytrack.
 *
 * Every call works on a handle, which holds the control file /dev/dirtytrack
 * and the words of the last error.  Functions return 0 or a count, or a
 * negative errno; after an error dtrack_errmsg() says what was wrong in one
 * line and dtrack_errclass() gives its class.  The errno values are those of
 * linux/dm-dirtytrack.h where the kernel gave them.
 *
 * A handle is not thread-safe: one for each thread.  The library prints
 * nothing, never exits, installs no signal handler and starts no process but
 * those of libkmod when it loads the module.  All files are O_CLOEXEC.  Sizes,
 * offsets and lengths are bytes.  Strings given are borrowed for the call;
 * strings returned belong to the object that they were asked of.
 *
 * struct dtrack_dev, struct dtrack_range, struct dtrack_bitmap_info and the
 * enums and DTRACK_BITMAP_* flags are the kernel's.  They may grow at their
 * end; the library allocates them, so that a program need not be built again.
 */
#ifndef DTRACK_H
#define DTRACK_H

#include <stddef.h>
#include <stdint.h>
#include <linux/dm-dirtytrack.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The handle -------------------------------------------------------- */

struct dtrack;

/**
 * dtrack_new() - make a handle.
 * @h: result; dtrack_free() it
 *
 * Opens nothing: the control file is opened, and the module loaded where it is
 * missing, by the first call that needs it.
 *
 * Return: 0 or -ENOMEM.
 */
int dtrack_new(struct dtrack **h);

/**
 * dtrack_free() - close a handle.
 * @h: the handle, or NULL
 *
 * The kernel reclaims what was frozen through it with an owner.
 */
void dtrack_free(struct dtrack *h);

/**
 * dtrack_open() - open the control file now.
 * @h: the handle
 *
 * Return: 0; -ENOENT when the module is not there and cannot be loaded,
 * -EACCES, -EPERM, -EPROTO when the module speaks another ABI.
 */
int dtrack_open(struct dtrack *h);

/**
 * dtrack_errmsg() - what the last failed call on the handle had to say.
 * @h: the handle
 *
 * Return: one line without a newline, in QEMU's words where it has them; "" at
 * first.  Valid until the next call on @h.
 */
const char *dtrack_errmsg(const struct dtrack *h);

/**
 * dtrack_errclass() - the class of that error.
 * @h: the handle
 *
 * Return: one of "GenericError", "DeviceNotFound", "BitmapNotFound", "Exists",
 * "Busy", "Inconsistent", "ReadOnly", "NoSpace", "Stale", "Usage" (arguments
 * that contradict each other), "Permission"; a constant.
 */
const char *dtrack_errclass(const struct dtrack *h);

/**
 * dtrack_errno() - the errno of that error.
 * @h: the handle
 *
 * Return: a negative errno, 0 at first.
 */
int dtrack_errno(const struct dtrack *h);

/**
 * dtrack_version() - the library's version.
 *
 * Return: a constant, "MAJOR.MINOR.PATCH".
 */
const char *dtrack_version(void);

/**
 * dtrack_parse_size() - read a size as people write it.
 * @text: decimal digits and at most one of K, M, G, T (powers of 1024),
 *	in either case
 * @bytes: result
 *
 * Return: 0; -EINVAL for anything else, -ERANGE when it exceeds 64 bits.
 */
int dtrack_parse_size(const char *text, uint64_t *bytes);

/* ---- Devices ----------------------------------------------------------- */

/**
 * dtrack_dev_find() - the tracked device that a name means.
 * @h: the handle
 * @name: a path of a block device if it contains '/', else a dm name
 * @dev: result
 *
 * Return: 0; -ENODEV when there is no such device or it is not tracked.
 */
int dtrack_dev_find(struct dtrack *h, const char *name,
		    struct dtrack_dev *dev);

/**
 * dtrack_dev_create() - put a tracker over a whole block device.
 * @h: the handle
 * @name: dm name of the new device, /dev/mapper/@name
 * @device: path of the block device
 *
 * Return: 0; -EEXIST when @name is taken, -EBUSY when @device is mounted or
 * held, -ENOTBLK, -ENOENT, or what device-mapper said.
 */
int dtrack_dev_create(struct dtrack *h, const char *name, const char *device);

/**
 * dtrack_dev_remove() - take a tracker away; bitmaps in memory are gone.
 * @h: the handle
 * @dev: the device
 *
 * Return: 0; -EBUSY when a bitmap is frozen or the device is open, -ENODEV.
 */
int dtrack_dev_remove(struct dtrack *h, struct dtrack_dev dev);

/**
 * dtrack_dev_list() - all tracked devices.
 * @h: the handle
 * @devs: result, an array; free() it
 *
 * Return: the number of devices, or a negative errno.
 */
int dtrack_dev_list(struct dtrack *h, struct dtrack_dev **devs);

/**
 * struct dtrack_dev_info - one tracked device.
 * @name: its dm name
 * @bytes: its size
 * @lower: the block device below
 * @lower_start: where it begins on @lower
 * @nr_bitmaps: number of bitmaps
 */
struct dtrack_dev_info {
	char name[128];
	uint64_t bytes;
	struct dtrack_dev lower;
	uint64_t lower_start;
	unsigned int nr_bitmaps;
};

/**
 * dtrack_dev_info() - look at a tracked device.
 * @h: the handle
 * @dev: the device
 * @info: result
 * @size: sizeof(*@info) as the caller knows it
 *
 * Return: 0 or -ENODEV.
 */
int dtrack_dev_info(struct dtrack *h, struct dtrack_dev dev,
		    struct dtrack_dev_info *info, size_t size);

/**
 * dtrack_dev_mounted() - whether a file system on the device is mounted.
 * @h: the handle
 * @dev: the device
 *
 * Return: 1, 0, or a negative errno.
 */
int dtrack_dev_mounted(struct dtrack *h, struct dtrack_dev dev);

/* ---- Bitmaps ----------------------------------------------------------- */

struct dtrack_bitmaps;

/**
 * dtrack_bitmaps_get() - look at bitmaps.
 * @h: the handle
 * @dev: the device
 * @name: of one bitmap, or NULL for all
 * @list: result; dtrack_bitmaps_free() it
 *
 * Return: the number of bitmaps; -ENOENT when there is none called @name,
 * -ENODEV.
 */
int dtrack_bitmaps_get(struct dtrack *h, struct dtrack_dev dev,
		       const char *name, struct dtrack_bitmaps **list);

/**
 * dtrack_bitmaps_at() - one of them.
 * @list: of dtrack_bitmaps_get()
 * @i: 0 .. number - 1, in order of creation
 *
 * Return: the bitmap, or NULL when @i is beyond the last.
 */
const struct dtrack_bitmap_info *
dtrack_bitmaps_at(const struct dtrack_bitmaps *list, unsigned int i);

/**
 * dtrack_bitmaps_free() - free a list.
 * @list: of dtrack_bitmaps_get(), or NULL
 */
void dtrack_bitmaps_free(struct dtrack_bitmaps *list);

#define DTRACK_UUID_TEXT	37	/* with the NUL */

/**
 * dtrack_uuid_format() - a uuid as text.
 * @uuid: 16 bytes
 * @text: result, 36 characters in lower case
 */
void dtrack_uuid_format(const uint8_t uuid[DTRACK_UUID_LEN],
			char text[DTRACK_UUID_TEXT]);

/**
 * dtrack_bitmap_add() - a new, clean bitmap.
 * @h: the handle
 * @dev: the device
 * @name: 1..1023 bytes of UTF-8, none of control, blank, '"', '\', ':', '/'
 * @granularity: bytes, a power of two in 512 .. 2 GiB; 0 for 64 KiB
 * @flags: DTRACK_ADD_*
 *
 * Return: 0; -EEXIST, -EINVAL, -EOVERFLOW, -EOPNOTSUPP, -ENODEV.
 */
int dtrack_bitmap_add(struct dtrack *h, struct dtrack_dev dev,
		      const char *name, uint64_t granularity,
		      unsigned int flags);

/**
 * dtrack_bitmap_remove() - remove a bitmap that is not frozen.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 *
 * Return: 0; -ENOENT, -EBUSY, -EROFS, -ENODEV.
 */
int dtrack_bitmap_remove(struct dtrack *h, struct dtrack_dev dev,
			 const char *name);

/**
 * dtrack_bitmap_clear() - make a bitmap that is not frozen all clean.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 *
 * Return: 0; -ENOENT, -EBUSY, -EROFS, -EUCLEAN, -ENODEV.
 */
int dtrack_bitmap_clear(struct dtrack *h, struct dtrack_dev dev,
			const char *name);

/**
 * dtrack_bitmap_enable() - let a bitmap record; nothing if it does.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 *
 * Return: 0; -ENOENT, -EBUSY, -EUCLEAN, -ENODEV.
 */
int dtrack_bitmap_enable(struct dtrack *h, struct dtrack_dev dev,
			 const char *name);

/**
 * dtrack_bitmap_disable() - stop a bitmap from recording.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 *
 * Return: 0; -ENOENT, -EBUSY, -EUCLEAN, -ENODEV.
 */
int dtrack_bitmap_disable(struct dtrack *h, struct dtrack_dev dev,
			  const char *name);

/**
 * dtrack_bitmap_merge() - unite bitmaps into one; all or none.
 * @h: the handle
 * @dev: the target's device
 * @name: the target, not frozen
 * @sources: array of bitmaps, also of other devices of the same size
 * @nr: number of them, 0..256; 0 succeeds
 *
 * Return: 0; -ENOENT, -EBUSY, -EROFS, -EUCLEAN, -ERANGE, -ENODEV.
 */
int dtrack_bitmap_merge(struct dtrack *h, struct dtrack_dev dev,
			const char *name, const struct dtrack_source *sources,
			unsigned int nr);

/**
 * dtrack_source_init() - fill in a source of a merge.
 * @h: the handle
 * @source: result
 * @dev: its device
 * @name: the bitmap
 *
 * Return: 0; -ENOENT when @name can be no bitmap's.
 */
int dtrack_source_init(struct dtrack *h, struct dtrack_source *source,
		       struct dtrack_dev dev, const char *name);

/**
 * struct dtrack_freeze - how to freeze, and what came of it.
 * @mode: enum dtrack_mode
 * @set: enum dtrack_set
 * @flags: DTRACK_FREEZE_*
 * @run: result: id of this freeze
 * @generation: result: of the frozen content
 */
struct dtrack_freeze {
	unsigned int mode;
	unsigned int set;
	unsigned int flags;
	uint64_t run;
	uint64_t generation;
};

/**
 * dtrack_bitmap_freeze() - make a bitmap immutable; a successor records.
 * @h: the handle; it owns the freeze, but for DTRACK_FREEZE_NO_OWNER
 * @dev: the device
 * @name: the bitmap
 * @f: in and out
 *
 * Return: 0; -ENOENT, -EBUSY, -EROFS, -EUCLEAN, -ENODEV.
 */
int dtrack_bitmap_freeze(struct dtrack *h, struct dtrack_dev dev,
			 const char *name, struct dtrack_freeze *f);

/**
 * dtrack_bitmap_abdicate() - end a freeze: the successor takes the name.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 * @run: of the freeze, or 0 for one without owner
 * @generation: result, or NULL
 *
 * Return: 0; -ESTALE when the freeze was taken away, -EBUSY when another owns
 * it, -ENODATA when nothing is frozen, -ENOENT, -ENODEV.
 */
int dtrack_bitmap_abdicate(struct dtrack *h, struct dtrack_dev dev,
			   const char *name, uint64_t run,
			   uint64_t *generation);

/**
 * dtrack_bitmap_reclaim() - end a freeze: the successor is merged back.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 * @run: of the freeze, or 0 for one without owner
 * @flags: DTRACK_END_FORCE: whoever owns it
 * @generation: result, or NULL
 *
 * Return: as dtrack_bitmap_abdicate().
 */
int dtrack_bitmap_reclaim(struct dtrack *h, struct dtrack_dev dev,
			  const char *name, uint64_t run, unsigned int flags,
			  uint64_t *generation);

/**
 * dtrack_bitmap_report() - say what of a frozen bitmap is safely copied.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 * @run: of the freeze
 * @ranges: whole granules inside the set
 * @nr: number of ranges, 0..DTRACK_MAX_RANGES
 *
 * To be called after the target is flushed.
 *
 * Return: 0; -ESTALE when the freeze was taken away, -EINVAL.
 */
int dtrack_bitmap_report(struct dtrack *h, struct dtrack_dev dev,
			 const char *name, uint64_t run,
			 const struct dtrack_range *ranges, unsigned int nr);

struct dtrack_extents;

/**
 * dtrack_extents_open() - read a bitmap's dirty extents.
 * @h: the handle; must outlive @ext
 * @dev: the device
 * @name: the bitmap
 * @flags: DTRACK_EXTENTS_*
 * @generation: that the bitmap must have throughout, or 0 for any
 * @ext: result; dtrack_extents_close() it
 *
 * Memory is bounded whatever the bitmap's size.  Exact when the bitmap is
 * frozen or disabled, 'at least' while it records.
 *
 * Return: 0; -ENOENT, -ENODEV, -ESTALE.
 */
int dtrack_extents_open(struct dtrack *h, struct dtrack_dev dev,
			const char *name, unsigned int flags,
			uint64_t generation, struct dtrack_extents **ext);

/**
 * dtrack_extents_next() - the next extent.
 * @ext: of dtrack_extents_open()
 * @range: result: ascending, merged, cut at the end of the content
 *
 * Return: 1 with an extent, 0 when there is none left, or a negative errno.
 */
int dtrack_extents_next(struct dtrack_extents *ext,
			struct dtrack_range *range);

/**
 * dtrack_extents_close() - stop reading.
 * @ext: of dtrack_extents_open(), or NULL
 */
void dtrack_extents_close(struct dtrack_extents *ext);

/* ---- Backup runs ------------------------------------------------------- */

/**
 * enum dtrack_sync - what a run copies.
 * @DTRACK_SYNC_FULL: the whole device
 * @DTRACK_SYNC_TOP: the same, on a device without layers
 * @DTRACK_SYNC_INCREMENTAL: the bitmap, in mode 'conditional'
 * @DTRACK_SYNC_BITMAP: the bitmap
 * @DTRACK_SYNC_NONE: nothing; needs images
 */
enum dtrack_sync {
	DTRACK_SYNC_FULL,
	DTRACK_SYNC_TOP,
	DTRACK_SYNC_INCREMENTAL,
	DTRACK_SYNC_BITMAP,
	DTRACK_SYNC_NONE,
};

/**
 * enum dtrack_consistency - what the copy is a copy of.
 * @DTRACK_CONSISTENCY_LIVE: each granule as it was when it was read
 * @DTRACK_CONSISTENCY_IMAGE: one instant; not supported yet
 */
enum dtrack_consistency {
	DTRACK_CONSISTENCY_LIVE,
	DTRACK_CONSISTENCY_IMAGE,
};

/**
 * enum dtrack_on_error - what a run does when a read or write fails.
 * @DTRACK_ON_ERROR_REPORT: it fails
 * @DTRACK_ON_ERROR_IGNORE: it tries again three times, then fails
 * @DTRACK_ON_ERROR_STOP: it keeps the freeze and waits for
 *	dtrack_run_resume() or dtrack_run_cancel()
 */
enum dtrack_on_error {
	DTRACK_ON_ERROR_REPORT,
	DTRACK_ON_ERROR_IGNORE,
	DTRACK_ON_ERROR_STOP,
};

/**
 * enum dtrack_run_event - what a run tells while it runs.
 * @DTRACK_RUN_PROGRESS: bytes were copied, or a moment has passed
 * @DTRACK_RUN_STOPPED: it waits because of an error
 * @DTRACK_RUN_RESUMED: it goes on
 */
enum dtrack_run_event {
	DTRACK_RUN_PROGRESS,
	DTRACK_RUN_STOPPED,
	DTRACK_RUN_RESUMED,
};

#define DTRACK_RUN_FORCE	(1U << 0)	/* whatever the manifest says */
#define DTRACK_RUN_FSFREEZE	(1U << 1)	/* the file system, meanwhile */

#define DTRACK_MODE_UNSET	(-1)

/**
 * struct dtrack_run_options - a backup run.
 * @size: sizeof(struct dtrack_run_options)
 * @flags: DTRACK_RUN_*
 * @target: PATH or raw:PATH of a file or block device
 * @bitmap: name, or NULL
 * @sync: enum dtrack_sync
 * @mode: enum dtrack_mode or DTRACK_MODE_UNSET
 * @consistency: enum dtrack_consistency
 * @on_source_error: enum dtrack_on_error
 * @on_target_error: enum dtrack_on_error; a failed flush always fails the run
 * @stop_timeout: seconds that DTRACK_ON_ERROR_STOP waits
 * @jobs: requests in flight, >= 1; one is used for now
 * @speed: bytes a second, 0 for no limit
 * @notify: called from dtrack_run_execute(), or NULL; @done and @total are
 *	bytes, @message is set for DTRACK_RUN_STOPPED
 * @opaque: handed to @notify
 *
 * Zeroes are the defaults but for @size, @target, @mode, @stop_timeout and
 * @jobs: use DTRACK_RUN_OPTIONS_INIT.
 */
struct dtrack_run_options {
	size_t size;
	unsigned int flags;
	const char *target;
	const char *bitmap;
	int sync;
	int mode;
	int consistency;
	int on_source_error;
	int on_target_error;
	unsigned int stop_timeout;
	unsigned int jobs;
	uint64_t speed;
	void (*notify)(void *opaque, enum dtrack_run_event event,
		       uint64_t done, uint64_t total, const char *message);
	void *opaque;
};

#define DTRACK_RUN_OPTIONS_INIT					\
	{ .size = sizeof(struct dtrack_run_options),		\
	  .mode = DTRACK_MODE_UNSET, .stop_timeout = 3600, .jobs = 1 }

/**
 * enum dtrack_run_state - how far a run is.
 * @DTRACK_RUN_READY: not executed
 * @DTRACK_RUN_COMPLETED: all of the set is on the target
 * @DTRACK_RUN_FAILED: it is not
 * @DTRACK_RUN_CANCELLED: by dtrack_run_cancel()
 */
enum dtrack_run_state {
	DTRACK_RUN_READY,
	DTRACK_RUN_COMPLETED,
	DTRACK_RUN_FAILED,
	DTRACK_RUN_CANCELLED,
};

/**
 * struct dtrack_run_result - what came of a run.
 * @state: enum dtrack_run_state
 * @consistency: enum dtrack_consistency
 * @bytes_total: bytes of the set
 * @bytes_copied: bytes of it that are safely on the target
 */
struct dtrack_run_result {
	int state;
	int consistency;
	uint64_t bytes_total;
	uint64_t bytes_copied;
};

struct dtrack_run;

/**
 * dtrack_run_check() - whether a run's options make sense together.
 * @h: the handle
 * @options: what and how
 *
 * The part of dtrack_run_new() that needs no look at a device.
 *
 * Return: 0 or -EINVAL.
 */
int dtrack_run_check(struct dtrack *h,
		     const struct dtrack_run_options *options);

/**
 * dtrack_run_new() - check whether a run may begin, and prepare it.
 * @h: the handle; must outlive @run and do nothing else meanwhile
 * @dev: the device to copy
 * @options: what and how; @target and @bitmap are copied
 * @run: result; dtrack_run_free() it
 *
 * Nothing is frozen and nothing written.  Refused are: combinations of options
 * that make no sense (class "Usage"), a bitmap that is frozen or inconsistent,
 * a target that lies on @dev or under it, of another size, or without a
 * manifest that fits the bitmap's uuid and generation.  A block device has no
 * manifest: that it fits is for the caller to know.
 *
 * Return: 0; -EINVAL, -ENOENT, -EBUSY, -EUCLEAN, -EROFS, -ELOOP (the target
 * is the source), -ERANGE (sizes), -ESTALE (manifest), -EOPNOTSUPP, or an
 * errno of opening source or target.
 */
int dtrack_run_new(struct dtrack *h, struct dtrack_dev dev,
		   const struct dtrack_run_options *options,
		   struct dtrack_run **run);

/**
 * dtrack_run_execute() - freeze, copy, flush, report, end by policy.
 * @run: of dtrack_run_new(); may be executed once
 *
 * On any failure the bitmap is reclaimed, as its mode says.
 *
 * Return: 0 when completed; -ECANCELED, -ESTALE when the freeze was taken
 * away, or the errno of what failed.
 */
int dtrack_run_execute(struct dtrack_run *run);

/**
 * dtrack_run_result() - what came of it.
 * @run: the run
 * @result: result
 * @size: sizeof(*@result) as the caller knows it
 */
void dtrack_run_result(const struct dtrack_run *run,
		       struct dtrack_run_result *result, size_t size);

/**
 * dtrack_run_cancel() - ask a run to end in order, soon.
 * @run: the run
 *
 * Context: also from a signal handler or another thread.
 */
void dtrack_run_cancel(struct dtrack_run *run);

/**
 * dtrack_run_resume() - let a run that stopped on an error try again.
 * @run: the run
 *
 * Context: also from a signal handler or another thread.
 */
void dtrack_run_resume(struct dtrack_run *run);

/**
 * dtrack_run_free() - close a run's files.
 * @run: the run, or NULL
 */
void dtrack_run_free(struct dtrack_run *run);

#ifdef __cplusplus
}
#endif

#endif
