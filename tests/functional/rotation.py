# SPDX-License-Identifier: GPL-2.0-or-later
"""Actions at one point in time, by /dev/dirtytrack: SEMANTICS §4.1 and G01-G05.

Rolled back, they leave every bitmap as it was, which QEMU does not.
"""
import errno

import abi
from kit import *


def transact(t, *actions):
    """Actions (word, name[, fields]) on one device."""
    return t.ctl.transaction(*((word, t.dev, *rest)
                               for word, *rest in actions))


def undone(t, at, error, *actions):
    """The action 'at' is to blame, and nothing has changed."""
    before = t.state()
    try:
        transact(t, *actions)
    except OSError as e:
        same((errno.errorcode[e.errno], e.failed), (error, at), 'error')
    else:
        raise AssertionError(f'{actions} succeeded')
    same(t.state(), before, f'state after {actions}')
    # it records where it did
    t.fill(3 * M + 512 * K)
    for info in t.ctl.infos(t.dev):
        name = info.name.decode()
        dirty = t.successor(name) if info.flags & abi.BUSY else t.dirty(name)
        same(56 in dirty, bool(info.flags & abi.RECORDING), f'{name} records')


def prepared(size=4 * M):
    """W in b; c is disabled and has {5}."""
    t = tracked(size, bitmaps={'c': 64 * K})
    t.fill(320 * K)
    t.ctl.disable(t.dev, 'c')
    t.ctl.add(t.dev, 'b', 64 * K)
    write_w(t)
    return t


ABORT = 'abort', (0, 0), ''


@case
def g01_freeze_rolled_back():
    """This test will freeze in every mode and set, and abort: b is as it was,
    idle, in the old generation, in mode always, too."""
    for mode in abi.CONDITIONAL, abi.NEVER, abi.ALWAYS:
        for whole in abi.SET_BITMAP, abi.SET_ALL:
            t = prepared()
            before = t.state()
            with fails('ECANCELED'):
                t.ctl.transaction(('freeze', t.dev, 'b',
                                   {'mode': mode, 'set': whole}), ABORT)
            same(t.state(), before, f'mode {mode}')
            same(t.dirty(), W, f'mode {mode}')
            t.ctl.close()
            t.remove()


@case
def g01_later_action_fails():
    """This test will freeze, then do what is refused: the second freeze of a
    bitmap, a clear of a frozen one, a bitmap that is not there."""
    for action, error in ((('freeze', 'b'), 'EBUSY'),
                          (('clear', 'b'), 'EBUSY'),
                          (('disable', 'gone'), 'ENOENT'),
                          (('abdicate', 'c'), 'ENODATA'),
                          (('add', 'c'), 'EEXIST')):
        undone(prepared(), 1, error, ('freeze', 'b', {'mode': abi.ALWAYS}),
               action)


@case
def g02_enable_of_a_missing_bitmap():
    """This test will enable what is not there, alone and behind others."""
    undone(prepared(), 0, 'ENOENT', ('enable', 'gone'))
    undone(prepared(), 2, 'ENOENT', ('disable', 'b'), ('enable', 'c'),
           ('enable', 'gone'))


@case
def g03_enable_of_a_busy_bitmap():
    """This test will enable a frozen bitmap that records: refused, and its
    successor goes on recording."""
    t = prepared()
    run_id = t.freeze()
    undone(t, 0, 'EBUSY', ('enable', 'b'))
    t.reclaim(run=run_id)
    same(t.dirty(), W | {56}, 'b')
    same(t.info().flags, abi.RECORDING, 'flags')


def _rotated():
    """G04's first half: b {0} is disabled, b1 records and has {16}."""
    t = tracked()
    t.fill(0)
    transact(t, ('disable', 'b'), ('add', 'b1'))
    t.fill(M)
    same((t.dirty(), t.info().flags), ({0}, 0), 'b')
    same((t.dirty('b1'), t.info('b1').flags), ({16}, abi.RECORDING), 'b1')
    return t


@case
def g04_rotation_that_failed():
    """This test will rotate b to b1, and back: nothing is missed."""
    t = _rotated()
    generation = t.info().generation
    transact(t, ('merge', 'b', {'sources': [(t.dev, 'b1')]}), ('remove', 'b1'),
             ('enable', 'b'))
    t.fill(3 * M)
    same(t.dirty(), {0, 16, 48}, 'b')
    same([i.name for i in t.ctl.infos(t.dev)], [b'b'], 'bitmaps')
    same((t.info().flags, t.info().generation), (abi.RECORDING, generation),
         'b')


@case
def g04_rotation_back_that_fails():
    """This test will undo the way back at each of its actions."""
    t = _rotated()
    back = [('merge', 'b', {'sources': [(t.dev, 'b1')]}), ('remove', 'b1'),
            ('enable', 'b')]
    for nr in range(4):
        before = t.state()
        with fails('ECANCELED'):
            t.ctl.transaction(*((word, t.dev, *rest)
                                for word, *rest in back[:nr]), ABORT)
        same(t.state(), before, f'after {nr} actions and abort')
    t.fill(3 * M)
    same((t.dirty(), t.dirty('b1')), ({0}, {16, 48}), 'b and b1')


