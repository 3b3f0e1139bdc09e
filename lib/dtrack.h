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
 * nothing, never exits and installs no signal handler.  It starts no process but
 * those of libkmod when it loads the module, qemu-img and qemu-nbd for qcow2
 * images, and one that syncs mounted file systems before a run; no thread but in the functions called ..._execute(), which get no
 * signals and have ended when that returns.  All files are O_CLOEXEC.  Sizes,
 * offsets and lengths are bytes; a range is its first byte and its length, which
 * is never 0.  Strings given are borrowed for the call; strings returned belong
 * to the object that they were asked of.  A result is valid on success only, but
 * where it says otherwise.
 *
 * A call that is refused has changed nothing.  Beside the errors named with it,
 * each that needs the kernel may give what dtrack_open() gives, and -ENOMEM;
 * each that changes something -EPERM or -EACCES.
 *
 * struct dtrack_dev, struct dtrack_range, struct dtrack_bitmap_info and the
 * enums and DTRACK_BITMAP_* flags are the kernel's.  They may grow at their
 * end; the library allocates them, so that a program need not be built again.
 * Structs that begin with their @size may grow, too: set it to sizeof, or use the
 * initializer; one that is longer than the library's is -EINVAL.
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
 * @h: result; dtrack_free() it; NULL on failure
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
 * One that may only be read is taken, too: it is good for looking, and what
 * changes something then fails with -EACCES.  Nothing if it is open.
 *
 * Return: 0; -ENOENT when the module is not there and cannot be loaded,
 * -EACCES, -EPERM, -EPROTO when the module speaks another ABI.
 */
int dtrack_open(struct dtrack *h);

/**
 * dtrack_errmsg() - what the last failed call on the handle had to say.
 * @h: the handle
 *
 * A call that succeeds leaves it.
 *
 * Return: one line without a newline, in QEMU's words where it has them, for
 * people to read; "" at first.  Valid until the next call on @h.
 */
const char *dtrack_errmsg(const struct dtrack *h);

/**
 * dtrack_errclass() - the class of that error.
 * @h: the handle
 *
 * Return: one of "GenericError", "DeviceNotFound", "BitmapNotFound", "Exists",
 * "Busy", "Inconsistent", "ReadOnly", "NoSpace", "Stale", "Usage" (arguments
 * that contradict each other), "Permission"; a constant.  "GenericError" at
 * first.
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
 * @dev: result: its number, which stays the device's until it is removed
 *
 * Messages about @dev call it @name from then on.
 *
 * Return: 0; -ENODEV when there is no such device or it is not tracked; an
 * errno of stat(2).
 */
int dtrack_dev_find(struct dtrack *h, const char *name,
		    struct dtrack_dev *dev);

/**
 * dtrack_dev_create() - put a tracker over a whole block device.
 * @h: the handle
 * @name: dm name of the new device, /dev/mapper/@name; 1..127 bytes, no '/'
 * @device: path of the block device
 *
 * It has no bitmaps yet.
 *
 * Return: 0; -EEXIST when @name is taken, -EBUSY when @device is mounted or
 * held, -ENOTBLK, -ENOENT, -EINVAL for a name that cannot be and a device
 * without a sector, or what device-mapper said.
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
 * @devs: result, an array in no particular order; free() it; NULL for none
 *
 * Return: the number of devices, or a negative errno.
 */
int dtrack_dev_list(struct dtrack *h, struct dtrack_dev **devs);

/**
 * struct dtrack_dev_info - one tracked device.
 * @name: its dm name; "" when it has gone meanwhile
 * @bytes: its size
 * @lower: the block device below
 * @lower_start: where it begins on @lower, bytes
 * @nr_bitmaps: number of bitmaps
 * @counted: 1 when the module counts writes; 0: @writes means nothing
 * @writes: what has been written since the device was made, each when it was
 *	marked
 */
struct dtrack_dev_info {
	char name[128];
	uint64_t bytes;
	struct dtrack_dev lower;
	uint64_t lower_start;
	unsigned int nr_bitmaps;
	int counted;
	struct dtrack_writes writes;
};

/**
 * dtrack_dev_info() - look at a tracked device.
 * @h: the handle
 * @dev: the device
 * @info: result
 * @size: sizeof(*@info) as the caller knows it: what it does not know is left
 *	out, what the library does not know is zero
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
 * On the device itself, or on one on top of it: a partition, or what
 * device-mapper, md or a loop device make of it; and in any mount namespace that
 * has a process.  All of that is seen by root only.
 *
 * Return: 1, 0, or a negative errno.
 */
int dtrack_dev_mounted(struct dtrack *h, struct dtrack_dev dev);

/**
 * dtrack_dev_used() - whether anything uses the device, and what.
 * @h: the handle
 * @dev: the device
 * @how: result: "mounted on /srv", "dm-3 (vg-srv) is mounted on /srv", "used as
 *	swap", "open for writing in process 12 (qemu)", "used by another program"
 *	that has claimed it; cut to @size, 4600 bytes are enough
 * @size: of @how
 *
 * The device itself, or one on top of it, as in dtrack_dev_mounted().  The calling
 * process does not count.
 *
 * Return: 1, 0 with @how untouched, or a negative errno.
 */
int dtrack_dev_used(struct dtrack *h, struct dtrack_dev dev, char *how,
		    size_t size);

/**
 * dtrack_dev_carries() - whether what is written to a file goes to a device.
 * @h: the handle
 * @dev: the device
 * @path: the file, or a folder: any that would be made in it
 *
 * Through whatever lies between: its file system, also one of several devices,
 * devices on @dev, a file behind a loop device.  A btrfs that cannot be told is
 * taken for any, and a bcachefs does; not seen are ZFS, and the upper directory of
 * an overlay that is out of sight.
 *
 * Return: 1, 0, or a negative errno.
 */
int dtrack_dev_carries(struct dtrack *h, struct dtrack_dev dev,
		       const char *path);

struct dtrack_fs;

