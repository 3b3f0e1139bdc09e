# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs of 'dtrack backup' for test cases: a fixture with a model of what the
device holds, runs that are held where a case wants them, and the comparison of
target, bitmap, answer and manifest with what they must be."""
import json
import os
import signal
import subprocess

import abi
import dm
from kit import *

TARGET = '/tmp/target'
PRELOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       '../../build/tests/lib/preload-kill.so')


def fresh_target(target=TARGET):
    """There is none, and none stays."""
    remove_target(target)
    dm.cleanup.callback(remove_target, target)


def remove_target(target=TARGET):
    for path in target, target + '.dtrack', target + '.dtrack.sums':
        if os.path.exists(path):
            os.unlink(path)


def words(t, sync, mode=None, bitmap='b', target=TARGET):
    line = ['dtrack', 'backup', t.name, '--target', target, '--sync', sync]
    if bitmap:
        line += ['--bitmap', bitmap]
    if mode:
        line += ['--bitmap-mode', mode]
    return line


def backup(t, sync, mode=None, *more, status=0, **args):
    """The answer of a run that must exit with status."""
    done = run(*words(t, sync, mode, **args), '--json', *more, status=status)
    return json.loads(done.stdout)


def cli(*line, status=0):
    """The document of a verb."""
    return json.loads(run('dtrack', *line, '--json', status=status).stdout)


def refused(t, line, text, kind=None, status=1, part=False):
    """One line with this text, or a part of it, the same as a document, and
    nothing changed."""
    before = t.state()
    done = run(*line, '--json', status=status)
    lines = done.stderr.splitlines()
    same(len(lines), 1, f'lines of {done.stderr!r}')
    error = json.loads(done.stdout)['error']
    true(lines[0].startswith('dtrack: ') and
         lines[0].endswith(f': {error["message"]}'), f'the line {lines[0]!r}')
    if part:
        true(text in error['message'], f'{lines[0]!r} has no {text!r}')
    else:
        same(error['message'], text, 'message')
    if kind:
        same(error['class'], kind, f'class of {text!r}')
    same(t.state(), before, f'state after {lines[0]!r}')


def manifest(target=TARGET):
    """What it says of the run: state, generation before and after."""
    with open(target + '.dtrack', encoding='utf-8') as file:
        it = json.load(file)
    return it['state'], it['bitmap']['from'], it['bitmap']['to']


def read_file(path, offset=0, length=-1):
    with open(path, 'rb') as file:
        file.seek(offset)
        return file.read(length)


UNIT = 64 * K
_solid = {}


def solid(byte):
    """A unit of this byte; kept, as fresh memory is slow in UML."""
    return _solid.setdefault(byte, bytes([byte]) * UNIT)


def wrong_units(path, sectors):
    """Where a file differs from what it must have, one byte for each sector;
    as numbers of units of 64K."""
    wrong, room = set(), bytearray(UNIT)
    with open(path, 'rb', buffering=0) as file:
        for begin in range(0, len(sectors), UNIT // SECTOR):
            part = sectors[begin:begin + UNIT // SECTOR]
            want = solid(part[0]) if part == part[:1] * (UNIT // SECTOR) else \
                b''.join(bytes([byte]) * SECTOR for byte in part)
            nr = file.readinto(room)
            if nr != len(want) or room[:nr] != want:
                wrong.add(begin // (UNIT // SECTOR))
        true(not file.read(1), f'{path} goes on behind {len(sectors)} sectors')
    return wrong


class Holed(dm.Dm):
    """A device whose bytes [hole, hole + 64K) can't be read or written from
    breaks() to mend()."""

    def __init__(self, loop, hole=2 * M):
        self.loop, self.hole = loop, hole
        super().__init__(new_name('holed'), loop.size, 'linear',
                         f'{loop.path} 0')

    def breaks(self):
        end = self.hole + 64 * K
        lines = [(0, self.hole // SECTOR, 'linear', f'{self.loop.path} 0'),
                 (self.hole // SECTOR, 128, 'error', ''),
                 (end // SECTOR, (self.size - end) // SECTOR, 'linear',
                  f'{self.loop.path} {end // SECTOR}')]
        dm._dm(dm.DM_TABLE_LOAD, self.name, 0, dm._table(lines), 3)
        self.resume()

    def mend(self):
        self.reload('linear', f'{self.loop.path} 0')


class Job:
    """A run in the background. Wherever it is held, nothing moves until the
    case says so: no case has to sleep."""

    def __init__(self, line, env=None):
        self.process = subprocess.Popen(
            [*map(str, line), '--json'], env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        dm.cleanup.callback(self._reap)

    def _reap(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def end(self, status=0):
        """The answer of the run, which must exit with status."""
        out, err = self.process.communicate(timeout=150)
        same(self.process.returncode, status, f'exit status: {err.strip()}')
        return json.loads(out) if status >= 0 else None

    def send(self, number):
        self.process.send_signal(number)

    def go_on(self, status=0):
        self.send(self.resume)
        return self.end(status)

    def cancel(self, number=signal.SIGTERM):
        self.send(number)
        if self.resume == signal.SIGCONT:
            self.send(self.resume)
        return self.end(1)

    def kill(self):
        self.send(signal.SIGKILL)
        self.end(-signal.SIGKILL)


class Stopped(Job):
    """A run that waits after an error: all that came before it is copied,
    flushed and reported."""
    resume = signal.SIGUSR1

    def __init__(self, line, policy='--on-source-error'):
        super().__init__([*line, policy, 'stop'])
        text = self.process.stderr.readline()
        true('; stopped: SIGUSR1' in text, f'not stopped: {text!r}')


class Held(Job):
    """A run that does not return from an ioctl: its first one of a name, or
    the report of byte end - 1. The TRANSACTION is its freeze: nothing is copied
    then."""
    resume = signal.SIGCONT

    def __init__(self, line, at='REPORT', end=0, when='after'):
        env = dict(os.environ, LD_PRELOAD=PRELOAD, DTR_KILL_AT=at,
                   DTR_KILL_WHEN=when, DTR_KILL_REACHES=str(end),
                   DTR_KILL_SIGNAL=str(int(signal.SIGSTOP)))
        super().__init__(line, env)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        true(os.WIFSTOPPED(status), f'the run ended before {at}')


class Scene:
    """SEMANTICS' fixture F: a device of 0x11, bitmap b, a lower device that
    can fail, perhaps another device over that, and a model of the content, one
    byte for each sector. 'begun' is the content when the last run began; the
    target holds 0xee where no run has written."""

    def __init__(self, size=4 * M, granularity=64 * K, hole=2 * M,
                 target=TARGET, over=None):
        self.target = target
        fresh_target(target)
        self.lower = Holed(Loop(size, byte=0x11), hole)
        self.over = over(self.lower) if over else self.lower
        self.t = Tracked(self.over, bitmaps={'b': granularity})
        self.granularity = granularity
        self.now = bytearray(b'\x11' * (size // SECTOR))
        self.begun = bytes(self.now)

    # ---- The device ----

    def fill(self, offset, length=64 * K, byte=2):
        self.t.fill(offset, length, byte)
        self.now[offset // SECTOR:(offset + length) // SECTOR] = \
            bytes([byte]) * (length // SECTOR)

    write_w = write_w

    def write_d(self):
        """With a rotation in between: one half has been folded into the
        successor when the run ends, the other is in the live map."""
        self.fill(64 * K, byte=3)
        self.t.ctl.add(self.t.dev, 'rotation', 64 * K)
        self.t.ctl.remove(self.t.dev, 'rotation')
        self.fill(2 * M, byte=3)

    def dirty(self, name='b'):
        return self.t.dirty(name, self.granularity)

    # ---- The target ----

    def blank(self):
        """A target of the right size that nobody knows."""
        with open(self.target, 'wb') as file:
            dm.paint(file, 0, self.t.size, 0xee)

    def put_on_small(self, room):
        """The target, which is blank with zeroes, is on a file system that has
        room bytes."""
        os.makedirs('/tmp/small', exist_ok=True)
        run('mount', '-t', 'tmpfs', '-o', f'size={room}', 'none', '/tmp/small')
        dm.cleanup.callback(run, 'umount', '/tmp/small', status=None)
        self.target = '/tmp/small/t'
        with open(self.target, 'wb') as file:
            file.truncate(self.t.size)

    def anchor(self):
        """A full backup; then its target is blanked, for the next run to show
        what it writes. The manifest stays."""
        answer = backup(self.t, 'full', 'on-success', target=self.target)
        same(answer['status'], 'completed', 'anchor')
        same(wrong_units(self.target, self.now), set(), 'anchor')
        self.blank()

    def target_has(self, copied, torn=(), blank=0xee, begun=None):
        """Exactly these granules, as they were when the run began; in torn
        ones each sector is old or new."""
        begun = begun or self.begun
        want = bytearray([blank] * len(self.now))
        for g in copied:
            part = self._sectors(g)
            want[part] = begun[part]
        for g in torn:
            part = self._sectors(g)
            got = read_file(self.target, g * self.granularity,
                            self.granularity)
            true(set(got) <= set(begun[part]) | {blank},
                 f'bytes of granule {g}, which was being written')
            want[part] = got[::SECTOR]
        same(wrong_units(self.target, want), set(),
             'units of the target that are wrong')

    def target_is_device(self):
        """All of it, byte for byte, as it is now."""
        same(wrong_units(self.target, self.now), set(), 'target')

    def _sectors(self, granule):
        nr = self.granularity // SECTOR
        return slice(granule * nr, (granule + 1) * nr)

    # ---- Runs ----

    def words(self, sync, mode=None, *more):
        """One granule after the other: scenarios say where each one is."""
        self.begun = bytes(self.now)
        self.before = self.t.info()
        line = words(self.t, sync, mode, target=self.target)
        return line + ['--jobs', '1', *more]

    def backup(self, sync, mode=None, *more, status=0):
        done = run(*self.words(sync, mode, *more), '--json', status=status)
        return json.loads(done.stdout)

    def stopped(self, sync, mode=None, *more, **args):
        return Stopped(self.words(sync, mode, *more), **args)

    def held(self, sync, mode=None, *more, **args):
        """Where not said otherwise, when all of the set is copied."""
        end = self.t.size
        if sync not in ('full', 'top') and self.t.extents():
            end = sum(self.t.extents()[-1])
        return Held(self.words(sync, mode, *more), end=end, **args)

    def bitmap_is(self, left, step, flags=abi.RECORDING):
        """Content, generation and flags after a run that began with what
        words() saw."""
        info = self.t.info()
        same(self.dirty(), left, 'bitmap')
        same(info.generation - self.before.generation, step, 'generation')
        same(info.flags, flags, 'flags')
        same(bytes(info.uuid), bytes(self.before.uuid), 'uuid')

    def ended(self, answer, status, copied, total, left, step, error=None,
              flags=abi.RECORDING):
        """copied and total in bytes, left in granules, step of the
        generation, error: (class, message)."""
        still = (status == 'completed' and bytes(self.now) == self.begun and
                 flags & abi.RECORDING)
        same((answer['status'], answer['consistency']),
             (status, 'held' if still else 'live'), 'status')
        same((answer['bytes-copied'], answer['bytes-total']), (copied, total),
             'bytes')
        self.bitmap_is(left, step, flags)
        info, shown = self.t.info(), answer['bitmap']
        same([shown[key] for key in ('name', 'granularity', 'count', 'size',
                                     'recording', 'busy', 'generation',
                                     'owner', 'successor-count')],
             ['b', self.granularity, info.count, self.t.size,
              bool(flags & abi.RECORDING), False, info.generation, None, 0],
             'bitmap in the answer')
        if error is None:
            true('error' not in answer, f'error: {answer.get("error")}')
        else:
            same((answer['error']['class'], answer['error']['message']),
                 error, 'error')

    def completed(self, answer, copied, left, step, **args):
        """Success; copied in bytes."""
        self.ended(answer, 'completed', copied, copied, left, step, **args)

    def source_error(self, at):
        return ('GenericError', f"Could not read '/dev/mapper/{self.t.name}' "
                                f'at byte {at}: Input/output error')

    def target_full(self):
        """At the byte of granule 32 that pages were there for."""
        at = 2 * M + len(read_file(self.target, 2 * M, 64 * K).rstrip(b'\0'))
        return ('NoSpace', f"Could not write to '{self.target}' at byte {at}: "
                           'No space left on device')


CANCELED = 'GenericError', 'Operation canceled'


def scene(write=True, **args):
    """F with W; the target is blank and unknown."""
    s = Scene(**args)
    if write:
        s.write_w()
    s.blank()
    return s


def anchored(write=True, **args):
    """F, a full backup of it, then W."""
    s = Scene(**args)
    s.anchor()
    if write:
        s.write_w()
    return s
