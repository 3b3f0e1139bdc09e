/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * dm-dirtytrack.h - the ABI of /dev/dirtytrack.
 *
 * Every command takes one struct whose first member is its size in bytes, as
 * the caller knows it.  A longer struct than the kernel knows is accepted when
 * the rest is zero (E2BIG otherwise), a shorter one down to the size of version
 * 1 is filled up with zeroes (EINVAL below that), so both sides may grow.
 * 'flags' must have known bits only, 'reserved' members must be zero.
 * Offsets and lengths are bytes of the device.  Nothing depends on the word
 * size: a 32-bit process uses the same structs.  Outputs are written only when
 * the command succeeds, but for EMSGSIZE and 'out_failed' of a transaction.
 *
 * A command that is refused changes nothing.  What the errors mean:
 *
 *	EACCES		the file is not open for writing, the command changes
 *	EPERM		no CAP_SYS_ADMIN
 *	ENOTTY		no such command
 *	E2BIG		the struct is longer than known and not zero there
 *	EFAULT		a pointer of the caller is bad
 *	EINVAL		a field is malformed: unknown flag, reserved not zero,
 *			name, granularity or range out of bounds or unaligned
 *	EOPNOTSUPP	a known feature that this module does not have
 *	ENODEV		no such tracked device, or it has gone, or it has a table
 *			of another target now
 *	ENOENT		no such bitmap
 *	EEXIST		the name is taken
 *	EBUSY		the bitmap is frozen, or its freeze has another owner
 *	ENODATA		the bitmap is not frozen
 *	ESTALE		the freeze was taken away, or the generation changed, or
 *			the device was not tracked for a while during the freeze
 *	ERANGE		the sizes of two devices differ
 *	EROFS		the table is read-only
 *	EUCLEAN		the bitmap is inconsistent
 *	EMSGSIZE	the array is too small; the count that is needed is
 *			returned
 *	ECANCELED	a transaction's DTRACK_ACTION_ABORT
 *	EOVERFLOW	a limit: bitmaps, or memory by the module's parameter
 *	ENOMEM		no memory; nothing was changed
 *
 * The words bitmap, successor, abdicate and reclaim are QEMU's (block dirty
 * bitmaps); where we differ is said in Documentation/semantics.rst.
 */
#ifndef _UAPI_LINUX_DM_DIRTYTRACK_H
#define _UAPI_LINUX_DM_DIRTYTRACK_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DTRACK_ABI_VERSION	1
#define DTRACK_DEVICE		"dirtytrack"	/* below /dev */

#define DTRACK_NAME_LEN		1024	/* with the terminating NUL */
#define DTRACK_UUID_LEN		16
#define DTRACK_COMM_LEN		16
#define DTRACK_MAX_BITMAPS	256	/* of one device */
#define DTRACK_MAX_ACTIONS	256	/* of one transaction */
#define DTRACK_MAX_RANGES	65536	/* of one report or extents call */
#define DTRACK_MAX_CHUNK	(1 << 20)	/* bytes of raw bits a call */
#define DTRACK_MIN_GRANULARITY	512ULL
#define DTRACK_MAX_GRANULARITY	(1ULL << 31)

#define DTRACK_FEATURE_WRITES	(1ULL << 0)	/* dtrack_ioc_info.out_writes */

/**
 * struct dtrack_ioc_version - what this module speaks (DTRACK_IOC_VERSION).
 * @size: sizeof(struct dtrack_ioc_version)
 * @flags: must be 0
 * @out_abi: DTRACK_ABI_VERSION of the module
 * @out_max_bitmaps: bitmaps of one device
 * @out_features: DTRACK_FEATURE_* bits
 * @out_max_memory: bytes that the bitmaps of one device may need
 */
struct dtrack_ioc_version {
	__u32 size;
	__u32 flags;
	__u32 out_abi;
	__u32 out_max_bitmaps;
	__aligned_u64 out_features;
	__aligned_u64 out_max_memory;
};

/**
 * struct dtrack_dev - a tracked device, by its device number.
 * @major: of the device-mapper device
 * @minor: of the device-mapper device
 */
struct dtrack_dev {
	__u32 major;
	__u32 minor;
};

/**
 * struct dtrack_ioc_list - the tracked devices (DTRACK_IOC_LIST).
 * @size: sizeof(struct dtrack_ioc_list)
 * @flags: must be 0
 * @nr: in: room in @devs; out: number of tracked devices, also on EMSGSIZE
 * @reserved: must be 0
 * @devs: array of struct dtrack_dev
 */
