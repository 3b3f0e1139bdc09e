# SPDX-License-Identifier: GPL-2.0-or-later
"""What every functional case uses: registration, devices, assertions.

A case is a function with the decorator @case; its name, with hyphens, is the
case's. It runs in a process of its own and fails by an exception. Devices that
it makes are removed when it ends.
"""
import contextlib
import errno
import os
import random
import select
import subprocess
import sys
import time

import abi
import dm
from dm import G, K, M, SECTOR, Delay, Dm, Loop, cleanup


class Kernel:
    """A row of tests/vm/kernels."""

    def __init__(self, line):
        self.name, self.backend, self.source, can = line.split()
        self.can = can.split(',')


def _kernels():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        '../vm/kernels')
    with open(path) as file:
        rows = [Kernel(line) for line in file
                if line.strip() and not line.startswith('#')]
    return {row.name: row for row in rows}


KERNELS = _kernels()
ALL_KERNELS = tuple(KERNELS)
STOCK_KERNELS = tuple(n for n, k in KERNELS.items() if k.backend == 'qemu')
# uml-small is a flavour of uml
KERNEL = os.environ.get('DTR_FLAVOUR') or os.environ.get('DTR_KERNEL', 'uml')
_kernel = KERNELS[os.environ.get('DTR_KERNEL', 'uml')]
DEBUG = 'debug' in _kernel.can
QEMU = _kernel.backend == 'qemu'

cases = {}


def case(function=None, *, kernels=ALL_KERNELS, limit=60, called=None):
    """Registers a case; limit: seconds after which it has failed, and three times
    as many on a machine that may be busy; called: its name, where it is not the
    function's."""
    def register(function):
        name = called or function.__name__.replace('_', '-')
        assert name not in cases, name
        if KERNEL in kernels:
            cases[name] = function, limit
        return function
    return register(function) if function else register


class Skip(Exception):
    """This machine cannot run the case."""


# ---- Assertions ----

def same(got, expected, what=''):
    if got != expected:
        # contents of files may be among them
        raise AssertionError(f'{what or "value"}: got {repr(got):.4000}, '
                             f'expected {repr(expected):.4000}')


def true(condition, what):
    if not condition:
        raise AssertionError(what)


@contextlib.contextmanager
def fails(*names):
    """The block must be refused with one of these errnos (by name)."""
    wanted = [getattr(errno, name) for name in names]
    try:
        yield
    except OSError as e:
        if e.errno not in wanted:
            raise AssertionError(f'failed with {errno.errorcode[e.errno]}, '
                                 f'expected {"/".join(names)}') from e
        return
    raise AssertionError(f'succeeded, expected {"/".join(names)}')


def wait_for(condition, what, seconds=90):
    """Waits for what the kernel tells nobody about."""
    deadline = time.monotonic() + seconds
    while not condition():
        true(time.monotonic() < deadline, f'waited {seconds} s for {what}')
        time.sleep(0.001)


def seed():
    """The case's random numbers; SEED= repeats a failure."""
    value = int(os.environ.get('SEED') or random.randrange(1 << 32))
    print(f'# SEED={value}', file=sys.stderr)
    return random.Random(value)


# ---- Granules ----

