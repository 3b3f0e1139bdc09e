# SPDX-License-Identifier: GPL-2.0-or-later
"""What the command 'dtrack backup' leaves: target, bitmap, words and status."""
import mmap
import os
import shutil
import signal
import struct
import subprocess

import abi
import dm
from inflight import Journal, random_writer
from kit import *
from runs import *


def _equal(t, path=TARGET):
    return dm.read(t.path, 0, t.size) == read_file(path, 0, t.size)


def _anchored():
    """F and a full backup of it; then W is written."""
    fresh_target()
    lower = Holed(Loop(4 * M, byte=0x11))
    t = Tracked(lower, bitmaps={'b': 64 * K})
    backup(t, 'full', 'on-success')
    same(t.dirty(), set(), 'after the full backup')
    write_w(t)
    return lower, t


# ---- The main job ----

def _mounted(mkfs, fsck, size, options=''):
    fresh_target()
    os.makedirs('/tmp/copy', exist_ok=True)
    loop = Loop(size)
    run(*mkfs, loop.path)
    t = Tracked(loop, bitmaps={'b': 64 * K})
    os.makedirs('/tmp/mnt', exist_ok=True)
    run('mount', t.path, '/tmp/mnt')
    dm.cleanup.callback(run, 'umount', '/tmp/mnt', status=None)
    for i in range(20):
        with open(f'/tmp/mnt/file{i}', 'wb') as file:
            file.write(os.urandom(200 * K))
    _frozen_backup(t, 'full', 'on-success')
    for i in range(0, 20, 5):
        os.unlink(f'/tmp/mnt/file{i}')
        with open(f'/tmp/mnt/new{i}', 'wb') as file:
            file.write(os.urandom(100 * K))
    with open('/tmp/mnt/file1', 'r+b') as file:
        file.seek(70 * K)
        file.write(b'edited')
    answer = _frozen_backup(t, 'incremental')
    true(0 < answer['bytes-copied'] < size // 4,
         f'the incremental copied {answer["bytes-copied"]} of {size}')
    # its log is as a power cut leaves it
    run('mount', '-o', 'loop' + options, TARGET, '/tmp/copy')
    run('diff', '-r', '/tmp/mnt', '/tmp/copy')
    run('umount', '/tmp/copy')
    run(*fsck, TARGET)


def _frozen_backup(t, sync, mode=None):
    run('fsfreeze', '-f', '/tmp/mnt')
    try:
        answer = backup(t, sync, mode)
        true(_equal(t), f'target and device differ after {sync}')
    finally:
        run('fsfreeze', '-u', '/tmp/mnt')
    same(answer['bytes-copied'], answer['bytes-total'], 'bytes')
    return answer


@case(limit=120)
def backup_of_mounted_ext4():
    """This test will back up a mounted ext4 in full, change it, back up what
    changed, and compare bit for bit."""
    modprobe('ext4')
    _mounted(('mkfs.ext4', '-q'), ('e2fsck', '-fn'), 64 * M)


@case(limit=120, kernels=('uml', '6.12'))
def backup_of_mounted_xfs():
    """This test will do the same with xfs."""
    modprobe('xfs')
    _mounted(('mkfs.xfs', '-q'), ('xfs_repair', '-n', '-f'),
             320 * M, ',nouuid')


@case
def backup_of_mounted_is_direct():
    """This test will back up a mounted ext4 twice, with a file rewritten in
    between: a run that read through the page cache of the device would find
    what the first one left there (I10)."""
    modprobe('ext4')
    fresh_target()
    loop = Loop(64 * M)
    run('mkfs.ext4', '-q', loop.path)
    t = Tracked(loop, bitmaps={'b': 64 * K})
    os.makedirs('/tmp/mnt', exist_ok=True)
    run('mount', t.path, '/tmp/mnt')
    dm.cleanup.callback(run, 'umount', '/tmp/mnt', status=None)
    for byte, sync, mode in ((0x41, 'full', 'on-success'),
                             (0x42, 'incremental', None),
                             (0x43, 'incremental', None)):
        fd = os.open('/tmp/mnt/file', os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, bytes([byte]) * (8 * M), 0)
        os.fsync(fd)
        os.close(fd)
        _frozen_backup(t, sync, mode)


