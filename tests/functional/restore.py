# SPDX-License-Identifier: GPL-2.0-or-later
"""'dtrack restore' and 'dtrack verify' on real devices: what is written and
marked, what is refused, what is found."""
import json
import os

import dm
from kit import *
from runs import *


def _backed_up(size=4 * M):
    """A device, its bitmap clean, and a full backup of it."""
    fresh_target()
    t = Tracked(Loop(size, byte=0x11), bitmaps={'b': 64 * K})
    backup(t, 'full', 'on-success')
    same(t.dirty(), set(), 'after the full backup')
    return t


def _written(dev):
    """Bytes written to a device, by the kernel's count."""
    with open(f'/sys/block/{os.path.basename(dev.path)}/stat',
              encoding='ascii') as file:
        return int(file.read().split()[6]) * SECTOR


def _equal(t, path=TARGET):
    return dm.read(t.path, 0, t.size) == read_file(path, 0, t.size)


def _ranges(*line, status):
    """The document of 'verify', and its ranges."""
    it = cli('verify', *line, status=status)
    same(it['status'], 'different' if status else 'same', 'status')
    return it, [(r['start'], r['length']) for r in it['ranges']]


def _flip(path, *offsets):
    with open(path, 'r+b') as file:
        for offset in offsets:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))


@case(kernels=('uml',))
def restore_of_tracked_is_dirty():
    """This test will restore a tracked device: whole, and all of it is dirty;
    by --delta, and only what differs is written and dirty."""
    t = _backed_up()
    write_w(t)
    same(cli('restore', TARGET, t.name),
         {'status': 'completed', 'bytes-total': 4 * M, 'bytes-written': 4 * M,
          'bytes-damaged': 0, 'bytes-unread': 0, 'checked': True,
          'bytes-checked': 4 * M}, 'restore')
    true(_equal(t), 'the device differs after a restore')
    same(t.dirty(), set(range(64)), 'after a restore')

    backup(t, 'full', 'on-success')
    write_w(t)
    t.ctl.clear(t.dev, 'b')
    before = _written(t)
    it = cli('restore', TARGET, t.name, '--delta')
    same(it['bytes-written'], len(W) * 64 * K, 'bytes')
    same(_written(t) - before, len(W) * 64 * K, 'bytes by the kernel')
    true(_equal(t), 'the device differs after --delta')
    same(t.dirty(), W, 'after --delta')
    before = _written(t)
    same(cli('restore', TARGET, t.name, '--delta')['bytes-written'], 0,
         'the second time')
    same(_written(t) - before, 0, 'the second time by the kernel')


@case(kernels=('uml',))
def restore_onto_untracked():
    """This test will restore onto a larger device that nobody tracks: the rest
    of it stays, and is spoken of."""
    _backed_up()
    loop = Loop(5 * M, byte=0x77)
    done = run('dtrack', 'restore', TARGET, loop.path)
    same(done.stdout, 'completed: 4194304 of 4194304 bytes written\n'
         'the last 1048576 bytes of the device are as they were\n', 'words')
    same(dm.read(loop.path, 0, 5 * M),
         read_file(TARGET) + bytes([0x77]) * M, 'content')
    it, ranges = _ranges(loop.path, TARGET, status=3)
    same(ranges, [(4 * M, M)], 'what differs')
    same(it['problems'], ['the target is smaller than the device'], 'problems')


def _no_restore(device, text, kind='Busy', target=TARGET):
    done = run('dtrack', 'restore', target, device, '--json', status=1)
    error = json.loads(done.stdout)['error']
    true(text in error['message'], f'{error["message"]!r} has no {text!r}')
    same(error['class'], kind, f'class of {text!r}')


@case(kernels=('uml',))
def restore_refused():
    """This test will try to restore onto devices that are mounted, held, below
    a tracker, too small, read-only and where the target lies, and from a target
    that is incomplete: nothing is written."""
    t = _backed_up(16 * M)
    t.fill(0)
    before = dm.read(t.path, 0, t.size)
    _no_restore(t.lower.path, f'held by {os.path.basename(t.path)}')
    held = Dm(new_name('held'), t.size, 'linear', f'{t.path} 0')
    _no_restore(t.name, f'held by {os.path.basename(held.path)} ({held.name})')
    held.remove()
    _no_restore(Loop(8 * M).path, 'is too small: it has 8388608 bytes, '
                'and the target 16777216', 'GenericError')
    _no_restore(TARGET, 'it is no block device', 'DeviceNotFound')
    other = Loop(16 * M).path
    run('blockdev', '--setro', other)
    _no_restore(other, 'is read-only', 'ReadOnly')
    _no_restore(t.path, 'are the same or one lies on the other',
                'GenericError', target=t.path)

    with open(TARGET + '.dtrack', encoding='utf-8') as file:
        text = file.read()
    with open(TARGET + '.dtrack', 'w', encoding='utf-8') as file:
        file.write(text.replace('"complete"', '"incomplete"'))
    _no_restore(t.name, 'is incomplete', 'Stale')
    same(run('dtrack', 'verify', TARGET, status=1).stdout, '', 'words')
    with open(TARGET + '.dtrack', 'w', encoding='utf-8') as file:
        file.write(text)
    same(dm.read(t.path, 0, t.size), before, 'the device')

    modprobe('ext4')
    run('mkfs.ext4', '-q', t.path)
    os.makedirs('/tmp/mnt', exist_ok=True)
    run('mount', t.path, '/tmp/mnt')
    dm.cleanup.callback(run, 'umount', '/tmp/mnt', status=None)
    _no_restore(t.name, 'mounted on /tmp/mnt')
    done = run('dtrack', 'verify', t.name, TARGET, status=3)
    true('compared live' in done.stderr, f'not live: {done.stderr!r}')
    run('umount', '/tmp/mnt')
    run('dtrack', 'restore', TARGET, t.name)
    true(_equal(t), 'the device differs once it was free')