/**
 * dtrack_fs_new() - find the file systems on devices, to hold them still.
 * @h: the handle; must outlive @fs
 * @devs: array of devices; what is mounted on top of them is found as by
 *	dtrack_dev_mounted(); those that are not in use are left out, those that
 *	are there twice are taken once
 * @nr: number of them
 * @fs: result; dtrack_fs_free() it
 *
 * Nothing is frozen yet.  Until the end they cannot be unmounted.
 *
 * Return: 0; -EBUSY when a device, or one on top of it, is in use without a file
 * system to be seen, so that it could not be held still; -EXDEV when something else is mounted over one; -ELOOP when one lies
 * on another, which would have to be written while that is frozen; or another
 * negative errno.
 */
int dtrack_fs_new(struct dtrack *h, const struct dtrack_dev *devs,
		  unsigned int nr, struct dtrack_fs **fs);

/**
 * dtrack_fs_freeze() - have what is in memory written, and hold all else back.
 * @fs: the file systems
 *
 * All or none.  The kernel does not thaw them when the process ends: it must see
 * to that, and must not write to them meanwhile.
 *
 * Return: 0, also for none; -EBUSY when one is frozen already; -EOPNOTSUPP when
 * it cannot be; -EPERM; or another negative errno.
 */
int dtrack_fs_freeze(struct dtrack_fs *fs);

/**
 * dtrack_fs_freeze_while() - the same, unless it takes too long.
 * @fs: the file systems
 * @may: asked before each of them whether to go on; 0 thaws those before
 * @opaque: handed to it
 *
 * One that is being frozen is waited for.
 *
 * Return: as dtrack_fs_freeze(); -ETIMEDOUT when @may said no.
 */
int dtrack_fs_freeze_while(struct dtrack_fs *fs, int (*may)(void *opaque),
			   void *opaque);

/**
 * dtrack_fs_thaw() - let all go on.
 * @fs: the file systems; also of a process that was forked after
 *	dtrack_fs_new(), and froze them
 *
 * What is not frozen need not be; but who froze them is told, by -EINVAL, when
 * somebody else has thawed one.
 *
 * Return: 0, or a negative errno when one did not thaw; all were tried.
 */
int dtrack_fs_thaw(struct dtrack_fs *fs);

/**
 * dtrack_fs_free() - forget them; what is frozen stays so.
 * @fs: the file systems, or NULL
 */
void dtrack_fs_free(struct dtrack_fs *fs);

/**
 * enum dtrack_finding_kind - what may be wrong with the tracking of a device.
 * @DTRACK_FINDING_NOT_TRACKED: its live table is not a tracker's; nothing else
 *	is looked at then
 * @DTRACK_FINDING_BYPASSED: something else may write to the device below
 * @DTRACK_FINDING_SUSPENDED: its I/O waits
 * @DTRACK_FINDING_INCONSISTENT: a bitmap is not to be trusted
 * @DTRACK_FINDING_NOT_RECORDING: a bitmap is disabled
 * @DTRACK_FINDING_READ_ONLY: a note: nothing can be written, or cleared
 * @DTRACK_FINDING_NO_BITMAP: a note: the device has none
 * @DTRACK_FINDING_NO_WRITES: a note: no write has been seen since the tracker
 *	was loaded
 *
 * More may come.
 */
enum dtrack_finding_kind {
	DTRACK_FINDING_NOT_TRACKED,
	DTRACK_FINDING_BYPASSED,
	DTRACK_FINDING_SUSPENDED,
	DTRACK_FINDING_INCONSISTENT,
	DTRACK_FINDING_NOT_RECORDING,
	DTRACK_FINDING_READ_ONLY,
	DTRACK_FINDING_NO_BITMAP,
	DTRACK_FINDING_NO_WRITES,
};

/**
 * struct dtrack_finding - one thing that dtrack_dev_check() found.
 * @kind: enum dtrack_finding_kind
 * @fault: 1: changes may be missing in the bitmap, or a run would not end; 0: a
 *	note, all may be as it should
 * @bitmap: the bitmap it is about, or NULL
 * @text: one line for people
 */
struct dtrack_finding {
	int kind;
	int fault;
	const char *bitmap;
	const char *text;
};

struct dtrack_findings;

/**
 * dtrack_dev_check() - look for reasons why a tracker may not see all writes.
 * @h: the handle
 * @name: the device, as for dtrack_dev_find(); need not be tracked any more
 * @bitmap: the one that matters, or NULL for all
 * @list: result; dtrack_findings_free() it, also an empty one
 *
 * The worst that can happen to changed-block tracking is that nobody notices
 * that writes go elsewhere.  Looked at are the device's table and state, its
 * bitmaps, and who uses the device below: mounts in the caller's mount
 * namespace, swap, tables of other device-mapper devices that overlap, md, loop
 * devices, and processes that have it open for writing (all of them only as
 * root); of that device, its partitions and, when it is one, of its disk.  Not
 * looked at is what lies beneath the device below.  Changes nothing.
 *
 * Return: the number of faults, from 0, notes not counted; -ENODEV when there is
 * no block device called @name, -ENOENT when it has no such bitmap, or an errno.
 */
int dtrack_dev_check(struct dtrack *h, const char *name, const char *bitmap,
		     struct dtrack_findings **list);

/**
 * dtrack_findings_at() - one of the findings.
 * @list: of dtrack_dev_check()
 * @i: 0 .. number of faults and notes - 1
 *
 * Return: the finding, the list's, or NULL when @i is beyond the last.
 */
const struct dtrack_finding *
dtrack_findings_at(const struct dtrack_findings *list, unsigned int i);

/**
 * dtrack_findings_free() - free a list.
 * @list: of dtrack_dev_check(), or NULL
 */
void dtrack_findings_free(struct dtrack_findings *list);

/* ---- Bitmaps ----------------------------------------------------------- */

/*
 * Where nothing else is said of it, -ENODEV is: no such device is tracked;
 * -ENOENT: it has no bitmap of that name; -EBUSY: the bitmap is frozen, or being
 * removed; -EROFS: the device is read-only; -EUCLEAN: the bitmap is inconsistent.
 */

struct dtrack_bitmaps;

/**
 * dtrack_bitmaps_get() - look at bitmaps.
 * @h: the handle
 * @dev: the device
 * @name: of one bitmap, or NULL for all
 * @list: result, as of one moment; dtrack_bitmaps_free() it, also an empty one
 *
 * Return: the number of bitmaps, 0..256; -ENOENT when there is none called
 * @name, -ENODEV.
 */
