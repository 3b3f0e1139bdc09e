# SPDX-License-Identifier: GPL-2.0-or-later
"""Random sequences of all that may happen, against a model.

spec.py says what each operation shall do to bitmaps; here are devices, targets
and runs around it. After each step every bitmap (identity, state, extents,
counts) and every target (bytes, manifest) is compared, and this must hold:

    a target whose manifest fits a bitmap equals the device in all granules
    that are not dirty in the bitmap.

A run that follows then makes target and device equal, whatever has happened:
writes, failed and cancelled and killed runs, reloads, transactions. Only what
a user has asked for is excepted: writes while the bitmap did not record, and
--force onto a target that does not fit ('missed' below).
"""
import collections
import ctypes
import errno
import json
import os
import random
import resource
import struct
import subprocess
import uuid

import abi
import dm
import libdtrack
import spec
from kit import *
from runs import PRELOAD
from spec import ALWAYS, CONDITIONAL, NEVER, Refused, runs, span

ROOM = 4 * M            # of each device below
FOLDER = '/tmp/model'
GRAINS = (512, 512, K, 4 * K, 4 * K, 16 * K, 64 * K, 256 * K, M, 1 << 31)
NAMES = ('a', 'b', 'c', 'd', 'Löschblatt-' + 'x' * 1000)
MODE_WORDS = ('conditional', 'never', 'always')


