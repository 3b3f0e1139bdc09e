# SPDX-License-Identifier: GPL-2.0-or-later
"""Traps that others fell into (PEERS §6): very large devices, devices upon
devices, noflush, swap, queue limits, everything at once."""
import ctypes
import errno
import fcntl
import glob
import mmap
import os
import struct

import abi
import dm
from inflight import Journal, random_writer
from kit import *
from memory import put

PARAMETERS = '/sys/module/dm_dirtytrack/parameters'


def allow_memory(megabytes):
    """What the bitmaps of one device may need at worst."""
    knob = f'{PARAMETERS}/max_memory_mb'
    with open(knob) as file:
        dm.cleanup.callback(put, knob, file.read())
    put(knob, megabytes)


# ---- T4, T5: operations ----

FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 16
BLKSECDISCARD, SG_IO = 0x127d, 0x2285


@case
def trap_fallocate_and_secure_erase():
    """This test will punch holes and zero ranges by fallocate, which marks
    them, and ask for a secure erase that is not there, which does not."""
    t = tracked()
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(t.path, os.O_RDWR)
    for flags, offset in ((FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, M),
                          (FALLOC_ZERO_RANGE, 2 * M),
                          (FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE, 3 * M)):
        if libc.fallocate(fd, flags, ctypes.c_int64(offset),
                          ctypes.c_int64(128 * K)):
            raise OSError(ctypes.get_errno(), f'fallocate {flags}')
    same(t.dirty(), bits('16-17 32-33 48-49'), 'dirty')
    with fails('EOPNOTSUPP'):
        fcntl.ioctl(fd, BLKSECDISCARD, struct.pack('QQ', 0, 64 * K))
    same(t.dirty(), bits('16-17 32-33 48-49'), 'after the secure erase')
    os.close(fd)


@case
def trap_no_way_around():
    """This test will look for ways to the data that pass the target by: SCSI
    commands through it, and a claim on the device below (T5)."""
    t = tracked()
    fd = os.open(t.path, os.O_RDWR)
    with fails('ENOTTY', 'EINVAL'):
        fcntl.ioctl(fd, SG_IO, bytes(88))
    os.close(fd)
    with fails('EBUSY'):
        os.open(t.lower.path, os.O_RDWR | os.O_EXCL)


@case
def trap_nowait():
    """This test will write with RWF_NOWAIT: marked, and never EAGAIN on our
    account."""
    t = tracked()
    fd = dm.open_direct(t.path)
    with mmap.mmap(-1, 4 * K) as buf:
        for granule in range(16):
            wait_for(lambda g=granule: _pwrite_nowait(fd, buf, g * 64 * K),
                     'a write without waiting')
    os.close(fd)
    same(t.dirty(), bits('0-15'), 'dirty')


def _pwrite_nowait(fd, buf, offset):
    try:
        return os.pwritev(fd, [buf], offset, 8) == len(buf)
    except BlockingIOError:
        return False


@case(kernels=STOCK_KERNELS)
def trap_zoned_device():
    """This test will load a table over a zoned device: refused, for a zone's
    reset has no sectors."""
    run('modprobe', 'null_blk', 'nr_devices=1', 'zoned=1', 'zone_size=4',
        'gb=1')
    dm.cleanup.callback(run, 'modprobe', '-r', 'null_blk')
    with fails('EOPNOTSUPP'):
        Dm(new_name(), 64 * M, 'dirtytrack', '/dev/nullb0 0')


# ---- Nothing of the device below is taken away ----

def _attributes(path):
    """What sysfs says of a disk's queue, integrity and inline encryption. A
    scheduler and its depth are of requests, which a mapped device has none of."""
    found = {}
    top = f'/sys/block/{os.path.basename(path)}'
    for folder in 'queue', 'integrity', 'queue/crypto':
        for where, _, names in os.walk(f'{top}/{folder}'):
            for name in names:
                try:
                    with open(os.path.join(where, name)) as file:
                        found[os.path.relpath(os.path.join(where, name),
                                              top)] = file.read()
                except OSError as e:
                    found[name] = errno.errorcode[e.errno]
    return found


def _scsi_debug(*options):
    """A disk with all that one can have; None where there is no such module."""
    # there is no udev that would load the disks' driver
    run('modprobe', 'sd_mod', status=None)
    done = run('modprobe', 'scsi_debug', 'dev_size_mb=64', 'sector_size=4096',
               *options, status=None)
    if done.returncode:
        return None
    dm.cleanup.callback(_without_scsi_debug)
    pattern = '/sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*'
    wait_for(lambda: glob.glob(pattern), 'the disk of scsi_debug')
    path = f'/dev/{os.path.basename(glob.glob(pattern)[0])}'
    wait_for(lambda: os.path.exists(path), path)
    return path


