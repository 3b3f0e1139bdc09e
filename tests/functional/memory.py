# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that is short: too much is reported, never too little, and it is
counted (I1, I3)."""
import os

import abi
import dm
from kit import *

LEAF = 32768 * 512      # bytes of a leaf at granularity 512
RESERVE = '/sys/module/dm_dirtytrack/parameters/leaf_reserve'


def put(path, text):
    with open(path, 'w') as file:
        file.write(str(text))


def no_reserve():
    with open(RESERVE) as file:
        old = file.read().strip()
    put(RESERVE, 0)
    dm.cleanup.callback(put, RESERVE, old)


class FailingLeaves:
    """No leaf can be allocated, but nothing else fails."""
    CACHE = '/sys/kernel/slab/dtrack_leaf/failslab'
    KNOBS = '/sys/kernel/debug/failslab'

    def __enter__(self):
        put(self.CACHE, 1)
        for knob, value in (('cache-filter', 'Y'), ('interval', 1),
                            ('times', -1), ('verbose', 0),
                            ('ignore-gfp-wait', 'N'), ('probability', 100)):
            put(f'{self.KNOBS}/{knob}', value)

    def __exit__(self, *_):
        put(f'{self.KNOBS}/probability', 0)
        put(self.CACHE, 0)


def letters(t):
    words = t.status().split()
    return {words[i]: words[i + 3]
            for i in range(2, 2 + 6 * int(words[1]), 6)}


@case(kernels=('uml-debug',))
def memory_no_leaf_marks_whole_leaf():
    """This test will write while no leaf can be allocated: exactly the leaves
    that are touched report everything; flag f and the count say so."""
    no_reserve()
    t = tracked(4 * LEAF + 512, bitmaps={'b': 512})
    with FailingLeaves():
        t.fill(LEAF + 3 * 512, 512)
        t.fill(4 * LEAF, 512)
        same(t.extents(), [(LEAF, LEAF), (4 * LEAF, 512)], 'dirty')
        same(t.info().full_leaves, 2, 'full leaves')
        same(letters(t), {'b': 'rf'}, 'flags')
        t.fill(LEAF + 9 * 512, 512)
        same(t.info().full_leaves, 2, 'full leaves after a second write')
    t.fill(0, 512)
    same(t.extents(), [(0, 512), (LEAF, LEAF), (4 * LEAF, 512)],
         'dirty with memory again')
    t.ctl.clear(t.dev, 'b')
    same((t.extents(), t.info().full_leaves), ([], 0), 'after clear')
    t.fill(LEAF, 512)
    same(t.extents(), [(LEAF, 512)], 'exact again')


@case(kernels=('uml-debug',))
def memory_reserve_keeps_marks_exact():
    """This test will do the same with a reserve: the first touches are exact,
    those beyond the reserve are whole leaves."""
    t = tracked(100 * LEAF, bitmaps={'b': 512})
    with FailingLeaves():
        for i in range(64):
            t.fill(i * LEAF, 512)
        same(t.info().full_leaves, 0, 'full leaves within the reserve')
        same(t.extents(), [(i * LEAF, 512) for i in range(64)], 'dirty')
        for i in range(64, 70):
            t.fill(i * LEAF, 512)
        same(t.info().full_leaves, 6, 'full leaves beyond it')
        same(t.extents()[-1], (64 * LEAF, 6 * LEAF), 'dirty beyond it')
    wait_for(lambda: _exact_again(t), 'the reserve to be refilled')


def _exact_again(t):
    """Whether a first touch under failure is exact again."""
    t.ctl.clear(t.dev, 'b')
    t.ctl.add(t.dev, 'again', 512)
    # a first touch that finds memory has the reserve filled up
    t.fill(50 * LEAF, 512)
    with FailingLeaves():
        t.fill(0, 512)
    exact = t.extents('again') == [(0, 512), (50 * LEAF, 512)]
    t.ctl.remove(t.dev, 'again')
    return exact


@case(kernels=('uml-debug',))
def memory_no_leaf_at_each_operation():
    """This test will do each operation while no leaf can be allocated: each
    succeeds with a superset, or fails with ENOMEM and changes nothing."""
    no_reserve()
    t = tracked(4 * LEAF, bitmaps={'b': 512, 'c': 64 * K})
    t.fill(LEAF + 512, 512)
    t.fill(3 * LEAF, 512)
    truth = {'b': bits(f'{32769} {3 * 32768}'),
             'c': {LEAF // (64 * K), 3 * LEAF // (64 * K)}}
    grains = {'b': 512, 'c': 64 * K}
    runs = []
    for what, op in (
            ('freeze', lambda: runs.append(t.freeze())),
            ('reclaim', lambda: t.reclaim(run=runs.pop()) if runs else None),
            ('freeze always', lambda: runs.append(t.freeze(mode=abi.ALWAYS))),
            ('report', lambda: t.report([(LEAF + 512, 512)],
                                        run=runs[-1]) if runs else None),
            ('reclaim always',
             lambda: t.reclaim(run=runs.pop()) if runs else None),
            ('disable', lambda: t.ctl.disable(t.dev, 'b')),
            ('enable', lambda: t.ctl.enable(t.dev, 'b')),
            ('merge', lambda: t.ctl.merge(t.dev, 'b', [(t.dev, 'c')])),
            ('add', lambda: t.ctl.add(t.dev, 'n', 512)),
            ('reload', t.reload_same),
            ('grow', lambda: t.reload('dirtytrack', t.line(), 3 * LEAF))):
        with FailingLeaves():
            before = t.extents(), t.extents('c')
            try:
                op()
                # what has been reported of an 'always' run is clean
                if what == 'report':
                    truth['b'] = truth['b'] - {32769}
            except OSError as e:
                same(e.errno, 12, f'{what}: errno')
                same((t.extents(), t.extents('c')), before, f'{what}: extents')
        for name, granules_of in truth.items():
            now = t.dirty(name, grains[name])
            if t.size == 3 * LEAF:
                granules_of = {g for g in granules_of
                               if g * grains[name] < t.size}
            same(granules_of - now, set(), f'{what}: lost in {name}')
    for run_id in runs:
        t.reclaim(run=run_id)


@case(kernels=('uml-small',), limit=200)
def memory_short_under_writeback():
    """This test will write to an ext4 while a hog holds nearly all memory: all
    that changed is dirty, and at most twice as much is."""
    size, grain = 2 * G, 512
    loop = Loop(size)
    run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=1,lazy_journal_init=1',
        '-J', 'size=4', '-O', '^has_journal', '-N', '1024', loop.path)
    no_reserve()
    t = Tracked(loop, bitmaps={'b': grain})
    os.makedirs('/tmp/mnt', exist_ok=True)
    run('mount', t.path, '/tmp/mnt')
    dm.cleanup.callback(run, 'umount', '/tmp/mnt', status=None)
    os.sync()
    t.ctl.clear(t.dev, 'b')
    before = _sparse_content(loop.file)
    hog = start(_hold_memory, 6 * M)
    rng = seed()
    fd = os.open('/tmp/mnt/file', os.O_RDWR | os.O_CREAT)
    for i in range(2000):
        offset = rng.randrange(1500 * M // (4 * K)) * 4 * K
        os.pwrite(fd, rng.randbytes(4 * K), offset)
    os.fsync(fd)
    os.close(fd)
    run('umount', '/tmp/mnt')
    os.kill(hog, 9)
    wait(hog)
    after = _sparse_content(loop.file)
    dirty = t.extents()
    changed = {g for g in after if after[g] != before.get(g)}
    missing = [g for g in changed if not _covered(g * 4 * K, dirty)]
    true(not missing, f'changed and not dirty: blocks {sorted(missing)[:8]}')
    truth, reported = len(changed) * 4 * K, t.info().count
    print(f'# truth {truth}, dirty {reported}, full leaves '
          f'{t.info().full_leaves}')
    true(truth > 4 * M, 'the load was too small')
    true(reported <= 2 * truth, f'dirty {reported}, truth {truth}')


def _sparse_content(path):
    """Hashes of the 4 KiB blocks of a file that are not holes."""
    found, fd = {}, os.open(path, os.O_RDONLY)
    end = 0
    while True:
        try:
            begin = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:
            os.close(fd)
            return found
        end = os.lseek(fd, begin, os.SEEK_HOLE)
        for offset in range(begin, end, 4 * K):
            found[offset // (4 * K)] = hash(os.pread(fd, 4 * K, offset))


def _covered(offset, extents):
    import bisect
    i = bisect.bisect_right(extents, (offset, 1 << 62)) - 1
    return i >= 0 and offset < extents[i][0] + extents[i][1]


def _available():
    with open('/proc/meminfo') as file:
        return {line.split()[0]: int(line.split()[1]) * K
                for line in file}['MemFree:']


def _hold_memory(leave):
    """Takes memory until 'leave' is free, again and again."""
    import mmap
    import time
    held = []
    while True:
        while _available() > leave:
            page = mmap.mmap(-1, M)
            page[:] = b'x' * M
            held.append(page)
        time.sleep(0.01)
