// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ioctl-sweep.c - every command of /dev/dirtytrack with every kind of bad
 * struct: short, long, not zero behind what is known, unknown flags, reserved
 * members, bad pointers, bad devices, bad names, ranges that overflow.
 *
 * Usage: ioctl-sweep MAJOR MINOR FREE-MAJOR FREE-MINOR
 * The device has an idle bitmap 'b' and one, 'f', frozen without an owner; the
 * second number is a block device's that is not tracked. Prints each surprise
 * and exits with 1 if there was one. That nothing changed is for the caller to
 * check. Built for 64 and for 32 bits: the kernel must not tell the two apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dm-dirtytrack.h>

#define PAGE 4096u

/* Big enough for each struct, and for one that is a page too long. */
union arg {
	__u32 words[2 * PAGE / 4];
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
	char bytes[2 * PAGE];
};

/* One command: its struct, where its parts are (0: it has none), its flags. */
static const struct command {
	const char *name;
	unsigned long cmd;
	size_t size, dev, bitmap, reserved, pointer;
	__u32 flags;
	int changes;
} commands[] = {
#define NONE 0
#define OF(type, member) offsetof(struct dtrack_ioc_##type, member)
#define COMMAND(nr, type, dev, name, reserved, pointer, flags, changes) \
	{ #nr, DTRACK_IOC_##nr, sizeof(struct dtrack_ioc_##type), \
	  dev, name, reserved, pointer, flags, changes }
#define BITMAP(nr, type, reserved, pointer, flags, changes) \
	COMMAND(nr, type, OF(type, dev), OF(type, name), reserved, pointer, \
		flags, changes)
	COMMAND(VERSION, version, NONE, NONE, NONE, NONE, 0, 0),
	COMMAND(LIST, list, NONE, NONE, OF(list, reserved), OF(list, devs), 0, 0),
	BITMAP(INFO, info, NONE, OF(info, infos), 0, 0),
	BITMAP(ADD, add, NONE, NONE, 3, 1),
	BITMAP(REMOVE, bitmap, NONE, NONE, 0, 1),
	BITMAP(CLEAR, bitmap, NONE, NONE, 0, 1),
	BITMAP(ENABLE, bitmap, NONE, NONE, 0, 1),
	BITMAP(DISABLE, bitmap, NONE, NONE, 0, 1),
	BITMAP(MERGE, merge, OF(merge, reserved), OF(merge, sources), 0, 1),
	BITMAP(FREEZE, freeze, NONE, NONE, 1, 1),
	BITMAP(ABDICATE, end, NONE, NONE, 0, 1),
	BITMAP(RECLAIM, end, NONE, NONE, 1, 1),
	BITMAP(REPORT, report, OF(report, reserved), OF(report, ranges), 0, 1),
	BITMAP(EXTENTS, extents, OF(extents, reserved), OF(extents, ranges), 1, 0),
	BITMAP(BITS_GET, bits, NONE, OF(bits, buffer), 0, 0),
	BITMAP(BITS_LOAD, bits, NONE, OF(bits, buffer), 7, 1),
	COMMAND(TRANSACTION, transaction, NONE, NONE, OF(transaction, reserved),
		OF(transaction, actions), 0, 1),
};

static int ctl, surprises;
static struct dtrack_dev device, stranger;
static union arg arg;
static struct dtrack_range ranges[4];
/* As long as an entry may be. */
static union {
	struct dtrack_action action;
	char bytes[PAGE];
} entry;

static void *at(size_t offset)
{
	return arg.bytes + offset;
}

/*
 * A good call of @c on bitmap 'f', whose freeze refuses what would change it,
 * so that a bad field that is accepted never does anything. What it would
 * return is in fine().
 */
static void prepare(const struct command *c)
{
	memset(&arg, 0, sizeof(arg));
	arg.words[0] = (__u32)c->size;
	if (c->dev)
		memcpy(at(c->dev), &device, sizeof(device));
	if (c->bitmap)
		strcpy(at(c->bitmap), "f");
	if (c->pointer) {
		__u64 address = (uintptr_t)ranges;

		memcpy(at(c->pointer), &address, sizeof(address));
	}
	switch (c->cmd) {
	case DTRACK_IOC_INFO:
		arg.info.entry_size = sizeof(struct dtrack_bitmap_info);
		break;
	case DTRACK_IOC_LIST:
		arg.list.nr = 0;
		break;
	case DTRACK_IOC_EXTENTS:
		arg.extents.nr = 1;
		break;
	case DTRACK_IOC_REPORT:
		arg.report.run = 1;
		break;
	case DTRACK_IOC_ABDICATE:
	case DTRACK_IOC_RECLAIM:
		arg.end.run = 1;
		break;
	case DTRACK_IOC_BITS_GET:
		arg.bits.length = 4 << 20;
		break;
	case DTRACK_IOC_BITS_LOAD:
		arg.bits.flags = DTRACK_BITS_BEGIN;
		break;
	case DTRACK_IOC_TRANSACTION:
		memset(&entry, 0, sizeof(entry));
		entry.action.type = DTRACK_ACTION_CLEAR;
		entry.action.dev = device;
		strcpy((char *)entry.action.name, "f");
		arg.transaction.nr = 1;
		arg.transaction.entry_size = sizeof(entry.action);
		arg.transaction.actions = (uintptr_t)&entry;
		break;
	}
}