struct dtrack_ioc_list {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 devs;
};

/**
 * enum dtrack_mode - what the end of a run does to the bitmap.
 * @DTRACK_MODE_CONDITIONAL: abdicate gives the successor's content, reclaim
 *	frozen | successor (QEMU: 'on-success')
 * @DTRACK_MODE_NEVER: abdicate is refused, reclaim gives frozen | successor
 * @DTRACK_MODE_ALWAYS: either gives (set - copied) | successor
 */
enum dtrack_mode {
	DTRACK_MODE_CONDITIONAL = 0,
	DTRACK_MODE_NEVER = 1,
	DTRACK_MODE_ALWAYS = 2,
};

/**
 * enum dtrack_set - the granules that a run is to copy.
 * @DTRACK_SET_BITMAP: the dirty granules of the frozen bitmap
 * @DTRACK_SET_ALL: every granule of the device
 */
enum dtrack_set {
	DTRACK_SET_BITMAP = 0,
	DTRACK_SET_ALL = 1,
};

#define DTRACK_BITMAP_RECORDING		(1U << 0)
#define DTRACK_BITMAP_BUSY		(1U << 1)
#define DTRACK_BITMAP_PERSISTENT	(1U << 2)
#define DTRACK_BITMAP_INCONSISTENT	(1U << 3)
#define DTRACK_BITMAP_READONLY		(1U << 4)
#define DTRACK_BITMAP_OWNED		(1U << 5)
#define DTRACK_BITMAP_MISSING		(1U << 6)	/* enabling it is a step */

/**
 * struct dtrack_bitmap_info - one bitmap.
 * @name: NUL-terminated, the rest zero
 * @uuid: random at add, kept for the bitmap's life
 * @device_size: bytes of the device (a frozen bitmap may be of another @bytes)
 * @bytes: bytes that the content covers
 * @granularity: bytes, a power of two
 * @generation: 1 at add, +1 with each abdicate, clear, disable, load, end of
 *	an 'always' run, and whenever all was made dirty
 * @count: dirty bytes, cut at the end of the device; exact when the bitmap is
 *	busy or not recording, 'at least' otherwise
 * @successor_count: dirty bytes of the successor, 0 when not busy
 * @full_leaves: parts that report too much because memory was missing
 * @run: id of the current freeze, 0 when not busy
 * @last_run: id of the last freeze that ended by abdicate or in mode
 *	'always', 0 if none; tells a run's own generation step from another's
 * @owner_since: when the freeze began, seconds since 1970; 0 when not busy
 * @flags: DTRACK_BITMAP_* bits
 * @mode: enum dtrack_mode of the freeze, 0 when not busy
 * @set: enum dtrack_set of the freeze, 0 when not busy
 * @owner_pid: thread group that owns the freeze, in the caller's pid
 *	namespace; 0 when there is no owner
 * @owner_comm: its command name; NUL-terminated
 */
struct dtrack_bitmap_info {
	__u8 name[DTRACK_NAME_LEN];
	__u8 uuid[DTRACK_UUID_LEN];
	__aligned_u64 device_size;
	__aligned_u64 bytes;
	__aligned_u64 granularity;
	__aligned_u64 generation;
	__aligned_u64 count;
	__aligned_u64 successor_count;
	__aligned_u64 full_leaves;
	__aligned_u64 run;
	__aligned_u64 last_run;
	__aligned_u64 owner_since;
	__u32 flags;
	__u32 mode;
	__u32 set;
	__u32 owner_pid;
	__u8 owner_comm[DTRACK_COMM_LEN];
};

/**
 * struct dtrack_tally - requests of one kind.
 * @nr: how many, as device-mapper hands them on: split, and once more when one
 *	was pushed back
 * @bytes: of them together
 */
struct dtrack_tally {
	__aligned_u64 nr;
	__aligned_u64 bytes;
};

/**
 * struct dtrack_writes - what has been written to a device and was marked.
 * @writes: plain writes
 * @discards: discards
 * @zeroes: write-zeroes
 * @others: secure erase, and what else changes data
 * @idle: milliseconds since the last of any kind began; all ones if there was
 *	none
 *
 * Since the device was made, whatever tables it has had and whatever bitmaps
 * recorded.  Counted when a write is marked, before it is submitted; failed
 * ones count.  Flushes without data do not.
 */
