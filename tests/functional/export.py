# SPDX-License-Identifier: GPL-2.0-or-later
"""Bitmaps as files: what 'bitmap export' writes, and 'bitmap import' takes.

Files are read here by what Documentation/format.rst says, without the code that
wrote them.
"""
import mmap
import os
import signal
import struct

import abi
import dm
from inflight import Journal, random_writer
from kit import *

FILE = '/tmp/bitmap'
PRELOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       '../../build/tests/lib/preload-kill.so')
RECORDING, AT_LEAST = 1, 2


# ---- The file, by the book ----

_PRIMES = (0x9e3779b185ebca87, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9,
           0x85ebca77c2b2ae63, 0x27d4eb2f165667c5)
_WORD = (1 << 64) - 1


def _rotl(x, n):
    return (x << n | x >> 64 - n) & _WORD


def _round(acc, lane):
    p1, p2, *_ = _PRIMES
    return _rotl((acc + lane * p2) & _WORD, 31) * p1 & _WORD


def xxh64(data, seed=0):
    p1, p2, p3, p4, p5 = _PRIMES
    at, end = 0, len(data)
    if end >= 32:
        acc = [(seed + p1 + p2) & _WORD, (seed + p2) & _WORD, seed,
               (seed - p1) & _WORD]
        while at + 32 <= end:
            acc = [_round(a, lane) for a, lane in
                   zip(acc, struct.unpack_from('<4Q', data, at))]
            at += 32
        h = sum(_rotl(a, n) for a, n in zip(acc, (1, 7, 12, 18))) & _WORD
        for a in acc:
            h = ((h ^ _round(0, a)) * p1 + p4) & _WORD
    else:
        h = (seed + p5) & _WORD
    h = (h + end) & _WORD
    while at + 8 <= end:
        h ^= _round(0, *struct.unpack_from('<Q', data, at))
        h, at = (_rotl(h, 27) * p1 + p4) & _WORD, at + 8
    if at + 4 <= end:
        h ^= struct.unpack_from('<I', data, at)[0] * p1 & _WORD
        h, at = (_rotl(h, 23) * p2 + p3) & _WORD, at + 4
    for byte in data[at:]:
        h = _rotl(h ^ byte * p5 & _WORD, 11) * p1 & _WORD
    h = (h ^ h >> 33) * p2 & _WORD
    h = (h ^ h >> 29) * p3 & _WORD
    return h ^ h >> 32


def _sum(head, body, at):
    """The checksum that is at @at in head."""
    return xxh64(body, xxh64(head[:at] + bytes(8) + head[at + 8:]))


def _mix(seed, *numbers):
    return xxh64(struct.pack('<3Q', *numbers), seed)


