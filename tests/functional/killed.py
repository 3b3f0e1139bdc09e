# SPDX-License-Identifier: GPL-2.0-or-later
"""A backup that is killed at any step leaves what I5 says, for each mode."""
import itertools
import mmap
import os
import signal
import struct

import abi
from kit import *

STEPS = ('open', 'freeze', 'extents', 'report-some', 'report-all', 'end')


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


def _backup(t, mode, whole, last, child):
    """Does a run's ioctls up to and with step 'last', and is killed; with a
    child that lives on, whose pid is then in 'child'."""
    ctl = abi.Control()
    steps = iter(STEPS)

    def done():
        if next(steps) == last:
            if child is not None:
                pid = os.fork()
                if not pid:
                    signal.pause()      # it holds the file
                struct.pack_into('i', child, 0, pid)
            _die()
    done()
    run_id = ctl.freeze(t.dev, 'b', mode, whole)
    done()
    ctl.extents(t.dev, 'b')
    done()
    ctl.report(t.dev, 'b', run_id, [(0, 64 * K), (M, 64 * K)])
    done()
    ctl.report(t.dev, 'b', run_id, [(0, 4 * M)] if whole else ctl.extents(
        t.dev, 'b'))
    done()
    if mode == abi.NEVER:
        ctl.reclaim(t.dev, 'b', run_id)
    else:
        ctl.abdicate(t.dev, 'b', run_id)
    done()


def _expected(mode, whole, last):
    at = STEPS.index(last)
    if at == 0:
        return W
    if mode == abi.ALWAYS:
        todo = bits('0-63') if whole else set(W)
        todo -= {0, 16} if at >= 3 else set()
        return set() if at >= 4 else todo
    if mode == abi.CONDITIONAL and last == 'end':
        return set()
    return W


def _killed_everywhere(leave_child):
    for mode, whole, last in itertools.product(
            (abi.CONDITIONAL, abi.NEVER, abi.ALWAYS), (0, 1), STEPS):
        t = tracked()
        write_w(t)
        child = mmap.mmap(-1, 4) if leave_child else None
        pid = start(_backup, t, mode, whole, last, child)
        same(wait(pid), -signal.SIGKILL, 'the backup')
        what = f'mode {mode}, set {whole}, killed after {last}'
        same(t.dirty(), _expected(mode, whole, last), what)
        info = t.info()
        same((info.flags, info.run), (abi.RECORDING, 0), f'{what}: state')
        t.fill(640 * K)
        same(t.dirty(), _expected(mode, whole, last) | {10},
             f'{what}: it records')
        if child is not None:
            kill_stranger(struct.unpack('i', child)[0])
        t.ctl.close()
        t.remove()
        t.lower.remove()


@case
def killed_at_each_step():
    """This test will kill -9 a backup after each of its steps, in each mode
    and set: the bitmap is what I5 says, nothing is frozen."""
    _killed_everywhere(False)


@case
def killed_with_child_that_lives():
    """This test will do the same while a child of the backup has the file
    still open: it does not keep the freeze."""
    _killed_everywhere(True)


@case
def killed_with_writes_during():
    """This test will write during a run that is killed: frozen and successor
    are united, an 'always' run keeps what it had not reported."""
    for mode, whole, expected in (
            (abi.CONDITIONAL, 0, W | D), (abi.NEVER, 1, W | D),
            (abi.ALWAYS, 0, W - {0} | D), (abi.ALWAYS, 1, bits('1-63'))):
        t = tracked()
        write_w(t)
        ready, theirs = os.pipe()

        def backup(t=t, mode=mode, whole=whole, theirs=theirs):
            ctl = abi.Control()
            run_id = ctl.freeze(t.dev, 'b', mode, whole)
            ctl.report(t.dev, 'b', run_id, [(0, 64 * K)])
            os.write(theirs, b'x')
            signal.pause()
        pid = start(backup)
        os.read(ready, 1)
        write_d(t)
        same(t.info().owner_pid, pid, 'owner')
        same(t.info().owner_comm.decode(), open('/proc/self/comm').read()
             .strip(), 'its name')
        os.kill(pid, signal.SIGKILL)
        wait(pid)
        same(t.dirty(), expected, f'mode {mode}, set {whole}')
        t.ctl.close()
        t.remove()


@case
def killed_in_the_middle_of_a_load():
    """This test will kill an import between begin and commit: the bitmap is as
    it was."""
    t = tracked()
    write_w(t)
    before = t.state()

    def load():
        ctl = abi.Control()
        ctl.load(t.dev, 'b', 0, 4 * M, b'\xff' * 8, abi.BITS_BEGIN)
        _die()
    wait(start(load))
    same(t.state(), before, 'state')


@case
def closed_without_a_word():
    """This test will close the file of a freeze in various ways: the owner's
    close ends it, a child's does not."""
    t = tracked()
    write_w(t)
    ctl = abi.Control()
    ctl.freeze(t.dev, 'b')
    same(wait(start(ctl.close)), 0, 'the child')
    true(t.info().flags & abi.BUSY, 'frozen after a child closed its copy')
    same(wait(start(lambda: None)), 0, 'the child')
    true(t.info().flags & abi.BUSY, 'frozen after a child ended')
    ctl.close()
    same(t.info().flags, abi.RECORDING, 'closed by the owner')
    # several freezes of one file, on two devices, all end
    other = tracked()
    ctl = abi.Control()
    ctl.freeze(t.dev, 'b')
    ctl.freeze(other.dev, 'b', abi.ALWAYS, abi.SET_ALL)
    ctl.close()
    same(t.info().flags, abi.RECORDING, 'first')
    same(other.info().flags, abi.RECORDING, 'second')
    same(other.extents(), [(0, 4 * M)], 'a full run that copied nothing')