class Breakable(dm.Dm):
    """A device over a loop device, parts of which can be made to fail."""

    def __init__(self, loop):
        self.loop, self.hole = loop, None
        super().__init__(new_name('low'), loop.size, 'linear',
                         f'{loop.path} 0')

    def breaks(self, start, end):
        self.hole = start, end
        lines = [(0, start // SECTOR, 'linear', f'{self.loop.path} 0'),
                 (start // SECTOR, (end - start) // SECTOR, 'error', ''),
                 (end // SECTOR, (self.size - end) // SECTOR, 'linear',
                  f'{self.loop.path} {end // SECTOR}')]
        lines = [line for line in lines if line[1]]
        dm._dm(dm.DM_TABLE_LOAD, self.name, 0, dm._table(lines), len(lines))
        self.resume(dm.SKIP_LOCKFS)

    def mend(self):
        self.hole = None
        self.reload('linear', f'{self.loop.path} 0')

    def overlaps(self, start, end):
        return self.hole and start < self.hole[1] and self.hole[0] < end


# ---- Targets ----

class Target:
    """A file, or a block device, which has no manifest beside it: for that
    one we know ourselves what a manifest would say."""

    def __init__(self, path, block=None):
        self.path, self.block = path, block
        self.content = bytes(block.size) if block else None
        self.manifest = self.seen = None
        # by a bitmap's uuid: sectors of which it knows nothing
        self.missed = collections.defaultdict(int)

    def stamp(self):
        """Changes when the target does."""
        paths = [self.block.loop.file] if self.block else \
            [self.path, self.path + '.dtrack']
        found = []
        for path in paths:
            try:
                st = os.stat(path)
                found.append((st.st_ino, st.st_size, st.st_mtime_ns))
            except FileNotFoundError:
                found.append(None)
        return found

    def actual(self):
        path = self.block.loop.file if self.block else self.path
        if not os.path.exists(path):
            return None
        with open(path, 'rb') as file:
            return file.read()

    def actual_manifest(self):
        path = self.path + '.dtrack'
        if not os.path.exists(path):
            return None
        with open(path, encoding='utf-8') as file:
            m = json.load(file)
        b = m['bitmap'] or {}
        return {'complete': m['state'] == 'complete', 'size': m['size'],
                'uuid': b.get('uuid'), 'from': b.get('from'),
                'to': b.get('to'), 'run': int(b['run'], 16) if b else None}

    def fits(self, b, short=False):
        """short: also when it is, for what the device has grown by since is
        dirty."""
        m = self.manifest
        if not m or self.content is None or m['uuid'] != str(b.uuid) or \
                not (self.has_size(b.size) or
                     short and len(self.content) < b.size):
            return False
        if m['complete']:
            return m['to'] == b.generation
        return m['from'] == b.generation or \
            m['to'] == b.generation and m['run'] == b.last_run

    def has_size(self, size):
        return len(self.content) >= size if self.block else \
            len(self.content) == size

    def remove(self):
        for path in self.path, self.path + '.dtrack':
            if os.path.exists(path):
                os.unlink(path)
        self.content = self.manifest = None
        self.missed.clear()


# ---- Devices ----

class Device:
    """A tracked device, what is on the media below it, and its targets."""

    def __init__(self, key, size):
        self.key = key
        self.lowers = [Breakable(Loop(ROOM)) for _ in range(2)]
        self.media, self.offset = bytearray(ROOM), 0
        self.t = Tracked(self.lowers[0], size)
        self.targets = [Target(f'{FOLDER}/{key}{i}') for i in range(2)]
        low = Breakable(Loop(ROOM))
        self.targets.append(Target(low.path, low))

    @property
    def lower(self):
        return self.lowers[0]

    def takes_discards(self):
        """Not if its table was loaded while a part of the lower device
        failed, which on some kernels takes none then, and that was mended."""
        major, minor = self.t.dev
        with open(f'/sys/dev/block/{major}:{minor}/queue/discard_max_bytes',
                  encoding='ascii') as file:
            return int(file.read()) > 0

    def content(self, size):
        return bytes(self.media[self.offset:self.offset + size])


class Run:
    """What the model knows of a run that is under way."""

    def __init__(self, d, b, target, sync, mode, size):
        self.d, self.b, self.target, self.sync = d, b, target, sync
        self.mode, self.size = mode, size
        self.everything = sync in ('full', 'top')
        self.grain = b.grain if b else 64 * K
        self.snapshots, self.written = [d.content(size)], 0
        self.started = self.moved = False
        self.error = None

    def todo(self):
        """Granules, as they are before the freeze."""
        return spec.whole(self.grain, self.size) if self.everything else \
            self.b.dirty

    def sectors(self, mask):
        return spec.regrain(mask, self.grain, SECTOR, self.size)

    def prefix(self, todo, copied):
        """The first granules, of so many bytes together."""
        mask = 0
        for start, end in runs(todo):
            for granule in range(start, end):
                if not copied:
                    return mask
                length = min((granule + 1) * self.grain, self.size) - \
                    granule * self.grain
                true(length <= copied, f'{copied} bytes are no granule')
                copied -= length
                mask |= 1 << granule
        same(copied, 0, 'bytes copied beyond the set')
        return mask

    def before(self, todo, spot):
        """The granules that come before the one with the spot."""
        return todo & ((1 << (spot // self.grain)) - 1)

    def first_failure(self, limit=None):
        """The first byte of the set that cannot be copied, or None; limit: of
        the target file's size."""
        lower, block, at = self.d.lower, self.target.block, self.d.offset
        for start, length in spec.extents(self.todo_then, self.grain,
                                          self.size):
            found, end = [], start + length
            if lower.overlaps(at + start, at + end):
                found.append(max(start, lower.hole[0] - at))
            if block and block.overlaps(start, end):
                found.append(max(start, block.hole[0]))
            if limit is not None and end > limit:
                found.append(max(start, limit))
            if found:
                return min(found)
        return None

    def copied(self, copied, spot):
        """What a run has copied that met an error there."""
        mask = self.prefix(self.todo_then, copied)
        before = self.before(self.todo_then, spot)
        # what is written to a block device fails at the flush: then all that
        # counts is what an earlier one, by size or time, had covered
        true(mask == before or not mask & ~before and
             self.target.block and self.target.block.hole,
             f'copied {mask:#x}, with an error at {spot}')
        return mask


# ---- The world ----

class World:
    def __init__(self, rng, weights):
        self.rng, self.log = rng, collections.deque(maxlen=25)
        self.spec, self.weights = spec.Spec(), weights
        self.ctls = [abi.Control() for _ in range(3)]
        self.library = libdtrack.Library()
        self.stamp, self.current, self.depth = 0, None, 0
        self.counts = collections.Counter()
        self.room = (abi.Info * 8)()
        os.makedirs(FOLDER, exist_ok=True)
        run('mount', '-t', 'tmpfs', '-o', 'size=64m', 'none', FOLDER)
        dm.cleanup.callback(run, 'umount', '-l', FOLDER)
        size = self.any_size()
        self.devices = {}
        for key, size in (('x', size), ('y', size), ('z', self.any_size())):
            self.devices[key] = d = Device(key, size)
            self.spec.devices[key] = spec.Device(size)
            d.t.ctl.close()

    def any_size(self):
        rng = self.rng
        top = rng.choice((64 * K, 256 * K, 700 * K, 3 * M))
        size = rng.randrange(SECTOR, top, SECTOR)
        return max(size // (64 * K) * 64 * K, SECTOR) \
            if rng.random() < 0.3 else size

    def say(self, text):
        self.log.append('  ' * self.depth + text.replace('x' * 1000, '...'))

    def number(self, key):
        return self.devices[key].t.dev if key in self.devices else (1, 3)

    # ---- One step ----

    def step(self):
        choices = {'write': 30, 'operation': 34, 'load': 2, 'close': 2,
                   'reload': 2, 'resize': 4, 'move': 1, 'line': 1,
                   'suspended': 1, 'transaction': 12}
        if not self.depth:
            choices.update(run=18, command=1, killed=1, unlink=1, replace=0.3)
            choices.update(self.weights)
        word = self.rng.choices(list(choices), list(choices.values()))[0]
        self.counts[word] += 1
        getattr(self, 'do_' + word)()
        self.check()

    def any_device(self):
        return self.devices[self.rng.choice('xyz')]

    def of(self, d):
        return self.spec.devices[d.key]

    # ---- Writes ----

    def any_range(self, size):
        rng = self.rng
        top = rng.choice((1, 8, 32, 512)) * SECTOR
        start = rng.randrange(0, size, SECTOR)
        if rng.random() < 0.2:
            start = start // (64 * K) * 64 * K
        return start, min(size, start + rng.randrange(SECTOR, top + 1, SECTOR))

    def do_write(self):
        d = self.any_device()
        start, end = self.any_range(self.of(d).size)
        kind = self.rng.choices(('data', 'zeroes', 'discard'), (8, 1, 1))[0]
        broken = d.lower.overlaps(d.offset + start, d.offset + end)
        if kind == 'discard' and (d.lower.hole or not d.takes_discards()):
            kind = 'data'
        self.stamp += 1
        self.say(f'{d.key}: {kind} {start}+{end - start}'
                 f'{" onto a hole" if broken else ""}')
        new = bytes(end - start) if kind != 'data' else \
            struct.pack('Q', self.stamp) * ((end - start) // 8)
        failed = None
        try:
            if kind == 'data':
                dm.write(d.t.path, start, new)
            elif kind == 'zeroes':
                dm.write_zeroes(d.t.path, start, end - start)
            else:
                dm.discard(d.t.path, start, end - start)
        except OSError as e:
            failed = e
        if not broken:
            true(not failed, f'the write failed: {failed}')
        elif kind == 'data':
            true(failed and failed.errno == errno.EIO, f'{failed}, not EIO')
        at = d.offset + start
        if failed or broken or kind == 'discard':
            # which sectors got there is open, but not what is in them
            with open(d.lower.loop.file, 'rb') as file:
                file.seek(at)
                found = file.read(end - start)
            for i in range(0, end - start, SECTOR):
                true(found[i:i + SECTOR] in
                     (new[i:i + SECTOR], d.media[at + i:at + i + SECTOR]),
                     f'neither old nor new at {start + i}')
            new = found
        d.media[at:at + end - start] = new
        self.of(d).write(start, end)
        sectors = span(SECTOR, start, end)
        for b in self.of(d).bitmaps.values():
            if not b.recording:
                for target in d.targets:
                    target.missed[b.uuid] |= sectors
        self.content_changed(d, sectors)

    def content_changed(self, d, sectors):
        r = self.current
        if r and r.d is d:
            r.snapshots.append(d.content(r.size))
            r.written |= sectors

    # ---- Operations on bitmaps ----

    def any_action(self, state, ids=()):
        """word, device, name, fields: refused or not."""
        rng = self.rng
        word = rng.choices(
            ('add', 'remove', 'clear', 'enable', 'disable', 'merge', 'freeze',
             'abdicate', 'reclaim', 'report'),
            (12, 3, 4, 6, 3, 8, 8, 6, 6, 6))[0]
        key = 'n' if rng.random() < 0.005 else rng.choice('xyz')
        have = list(state.devices[key].bitmaps) if key != 'n' else []
        name = rng.choice(NAMES) if word == 'add' or not have or \
            rng.random() < 0.05 else rng.choice(have)
        if word in ('abdicate', 'reclaim', 'report') and rng.random() < 0.8:
            frozen = [n for n in have if state.devices[key].bitmaps[n].frozen]
            name = rng.choice(frozen or [name])
        b = state.devices[key].bitmaps.get(name) if have else None
        fields = {}
        if word == 'add':
            fields = {'grain': rng.choice(GRAINS + (0, 3000, 256)),
                      'disabled': rng.random() < 0.2}
        elif word == 'merge':
            fields['sources'] = [
                (other, rng.choice(list(state.devices[other].bitmaps) or
                                   NAMES))
                for other in rng.choices((key if key != 'n' else 'x',
                                          *'xyz'), (8, 1, 1, 1),
                                         k=rng.randrange(4))]
        elif word == 'freeze':
            fields = {'mode': rng.randrange(3),
                      'everything': rng.random() < 0.3,
                      'owned': rng.random() < 0.6}
        elif word in ('abdicate', 'reclaim', 'report'):
            fields['run'] = max(b.frozen.run, 0) if b and b.frozen and (
                b.frozen.owner is not None or rng.random() < 0.5) else \
                max(b.last_run, 0) if b and rng.random() < 0.3 else 0
            if rng.random() < 0.1:
                fields['run'] = rng.choice((0, 12345, *ids))
            if word == 'reclaim' and rng.random() < 0.2:
                fields.update(run=0, force=True)
            if word == 'report':
                fields['ranges'] = self.any_ranges(b)
        return word, key, name, fields

    def any_ranges(self, b):
        if not b or not b.frozen or self.rng.random() < 0.1:
            start, end = self.any_range(64 * K)
            return [(start, end - start)]
        chosen = [r for r in spec.extents(b.todo(), b.grain, b.frozen.size)
                  if self.rng.random() < 0.5]
        return chosen[:self.rng.randrange(6)]

    def any_caller(self, state, action):
        """The owner, mostly."""
        _, key, name, _ = action
        b = state.devices[key].bitmaps.get(name) if key != 'n' else None
        owner = b.frozen.owner if b and b.frozen else None
        return owner if owner in (0, 1, 2) and self.rng.random() < 0.85 \
            else self.rng.randrange(3)

    def outcome(self, do, real):
        """Both must accept, or both refuse for the same reason."""
        try:
            do()
            wanted = None
        except Refused as e:
            wanted = e
        try:
            result, got = real(), None
        except OSError as e:
            result, got = None, e
        word = errno.errorcode[got.errno] if got else 'success'
        if wanted:
            true(got and word in wanted.names, f'{word}, not {wanted}')
            if hasattr(wanted, 'failed'):
                same(got.failed, wanted.failed, 'action to blame')
        else:
            true(not got, f'{word}, not success')
        return result, not wanted

    def do_operation(self):
        action = self.any_action(self.spec)
        word, key, name, fields = action
        if self.rng.random() < 0.3 and self.message(action):
            return
        caller = self.any_caller(self.spec, action)
        self.say(f'{key}: {word} {name[:9]} {fields} by {caller}')
        result, done = self.outcome(
            lambda: self.spec.do(word, key, name, caller, **fields),
            lambda: self.ioctl(caller, *action))
        if done and word == 'add':
            self.spec.devices[key].bitmaps[name].uuid = uuid.UUID(bytes=result)
        elif done and word == 'freeze':
            self.spec.devices[key].bitmaps[name].frozen.run = result

    def message(self, action):
        """By dmsetup, if there is such a message."""
        word, key, name, fields = action
        if key == 'n' or word == 'report' or fields.get('force') or \
                any(other != key for other, _ in fields.get('sources', ())):
            return False
        words = [f'bitmap-{word}', name]
        if word == 'add':
            fields = dict(fields, disabled=False)
            words += [str(fields['grain'])] if fields['grain'] else []
        elif word == 'merge':
            words += [source for _, source in fields['sources']]
        elif word == 'freeze':
            fields = {'mode': CONDITIONAL, 'everything': False,
                      'owned': False}
        elif word in ('abdicate', 'reclaim'):
            fields = {}
        self.say(f'{key}: message {word} {name[:9]} {fields}')
        _, done = self.outcome(
            lambda: self.spec.do(word, key, name, **fields),
            lambda: self.devices[key].t.message(' '.join(words)))
        if done and word == 'freeze':
            b = self.spec.devices[key].bitmaps[name]
            b.frozen.run = self.ctls[0].info(self.number(key), name).run
            true(b.frozen.run, 'a run without id')
        return True

    def ioctl(self, caller, word, key, name, fields):
        ctl, dev = self.ctls[caller], self.number(key)
        if word == 'add':
            return ctl.add(dev, name, fields['grain'],
                           abi.ADD_DISABLED * fields['disabled'])
        if word == 'merge':
            return ctl.merge(dev, name, [(self.number(other), source)
                                         for other, source in
                                         fields['sources']])
        if word == 'freeze':
            return ctl.freeze(dev, name, fields['mode'],
                              int(fields['everything']),
                              0 if fields['owned'] else abi.FREEZE_NO_OWNER)
        if word == 'reclaim':
            return ctl.reclaim(dev, name, fields['run'],
                               abi.END_FORCE * fields.get('force', False))
        if word == 'report':
            return ctl.report(dev, name, fields['run'], fields['ranges'])
        return getattr(ctl, word)(dev, name, **fields)

    def do_load(self):
        """Bits from outside, in chunks."""
        rng, d = self.rng, self.any_device()
        loadable = [b for b in self.of(d).bitmaps.values()
                    if b.grain < 1 << 31]
        if not loadable:
            return
        b, caller = rng.choice(loadable), rng.randrange(3)
        size, unit = self.of(d).size, 8 * b.grain
        # most of it clean
        mask = rng.getrandbits(64) << rng.randrange(64) & \
            spec.whole(b.grain, size)
        unite, cut = rng.random() < 0.5, rng.randrange(0, size, unit)
        self.say(f'{d.key}: load {b.name[:9]} {mask:#x} unite {unite}')
        ctl, dev = self.ctls[caller], self.number(d.key)

        def chunk(start, end, flags):
            bits = mask >> (start // b.grain) & spec.whole(b.grain,
                                                           end - start)
            nr = (-(-(end - start) // b.grain) + 7) // 8
            ctl.load(dev, b.name, start, end - start,
                     bits.to_bytes(nr, 'little'), flags)

        def load():
            chunk(0, cut, abi.BITS_BEGIN)
            chunk(cut, size, abi.BITS_COMMIT | abi.BITS_MERGE * unite)
        self.outcome(lambda: self.spec.do('load', d.key, b.name, mask=mask,
                                          unite=unite), load)

    def do_close(self):
        """A process ends without a word, or as good as that."""
        caller = self.rng.randrange(3)
        self.say(f'close {caller}')
        self.ctls[caller].close()
        self.ctls[caller] = abi.Control()
        self.spec.close(caller)

    # ---- Transactions ----

    def do_transaction(self):
        """Some actions; in the state so far most of them may succeed."""
        rng, state = self.rng, copy_of(self.spec)
        caller, actions, pending, ids = rng.randrange(3), [], [], []
        for _ in range(rng.randrange(9)):
            careful = rng.random() < 0.9
            for _ in range(20):
                action = self.any_action(state, ids)
                word, key, name, fields = action
                if word == 'report':
                    continue
                if word == 'freeze':
                    # below 0: what the kernel shall draw
                    fields['run'] = rng.choice(
                        (-1 - len(actions), rng.getrandbits(63) | 1,
                         rng.choice(ids or [5])))
                    if fields['run'] > 0:
                        ids.append(fields['run'])
                if rng.random() < 0.03:
                    action = 'abort', 'n', '', {}
                trial = copy_of(state)
                try:
                    trial.do(action[0], action[1], action[2], caller,
                             pending, **action[3])
                except Refused:
                    if careful:
                        continue
                else:
                    state = trial
                break
            else:
                continue
            actions.append(action)
        self.say(f'transaction by {caller}:')
        for word, key, name, fields in actions:
            self.say(f'    {key}: {word} {name[:9]} {fields}')
        after = []
        result, done = self.outcome(
            lambda: after.append(self.spec.transaction(actions, caller)),
            lambda: self.ctls[caller].transaction(
                *[self.packed(*action) for action in actions]))
        self.counts['committed' if done else 'rolled back'] += 1
        if not done:
            return
        self.adopt_state(after[0])
        for (word, key, name, fields), out in zip(actions, result):
            b = self.spec.devices[key].bitmaps.get(name)
            if word == 'add' and b:
                b.uuid = uuid.UUID(bytes=bytes(out.uuid))
            elif word == 'freeze' and fields['run'] > 0:
                same(out.run, fields['run'], 'run')
            elif word == 'freeze' and b:
                if b.last_run == fields['run']:
                    b.last_run = out.run
                if b.frozen and b.frozen.run == fields['run']:
                    b.frozen.run = out.run

    def adopt_state(self, devices):
        """A run knows its bitmap by its object."""
        for key, d in devices.items():
            old = self.spec.devices[key].bitmaps
            for name, b in d.bitmaps.items():
                if name in old and old[name].uuid == b.uuid:
                    old[name].__dict__ = b.__dict__
                    d.bitmaps[name] = old[name]
        self.spec.devices = devices

    def packed(self, word, key, name, fields):
        """As the ABI has it."""
        dev, more = self.number(key), {}
        if word == 'abort':
            return word, (0, 0), '', {}
        if word == 'add':
            more = {'granularity': fields['grain'],
                    'flags': abi.ADD_DISABLED * fields['disabled']}
        elif word == 'merge':
            more = {'sources': [(self.number(other), source)
                                for other, source in fields['sources']]}
        elif word == 'freeze':
            more = {'mode': fields['mode'], 'set': int(fields['everything']),
                    'run': max(fields['run'], 0),
                    'flags': 0 if fields['owned'] else abi.FREEZE_NO_OWNER}
        elif word in ('abdicate', 'reclaim'):
            more = {'run': fields['run'],
                    'flags': abi.END_FORCE * fields.get('force', False)}
        return word, dev, name, more

    # ---- Tables ----

    def flags(self):
        return dm.SKIP_LOCKFS | self.rng.choice((0, dm.NOFLUSH))

    def do_reload(self):
        d = self.any_device()
        self.say(f'{d.key}: reload')
        d.t.reload_same(self.flags())

    def do_resize(self):
        rng, d = self.rng, self.any_device()
        old = self.of(d).size
        if rng.random() < 0.5:
            # x and y are alike mostly, for merges
            size = self.of(self.devices[rng.choice('xyz')]).size
        else:
            size = self.any_size() if rng.random() < 0.5 else \
                max(SECTOR, old + rng.choice((-64 * K, -SECTOR, SECTOR, 8 * K,
                                              64 * K)))
        size = min(size, ROOM - d.offset)
        r = self.current
        if r and r.d is d and size < old:
            return
        self.say(f'{d.key}: {old} -> {size} bytes')
        _, done = self.outcome(
            lambda: self.of(d).resize(size),
            lambda: d.t.reload('dirtytrack', d.t.line(), size, self.flags()))
        if not done:
            # what was not loaded is not there to be resumed
            d.t.size = old

    def do_move(self):
        """Another offset, where other data is, or another device with the
        same."""
        rng, d = self.rng, self.any_device()
        size = self.of(d).size
        if d.lower.hole:
            return
        if rng.random() < 0.5:
            self.say(f'{d.key}: to another device of the same data')
            d.lowers.reverse()
            with open(d.lower.loop.file, 'r+b') as file:
                file.write(d.media)
            d.t.reload('dirtytrack', d.t.line('same_data', d.lower))
            d.t.lower_path = d.lower.path
            return
        offset = rng.randrange(0, ROOM - size + 1, 4 * K)
        if offset == d.offset:
            return
        self.say(f'{d.key}: offset {d.offset} -> {offset}')
        d.t.reload('dirtytrack', d.t.line(offset=offset // SECTOR), None,
                   self.flags())
        d.t.offset, d.offset = offset // SECTOR, offset
        self.of(d).moved()
        self.content_changed(d, span(SECTOR, 0, size))
        if self.current and self.current.d is d:
            self.current.moved = True

    def do_line(self):
        """Bitmaps by the table line: what the line asks for again is kept."""
        rng, d = self.rng, self.any_device()
        name, grain = rng.choice(NAMES[:4]), rng.choice(GRAINS)
        old = self.of(d).bitmaps.get(name)
        grain, clean = old.grain if old else grain, rng.random() < 0.3
        self.say(f'{d.key}: line adds {name} {grain} clean {clean}')
        words = f'bitmap {name} {grain}' + ' clean' * clean
        d.t.reload('dirtytrack', d.t.line(words), None, self.flags())
        self.of(d).line_adds(name, grain, clean)
        if not old:
            d.t.reload_same()

    def do_suspended(self):
        """None of these waits for the device."""
        d = self.any_device()
        if self.current and self.current.d is d:
            return
        self.say(f'{d.key}: suspend')
        d.t.suspend(self.flags())
        for _ in range(self.rng.randrange(1, 4)):
            self.do_operation()
            if self.rng.random() < 0.3:
                self.do_transaction()
            self.check_device(d)
        self.say(f'{d.key}: resume')
        d.t.resume(self.flags())

    def do_replace(self):
        """The device goes, and its bitmaps; another comes."""
        d = self.any_device()
        self.say(f'{d.key}: remove and create')
        if d.lower.hole:
            d.lower.mend()
        size = self.of(d).size
        d.t.remove()
        d.t = Tracked(d.lower, size, offset=d.offset // SECTOR)
        d.t.ctl.close()
        self.spec.devices[d.key] = spec.Device(size)

    # ---- Runs ----

    def do_unlink(self):
        d = self.any_device()
        target = self.rng.choice(d.targets[:2])
        self.say(f'{d.key}: unlink {target.path}')
        target.remove()

    def any_run(self):
        """Device, bitmap name, target, sync, mode, force; valid mostly."""
        rng, d = self.rng, self.any_device()
        have = self.of(d).bitmaps
        idle = [n for n, b in have.items() if not b.frozen]
        name = rng.choice(idle or list(have) or ['a'])
        if rng.random() < 0.05:
            name = rng.choice((*have, 'nope'))
        target = rng.choice(d.targets)
        fitting = [(n, t) for n in idle for t in d.targets
                   if t.fits(have[n])]
        if fitting and rng.random() < 0.75:
            name, target = rng.choice(fitting)
            sync, mode = rng.choice((
                ('incremental', None), ('incremental', CONDITIONAL),
                ('bitmap', CONDITIONAL), ('bitmap', NEVER),
                ('bitmap', ALWAYS), ('bitmap', ALWAYS), ('full', CONDITIONAL),
                ('full', ALWAYS)))
        elif rng.random() < 0.9:
            sync, mode = rng.choice((('full', CONDITIONAL), ('full', ALWAYS),
                                     ('top', ALWAYS), ('full', None)))
            if mode is None:
                name = None
        else:
            sync = rng.choice(list(libdtrack.SYNCS))
            mode = rng.choice((None, CONDITIONAL, NEVER, ALWAYS))
            name = rng.choice((None, name))
        return d, name, target, sync, mode, rng.random() < 0.1

    def refusals(self, d, name, target, sync, mode, force):
        """SEMANTICS §5.1 and DESIGN §6: classes, none if it may begin."""
        b, size = self.of(d).bitmaps.get(name), self.of(d).size
        partial = sync in ('bitmap', 'incremental')
        usage = sync == 'none' or partial and not name or \
            mode is not None and not name or \
            sync == 'incremental' and mode not in (None, CONDITIONAL) or \
            name and mode is None and sync != 'incremental' or \
            mode == NEVER and sync in ('full', 'top')
        found = []
        if usage:
            # 'none' makes sense, but needs images
            found += ['Usage', 'GenericError']
        if name and not b:
            found.append('BitmapNotFound')
        if b and b.frozen:
            found.append('Busy')
        if target.content is not None and not target.has_size(size) and not (
                force and not target.block and len(target.content) < size):
            found.append('GenericError')
        if b and partial and not force and not target.block and \
                not target.fits(b):
            found += ['Stale', 'GenericError']
        return found

    def do_run(self):
        rng = self.rng
        d, name, target, sync, mode, force = self.any_run()
        b = self.of(d).bitmaps.get(name)
        refused = self.refusals(d, name, target, sync, mode, force)
        if target.content is not None and rng.random() < 0.7 and \
                'GenericError' in refused and not target.block and \
                not target.has_size(self.of(d).size):
            target.remove()
            refused = self.refusals(d, name, target, sync, mode, force)
        fault = rng.choices(('none', 'source', 'target', 'cancel'),
                            (5, 2, 2, 1))[0]
        policy = rng.choice(('report', 'report', 'ignore', 'stop'))
        self.say(f'{d.key}: run {sync} {mode} of {name and name[:9]} onto '
                 f'{target.path} force {force} fault {fault} {policy}')
        r = Run(d, b, target, sync, CONDITIONAL if sync == 'incremental'
                else mode, self.of(d).size)
        events = Events(self, r, fault, policy)
        try:
            libdtrack_run = self.library.run(
                d.t.dev, events.notify, target=target.path, sync=sync,
                bitmap=name, mode=mode, flags=libdtrack.FORCE * force,
                on_source_error=policy, on_target_error=policy)
        except OSError as e:
            kind = str(e).split('] ')[1].split(':')[0]
            true(kind in refused, f'refused: {e}, expected {refused}')
            return
        if refused:
            libdtrack_run.free()
            raise AssertionError(f'not refused: {refused}')
        events.begin()
        ret, state, total, copied = libdtrack_run.execute()
        events.end(copied)
        if r.error:
            raise r.error
        self.say(f'{d.key}: the run {state} {copied}/{total} '
                 f'{self.library.why() if ret else ""}')
        events.judge(ret, state, copied)

    def freeze(self, r):
        """The run has begun, as the kernel tells."""
        r.todo_then, r.snapshots = r.todo(), [r.d.content(r.size)]
        r.started = True
        r.fit = bool(r.b and r.target.fits(r.b, not r.target.block))
        r.generation = r.b.generation if r.b else None
        r.old = r.target.content
        if r.old is None:
            r.old = b''
            r.target.missed.clear()
        # with --force a short one grows
        r.old += bytes(max(r.size - len(r.old), 0))
        r.target.content = r.old
        r.manifest = {'complete': False, 'size': r.size, 'uuid': None,
                      'from': None, 'to': None, 'run': None}
        if r.b:
            run_id = self.ctls[0].info(r.d.t.dev, r.b.name).run
            self.spec.do('freeze', r.d.key, r.b.name, 'library', mode=r.mode,
                         everything=r.everything)
            r.b.frozen.run = run_id
            r.manifest.update({
                'uuid': str(r.b.uuid), 'run': run_id,
                'from': r.generation if r.fit else None,
                'to': r.generation + (r.mode != NEVER)})
        r.target.manifest = r.manifest

    def finish(self, r, completed, copied, lost=False):
        """The run has ended; the spec ends the freeze, and the target has
        exactly what it may have."""
        target, b = r.target, r.b
        if b and not lost:
            b.frozen.copied = copied
            b.end(completed and r.mode != NEVER, self.of(r.d).size)
        if completed:
            same(copied, r.todo_then, 'copied by a run that completed')
            r.manifest['complete'] = True
            if b and r.mode != NEVER:
                # more than one step where the device moved meanwhile
                r.manifest['to'] = b.generation
        good, begun = r.sectors(copied), r.sectors(r.todo_then)
        self.compare_copy(r, good, begun)
        if not r.fit and not r.everything and b:
            target.missed[b.uuid] = spec.whole(SECTOR, r.size)
        for key in target.missed:
            target.missed[key] &= ~(good & ~r.written)
        if completed and len(r.snapshots) == 1 and (r.fit or r.everything):
            self.counts['restores'] += 1
            missed = target.missed[b.uuid] if b else 0
            self.equal(target.content, r.snapshots[0], missed, r.size,
                       'the device at the last successful run')

    def compare_copy(self, r, good, begun):
        """Sectors outside the set are as they were; copied ones are as the
        device was at some time during the run."""
        target, now = r.target, r.target.actual()
        true(now is not None and len(now) >= r.size, 'the target is too short')
        same(bytes(now[r.size:]), bytes(r.old[r.size:]), 'beyond the device')
        sectors = spec.whole(SECTOR, r.size)
        untouched = sectors & ~begun
        self.equal(now, r.old, ~untouched, r.size, 'what was outside the set')
        self.equal(now, r.snapshots[0], ~(good & ~r.written), r.size,
                   'what was copied')
        for what, allowed in ((good & r.written, r.snapshots),
                              (begun & ~good, [r.old, *r.snapshots])):
            for first, end in runs(what):
                self.one_of(now, allowed, first * SECTOR, end * SECTOR)
        target.content = now

    def one_of(self, now, allowed, start, end):
        """Each sector is as in one of the allowed."""
        if any(now[start:end] == s[start:end] for s in allowed):
            return
        true(end - start > SECTOR, f'the target has what never was: {start}')
        middle = start + (end - start) // SECTOR // 2 * SECTOR
        self.one_of(now, allowed, start, middle)
        self.one_of(now, allowed, middle, end)

    def equal(self, found, expected, ignored, size, what):
        """In all sectors but the ignored ones."""
        found, expected = memoryview(found), memoryview(expected)
        for first, end in runs(spec.whole(SECTOR, size) & ~ignored):
            a, b = first * SECTOR, end * SECTOR
            if found[a:b] != expected[a:b]:
                wrong = next(i for i in range(a, b) if found[i] != expected[i])
                raise AssertionError(f'differs from {what} at byte {wrong}')

    # ---- The command ----

    def do_command(self):
        self.command({})

    def do_killed(self):
        rng = self.rng
        self.command({'LD_PRELOAD': PRELOAD, 'DTR_KILL_LOG': f'{FOLDER}/log',
                      'DTR_KILL_AT': str(rng.randrange(1, 12)),
                      'DTR_KILL_WHEN': rng.choice(('before', 'after'))})

    def command(self, env):
        """The same by the program, which may be killed at an ioctl."""
        d, name, target, sync, mode, force = self.any_run()
        refused = self.refusals(d, name, target, sync, mode, force)
        words = ['dtrack', 'backup', d.t.name, '--target', target.path,
                 '--sync', sync, '--json'] + ['--force'] * force
        words += ['--bitmap', name] if name else []
        words += ['--bitmap-mode', MODE_WORDS[mode]] if mode is not None \
            else []
        if env and d.lower.hole:
            d.lower.mend()
        at, when = env.get('DTR_KILL_AT'), env.get('DTR_KILL_WHEN')
        self.say(f'{" ".join(words)[:200]} killed {when} {at}')
        if os.path.exists(f'{FOLDER}/log'):
            os.unlink(f'{FOLDER}/log')
        r = Run(d, self.of(d).bitmaps.get(name), target, sync,
                CONDITIONAL if sync == 'incremental' else mode,
                self.of(d).size)
        done = subprocess.run(words, env={**os.environ, **env}, check=False,
                              capture_output=True, text=True)
        if done.returncode == -9:
            with open(f'{FOLDER}/log') as file:
                names = [line.split()[1] for line in file]
            self.killed(r, names[:int(at) - (when == 'before')])
            return
        answer = json.loads(done.stdout)
        if 'status' not in answer:
            true(answer['error']['class'] in refused,
                 f'{answer}, expected {refused}')
            return
        true(not refused, f'not refused: {refused}')
        completed, copied = not done.returncode, answer['bytes-copied']
        self.say(f'{answer["status"]} {copied}/{answer["bytes-total"]}')
        self.freeze(r)
        self.adopt_run(r, r.target.actual_manifest())
        spot = r.first_failure()
        same(answer['status'], 'completed' if spot is None else 'failed',
             'status')
        mask = r.prefix(r.todo_then, copied) if completed else \
            r.copied(copied, spot)
        self.finish(r, completed, mask)

    def adopt_run(self, r, manifest):
        """The id of a run that is over; no model can guess it."""
        if not r.b:
            return
        info = self.ctls[0].info(r.d.t.dev, r.b.name)
        run_id = info.last_run if info.generation != r.generation else \
            manifest['run'] if manifest else 0
        r.b.frozen.run = r.manifest['run'] = run_id

    def killed(self, r, seen):
        def did(*words):
            return any(word in name for name in seen for word in words)
        manifest = r.target.actual_manifest()
        before, existed = r.target.manifest, r.target.content is not None
        self.say(f'killed after {seen}')
        if r.b and not did('TRANSACTION'):
            self.killed_before(r, manifest)
            return
        if not r.b and manifest == before:
            return
        self.freeze(r)
        self.adopt_run(r, manifest)
        ended = did('ABDICATE', 'RECLAIM')
        copied = 0
        if ended or not r.b and manifest and manifest['complete']:
            copied = r.todo_then
        elif did('REPORT'):
            # all in one, but where a slow machine needed several
            dirty = granules(self.ctls[0].extents(r.d.t.dev, r.b.name),
                             r.b.grain)
            left = sum(1 << g for g in dirty) if r.mode == ALWAYS else 0
            copied = r.todo_then & ~left
            if sum('REPORT' in name for name in seen) == 1:
                same(copied, r.todo_then, 'reported')
        if r.target.actual() is None or \
                manifest == before and not r.target.block:
            # it did not get as far as the target
            same(copied, 0, 'copied nowhere')
            if manifest != before and not r.target.block:
                same(manifest, r.manifest, 'manifest')
            if not r.target.block:
                r.target.manifest = manifest
            if r.b:
                r.b.end(False, self.of(r.d).size)
            if not existed:
                r.target.content = None
            return
        if len(r.target.actual()) < r.size:
            # not of its size yet
            same(copied, 0, 'copied')
            if r.b:
                r.b.end(False, self.of(r.d).size)
            r.target.content = r.target.actual()
            return
        complete = bool(manifest and manifest['complete'])
        true(ended or not complete or not r.b, 'complete before the end')
        self.finish(r, ended or not r.b and complete, copied)
        if not r.target.block:
            r.manifest['complete'] = complete

    @staticmethod
    def killed_before(r, manifest):
        """Before the freeze, which a target that fits already knows of."""
        target = r.target
        if target.block or manifest == target.manifest:
            return
        generation = r.b.generation
        true(target.fits(r.b, True), 'the manifest of a target that does not fit')
        same(manifest, {'complete': False, 'size': r.size,
                        'uuid': str(r.b.uuid), 'from': generation,
                        'to': generation + (r.mode != NEVER),
                        'run': manifest['run']}, 'manifest')
        target.manifest = manifest

    # ---- Comparing ----

    def check(self):
        for d in self.devices.values():
            self.check_device(d)
            self.check_targets(d)

    def infos(self, dev):
        """Of the few there are; abi.infos() makes room for all there may."""
        arg = self.ctls[0].call(abi.INFO, dev, b'', nr=len(self.room),
                                entry_size=ctypes.sizeof(abi.Info),
                                infos=ctypes.addressof(self.room))
        return self.room[:arg.nr]

    def check_device(self, d):
        s = self.of(d)
        infos = self.infos(d.t.dev)
        same([i.name.decode() for i in infos], list(s.bitmaps),
             f'{d.key}: bitmaps')
        for info, b in zip(infos, s.bitmaps.values()):
            self.check_bitmap(d, b, info)
        if self.rng.random() < 0.8:
            return
        words = [str(s.size), str(len(s.bitmaps))]
        for b in s.bitmaps.values():
            words += [b.name, str(b.grain), str(count(b)), status_flags(b),
                      str(b.uuid), str(b.generation)]
        same(d.t.status().split()[:len(words)], words, f'{d.key}: status')

    def check_bitmap(self, d, b, info):
        size, what = self.of(d).size, f'{d.key}:{b.name[:9]}'
        if b.uuid is None:
            b.uuid = found = uuid.UUID(bytes=bytes(info.uuid))
            true(b.uuid.int and not any(
                other is not b and other.uuid == found
                for s in self.spec.devices.values()
                for other in s.bitmaps.values()), f'{what}: uuid {found}')
        f, end = b.frozen, b.frozen.size if b.frozen else b.size
        expected = {
            'uuid': b.uuid.bytes, 'granularity': b.grain, 'bytes': end,
            'device_size': size, 'generation': b.generation,
            'count': spec.count(b.dirty, b.grain, end),
            'successor_count': spec.count(f.successor, b.grain, size) if f
            else 0,
            'full_leaves': 0, 'run': f.run if f else 0,
            'last_run': b.last_run, 'mode': f.mode if f else 0,
            'set': int(f.everything) if f else 0,
            'flags': abi.RECORDING * b.recording | abi.MISSING * b.missing |
                     abi.BUSY * bool(f) |
            abi.OWNED * bool(f and f.owner is not None),
            'owner_pid': os.getpid() if f and f.owner is not None else 0}
        got = {key: getattr(info, key) for key in expected}
        got['uuid'] = bytes(info.uuid)
        same(got, expected, what)
        dev = d.t.dev
        same(self.ctls[0].extents(dev, b.name),
             spec.extents(b.dirty, b.grain, end), f'{what}: extents')
        if f:
            same(self.ctls[0].successor(dev, b.name),
                 spec.extents(f.successor, b.grain, size),
                 f'{what}: successor')

    def check_targets(self, d):
        for target in d.targets:
            if self.current and self.current.target is target:
                continue
            stamp = target.stamp()
            if stamp != target.seen or self.rng.random() < 0.05:
                target.seen = stamp
                same(target.actual() == target.content, True,
                     f'{target.path} is as the last run left it')
                if not target.block:
                    same(target.actual_manifest(), target.manifest,
                         f'manifest of {target.path}')
            for b in self.of(d).bitmaps.values():
                if target.fits(b) and b.size == self.of(d).size:
                    self.check_fit(d, target, b)

    def check_fit(self, d, target, b):
        """The property."""
        self.counts['fits'] += 1
        dirty = spec.regrain(b.at_risk(), b.grain, SECTOR, b.size)
        self.equal(target.content, d.content(b.size),
                   dirty | target.missed[b.uuid], b.size,
                   f'{target.path}, which fits {b.name[:9]}, '
                   'in what is clean:')

    def end(self):
        """All that is left frozen is reclaimed, and the device itself is what
        the model thinks."""
        self.say('the end')
        for i in range(3):
            self.ctls[i].close()
            self.spec.close(i)
        self.ctls[0] = abi.Control()
        for d in self.devices.values():
            if d.lower.hole:
                d.lower.mend()
            same(dm.read(d.t.path, 0, self.of(d).size) ==
                 d.content(self.of(d).size), True, f'{d.key}: content')
            for b in list(self.of(d).bitmaps.values()):
                if b.frozen:
                    self.spec.do('reclaim', d.key, b.name)
                    self.ctls[0].reclaim(d.t.dev, b.name)
        self.check()
        self.ctls[0].close()
        self.library.free()


def copy_of(state):
    fresh = spec.Spec()
    fresh.devices = spec.copy.deepcopy(state.devices)
    return fresh


def count(b):
    return spec.count(b.dirty, b.grain, b.frozen.size if b.frozen else b.size)


def status_flags(b):
    return ('r' * b.recording + 'b' * bool(b.frozen)) or '-'


class Events:
    """What befalls a run, and whether it ended as it must."""

    def __init__(self, world, r, fault, policy):
        self.world, self.r, self.fault, self.policy = world, r, fault, policy
        self.rng, self.cancelled, self.mended = world.rng, False, False
        self.left = self.rng.randrange(6)
        self.busy = self.rng.random() < 0.5
        self.limit = None

    def begin(self):
        """Breaks what is to fail."""
        r, rng = self.r, self.rng
        self.world.current, self.world.depth = r, 1
        start, end = self.world.any_range(r.size)
        if self.fault == 'source':
            at = r.d.offset
            r.d.lower.breaks(at + start, at + end)
        elif self.fault == 'target' and r.target.block:
            r.target.block.breaks(start, end)
        elif self.fault == 'target':
            # no less than a manifest needs
            self.limit = max(start, 8 * K)
            self.set_limit(True)

    def set_limit(self, on):
        if self.limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (
                self.limit if on else resource.RLIM_INFINITY,
                resource.RLIM_INFINITY))

    def notify(self, library_run, event, done, total):
        self.set_limit(False)
        try:
            if not self.r.error:
                self.handle(library_run, event)
        except BaseException as e:
            self.r.error = e
            library_run.cancel()
        self.set_limit(not self.mended)

    def handle(self, library_run, event):
        world, r = self.world, self.r
        if not r.started:
            world.freeze(r)
            world.check()
        if event == libdtrack.STOPPED:
            if self.rng.random() < 0.3:
                self.cancelled = True
                library_run.cancel()
            else:
                world.say('mend and go on')
                self.mend()
                library_run.resume()
        elif event == libdtrack.PROGRESS:
            if self.fault == 'cancel' and self.left == 0 and \
                    not self.cancelled:
                world.say('cancel')
                self.cancelled = True
                library_run.cancel()
            self.left -= 1
            if self.busy and self.rng.random() < 0.5:
                world.step()

    def mend(self):
        self.mended = True
        if self.fault == 'source':
            self.r.d.lower.mend()
        elif self.r.target.block and self.r.target.block.hole:
            self.r.target.block.mend()

    def end(self, copied):
        """Takes the fault away; the source may stay broken for a while."""
        world, r = self.world, self.r
        self.set_limit(False)
        world.current, world.depth = None, 0
        if r.started and not r.error:
            self.spot = r.first_failure(None if self.mended else self.limit)
            if self.spot is not None and not self.mended and \
                    not self.cancelled and not self.lost() and not r.moved:
                r.copied(copied, self.spot)
        if r.d.lower.hole and self.rng.random() < 0.7:
            r.d.lower.mend()
        if r.target.block and r.target.block.hole:
            r.target.block.mend()

    def lost(self):
        """Somebody else ended the freeze."""
        b = self.r.b
        return bool(b) and (not b.frozen or b.frozen.owner != 'library')

    def judge(self, ret, state, copied):
        world, r = self.world, self.r
        if not r.started:
            self.judge_unstarted(ret)
            return
        lost = self.lost()
        if lost:
            true(ret, 'a run that lost its freeze succeeded')
        else:
            # an error may come before a cancel is seen
            states = ['cancelled'] if self.cancelled else []
            if self.spot is not None:
                states.append('failed')
            states = states or ['completed']
            if r.moved and not r.everything:
                # extents of a generation that has passed
                states.append('failed')
            true(state in states, f'state {state} ({ret}), not {states}')
        mask = r.prefix(r.todo_then, copied)
        world.finish(r, not ret, mask, lost)
        world.counts[f'run {state}'] += 1

    def judge_unstarted(self, ret):
        """It could not even make its target."""
        world, r = self.world, self.r
        true(ret and self.limit is not None, 'the run failed at once')
        world.counts['run not started'] += 1
        existed, before = r.target.content is not None, r.target.manifest
        if r.b:
            r.b.frozen = spec.Freeze(0, r.mode, r.everything, 'library',
                                     r.size)
            r.b.frozen.run = world.ctls[0].info(r.d.t.dev, r.b.name).last_run
            r.b.end(False, r.size)
        now = r.target.actual_manifest()
        if now != before:
            same(now['complete'], False, 'manifest complete')
            r.target.manifest = now
        r.target.content = r.target.actual()


# ---- Cases ----

# A thousand steps of uml take ten seconds.
STEPS = int(os.environ.get('DTR_STEPS') or
            (80 if QEMU else 120 if DEBUG else 600))


def sequence(steps, value, **weights):
    """Random steps; weights: what is to be more or less frequent."""
    world = World(random.Random(value), weights)
    done = 0
    try:
        for done in range(steps):
            world.step()
        world.end()
    except BaseException:
        print(f'# SEED={value}: step {done} of {steps}; the last were')
        for line in world.log:
            print(f'#   {line[:300]}')
        raise
    counts = ', '.join(f'{nr} {word}' for word, nr in world.counts.items())
    print(f'# SEED={value}: {counts}')
    dm.cleanup.close()


def seeds(nr):
    """SEED= is the first of them, and the only one."""
    rng = seed()
    if os.environ.get('SEED'):
        return [int(os.environ['SEED'])]
    return [rng.randrange(1 << 32) for _ in range(nr)]


@case(limit=600)
def model_runs():
    """This test will do all that may happen at random, runs most of all, and
    compare every bitmap and target with the model after each step."""
    for value in seeds(2):
        sequence(STEPS, value, run=30)


@case(limit=600)
def model_transactions():
    """This test will do mostly random transactions over three devices, of
    which many fail and must leave everything as it was."""
    for value in seeds(2):
        sequence(STEPS, value, transaction=60, run=4, command=0, killed=0)


@case(limit=600)
def model_kills():
    """This test will have many runs of the command, most of them killed."""
    for value in seeds(1):
        sequence(STEPS // 4, value, killed=40, command=10)
