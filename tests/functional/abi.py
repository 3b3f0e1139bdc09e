# SPDX-License-Identifier: GPL-2.0-or-later
"""The ABI of /dev/dirtytrack, straight from dm-dirtytrack.h, for test cases.

Control wraps one open file. A command that the kernel refuses raises OSError
with the kernel's errno. Nothing is checked here: cases send what they like.
"""
import contextlib
import ctypes
import fcntl
import os

NAME_LEN = 1024
MAX_RANGES = 65536
MAX_CHUNK = 1 << 20

CONDITIONAL, NEVER, ALWAYS = range(3)
MODES = {'conditional': CONDITIONAL, 'never': NEVER, 'always': ALWAYS}
SET_BITMAP, SET_ALL = range(2)

RECORDING, BUSY, PERSISTENT, INCONSISTENT, READONLY, OWNED, MISSING = (
    1 << i for i in range(7))

ADD_DISABLED, ADD_PERSISTENT = 1, 2
FREEZE_NO_OWNER = 1
END_FORCE = 1
EXTENTS_SUCCESSOR = 1
BITS_BEGIN, BITS_COMMIT, BITS_MERGE = 1, 2, 4

(VERSION, LIST, INFO, ADD, REMOVE, CLEAR, ENABLE, DISABLE, MERGE, FREEZE,
 ABDICATE, RECLAIM, REPORT, EXTENTS, BITS_GET, BITS_LOAD, TRANSACTION) = (
     0xdb00 + i for i in range(17))

ACTIONS = {word: i for i, word in enumerate(
    ('abort', 'add', 'remove', 'clear', 'enable', 'disable', 'merge', 'freeze',
     'abdicate', 'reclaim'))}

u32, u64 = ctypes.c_uint32, ctypes.c_uint64
name_t = ctypes.c_char * NAME_LEN


class Dev(ctypes.Structure):
    _fields_ = [('major', u32), ('minor', u32)]


class Range(ctypes.Structure):
    _fields_ = [('start', u64), ('length', u64)]


class Info(ctypes.Structure):
    _fields_ = [('name', name_t), ('uuid', ctypes.c_uint8 * 16),
                ('device_size', u64), ('bytes', u64), ('granularity', u64),
                ('generation', u64), ('count', u64), ('successor_count', u64),
                ('full_leaves', u64), ('run', u64), ('last_run', u64),
                ('owner_since', u64), ('flags', u32), ('mode', u32),
                ('set', u32), ('owner_pid', u32),
                ('owner_comm', ctypes.c_char * 16)]


class Tally(ctypes.Structure):
    _fields_ = [('nr', u64), ('bytes', u64)]


class Writes(ctypes.Structure):
    _fields_ = [('writes', Tally), ('discards', Tally), ('zeroes', Tally),
                ('others', Tally), ('idle', u64)]


class Source(ctypes.Structure):
    _fields_ = [('dev', Dev), ('name', name_t)]


class Action(ctypes.Structure):
    _fields_ = [('type', u32), ('flags', u32), ('dev', Dev), ('name', name_t),
                ('granularity', u64), ('run', u64), ('generation', u64),
                ('sources', u64), ('nr', u32), ('mode', u32), ('set', u32),
                ('reserved', u32), ('uuid', ctypes.c_uint8 * 16)]


def _command(*fields):
    """A command's struct: size and flags come first in each of them."""
    class Command(ctypes.Structure):
        _fields_ = [('size', u32), ('flags', u32), *fields]
    return Command


_on_bitmap = (('dev', Dev), ('name', name_t))
STRUCTS = {
    VERSION: _command(('out_abi', u32), ('out_max_bitmaps', u32),
                      ('out_features', u64), ('out_max_memory', u64)),
    LIST: _command(('nr', u32), ('reserved', u32), ('devs', u64)),
    INFO: _command(('dev', Dev), ('nr', u32), ('entry_size', u32),
                   ('infos', u64), ('out_device_size', u64),
                   ('out_lower_start', u64), ('out_lower', Dev),
                   ('name', name_t), ('out_writes', Writes)),
    ADD: _command(('dev', Dev), ('granularity', u64), ('name', name_t),
                  ('out_uuid', ctypes.c_uint8 * 16)),
    **dict.fromkeys((REMOVE, CLEAR, ENABLE, DISABLE), _command(*_on_bitmap)),
    MERGE: _command(*_on_bitmap, ('nr', u32), ('reserved', u32),
                    ('sources', u64)),
    FREEZE: _command(*_on_bitmap, ('mode', u32), ('set', u32),
                     ('out_run', u64), ('out_generation', u64)),
    **dict.fromkeys((ABDICATE, RECLAIM),
                    _command(*_on_bitmap, ('run', u64),
                             ('out_generation', u64))),
    REPORT: _command(*_on_bitmap, ('run', u64), ('nr', u32),
                     ('reserved', u32), ('ranges', u64)),
    EXTENTS: _command(*_on_bitmap, ('cursor', u64), ('nr', u32),
                      ('reserved', u32), ('ranges', u64),
                      ('generation', u64)),
    **dict.fromkeys((BITS_GET, BITS_LOAD),
                    _command(*_on_bitmap, ('start', u64), ('length', u64),
                             ('buffer', u64), ('generation', u64))),
    TRANSACTION: _command(('nr', u32), ('entry_size', u32), ('actions', u64),
                          ('out_failed', u32), ('reserved', u32)),
}


def _bytes(name):
    return name if isinstance(name, bytes) else name.encode()


