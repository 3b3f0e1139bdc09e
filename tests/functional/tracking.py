# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request makes dirty: SEMANTICS §1.4 and T01-T14, PEERS T3, T4, T6.

The numbers of SEMANTICS are in the names; what the command makes of them is in
validity.py.
"""
import errno
import os

import abi
import dm
from kit import *


@case
def t01_first_sector():
    """This test will write the first sector."""
    t = tracked()
    t.fill(0, 512)
    same(t.extents(), [(0, 64 * K)], 'dirty')


@case
def t02_across_an_edge():
    """This test will write two sectors on either side of an edge."""
    t = tracked()
    t.fill(65024, 1024)
    same(t.dirty(), bits('0-1'), 'dirty')


@case
def t03_another_edge():
    """This test will do so at the edge of granules 2 and 3, and have two."""
    t = tracked()
    t.fill(0, 512)
    t.fill(196608 - 512, 1024)
    same(t.dirty(), bits('0 2-3'), 'dirty')
    same(t.info().count, 3 * 64 * K, 'count')


@case
def t04_last_sector():
    """This test will write the last sector."""
    t = tracked()
    t.fill(4 * M - 512, 512)
    same(t.extents(), [(63 * 64 * K, 64 * K)], 'dirty')


@case
def t05_reads_and_flushes():
    """This test will read and flush, which marks nothing."""
    t = tracked()
    dm.read(t.path, M, M)
    dm.sync_file(t.path)
    same(t.extents(), [], 'dirty')


@case
def track_flush_with_data():
    """This test will write with FUA and a flush before it: one granule."""
    t = tracked()
    fd = os.open(t.path, os.O_RDWR | os.O_DIRECT | os.O_DSYNC)
    with dm._aligned(b'\1' * 4096) as buf:
        os.pwrite(fd, buf, 64 * K)
    os.close(fd)
    same(t.extents(), [(64 * K, 64 * K)], 'dirty')


@case
def counters_are_exact():
    """This test will write, discard and write zeroes: what was marked is
    counted by kind, exactly, across freezes and a reload."""
    t = tracked()
    none = 2 ** 64 - 1
    same(t.ctl.writes(t.dev), ([(0, 0)] * 4, none), 'counters at first')
    dm.read(t.path, 0, M)
    dm.sync_file(t.path)
    same(t.ctl.writes(t.dev), ([(0, 0)] * 4, none), 'reads and flushes')
    for i in range(37):
        t.fill(i * 4 * K, 4 * K)
    t.freeze(flags=abi.FREEZE_NO_OWNER)
    for i in range(3):
        dm.discard(t.path, i * M, 256 * K)
    t.reclaim()
    t.reload_same()
    for i in range(2):
        # BLKZEROOUT would write data where the lower device refuses.
        run('fallocate', '--punch-hole', '--offset', i * M, '--length',
            128 * K, t.path)
    counts, idle = t.ctl.writes(t.dev)
    same(counts, [(37, 37 * 4 * K), (3, 768 * K), (2, 256 * K), (0, 0)],
         'counters')
    true(idle < 20000, f'{idle} ms since the last write')
    same(t.status().split()[8:16], ['37', '151552', '3', '786432', '2',
                                    '262144', '0', '0'], 'status')


@case
def t06_discard():
    """This test will discard ranges of one granule, of some, and all."""
    t = tracked()
    dm.discard(t.path, M, 64 * K)
    same(t.dirty(), bits('16'), 'one granule')
    dm.discard(t.path, 99840, 200192)
    same(t.dirty(), bits('1-4 16'), 'not aligned')
    dm.discard(t.path, 0, 4 * M)
    same(t.extents(), [(0, 4 * M)], 'the whole device')


@case
def t06_discard_unsupported():
    """This test will discard on a device that cannot: EOPNOTSUPP, nothing is
    dirty."""
    lower = Dm(new_name('flakey'), 4 * M, 'flakey',
               f'{Loop(4 * M).path} 0 1000 0')
    t = Tracked(lower, bitmaps={'b': 64 * K})
    with open(f'/sys/block/dm-{t.dev[1]}/queue/discard_max_bytes') as file:
        supported = int(file.read())
    if supported:
        dm.discard(t.path, M, 64 * K)
        same(t.dirty(), bits('16'), 'passed down')
    else:
        with fails('EOPNOTSUPP'):
            dm.discard(t.path, M, 64 * K)
        same(t.dirty(), set(), 'not passed down')


@case
def t07_write_zeroes():
    """This test will write zeroes by command and as data, and rewrite the same
    data: all of it is dirty."""
    t = tracked()
    dm.write_zeroes(t.path, 2 * M, 64 * K)
    same(t.dirty(), bits('32'), 'BLKZEROOUT')
    t.fill(3 * M, 128 * K, 0)
    same(t.dirty(), bits('32 48-49'), 'zero data')
    t.ctl.clear(t.dev, 'b')
    t.fill(3 * M, 128 * K, 0)
    same(t.dirty(), bits('48-49'), 'the same data')
    dm.write_zeroes(t.path, 0, 4 * M)
    same(t.extents(), [(0, 4 * M)], 'the whole device')


@case
def t08_failed_write():
    """This test will write where the device below fails: the caller sees EIO,
    the bitmap has the granule."""
    t = Tracked(Dm(new_name('error'), 4 * M, 'error'),
                bitmaps={'b': 64 * K})
    with fails('EIO'):
        t.fill(M)
    same(t.dirty(), bits('16'), 'dirty')


@case
def t09_disabled_gap():
    """This test will write while a bitmap is disabled: it does not see it, and
    its generation says that something was missed."""
    t = tracked()
    generation = t.info().generation
    t.ctl.disable(t.dev, 'b')
    t.fill(0)
    same(t.info().flags & abi.RECORDING, 0, 'recording')
    t.ctl.enable(t.dev, 'b')
    t.fill(64 * K)
    same(t.dirty(), bits('1'), 'dirty')
    same(t.info().generation, generation + 1, 'generation')


@case
def t10_three_granularities():
    """This test will write under three bitmaps of different granularity."""
    t = tracked(bitmaps={'fine': 4 * K, 'b': 64 * K, 'coarse': M})
    t.fill(4 * K, 4 * K)
    t.fill(M - 4 * K, 8 * K)
    same(t.dirty('fine', 4 * K), bits('1 255-256'), '4K')
    same(t.dirty('b'), bits('0 15-16'), '64K')
    same(t.dirty('coarse', M), bits('0-1'), '1M')
    # a coarser view of the live map, then without the finest recorder
    t.ctl.remove(t.dev, 'fine')
    t.fill(3 * M, 512)
    same(t.dirty('b'), bits('0 15-16 48'), '64K later')
    same(t.dirty('coarse', M), bits('0-1 3'), '1M later')


@case
def t11_partial_last_granule():
    """This test will write the last sector of a device of 1 MiB + 512 bytes
    (PEERS T6)."""
    t = tracked(M + 512)
    t.fill(M, 512)
    same(t.extents(), [(M, 512)], 'dirty')
    same(t.info().count, 512, 'count, cut at the end')
    run_id = t.freeze(mode=abi.ALWAYS)
    same(t.extents(), [(M, 512)], 'frozen')
    t.report([(M, 512)], run=run_id)
    t.abdicate(run=run_id)
    same(t.extents(), [], 'after the run')


@case
def t12_granule_larger_than_device():
    """This test will track 64 KiB in one granule of 2 GiB."""
    t = tracked(64 * K, bitmaps={'b': 1 << 31})
    t.fill(4 * K, 512)
    same(t.extents(), [(0, 64 * K)], 'dirty')
    same(t.info().count, 64 * K, 'count, cut at the end')


@case
def t13_two_chains():
    """This test will keep two bitmaps that began at different times
    apart."""
    t = tracked(bitmaps={'A': 64 * K})
    t.fill(0)
    t.ctl.add(t.dev, 'B', 64 * K)
    t.fill(M)
    same(t.dirty('A'), bits('0 16'), 'A')
    same(t.dirty('B'), bits('16'), 'B')
    t.abdicate('B', t.freeze('B'))
    same(t.dirty('A'), bits('0 16'), 'A after a run of B')
    same(t.dirty('B'), bits(''), 'B after its run')


@case
def t14_granularities_and_names():
    """This test will add bitmaps of every kind of granularity and
    name."""
    t = tracked(bitmaps=())
    for bad in 1, 256, 511, 513, 768, 65535, 1 << 32, 1 << 63, (1 << 32) - 1:
        with fails('EINVAL'):
            t.ctl.add(t.dev, 'x', bad)
    for good in 512, 4096, 65536, 1 << 30, 1 << 31:
        t.ctl.add(t.dev, f'g{good}', good)
        same(t.info(f'g{good}').granularity, good, 'granularity')
    t.ctl.add(t.dev, 'default', 0)
    same(t.info('default').granularity, 65536, 'default granularity')
    for bad in ('', 'a b', 'a:b', 'a/b', 'a"b', 'a\\b', 'a\tb', 'a\x7fb',
                b'a\xffb', b'a\xc0\x80', b'\xed\xa0\x80', b'a\xc2\x85'):
        with fails('EINVAL'):
            t.ctl.add(t.dev, bad)
    with fails('EEXIST'):
        t.ctl.add(t.dev, 'default')
    for good in ('n' * 1023, 'ä', '日本', '😀', '-', '.', "'"):
        t.ctl.add(t.dev, good)
        same(t.info(good).name.decode(), good, 'name')
    # 1024 bytes leave no room for the NUL
    with fails('EINVAL'):
        t.ctl.add(t.dev, b'n' * 1024)


@case
def track_random_requests():
    """This test will send random writes, discards and zeroes of random place
    and length, and compare three bitmaps with the truth (PEERS T3)."""
    rng = seed()
    size = 3 * M + 3 * 512
    grains = {'b512': 512, 'b4k': 4 * K, 'b64k': 64 * K}
    t = tracked(size, bitmaps=grains)
    truth = {name: set() for name in grains}
    for i in range(100 if QEMU else 400):
        begin = rng.randrange(size // 512)
        nr = rng.choice((1, rng.randrange(1, 9), rng.randrange(1, 300)))
        nr = min(nr, size // 512 - begin)
        op = rng.choice((t.fill, t.fill, lambda o, n: dm.discard(t.path, o, n),
                         lambda o, n: dm.write_zeroes(t.path, o, n)))
        op(begin * 512, nr * 512)
        for name, grain in grains.items():
            truth[name] |= set(range(begin * 512 // grain,
                                     ((begin + nr) * 512 - 1) // grain + 1))
        if i % 50 == 0:
            for name, grain in grains.items():
                same(t.dirty(name, grain), truth[name], name)
                t.ctl.clear(t.dev, name)
                truth[name] = set()
    for name, grain in grains.items():
        same(t.dirty(name, grain), truth[name], name)


@case
def track_buffered_and_mapped_writes():
    """This test will write through the page cache and by a shared mapping:
    dirty when written back."""
    import mmap
    t = tracked(bitmaps={'b': 4 * K})
    fd = os.open(t.path, os.O_RDWR)
    os.pwrite(fd, b'x', 196607)
    os.pwrite(fd, b'x', 4 * M - 1)
    os.fsync(fd)
    same(t.dirty('b', 4 * K), {47, 1023}, 'buffered')
    with mmap.mmap(fd, 4 * M) as memory:
        memory[8 * K] = 1
        memory.flush()
    os.close(fd)
    same(t.dirty('b', 4 * K), {2, 47, 1023}, 'mapped')


@case
def track_readonly_table():
    """This test will load a read-only table: what changes content is refused
    with EROFS, looking and enabling are not (state R)."""
    t = tracked()
    t.fill(0)
    t.reload('dirtytrack', t.line(), flags=dm.SKIP_LOCKFS | dm.READONLY)
    same(t.info().flags & abi.READONLY, abi.READONLY, 'read-only')
    before = t.state()
    for op in (lambda: t.ctl.clear(t.dev, 'b'),
               lambda: t.ctl.remove(t.dev, 'b'),
               lambda: t.ctl.merge(t.dev, 'b', [(t.dev, 'b')]),
               lambda: t.freeze(mode=abi.CONDITIONAL),
               lambda: t.freeze(mode=abi.ALWAYS),
               lambda: t.ctl.load(t.dev, 'b', 0, 0, b'', abi.BITS_BEGIN)):
        with fails('EROFS'):
            op()
    same(t.state(), before, 'state after refused operations')
    t.reclaim(run=t.freeze(mode=abi.NEVER))
    t.ctl.disable(t.dev, 'b')
    t.ctl.enable(t.dev, 'b')
    with fails('EACCES', 'EPERM', 'EROFS'):
        t.fill(0)
    same(t.dirty(), {0}, 'dirty')
    t.reload('dirtytrack', t.line())
    t.fill(64 * K)
    same(t.dirty(), {0, 1}, 'writable again')