static int fine(const struct command *c)
{
	switch (c->cmd) {
	case DTRACK_IOC_INFO:
	case DTRACK_IOC_LIST:
		return EMSGSIZE;
	case DTRACK_IOC_ADD:
		return EEXIST;
	case DTRACK_IOC_ABDICATE:
	case DTRACK_IOC_RECLAIM:
	case DTRACK_IOC_REPORT:
		return ESTALE;
	case DTRACK_IOC_MERGE:
		return EBUSY;
	}
	return c->changes ? EBUSY : 0;
}

static void call(const struct command *c, const void *address, int expected,
		 const char *what)
{
	int got = ioctl(ctl, c->cmd, address) ? errno : 0;

	if (got == expected)
		return;
	printf("%s, %s: %s, expected %s\n", c->name, what, strerror(got),
	       strerror(expected));
	surprises++;
}

static void expect(const struct command *c, int expected, const char *what)
{
	call(c, &arg, expected, what);
}

/* What the struct was in version 1. */
static size_t least(const struct command *c)
{
	return c->cmd == DTRACK_IOC_INFO ? OF(info, out_writes) : c->size;
}

static void sweep_sizes(const struct command *c)
{
	size_t size;

	for (size = 0; size < least(c); size++) {
		prepare(c);
		arg.words[0] = (__u32)size;
		expect(c, EINVAL, "short");
	}
	for (; size < c->size; size++) {
		prepare(c);
		arg.words[0] = (__u32)size;
		memset(at(size), 0xa5, c->size - size);
		expect(c, fine(c), "as long as it once was");
		for (size_t i = size; i < c->size; i++)
			surprises += arg.bytes[i] != (char)0xa5;
	}
	for (size = c->size; size <= PAGE; size += size < c->size + 9 ? 1 : 97) {
		prepare(c);
		arg.words[0] = (__u32)size;
		expect(c, fine(c), "long, zero");
		if (size == c->size)
			continue;
		prepare(c);
		arg.words[0] = (__u32)size;
		arg.bytes[size - 1] = 1;
		expect(c, E2BIG, "long, last byte not zero");
		prepare(c);
		arg.words[0] = (__u32)size;
		arg.bytes[c->size] = 1;
		expect(c, E2BIG, "long, first byte not zero");
	}
	prepare(c);
	arg.words[0] = PAGE + 1;
	expect(c, E2BIG, "longer than a page");
	arg.words[0] = ~0u;
	expect(c, E2BIG, "4 GiB");
}

static void sweep_flags(const struct command *c)
{
	int bit;

	for (bit = 0; bit < 32; bit++) {
		if (c->flags & 1u << bit)
			continue;
		prepare(c);
		arg.words[1] |= 1u << bit;
		expect(c, EINVAL, "unknown flag");
	}
	for (bit = 0; c->reserved && bit < 32; bit++) {
		prepare(c);
		arg.words[c->reserved / 4] = 1u << bit;
		expect(c, EINVAL, "reserved not zero");
	}
}