def _without_scsi_debug():
    wait_for(lambda: not run('modprobe', '-r', 'scsi_debug',
                             status=None).returncode, 'the end of scsi_debug')


def _lower_disks():
    """Path and size of each device below that this kernel can make."""
    yield Loop(64 * M).path, 64 * M
    path = _scsi_debug('dif=1', 'dix=1', 'lbpu=1', 'lbpws=1', 'physblk_exp=1',
                       'opt_blks=64', 'atomic_wr=1') or \
        _scsi_debug('dif=1', 'dix=1', 'lbpu=1', 'lbpws=1')
    if path:
        yield path, 64 * M


@case
def trap_attributes_of_the_device_below():
    """This test will compare all queue, integrity and encryption attributes of a
    tracked device with those of dm-linear over the same: they are equal."""
    for path, size in _lower_disks():
        linear = Dm(new_name(), size, 'linear', f'{path} 0')
        wanted = _attributes(linear.path)
        linear.remove()
        t = Tracked(path, size)
        same(_attributes(t.path), wanted, f'attributes over {path}')
        true(len(wanted) > 20, 'many attributes')
        t.ctl.close()
        t.remove()


@case(kernels=STOCK_KERNELS)
def trap_atomic_writes():
    """This test will write atomically through dm-linear and through a tracked
    device: if the one can, so can the other, and marks."""
    path = _scsi_debug('atomic_wr=1')
    if not path:
        raise Skip('this kernel has no scsi_debug with atomic writes')
    buf = mmap.mmap(-1, 8 * K)
    buf.write(b'\x77' * 8 * K)

    def write_atomically(path):
        fd = os.open(path, os.O_RDWR | os.O_DIRECT)
        try:
            return os.pwritev(fd, [buf], 64 * K, 0x40)  # RWF_ATOMIC
        except OSError as e:
            return errno.errorcode[e.errno]
        finally:
            os.close(fd)

    linear = Dm(new_name(), 64 * M, 'linear', f'{path} 0')
    wanted = write_atomically(linear.path)
    linear.remove()
    t = Tracked(path, 64 * M, bitmaps={'b': 64 * K})
    same(write_atomically(t.path), wanted, 'an atomic write')
    same(t.dirty(), {1} if wanted == 8 * K else set(), 'dirty')
    print(f'# atomic writes through dm-linear: {wanted}', flush=True)


@case
def trap_flushes_are_not_doubled():
    """This test will write with flushes of all kinds through dm-linear and
    through a tracked device: the device below gets as many requests."""
    loop = Loop(4 * M)
    buf = mmap.mmap(-1, 4 * K)

    def requests(path):
        stat = f'/sys/block/{os.path.basename(loop.path)}/stat'
        fd = os.open(path, os.O_RDWR | os.O_DIRECT)
        before = open(stat).read().split()
        for i in range(50):
            os.pwritev(fd, [buf], i * 64 * K)
            os.fsync(fd)
            os.pwritev(fd, [buf], i * 64 * K, os.RWF_DSYNC)
            os.fsync(fd)
        after = open(stat).read().split()
        os.close(fd)
        # writes, and flushes
        return [int(after[i]) - int(before[i]) for i in (4, 15)]

    linear = Dm(new_name(), 4 * M, 'linear', f'{loop.path} 0')
    wanted = requests(linear.path)
    linear.remove()
    t = Tracked(loop, bitmaps={'b': 64 * K})
    same(requests(t.path), wanted, 'writes and flushes')
    same(t.dirty(), set(range(50)), 'dirty')


# ---- T8: noflush ----

def _sleeps(pid):
    """Whether a process waits for the disk."""
    with open(f'/proc/{pid}/stat') as file:
        return file.read().rsplit(')', 1)[1].split()[0] == 'D'


