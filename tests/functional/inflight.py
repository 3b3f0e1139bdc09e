# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes in flight: none is lost at a freeze, nor at anything else (I1, I2)."""
import mmap
import os
import struct

import dm
from kit import *


@case
def write_in_flight_at_freeze():
    """This test will freeze while a write is in flight, copy what is frozen,
    let the write land, and find it in the successor."""
    delay, t = delayed()
    pid = start_write(t, 640 * K)
    run_id = t.freeze()
    same(t.inflight(), 1, 'writes in flight after the freeze')
    same(t.dirty(), {10}, 'frozen')
    same(t.successor(), set(), 'successor before the write completes')
    same(dm.read(t.path, 640 * K, 4 * K), bytes(4 * K), 'the copy')
    delay.release()
    same(wait(pid), 0, 'the writer')
    same(dm.read(t.path, 640 * K, 4 * K), b'\7' * 4 * K, 'the device')
    same(t.successor(), {10}, 'successor after the write completed')
    t.abdicate(run=run_id)
    same(t.dirty(), {10}, 'after the run')


@case
def write_in_flight_at_message_freeze():
    """This test will do the same by messages to the target alone."""
    delay, t = delayed(bitmaps=())
    t.message('bitmap-add b')
    pid = start_write(t, 640 * K)
    t.message('bitmap-freeze b')
    same(t.inflight(), 1, 'writes in flight after the freeze')
    delay.release()
    same(wait(pid), 0, 'the writer')
    t.message('bitmap-abdicate b')
    same(t.status().split()[3:6], ['65536', '65536', 'r'], 'status')


@case
def write_in_flight_at_two_freezes():
    """This test will keep a write in flight across two whole runs: it is in
    the first frozen bitmap and in the last successor."""
    delay, t = delayed()
    pid = start_write(t, 0)
    t.abdicate(run=t.freeze())
    run_id = t.freeze()
    same(t.dirty(), set(), 'second frozen bitmap')
    delay.release()
    wait(pid)
    same(t.successor(), {0}, 'second successor')
    t.abdicate(run=run_id)
    same(t.dirty(), {0}, 'after the second run')


@case
def write_in_flight_across_granules_at_freeze():
    """This test will freeze under a write of three granules of each of two
    bitmaps: the successors get all of them."""
    delay, t = delayed(bitmaps=(('b', 64 * K), ('fine', 4 * K)))
    pid = start_write(t, 124 * K, 136 * K)
    run_b, run_fine = t.freeze('b'), t.freeze('fine')
    delay.release()
    wait(pid)
    same(t.successor('b'), {1, 2, 3, 4}, 'b')
    same(t.successor('fine', 4 * K), set(range(31, 65)), 'fine')
    t.abdicate('b', run_b)
    t.abdicate('fine', run_fine)


@case
def failed_write_in_flight_at_freeze():
    """This test will let a write that is in flight at a freeze fail: what
    reached the media is unknown, so the successor has it."""
    broken = Dm(new_name('error'), 4 * M, 'error')
    loop = Loop(4 * M)
    delay = Delay(new_name('delay'), loop.path, 4 * M, below=broken.path)
    t = Tracked(delay, bitmaps={'b': 64 * K})
    pid = start_write(t, M)
    run_id = t.freeze()
    delay.release()
    same(wait(pid), 5, 'the writer (EIO)')
    same(t.successor(), {16}, 'successor')
    t.abdicate(run=run_id)
    same(t.dirty(), {16}, 'after the run')


@case
def write_in_flight_at_clear_enable_add():
    """This test will clear, enable and add bitmaps under a write in flight,
    which is dirty in each of them when it completes."""
    delay, t = delayed(bitmaps=(('cleared', 64 * K), ('enabled', 64 * K)))
    t.ctl.disable(t.dev, 'enabled')
    pid = start_write(t, 64 * K)
    t.ctl.clear(t.dev, 'cleared')
    t.ctl.enable(t.dev, 'enabled')
    t.ctl.add(t.dev, 'added', 4 * K)
    same(t.inflight(), 1, 'writes in flight')
    delay.release()
    wait(pid)
    for name in 'cleared', 'enabled':
        same(t.dirty(name), {1}, name)
    same(t.dirty('added', 4 * K), {16}, 'added')


@case
def write_in_flight_at_disable_and_reclaim():
    """This test will disable a bitmap, and reclaim another, under a write in
    flight: both have it, for it began before."""
    delay, t = delayed(bitmaps=(('disabled', 64 * K), ('reclaimed', 64 * K)))
    pid = start_write(t, 64 * K)
    t.ctl.disable(t.dev, 'disabled')
    t.reclaim('reclaimed', t.freeze('reclaimed'))
    for name in 'disabled', 'reclaimed':
        same(t.dirty(name), {1}, name)
    delay.release()
    wait(pid)
    for name in 'disabled', 'reclaimed':
        same(t.dirty(name), {1}, f'{name}, later')


