# SPDX-License-Identifier: GPL-2.0-or-later
"""Nights of 'dtrack run' by chance, see tests/promise.py, on a real kernel: the
bitmaps are real ones, and what rots does so on the medium, below what the file
system has in memory."""
import os
import shutil
import subprocess
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))

import dm
import promise
import world
from kit import *

MEDIUM = 192 * M


class Disk:
    def __init__(self, rng):
        self.rng, loop = rng, Loop(world.BYTES)
        # nobody has this one open
        self.lower = Dm(new_name('lower'), loop.size, 'linear', f'{loop.path} 0')
        self.lower.size = loop.size
        self.data = bytearray()
        self.track()
        self.fill(rng.randbytes(world.BYTES))

    def track(self):
        self.tracked = Tracked(self.lower)
        self.dev, self.name = self.tracked.dev, self.tracked.name

    def fill(self, data):
        self.data[:] = data
        dm.write(self.tracked.path, 0, data)

    def write(self, granules):
        for g in granules:
            at = g * world.G + self.rng.randrange(16) * 4 * K
            piece = self.rng.randbytes(4 * K)
            self.data[at:at + 4 * K] = piece
            dm.write(self.tracked.path, at, piece)

    def untrack(self):
        self.tracked.ctl.close()
        self.tracked.remove()


class Spare:
    def __init__(self):
        self.loop = Loop(world.BYTES)
        self.name = self.loop.path

    def empty(self):
        dm.write(self.name, 0, bytes(world.BYTES))

    def read(self):
        return dm.read(self.name, 0, world.BYTES)


class Kernel:
    """It sees the writes by itself."""

    def __init__(self, disks):
        self.disks = disks

    def wrote(self, dev, granules):
        pass

    def reboots(self):
        for disk in self.disks:
            disk.untrack()
        run('rmmod', 'dm_dirtytrack')
        run('insmod', f'{os.environ["DTR_MODDIR"]}/dm-dirtytrack.ko')
        for disk in self.disks:
            disk.track()


class Real(world.World):
    past_the_cache = ('-T', 'none')

    def make_disks(self, nr):
        disks = [Disk(self.rng) for _ in range(nr)]
        self.kernel = Kernel(list(disks))
        self.medium = Loop(MEDIUM)
        mount = os.path.join(self.where, 'mnt')
        os.mkdir(mount)
        run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=0', self.medium.path)
        run('mount', self.medium.path, mount)
        dm.cleanup.callback(run, 'umount', mount, status=None)
        os.rmdir(self.folder)
        self.folder = os.path.join(mount, 'folder')
        os.mkdir(self.folder)
        self._spare = None
        return disks

    def reboots(self):
        super().reboots()
        self.again()

    def is_another_disk(self):
        super().is_another_disk()
        self.again()

    def again(self):
        """Devices have other names now."""
        self.configure(**self.keys)

    def other_disk(self):
        if len(self.kernel.disks) == len(self.disks):
            self.kernel.disks.append(Disk(self.rng))
        return self.kernel.disks[-1]

    def spare(self):
        self._spare = self._spare or Spare()
        return self._spare

    def process(self, args, env, disks):
        preload = ':'.join(world.PRELOAD[n] for n in ('preload-kill', 'preload-night'))
        done = subprocess.run(['dtrack', *args], env={**env, 'LD_PRELOAD': preload},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=600, check=False)
        return world.Result(done.returncode, done.stdout, done.stderr)

    def bytes_of(self, path):
        return dm.read(path, 0, os.path.getsize(path) // 512 * 512)

    def where_is(self, path, at):
        """Of a byte, on the medium; None: in a hole."""
        os.sync()
        for line in run('filefrag', '-v', '-b512', path).stdout.splitlines():
            word = line.replace('..', ' ').replace(':', ' ').split()
            if len(word) > 5 and word[0].isdigit() and \
                    int(word[1]) * 512 <= at < (int(word[2]) + 1) * 512:
                return int(word[3]) * 512 + at - int(word[1]) * 512
        return None

    def flip(self, path, at, bit):
        """Not in the page cache."""
        there = self.where_is(path, at)
        if there is None:
            return
        with open(self.medium.file, 'r+b', buffering=0) as file:
            file.seek(there)
            byte = file.read(1)[0]
            file.seek(there)
            file.write(bytes([byte ^ 1 << bit]))

    def ends(self):
        self.closes()


def _some(form, usual):
    """The usual nights; with SEED=N others, which may find what nobody knows yet."""
    value = int(os.environ.get('SEED') or 0) or usual
    path = f'/tmp/promises-{form}'
    os.mkdir(path)
    promise.try_seed(value, form, path, world=Real, nights=24)


@case(limit=300, kernels=('uml',))
def promises_raw():
    """This test will run a job for 24 nights in which anything may happen, its images
    rotting on the medium among that: what was good stays, and what is called verified
    can be restored."""
    _some('raw', 592467026)


@case(limit=300, kernels=('uml',))
def promises_qcow2():
    """This test will do the same with chains of qcow2 images."""
    _some('qcow2', 1219625725)