@case
def trap_write_while_suspended():
    """This test will write to a suspended device, freeze meanwhile, and resume
    with a larger table: the write lands in it and is in the successor."""
    for flags in dm.SKIP_LOCKFS, dm.SKIP_LOCKFS | dm.NOFLUSH:
        t = Tracked(Loop(8 * M), 4 * M, bitmaps={'b': 64 * K})
        t.suspend(flags)
        pid = start(t.fill, M, 4 * K)
        wait_for(lambda pid=pid: _sleeps(pid), 'the writer to sleep')
        run_id = t.freeze()
        t.load('dirtytrack', t.line(), 8 * M)
        same(t.extents(), [], 'frozen')
        t.resume(flags)
        same(wait(pid), 0, 'the writer')
        same(t.successor(), {16} | bits('64-127'), 'successor')
        t.abdicate(run=run_id)
        t.ctl.close()
        t.remove()


@case
def trap_everything_on_a_suspended_device():
    """This test will do every operation on a suspended device, by ioctl and by
    message: none waits for it."""
    t = tracked(bitmaps={'b': 64 * K, 'x': 64 * K})
    t.fill(0)
    t.suspend()
    t.reclaim(run=t.freeze())
    t.abdicate('x', t.freeze('x', abi.ALWAYS))
    t.ctl.disable(t.dev, 'b')
    t.ctl.enable(t.dev, 'b')
    t.ctl.merge(t.dev, 'x', [(t.dev, 'b')])
    t.ctl.clear(t.dev, 'b')
    t.ctl.add(t.dev, 'n')
    t.ctl.remove(t.dev, 'n')
    for message in ('bitmap-add n', 'bitmap-freeze n', 'bitmap-reclaim n',
                    'bitmap-disable n', 'bitmap-clear n', 'bitmap-remove n'):
        t.message(message)
    same(t.dirty('x'), {0}, 'x')
    t.resume()
    t.fill(M)
    same((t.dirty(), t.dirty('x')), ({16}, {0, 16}), 'dirty')


# ---- T9: devices upon devices ----

@case
def trap_tracker_over_tracker():
    """This test will stack one tracked device on another, freeze both with a
    write in flight, and suspend them top down."""
    delay, lower = delayed()
    upper = Tracked(lower, bitmaps={'b': 4 * K})
    pid = start_write(upper, 128 * K)
    runs = upper.freeze(), lower.freeze()
    delay.release()
    same(wait(pid), 0, 'the writer')
    same(upper.successor('b', 4 * K), {32}, 'upper successor')
    same(lower.successor(), {2}, 'lower successor')
    upper.suspend()
    lower.suspend()
    upper.abdicate(run=runs[0])
    lower.reclaim(run=runs[1])
    lower.resume()
    upper.resume()
    same(upper.dirty('b', 4 * K), {32}, 'upper')
    same(lower.dirty(), {2}, 'lower')
    # the lower's name is in use, and no reference of ours keeps it
    with fails('EBUSY'):
        dm._dm(dm.DM_DEV_REMOVE, lower.name)
    upper.ctl.close()
    upper.remove()


# ---- T10: memory that comes from us ----

@case(kernels=STOCK_KERNELS, limit=120)
def trap_swap_on_tracked_device():
    """This test will swap to a tracked device without a reserve of leaves: what
    a process had is what it gets back, and what was swapped out is dirty."""
    put(f'{PARAMETERS}/leaf_reserve', 0)
    dm.cleanup.callback(put, f'{PARAMETERS}/leaf_reserve', 64)
    t = tracked(64 * M, bitmaps={'b': 4 * K})
    run('mkswap', t.path)
    t.ctl.clear(t.dev, 'b')
    run('swapon', t.path)
    dm.cleanup.callback(run, 'swapoff', t.path, status=None)
    os.makedirs('/tmp/cgroup', exist_ok=True)
    run('mount', '-t', 'cgroup2', 'none', '/tmp/cgroup')
    dm.cleanup.callback(run, 'umount', '-l', '/tmp/cgroup', status=None)
    put('/tmp/cgroup/cgroup.subtree_control', '+memory')
    os.makedirs('/tmp/cgroup/hog', exist_ok=True)
    dm.cleanup.callback(os.rmdir, '/tmp/cgroup/hog')
    put('/tmp/cgroup/hog/memory.max', 8 * M)

    def hog():
        put('/tmp/cgroup/hog/cgroup.procs', os.getpid())
        with mmap.mmap(-1, 20 * M, mmap.MAP_PRIVATE) as memory:
            for page in range(0, 20 * M, 4 * K):
                memory[page:page + 8] = struct.pack('Q', page)
            for page in range(0, 20 * M, 4 * K):
                same(memory[page:page + 8], struct.pack('Q', page), 'page')
    for _ in range(2):
        pid = start(hog)
        run_id = t.freeze()
        t.abdicate(run=run_id)
        same(wait(pid), 0, 'the process that was swapped')
    run('swapoff', t.path)
    written = int(open(f'/sys/block/dm-{t.dev[1]}/stat').read().split()[6])
    true(written * 512 > 8 * M, f'only {written} sectors were swapped out')
    true(t.info().count > 4 * M, f'dirty: {t.info().count}')