@case
def g05_rotation_that_succeeded():
    """This test will rotate and drop the old bitmap."""
    t = _rotated()
    transact(t, ('remove', 'b'))
    t.fill(3 * M)
    same([i.name for i in t.ctl.infos(t.dev)], [b'b1'], 'bitmaps')
    same(t.dirty('b1'), {16, 48}, 'b1')


@case
def g05_chain_of_disabled_bitmaps():
    """This test will rotate three times and unite what came after a point:
    an incremental from any of them."""
    t = tracked(bitmaps={'b0': 64 * K})
    for i in range(3):
        t.fill(i * M)
        transact(t, ('disable', f'b{i}'), ('add', f'b{i + 1}'))
    t.fill(3 * M)
    for first, expected in enumerate(('0 16 32 48', '16 32 48', '32 48',
                                      '48')):
        transact(t, ('add', 'sum', {'flags': abi.ADD_DISABLED}),
                 ('merge', 'sum', {'sources': [(t.dev, f'b{i}') for i in
                                               range(first, 4)]}))
        same((t.dirty('sum'), t.info('sum').flags), (bits(expected), 0),
             f'since b{first}')
        t.ctl.remove(t.dev, 'sum')


@case
def g06_composite_undone():
    """This test will move b's content to c and back, clear both, and abort."""
    t = prepared()
    move = (('enable', 'c'), ('merge', 'c', {'sources': [(t.dev, 'b')]}),
            ('clear', 'b'), ('merge', 'b', {'sources': [(t.dev, 'c')]}),
            ('clear', 'c'))
    before = t.state()
    with fails('ECANCELED'):
        t.ctl.transaction(*((word, t.dev, *rest) for word, *rest in move),
                          ABORT)
    same(t.state(), before, 'state')
    transact(t, *move)
    same((t.dirty(), t.dirty('c')), (W | {5}, set()), 'without the abort')


@case
def g07_remove_and_add():
    """This test will remove and add one name at once, and remove it twice:
    refused, and b is as it was."""
    undone(prepared(), 1, 'EEXIST', ('remove', 'b'), ('add', 'b'))
    undone(prepared(), 1, 'EBUSY', ('remove', 'b'), ('remove', 'b'))


@case
def g08_later_actions_see_earlier_ones():
    """This test will add a bitmap, merge into it and freeze it at once; then
    end that freeze and begin another at once."""
    t = prepared()
    done = transact(t, ('add', 'n', {'granularity': 64 * K}),
                    ('merge', 'n', {'sources': [(t.dev, 'b'), (t.dev, 'c')]}),
                    ('freeze', 'n'))
    same((t.dirty('n'), done[2].generation), (W | {5}, 1), 'n')
    t.fill(0)
    done = transact(t, ('abdicate', 'n', {'run': done[2].run}),
                    ('freeze', 'n', {'mode': abi.NEVER}))
    same((done[0].generation, done[1].generation), (2, 2), 'generations')
    same((t.dirty('n'), t.successor('n')), ({0}, set()), 'n')
    t.reclaim('n', done[1].run)
    same(t.dirty('n'), {0}, 'n after')


@case
def g09_no_action():
    """This test will do nothing at all."""
    t = prepared()
    before = t.state()
    same(len(transact(t)), 0, 'actions')
    same(t.state(), before, 'state')


@case
def g10_two_devices_or_none():
    """This test will rotate on two devices at once: both, or neither."""
    t, e = tracked(), tracked()
    t.fill(0)
    e.fill(M)
    rotate = [(word, dev, name) for dev in (t.dev, e.dev)
              for word, name in (('disable', 'b'), ('add', 'b1'))]
    before = t.state(), e.state()
    for last, error in (ABORT, 'ECANCELED'), (('clear', e.dev, 'gone'),
                                              'ENOENT'):
        with fails(error):
            t.ctl.transaction(*rotate, last)
        same((t.state(), e.state()), before, 'state')
    t.ctl.transaction(*rotate)
    for device in t, e:
        device.fill(2 * M)
        same(device.dirty('b1'), {32}, 'b1')
    same((t.dirty(), e.dirty()), ({0}, {16}), 'b')


@case
def g11_write_in_flight_at_a_rotation():
    """This test will rotate while a write is in flight: it is in the old bitmap
    and, when it completes, in the new one; and when the rotation is undone."""
    delay, t = delayed()
    writer = start_write(t, M)
    with fails('ECANCELED'):
        t.ctl.transaction(('disable', t.dev, 'b'), ('add', t.dev, 'b1'), ABORT)
    same(t.dirty(), {16}, 'b after the abort')
    transact(t, ('disable', 'b'), ('add', 'b1'))
    second = start_write(t, 2 * M)
    same((t.dirty(), t.dirty('b1')), ({16}, {32}), 'while they are in flight')
    delay.release()
    same((wait(writer), wait(second)), (0, 0), 'writers')
    same((t.dirty(), t.dirty('b1')), ({16}, {16, 32}), 'completed')
