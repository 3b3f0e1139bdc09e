# SPDX-License-Identifier: GPL-2.0-or-later
"""Many at once: runs, operations and transactions of many processes, writers,
reloads, removals. No write is lost, nothing stays frozen, nothing hangs."""
import contextlib
import errno
import mmap
import os
import random
import struct

import abi
import dm
import runs
from inflight import Journal, copy_extents, random_writer
from kit import *
from runs import TARGET, backup, read_file

OTHER = '/tmp/target2'


@case
def concurrent_runs_on_one_bitmap():
    """This test will begin a run while another one of the same bitmap waits:
    refused, nothing is changed, and the first goes on (B33)."""
    s = runs.anchored()
    s.lower.breaks()
    first = s.stopped('incremental')
    before = s.t.state()
    for sync, mode in ('incremental', None), ('full', 'always'):
        done = run(*runs.words(s.t, sync, mode, target=OTHER), status=1)
        true('currently in use' in done.stderr, done.stderr)
        true(not os.path.exists(OTHER), 'a target was made')
    same(s.t.state(), before, 'state')
    s.lower.mend()
    s.completed(first.go_on(), 6 * 64 * K, set(), 1)
    s.target_has(W)


def _follow(t, bitmap, target, rounds):
    backup(t, 'full', 'on-success', bitmap=bitmap, target=target)
    for _ in range(rounds):
        backup(t, 'incremental', bitmap=bitmap, target=target)


@case(limit=180)
def concurrent_runs_on_two_bitmaps():
    """This test will run backups of two bitmaps of a device at once, onto two
    targets, against a writer: in the end both are the device."""
    rng = seed()
    for target in TARGET, OTHER:
        runs.fresh_target(target)
    t = tracked(bitmaps={'b': 64 * K, 'c': 4 * K})
    journal, stop = Journal(), mmap.mmap(-1, 1)
    writer = start(random_writer, t, journal, rng.random(), stop)
    rounds = 2 if QEMU else 6
    pids = [start(_follow, t, 'b', TARGET, rounds),
            start(_follow, t, 'c', OTHER, rounds)]
    for pid in pids:
        same(wait(pid), 0, 'a run')
    wait_for(lambda: len(journal) > 10, 'writes')
    stop[0] = 1
    same(wait(writer), 0, 'the writer')
    for bitmap, target in ('b', TARGET), ('c', OTHER):
        backup(t, 'incremental', bitmap=bitmap, target=target)
        same(t.extents(bitmap), [], f'{bitmap} when all is quiet')
        true(read_file(target) == dm.read(t.path, 0, t.size),
             f'{target} and the device differ')


# ---- Everything at once ----

NAMES = ('p', 'q', 'r')
EXPECTED = {getattr(errno, name) for name in (
    'EBUSY', 'ENOENT', 'EEXIST', 'ESTALE', 'ENODATA', 'EINVAL', 'ECANCELED',
    'ENODEV', 'ENXIO', 'ERANGE')}


class Shared:
    """What processes tell each other: stop, and a device that comes and
    goes."""

    def __init__(self):
        self.map = mmap.mmap(-1, 16)

    @property
    def stop(self):
        return self.map[0]

    def end(self):
        self.map[0] = 1

    def set_guest(self, dev):
        struct.pack_into('II', self.map, 8, *dev)

    def guest(self):
        return struct.unpack_from('II', self.map, 8)


def _any_action(rng, devs, known):
    dev, name, word = rng.choice(devs), rng.choice(NAMES), rng.choice(
        list(abi.ACTIONS))
    more = {}
    if word == 'abort':
        return word, (0, 0), ''
    if word == 'add':
        more = {'granularity': rng.choice((512, 4 * K, 64 * K)),
                'flags': rng.randrange(2)}
    elif word == 'merge':
        more = {'sources': [(rng.choice(devs), rng.choice((*NAMES, 'all')))
                            for _ in range(rng.randrange(1, 4))]}
    elif word == 'freeze':
        more = {'mode': rng.randrange(3), 'set': rng.randrange(2)}
    elif word == 'abdicate':
        more = {'run': known.get((dev, name), 0)}
    elif word == 'reclaim':
        more = {'run': known.get((dev, name), 0)} if rng.random() < 0.7 else \
            {'flags': abi.END_FORCE}
    return word, dev, name, more


def _rolled_back(rng, devs):
    """What would harm 'b' and 'all', were it not undone."""
    actions = []
    for dev in rng.sample(devs, rng.randrange(1, len(devs) + 1)):
        for name in rng.sample(('b', 'all'), rng.randrange(1, 3)):
            word = rng.choice(('remove', 'clear', 'disable', 'freeze'))
            actions.append((word, dev, name))
            if word == 'freeze' and rng.random() < 0.5:
                run_id = rng.getrandbits(63) | 1
                actions[-1] += {'run': run_id},
                actions.append(('abdicate', dev, name, {'run': run_id}))
    return *actions, ('abort', (0, 0), '')