/* The struct itself at addresses that are not the caller's. */
static void sweep_addresses(const struct command *c, char *edge)
{
	static const uintptr_t bad[] = {
		0, 1, 8, PAGE - 4, UINTPTR_MAX, UINTPTR_MAX - 7, UINTPTR_MAX / 2,
#if UINTPTR_MAX > 0xffffffffu
		0xffff888000000000ul, 0xffffffff81000000ul, 0x8000000000000000ul,
#else
		0xc0000000u,
#endif
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		call(c, (const void *)bad[i], EFAULT, "bad address");
	/* ends one byte too far, on a page that cannot be read */
	prepare(c);
	memcpy(edge - c->size + 1, &arg, c->size - 1);
	call(c, edge - c->size + 1, EFAULT, "across the edge");
	memcpy(edge - 4, &arg, 4);
	call(c, edge - 4, EFAULT, "only its size");
	prepare(c);
	memcpy(edge - c->size, &arg, c->size);
	call(c, edge - c->size, fine(c), "up to the edge");
}

/* The array that it points to. */
static void sweep_pointers(const struct command *c, const char *edge)
{
	const __u64 bad[] = { 0, 8, ~0ull, ~0ull - 15, 1ull << 63,
			      0xffff888000000000ull, 0xffffffff81000000ull,
			      (uintptr_t)edge, (uintptr_t)edge - 4 };
	size_t i;

	if (!c->pointer)
		return;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		prepare(c);
		memcpy(at(c->pointer), &bad[i], sizeof(bad[i]));
		switch (c->cmd) {
		case DTRACK_IOC_LIST:
			arg.list.nr = 16;
			break;
		case DTRACK_IOC_INFO:
			arg.info.nr = 16;
			break;
		case DTRACK_IOC_MERGE:
			arg.merge.nr = 1;
			break;
		case DTRACK_IOC_REPORT:
			arg.report.nr = 1;
			break;
		case DTRACK_IOC_BITS_LOAD:
			/* on the idle bitmap: collects, changes nothing */
			strcpy((char *)arg.bits.name, "b");
			arg.bits.length = 4 << 20;
			break;
		}
		expect(c, EFAULT, "bad pointer");
	}
}

static void sweep_devices(const struct command *c)
{
	const struct dtrack_dev bad[] = {
		{ 0, 0 }, { ~0u, ~0u }, { device.major, ~0u },
		{ device.major, 1 << 20 | device.minor },
		{ 1 << 12 | device.major, device.minor },
		{ device.minor, device.major }, stranger,
	};
	size_t i;

	for (i = 0; c->dev && i < sizeof(bad) / sizeof(bad[0]); i++) {
		prepare(c);
		memcpy(at(c->dev), &bad[i], sizeof(bad[i]));
		expect(c, ENODEV, "no such device");
	}
}

static void sweep_names(const struct command *c)
{
	if (!c->bitmap)
		return;
	prepare(c);
	memset(at(c->bitmap), 'f', DTRACK_NAME_LEN);
	expect(c, EINVAL, "name without end");
	prepare(c);
	memset(at(c->bitmap), 'x', DTRACK_NAME_LEN - 1);
	if (c->cmd == DTRACK_IOC_ADD)
		return;
	expect(c, ENOENT, "unknown name");
	prepare(c);
	strcpy(at(c->bitmap), "");
	/* info of all bitmaps */
	expect(c, c->cmd == DTRACK_IOC_INFO ? EMSGSIZE : ENOENT, "empty name");
}

static const struct command *find(unsigned long cmd)
{
	const struct command *c = commands;

	while (c->cmd != cmd)
		c++;
	return c;
}

/* Numbers that only one command has. */
static void sweep_numbers(void)
{
	const struct dtrack_range bad[] = {
		{ 0, 0 }, { 1, 65536 }, { 0, 1 }, { 0, 65535 }, { 65536, 65536 },
		{ 4 << 20, 65536 }, { ~0ull, 1 }, { ~0ull, ~0ull },
		{ 65536, ~0ull - 65535 }, { 1ull << 63, 1ull << 63 },
		{ 0, 1ull << 63 }, { 0, ~0ull },
	};
	const struct command *c = find(DTRACK_IOC_REPORT);
	size_t i;

	/* 'f' is frozen without an owner: run 0; its set is granule 0 */
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		prepare(c);
		arg.report.run = 0;
		arg.report.nr = 2;
		ranges[0].start = 0;
		ranges[0].length = 65536;
		ranges[1] = bad[i];
		expect(c, EINVAL, "bad range after a good one");
	}
	prepare(c);
	arg.report.nr = DTRACK_MAX_RANGES + 1;
	expect(c, EINVAL, "too many ranges");
	arg.report.nr = ~0u;
	expect(c, EINVAL, "4 Gi ranges");

	c = find(DTRACK_IOC_EXTENTS);
	prepare(c);
	arg.extents.nr = 0;
	expect(c, EINVAL, "no room");
	prepare(c);
	arg.extents.cursor = (4 << 20) + 1;
	expect(c, EINVAL, "cursor behind the end");
	arg.extents.cursor = ~0ull;
	expect(c, EINVAL, "cursor at the end of the world");
	prepare(c);
	arg.extents.generation = 77;
	expect(c, ESTALE, "another generation");

	c = find(DTRACK_IOC_INFO);
	for (i = 0; i < 5; i++) {
		static const __u32 sizes[] = {
			0, 1, sizeof(struct dtrack_bitmap_info) - 1, PAGE + 1,
			~0u };

		prepare(c);
		arg.info.entry_size = sizes[i];
		expect(c, EINVAL, "entry size");
	}

	c = find(DTRACK_IOC_MERGE);
	prepare(c);
	arg.merge.nr = DTRACK_MAX_BITMAPS + 1;
	expect(c, EINVAL, "too many sources");
	arg.merge.nr = ~0u;
	expect(c, EINVAL, "4 Gi sources");

	c = find(DTRACK_IOC_FREEZE);
	prepare(c);
	arg.freeze.mode = DTRACK_MODE_ALWAYS + 1;
	expect(c, EINVAL, "mode");
	prepare(c);
	arg.freeze.set = DTRACK_SET_ALL + 1;
	expect(c, EINVAL, "set");

	c = find(DTRACK_IOC_ADD);
	prepare(c);
	strcpy((char *)arg.add.name, "new");
	arg.add.flags = DTRACK_ADD_PERSISTENT;
	expect(c, EOPNOTSUPP, "persistent");
	arg.add.flags = 0;
	for (i = 0; i < 64; i++) {
		static const __u64 near[] = { 1, ~0ull };

		if (i < 9 || i > 31) {
			arg.add.granularity = 1ull << i;
			expect(c, EINVAL, "granularity out of range");
		}
		arg.add.granularity = (1ull << i) + near[i & 1];
		if (i > 1)
			expect(c, EINVAL, "granularity no power of two");
	}
}