@case(limit=180)
def backup_followed_under_writers():
    """This test will run incrementals by the command against writers, one of
    them reclaimed by force, until all is quiet: the target is the device."""
    rng = seed()
    fresh_target()
    t = tracked(bitmaps={'b': 4 * K})
    journals, stop = [Journal(), Journal()], mmap.mmap(-1, 1)
    pids = [start(random_writer, t, j, rng.random(), stop) for j in journals]
    backup(t, 'full', 'on-success')
    for _ in range(3 if QEMU else 10):
        sync, mode = rng.choice((('incremental', None), ('bitmap', 'always'),
                                 ('bitmap', 'never')))
        backup(t, sync, mode)
    for j in journals:
        wait_for(lambda j=j: len(j) > 10, 'writes')
    stop[0] = 1
    for pid in pids:
        same(wait(pid), 0, 'a writer')
    backup(t, 'incremental')
    same(t.extents(), [], 'dirty when all is quiet')
    true(_equal(t), 'target and device differ')


# ---- kill -9 (I5) ----

# Emulated machines are slow: there, once for each ioctl, and each mode that takes
# all or nothing back on one of them; killed.py has all modes on each.
WHEN = ('after',) if QEMU else ('before', 'after')


def _ioctls(t, sync, mode, log='/tmp/ioctls'):
    """The run's ioctls, by a run that nobody kills, onto another target."""
    if os.path.exists(log):
        os.unlink(log)
    env = dict(os.environ, LD_PRELOAD=PRELOAD, DTR_KILL_LOG=log)
    run(*words(t, sync, mode, target='/tmp/other'), '--force', env=env)
    for path in '/tmp/other', '/tmp/other.dtrack':
        os.unlink(path)
    with open(log) as file:
        return [line.split()[1] for line in file]


def _after_kill(names, at, when, sync, mode):
    """The dirty granules that I5 asks for."""
    seen = names[:at - (when == 'before')]
    whole = set(range(64)) if sync == 'full' else set(W)
    ended = any('ABDICATE' in n or 'RECLAIM' in n for n in seen)
    if 'TRANSACTION' not in seen:
        return W
    if mode == 'always':
        return set() if ended or any('REPORT' in n for n in seen) else whole
    if mode == 'never':
        return W
    return set() if ended else W


def _next_run(t, what):
    """The next run makes the target right, whenever the one before was killed:
    no full one is needed."""
    run(*words(t, 'bitmap', 'always'))
    true(_equal(t), f'{what}: target after the next run')
    same(t.dirty(), set(), f'{what}: bitmap after the next run')


def _kill_everywhere(sync, mode, child=False):
    _, t = _anchored()
    names = _ioctls(t, sync, mode)
    same(names.count('TRANSACTION'), 1, f'freezes in {names}')
    for at in range(1, len(names) + 1):
        for when in WHEN:
            t.ctl.clear(t.dev, 'b')
            run(*words(t, 'full', 'on-success'), '--force')
            write_w(t, at & 0xff)
            env = dict(os.environ, LD_PRELOAD=PRELOAD, DTR_KILL_AT=str(at),
                       DTR_KILL_WHEN=when)
            if child:
                env.update(DTR_KILL_CHILD='1', DTR_KILL_CHILD_SECONDS='600')
            killed = subprocess.run(words(t, sync, mode), env=env,
                                    stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL, check=False)
            what = f'{sync} {mode}, killed {when} {at} {names[at - 1]}'
            same(killed.returncode, -signal.SIGKILL, what)
            same(t.info().flags, abi.RECORDING, f'{what}: flags')
            same(t.dirty(), _after_kill(names, at, when, sync, mode), what)
            if child:
                run('pkill', '-9', '-x', 'dtrack', status=None)
            _next_run(t, what)


@case(limit=300, kernels=('uml', 'uml-debug', '6.1'))
def backup_killed_incremental():
    """This test will kill a run before and after each of its ioctls."""
    _kill_everywhere('incremental', None)


@case(limit=300, kernels=('uml', 'uml-debug', '6.12'))
def backup_killed_never():
    """This test will do so in mode never."""
    _kill_everywhere('bitmap', 'never')


@case(limit=300)
def backup_killed_always():
    """This test will do so in mode always."""
    _kill_everywhere('bitmap', 'always')


@case(limit=300, kernels=('uml',))
def backup_killed_full():
    """This test will do so to full runs."""
    _kill_everywhere('full', 'on-success')
    _kill_everywhere('full', 'always')


@case(limit=300, kernels=('uml',))
def backup_killed_with_child():
    """This test will do so while a child holds the files open."""
    _kill_everywhere('bitmap', 'always', child=True)


# ---- A target with a cache that a power cut empties ----

LOG_FLUSH, LOG_FUA, LOG_DISCARD, LOG_MARK = 1, 2, 4, 8