struct dtrack_writes {
	struct dtrack_tally writes;
	struct dtrack_tally discards;
	struct dtrack_tally zeroes;
	struct dtrack_tally others;
	__aligned_u64 idle;
};

/**
 * struct dtrack_ioc_info - a device and its bitmaps (DTRACK_IOC_INFO).
 * @size: sizeof(struct dtrack_ioc_info)
 * @flags: must be 0
 * @dev: the device
 * @nr: in: room in @infos; out: number of bitmaps, also on EMSGSIZE
 * @entry_size: sizeof(struct dtrack_bitmap_info) as the caller knows it:
 *	entries are cut or padded with zeroes to it
 * @infos: array of entries of @entry_size bytes, in order of creation
 * @name: only this bitmap; empty: all
 * @out_device_size: bytes of the device
 * @out_lower_start: where the device begins on @out_lower, bytes
 * @out_lower: the device below
 * @out_writes: what has been written; only with DTRACK_FEATURE_WRITES.  Version
 *	1 of the struct ended before it
 */
struct dtrack_ioc_info {
	__u32 size;
	__u32 flags;
	struct dtrack_dev dev;
	__u32 nr;
	__u32 entry_size;
	__aligned_u64 infos;
	__aligned_u64 out_device_size;
	__aligned_u64 out_lower_start;
	struct dtrack_dev out_lower;
	__u8 name[DTRACK_NAME_LEN];
	struct dtrack_writes out_writes;
};

#define DTRACK_ADD_DISABLED	(1U << 0)	/* it does not record */
#define DTRACK_ADD_PERSISTENT	(1U << 1)	/* needs a metadata device */

/**
 * struct dtrack_ioc_add - a new, clean bitmap (DTRACK_IOC_ADD).
 * @size: sizeof(struct dtrack_ioc_add)
 * @flags: DTRACK_ADD_*
 * @dev: the device
 * @granularity: bytes, a power of two in 512..2^31; 0: 65536
 * @name: 1..1023 bytes of UTF-8 without control characters, blanks and any of
 *	'"', '\', ':', '/'
 * @out_uuid: the new bitmap's
 *
 * EEXIST, EOVERFLOW, EINVAL; EOPNOTSUPP for DTRACK_ADD_PERSISTENT while the
 * device has no metadata device.
 */
struct dtrack_ioc_add {
	__u32 size;
	__u32 flags;
	struct dtrack_dev dev;
	__aligned_u64 granularity;
	__u8 name[DTRACK_NAME_LEN];
	__u8 out_uuid[DTRACK_UUID_LEN];
};

/**
 * struct dtrack_ioc_bitmap - a bitmap as the one argument: DTRACK_IOC_REMOVE,
 * DTRACK_IOC_CLEAR, DTRACK_IOC_ENABLE, DTRACK_IOC_DISABLE.
 * @size: sizeof(struct dtrack_ioc_bitmap)
 * @flags: must be 0
 * @dev: the device
 * @name: the bitmap
 *
 * Each is refused with EBUSY while the bitmap is frozen.  Writes that are in
 * flight during a clear or an enable are dirty afterwards.
 */
struct dtrack_ioc_bitmap {
	__u32 size;
	__u32 flags;
	struct dtrack_dev dev;
	__u8 name[DTRACK_NAME_LEN];
};

/**
 * struct dtrack_source - a source of a merge.
 * @dev: its device, of the same size as the target's
 * @name: the bitmap
 */
struct dtrack_source {
	struct dtrack_dev dev;
	__u8 name[DTRACK_NAME_LEN];
};

/**
 * struct dtrack_ioc_merge - unite bitmaps into one (DTRACK_IOC_MERGE).
 * @size: sizeof(struct dtrack_ioc_merge)
 * @flags: must be 0
 * @dev: the target's device
 * @name: the target
 * @nr: number of sources, 0..256; 0: a successful no-op
 * @reserved: must be 0
 * @sources: array of struct dtrack_source; the target may be among them
 *
 * Granularities may differ, the result covers every source's dirty bytes.
 * All sources are merged or, on any error, none.
 */
struct dtrack_ioc_merge {
	__u32 size;
	__u32 flags;
	struct dtrack_dev dev;
	__u8 name[DTRACK_NAME_LEN];
	__u32 nr;
	__u32 reserved;
	__aligned_u64 sources;
};