def _sources(sources):
    array = (Source * max(len(sources), 1))()
    for entry, (dev, name) in zip(array, sources):
        entry.dev.major, entry.dev.minor = dev
        entry.name = _bytes(name)
    return array


class Control:
    """One open /dev/dirtytrack. 'dev' is a (major, minor) pair."""

    def __init__(self, flags=os.O_RDWR):
        self.fd = os.open('/dev/dirtytrack', flags | os.O_CLOEXEC)

    def close(self):
        os.close(self.fd)

    def call(self, cmd, dev=None, name=None, **fields):
        arg = STRUCTS[cmd]()
        arg.size = ctypes.sizeof(arg)
        if dev:
            arg.dev.major, arg.dev.minor = dev
        if name is not None:
            arg.name = _bytes(name)
        for key, value in fields.items():
            setattr(arg, key, value)
        fcntl.ioctl(self.fd, cmd, arg)
        return arg

    def list(self):
        devs = (Dev * 256)()
        arg = self.call(LIST, nr=256, devs=ctypes.addressof(devs))
        return [(d.major, d.minor) for d in devs[:arg.nr]]

    def infos(self, dev, name=b''):
        infos = (Info * 256)()
        arg = self.call(INFO, dev, name, nr=256,
                        entry_size=ctypes.sizeof(Info),
                        infos=ctypes.addressof(infos))
        return infos[:arg.nr]

    def writes(self, dev):
        """Counters: a list of (requests, bytes) by kind; ms since the last."""
        with contextlib.suppress(OSError):      # EMSGSIZE: it has bitmaps
            arg = STRUCTS[INFO]()
            arg.size = ctypes.sizeof(arg)
            arg.dev.major, arg.dev.minor = dev
            arg.entry_size = ctypes.sizeof(Info)
            fcntl.ioctl(self.fd, INFO, arg)
        got = arg.out_writes
        return [(t.nr, t.bytes) for t in (got.writes, got.discards, got.zeroes,
                                          got.others)], got.idle

    def info(self, dev, name):
        return self.infos(dev, name)[0]

    def add(self, dev, name, granularity=0, flags=0):
        return bytes(self.call(ADD, dev, name, granularity=granularity,
                               flags=flags).out_uuid)

    def remove(self, dev, name):
        self.call(REMOVE, dev, name)

    def clear(self, dev, name):
        self.call(CLEAR, dev, name)

    def enable(self, dev, name):
        self.call(ENABLE, dev, name)

    def disable(self, dev, name):
        self.call(DISABLE, dev, name)

    def merge(self, dev, name, sources):
        """sources: list of (dev, name)."""
        array = _sources(sources)
        self.call(MERGE, dev, name, nr=len(sources),
                  sources=ctypes.addressof(array))

    def freeze(self, dev, name, mode=CONDITIONAL, set=SET_BITMAP, flags=0):
        """Returns the id of the run."""
        return self.call(FREEZE, dev, name, mode=mode, set=set,
                         flags=flags).out_run

    def abdicate(self, dev, name, run=0):
        return self.call(ABDICATE, dev, name, run=run).out_generation

    def reclaim(self, dev, name, run=0, flags=0):
        return self.call(RECLAIM, dev, name, run=run,
                         flags=flags).out_generation

    def report(self, dev, name, run, ranges):
        """ranges: list of (start, length)."""
        array = (Range * max(len(ranges), 1))(*ranges)
        self.call(REPORT, dev, name, run=run, nr=len(ranges),
                  ranges=ctypes.addressof(array))

    def extents(self, dev, name, flags=0, room=1024):
        """All dirty (start, length) of a bitmap."""
        array = (Range * room)()
        found, cursor = [], 0
        while True:
            arg = self.call(EXTENTS, dev, name, flags=flags, cursor=cursor,
                            nr=room, ranges=ctypes.addressof(array))
            found += [(r.start, r.length) for r in array[:arg.nr]]
            if arg.nr < room:
                return found
            cursor = arg.cursor

    def successor(self, dev, name):
        return self.extents(dev, name, EXTENTS_SUCCESSOR)

    def transaction(self, *actions):
        """actions: (word, dev, name[, fields]); fields: of Action, 'sources'
        being a list of (dev, name). Returns the actions as the kernel leaves
        them. An OSError has the index of the action to blame in 'failed'."""
        array, keep = (Action * max(len(actions), 1))(), []
        for entry, (word, dev, name, *more) in zip(array, actions):
            entry.type = ACTIONS[word]
            entry.dev.major, entry.dev.minor = dev
            entry.name = _bytes(name)
            for key, value in (more[0] if more else {}).items():
                if key == 'sources':
                    keep.append(_sources(value))
                    entry.nr = len(value)
                    value = ctypes.addressof(keep[-1])
                setattr(entry, key, value)
        arg = STRUCTS[TRANSACTION](
            ctypes.sizeof(STRUCTS[TRANSACTION]), 0, len(actions),
            ctypes.sizeof(Action), ctypes.addressof(array))
        try:
            fcntl.ioctl(self.fd, TRANSACTION, arg)
        except OSError as e:
            e.failed = arg.out_failed
            raise
        return array[:len(actions)]

    def bits(self, dev, name, start, length, nr_bytes):
        buf = ctypes.create_string_buffer(nr_bytes)
        self.call(BITS_GET, dev, name, start=start, length=length,
                  buffer=ctypes.addressof(buf))
        return buf.raw

    def load(self, dev, name, start, length, bits, flags):
        buf = ctypes.create_string_buffer(bits, len(bits) or 1)
        self.call(BITS_LOAD, dev, name, start=start, length=length,
                  buffer=ctypes.addressof(buf), flags=flags)