class Cached(dm.Dm):
    """A device that logs what reaches it; surviving() is what it would have
    after a power cut now."""

    def __init__(self, size):
        self.log = Loop(64 * M)
        super().__init__(new_name('cached'), size, 'log-writes',
                         f'{Loop(size).path} {self.log.path}')

    def surviving(self):
        """The log up to the last flush. What comes after one and before the
        next is in the log only once that comes, or the table goes."""
        self.suspend()
        self.reload('error', '')
        with open(self.log.path, 'rb') as log:
            _, _, nr, block = struct.unpack('<QQQI', log.read(28))
            image, pending = bytearray(self.size), []
            at = block
            for _ in range(nr):
                log.seek(at)
                sector, length, flags, extra = struct.unpack('<QQQQ',
                                                             log.read(32))
                at += block
                if flags & LOG_FLUSH:
                    for begin, data in pending:
                        image[begin:begin + len(data)] = data
                    pending = []
                if flags & (LOG_DISCARD | LOG_MARK):
                    at += extra if flags & LOG_MARK else 0
                    continue
                log.seek(at)
                data = log.read(length * block)
                at += length * block
                if flags & LOG_FUA:
                    image[sector * 512:sector * 512 + len(data)] = data
                else:
                    pending.append((sector * 512, data))
        return image