#define DTRACK_FREEZE_NO_OWNER	(1U << 0)	/* outlives the open file */

/**
 * struct dtrack_ioc_freeze - begin a run (DTRACK_IOC_FREEZE).
 * @size: sizeof(struct dtrack_ioc_freeze)
 * @flags: DTRACK_FREEZE_*
 * @dev: the device
 * @name: the bitmap
 * @mode: enum dtrack_mode
 * @set: enum dtrack_set
 * @out_run: id of this freeze, not 0, random
 * @out_generation: generation of the frozen content
 *
 * The bitmap is immutable from here on and a successor records.  A write that
 * is in flight is in both.  The freeze belongs to the open file and the process
 * that called: when that process closes the file or ends, whatever children
 * still have it open, the kernel reclaims as enum dtrack_mode says.
 */
struct dtrack_ioc_freeze {
	__u32 size;
	__u32 flags;
	struct dtrack_dev dev;
	__u8 name[DTRACK_NAME_LEN];
	__u32 mode;
	__u32 set;
	__aligned_u64 out_run;
	__aligned_u64 out_generation;
};

#define DTRACK_END_FORCE	(1U << 0)	/* reclaim: whoever owns it */

/**
 * struct dtrack_ioc_end - end a run (DTRACK_IOC_ABDICATE, DTRACK_IOC_RECLAIM).
 * @size: sizeof(struct dtrack_ioc_end)
 * @flags: DTRACK_END_FORCE, for reclaim only
 * @dev: the device
 * @name: the bitmap
 * @run: of the freeze, ESTALE when it has been taken away; 0: a freeze without
 *	owner, EBUSY when it has one (but for DTRACK_END_FORCE)
 * @out_generation: generation afterwards
 *
 * ENODATA when the bitmap is not frozen and @run is 0.
 */
struct dtrack_ioc_end {
	__u32 size;
	__u32 flags;
	struct dtrack_dev dev;
	__u8 name[DTRACK_NAME_LEN];
	__aligned_u64 run;
	__aligned_u64 out_generation;
};

/**
 * struct dtrack_range - bytes of a device.
 * @start: first byte
 * @length: bytes, > 0
 */
struct dtrack_range {
	__aligned_u64 start;
	__aligned_u64 length;
};

/**
 * struct dtrack_ioc_report - say what is safely copied (DTRACK_IOC_REPORT).
 * @size: sizeof(struct dtrack_ioc_report)
 * @flags: must be 0
 * @dev: the device
 * @name: the frozen bitmap
 * @run: of the freeze; 0: one without owner
 * @nr: number of ranges, 0..DTRACK_MAX_RANGES
 * @reserved: must be 0
 * @ranges: array of struct dtrack_range, each of whole granules (the end of the
 *	content, or of a device that has shrunk, counts as one) and inside the
 *	set; EINVAL otherwise
 *
 * To be called after the target is flushed: what is reported is forgotten at
 * the end of an 'always' run.  All ranges are checked before any is taken; on
 * ENOMEM some may have been, and the call may be repeated.
 */
struct dtrack_ioc_report {
	__u32 size;
	__u32 flags;
	struct dtrack_dev dev;
	__u8 name[DTRACK_NAME_LEN];
	__aligned_u64 run;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 ranges;
};

#define DTRACK_EXTENTS_SUCCESSOR	(1U << 0)	/* of a frozen bitmap */

/**
 * struct dtrack_ioc_extents - dirty bytes by cursor (DTRACK_IOC_EXTENTS).
 * @size: sizeof(struct dtrack_ioc_extents)
 * @flags: DTRACK_EXTENTS_*
 * @dev: the device
 * @name: the bitmap
 * @cursor: in: where to start, a byte, 0 at first; out: where to go on, or
 *	the content's size when there is nothing more
 * @nr: in: room in @ranges, not 0, of which at most DTRACK_MAX_RANGES are used;
 *	out: number of ranges given
 * @reserved: must be 0
 * @ranges: array of struct dtrack_range: ascending, not adjacent, cut at the
 *	end of the content and of the device.  A run that the cursor cuts off goes
 *	on.
 * @generation: in: 0, or the generation that the reader relies on (ESTALE
 *	when it is another one); out: the bitmap's
 *
 * Exact when the bitmap is busy or not recording, else 'at least': what was
 * dirty before the call.
 */