def _hash(size, granularity, dirty):
    h = _mix(granularity.bit_length() - 1, size, 0, 0)
    nr, behind = -(-size // granularity), 0

    def whole(block):
        return all(k in dirty for k in range(4096 * block,
                                             min(4096 * block + 4096, nr)))
    for block in sorted({k // 4096 for k in dirty}):
        if block < behind:
            continue
        behind = block
        while 4096 * behind < nr and whole(behind):
            behind += 1
        if behind > block:
            h = _mix(h, block, behind, 1)
            continue
        h = _mix(h, block, block + 1, 0)
        raw = sum(1 << k - 4096 * block for k in dirty if k // 4096 == block)
        h = xxh64(raw.to_bytes((min(4096, nr - 4096 * block) + 7) // 8,
                               'little'), h)
    return h


def read_file(path=FILE):
    """(header, dirty granules)"""
    with open(path, 'rb') as file:
        data = file.read()
    (magic, version, header, length, size, granularity, count, generation, uuid,
     flags, zero, content, checksum) = struct.unpack_from(
         '<8sIIQQQQQ16sIIQQ', data)
    same((magic, version, zero), (b'DTRBITS\n', 1, 0), 'magic, version, zero')
    same(length, len(data), 'length')
    same(checksum, _sum(data[:96], data[96:header], 88), 'checksum')
    head = {'size': size, 'granularity': granularity, 'count': count,
            'generation': generation, 'uuid': uuid, 'flags': flags,
            'name': data[96:header].decode()}
    nr, at, due, dirty = -(-size // granularity), header, 0, set()
    while due < nr:
        (magic, version, shift, payload, zero, chunk_size, first, due_next,
         checksum) = struct.unpack_from('<4sHHIIQQQQ', data, at)
        same((magic, version, 1 << shift, zero, chunk_size, first),
             (b'DTRB', 1, granularity, 0, size, due), f'chunk at {at}')
        records = data[at + 48:at + 48 + payload]
        same(checksum, _sum(data[at:at + 48], records, 40), 'checksum')
        dirty |= _records(records, first, nr)
        due, at = due_next, at + 48 + payload
    same((due, at), (nr, len(data)), 'the end')
    same(content, _hash(size, granularity, dirty), 'hash')
    return head, dirty


def _records(data, first, nr):
    dirty, at = set(), 0
    while at < len(data):
        block, kind = struct.unpack_from('<IH', data, at)
        at, begin = at + 6, first + 32768 * block
        bits_here = min(32768, nr - begin)
        if kind == 0x8001:
            blocks, = struct.unpack_from('<I', data, at)
            at += 4
            dirty |= set(range(begin, min(begin + 32768 * blocks, nr)))
        elif kind == 0x8000:
            raw = int.from_bytes(data[at:at + (bits_here + 7) // 8], 'little')
            at += (bits_here + 7) // 8
            dirty |= {begin + k for k in range(bits_here) if raw >> k & 1}
        else:
            dirty |= {begin + k for k in
                      struct.unpack_from(f'<{kind}H', data, at)}
            at += 2 * kind
    return dirty


# ---- The command ----

def _unlink():
    if os.path.exists(FILE):
        os.unlink(FILE)


def export(t, name='b', status=0):
    dm.cleanup.callback(_unlink)
    done = run('dtrack', 'bitmap', 'export', t.name, name, FILE, status=status)
    same(done.stdout, '', 'output')
    return done.stderr


def load(t, name='b', *more, status=0, path=FILE):
    done = run('dtrack', 'bitmap', 'import', t.name, name, path, *more,
               status=status)
    same(done.stdout, '', 'output')
    return done.stderr


def refused(t, name, words, *more):
    """The import says why, in a line, and changes nothing."""
    before = t.state()
    said = load(t, name, *more, status=1)
    same(t.state(), before, f'after {said!r}')
    true(said.startswith(f'dtrack: bitmap import {t.name}:{name}: ') and
         said.count('\n') == 1 and words in said, f'{said!r}: no {words!r}')


def _check_file(t, name='b', flags=0):
    """What is in the file is what the kernel says."""
    info = t.info(name)
    head, dirty = read_file()
    same(head, {'size': t.size, 'granularity': info.granularity,
                'count': info.count, 'generation': info.generation,
                'uuid': bytes(info.uuid), 'flags': flags, 'name': name},
         'header')
    same(dirty, t.dirty(name, info.granularity), 'dirty')


# ---- Round trips ----

SIZES = ((M + 512, 512), (4 * M, 64 * K), (4 * M, 4 * K), (4 * M, M),
         (M + 512, 64 * K), (M + 512, 4 * K), (M + 512, M), (M + 512, 1 << 31))
# A process costs much there, and the kernel makes no difference to a file.
FEW = QEMU or DEBUG


def _patterns(t):
    """Writes so that the bitmap is clean, sparse, half dirty, all dirty."""
    yield 'clean'
    for offset in 0, 3 * 64 * K + 512, t.size - 512:
        t.fill(offset, 512)
    yield 'sparse'
    for offset in range(0, t.size, 8 * K):
        t.fill(offset, 512)
    yield 'half'
    for offset in range(0, t.size, 512 * K):
        t.fill(offset, min(512 * K, t.size - offset))
    yield 'all'


@case(limit=120)
def export_round_trips():
    """This test will export bitmaps of various sizes, granularities and
    contents, disabled ones and recording ones, and import them into others."""
    for size, granularity in SIZES[:2] if FEW else SIZES:
        t = tracked(size, {'b': granularity, 'x': granularity,
                           'still': granularity})
        for pattern in _patterns(t):
            what = f'{size} by {granularity}, {pattern}'
            export(t)
            _check_file(t, flags=RECORDING | AT_LEAST)
            extents, uuid = t.extents(), bytes(t.info('still').uuid)
            t.ctl.disable(t.dev, 'still')
            generation = t.info('still').generation
            load(t, 'still')
            same(t.extents('still'), extents, what)
            info = t.info('still')
            same((bytes(info.uuid), info.generation, info.flags, info.count),
                 (uuid, generation + 1, 0, t.info().count), what)
            export(t, 'still')
            _check_file(t, 'still')
            # into one that records and has something else
            load(t, 'x')
            same(t.extents('x'), extents, what)
            same(t.info('x').flags, abi.RECORDING, what)
            t.fill(0, 512)
            true(0 in t.dirty('x', granularity), f'{what}: it records')
            t.ctl.clear(t.dev, 'x')
        t.ctl.close()
        t.remove()
        t.lower.remove()


@case
def export_of_frozen_bitmap():
    """This test will export a frozen bitmap while its successor records: the
    file has the frozen content, exactly, with an owner and without."""
    t = tracked()
    write_w(t)
    for flags in abi.FREEZE_NO_OWNER, 0:
        run_id = t.freeze(flags=flags)
        write_d(t)
        export(t)
        same(read_file()[1], W, 'dirty')
        _check_file(t, flags=RECORDING)
        refused(t, 'b', 'is currently in use by another operation')
        refused(t, 'b', 'is currently in use by another operation', '--merge')
        t.reclaim(run=0 if flags else run_id)
        same(t.dirty(), W | D, 'after the run')
        load(t)
        same(t.dirty(), W, 'imported')
    # as large as it was when the device has grown
    t.lower.resize(8 * M)
    run_id = t.freeze()
    t.reload('dirtytrack', t.line(), 8 * M)
    export(t)
    head, dirty = read_file()
    same((head['size'], dirty), (4 * M, W), 'frozen before it grew')
    t.reclaim(run=run_id)
    refused(t, 'b', 'The sizes differ: ')


@case
def export_of_huge_device():
    """This test will export and import 64 TiB in granules of 64 KiB: the file
    is small, marks beyond 2^32 sectors are where they belong."""
    size = 1 << 46
    t = Tracked(Dm(new_name('zero'), size, 'zero'),
                bitmaps={'b': 64 * K, 'x': 64 * K, 'coarse': G})
    marks = [0, (1 << 41) - 64 * K, 1 << 41, 5 << 43, size - 64 * K]
    for offset in marks:
        t.fill(offset, 512)
    t.ctl.clear(t.dev, 'x')
    t.ctl.clear(t.dev, 'coarse')
    export(t)
    _check_file(t, flags=RECORDING | AT_LEAST)
    true(os.path.getsize(FILE) < 200, f'{os.path.getsize(FILE)} bytes')
    load(t, 'x')
    same(t.extents('x'), [(0, 64 * K), ((1 << 41) - 64 * K, 128 * K),
                          (5 << 43, 64 * K), (size - 64 * K, 64 * K)], 'dirty')
    load(t, 'coarse', '--merge')
    same(t.dirty('coarse', G), {offset // G for offset in marks}, 'coarse')


@case
def export_while_writers_write():
    """This test will export again and again while two writers write: each file
    has at least what was dirty at the call, and at most what is in the end."""
    rng = seed()
    t = tracked(bitmaps={'b': 4 * K})
    stop = mmap.mmap(-1, 1)
    journals = [Journal(), Journal()]
    pids = [start(random_writer, t, j, rng.randrange(1 << 32), stop)
            for j in journals]
    files = []
    for _ in range(10):
        before = t.dirty('b', 4 * K)
        export(t)
        head, dirty = read_file()
        same(head['flags'], RECORDING | AT_LEAST, 'flags')
        same(before - dirty, set(), 'dirty before and not in the file')
        files.append(dirty)
    stop[0] = 1
    for pid in pids:
        same(wait(pid), 0, 'a writer')
    for dirty in files:
        same(dirty - t.dirty('b', 4 * K), set(), 'in the file, never dirty')
    written = set().union(*(j.since(0, len(j)) for j in journals))
    same(t.dirty('b', 4 * K), written, 'dirty in the end')


# ---- Replacing and merging ----

@case
def import_replaces_or_merges():
    """This test will import a file into bitmaps that have something else: it
    replaces that, or with --merge adds to it; generation and flags tell."""
    t = tracked(bitmaps={'b': 64 * K, 'x': 64 * K, 'still': 64 * K})
    write_w(t)
    export(t)
    for name, flags in ('x', abi.RECORDING), ('still', 0):
        t.ctl.clear(t.dev, name)
        write_d(t)
        if not flags:
            t.ctl.disable(t.dev, name)
        generation = t.info(name).generation
        load(t, name, '--merge')
        same(t.dirty(name), W | D, f'{name}: merged')
        same(t.info(name).generation, generation + 1, f'{name}: generation')
        load(t, name)
        same(t.dirty(name), W, f'{name}: replaced')
        same(t.info(name).generation, generation + 2, f'{name}: generation')
        same(t.info(name).flags, flags, f'{name}: flags')
        t.fill(10 * 64 * K)
        same(t.dirty(name), W | ({10} if flags else set()),
             f'{name}: afterwards')
    # an empty file makes clean, or changes nothing
    t.ctl.clear(t.dev, 'b')
    export(t)
    load(t, 'still', '--merge')
    same(t.dirty('still'), W, 'merged with nothing')
    load(t, 'still')
    same(t.dirty('still'), set(), 'replaced by nothing')


@case
def import_merges_across_granularities():
    """This test will merge files of each granularity into bitmaps of each: the
    result is rounded outward, and exactly that."""
    for size in 4 * M, M + 512:
        sizes = (512, 64 * K, M) if FEW else (512, 4 * K, 64 * K, M, 1 << 31)
        t = tracked(size, {f'g{g}': g for g in sizes})
        for offset in 0, 100 * K + 512, M - 512, size - 512:
            t.fill(offset, 512)
        full = {g: t.dirty(f'g{g}', g) for g in sizes}
        for source in sizes:
            export(t, f'g{source}')
            for g in sizes:
                name = f'g{g}'
                t.ctl.disable(t.dev, name)
                t.ctl.clear(t.dev, name)
                if g != source:
                    refused(t, name, 'The granularities differ: ')
                load(t, name, '--merge')
                extents = [(i * source, min(source, size - i * source))
                           for i in full[source]]
                same(t.dirty(name, g), granules(extents, g),
                     f'{size}: {source} into {g}')
            # for the next source, what it was
            same(t.dirty(f'g{source}', source), full[source], 'the source')
            for g in sizes:
                t.ctl.clear(t.dev, f'g{g}')
                t.ctl.enable(t.dev, f'g{g}')
            for offset in 0, 100 * K + 512, M - 512, size - 512:
                t.fill(offset, 512)
        t.ctl.close()
        t.remove()
        t.lower.remove()


@case
def import_masks_the_tail():
    """This test will load bits beyond the device's end: they are not there,
    not in the count, not in a file that is exported then."""
    t = tracked(M + 512)
    t.ctl.load(t.dev, 'b', 0, M + 512, b'\xff' * 3,
               abi.BITS_BEGIN | abi.BITS_COMMIT)
    same((t.extents(), t.info().count), ([(0, M + 512)], M + 512), 'loaded')
    export(t)
    head, dirty = read_file()
    same((head['count'], dirty), (M + 512, set(range(17))), 'the file')
    load(t)
    same((t.extents(), t.info().count), ([(0, M + 512)], M + 512), 'imported')
    t.ctl.load(t.dev, 'b', 0, M + 512, b'\0\0\xfe',
               abi.BITS_BEGIN | abi.BITS_COMMIT)
    same((t.extents(), t.info().count), ([], 0), 'nothing but tail bits')


@case
def import_is_a_step_of_generation():
    """This test will import between two backups: the target fits no more, the
    incremental is refused, nothing is frozen."""
    t = tracked()
    target = '/tmp/target'
    for path in target, target + '.dtrack':
        dm.cleanup.callback(lambda p=path: os.path.exists(p) and os.unlink(p))
    backup = ('dtrack', 'backup', t.name, '--target', target, '--bitmap', 'b')
    run(*backup, '--sync', 'full', '--bitmap-mode', 'on-success')
    write_w(t)
    export(t)
    run(*backup, '--sync', 'incremental')
    load(t)
    before = t.state()
    run(*backup, '--sync', 'incremental', status=1)
    same(t.state(), before, 'state')
    same(t.dirty(), W, 'dirty')


# ---- Refusals ----

@case(limit=120)
def import_of_damaged_file():
    """This test will change each byte of a file, cut it at each length and
    make it longer: each is refused, and the bitmap is as it was."""
    t = tracked(M + 512, {'b': 64 * K, 'x': 64 * K})
    for offset in 0, 5 * 64 * K, M:
        t.fill(offset, 512)
    export(t)
    t.ctl.clear(t.dev, 'x')
    t.fill(2 * 64 * K)
    with open(FILE, 'rb') as file:
        good = file.read()
    bad = '/tmp/bad'
    dm.cleanup.callback(os.unlink, bad)
    before = t.state()
    tries = [(f'byte {i}', good[:i] + bytes([good[i] ^ 1 << i % 8]) +
              good[i + 1:]) for i in range(len(good))]
    tries += [(f'{i} bytes', good[:i]) for i in range(len(good))]
    tries += [('one more', good + b'\0'), ('twice', good + good),
              ('a page more', good + bytes(4096)), ('zeroes', bytes(4096))]
    for what, data in tries[::9] if FEW else tries:
        with open(bad, 'wb') as file:
            file.write(data)
        said = load(t, 'x', '--merge', status=1, path=bad)
        true(bad in said and said.count('\n') == 1, f'{what}: {said!r}')
        same(t.state(), before, f'after {what}')
    # and the file itself is fine
    load(t, 'x')
    same(t.dirty('x'), bits('0 5 16'), 'the good one')


@case
def import_refused():
    """This test will import what is no file, of another size, of a newer
    version, into what is not there, frozen or read-only."""
    t = tracked(bitmaps={'b': 64 * K, 'x': 4 * K})
    write_w(t)
    refused(t, 'b', 'No such file or directory')
    other = tracked(4 * M + 512)
    export(other)
    for more in (), ('--merge',):
        refused(t, 'b', 'The sizes differ: ', *more)
    export(t)
    refused(t, 'x', 'The granularities differ: ')
    refused(t, 'nosuch', "Dirty bitmap 'nosuch' not found")
    run_id = t.freeze('x')
    refused(t, 'x', 'is currently in use by another operation', '--merge')
    t.reclaim('x', run_id)
    t.reload('dirtytrack', t.line(), flags=dm.SKIP_LOCKFS | dm.READONLY)
    refused(t, 'b', "Bitmap 'b' is readonly and cannot be modified")
    export(t)           # looking is allowed
    same(read_file()[1], W, 'exported from a read-only device')
    t.reload('dirtytrack', t.line())
    # as a later version would write it, all checksums right
    with open(FILE, 'r+b') as file:
        head = bytearray(file.read(97))
        head[8] = 2
        head[88:96] = struct.pack('<Q', _sum(bytes(head[:96]), head[96:], 88))
        file.seek(0)
        file.write(head)
    refused(t, 'b', 'version: it is of a newer one')
    os.unlink(FILE)
    os.mkfifo(FILE)
    refused(t, 'b', 'it is no regular file')
    same(export(t, status=1).count('it exists and is no regular file'), 1,
         'export onto a pipe')
    true(os.path.exists(FILE), 'the pipe is still there')


# ---- Killed ----

def _killed(t, verb, at, when):
    env = dict(os.environ, LD_PRELOAD=PRELOAD, DTR_KILL_AT=str(at),
               DTR_KILL_WHEN=when, DTR_KILL_LOG='/tmp/kill.log')
    if os.path.exists('/tmp/kill.log'):
        os.unlink('/tmp/kill.log')
    done = run('dtrack', 'bitmap', verb, t.name, 'b', FILE, status=None,
               env=env)
    with open('/tmp/kill.log') as file:
        last = [line.split()[1] for line in file][-1]
    os.unlink('/tmp/kill.log')
    return done.returncode, last


@case
def import_killed_at_each_step():
    """This test will kill -9 an import before and after each of its ioctls:
    but after the last one, the bitmap is as it was."""
    t = tracked(bitmaps={'b': 64 * K, 'x': 64 * K})
    write_w(t)
    export(t)
    t.ctl.clear(t.dev, 'b')
    write_d(t)
    before, steps = t.state(), 0
    for at in range(1, 100):
        status, last = _killed(t, 'import', at, 'before')
        if not status:
            break
        same(status, -signal.SIGKILL, f'before {at}')
        same(t.state(), before, f'killed before {last}, ioctl {at}')
        steps = at
    same(t.dirty(), W, 'not killed')
    true(steps >= 5, f'{steps} steps')
    for at in range(1, steps + 1):
        t.ctl.clear(t.dev, 'b')
        write_d(t)
        before = t.state()
        status, last = _killed(t, 'import', at, 'after')
        same(status, -signal.SIGKILL, f'after {at}')
        if at < steps:
            same(t.state(), before, f'killed after {last}, ioctl {at}')
    same(last, 'BITS_LOAD', 'the last step')
    same(t.dirty(), W, 'killed after the commit')
    same(t.info().flags, abi.RECORDING, 'flags')


@case
def export_killed_at_each_step():
    """This test will kill -9 an export at each of its ioctls: the file of
    before is there, whole, and the bitmap is as it was."""
    t = tracked()
    write_w(t)
    export(t)
    with open(FILE, 'rb') as file:
        old = file.read()
    write_d(t)
    before = t.state()
    for at in range(1, 100):
        status, _ = _killed(t, 'export', at, 'after')
        if not status:
            break
        same(status, -signal.SIGKILL, f'after {at}')
        with open(FILE, 'rb') as file:
            same(file.read(), old, f'the file, killed after {at}')
        same(t.state(), before, f'state, killed after {at}')
    true(at >= 4, f'{at - 1} steps')
    same(read_file()[1], W | D, 'not killed')
    same([n for n in os.listdir('/tmp') if n.startswith('.dtrack-')], [],
         'temporary files')