# ---- T14: very large devices ----

@case
def trap_largest_device():
    """This test will track a device of nearly 2^63 bytes: refused where the
    bitmap could need more memory than is allowed, exact where not."""
    size = (1 << 63) - (1 << 20)
    zero = Dm(new_name('zero'), size, 'zero')
    t = Tracked(zero)
    for granularity in 512, 64 * K, 1 * M:
        with fails('EOVERFLOW'):
            t.ctl.add(t.dev, 'b', granularity)
        with fails('EOVERFLOW'):
            t.load('dirtytrack', t.line(f'bitmap b {granularity} clean'))
    allow_memory(4096)
    grain = 1 << 31
    t.ctl.add(t.dev, 'b', grain)
    middle = 1 << 62
    for offset in 0, middle - 512, size - 512:
        t.fill(offset, 512)
    last = (size - 1) // grain * grain
    expected = [(0, grain), (middle - grain, grain), (last, size - last)]
    same(t.extents(), expected, 'dirty')
    same(t.info().count, 3 * grain - (-size % grain), 'count')
    run_id = t.freeze(mode=abi.ALWAYS, set=abi.SET_ALL)
    t.fill(middle, 512)
    same(t.extents(), expected, 'frozen')
    t.report([(0, middle)], run=run_id)
    t.reclaim(run=run_id)
    same(t.extents(), [(middle, size - middle)], 'what is left')
    same(t.info().count, size - middle, 'count of what is left')
    t.ctl.clear(t.dev, 'b')
    t.fill(size - 512, 512)
    chunk = last - (last % (8 * grain))
    nr = -(-(size - chunk) // grain)
    raw = t.ctl.bits(t.dev, 'b', chunk, size - chunk, (nr + 7) // 8)
    same(int.from_bytes(raw, 'little'), 1 << (nr - 1), 'the last bits')
    t.reload_same()
    same(t.extents(), [(last, size - last)], 'after a reload')


@case
def trap_many_bits():
    """This test will track 1 PiB in granules of 64 KiB, 2^34 bits: marks
    beyond 2^31 and 2^32 are where they belong (T14)."""
    size = 1 << 50
    t = Tracked(Dm(new_name('zero'), size, 'zero'))
    allow_memory(16384)
    t.ctl.add(t.dev, 'b', 64 * K)
    marks = [0, 1 << 47, (1 << 48) - 64 * K, (1 << 48) + 64 * K, 3 << 48,
             size - 64 * K]
    for offset in marks:
        t.fill(offset, 512)
    same(t.extents(), [(offset, 64 * K) for offset in marks], 'dirty')
    run_id = t.freeze()
    same(t.info().count, 6 * 64 * K, 'count')
    t.fill(1 << 49, 512)
    t.reclaim(run=run_id)
    same(t.extents(), sorted([(offset, 64 * K) for offset in
                              marks + [1 << 49]]), 'after a run')


# ---- T15: queue limits ----

@case
def trap_queue_limits():
    """This test will compare our queue's limits with dm-linear's over the same
    device, of sectors of 512 and of 4096 bytes: there is no difference."""
    for block in 512, 4096:
        loop = Loop(4 * M)
        fcntl.ioctl(loop.fd, 0x4c09, block)     # LOOP_SET_BLOCK_SIZE
        linear = Dm(new_name('linear'), 4 * M, 'linear', f'{loop.path} 0')
        theirs = _limits(linear)
        linear.remove()
        t = Tracked(loop, bitmaps={'b': 64 * K})
        same(_limits(t), theirs, f'limits over sectors of {block}')
        t.fill(64 * K, 4 * K)
        same(t.dirty(), {1}, 'dirty')
        t.ctl.close()
        t.remove()
        loop.remove()


def _limits(device):
    found = {}
    queue = f'/sys/block/dm-{device.dev[1]}/queue'
    for name in os.listdir(queue):
        if os.path.isfile(f'{queue}/{name}'):
            try:
                with open(f'{queue}/{name}') as file:
                    found[name] = file.read()
            except OSError as e:
                found[name] = errno.errorcode[e.errno]
    return found


# ---- T11, T13: everything at once ----

EXPECTED = {errno.EBUSY, errno.ENOENT, errno.EEXIST, errno.ESTALE,
            errno.ENODATA, errno.EINVAL}


def _random_operations(t, rng, nr):
    """Operations on bitmaps that several processes share, as they come."""
    ctl = abi.Control()
    names = ['p', 'q', 'r']

    def any_of(name, run_id=0):
        other = rng.choice(names)
        return rng.choice((
            lambda: ctl.add(t.dev, name, rng.choice((512, 4 * K, 64 * K))),
            lambda: ctl.remove(t.dev, name), lambda: ctl.clear(t.dev, name),
            lambda: ctl.enable(t.dev, name), lambda: ctl.disable(t.dev, name),
            lambda: ctl.merge(t.dev, name, [(t.dev, other), (t.dev, 'b')]),
            lambda: ctl.freeze(t.dev, name, rng.randrange(3),
                               rng.randrange(2)),
            lambda: ctl.abdicate(t.dev, name, run_id),
            lambda: ctl.reclaim(t.dev, name, run_id),
            lambda: ctl.reclaim(t.dev, name, 0, abi.END_FORCE),
            lambda: ctl.report(t.dev, name, run_id, ctl.extents(t.dev, name)),
            lambda: ctl.extents(t.dev, name), lambda: ctl.infos(t.dev),
            lambda: ctl.load(t.dev, name, 0, 0, b'', rng.randrange(8)),
            t.status))
    runs = {}
    for _ in range(nr):
        name = rng.choice(names)
        try:
            result = any_of(name, runs.get(name, 0))()
            if isinstance(result, int):
                runs[name] = result
        except OSError as e:
            if e.errno not in EXPECTED:
                raise
        if rng.random() < 0.02:
            ctl.close()
            ctl = abi.Control()


@case(limit=180)
def trap_everything_at_once():
    """This test will let processes do anything to three bitmaps while others
    write and reload: no write is missing in a fourth one."""
    rng = seed()
    t = tracked(bitmaps={'b': 4 * K})
    stop = mmap.mmap(-1, 1)
    journals = [Journal(), Journal()]
    writers = [start(random_writer, t, j, rng.random(), stop)
               for j in journals]
    import random
    nr = 250 if QEMU else 400 if DEBUG else 2000
    actors = [start(_random_operations, t, random.Random(rng.random()), nr)
              for _ in range(3)]
    for i in range(20 if QEMU else 100):
        t.reload_same((dm.SKIP_LOCKFS, dm.SKIP_LOCKFS | dm.NOFLUSH)[i % 2])
    for pid in actors:
        same(wait(pid), 0, 'an actor')
    for j in journals:
        wait_for(lambda j=j: len(j) > 10, 'writes')
    stop[0] = 1
    for pid in writers:
        same(wait(pid), 0, 'a writer')
    written = set().union(*(j.since(0, len(j)) for j in journals))
    same(t.dirty('b', 4 * K), written, 'dirty')
    busy = [i.name for i in t.ctl.infos(t.dev) if i.flags & abi.BUSY]
    same(busy, [], 'frozen after all owners have gone')


@case(limit=120)
def trap_removed_under_readers():
    """This test will remove devices while others read their bitmaps and freeze
    them: an answer or ENODEV, nothing else."""
    dev_known, seen = mmap.mmap(-1, 16), mmap.mmap(-1, 2)

    def reader(me):
        ctl = abi.Control()
        while not dev_known[8]:
            dev = struct.unpack_from('II', dev_known)
            try:
                ctl.extents(dev, 'b')
                ctl.infos(dev)
                ctl.reclaim(dev, 'b', ctl.freeze(dev, 'b', abi.ALWAYS, 1))
                seen[me] = 1
            except OSError as e:
                true(e.errno in (errno.ENODEV, errno.ENOENT, errno.EBUSY,
                                 errno.ESTALE), f'{e}')
    loop = Loop(4 * M)
    pids = [start(reader, 0), start(reader, 1)]
    rounds = 8 if QEMU else 20 if DEBUG else 60
    while rounds > 0 or seen[:] != b'\1\1':
        rounds -= 1
        t = Tracked(loop, bitmaps={'b': 512})
        struct.pack_into('II', dev_known, 0, *t.dev)
        t.fill(0)
        t.fill(M)
        os.sched_yield()
        t.ctl.close()
        t.remove()
    dev_known[8] = 1
    for pid in pids:
        same(wait(pid), 0, 'a reader')