static void sweep_bits(void)
{
	/* 64 granules of 64 KiB: chunks begin and end at multiples of 512 KiB */
	const struct dtrack_range bad[] = {
		{ 0, 1 }, { 0, 65536 }, { 65536, 524288 }, { 0, 4194305 },
		{ 524288, 4194304 }, { 4194304, 524288 }, { ~0ull, 1 },
		{ 524288, ~0ull - 524287 }, { 0, ~0ull }, { 1ull << 63, 1ull << 63 },
	};
	const struct command *get = find(DTRACK_IOC_BITS_GET);
	const struct command *load = find(DTRACK_IOC_BITS_LOAD);
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		prepare(get);
		arg.bits.start = bad[i].start;
		arg.bits.length = bad[i].length;
		expect(get, EINVAL, "bad chunk");
		prepare(load);
		strcpy((char *)arg.bits.name, "b");
		arg.bits.start = bad[i].start;
		arg.bits.length = bad[i].length;
		expect(load, EINVAL, "bad chunk");
	}
	prepare(get);
	arg.bits.length = 0;
	expect(get, EINVAL, "no bits");
	prepare(load);
	strcpy((char *)arg.bits.name, "b");
	arg.bits.flags = DTRACK_BITS_BEGIN | DTRACK_BITS_MERGE;
	expect(load, EINVAL, "merge without commit");
}

/* A transaction of the one action in @entry. */
static void expect_action(const struct command *c, int expected,
			  const char *what)
{
	expect(c, expected, what);
	if (arg.transaction.out_failed == 0)
		return;
	printf("%s, %s: action %u is to blame, expected 0\n", c->name, what,
	       arg.transaction.out_failed);
	surprises++;
}

/* What an action of @type does not use must be zero, what it does be known. */
static void sweep_action(const struct command *c, __u32 type)
{
	const int add = type == DTRACK_ACTION_ADD;
	const int merge = type == DTRACK_ACTION_MERGE;
	const int freeze = type == DTRACK_ACTION_FREEZE;
	const int run = freeze || type == DTRACK_ACTION_ABDICATE ||
			type == DTRACK_ACTION_RECLAIM;
	const __u32 flags = add ? 3 : freeze || type == DTRACK_ACTION_RECLAIM;
	unsigned int i;

#define BAD(member, value, what) do {					\
	prepare(c);							\
	entry.action.type = type;					\
	entry.action.member = (value);					\
	expect_action(c, EINVAL, what " of an action");			\
} while (0)
	for (i = 0; i < 32; i++)
		if (!(flags & 1u << i))
			BAD(flags, 1u << i, "unknown flag");
	BAD(reserved, 1, "reserved");
	if (!freeze)
		BAD(generation, 1, "unused generation");
	BAD(uuid[15], 1, "uuid");
	if (add)
		BAD(granularity, 511, "granularity");
	else
		BAD(granularity, 65536, "unused granularity");
	if (!run)
		BAD(run, 1, "unused run");
	BAD(mode, freeze ? DTRACK_MODE_ALWAYS + 1 : 1, "mode");
	BAD(set, freeze ? DTRACK_SET_ALL + 1 : 1, "set");
	BAD(nr, merge ? DTRACK_MAX_BITMAPS + 1 : 1, "number of sources");
	if (!merge)
		BAD(sources, 8, "unused sources");
	prepare(c);
	entry.action.type = type;
	memset(entry.action.name, 'f', sizeof(entry.action.name));
	expect_action(c, EINVAL, "name without end");
	prepare(c);
	entry.action.type = type;
	entry.action.dev = stranger;
	expect_action(c, type == DTRACK_ACTION_ABORT ? EINVAL : ENODEV,
		      "no such device");
}