def _actor(devs, shared, value, nr):
    """Single operations and transactions, of devices that others use."""
    rng, ctl, frozen = random.Random(value), abi.Control(), {}
    for _ in range(nr):
        known = [*devs, shared.guest()]
        chance = rng.random()
        try:
            if chance < 0.25:
                ctl.transaction(*_rolled_back(rng, devs))
                raise AssertionError('an aborted transaction succeeded')
            if chance < 0.95:
                actions = [_any_action(rng, known, frozen) for _ in
                           range(1 if chance < 0.6 else rng.randrange(1, 6))]
                for out, (word, dev, name, *_) in zip(
                        ctl.transaction(*actions), actions):
                    if word == 'freeze':
                        frozen[dev, name] = out.run
            elif chance < 0.98:
                for dev in known:
                    ctl.infos(dev)
                    ctl.extents(dev, rng.choice((*NAMES, 'all')))
            else:
                ctl.close()
                ctl = abi.Control()
        except OSError as e:
            if e.errno not in EXPECTED:
                raise AssertionError(f'{e}') from e


def _guest(lower, shared, value):
    """A device that comes and goes."""
    rng, rounds = random.Random(value), 0
    while not shared.stop:
        t = Tracked(lower)
        for name in NAMES:
            # its number is that of the last one, whom an actor may have meant
            with contextlib.suppress(FileExistsError):
                t.ctl.add(t.dev, name, 64 * K)
        shared.set_guest(t.dev)
        for _ in range(rng.randrange(1, 20)):
            t.fill(rng.randrange(64) * 64 * K, 4 * K)
        t.ctl.close()
        t.remove()
        rounds += 1
    true(rounds > 1, 'the guest device came and went')


def _reloader(devices, shared, value):
    """The same table, again and again, or a moment without any."""
    rng = random.Random(value)
    while not shared.stop:
        t = rng.choice(devices)
        flags = dm.SKIP_LOCKFS | rng.choice((0, dm.NOFLUSH))
        if rng.random() < 0.5:
            t.reload_same(flags)
        else:
            t.suspend(flags)
            os.sched_yield()
            t.resume(flags)


class Follower:
    """Backups of 'b' of both devices, frozen and ended by transactions."""

    def __init__(self, devices, rng):
        self.devices, self.rng = devices, rng
        self.targets = [bytearray(t.size) for t in devices]
        self.ctl = abi.Control()

    def _do(self, word, fields):
        """Never refused: what others do to 'b' in transactions that they abort
        nobody sees."""
        return self.ctl.transaction(*[
            (word, t.dev, 'b', {**more}) for t, more in
            zip(self.devices, fields)])

    def run(self, ok=None):
        out = self._do('freeze', [{'mode': abi.CONDITIONAL}] * 2)
        frozen = [{'run': action.run} for action in out]
        copied = [self.ctl.extents(t.dev, 'b') for t in self.devices]
        for t, target, extents in zip(self.devices, self.targets, copied):
            copy_extents(t, target, extents)
        if ok is None:
            ok = self.rng.random() < 0.7
        self._do('abdicate' if ok else 'reclaim', frozen)


def everything_at_once(rng, nr, rounds):
    """The final state is exact: 'all' has what was ever written, what was
    copied is the device once all is quiet."""
    # small: a round of the follower is what takes time
    devices = [tracked(512 * K, bitmaps={'b': 4 * K, 'all': 4 * K})
               for _ in range(2)]
    devs, shared, lower = [t.dev for t in devices], Shared(), Loop(4 * M)
    shared.set_guest(devs[0])
    journals, stop = [[Journal(), Journal()] for _ in devices], \
        mmap.mmap(-1, 1)
    writers = [start(random_writer, t, j, rng.random(), stop)
               for t, mine in zip(devices, journals) for j in mine]
    actors = [start(_actor, devs, shared, rng.random(), nr) for _ in range(3)]
    others = [start(_guest, lower, shared, rng.random()),
              start(_reloader, devices, shared, rng.random())]

    def orderly():
        # one that is killed may leave a device suspended, and all hanging
        stop[0] = 1
        shared.end()
        for pid in others:
            wait(pid)
    dm.cleanup.callback(orderly)
    follower = Follower(devices, rng)
    for _ in range(rounds):
        follower.run()
    for pid in actors:
        same(wait(pid), 0, 'an actor')
    follower.run()
    for mine in journals:
        for j in mine:
            wait_for(lambda j=j: len(j) > 10, 'writes')
    stop[0] = 1
    shared.end()
    for pid in writers + others:
        same(wait(pid), 0, 'a writer, the reloader or the guest')
    follower.run(True)
    for t, target, mine in zip(devices, follower.targets, journals):
        same(t.extents('b'), [], 'dirty when all is quiet')
        true(dm.read(t.path, 0, t.size) == target,
             'the target differs from the device')
        written = set().union(*(j.since(0, len(j)) for j in mine))
        same(t.dirty('all', 4 * K), written, 'all that was written')
        busy = [i.name for i in t.ctl.infos(t.dev) if i.flags & abi.BUSY]
        same(busy, [], 'frozen after all owners have gone')


@case(limit=240)
def concurrent_everything():
    """This test will let processes do transactions over two devices and one
    that comes and goes, many of them aborted, against writers, reloads and
    backups that freeze both devices at once."""
    everything_at_once(seed(), 60 if QEMU else 60 if DEBUG else 300,
                       4 if QEMU else 5 if DEBUG else 20)