int dtrack_bitmaps_get(struct dtrack *h, struct dtrack_dev dev,
		       const char *name, struct dtrack_bitmaps **list);

/**
 * dtrack_bitmaps_at() - one of them.
 * @list: of dtrack_bitmaps_get()
 * @i: 0 .. number - 1, in order of creation
 *
 * Return: the bitmap, the list's, or NULL when @i is beyond the last.
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
 * What is written from here on is dirty in it, writes in flight included.
 *
 * Return: 0; -EEXIST, -EINVAL for name or granularity, -EOVERFLOW for more than
 * 256 bitmaps or more memory than the module allows a device, -EOPNOTSUPP for
 * DTRACK_ADD_PERSISTENT without a metadata device, -ENODEV.
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
 * Its generation steps on: copies that fitted it do no longer.
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
 * It keeps what it has.  Its generation steps on, unless it was disabled.
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
 * @sources: array of bitmaps, not frozen, also of other devices of the same
 *	size, see dtrack_source_init(); may have the target among them
 * @nr: number of them, 0..256; 0 succeeds
 *
 * Granularities may differ: every dirty byte of a source is dirty in the
 * target.
 *
 * Return: 0; -ENOENT, -EBUSY, -EUCLEAN, of the target or a source, -EROFS of the
 * target's device, -ERANGE when sizes differ, -EINVAL for more than 256 sources,
 * -ENODEV.
 */
int dtrack_bitmap_merge(struct dtrack *h, struct dtrack_dev dev,
			const char *name, const struct dtrack_source *sources,
			unsigned int nr);

/**
 * dtrack_source_init() - fill in a source of a merge.
 * @h: the handle
 * @source: result
 * @dev: its device
 * @name: the bitmap; copied
 *
 * Return: 0; -ENOENT when @name can be no bitmap's: "" or over 1023 bytes.
 */
int dtrack_source_init(struct dtrack *h, struct dtrack_source *source,
		       struct dtrack_dev dev, const char *name);

/**
 * struct dtrack_freeze - how to freeze, and what came of it.
 * @mode: enum dtrack_mode: what the end does
 * @set: enum dtrack_set: what may be reported as copied, and in mode 'always'
 *	stays dirty where it is not
 * @flags: DTRACK_FREEZE_*
 * @run: result: id of this freeze, for its report and end; never 0
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
 * Waits for no I/O.  A write in flight is in the frozen content and, when it
 * completes, in the successor.  With an owner it ends with dtrack_free() or the
 * process: the kernel reclaims.
 *
 * Return: 0; -ENOENT, -EBUSY, -EROFS but in mode 'never', -EUCLEAN, -EINVAL for
 * a field of @f, -ENODEV.
 */
int dtrack_bitmap_freeze(struct dtrack *h, struct dtrack_dev dev,
			 const char *name, struct dtrack_freeze *f);

/**
 * dtrack_bitmap_abdicate() - end a freeze: the successor takes the name.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 * @run: of the freeze, or 0 for one without owner
 * @generation: result: the bitmap's afterwards, that a complete copy fits; or
 *	NULL
 *
 * To be called when the whole copy is durable.  In mode 'always' what was not
 * reported stays dirty.
 *
 * Return: 0; -ESTALE when the freeze was taken away, -EBUSY when another owns
 * it, -ENODATA when nothing is frozen and @run is 0, -EINVAL in mode 'never',
 * -ENOENT, -ENODEV.
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
 * @flags: DTRACK_END_FORCE: whoever owns it; its owner then gets -ESTALE
 * @generation: result: the bitmap's afterwards, or NULL
 *
 * As if nothing had happened, but that in mode 'always' what was reported is
 * clean unless it was written again.
 *
 * Return: as dtrack_bitmap_abdicate(), in any mode.
 */
int dtrack_bitmap_reclaim(struct dtrack *h, struct dtrack_dev dev,
			  const char *name, uint64_t run, unsigned int flags,
			  uint64_t *generation);

/**
 * dtrack_bitmap_report() - say what of a frozen bitmap is safely copied.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap
 * @run: of the freeze, or 0 for one without owner
 * @ranges: array of whole granules inside the set, in any order; one may end
 *	with the content
 * @nr: number of ranges, 0..DTRACK_MAX_RANGES
 *
 * To be called after the target is flushed.  Matters in mode 'always'; in the
 * others it is checked and forgotten.  After -ENOMEM some ranges may have been
 * taken, and the call may be repeated.
 *
 * Return: 0; -EINVAL for a range or @nr, and none is taken; -ESTALE, -EBUSY,
 * -ENODATA, -ENOENT, -ENODEV as dtrack_bitmap_abdicate().
 */
int dtrack_bitmap_report(struct dtrack *h, struct dtrack_dev dev,
			 const char *name, uint64_t run,
			 const struct dtrack_range *ranges, unsigned int nr);

/**
 * dtrack_bitmap_export() - write a bitmap's content to a file.
 * @h: the handle
 * @dev: the device
 * @name: the bitmap; it may be frozen: then it is the frozen content
 * @path: of the file; one that exists is replaced if it is a regular file
 *
 * The file has mode 0600 and is there as a whole, durably, or not at all; a
 * process that is killed may leave a '.dtrack-XXXXXX' beside it.  It says what
 * the bitmap was: name, uuid, generation, size, granularity.  Its content is
 * that of one instant when the bitmap is frozen or disabled.  While it records
 * it is 'at least': all that was dirty at the call, and some of what became
 * dirty since.  Memory: at most a bit for each granule, less where the bitmap
 * is all clean or all dirty.
 *
 * Return: 0; -ENOENT, -EUCLEAN, -ENODEV, -ESTALE when the bitmap was resized,
 * replaced or changed its generation meanwhile, -EEXIST when @path is no
 * regular file, -ENOMEM, or what writing said.
 */
int dtrack_bitmap_export(struct dtrack *h, struct dtrack_dev dev,
			 const char *name, const char *path);

