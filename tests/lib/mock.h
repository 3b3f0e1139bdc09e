/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mock.h - a kernel that gives canned replies, for tests without a module.
 *
 * Linked into a test, or LD_PRELOADed into the command (mock.so).  It stands
 * for /dev/dirtytrack, for block devices called /dev/mock/N (number 4001:N), for
 * libdevmapper and for libkmod.  What it answers is a script, one thing a line:
 *
 *	OPEN ERRNO			opening the control file fails
 *	KMOD ERRNO			looking for the module fails; without this
 *					line none is installed
 *	ABI N				version that the module speaks
 *	DEV MAJ:MIN SIZE [MAJ:MIN [START]]	a tracked device, what is below
 *					and where it begins there, bytes
 *	WRITES MAJ:MIN N BYTES N BYTES N BYTES N BYTES IDLE
 *					its counters; without them it has none,
 *					as a module that does not count
 *	BITMAP MAJ:MIN NAME KEY=VALUE...	granularity, generation, count,
 *					successor, full-leaves, last-run, flags,
 *					pid, comm, since, uuid (a byte, 16 times),
 *					bytes
 *	EXTENT START LENGTH [MAJ:MIN]	of any bitmap, its raw bits too; or of
 *					those of a device
 *	THEN N KEY=VALUE		so is every bitmap from the N-th INFO call
 *					on, 1 being the first
 *	PIECE N				ranges of an EXTENTS call at most
 *	STEP BYTES			an EXTENTS call scans no further
 *	FAIL NAME ERRNO [COUNT]		the ioctl fails, COUNT times (default
 *					always)
 *	SKIP NAME COUNT			its first COUNT calls do not fail
 *	SWAP KEY=VALUE			the first bitmap changes just before the
 *					first TRANSACTION
 *	BLAME N				a TRANSACTION told to fail says that
 *					action N did (default: none)
 *	FILE PATH [N]			/dev/mock/N, without N any, opens this
 *					file instead
 *	DM MAJ:MIN NAME TYPE [STATE] [PARAMS...]
 *					a device of device-mapper, its table of
 *					8192 sectors; STATE is suspended,
 *					readonly or -; TYPE - for no table.
 *					Without any such line it refuses all
 *	ROOT PATH			/sys and /proc are below PATH
 *	KEEP PATH UUID			the kernel does as it says: what is
 *					abdicated or cleared steps and is clean;
 *					lines for the next script are in PATH
 *					after each change; UUID is the next one's
 *	SLOW MS				a file system takes so long to freeze; none
 *					is really frozen
 *
 * /run/dtrack and /var/lib/dtrack are folders run-dtrack and var-lib-dtrack beside
 * the script; linked into a test, they cannot be made.
 *
 * A freeze succeeds and gives the generation, but the bitmap stays as scripted.
 * What is added, removed and enabled stays so.  For the rest only actions within
 * a transaction see earlier ones; if it succeeds, what it added, cleared, enabled
 * and disabled stays.  Calls are logged to a file, a
 * line each; of a chunk of bits that is loaded the line has all extents, and ids
 * of runs are 1 for the first, and so on.  A process with DTR_MOCK_EXIT=NAME in
 * its environment ends after that ioctl.
 */
#ifndef TESTS_MOCK_H
#define TESTS_MOCK_H

/**
 * mock_script() - take a script, forget the one before.
 * @text: the script
 *
 * As a library, the script is in the file $DTR_MOCK, the log $DTR_MOCK_LOG.
 */
void mock_script(const char *text);

/**
 * mock_log() - what was called since the script was taken.
 *
 * Return: lines; valid until the next call of anything.
 */
const char *mock_log(void);

#endif
