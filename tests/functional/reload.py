# SPDX-License-Identifier: GPL-2.0-or-later
"""Table reload and resize keep state (I7), SEMANTICS R01-R03, PEERS T7, T15."""
import ctypes
import fcntl
import mmap
import os
import struct

import abi
import dm
from inflight import Journal, random_writer, writers_against_freezes
from kit import *

LEAF = 32768    # granules of a leaf of the bitmap


def identity(t):
    return [(i.name, bytes(i.uuid), i.generation, i.granularity, i.flags,
             i.full_leaves) for i in t.ctl.infos(t.dev)]


def reloads():
    return 150 if QEMU else 200 if DEBUG else 1000


@case(limit=120)
def reload_same_table_many_times():
    """This test will load and resume the same table a thousand times, with
    recording, disabled and frozen bitmaps: nothing changes."""
    t = tracked(bitmaps={'b': 64 * K, 'off': 4 * K, 'frozen': 64 * K})
    t.fill(M)
    t.ctl.disable(t.dev, 'off')
    run_id = t.freeze('frozen', abi.ALWAYS)
    t.report([(M, 64 * K)], 'frozen', run_id)
    t.fill(2 * M)
    before = t.state()
    for i in range(reloads()):
        t.reload_same((dm.SKIP_LOCKFS, dm.SKIP_LOCKFS | dm.NOFLUSH)[i % 2])
        if i % 100 == 0:
            same(t.state(), before, f'after {i + 1} reloads')
    same(t.state(), before, 'in the end')
    t.abdicate('frozen', run_id)
    same(t.dirty('frozen'), {32}, 'the run that went on meanwhile')
    t.fill(3 * M)
    same(t.dirty(), {16, 32, 48}, 'it still records')


