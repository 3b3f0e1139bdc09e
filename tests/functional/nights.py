# SPDX-License-Identifier: GPL-2.0-or-later
"""Chains of 'dtrack run': every night's content can be had back, whatever goes
wrong in between."""
import errno
import fcntl
import glob
import json
import os
import shutil
import signal
import subprocess

import abi
import dm
from kit import *
from runs import PRELOAD, Holed

FOLDER, CONFIG = '/tmp/nights', '/tmp/nights.conf'
GRANULARITY = 4 * K
FIFREEZE = 0xc0045877


class Site:
    """Two tracked devices and a job that copies them into a folder on a file
    system of its own."""

    def __init__(self, rng, sizes=(2 * M, M + 12 * K), room='160m',
                 form='qcow2'):
        self.rng, self.form = rng, form
        self.loops = [Loop(size, byte=0x11) for size in sizes]
        self.lowers = [Holed(loop, hole=loop.size // 2 // GRANULARITY * GRANULARITY)
                       for loop in self.loops]
        self.devices = []
        self.model = [bytearray(b'\x11' * size) for size in sizes]
        shutil.rmtree('/var/lib/dtrack', ignore_errors=True)
        self.content = {}       # number of a restore point -> the devices then
        self.copied = self.written = 0
        os.makedirs(FOLDER, exist_ok=True)
        run('mount', '-t', 'tmpfs', '-o', f'size={room},mode=755', 'none', FOLDER)
        dm.cleanup.callback(run, 'umount', FOLDER, status=None)
        self.track()

    def track(self):
        self.devices = [Tracked(lower) for lower in self.lowers]
        self.configure()

    def configure(self, **keys):
        keys = {'folder': FOLDER, 'keep': 2, 'format': self.form,
                'full-every': '6 runs', **keys}
        with open(CONFIG, 'w', encoding='utf-8') as file:
            print('[job]', file=file)
            for key, value in keys.items():
                print(f'{key} = {value}', file=file)
            for i, t in enumerate(self.devices):
                print(f'[device d{i}]', f'device = {t.name}', 'bitmap = nightly',
                      f'granularity = {GRANULARITY}', sep='\n', file=file)

    # ---- The day ----

    def work(self):
        """Random writes."""
        for _ in range(self.rng.randint(1, 12)):
            i = self.rng.randrange(len(self.devices))
            length = self.rng.randint(1, 12) * GRANULARITY
            self.write(i, self.rng.randrange(
                (self.devices[i].size - length) // GRANULARITY) * GRANULARITY,
                length)

    def write(self, i, offset, length):
        data = bytes([self.rng.randrange(256)]) * length
        dm.write(self.devices[i].path, offset, data)
        self.model[i][offset:offset + length] = data
        self.written += length

    def now(self):
        return [bytes(content) for content in self.model]

    # ---- The night ----

    def folders(self):
        """Of restore points and what may become one, by number."""
        return {int(os.path.basename(path).split('-')[0]): path
                for path in glob.glob(f'{FOLDER}/0*/0*')}

    def points(self):
        return {number: path for number, path in self.folders().items()
                if os.path.exists(f'{path}/point.json')}

    def chains(self):
        return sorted(glob.glob(f'{FOLDER}/0*'))

    def read_sectors(self):
        return sum(int(open(f'/sys/block/{t.path[5:]}/stat').read().split()[2])
                   for t in self.devices)

    def run(self, status=0, env=None):
        """One run; what it had to say. It is noted what was copied, and what
        it may have made a restore point of."""
        chains, now = self.chains(), self.now()
        number = max([0, *self.folders()]) + 1
        before = self.read_sectors()
        done = run('dtrack', 'run', CONFIG, status=status,
                   env={**os.environ, **(env or {})})
        began = set(self.chains()) - set(chains)
        full = began or 'full copy (' in done.stderr
        if not full:
            self.copied += (self.read_sectors() - before) * SECTOR
        # removed points' numbers are not known here, so all above may be it
        for later in range(number, number + 40):
            self.content[later] = now
        return done.stderr

    def status(self):
        with open(f'{FOLDER}/status.json', encoding='utf-8') as file:
            return json.load(file)

    def good(self, kind, why=None):
        before = set(self.points())
        text = self.run()
        answer = self.status()
        same((answer['status'], answer['kind']), ('completed', kind), text)
        if why is not None:
            true(why in answer['why'], f'{answer["why"]!r} has no {why!r}')
        number = max(self.points())
        true(number not in before, 'a new restore point')
        self.check(number)
        return answer

    def bad(self, *texts):
        """A run that fails, says so, and leaves all restore points."""
        before, folders = self.points(), self.folders()
        text = self.run(status=1)
        for words in texts:
            true(words in text, f'{text!r} has no {words!r}')
        # one that was whole but for its last file may have got that
        true(before.items() <= self.points().items() <= folders.items(),
             f'restore points after {text!r}: {sorted(self.points())}')

    def kill(self, env):
        self.run(status=-signal.SIGKILL, env={'LD_PRELOAD': PRELOAD, **env})

    # ---- What is kept ----

    def check(self, number):
        path = self.points()[number]
        for i, content in enumerate(self.content[number]):
            image = f'{path}/d{i}.{self.form}'
            if self.form == 'qcow2':
                run('qemu-img', 'convert', '-O', 'raw', image, '/tmp/restored')
                image = '/tmp/restored'
            with open(image, 'rb') as file:
                true(file.read() == content,
                     f'd{i} of {path} is not what it was that night')

    def check_all(self):
        """Every restore point, on other devices, and that there is nothing
        else."""
        same(self.folders(), self.points(), 'restore points')
        spare = [Loop(t.size) for t in self.devices]
        for number, path in self.points().items():
            for i, (loop, content) in enumerate(zip(spare,
                                                    self.content[number])):
                run('dtrack', 'restore', f'{self.form}:{path}/d{i}.{self.form}',
                    loop.path)
                true(dm.read(loop.path, 0, loop.size) == content,
                     f'd{i} of {path}, restored, is not what it was that night')
        same([p for p in os.listdir(FOLDER) if p not in ('lock', 'status.json', 'repository.json', 'making')
              and not os.path.basename(p).startswith('0')], [], 'other files')


# ---- What goes wrong ----

def plain(site):
    site.run()


def killed(site):
    """Anywhere: at any of its ioctls, of which an incremental has some 25."""
    site.run(status=None, env={
        'LD_PRELOAD': PRELOAD, 'DTR_KILL_AT': str(site.rng.randint(3, 20)),
        'DTR_KILL_WHEN': site.rng.choice(['before', 'after'])})


def killed_late(site):
    """All is copied and the kernel has made its last step."""
    site.configure(after='kill -9 $PPID')
    site.run(status=-signal.SIGKILL)
    site.configure()


def source_breaks(site):
    i = site.rng.randrange(len(site.lowers))
    lower = site.lowers[i]
    site.write(i, lower.hole, GRANULARITY)
    lower.breaks()
    site.bad('Could not read')
    lower.mend()


def target_full(site):
    # what a killed run has left would make room when it is removed
    site.run()
    site.work()
    with open(f'{FOLDER}/ballast', 'wb', buffering=0) as file:
        with fails('ENOSPC'):
            while file.write(bytes(64 * K)):
                pass
        # an image of a device that is copied whole ends anywhere
        if site.form == 'raw':
            file.truncate(file.tell() - site.rng.randrange(2 * M))
    try:
        site.bad('No space left on device')
        answer = site.status()
        same((answer['status'], answer['error']['class']), ('failed', 'NoSpace'),
             answer)
    finally:
        os.unlink(f'{FOLDER}/ballast')


def target_readonly(site):
    run('mount', '-o', 'remount,ro', FOLDER)
    site.bad(f"Could not open '{FOLDER}/lock': Read-only file system")
    run('mount', '-o', 'remount,rw', FOLDER)


def module_lost(site):
    points = site.points()
    for t in site.devices:
        t.ctl.close()
        t.remove()
    run('rmmod', 'dm_dirtytrack')
    run('insmod', f'{os.environ["DTR_MODDIR"]}/dm-dirtytrack.ko')
    site.track()
    site.work()
    # without any it is the first again
    site.good('full', 'is lost' if points else None)


def bitmap_cleared(site):
    """By somebody who should not have: what was dirty is gone."""
    t = site.rng.choice(site.devices)
    if b'nightly' in [i.name for i in t.ctl.infos(t.dev)]:
        t.ctl.clear(t.dev, 'nightly')
    site.good('full')


def image_changed(site):
    """By somebody who has mounted it, say. It is not what it was: forgotten."""
    site.run()
    points = site.points()
    number = max(points)
    with open(f'{points[number]}/d0.{site.form}', 'r+b') as file:
        byte, = file.read(1)
        file.seek(0)
        file.write(bytes([byte ^ 1]))
    site.work()
    site.good('full', f"'{points[number]}/d0.{site.form}'")
    shutil.rmtree(points[number])


EVENTS = [plain] * 12 + [killed] * 8 + [killed_late] * 2 + \
    [source_breaks, target_full] * 2 + \
    [target_readonly, module_lost, bitmap_cleared, image_changed]


def _nights(form):
    site = Site(seed(), form=form)
    events = EVENTS[:]
    same(len(events), 30, 'nights')
    site.rng.shuffle(events)
    for event in events:
        site.work()
        print(f'# {event.__name__}', flush=True)
        event(site)
    site.configure(**{'full-every': '40 runs'})
    site.work()
    site.run()
    site.good('incremental')
    site.check_all()
    same(site.now(), [dm.read(t.path, 0, t.size) for t in site.devices],
         'the devices')
    true(site.copied <= 2 * site.written,
         f'{site.copied} bytes copied, {site.written} written')
    print(f'# {site.copied} bytes copied, {site.written} written', flush=True)


@case(limit=300, kernels=('uml',))
def nights_30():
    """This test will run a job for 30 nights of random writes, kills, errors of
    source and target, a lost module, and people who meddle: every restore point
    that is kept has what was there that night, and the incrementals read at
    most twice what was written."""
    _nights('qcow2')


@case(limit=300, kernels=('uml',))
def nights_30_raw():
    """This test will do the same with raw images."""
    _nights('raw')


def _mounted(site):
    points = [f'/tmp/nights-fs{i}' for i in range(len(site.devices))]
    for t, point in zip(site.devices, points):
        run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=0', t.path)
        os.makedirs(point, exist_ok=True)
        run('mount', t.path, point)
        dm.cleanup.callback(run, 'umount', point, status=None)
    return points


def _write(path, data):
    with open(path, 'wb') as file:
        file.write(data)


@case(kernels=('uml',))
def nights_fsfreeze():
    """This test will run a job over two mounted file systems that are held
    still at the freeze: what was only in memory is in the images, without their
    journals, and all have thawed."""
    site = Site(seed(), sizes=(8 * M, 8 * M), room='64m', form='raw')
    points = _mounted(site)
    site.configure(fsfreeze='yes')
    run('dtrack', 'run', CONFIG)
    for point in points:
        _write(f'{point}/file', os.urandom(200 * K))
    answer = json.loads(run('dtrack', 'run', CONFIG, '--json').stdout)
    same((answer['status'], answer['kind']), ('completed', 'incremental'), answer)
    true(2 * 200 * K <= answer['bytes-copied'] < 4 * M, answer)
    os.makedirs('/tmp/nights-copy', exist_ok=True)
    newest = site.points()[max(site.points())]
    for i, point in enumerate(points):
        run('mount', '-o', 'loop,ro,noload', f'{newest}/d{i}.raw',
            '/tmp/nights-copy')
        run('cmp', f'{point}/file', '/tmp/nights-copy/file')
        run('umount', '/tmp/nights-copy')
        _write(f'{point}/more', b'thawed')
        os.sync()


def _is_frozen(point):
    fd = os.open(point, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FIFREEZE, 0)
    except OSError as e:
        same(e.errno, errno.EBUSY, point)
        return True
    finally:
        os.close(fd)
    run('fsfreeze', '-u', point)
    return False


@case(kernels=('uml',))
def nights_fsfreeze_copy():
    """This test will run a job over two mounted file systems that are frozen until
    all is copied: behind the hook 'hold', not behind 'release', and no longer than
    the run is alive."""
    site = Site(seed(), sizes=(8 * M, 8 * M), room='64m', form='raw')
    points = _mounted(site)
    site.configure(fsfreeze='copy', hold=f'echo 1 >{points[0]}/held',
                   release=f'echo 1 >{points[1]}/released')
    run('dtrack', 'run', CONFIG)
    os.makedirs('/tmp/nights-copy', exist_ok=True)
    newest = site.points()[max(site.points())]
    for i, there in enumerate((['held'], [])):
        run('mount', '-o', 'loop,ro,noload', f'{newest}/d{i}.raw',
            '/tmp/nights-copy')
        same([f for f in os.listdir('/tmp/nights-copy') if f != 'lost+found'],
             there, f'd{i}')
        run('umount', '/tmp/nights-copy')
    same(os.path.getsize(f'{points[1]}/released'), 2, 'released')
    site.configure(fsfreeze='copy', speed='16K')
    for point in points:
        _write(f'{point}/file', os.urandom(200 * K))
    with subprocess.Popen(['dtrack', 'run', CONFIG]) as running:
        while 'busy' not in run('dtrack', 'list').stdout:
            same(running.poll(), None, 'the run')
        same([_is_frozen(point) for point in points], [True, True], 'frozen')
        running.kill()
    for point in points:
        _write(f'{point}/more', b'thawed')
        os.sync()


@case(kernels=('uml',))
def nights_fsfreeze_tmp():
    """This test will have /tmp on a file system that is to be frozen: a run that
    makes sockets there would wait for itself, and is refused."""
    site = Site(seed(), sizes=(8 * M,))
    point, = _mounted(site)
    os.makedirs('/run/nights', exist_ok=True)
    site.configure(fsfreeze='copy', folder='/run/nights')
    shutil.copy(CONFIG, '/run/nights.conf')
    done = run('unshare', '-m', 'sh', '-c', f'mount --bind {point} /tmp && '
               'dtrack run /run/nights.conf', status=1)
    true(': d0: It cannot be frozen: /tmp is on it, ' in done.stderr, done.stderr)
    run('dtrack', 'run', '/run/nights.conf')


def _mount_over(point):
    """Another file system where one is mounted already."""
    other = Loop(8 * M)
    run('mkfs.ext4', '-q', other.path)
    run('mount', other.path, point)
    dm.cleanup.callback(run, 'umount', point, status=None)


@case(kernels=('uml',))
def nights_fsfreeze_mounted_over():
    """This test will mount something else over a device's file system: that is
    not what is frozen. Where it is mounted, too, it can be had."""
    site = Site(seed(), sizes=(8 * M,), form='raw')
    point, = _mounted(site)
    site.configure(fsfreeze='yes')
    _mount_over(point)
    done = run('dtrack', 'run', CONFIG, status=1)
    true(done.stderr.endswith(f": Could not freeze '{point}': something else "
                              "is mounted over it\n"), done.stderr)
    _write(f'{point}/file', b'not frozen')
    os.sync()
    site.configure(fsfreeze='copy')
    done = run('dtrack', 'run', CONFIG, status=1)
    true(done.stderr.endswith(f": Could not freeze '{point}': something else "
                              "is mounted over it\n"), done.stderr)
    os.makedirs('/tmp/nights-bind', exist_ok=True)
    run('mount', site.devices[0].path, '/tmp/nights-bind')
    dm.cleanup.callback(run, 'umount', '/tmp/nights-bind', status=None)
    run('dtrack', 'run', CONFIG)


@case(kernels=('uml',))
def nights_fsfreeze_copy_thawed():
    """Somebody thaws the file system while it is copied: that is said, and what
    the new restore point would replace stays."""
    site = Site(seed(), sizes=(8 * M,), room='64m', form='raw')
    point, = _mounted(site)
    site.configure(keep=1)
    run('dtrack', 'run', CONFIG)
    site.configure(keep=1, fsfreeze='copy', speed='1M', **{'full-every': '1 runs'})
    _write(f'{point}/file', os.urandom(200 * K))
    with subprocess.Popen(['dtrack', 'run', CONFIG],
                          stderr=subprocess.PIPE, text=True) as running:
        while 'busy' not in run('dtrack', 'list').stdout:
            same(running.poll(), None, 'the run')
        run('fsfreeze', '-u', point)
        err = running.communicate(timeout=300)[1]
    same((running.returncode, err.count('\n')), (1, 2), err)
    true(err.endswith(f": Could not thaw '{point}': somebody else has thawed it; "
                      "what was copied may not be of one moment\n"), err)
    same(len(site.points()), 2, 'restore points')


@case(kernels=('uml',))
def nights_fsfreeze_nested():
    """The second device lies on a file on the first one's file system: to freeze
    both would never end."""
    site = Site(seed(), sizes=(16 * M,), form='raw')
    point, = _mounted(site)
    with open(f'{point}/disk', 'wb') as file:
        file.truncate(4 * M)
    inner = Tracked(Holed(Loop(4 * M, path=f'{point}/disk'), hole=2 * M))
    run('mkfs.ext4', '-q', inner.path)
    os.makedirs('/tmp/nights-inner', exist_ok=True)
    run('mount', inner.path, '/tmp/nights-inner')
    dm.cleanup.callback(run, 'umount', '/tmp/nights-inner', status=None)
    site.devices.append(inner)
    for how in 'yes', 'copy':
        site.configure(fsfreeze=how)
        done = run('dtrack', 'run', CONFIG, status=1)
        true(done.stderr.endswith(": one lies on the other\n"), done.stderr)
        _write(f'{point}/file', b'not frozen')
        _write('/tmp/nights-inner/file', b'nor this')
        os.sync()


@case(kernels=('uml',))
def nights_on_a_disk_that_hooks_mount():
    """This test will mount the folder's disk by the hook 'before' and unmount it
    by 'after': all is on the disk and nothing below it, also when the disk
    cannot be mounted."""
    site = Site(seed(), form='raw')
    disk, point = '/tmp/nights-disk', '/tmp/nights-point'
    with open(disk, 'wb') as file:
        file.truncate(32 * M)
    run('mkfs.ext4', '-q', disk)
    os.makedirs(point, exist_ok=True)
    hooks = {'before': f'mount -o loop {disk} {point}', 'after': f'umount {point}',
             'folder': point}
    site.configure(**hooks)
    run('dtrack', 'run', CONFIG)
    site.work()
    answer = json.loads(run('dtrack', 'run', CONFIG, '--json').stdout)
    same((answer['status'], answer['kind']), ('completed', 'incremental'), answer)
    same(os.listdir(point), [], 'below the disk')
    os.rename(disk, disk + '.gone')
    done = run('dtrack', 'run', CONFIG, status=1)
    true("The hook 'before' failed" in done.stderr, done.stderr)
    same(os.listdir(point), [], 'below the disk that is not there')
    os.rename(disk + '.gone', disk)
    run('mount', '-o', 'loop,ro', disk, point)
    same(len(glob.glob(f'{point}/0*/0*/point.json')), 2, 'restore points')
    with open(f'{point}/status.json', encoding='utf-8') as file:
        same(json.load(file), answer, 'the status')
    run('umount', point)
