# SPDX-License-Identifier: GPL-2.0-or-later
"""Events: who waits for a device with 'dmsetup wait' is told when runs end."""
import os
import subprocess

import abi
from kit import *


def _waiter(t):
    """'dmsetup wait' for the next event; it has begun to wait."""
    child = subprocess.Popen(['dmsetup', 'wait', t.name, str(t.event_nr())],
                             stdout=subprocess.DEVNULL)
    cleanup.callback(child.kill)

    def waits():
        with open(f'/proc/{child.pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] == 'S'
    wait_for(waits, 'dmsetup to sleep')
    return child


def _told(t, before, what):
    wait_for(lambda: t.event_nr() != before, f'an event: {what}')
    same(t.event_nr(), before + 1, f'event number: {what}')


@case
def event_when_a_run_ends():
    """This test will end freezes in each way: each raises one event, and what
    is not the end of one raises none."""
    t = tracked(bitmaps={'b': 64 * K, 'c': 64 * K})
    first = t.event_nr()
    t.fill(0)
    t.ctl.clear(t.dev, 'c')
    t.ctl.disable(t.dev, 'c')
    t.ctl.enable(t.dev, 'c')
    t.ctl.merge(t.dev, 'c', [(t.dev, 'b')])
    t.reload_same()
    ends = {
        'abdicate': lambda run: t.abdicate(run=run),
        'reclaim': lambda run: t.reclaim(run=run),
        'reclaim by force': lambda run: t.reclaim(run=run,
                                                  flags=abi.END_FORCE),
    }
    for what, end in ends.items():
        before = t.event_nr()
        same(before, t.event_nr(), f'before {what}')
        end(t.freeze())
        _told(t, before, what)
    same(t.event_nr(), first + len(ends), 'events')
    t.message('bitmap-freeze b')
    t.message('bitmap-abdicate b')
    _told(t, first + len(ends), 'message')


@case
def event_once_for_a_group():
    """This test will end the freezes of four bitmaps of two devices in one
    transaction: one event for each device; one that is undone raises none."""
    ts = [tracked(bitmaps={'b': 64 * K, 'c': 64 * K}) for _ in range(2)]
    before = [t.event_nr() for t in ts]
    ctl = ts[0].ctl
    runs = ctl.transaction(*(('freeze', t.dev, n) for t in ts for n in 'bc'))
    ends = [('reclaim', (a.dev.major, a.dev.minor), a.name, {'run': a.run})
            for a in runs]
    with fails('ECANCELED'):
        ctl.transaction(*ends, ('abort', (0, 0), ''))
    same([t.event_nr() for t in ts], before, 'after an abort')
    ctl.transaction(*ends)
    for t, nr in zip(ts, before):
        _told(t, nr, t.name)


@case
def event_wakes_dmsetup_wait():
    """This test will wait with dmsetup for the end of a run, once ended by its
    owner and once by a kill of that."""
    t = tracked()
    waiter = _waiter(t)
    run_id = t.freeze()
    same(waiter.poll(), None, 'still waiting')
    t.abdicate(run=run_id)
    same(waiter.wait(), 0, 'dmsetup wait')
    waiter = _waiter(t)
    ready, theirs = os.pipe()

    def owner():
        abi.Control().freeze(t.dev, 'b')
        os.write(theirs, b'x')
        os.kill(os.getpid(), 9)
    pid = start(owner)
    os.read(ready, 1)
    same(wait(pid), -9, 'the owner')
    same(waiter.wait(), 0, 'dmsetup wait')
    same(t.info().flags, abi.RECORDING, 'thawed')