struct dtrack_ioc_extents {
	__u32 size;
	__u32 flags;
	struct dtrack_dev dev;
	__u8 name[DTRACK_NAME_LEN];
	__aligned_u64 cursor;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 ranges;
	__aligned_u64 generation;
};

#define DTRACK_BITS_BEGIN	(1U << 0)	/* load: drop what was staged */
#define DTRACK_BITS_COMMIT	(1U << 1)	/* load: it becomes the content */
#define DTRACK_BITS_MERGE	(1U << 2)	/* commit: unite instead */

/**
 * struct dtrack_ioc_bits - raw bits by chunk (DTRACK_IOC_BITS_GET and
 * DTRACK_IOC_BITS_LOAD).
 * @size: sizeof(struct dtrack_ioc_bits)
 * @flags: DTRACK_BITS_*, for load only
 * @dev: the device
 * @name: the bitmap
 * @start: first byte of the device, a multiple of 8 granules
 * @length: bytes of the device, a multiple of 8 granules but at the end of the
 *	content; 0 allowed for load
 * @buffer: (granules of @length + 7) / 8 bytes, at most DTRACK_MAX_CHUNK: bit
 *	k % 8 of byte k / 8 is granule @start / granularity + k, 1 is dirty;
 *	bits after the last granule are 0 in get, ignored in load
 * @generation: as in struct dtrack_ioc_extents, in each call of a load; out:
 *	after DTRACK_BITS_COMMIT the new one
 *
 * Load collects chunks in a bitmap that belongs to the open file and starts
 * clean at DTRACK_BITS_BEGIN; the call with DTRACK_BITS_COMMIT replaces the
 * content of the bitmap, which must be idle, with all of it at once, or unites
 * both.  A file collects for one bitmap at a time.  Every call checks that
 * bitmap: ESTALE when @name is another one by now or not the one that the load
 * began with, or its size or generation changed since; ENOENT when it was
 * removed, EBUSY while it is frozen.
 */
struct dtrack_ioc_bits {
	__u32 size;
	__u32 flags;
	struct dtrack_dev dev;
	__u8 name[DTRACK_NAME_LEN];
	__aligned_u64 start;
	__aligned_u64 length;
	__aligned_u64 buffer;
	__aligned_u64 generation;
};

/**
 * enum dtrack_action_type - what an action of a transaction does.
 * @DTRACK_ACTION_ABORT: fails with ECANCELED, so that the actions before it
 *	are tried out and undone; uses no field, not even @dev
 * @DTRACK_ACTION_ADD: as DTRACK_IOC_ADD; @flags, @granularity; out: @uuid
 * @DTRACK_ACTION_REMOVE: as DTRACK_IOC_REMOVE.  The name is free after the
 *	transaction, not within it (EEXIST), and later actions on it find it
 *	busy (EBUSY)
 * @DTRACK_ACTION_CLEAR: as DTRACK_IOC_CLEAR
 * @DTRACK_ACTION_ENABLE: as DTRACK_IOC_ENABLE
 * @DTRACK_ACTION_DISABLE: as DTRACK_IOC_DISABLE
 * @DTRACK_ACTION_MERGE: as DTRACK_IOC_MERGE; @nr, @sources
 * @DTRACK_ACTION_FREEZE: as DTRACK_IOC_FREEZE; @flags, @mode, @set; @run: in:
 *	an id that the caller has drawn at random, EEXIST when a freeze of the
 *	device or the bitmap's last run has it, or 0; out: the id; @generation:
 *	in: 0, or the one that the caller relies on, ESTALE when it is another
 *	by then; out: of the frozen content
 * @DTRACK_ACTION_ABDICATE: as DTRACK_IOC_ABDICATE; @run; out: @generation
 * @DTRACK_ACTION_RECLAIM: as DTRACK_IOC_RECLAIM; @flags, @run; out:
 *	@generation
 */
enum dtrack_action_type {
	DTRACK_ACTION_ABORT = 0,
	DTRACK_ACTION_ADD = 1,
	DTRACK_ACTION_REMOVE = 2,
	DTRACK_ACTION_CLEAR = 3,
	DTRACK_ACTION_ENABLE = 4,
	DTRACK_ACTION_DISABLE = 5,
	DTRACK_ACTION_MERGE = 6,
	DTRACK_ACTION_FREEZE = 7,
	DTRACK_ACTION_ABDICATE = 8,
	DTRACK_ACTION_RECLAIM = 9,
};

