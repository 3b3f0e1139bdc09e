# SPDX-License-Identifier: GPL-2.0-or-later
"""A time in which the device had a table of another target (I1, I7, I8): nothing
that was written then may be missing in a bitmap."""
import os

import abi
import dm
from kit import *

SWAPS = int(os.environ.get('DTR_SWAPS') or (200 if KERNEL == 'uml' else 60))


def target(t):
    """The live target's name and first word, None without a table."""
    _, _, nr, data, _ = dm._dm(dm.DM_TABLE_STATUS, t.name, dm.STATUS_TABLE)
    return data[24:40].split(b'\0')[0].decode() if nr else None


def swap_past_loaded(delay, t, line):
    """Makes a linear table live while a table of ours is being loaded: device
    mapper has taken the linear one out of the inactive slot and waits for a
    write, and destroys our old table when the new one is there."""
    write = start_write(t, M)
    t.load('linear', f'{delay.path} 0')
    swap = start(t.resume, dm.SKIP_LOCKFS)
    wait_for(lambda: t.table(dm.QUERY_INACTIVE) is None, 'the swap')
    t.load('dirtytrack', line)
    delay.release()
    same((wait(write), wait(swap)), (0, 0), 'write and swap')
    same(target(t), 'linear', 'live')


def write_untracked(delay, t, offset=3 * M):
    write = start_write(t, offset)
    delay.release()
    same(wait(write), 0, 'a write that nobody tracks')


@case
def gap_while_our_table_waits():
    """This test will keep the tracker by a loaded table while another target is
    live: it is not there for anybody meanwhile, and has everything dirty with
    new generations afterwards, whatever the line says."""
    for options, suspended in (('', False), ('same_data', False), ('', True)):
        delay, t = delayed(bitmaps={'b': 64 * K, 'off': 64 * K,
                                    'busy': 64 * K})
        t.ctl.disable(t.dev, 'off')
        run_id = t.freeze('busy')
        before = {i.name: (bytes(i.uuid), i.generation)
                  for i in t.ctl.infos(t.dev)}
        swap_past_loaded(delay, t, t.line(options))
        for call in (lambda: t.ctl.infos(t.dev), lambda: t.freeze('b'),
                     t.extents, lambda: t.abdicate('busy', run_id),
                     lambda: t.ctl.add(t.dev, 'new', 64 * K)):
            with fails('ENODEV'):
                call()
        same(t.ctl.list(), [], 'tracked devices')
        write_untracked(delay, t)
        if suspended:
            t.suspend()
        t.resume(dm.SKIP_LOCKFS)
        same(target(t), 'dirtytrack', 'live')
        for i in t.ctl.infos(t.dev):
            uuid, generation = before[i.name]
            same((bytes(i.uuid), i.generation), (uuid, generation + 1),
                 i.name)
        for name in 'b', 'off':
            same(t.extents(name), [(0, 4 * M)], name)
        same(t.dirty('busy'), set(), 'frozen content')
        same(t.successor('busy'), bits('0-63'), 'successor')
        with fails('ESTALE'):
            t.report([(0, 64 * K)], 'busy', run_id)
        with fails('ESTALE'):
            t.abdicate('busy', run_id)
        t.reclaim('busy', run_id)
        same(t.extents('busy'), [(0, 4 * M)], 'after the run')
        t.remove()
        delay.remove()


@case
def gap_twice_in_a_row():
    """This test will have two gaps in a row, with a clear between: each counts."""
    delay, t = delayed()
    for generation in 2, 4:
        swap_past_loaded(delay, t, t.line())
        write_untracked(delay, t)
        t.resume(dm.SKIP_LOCKFS)
        same((t.extents(), t.info().generation), ([(0, 4 * M)], generation),
             'after a gap')
        t.ctl.clear(t.dev, 'b')
    write = start_write(t, 0)
    delay.release()
    same(wait(write), 0, 'a write')
    same(t.dirty(), {0}, 'it records')


@case
def gap_owner_ends_meanwhile():
    """This test will kill the owner of a freeze while another target is live:
    nothing is frozen afterwards, all is dirty."""
    delay, t = delayed()
    ctl = abi.Control()
    ctl.freeze(t.dev, 'b', abi.CONDITIONAL, abi.SET_BITMAP, 0)
    swap_past_loaded(delay, t, t.line())
    ctl.close()
    t.resume(dm.SKIP_LOCKFS)
    true(not t.info().flags & abi.BUSY, 'it is idle')
    same(t.extents(), [(0, 4 * M)], 'dirty')


@case
def gap_none_without_counters():
    """This test will reload and suspend a device whose I/O nobody counts: that
    is no gap."""
    t = tracked()
    t.fill(M)
    before = t.state()
    for suspended in False, True:
        with open(f'/sys/block/dm-{t.dev[1]}/queue/iostats', 'w') as file:
            file.write('0')
        if suspended:
            t.suspend()
        t.reload_same()
        same(t.state(), before, 'after a reload')
    t.suspend()
    t.resume()
    same(t.state(), before, 'after a suspend')


@case
def gap_none_after_a_failed_swap():
    """This test will resume a table that device mapper refuses to make live:
    the device stays suspended with the table before, and loses nothing."""
    loop = Loop(8 * M)
    t = Tracked(loop, 4 * M, bitmaps={'b': 64 * K})
    t.fill(M)
    before = t.state()
    t.load('dirtytrack', t.line(), 8 * M)
    loop.resize(4 * M)
    with fails('EINVAL'):
        t.resume(dm.SKIP_LOCKFS)
    t.resume()
    same(t.state(), before, 'after the swap that failed')
    t.fill(2 * M)
    same(t.dirty(), {16, 32}, 'it records')


@case(limit=600)
def gap_agent_that_reloads():
    """This test will swap targets while an agent loads, and perhaps resumes, a
    table of ours at a random moment: whatever comes of it, a write is dirty or
    the bitmap is gone. DTR_SWAPS= says how many."""
    rng = seed()
    low = Dm(new_name('zero'), G, 'zero')
    t = Tracked(low, G, bitmaps={'b': 64 * K})
    lost = kept = gone = 0
    for i in range(SWAPS):
        spin, resumes = rng.randrange(400), rng.randrange(2)
        offset = rng.randrange(G // (64 * K)) * 64 * K

        def agent(spin=spin, resumes=resumes):
            for _ in range(spin):
                pass
            while target(t) != 'linear' and spin % 2:
                pass
            t.load('dirtytrack', t.line())
            if resumes:
                t.resume(dm.SKIP_LOCKFS)
        t.load('linear', f'{low.path} 0')
        pid = start(agent)
        try:
            t.resume(dm.SKIP_LOCKFS)
        except OSError:
            pass        # the agent's table took the place
        t.fill(offset)
        wait(pid)
        if target(t) != 'dirtytrack' or t.table(dm.QUERY_INACTIVE):
            if not t.table(dm.QUERY_INACTIVE):
                t.load('dirtytrack', t.line())
            t.resume(dm.SKIP_LOCKFS)
        try:
            lost += offset // (64 * K) not in t.dirty()
            kept += 1
            t.ctl.clear(t.dev, 'b')
        except OSError:
            gone += 1
            t.ctl.add(t.dev, 'b', 64 * K)
    print(f'# {SWAPS} swaps: {kept} kept the bitmap, {gone} did not, '
          f'{lost} lost a write', flush=True)
    same(lost, 0, 'lost writes')