#define DTRACK_IMPORT_MERGE	(1U << 0)	/* unite with the content */

/**
 * dtrack_bitmap_import() - take a bitmap's content from a file.
 * @h: the handle
 * @dev: the device, of the size that the file is of
 * @name: the bitmap, not frozen; its granularity must be the file's, but for
 *	DTRACK_IMPORT_MERGE: then what is dirty is rounded outward
 * @path: of the file, a regular one
 * @flags: DTRACK_IMPORT_*
 *
 * The file is checked to its last byte before the kernel is told anything; then
 * its content replaces the bitmap's, or is united with it, all at once.  The
 * bitmap keeps its name and uuid and goes on recording if it did; its
 * generation steps on.  On any error the bitmap is as it was.
 *
 * Return: 0; -ENOENT when there is no such bitmap or file, -EBUSY, -EROFS,
 * -EUCLEAN, -ENODEV, -ERANGE when the sizes differ, -EINVAL when the
 * granularities do, -EBADMSG when the file is damaged, cut or longer,
 * -EOPNOTSUPP when it is of a newer version, -ESTALE when the bitmap was
 * resized, replaced or changed its generation meanwhile, -ENOMEM, or what
 * reading said.
 */
int dtrack_bitmap_import(struct dtrack *h, struct dtrack_dev dev,
			 const char *name, const char *path,
			 unsigned int flags);

struct dtrack_extents;

/**
 * dtrack_extents_open() - read a bitmap's dirty extents.
 * @h: the handle; must outlive @ext
 * @dev: the device
 * @name: the bitmap
 * @flags: DTRACK_EXTENTS_*
 * @generation: that the bitmap must have throughout, or 0 for that of the first
 *	dtrack_extents_next()
 * @ext: result; dtrack_extents_close() it
 *
 * Memory is bounded whatever the bitmap's size.  Exact when the bitmap is
 * frozen or disabled, 'at least' while it records.
 *
 * Return: 0; -ENOENT, -ENODEV.  What else is wrong is told by
 * dtrack_extents_next().
 */
int dtrack_extents_open(struct dtrack *h, struct dtrack_dev dev,
			const char *name, unsigned int flags,
			uint64_t generation, struct dtrack_extents **ext);

/**
 * dtrack_extents_next() - the next extent.
 * @ext: of dtrack_extents_open()
 * @range: result: ascending, merged, cut at the end of the content
 *
 * Return: 1 with an extent, 0 when there is none left; -ESTALE when the bitmap
 * has another generation than it should, -ENOENT, -EUCLEAN, -ENODEV, -ENODATA when
 * there is no successor to be read, -EINVAL for unknown flags.
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
 * @DTRACK_CONSISTENCY_UNKNOWN: only in struct dtrack_manifest: nothing is said
 * @DTRACK_CONSISTENCY_LIVE: each granule as it was when it was read
 * @DTRACK_CONSISTENCY_IMAGE: one instant, as a power failure would leave the
 *	device.  As an option not supported yet; as a result, nothing was written
 *	to the device while it was copied
 * @DTRACK_CONSISTENCY_HELD: only as a result: one instant at which nothing was
 *	half-written, since the device was not in use or its file systems were
 *	frozen, and nothing was written while it was copied; or the caller said
 *	DTRACK_RUN_HELD
 */