/**
 * struct dtrack_action - one action of a transaction.
 * @type: enum dtrack_action_type
 * @flags: as in the command of that type
 * @dev: the device
 * @name: the bitmap
 * @granularity: as in struct dtrack_ioc_add
 * @run: as in struct dtrack_ioc_end; for a freeze see above
 * @generation: in: 0, but for a freeze; out: as in struct dtrack_ioc_freeze and
 *	_end
 * @sources: as in struct dtrack_ioc_merge
 * @nr: number of @sources
 * @mode: as in struct dtrack_ioc_freeze
 * @set: as in struct dtrack_ioc_freeze
 * @reserved: must be 0
 * @uuid: in: 0; out: the new bitmap's
 *
 * What @type does not name must be 0 (EINVAL).
 */
struct dtrack_action {
	__u32 type;
	__u32 flags;
	struct dtrack_dev dev;
	__u8 name[DTRACK_NAME_LEN];
	__aligned_u64 granularity;
	__aligned_u64 run;
	__aligned_u64 generation;
	__aligned_u64 sources;
	__u32 nr;
	__u32 mode;
	__u32 set;
	__u32 reserved;
	__u8 uuid[DTRACK_UUID_LEN];
};

/**
 * struct dtrack_ioc_transaction - many actions at one point in time, or none
 * (DTRACK_IOC_TRANSACTION).
 * @size: sizeof(struct dtrack_ioc_transaction)
 * @flags: must be 0
 * @nr: number of actions, 0..DTRACK_MAX_ACTIONS; 0: a successful no-op
 * @entry_size: sizeof(struct dtrack_action) as the caller knows it; what the
 *	module does not know of an entry must be 0 (E2BIG)
 * @actions: array of entries of @entry_size bytes
 * @out_failed: index of the action that failed, also on error; @nr when no
 *	action is to blame
 * @reserved: must be 0
 *
 * Actions are executed in order and later ones see what earlier ones did; the
 * first that fails decides the error, and everything is as it was.  All devices
 * begin a new epoch together and nothing else gets in between: what is written
 * to a device before that point counts for every action on it, what comes
 * later for none.  Over several devices the points lie within microseconds of
 * each other while writes go on: a write that is in flight then is in the old
 * and the new content of its device.
 */
struct dtrack_ioc_transaction {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 entry_size;
	__aligned_u64 actions;
	__u32 out_failed;
	__u32 reserved;
};

#define DTRACK_IOC_TYPE		0xDB

#define DTRACK_IOC_VERSION	_IO(DTRACK_IOC_TYPE, 0x00)
#define DTRACK_IOC_LIST		_IO(DTRACK_IOC_TYPE, 0x01)
#define DTRACK_IOC_INFO		_IO(DTRACK_IOC_TYPE, 0x02)
#define DTRACK_IOC_ADD		_IO(DTRACK_IOC_TYPE, 0x03)
#define DTRACK_IOC_REMOVE	_IO(DTRACK_IOC_TYPE, 0x04)
#define DTRACK_IOC_CLEAR	_IO(DTRACK_IOC_TYPE, 0x05)
#define DTRACK_IOC_ENABLE	_IO(DTRACK_IOC_TYPE, 0x06)
#define DTRACK_IOC_DISABLE	_IO(DTRACK_IOC_TYPE, 0x07)
#define DTRACK_IOC_MERGE	_IO(DTRACK_IOC_TYPE, 0x08)
#define DTRACK_IOC_FREEZE	_IO(DTRACK_IOC_TYPE, 0x09)
#define DTRACK_IOC_ABDICATE	_IO(DTRACK_IOC_TYPE, 0x0a)
#define DTRACK_IOC_RECLAIM	_IO(DTRACK_IOC_TYPE, 0x0b)
#define DTRACK_IOC_REPORT	_IO(DTRACK_IOC_TYPE, 0x0c)
#define DTRACK_IOC_EXTENTS	_IO(DTRACK_IOC_TYPE, 0x0d)
#define DTRACK_IOC_BITS_GET	_IO(DTRACK_IOC_TYPE, 0x0e)
#define DTRACK_IOC_BITS_LOAD	_IO(DTRACK_IOC_TYPE, 0x0f)
#define DTRACK_IOC_TRANSACTION	_IO(DTRACK_IOC_TYPE, 0x10)

#endif