@case(kernels=('uml',))
def verify_finds_what_differs():
    """This test will write to a device and corrupt a target: verify finds both,
    by the device and by the checksums."""
    t = _backed_up()
    it, ranges = _ranges(t.name, TARGET, status=0)
    same((it['bytes-checked'], it['live'], ranges), (4 * M, False, []),
         'a good copy')
    write_w(t)
    it, ranges = _ranges(t.name, TARGET, status=3)
    same(granules(ranges), W, 'what differs')
    same(it['bytes-different'], len(W) * 64 * K, 'bytes')
    done = run('dtrack', 'verify', t.name, TARGET, status=3)
    same(done.stdout, ''.join(f'{a} {n}\n' for a, n in ranges), 'lines')

    same(run('dtrack', 'verify', TARGET).stdout,
         'same: 4194304 of 4194304 bytes checked\n', 'alone')
    _flip(TARGET, 5 * 64 * K, 7 * 64 * K - 1, 4 * M - 1)
    it, ranges = _ranges(TARGET, status=3)
    same(ranges, [(5 * 64 * K, 128 * K), (4 * M - 64 * K, 64 * K)], 'bit rot')
    _flip(TARGET, 5 * 64 * K, 7 * 64 * K - 1, 4 * M - 1)
    backup(t, 'incremental')
    same(_ranges(TARGET, status=0)[0]['bytes-checked'], 4 * M,
         'after an incremental')
    same(_ranges(t.name, TARGET, status=0)[1], [], 'after an incremental')
    os.truncate(TARGET, 3 * M)
    it, ranges = _ranges(TARGET, status=3)
    same((ranges, it['problems']), ([(3 * M, M)], ['the target is cut']),
         'a cut target')


@case(kernels=('uml',))
def restore_stops_at_damage():
    """This test will restore a target of which a byte is another: not without
    --force."""
    t = _backed_up()
    _flip(TARGET, 70 * 64 * K // 2)
    done = run('dtrack', 'restore', TARGET, t.name, '--json', status=1)
    answer = json.loads(done.stdout)
    same(answer['status'], 'failed', 'status')
    same(answer['error']['message'],
         f"Target '{TARGET}' is damaged: 65536 bytes from byte 2293760 on "
         'are not what was written', 'message')
    done = run('dtrack', 'restore', TARGET, t.name, '--force', status=3)
    true('2293760 on are not what was written; restored as they are' in
         done.stderr, f'not said: {done.stderr!r}')
    true(_equal(t), 'the device differs')


@case(kernels=('uml',))
def restore_saves_what_can_be_read():
    """This test will restore from a disk of which 64 KiB cannot be read: it is
    said where that ends; with --force the rest is there, and the device as it
    was where nothing is."""
    disk, loop = Holed(Loop(4 * M, byte=0x22)), Loop(4 * M, byte=0x77)
    want = bytes([0x22]) * 2 * M + bytes([0x77]) * 64 * K + \
        bytes([0x22]) * (2 * M - 64 * K)
    disk.breaks()
    done = run('dtrack', 'restore', disk.path, loop.path, '--jobs', '1',
               '--json', status=1)
    answer = json.loads(done.stdout)
    to, begun = answer['restored-to'], answer['untouched-from']
    true(0 < to <= 2 * M < begun < 4 * M and f'byte {begun}; the rest is as it was' in
         done.stderr, f'{to} and {begun} of {done.stderr!r}')
    same(dm.read(loop.path, 0, to), bytes([0x22]) * to, 'what was restored')
    same(dm.read(loop.path, begun, 4 * M - begun),
         bytes([0x77]) * (4 * M - begun), 'the rest')
    for more, written in (('--force',), 4 * M - 64 * K), \
            (('--force', '--delta'), 0):
        done = run('dtrack', 'restore', disk.path, loop.path, *more, '--json',
                   status=3)
        answer = json.loads(done.stdout)
        same((answer['status'], answer['bytes-written'],
              answer['bytes-unread']), ('completed', written, 64 * K), more)
        true('65536 bytes from byte 2097152 on cannot be read' in done.stderr,
             f'not said: {done.stderr!r}')
        true(dm.read(loop.path, 0, 4 * M) == want, f'the content: {more}')
    disk.mend()
    same(cli('restore', disk.path, loop.path, '--delta')['bytes-written'],
         64 * K, 'once it can be read')