enum dtrack_consistency {
	DTRACK_CONSISTENCY_UNKNOWN = -1,
	DTRACK_CONSISTENCY_LIVE,
	DTRACK_CONSISTENCY_IMAGE,
	DTRACK_CONSISTENCY_HELD,
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
#define DTRACK_RUN_FSFREEZE	(1U << 1)	/* freeze and thaw the mounted file
						 * system around the freeze
						 */
#define DTRACK_RUN_HELD		(1U << 2)	/* the caller has what writes to
						 * the device held until the end:
						 * the copy is 'held' even if
						 * something is written
						 */
#define DTRACK_RUN_FROZEN	(1U << 3)	/* the caller has frozen the file
						 * systems: the copy is 'held' if
						 * nothing is written
						 */

#define DTRACK_MODE_UNSET	(-1)	/* no bitmap, or DTRACK_SYNC_INCREMENTAL */

/**
 * struct dtrack_run_options - a backup run.
 * @size: sizeof(struct dtrack_run_options)
 * @flags: DTRACK_RUN_*
 * @target: PATH or raw:PATH of a file or block device, an NBD URI, or
 *	qcow2:PATH[,backing=PREVIOUS] of an image to be made
 * @bitmap: name, or NULL
 * @sync: enum dtrack_sync
 * @mode: enum dtrack_mode or DTRACK_MODE_UNSET
 * @consistency: enum dtrack_consistency
 * @on_source_error: enum dtrack_on_error
 * @on_target_error: enum dtrack_on_error; a failed flush always fails the run
 * @stop_timeout: seconds that DTRACK_ON_ERROR_STOP waits, then the run fails; 0:
 *	at once
 * @jobs: requests in flight; more than 256 is 256; 0 for the engine's choice.
 *	With 1 one granule is copied after the other, in ascending order
 * @speed: bytes a second, 0 for no limit
 * @notify: called from dtrack_run_execute(), or NULL; @done of @total bytes are
 *	copied; @message is one line, borrowed, for DTRACK_RUN_STOPPED, else NULL;
 *	may call dtrack_run_cancel() and dtrack_run_resume(), nothing else of the
 *	handle's
 * @opaque: handed to @notify
 * @request_size: most bytes of one request, or 0 for the engine's choice;
 *	rounded down to a power of two, and so that all requests together stay
 *	below 32 MiB
 * @target_timeout: seconds that a server that owes an answer may be silent before
 *	it counts as lost; 0 for 60
 *
 * Zeroes are the defaults but for @size, @target, @mode and @stop_timeout: use
 * DTRACK_RUN_OPTIONS_INIT.
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
	uint64_t request_size;
	unsigned int target_timeout;
};

#define DTRACK_RUN_OPTIONS_INIT					\
	{ .size = sizeof(struct dtrack_run_options),		\
	  .mode = DTRACK_MODE_UNSET, .stop_timeout = 3600 }

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
 * @consistency: enum dtrack_consistency, valid when completed.  Of a run without
 *	a bitmap, or with one that does not record, nobody knows what was
 *	written meanwhile: it is live, or held where the caller said
 *	DTRACK_RUN_HELD
 * @bytes_total: bytes of the set
 * @bytes_copied: bytes of it that are safely on the target
 * @unsynced: 1: what the mounted file systems kept in memory could not be written
 *	back within 30 s before the freeze; it may not be in the copy
 */
struct dtrack_run_result {
	int state;
	int consistency;
	uint64_t bytes_total;
	uint64_t bytes_copied;
	int unsynced;
};

struct dtrack_run;

/**
 * dtrack_run_check() - whether a run's options make sense together.
 * @h: the handle
 * @options: what and how
 *
 * The part of dtrack_run_new() that needs no look at a device, nor the kernel;
 * @target is not looked at.
 *
 * Return: 0, or -EINVAL with class "Usage".
 */
int dtrack_run_check(struct dtrack *h,
		     const struct dtrack_run_options *options);

/**
 * dtrack_run_new() - check whether a run may begin, and prepare it.
 * @h: the handle; must outlive @run, and do nothing else while it is executed
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
 * Returns when all has ended.  On any failure the bitmap is reclaimed, as its
 * mode says.  Threads that it may start block all signals and end before it
 * returns.
 *
 * Return: 0 when completed; -ECANCELED, -ESTALE when the freeze was taken
 * away, -EAGAIN when the bitmap has changed since dtrack_run_new(), -EBUSY when
 * it has been frozen since, -EINVAL the second time, or the errno of what
 * failed.
 */
int dtrack_run_execute(struct dtrack_run *run);

/**
 * dtrack_run_result() - what came of it.
 * @run: the run
 * @result: result
 * @size: sizeof(*@result) as the caller knows it, as in dtrack_dev_info()
 *
 * Before dtrack_run_execute() @bytes_total is what the run would copy.
 */
void dtrack_run_result(const struct dtrack_run *run,
		       struct dtrack_run_result *result, size_t size);

/**
 * dtrack_run_cancel() - ask a run to end in order, soon.
 * @run: the run
 *
 * Before its execution it will not begin, after it nothing happens.  @run must
 * not be freed meanwhile; likewise below.
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
 * @run: the run, not while it is executed, or NULL
 */
void dtrack_run_free(struct dtrack_run *run);

/* ---- Verifying --------------------------------------------------------- */

#define DTRACK_VERIFY_ALONE	(1U << 0)	/* of a qcow2 image the content
						 * of what it lies over is not
						 * read, only their links
						 */

/**
 * struct dtrack_verify_options - what to verify.
 * @size: sizeof(struct dtrack_verify_options)
 * @flags: DTRACK_VERIFY_*
 * @target: what a run has written, as in struct dtrack_run_options but without
 *	",backing="
 * @device: a block device to compare it with, tracked or not: a path if it
 *	contains '/', else a dm name; or NULL: the target is compared with its
 *	manifest and checksums
 * @jobs: reads in flight; more than 128 is 128; 0 for the library's choice
 * @speed: bytes of the content a second, 0 for no limit
 * @notify: told of DTRACK_RUN_PROGRESS, as in struct dtrack_run_options, or NULL
 * @found: told of what is not as it should be, or NULL.  @range: bytes that
 *	differ, ascending, or NULL when it is not about bytes; @why: words, or
 *	NULL: they are the wrong ones.  Both are borrowed
 * @opaque: handed to all
 * @image: told of each image that the target lies over, by its path, before it is
 *	read: what is found from then on is found in it; or NULL
 * @target_timeout: as in struct dtrack_run_options
 */
struct dtrack_verify_options {
	size_t size;
	unsigned int flags;
	const char *target;
	const char *device;
	unsigned int jobs;
	uint64_t speed;
	void (*notify)(void *opaque, enum dtrack_run_event event,
		       uint64_t done, uint64_t total, const char *message);
	void (*found)(void *opaque, const struct dtrack_range *range,
		      const char *why);
	void *opaque;
	void (*image)(void *opaque, const char *path);
	unsigned int target_timeout;
};

#define DTRACK_VERIFY_OPTIONS_INIT				\
	{ .size = sizeof(struct dtrack_verify_options) }

/**
 * struct dtrack_verify_result - what came of it.
 * @state: enum dtrack_run_state; completed also when something was found
 * @found: whether something was
 * @live: the device is in use: what differs may have been written meanwhile
 * @bytes_total: bytes that should be there: of the device, else by the manifest
 * @bytes_checked: bytes of them that were compared, with the device, or with a
 *	checksum in the image that they come from: the target or one that it lies
 *	over.  What an image has itself hides what lies below it, which is compared
 *	and does not count
 * @bytes_different: bytes in what was found
 * @images: number of images that were compared with their checksums, the target
 *	among them
 * @medium: all that was read of the target, and of what it lies over, came from
 *	the medium: by direct reads, or after what memory had of it was dropped.
 *	0 where that is not known, as with a server, or on a network's file
 *	system: what has changed on the medium since it was written may not have
 *	been seen.  Of a file system in memory, memory is the medium.  Valid
 *	after the execution
 */
struct dtrack_verify_result {
	int state;
	int found;
	int live;
	uint64_t bytes_total;
	uint64_t bytes_checked;
	uint64_t bytes_different;
	unsigned int images;
	int medium;
};

struct dtrack_verify;

/**
 * dtrack_verify_new() - open what is to be verified.
 * @h: the handle; must outlive @v, and do nothing else while it is executed
 * @options: what and how; strings are copied
 * @v: result; dtrack_verify_free() it
 *
 * Needs no kernel module, but the manifest without a device: a target that has
 * none (a block device, or another's file) cannot be verified so.  One that is
 * missing, has another size than its manifest says or cannot be read in places is
 * a finding, no error.  Of a qcow2 image all images that it lies over are verified,
 * too, one after the other, each with its own manifest and checksums.
 *
 * Return: 0; -ESTALE for a target that is 'incomplete', without a device;
 * -ENOENT without target and manifest, or without a manifest; -EBADMSG when
 * the manifest or the checksums that it names are damaged; -EBUSY when a run is
 * writing the target; -ENODEV; -EINVAL; or an errno of opening something.
 */
int dtrack_verify_new(struct dtrack *h,
		      const struct dtrack_verify_options *options,
		      struct dtrack_verify **v);

/**
 * dtrack_verify_execute() - read and compare.
 * @v: of dtrack_verify_new(); may be executed once
 *
 * What differs is told in units of the target's granule, at most 64 KiB.
 *
 * Return: 0 when all is as it should be; 1 when something was found; -ENODATA when
 * nothing was, but an image that the target lies over is without a manifest (and
 * was forced to be there), 'incomplete', or without checksums that can be used, or
 * an image that lies over another one has a cluster without any;
 * -ECANCELED; -EINVAL the second time; or the errno of what failed.
 */
int dtrack_verify_execute(struct dtrack_verify *v);

/**
 * dtrack_verify_result() - what came of it.
 * @v: the verification
 * @result: result; before the execution @state, @live and @bytes_total are valid
 * @size: sizeof(*@result) as the caller knows it, as in dtrack_dev_info()
 */
void dtrack_verify_result(const struct dtrack_verify *v,
			  struct dtrack_verify_result *result, size_t size);

/**
 * dtrack_verify_cancel() - ask a verification to end in order, soon.
 * @v: the verification
 *
 * Context: also from a signal handler or another thread.
 */
void dtrack_verify_cancel(struct dtrack_verify *v);

/**
 * dtrack_verify_free() - close its files.
 * @v: the verification, not while it is executed, or NULL
 */
void dtrack_verify_free(struct dtrack_verify *v);

/* ---- Manifests --------------------------------------------------------- */

/**
 * struct dtrack_manifest - what the file beside a target says of it.
 * @complete: the run that wrote it last has ended well; otherwise it stopped
 *	somewhere, or still runs
 * @has_bitmap: it had a bitmap; otherwise all but @bytes and @consistency
 *	is 0
 * @has_from: @from is known
 * @bytes: of the device
 * @granularity: of the bitmap, bytes
 * @from: generation that the target fitted before that run
 * @to: generation that it fits after it
 * @run: id of its freeze
 * @uuid: of the bitmap, as text
 * @consistency: enum dtrack_consistency: what the target, with all that it lies
 *	over, is a copy of; unknown of one that is incomplete, or whose run
 *	did not say
 *
 * A complete target fits the bitmap when uuid and generation are the bitmap's.
 * An incomplete one holds all that it should, too, when the bitmap is at @to and
 * its last_run is @run: the run was killed between its two last steps.
 */
struct dtrack_manifest {
	int complete;
	int has_bitmap;
	int has_from;
	uint64_t bytes;
	uint64_t granularity;
	uint64_t from;
	uint64_t to;
	uint64_t run;
	char uuid[DTRACK_UUID_TEXT];
	int consistency;
};

/**
 * dtrack_manifest_read() - what a target holds, as its manifest has it.
 * @h: the handle
 * @target: path of a file, without a prefix
 * @manifest: result
 * @size: sizeof(*@manifest) as the caller knows it, as in dtrack_dev_info()
 *
 * The target itself is not looked at.
 *
 * Return: 0; -ENOENT when there is no such file or no manifest beside it,
 * -EBADMSG when the manifest is damaged or of a newer version, or what reading
 * said.
 */
int dtrack_manifest_read(struct dtrack *h, const char *target,
			 struct dtrack_manifest *manifest, size_t size);

/* ---- Restoring ----------------------------------------------------------- */

#define DTRACK_RESTORE_FORCE	(1U << 0)	/* also from an incomplete, resized
						 * or damaged target
						 */
#define DTRACK_RESTORE_DELTA	(1U << 1)	/* write only what differs */

/**
 * struct dtrack_restore_options - what to restore, and where to.
 * @size: sizeof(struct dtrack_restore_options)
 * @flags: DTRACK_RESTORE_*
 * @target: what a run has written, as in struct dtrack_run_options but without
 *	",backing=", or any raw image; -EINVAL for what looks like a qcow2 image,
 *	without a manifest that says so and without "qcow2:" or "raw:"
 * @device: a block device, tracked or not: a path if it contains '/', else a dm
 *	name
 * @jobs: requests in flight; more than 256, or 128 with DTRACK_RESTORE_DELTA, is
 *	that; 0 for the library's choice
 * @speed: bytes a second, 0 for no limit
 * @notify: told of DTRACK_RUN_PROGRESS, as in struct dtrack_run_options, or NULL
 * @found: told, with DTRACK_RESTORE_FORCE, of bytes that do not match their
 *	checksum and are restored as they are, @why being NULL, and of bytes that
 *	cannot be read and stay as they are on the device, @why being words; both
 *	in no particular order.  And, with @range NULL, of why there are no
 *	checksums though there should be; or NULL
 * @opaque: handed to all three
 * @target_timeout: as in struct dtrack_run_options
 * @image: told of the image that wrote what @found is told of next, when it is
 *	another one than before: the path of one that the target lies over, ""
 *	for the target itself, which it is to begin with; or NULL
 */
struct dtrack_restore_options {
	size_t size;
	unsigned int flags;
	const char *target;
	const char *device;
	unsigned int jobs;
	uint64_t speed;
	void (*notify)(void *opaque, enum dtrack_run_event event,
		       uint64_t done, uint64_t total, const char *message);
	void (*found)(void *opaque, const struct dtrack_range *range,
		      const char *why);
	void *opaque;
	unsigned int target_timeout;
	void (*image)(void *opaque, const char *path);
};

#define DTRACK_RESTORE_OPTIONS_INIT				\
	{ .size = sizeof(struct dtrack_restore_options) }

/**
 * struct dtrack_restore_result - what came of it.
 * @state: enum dtrack_run_state
 * @checked: the target's checksums are compared where they are known, and those
 *	of the images that it lies over
 * @bytes_total: bytes to restore; valid before the execution, too
 * @bytes_written: bytes of them that were written, but only after success are
 *	they known to be durable
 * @device_bytes: size of the device; what is beyond @bytes_total stays as it is
 * @bytes_damaged: bytes that do not match their checksum and were restored
 * @bytes_unread: bytes that could not be read and stay as they were
 * @done_to: up to this byte the device has the target's content, durably, but for
 *	those two
 * @begun_to: from this byte on the device is as it was; between the two it may
 *	be either
 * @bytes_checked: bytes that were compared with a checksum, valid after success
 */
struct dtrack_restore_result {
	int state;
	int checked;
	uint64_t bytes_total;
	uint64_t bytes_written;
	uint64_t device_bytes;
	uint64_t bytes_damaged;
	uint64_t bytes_unread;
	uint64_t done_to;
	uint64_t begun_to;
	uint64_t bytes_checked;
};

struct dtrack_restore;

/**
 * dtrack_restore_new() - check whether a restore may begin, and prepare it.
 * @h: the handle; must outlive @r, and do nothing else while it is executed
 * @options: what and how; strings are copied
 * @r: result; dtrack_restore_free() it
 *
 * Nothing is written, but the device is claimed until the end.  Needs no kernel
 * module; on a tracked device what is written is dirty, as by any program.
 *
 * Return: 0; -EBUSY when the device is mounted or otherwise in use, or a run is
 * writing the target; -ERANGE when it is too small, or the target has not the
 * size that its manifest says; -ESTALE when the target is 'incomplete', or an
 * image that it lies over is not what it was made over, -EBADMSG when the manifest
 * of one is damaged, each unless forced; -ELOOP when one lies on the other;
 * -ENODEV; -EINVAL; or an errno of opening something.
 */
int dtrack_restore_new(struct dtrack *h,
		       const struct dtrack_restore_options *options,
		       struct dtrack_restore **r);

/**
 * dtrack_restore_execute() - copy, and flush the device.
 * @r: of dtrack_restore_new(); may be executed once
 *
 * If it fails or is cancelled, the device has a part of the target's content.
 * What is written is compared with the checksum of the image that wrote it last:
 * the target, or one that it lies over.
 *
 * Return: 0; -ECANCELED; -EBADMSG for content that does not match its checksum,
 * unless forced; -EINVAL the second time; or the errno of what failed.
 */
int dtrack_restore_execute(struct dtrack_restore *r);

/**
 * dtrack_restore_result() - what came of it.
 * @r: the restore
 * @result: result
 * @size: sizeof(*@result) as the caller knows it, as in dtrack_dev_info()
 */
void dtrack_restore_result(const struct dtrack_restore *r,
			   struct dtrack_restore_result *result, size_t size);

/**
 * dtrack_restore_cancel() - ask a restore to end in order, soon.
 * @r: the restore
 *
 * Context: also from a signal handler or another thread.
 */
void dtrack_restore_cancel(struct dtrack_restore *r);

/**
 * dtrack_restore_free() - close its files.
 * @r: the restore, not while it is executed, or NULL
 */
void dtrack_restore_free(struct dtrack_restore *r);

/* ---- Transactions -------------------------------------------------------- */

/**
 * enum dtrack_completion - how the runs of a transaction end.
 * @DTRACK_COMPLETION_INDIVIDUAL: each by itself
 * @DTRACK_COMPLETION_GROUPED: all well or none, and all at one point in time
 */
enum dtrack_completion {
	DTRACK_COMPLETION_INDIVIDUAL,
	DTRACK_COMPLETION_GROUPED,
};

/**
 * struct dtrack_action_result - what came of an action.
 * @state: enum dtrack_run_state; a rolled back action is cancelled, all but the
 *	backups are completed when the transaction has begun
 * @err: 0 or the negative errno of what failed
 * @errclass: as dtrack_errclass(); "" unless it failed or was cancelled
 * @errmsg: as dtrack_errmsg(), without the action; "" likewise
 * @run: id of the freeze: of a freeze and of a run with a bitmap
 * @generation: of the bitmap: frozen by a freeze, afterwards for the ends
 * @consistency: of a run, enum dtrack_consistency
 * @bytes_total: of a run: bytes of the set
 * @bytes_copied: of a run: bytes of it that are safely on the target
 * @unsynced: of a run: as in struct dtrack_run_result
 *
 * Strings belong to the transaction.
 */
struct dtrack_action_result {
	int state;
	int err;
	const char *errclass;
	const char *errmsg;
	uint64_t run;
	uint64_t generation;
	int consistency;
	uint64_t bytes_total;
	uint64_t bytes_copied;
	int unsynced;
};

struct dtrack_transaction;

/**
 * dtrack_transaction_new() - begin to put a transaction together.
 * @h: the handle; must outlive @tx, and do nothing else while it executes
 * @completion: enum dtrack_completion
 * @tx: result; dtrack_transaction_free() it
 *
 * Nothing is done before dtrack_transaction_execute().  What is wrong with an
 * action is found there, too, so that the first one is told.
 *
 * Return: 0; -EINVAL for an unknown @completion, -ENOMEM.
 */
int dtrack_transaction_new(struct dtrack *h, int completion,
			   struct dtrack_transaction **tx);

/**
 * dtrack_transaction_abort() - an action that always fails.
 * @tx: the transaction
 *
 * The actions are tried, and undone.
 *
 * Return: index of the action, 0 for the first, as from all functions that add
 * one; -EOVERFLOW for more than DTRACK_MAX_ACTIONS, -EINVAL after the
 * execution, -ENOMEM.
 */
int dtrack_transaction_abort(struct dtrack_transaction *tx);

/**
 * dtrack_transaction_add() - dtrack_bitmap_add() as an action.
 * @tx: the transaction
 * @dev: the device
 * @name: the bitmap
 * @granularity: bytes, or 0 for 64 KiB
 * @flags: DTRACK_ADD_*
 *
 * Return: as dtrack_transaction_abort().
 */
int dtrack_transaction_add(struct dtrack_transaction *tx,
			   struct dtrack_dev dev, const char *name,
			   uint64_t granularity, unsigned int flags);

/**
 * dtrack_transaction_remove() - dtrack_bitmap_remove() as an action.
 * @tx: the transaction
 * @dev: the device
 * @name: the bitmap; its name is free only after the transaction
 *
 * Return: as dtrack_transaction_abort().
 */
int dtrack_transaction_remove(struct dtrack_transaction *tx,
			      struct dtrack_dev dev, const char *name);

/**
 * dtrack_transaction_clear() - dtrack_bitmap_clear() as an action.
 * @tx: the transaction
 * @dev: the device
 * @name: the bitmap
 *
 * Return: as dtrack_transaction_abort().
 */
int dtrack_transaction_clear(struct dtrack_transaction *tx,
			     struct dtrack_dev dev, const char *name);

/**
 * dtrack_transaction_enable() - dtrack_bitmap_enable() as an action.
 * @tx: the transaction
 * @dev: the device
 * @name: the bitmap
 *
 * Return: as dtrack_transaction_abort().
 */
int dtrack_transaction_enable(struct dtrack_transaction *tx,
			      struct dtrack_dev dev, const char *name);

/**
 * dtrack_transaction_disable() - dtrack_bitmap_disable() as an action.
 * @tx: the transaction
 * @dev: the device
 * @name: the bitmap
 *
 * Return: as dtrack_transaction_abort().
 */
int dtrack_transaction_disable(struct dtrack_transaction *tx,
			       struct dtrack_dev dev, const char *name);

/**
 * dtrack_transaction_merge() - dtrack_bitmap_merge() as an action.
 * @tx: the transaction
 * @dev: the target's device
 * @name: the target
 * @sources: array of bitmaps; copied
 * @nr: number of them, 0..256
 *
 * Return: as dtrack_transaction_abort().
 */
int dtrack_transaction_merge(struct dtrack_transaction *tx,
			     struct dtrack_dev dev, const char *name,
			     const struct dtrack_source *sources,
			     unsigned int nr);

/**
 * dtrack_transaction_freeze() - dtrack_bitmap_freeze() as an action.
 * @tx: the transaction
 * @dev: the device
 * @name: the bitmap
 * @mode: enum dtrack_mode
 * @set: enum dtrack_set
 * @flags: DTRACK_FREEZE_*; without them the handle owns the freeze
 *
 * For runs use dtrack_transaction_backup().
 *
 * Return: as dtrack_transaction_abort().
 */
int dtrack_transaction_freeze(struct dtrack_transaction *tx,
			      struct dtrack_dev dev, const char *name,
			      unsigned int mode, unsigned int set,
			      unsigned int flags);

/**
 * dtrack_transaction_abdicate() - dtrack_bitmap_abdicate() as an action.
 * @tx: the transaction
 * @dev: the device
 * @name: the bitmap
 * @run: of the freeze, or 0 for one without owner
 *
 * Return: as dtrack_transaction_abort().
 */
int dtrack_transaction_abdicate(struct dtrack_transaction *tx,
				struct dtrack_dev dev, const char *name,
				uint64_t run);

/**
 * dtrack_transaction_reclaim() - dtrack_bitmap_reclaim() as an action.
 * @tx: the transaction
 * @dev: the device
 * @name: the bitmap
 * @run: of the freeze, or 0 for one without owner
 * @flags: DTRACK_END_*
 *
 * Return: as dtrack_transaction_abort().
 */
int dtrack_transaction_reclaim(struct dtrack_transaction *tx,
			       struct dtrack_dev dev, const char *name,
			       uint64_t run, unsigned int flags);

/**
 * dtrack_transaction_backup() - a run that begins with the transaction.
 * @tx: the transaction
 * @dev: the device to copy
 * @options: as for dtrack_run_new(); with DTRACK_RUN_FSFREEZE the file systems
 *	of all runs that have it are still at the same time.  @notify is called
 *	by threads of the library, never by two at once
 *
 * Return: as dtrack_transaction_abort(), and -EINVAL for options of another
 * version of the library.
 */
int dtrack_transaction_backup(struct dtrack_transaction *tx,
			      struct dtrack_dev dev,
			      const struct dtrack_run_options *options);

/**
 * dtrack_transaction_execute() - do all actions at one point in time, or none;
 * then copy what is to be copied.
 * @tx: may be executed once
 *
 * Later actions see what earlier ones did: a bitmap that is added may be merged
 * into and copied by one transaction.  The first action that fails decides the
 * error, and every bitmap, target and manifest is as it was.
 *
 * Then the runs copy at the same time, each in a thread of its own, and end as
 * the completion mode says.  Grouped, a run that had copied everything is
 * cancelled when another fails; in mode 'always' its bitmap then no longer has
 * what was copied, and its target must be kept: the next run goes on with it.
 *
 * If another process changes a bitmap between the checks and the transaction,
 * so that a target may not fit, all runs are cancelled, and only the other
 * actions are done.
 *
 * Return: 0 when everything was completed; what the first that failed has,
 * whose message is 'action INDEX (TYPE): ...' with the type as QMP calls it;
 * -ECANCELED; or -EINVAL the second time.
 */
int dtrack_transaction_execute(struct dtrack_transaction *tx);

/**
 * dtrack_transaction_result() - what came of an action.
 * @tx: executed
 * @index: of the action, as it was returned when it was added
 * @result: result
 * @size: sizeof(*@result) as the caller knows it, as in dtrack_dev_info()
 *
 * Return: 0; -EINVAL when there is no such action.
 */
int dtrack_transaction_result(const struct dtrack_transaction *tx,
			      unsigned int index,
			      struct dtrack_action_result *result, size_t size);

/**
 * dtrack_transaction_cancel() - ask all runs that have not ended to end soon.
 * @tx: the transaction
 *
 * If the actions are not done yet, they will not be.
 *
 * Context: also from a signal handler or another thread.
 */
void dtrack_transaction_cancel(struct dtrack_transaction *tx);

/**
 * dtrack_transaction_resume() - let runs that stopped on an error try again.
 * @tx: the transaction
 *
 * Context: also from a signal handler or another thread.
 */
void dtrack_transaction_resume(struct dtrack_transaction *tx);

/**
 * dtrack_transaction_free() - close the files of all runs.
 * @tx: the transaction, not while it executes, or NULL
 */
void dtrack_transaction_free(struct dtrack_transaction *tx);

#ifdef __cplusplus
}
#endif

#endif