@case(limit=120)
def reload_under_writers():
    """This test will reload under two writers: each acknowledged write is
    dirty, and names, uuids and generations are as they were."""
    rng = seed()
    t = tracked(bitmaps={'b': 4 * K, 'coarse': M})
    before, stop = identity(t), mmap.mmap(-1, 1)
    journals = [Journal(), Journal()]
    pids = [start(random_writer, t, j, rng.random(), stop) for j in journals]
    for i in range(reloads() // 2):
        t.reload_same((dm.SKIP_LOCKFS, dm.SKIP_LOCKFS | dm.NOFLUSH)[i % 2])
    for j in journals:
        wait_for(lambda j=j: len(j) > 10, 'writes')
    stop[0] = 1
    for pid in pids:
        same(wait(pid), 0, 'a writer')
    same(identity(t), before, 'names, uuids, generations')
    written = set().union(*(j.since(0, len(j)) for j in journals))
    same(t.dirty('b', 4 * K), written, 'dirty')
    same(t.dirty('coarse', M), {g // 256 for g in written}, 'coarse')


@case(limit=120)
def reload_under_writers_and_freezes():
    """This test will reload in one process while another runs incremental
    backups against writers: the target is the device in the end."""
    rng = seed()
    t = tracked(bitmaps={'b': 4 * K})

    def reloader(stop):
        i = 0
        while not stop[0]:
            t.reload_same((dm.SKIP_LOCKFS, dm.SKIP_LOCKFS | dm.NOFLUSH)[i % 2])
            i += 1
    stop = mmap.mmap(-1, 1)
    pid = start(reloader, stop)
    writers_against_freezes(t, 6 if QEMU else 12 if DEBUG else 40, 2, rng)
    stop[0] = 1
    same(wait(pid), 0, 'the one who reloads')


@case
def reload_loaded_and_cleared():
    """This test will load tables that differ in all respects and clear them
    again: nothing happens."""
    t = tracked(bitmaps={'b': 64 * K, 'frozen': 64 * K})
    t.fill(M)
    run_id = t.freeze('frozen')
    before, other = t.state(), Loop(8 * M)
    for options, lower, size in (
            ('', None, 4 * M), ('bitmap new 4096', None, 4 * M),
            ('bitmap new 4096 clean', other, 8 * M), ('', other, 4 * M)):
        t.load('dirtytrack', t.line(options, lower), size)
        same(t.state(), before, 'while it is loaded')
        t.clear()
        same(t.state(), before, 'after clear')
    t.reclaim('frozen', run_id)


@case
def reload_to_linear_and_back():
    """This test will replace the target and come back: bitmaps are gone, one
    that the line asks for is all dirty, never empty (I8)."""
    t = tracked(options='bitmap line 65536 clean')
    t.fill(0)
    same(t.dirty('line'), {0}, 'before')
    uuid = bytes(t.info('line').uuid)
    ctl = t.ctl
    t.reload('linear', f'{t.lower_path} 0')
    with fails('ENODEV'):
        ctl.infos(t.dev)
    t.fill(M)
    t.reload('dirtytrack', t.line('bitmap line 65536'))
    same([i.name for i in ctl.infos(t.dev)], [b'line'], 'bitmaps')
    same(t.extents('line'), [(0, 4 * M)], 'dirty')
    true(bytes(t.info('line').uuid) != uuid, 'it is another bitmap')


@case
def reload_line_adds_bitmaps():
    """This test will add bitmaps by a table line: all dirty, or clean when the
    line says so; one that exists keeps its content."""
    t = tracked(bitmaps={'b': 64 * K})
    t.fill(0)
    uuid = bytes(t.info().uuid)
    t.reload('dirtytrack', t.line('bitmap b 65536 bitmap new 4096'))
    same(t.dirty(), {0}, 'b')
    same(bytes(t.info().uuid), uuid, 'uuid of b')
    same(t.extents('new'), [(0, 4 * M)], 'new')
    t.reload('dirtytrack', t.line('bitmap other 4096 clean'))
    same(t.extents('other'), [], 'other')
    same(t.extents('new'), [(0, 4 * M)], 'new, not in the line')
    t.ctl.clear(t.dev, 'new')
    t.suspend()
    t.resume()
    same(t.extents('new'), [], 'resumed again: the line is done')
    t.fill(M, 4 * K)
    for name in 'new', 'other':
        same(t.dirty(name, 4 * K), {256}, name)


@case
def reload_other_lower_device():
    """This test will go to another device, then to another offset: all is
    dirty and the generation says so, unless the line says same_data."""
    loop, other = Loop(8 * M), Loop(8 * M)
    t = Tracked(loop, 4 * M, bitmaps={'b': 64 * K, 'off': 64 * K})
    t.ctl.disable(t.dev, 'off')
    t.fill(0)
    generation = t.info().generation
    t.reload('dirtytrack', t.line('same_data', other))
    t.reload('dirtytrack', t.line('same_data', other, 8))
    same((t.dirty(), t.info().generation), ({0}, generation), 'same data')
    same(t.dirty('off'), set(), 'same data, disabled')
    for lower, offset in ((loop, 8), (loop, 0)):
        generations = [i.generation for i in t.ctl.infos(t.dev)]
        t.reload('dirtytrack', t.line('', lower, offset))
        for name in 'b', 'off':
            same(t.extents(name), [(0, 4 * M)], name)
        same([i.generation for i in t.ctl.infos(t.dev)],
             [g + 1 for g in generations], 'generations')
        for name in 'b', 'off':
            t.ctl.clear(t.dev, name)
    t.fill(0)
    same(t.dirty(), {0}, 'it records')


@case
def reload_other_lower_device_while_frozen():
    """This test will go to another device while a bitmap is frozen: the frozen
    content is as it was, the successor has everything."""
    t, other = tracked(), Loop(4 * M)
    t.fill(0)
    run_id = t.freeze()
    t.reload('dirtytrack', t.line('', other))
    same(t.dirty(), {0}, 'frozen')
    same(t.successor(), bits('0-63'), 'successor')
    t.abdicate(run=run_id)
    same(t.dirty(), bits('0-63'), 'after the run')


# ---- Resize ----

@case
def resize_grow_is_dirty():
    """This test will grow by a sector, a granule, a leaf of the bitmap and a
    level of summaries: the new tail, no more and no less, is dirty in every
    bitmap, disabled ones too."""
    loop = Loop(2 * G)
    size = LEAF * 512 - 512
    t = Tracked(loop, size, bitmaps={'b': 512, 'off': 512, 'b64k': 64 * K})
    t.ctl.disable(t.dev, 'off')
    for more in 512, 512, 64 * K, 512, LEAF * 512, 65 * LEAF * 512 - 1024, 512:
        old, size = size, size + more
        t.reload('dirtytrack', t.line(), size)
        for name in 'b', 'off':
            same(t.extents(name), [(old, more)], f'{name} grown to {size}')
            same(t.info(name).count, more, f'{name}: count')
            t.ctl.clear(t.dev, name)
        begin = old // (64 * K) * 64 * K
        same(t.extents('b64k'), [(begin, size - begin)], f'b64k at {size}')
        t.ctl.clear(t.dev, 'b64k')
        t.fill(size - 512, 512)
        same(t.extents('b'), [(size - 512, 512)], f'a write at {size}')
        same(t.extents('off'), [], 'disabled')
        t.ctl.clear(t.dev, 'b')
        t.ctl.clear(t.dev, 'b64k')


@case
def r01_shrink_and_regrow():
    """This test will shrink and grow again: what was cut off is dirty when it
    comes back."""
    t = tracked()
    write_w(t)
    t.reload('dirtytrack', t.line(), 3 * M)
    same(t.dirty(), bits('0 16 32-33'), 'shrunk')
    same(t.info().count, 4 * 64 * K, 'count')
    t.reload('dirtytrack', t.line(), 4 * M)
    same(t.dirty(), bits('0 16 32-33 48-63'), 'regrown')
    t.reload('dirtytrack', t.line(), 3 * M - 512)
    same(t.extents()[-1], (2 * M, 128 * K), 'cut inside a granule')
    t.fill(3 * M - 1024, 512)
    same(t.extents()[-1], (3 * M - 64 * K, 64 * K - 512), 'the last granule')


@case
def resize_while_frozen():
    """This test will shrink a device with a frozen bitmap, which the table's
    load refuses, and grow it: the frozen content keeps its end, the tail is
    in the successor (R02, R03)."""
    for mode, abdicate, expected in (
            (abi.CONDITIONAL, True, bits('16 64-79')),
            (abi.CONDITIONAL, False, bits('0 16 63-79')),
            (abi.NEVER, False, bits('0 16 63-79')),
            (abi.ALWAYS, True, bits('16 63-79'))):
        t = Tracked(Loop(8 * M), 4 * M, bitmaps={'b': 64 * K})
        t.fill(0)
        t.fill(63 * 64 * K)
        run_id = t.freeze(mode=mode)
        before = t.state()
        with fails('EBUSY'):
            t.load('dirtytrack', t.line(), 3 * M)
        same(t.state(), before, 'after the refused load')
        t.reload('dirtytrack', t.line(), 5 * M)
        t.fill(M)
        same(t.extents(), [(0, 64 * K), (63 * 64 * K, 64 * K)], 'frozen')
        same(t.info().bytes, 4 * M, 'bytes of the frozen content')
        same(t.info().device_size, 5 * M, 'bytes of the device')
        same(t.successor(), bits('16 64-79'), 'successor')
        if mode == abi.ALWAYS:
            with fails('EINVAL'):
                t.report([(4 * M, 64 * K)], run=run_id)
            t.report([(0, 64 * K)], run=run_id)
        (t.abdicate if abdicate else t.reclaim)(run=run_id)
        same(t.dirty(), expected, f'mode {mode}, abdicated {abdicate}')
        same(t.info().bytes, 5 * M, 'bytes after the run')
        t.fill(5 * M - 512, 512)
        true(79 in t.dirty(), 'it records at the new end')
        t.ctl.close()
        t.remove()


def _partition(loop, number, start, length):
    """A partition of a loop device that scans for them; its path. There is no
    udev, but devtmpfs."""
    part = ctypes.create_string_buffer(
        struct.pack('<qqi64s64s4x', start, length, number, b'', b''))

    def change(what):       # BLKPG
        fcntl.ioctl(loop.fd, 0x1269, struct.pack('iii4xQ', what, 0, len(part),
                                                 ctypes.addressof(part)))

    change(1)               # BLKPG_ADD_PARTITION
    dm.cleanup.callback(change, 2)
    return f'{loop.path}p{number}'


def _scan_for_partitions(loop):
    """Else a loop device takes none: LOOP_SET_STATUS64, LO_FLAGS_PARTSCAN."""
    info = bytearray(fcntl.ioctl(loop.fd, 0x4c05, bytes(232)))
    flags, = struct.unpack_from('I', info, 52)
    struct.pack_into('I', info, 52, flags | 8)
    fcntl.ioctl(loop.fd, 0x4c04, bytes(info))


@case
def two_trackers_of_one_range():
    """This test will track a range that another device tracks, live and loaded:
    refused, with words. Ranges side by side, other partitions, another table of
    the same device and a tracker over a tracker are fine."""
    log = os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK)
    dm.cleanup.callback(os.close, log)
    loop = Loop(8 * M)

    def refused(size, *line, **more):
        os.lseek(log, 0, os.SEEK_END)
        with fails('EBUSY'):
            Tracked(*line, size=size, **more)
        said = os.read(log, 8192).decode()
        true('Another device tracks this range of the device below' in said,
             f'the kernel says {said!r}')

    # of a disk and its partitions the kernel lets one be in use
    disk = Loop(4 * M)
    _scan_for_partitions(disk)
    first = _partition(disk, 1, M, M)
    second = _partition(disk, 2, 2 * M, M)
    t = Tracked(first, M)
    refused(M, first)
    with fails('EBUSY'):
        Tracked(disk, M)
    Tracked(second, M).remove()
    t.remove()
    t = Tracked(disk, M)
    with fails('EBUSY'):
        Tracked(first, M)
    t.remove()

    a = Tracked(loop, 3 * M, bitmaps={'b': 64 * K})
    for size, offset in ((M, 0), (8 * M, 0), (M, 2 * M), (3 * M, 3 * M - 512),
                         (512, 3 * M - 512)):
        refused(size, loop, offset=offset // SECTOR)
    b = Tracked(loop, 3 * M, offset=3 * M // SECTOR, bitmaps={'b': 64 * K})
    refused(8 * M, loop)
    refused(512, loop, offset=(6 * M - 512) // SECTOR)
    c = Tracked(loop, 2 * M, offset=6 * M // SECTOR, bitmaps={'b': 64 * K})
    for t in a, b, c:
        t.reload_same()
    a.fill(3 * M - 64 * K)
    b.fill(0)
    same((a.dirty(), b.dirty(), c.dirty()), ({47}, {0}, set()), 'dirty')
    # what is only loaded counts, on both sides
    with fails('EBUSY'):
        a.load('dirtytrack', a.line(), 4 * M)
    c.load('dirtytrack', c.line(offset=6 * M // SECTOR + 8), M)
    c.clear()
    b.load('dirtytrack', b.line(), 2 * M)
    refused(512, loop, offset=(6 * M - 512) // SECTOR)
    b.resume(dm.SKIP_LOCKFS)
    other = Dm(new_name(), M)
    line = f'{loop.path} {5 * M // SECTOR}'
    other.load('dirtytrack', line)
    one_more = Dm(new_name(), M)
    with fails('EBUSY'):
        one_more.load('dirtytrack', line)
    other.clear()
    one_more.load('dirtytrack', line)
    above = Tracked(a, bitmaps={'b': 64 * K})
    above.fill(0)
    same((above.dirty(), a.dirty()), ({0}, {0, 47}), 'one above the other')
    # a device that has gone, or has another table, leaves its range
    b.reload('linear', f'{loop.path} {3 * M // SECTOR}', 2 * M)
    Tracked(loop, M, offset=3 * M // SECTOR)
    c.remove()
    Tracked(loop, M, offset=7 * M // SECTOR)


@case
def resize_frozen_between_load_and_resume():
    """This test will freeze after a smaller table has been loaded: resume does
    not fail, extents and counts end with the device, also within a granule, and
    the run ends with what there still is."""
    t = tracked()
    write_w(t)
    t.load('dirtytrack', t.line(), 3 * M)
    run_id = t.freeze()
    t.fill(64 * K)
    t.resume(dm.SKIP_LOCKFS)
    t.fill(2 * M + 256 * K)
    same(t.extents(), [(0, 64 * K), (M, 64 * K), (2 * M, 128 * K)], 'frozen')
    same((t.info().count, t.info().bytes), (256 * K, 4 * M), 'count, bytes')
    t.reclaim(run=run_id)
    same(t.dirty(), bits('0-1 16 32-33 36'), 'dirty')
    same(t.info().bytes, 3 * M, 'bytes')
    size = 2 * M + 64 * K + 512
    t.load('dirtytrack', t.line(), size)
    run_id = t.freeze(mode=abi.ALWAYS)
    t.resume(dm.SKIP_LOCKFS)
    last = 2 * M, 64 * K + 512
    same(t.extents(), [(0, 128 * K), (M, 64 * K), last], 'frozen')
    same(t.ctl.extents(t.dev, 'b', room=1), t.extents(), 'one by one')
    same((t.info().count, t.info().bytes), (256 * K + 512, 3 * M), 'count')
    for beyond in (2 * M, 128 * K), (2 * M + 64 * K, 1024), (size, 64 * K):
        with fails('EINVAL'):
            t.report([beyond], run=run_id)
    t.report([(0, 128 * K), last], run=run_id)
    t.abdicate(run=run_id)
    same(t.extents(), [(M, 64 * K)], 'what was not reported')


@case
def resize_bitmap_added_between_load_and_resume():
    """This test will add a finer bitmap after a larger table has been loaded:
    it records up to the new end."""
    t = Tracked(Loop(8 * M), 4 * M, bitmaps={'b': 64 * K})
    t.load('dirtytrack', t.line(), 8 * M)
    t.ctl.add(t.dev, 'fine', 512)
    t.fill(0, 512)
    t.resume(dm.SKIP_LOCKFS)
    t.size = 8 * M
    same(t.extents('fine'), [(0, 512), (4 * M, 4 * M)], 'fine')
    t.ctl.clear(t.dev, 'fine')
    t.fill(8 * M - 512, 512)
    same(t.extents('fine'), [(8 * M - 512, 512)], 'a write at the new end')
    same(t.info('fine').count, 512, 'count')


@case(limit=120)
def resize_under_writers():
    """This test will grow and shrink under writers of the part that stays:
    each acknowledged write is dirty."""
    rng = seed()
    loop = Loop(8 * M)
    t = Tracked(loop, 4 * M, bitmaps={'b': 4 * K})
    journal, stop = Journal(), mmap.mmap(-1, 1)
    pid = start(random_writer, t, journal, rng.random(), stop)
    for i in range(20 if QEMU else 100):
        t.reload('dirtytrack', t.line(), (8 * M, 4 * M + 512, 6 * M, 4 * M)
                 [i % 4], (dm.SKIP_LOCKFS, dm.SKIP_LOCKFS | dm.NOFLUSH)[i % 2])
    wait_for(lambda: len(journal) > 10, 'writes')
    stop[0] = 1
    same(wait(pid), 0, 'the writer')
    same(t.size, 4 * M, 'size')
    lost = journal.since(0, len(journal)) - t.dirty('b', 4 * K)
    same(lost, set(), 'lost writes')