static void sweep_actions(void)
{
	const struct command *c = find(DTRACK_IOC_TRANSACTION);
	__u32 type;
	size_t i;

	for (type = DTRACK_ACTION_ABORT; type <= DTRACK_ACTION_RECLAIM; type++)
		sweep_action(c, type);
	for (; type < 64; type++) {
		prepare(c);
		entry.action.type = type;
		expect_action(c, EINVAL, "unknown type");
	}
	prepare(c);
	entry.action.type = ~0u;
	expect_action(c, EINVAL, "4 Gi types");
	for (i = sizeof(entry.action); i <= PAGE; i += 97) {
		prepare(c);
		arg.transaction.entry_size = (__u32)i;
		expect_action(c, EBUSY, "long entry, zero");
		if (i == sizeof(entry.action))
			continue;
		prepare(c);
		arg.transaction.entry_size = (__u32)i;
		entry.bytes[i - 1] = 1;
		expect(c, E2BIG, "long entry, not zero");
	}
	for (i = 0; i < 4; i++) {
		static const __u32 sizes[] = {
			0, sizeof(struct dtrack_action) - 1, PAGE + 1, ~0u };

		prepare(c);
		arg.transaction.entry_size = sizes[i];
		expect(c, EINVAL, "entry size");
	}
	prepare(c);
	arg.transaction.nr = DTRACK_MAX_ACTIONS + 1;
	expect(c, EINVAL, "too many actions");
	arg.transaction.nr = ~0u;
	expect(c, EINVAL, "4 Gi actions");
	prepare(c);
	entry.action.type = DTRACK_ACTION_MERGE;
	entry.action.nr = 1;
	entry.action.sources = 8;
	expect_action(c, EFAULT, "sources at a bad address");
	prepare(c);
	entry.action.type = DTRACK_ACTION_ABORT;
	memset(&entry.action.dev, 0, sizeof(entry.action.dev));
	memset(entry.action.name, 0, sizeof(entry.action.name));
	expect_action(c, ECANCELED, "abort");
}

static void sweep_commands(void)
{
	unsigned int nr;

	prepare(&commands[0]);
	for (nr = 0; nr < 256; nr++) {
		struct command c = { .name = "unknown number" };

		c.cmd = _IO(DTRACK_IOC_TYPE, nr);
		if (nr > _IOC_NR(DTRACK_IOC_TRANSACTION))
			expect(&c, ENOTTY, "number");
		c.cmd = _IO(DTRACK_IOC_TYPE + 1, nr);
		expect(&c, ENOTTY, "type");
		c.cmd = _IOWR(DTRACK_IOC_TYPE, nr, struct dtrack_ioc_version);
		expect(&c, ENOTTY, "direction");
	}
}

/* A file that is open for reading only, by a command that changes. */
static void sweep_permission(const struct command *c)
{
	int writable = ctl;

	ctl = open("/dev/" DTRACK_DEVICE, O_RDONLY);
	prepare(c);
	expect(c, c->changes ? EACCES : fine(c), "opened for reading");
	close(ctl);
	ctl = writable;
}

int main(int argc, char **argv)
{
	size_t i;
	char *edge;

	if (argc != 5)
		return 2;
	device.major = (__u32)atoi(argv[1]);
	device.minor = (__u32)atoi(argv[2]);
	stranger.major = (__u32)atoi(argv[3]);
	stranger.minor = (__u32)atoi(argv[4]);
	ctl = open("/dev/" DTRACK_DEVICE, O_RDWR);
	edge = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ctl < 0 || edge == MAP_FAILED)
		return 2;
	edge += 2 * PAGE;
	mprotect(edge, 2 * PAGE, PROT_NONE);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *c = &commands[i];

		sweep_sizes(c);
		sweep_flags(c);
		sweep_addresses(c, edge);
		sweep_pointers(c, edge);
		sweep_devices(c);
		sweep_names(c);
		sweep_permission(c);
	}
	sweep_numbers();
	sweep_bits();
	sweep_actions();
	sweep_commands();
	return surprises ? 1 : 0;
}
