# SPDX-License-Identifier: GPL-2.0-or-later
"""What verifies and restores reads the medium: a bit that changes below a file
system is seen, though memory has the file as it was."""
import os

import dm
from kit import *
from runs import *

MOUNT = '/tmp/medium'
PIECE = 64 * K


class Disk:
    """A file system whose medium can be written to behind its back."""

    def __init__(self, options=''):
        modprobe('ext4')
        self.loop = Loop(48 * M)
        run('mkfs.ext4', '-q', self.loop.path)
        os.makedirs(MOUNT, exist_ok=True)
        run('mount', *(('-o', options) if options else ()), self.loop.path,
            MOUNT)
        dm.cleanup.callback(run, 'umount', MOUNT, status=None)

    def rot(self, data):
        """One bit of the piece that begins with data; memory has the rest as
        it was: in the file system, and in the files that are read here."""
        run('sync')
        names = [os.path.join(MOUNT, name) for name in os.listdir(MOUNT)]
        before = {name: self.cached(name) for name in names
                  if os.path.isfile(name)}
        at = read_file(self.loop.file).find(data)
        true(at > 0, 'the piece is not on the medium')
        with open(self.loop.file, 'r+b') as file:
            file.seek(at + 100)
            file.write(bytes([data[100] ^ 1]))
        same({name: self.cached(name) for name in before}, before,
             'what memory has')

    @staticmethod
    def cached(path):
        return hash(read_file(path))


def _fill(t, nr):
    """A piece that is like no other."""
    data = os.urandom(PIECE)
    dm.write(t.path, nr * PIECE, data)
    return data


def _device():
    return Tracked(Loop(4 * M, byte=0x11), bitmaps={'b': PIECE})


def _found(target, nr, image=None):
    it = cli('verify', target, status=3)
    where = {'image': image} if image else {}
    same(it['ranges'], [{'start': nr * PIECE, 'length': PIECE, **where}],
         'what is found')


def _stops(target, nr):
    done = run('dtrack', 'restore', target, Loop(4 * M).path, status=1)
    true(f'from byte {nr * PIECE} on are not what was written' in done.stderr,
         done.stderr)


@case(kernels=('uml',))
def medium_of_a_raw_file():
    """This test will change a bit below the file system that a raw target lies
    on: verify and restore see it, also where direct reads come from memory."""
    for options in '', 'data=journal':
        disk, t = Disk(options), _device()
        data, target = _fill(t, 5), f'{MOUNT}/target'
        backup(t, 'full', 'on-success', target=target)
        same(cli('verify', target)['medium'], True, 'before')
        disk.rot(data)
        _found(target, 5)
        disk.cached(target)
        it = cli('verify', t.name, target, status=3)
        same((it['medium'], it['bytes-different']), (True, PIECE), 'compared')
        _stops(target, 5)
        run('umount', MOUNT)


@case(kernels=('uml',))
def medium_of_images():
    """This test will change a bit below an image, and below the one that it lies
    over: verify and restore see it."""
    disk, t = Disk(), _device()
    low, top = _fill(t, 5), f'{MOUNT}/1'
    backup(t, 'full', 'on-success', target=f'qcow2:{MOUNT}/0')
    high = _fill(t, 7)
    backup(t, 'incremental', target=f'qcow2:{top},backing={MOUNT}/0')
    same(cli('verify', top)['medium'], True, 'before')
    disk.rot(high)
    _found(top, 7)
    same(cli('verify', t.name, top, status=3)['medium'], True, 'compared')
    _stops(top, 7)
    disk.rot(low)
    it = cli('verify', top, status=3)
    same([(r['start'] // PIECE, r.get('image')) for r in it['ranges']],
         [(7, None), (5, f'{MOUNT}/0')], 'of both')
    run('dtrack', 'restore', top, Loop(4 * M).path, status=1)
    dev = Loop(4 * M)
    done = run('dtrack', 'restore', top, dev.path, '--force', '--json',
               status=3)
    for nr in 5, 7:
        true(f'from byte {nr * PIECE} on are not what was written' in
             done.stderr, done.stderr)


@case(kernels=('uml',))
def medium_of_checksums():
    """This test will change a bit below the file of checksums: what it is of is
    no longer what was verified."""
    disk, t = Disk(), _device()
    _fill(t, 5)
    target = f'{MOUNT}/target'
    backup(t, 'full', 'on-success', target=target)
    disk.rot(read_file(target + '.dtrack.sums')[64 + 5 * 8:64 + 64 * 8])
    it = cli('verify', target, status=3)
    same([r['start'] for r in it['ranges']], [(5 + 100 // 8) * PIECE],
         'what is found')


@case(kernels=('uml',))
def medium_in_memory():
    """This test will verify what lies in memory: that is its medium. What a
    server has nobody can tell."""
    fresh_target()
    t = _device()
    backup(t, 'full', 'on-success')
    same(cli('verify', TARGET)['medium'], True, 'a tmpfs')
    same(cli('verify', t.name, TARGET)['medium'], True, 'compared')
    fresh_target('/tmp/image')
    backup(t, 'full', 'on-success', target='qcow2:/tmp/image')
    same(cli('verify', '/tmp/image')['medium'], True, 'an image')