# ---- Random ----

class Journal:
    """What a writer has finished, in memory that it shares with us.

    Entries are granules in the order in which writes were acknowledged. Their
    number is stored at once: struct.pack_into() would make it 0 first.
    """
    ROOM = 1 << 20

    def __init__(self):
        self.map = mmap.mmap(-1, 8 + 4 * self.ROOM)
        self.nr = memoryview(self.map)[:8].cast('Q')

    def add(self, granule):
        nr = len(self)
        struct.pack_into('I', self.map, 8 + 4 * (nr % self.ROOM), granule)
        self.nr[0] = nr + 1

    def __len__(self):
        return self.nr[0]

    def since(self, first, last):
        true(last - first < self.ROOM, 'journal overrun')
        return {struct.unpack_from('I', self.map, 8 + 4 * (i % self.ROOM))[0]
                for i in range(first, last)}


def random_writer(t, journal, seed_value, stop):
    rng = random.Random(seed_value)
    fd = dm.open_direct(t.path)
    with mmap.mmap(-1, 4 * K) as buf:
        while not stop[0]:
            granule = rng.randrange(t.size // (4 * K))
            buf[:] = rng.randbytes(8) * 512
            os.pwrite(fd, buf, granule * 4 * K)
            journal.add(granule)
    os.close(fd)


def copy_extents(t, target, extents):
    """A run's copy: the device as it is now, into a file in memory."""
    fd = dm.open_direct(t.path, os.O_RDONLY)
    for begin, length in extents:
        with mmap.mmap(-1, length) as buf:
            same(os.preadv(fd, [buf], begin), length, 'read')
            target[begin:begin + length] = buf[:]
    os.close(fd)


def writers_against_freezes(t, cycles, nr_writers, rng):
    """Runs cycles of incremental backups under writers.

    Each write that was acknowledged between two freezes is in the second one's
    frozen bitmap; and what was copied, with a last run when all is quiet, is
    the device. A writer's first entry after a freeze may have been
    acknowledged before it, and be in the frozen bitmap of then.
    """
    target, stop = bytearray(t.size), mmap.mmap(-1, 1)
    journals = [Journal() for _ in range(nr_writers)]
    pids = [start(random_writer, t, j, rng.random(), stop) for j in journals]
    seen, before = [0] * nr_writers, set()
    for cycle in range(cycles):
        # new write of each, so that every cycle tests something
        for j, first in zip(journals, seen):
            wait_for(lambda j=j, first=first: len(j) > first + 1, 'writes')
        acked = [len(j) for j in journals]
        run_id = t.freeze()
        frozen = t.extents()
        now = granules(frozen, 4 * K)
        lost = set()
        for j, first, last in zip(journals, seen, acked):
            lost |= j.since(first, first + 1) - now - before
            lost |= j.since(first + 1, last) - now
        before = now
        true(not lost, f'cycle {cycle}: acknowledged before the freeze and '
             f'not frozen: granules {sorted(lost)[:8]}')
        seen = [len(j) for j in journals]
        copy_extents(t, target, frozen)
        if rng.random() < 0.3:
            # the run fails: its granules stay dirty
            t.reclaim(run=run_id)
            missing = now - t.dirty(granularity=4 * K)
            same(missing, set(), 'lost by reclaim')
        else:
            t.abdicate(run=run_id)
    stop[0] = 1
    for pid in pids:
        same(wait(pid), 0, 'a writer')
    run_id = t.freeze()
    copy_extents(t, target, t.extents())
    t.abdicate(run=run_id)
    same(t.extents(), [], 'dirty when all is quiet')
    data = dm.read(t.path, 0, t.size)
    wrong = [g for g in range(t.size // (4 * K))
             if data[g * 4 * K:(g + 1) * 4 * K] !=
             target[g * 4 * K:(g + 1) * 4 * K]]
    true(not wrong, f'the target differs from the device in granules '
         f'{wrong[:8]} of {len(wrong)}')


@case(limit=120)
def writers_against_freezes_fast():
    """This test will run incremental backups against writers, as fast as
    both can, and compare the target bit for bit."""
    rng = seed()
    t = tracked(bitmaps={'b': 4 * K})
    writers_against_freezes(t, 15 if QEMU else 40 if DEBUG else 300, 2, rng)


@case(limit=120)
def writers_against_freezes_slow():
    """This test will do the same with writes that stay below for some
    milliseconds, so that each freeze finds some in flight."""
    rng = seed()
    _, t = delayed(bitmaps={'b': 4 * K}, ms=3)
    writers_against_freezes(t, 8 if QEMU else 20 if DEBUG else 80, 4, rng)