@case
def backup_reported_is_on_the_target():
    """This test will kill runs at the report and cut the target's power: what
    is no longer dirty is on the target."""
    modprobe('dm-log-writes')
    for when, mode, expected in (('before', 'always', W),
                                 ('after', 'always', set()),
                                 ('after', 'conditional', W)):
        t, target = tracked(), Cached(4 * M)
        write_w(t)
        names = _ioctls(t, 'bitmap', 'never')
        at = next(i for i, n in enumerate(names, 1) if 'REPORT' in n)
        env = dict(os.environ, LD_PRELOAD=PRELOAD, DTR_KILL_AT=str(at),
                   DTR_KILL_WHEN=when)
        killed = subprocess.run(
            words(t, 'bitmap', mode, target=target.path), env=env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        same(killed.returncode, -signal.SIGKILL, 'the run')
        same(t.dirty(), expected, f'{when}, {mode}')
        image = target.surviving()
        for granule in W:
            begin = granule * 64 * K
            same(image[begin:begin + 64 * K],
                 dm.read(t.path, begin, 64 * K), f'{when}: {granule}')


# ---- What is refused ----

def _refused(*args):
    refused(*args, part=True)


@case
def backup_refuses_what_feeds_itself():
    """This test will name targets that lie on the tracked device, or that it
    lies on (I11)."""
    modprobe('ext4')
    loop = Loop(64 * M)
    t = Tracked(loop, bitmaps={'b': 64 * K})
    run('mkfs.ext4', '-q', t.path)
    os.makedirs('/tmp/mnt', exist_ok=True)
    run('mount', t.path, '/tmp/mnt')
    dm.cleanup.callback(run, 'umount', '/tmp/mnt', status=None)
    with open('/tmp/mnt/image', 'wb') as file:
        file.truncate(64 * M)
    over = Loop(64 * M, path='/tmp/mnt/image')
    os.sync()
    # what is unlinked or allocated late shall not come between
    run('fsfreeze', '-f', '/tmp/mnt')
    try:
        for target in (t.path, '/tmp/mnt/new', '/tmp/mnt/image', over.path,
                       loop.path, loop.file):
            _refused(t, words(t, 'full', 'on-success', target=target), '')
    finally:
        run('fsfreeze', '-u', '/tmp/mnt')
    over.remove()


@case
def backup_refuses_targets():
    """This test will name targets of the wrong size and state."""
    _, t = _anchored()
    small = Loop(4 * M - 512)
    _refused(t, words(t, 'full', 'on-success', target=small.path), '')
    with open('/tmp/odd', 'wb') as file:
        file.truncate(4 * M - 512)
    _refused(t, words(t, 'full', 'on-success', target='/tmp/odd'), '')
    _refused(t, words(t, 'incremental', target='/tmp/none'), '')
    true(not os.path.exists('/tmp/none'), 'a refused target was made')
    os.truncate('/tmp/odd', 4 * M)
    _refused(t, words(t, 'incremental', target='/tmp/odd'), '')
    _refused(t, words(t, 'incremental', bitmap='nope'), 'nope',
             'BitmapNotFound')
    t.freeze(flags=abi.FREEZE_NO_OWNER)
    _refused(t, words(t, 'incremental'), 'currently in use', 'Busy')
    t.reclaim()
    os.unlink('/tmp/odd')


@case
def backup_refuses_a_target_that_missed_something():
    """This test will clear the bitmap behind a target's back, after success
    and after a failure: an incremental onto it is refused (I8)."""
    lower, t = _anchored()
    t.ctl.clear(t.dev, 'b')
    _refused(t, words(t, 'incremental'), '')
    run(*words(t, 'full', 'on-success'))
    write_w(t)
    lower.breaks()
    backup(t, 'incremental', status=1)
    lower.mend()
    # the generation is now what the failed run would have reached
    t.ctl.clear(t.dev, 'b')
    _refused(t, words(t, 'incremental'), '')
    t.ctl.remove(t.dev, 'b')
    t.ctl.add(t.dev, 'b', 64 * K)
    _refused(t, words(t, 'incremental'), '')


@case
def backup_refuses_block_targets():
    """This test will name block devices that are mounted, or part of another
    device: opened exclusively, refused."""
    modprobe('ext4')
    _, t = _anchored()
    mounted, held = Loop(8 * M), Loop(8 * M)
    run('mkfs.ext4', '-q', mounted.path)
    os.makedirs('/tmp/mnt', exist_ok=True)
    run('mount', mounted.path, '/tmp/mnt')
    dm.cleanup.callback(run, 'umount', '/tmp/mnt', status=None)
    dm.Dm(new_name('holder'), 8 * M, 'linear', f'{held.path} 0')
    for target in mounted.path, held.path, '/dev/null', '/tmp/mnt':
        _refused(t, words(t, 'full', 'on-success', target=target), target)
    true(open(held.path, 'rb').read(8 * M) == bytes(8 * M),
         'a refused target was written')


@case
def command_without_module():
    """This test will unload the module: the command says what is missing."""
    run('rmmod', 'dm_dirtytrack')
    dm.cleanup.callback(run, 'insmod',
                        f'{os.environ["DTR_MODDIR"]}/dm-dirtytrack.ko')
    loop = Loop(4 * M)
    for words in (['list'], ['create', 'none', loop.path],
                  ['bitmap', 'show', 'none'],
                  ['backup', 'none', '--target', TARGET]):
        done = run('dtrack', *words, status=1)
        true(done.stderr.startswith('dtrack: ') and
             'dm-dirtytrack' in done.stderr and
             len(done.stderr.splitlines()) == 1, f'{words}: {done.stderr!r}')
    true(not os.path.exists(TARGET), 'a target was made')
    true(not os.path.exists('/dev/mapper/none'), 'a device was made')


@case
def create_and_remove_refuse():
    """This test will create over what is in use or taken, and remove what is
    busy or open."""
    modprobe('ext4')
    loop = Loop(64 * M)
    t = tracked()
    other = t.name + 'x'
    _refused(t, ['dtrack', 'create', t.name, loop.path], '', 'Exists')
    _refused(t, ['dtrack', 'create', other, t.lower.path], '', 'Busy')
    run('mkfs.ext4', '-q', loop.path)
    os.makedirs('/tmp/mnt', exist_ok=True)
    run('mount', loop.path, '/tmp/mnt')
    dm.cleanup.callback(run, 'umount', '/tmp/mnt', status=None)
    _refused(t, ['dtrack', 'create', other, loop.path], '/tmp/mnt', 'Busy')
    _refused(t, ['dtrack', 'create', other, '/dev/nope'], '/dev/nope')
    t.freeze(flags=abi.FREEZE_NO_OWNER)
    _refused(t, ['dtrack', 'remove', t.name], 'b', 'Busy')
    t.reclaim()
    fd = os.open(t.path, os.O_RDONLY)
    _refused(t, ['dtrack', 'remove', t.name], '', 'Busy')
    os.close(fd)
    _refused(t, ['dtrack', 'list', 'nope'], 'nope', 'DeviceNotFound')
    # where anybody may run it, wherever this tree is
    build = os.path.dirname(shutil.which('dtrack'))
    os.makedirs('/tmp/anybody', mode=0o755, exist_ok=True)
    for name in 'dtrack', 'libdtrack.so.0':
        shutil.copy(os.path.join(build, name), '/tmp/anybody')
    _refused(t, ['setpriv', '--reuid', '65534', '--clear-groups', 'env',
                 'LD_LIBRARY_PATH=/tmp/anybody', '/tmp/anybody/dtrack',
                 'list'], '', 'Permission')