def granules(extents, granularity=64 * K):
    """The set of granules that extents cover."""
    return {g for start, length in extents
            for g in range(start // granularity,
                           -(-(start + length) // granularity))}


def bits(text):
    """'0 16 32-33' as a set."""
    found = set()
    for word in text.split():
        first, _, last = word.partition('-')
        found |= set(range(int(first), int(last or first) + 1))
    return found


# ---- Tracked devices ----

_names = iter(range(1000000))


def new_name(prefix='t'):
    return f'{prefix}{os.getpid()}-{next(_names)}'


class Tracked(Dm):
    """A tracked device, and an open control file to ask about it."""

    def __init__(self, lower, size=None, options='', offset=0, bitmaps=(),
                 flags=0):
        self.lower = lower
        self.lower_path = getattr(lower, 'path', lower)
        self.offset = offset
        super().__init__(new_name(), size or lower.size, 'dirtytrack',
                         self.line(options), flags)
        self.ctl = abi.Control()
        for name, granularity in dict(bitmaps).items():
            self.ctl.add(self.dev, name, granularity)

    def line(self, options='', lower=None, offset=None):
        lower = getattr(lower, 'path', lower) or self.lower_path
        offset = self.offset if offset is None else offset
        nr = len(options.split())
        return f'{lower} {offset} {nr} {options}' if nr else \
            f'{lower} {offset}'

    def reload_same(self, flags=dm.SKIP_LOCKFS):
        self.reload('dirtytrack', self.line(), self.size, flags)

    def info(self, name='b'):
        return self.ctl.info(self.dev, name)

    def extents(self, name='b'):
        return self.ctl.extents(self.dev, name)

    def dirty(self, name='b', granularity=64 * K):
        return granules(self.extents(name), granularity)

    def successor(self, name='b', granularity=64 * K):
        return granules(self.ctl.successor(self.dev, name), granularity)

    def freeze(self, name='b', mode=abi.CONDITIONAL, set=abi.SET_BITMAP,
               flags=0):
        return self.ctl.freeze(self.dev, name, mode, set, flags)

    def abdicate(self, name='b', run=0):
        return self.ctl.abdicate(self.dev, name, run)

    def reclaim(self, name='b', run=0, flags=0):
        return self.ctl.reclaim(self.dev, name, run, flags)

    def report(self, ranges, name='b', run=0):
        self.ctl.report(self.dev, name, run, ranges)

    def fill(self, offset, length=64 * K, byte=2):
        dm.fill(self.path, offset, length, byte)

    def state(self):
        """All that a refused operation must not change; the last word of the
        status is the time since the last write."""
        return (self.table(), self.status().rsplit(' ', 1)[0],
                [[getattr(i, field) if field != 'uuid' else bytes(i.uuid)
                  for field, *_ in i._fields_] + self.extents(i.name)
                 for i in self.ctl.infos(self.dev)])


def tracked(size=4 * M, bitmaps=(('b', 64 * K),), **args):
    """SEMANTICS' fixture F: 4 MiB, bitmap b of 64 KiB granules, clean."""
    return Tracked(Loop(size), bitmaps=bitmaps, **args)


def delayed(size=4 * M, bitmaps=(('b', 64 * K),), ms=10 ** 9, below=None):
    """A tracked device over one that keeps writes until it releases them."""
    loop = Loop(size)
    delay = Delay(new_name('delay'), loop.path, size, ms, below)
    return delay, Tracked(delay, bitmaps=bitmaps)


# W and D of SEMANTICS §0
W, D = bits('0 16 32-33 48-49'), bits('1 32')


def write_w(t, byte=2):
    for offset, length in ((0, 64 * K), (M, 64 * K), (2 * M, 128 * K),
                           (3 * M + 32 * K, 64 * K)):
        t.fill(offset, length, byte)


def write_d(t, byte=3):
    t.fill(64 * K, 64 * K, byte)
    t.fill(2 * M, 64 * K, byte)


# ---- Processes ----

def start(function, *args):
    """Runs a function in a child; the pid. It exits 0 unless it raises."""
    pid = os.fork()
    if pid:
        cleanup.callback(_end, pid)
        return pid
    status = 1
    try:
        cleanup.pop_all()
        function(*args)
        status = 0
    except OSError as e:
        status = e.errno
    except AssertionError as e:
        print(f'# in a child: {e}', flush=True)
    finally:
        os._exit(status)


def kill_stranger(pid):
    """Kills a process that is no child of ours, and waits for its end."""
    fd = os.pidfd_open(pid)
    os.kill(pid, 9)
    select.select([fd], [], [])
    os.close(fd)


_ended = {}


def _end(pid):
    if pid not in _ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
        wait(pid)


def wait(pid):
    """How a child ended: its exit status, negative: the signal."""
    if pid not in _ended:
        _ended[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return _ended[pid]


def start_write(t, offset, length=4 * K, byte=7):
    """A write in the background; returns its pid when it is in flight."""
    before = t.inflight()
    pid = start(t.fill, offset, length, byte)
    wait_for(lambda: t.inflight() > before, 'a write in flight')
    return pid


def run(*command, status=0, **args):
    """A program that must exit with status; what it printed."""
    done = subprocess.run([str(c) for c in command], capture_output=True,
                          text=True, check=False, **args)
    words = ' '.join(str(c) for c in command)
    if status is not None and done.returncode != status:
        raise AssertionError(
            f'{words}: exit {done.returncode}, expected {status}: '
            f'{done.stderr.strip()}')
    return done


def modprobe(*modules):
    """Stock kernels have as modules what UML has built in."""
    if QEMU:
        run('modprobe', '-a', *modules)


__all__ = [name for name in dir() if not name.startswith('_')] + ['SECTOR']
