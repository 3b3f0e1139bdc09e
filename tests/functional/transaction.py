# SPDX-License-Identifier: GPL-2.0-or-later
"""What 'dtrack transaction' leaves: bitmaps, targets, manifests and words."""
import contextlib
import glob
import json
import os
import signal
import subprocess

import abi
import dm
from kit import *
from runs import PRELOAD, Holed

TARGETS = '/tmp/target0', '/tmp/target1'
DOCUMENT = '/tmp/transaction.json'
BITMAP = 'block-dirty-bitmap-'
BUSY = "Bitmap 'b' is currently in use by another operation and cannot be used"


def _remove_files():
    for path in TARGETS + (DOCUMENT,):
        for name in path, path + '.dtrack':
            if os.path.exists(name):
                os.unlink(name)


def action(word, t=None, **data):
    """An action on t; underscores of keys stand for hyphens."""
    if t is not None:
        data = {'device' if word == 'backup' else 'node': t.name, **data}
    return {'type': {'backup': 'blockdev-backup', 'abort': 'abort'}.get(
        word, BITMAP + word),
        'data': {k.replace('_', '-'): v for k, v in data.items()}}


def on(word, t, name='b', **data):
    return action(word, t, name=name, **data)


def backup(t, target, mode='on-success', sync='bitmap', bitmap='b', **data):
    return action('backup', t, target=target, sync=sync, bitmap=bitmap,
                  bitmap_mode=mode, **data)


def _document(actions, mode):
    doc = {'actions': list(actions)}
    if mode:
        doc['properties'] = {'completion-mode': mode}
    return json.dumps(doc)


def transaction(*actions, mode=None, status=0):
    """The answer of a transaction that must exit with status."""
    done = run('dtrack', 'transaction', '-', '--json', status=status,
               input=_document(actions, mode))
    answer = json.loads(done.stdout)
    same(len(done.stderr.splitlines()) > 0, status != 0, 'lines on stderr')
    return answer


def refused(index, why, *actions, mode=None, devices=()):
    """The transaction fails at this action, in these words, and every bitmap
    of the devices, every target and manifest is as it was."""
    before = [t.state() for t in devices], _files()
    answer = transaction(*actions, mode=mode, status=1)
    word = actions[index]['type']
    same(answer['error']['message'], f'action {index} ({word}): {why}')
    same([a['status'] for a in answer['actions']],
         ['failed' if i == index else 'cancelled'
          for i in range(len(actions))], 'statuses')
    same(([t.state() for t in devices], _files()), before, f'after {why!r}')


def _files():
    """What is in the targets and their manifests."""
    found = {}
    for path in TARGETS:
        for name in path, path + '.dtrack':
            if os.path.exists(name):
                with open(name, 'rb') as file:
                    found[name] = file.read()
    return found


def _read(path, offset, length):
    with open(path, 'rb') as file:
        file.seek(offset)
        return file.read(length)


def _equal(t, path):
    return dm.read(t.path, 0, t.size) == _read(path, 0, t.size)


def _pair(write=True):
    """Two times F, each with a full backup, then W; both lower devices can be
    made to fail at 2M."""
    _remove_files()
    dm.cleanup.callback(_remove_files)
    lowers = [Holed(Loop(4 * M, byte=0x11)) for _ in range(2)]
    ts = [Tracked(lower, bitmaps={'b': 64 * K}) for lower in lowers]
    for t, target in zip(ts, TARGETS):
        run('dtrack', 'backup', t.name, '--target', target, '--sync', 'full',
            '--bitmap', 'b', '--bitmap-mode', 'on-success')
        if write:
            write_w(t)
    return lowers, ts


def _backups(ts, mode, **data):
    return [backup(t, target, mode, **data) for t, target in zip(ts, TARGETS)]


def _catch_up(ts):
    """A next run onto the same targets makes them right, without a full one."""
    answer = transaction(*_backups(ts, 'always'))
    same(answer['status'], 'completed')
    for t, target in zip(ts, TARGETS):
        same(t.dirty(), set(), 'bitmap after the next run')
        same(t.info().flags, abi.RECORDING, 'flags after the next run')
        true(_equal(t, target), 'target after the next run')


class Running:
    """A transaction whose second backup waits at 2M, or the one that is
    'stops', and whose other ones have copied everything."""

    def __init__(self, lowers, actions, mode, stops=1):
        lowers[stops].breaks()
        with open(DOCUMENT, 'w') as file:
            file.write(_document(actions, mode))
        self.process = subprocess.Popen(
            ['dtrack', 'transaction', DOCUMENT, '--json'], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        true('SIGUSR1' in line and f'action {stops} (blockdev-backup)' in line,
             f'no run stopped: {line!r}')
        # threads that have copied all are gone
        wait_for(lambda: len(self.threads()) == 2, 'the other runs')
        lowers[stops].mend()

    def threads(self):
        """Without those that the kernel does io_uring's work with."""
        found = []
        for path in glob.glob(f'/proc/{self.process.pid}/task/*/comm'):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                    open(path) as file:
                found.append(file.read())
        return [comm for comm in found if not comm.startswith('iou-')]

    def signal(self, number, status):
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=150)
        same(self.process.returncode, status, 'exit status')
        return json.loads(out)


def _statuses(answer):
    return [a['status'] for a in answer['actions']]


# ---- The table of SEMANTICS §4.2 ----

@case
def transaction_individual_both_ok():
    """This test will complete both runs, by mode."""
    for mode, left in ('on-success', set()), ('never', W), ('always', set()):
        _, ts = _pair()
        answer = transaction(*_backups(ts, mode))
        same((answer['status'], answer['completion-mode'], _statuses(answer)),
             ('completed', 'individual', ['completed'] * 2), mode)
        for t, target, a in zip(ts, TARGETS, answer['actions']):
            same(t.dirty(), left, mode)
            same(t.info().generation, 2 + (mode != 'never'), mode)
            true(_equal(t, target), f'{mode}: target')
            same((a['bytes-total'], a['bytes-copied']), (6 * 64 * K,) * 2)
            same(a['bitmap']['count'], len(left) * 64 * K)


@case
def transaction_individual_one_fails():
    """This test will let the second run fail at 2M: the first completes."""
    for mode, left in (('on-success', (set(), W)), ('never', (W, W)),
                       ('always', (set(), bits('32-33 48-49')))):
        lowers, ts = _pair()
        lowers[1].breaks()
        answer = transaction(*_backups(ts, mode), status=1)
        same((answer['status'], _statuses(answer)),
             ('failed', ['completed', 'failed']), mode)
        true('Input/output error' in answer['actions'][1]['error']['message'],
             answer)
        same(answer['error']['message'], 'action 1 (blockdev-backup): ' +
             answer['actions'][1]['error']['message'])
        same(tuple(t.dirty() for t in ts), left, mode)
        same(answer['actions'][1]['bytes-copied'], 2 * 64 * K, mode)
        same(_read(TARGETS[1], 2 * M, 64 * K), b'\x11' * 64 * K, 'at 2M')
        lowers[1].mend()
        _catch_up(ts)


@case
def transaction_individual_cancelled():
    """This test will cancel the first run when the second has completed."""
    lowers, ts = _pair()
    r = Running(lowers, _backups(ts, 'on-success', on_source_error='stop'),
                'individual', stops=0)
    wait_for(lambda: ts[1].info().flags == abi.RECORDING, 'the second to end')
    answer = r.signal(signal.SIGINT, 1)
    same((answer['status'], _statuses(answer)),
         ('cancelled', ['cancelled', 'completed']))
    same([t.dirty() for t in ts], [W, set()])
    true(_equal(ts[1], TARGETS[1]), 'target')
    _catch_up(ts)


@case
def transaction_grouped_both_ok():
    """This test will complete both runs; none does before both have copied."""
    for mode, left in ('on-success', set()), ('never', W), ('always', set()):
        lowers, ts = _pair()
        r = Running(lowers, _backups(ts, mode, on_source_error='stop'),
                    'grouped')
        same([t.info().flags for t in ts],
             [abi.RECORDING | abi.BUSY | abi.OWNED] * 2, f'{mode}: flags')
        same(json.loads(_files()[TARGETS[0] + '.dtrack'])['state'],
             'incomplete', f'{mode}: manifest of one that waits')
        answer = r.signal(signal.SIGUSR1, 0)
        same((answer['status'], answer['completion-mode'], _statuses(answer)),
             ('completed', 'grouped', ['completed'] * 2), mode)
        for t, target in zip(ts, TARGETS):
            same(t.dirty(), left, mode)
            true(_equal(t, target), f'{mode}: target')


@case
def transaction_grouped_one_fails():
    """This test will let the second run fail at 2M: the first is cancelled."""
    for mode in 'on-success', 'never', 'always':
        lowers, ts = _pair()
        lowers[1].breaks()
        answer = transaction(*_backups(ts, mode), mode='grouped', status=1)
        same((answer['status'], _statuses(answer)),
             ('failed', ['cancelled', 'failed']), mode)
        true(answer['actions'][0]['error']['message'].startswith(
            'Operation canceled'), answer)
        # ascending, so what is left is the end of the set
        left = [set(sorted(W)[a['bytes-copied'] // (64 * K):])
                if mode == 'always' else W for a in answer['actions']]
        same([t.dirty() for t in ts], left, mode)
        same(answer['actions'][1]['bytes-copied'], 2 * 64 * K, mode)
        lowers[1].mend()
        _catch_up(ts)


@case
def transaction_grouped_cancelled():
    """This test will cancel a group of which one has copied everything and
    waits, after a write: modes on-success, never and always."""
    for mode in 'on-success', 'never', 'always':
        lowers, ts = _pair()
        r = Running(lowers, _backups(ts, mode, on_source_error='stop'),
                    'grouped')
        ts[0].fill(512 * K, 64 * K, 9)
        answer = r.signal(signal.SIGTERM, 1)
        same((answer['status'], _statuses(answer)),
             ('cancelled', ['cancelled'] * 2), mode)
        same([a['bytes-copied'] // (64 * K) for a in answer['actions']],
             [6, 2], mode)
        same([t.dirty() for t in ts],
             [{8}, bits('32-33 48-49')] if mode == 'always' else [W | {8}, W],
             mode)
        same('must be kept' in answer['actions'][0]['error']['message'],
             mode == 'always', f'{mode}: words')
        _catch_up(ts)


@case
def transaction_grouped_with_empty_bitmap():
    """This test will fail the peer of a run that has nothing to copy."""
    lowers, ts = _pair()
    ts[0].ctl.clear(ts[0].dev, 'b')
    run('dtrack', 'backup', ts[0].name, '--target', TARGETS[0], '--sync',
        'full', '--bitmap', 'b', '--bitmap-mode', 'on-success')
    lowers[1].breaks()
    answer = transaction(*_backups(ts, 'on-success'), mode='grouped', status=1)
    same(_statuses(answer), ['cancelled', 'failed'])
    same([t.dirty() for t in ts], [set(), W])


@case
def transaction_freeze_taken_away():
    """This test will reclaim a freeze by force while its run waits for its
    group: nothing is ended, nothing stays frozen."""
    lowers, ts = _pair()
    r = Running(lowers, _backups(ts, 'on-success', on_source_error='stop'),
                'grouped')
    run('dtrack', 'bitmap', 'reclaim', ts[0].name, 'b', '--force')
    answer = r.signal(signal.SIGUSR1, 1)
    same(_statuses(answer), ['failed', 'cancelled'])
    same(answer['actions'][0]['error'], {
        'class': 'Stale',
        'message': "The freeze of bitmap 'b' was taken away"})
    same([t.dirty() for t in ts], [W, W])
    same([t.info().flags for t in ts], [abi.RECORDING] * 2)
    _catch_up(ts)


# ---- Rolled back ----

@case
def transaction_rollback_of_backups():
    """This test will abort a transaction with a backup (G01): also in mode
    always the bitmap is as it was, and so are target and manifest."""
    _, ts = _pair()
    for mode in 'on-success', 'never', 'always':
        refused(1, 'Transaction aborted using Abort action',
                backup(ts[0], TARGETS[0], mode), action('abort'), devices=ts)
        refused(1, "Dirty bitmap 'x' not found",
                backup(ts[0], TARGETS[0], mode), on('clear', ts[1], 'x'),
                devices=ts)
        refused(1, BUSY, backup(ts[0], TARGETS[0], mode), on('clear', ts[0]),
                devices=ts)
        refused(1, BUSY, backup(ts[0], TARGETS[0], mode),
                backup(ts[0], TARGETS[1], mode), devices=ts)
    same(ts[0].dirty(), W)


@case
def transaction_rollback_of_enable():
    """This test will fail transactions at an enable: of a missing bitmap
    (G02), of a busy one that records (G03)."""
    _, ts = _pair()
    t = ts[0]
    t.ctl.disable(t.dev, 'b')
    refused(1, "Dirty bitmap 'x' not found", on('enable', t),
            on('enable', t, 'x'), devices=ts)
    t.ctl.enable(t.dev, 'b')
    t.freeze(flags=abi.FREEZE_NO_OWNER)
    refused(0, BUSY, on('enable', t), devices=ts)
    t.fill(640 * K)
    same(t.successor(), {10}, 'it records')
    t.reclaim()
    same(t.info().flags, abi.RECORDING, 'flags')
    same(t.dirty(), W | {10})


@case
def transaction_rollback_of_many():
    """This test will abort a long chain of actions on two bitmaps."""
    _, ts = _pair()
    t = ts[0]
    t.ctl.add(t.dev, 'c', 64 * K, abi.ADD_DISABLED)
    refused(5, 'Transaction aborted using Abort action', on('enable', t, 'c'),
            action('merge', t, target='c', bitmaps=['b']), on('clear', t),
            action('merge', t, target='b', bitmaps=[
                'c', {'node': ts[1].name, 'name': 'b'}]),
            on('clear', t, 'c'), action('abort'), devices=ts)
    same((t.dirty(), t.dirty('c'), t.info('c').flags), (W, set(), 0))


@case
def transaction_names_are_free_only_afterwards():
    """This test will remove and add one name, and remove it twice."""
    _, ts = _pair()
    refused(1, 'Bitmap already exists: b', on('remove', ts[0]),
            on('add', ts[0]), devices=ts)
    refused(1, BUSY, on('remove', ts[0]), on('remove', ts[0]), devices=ts)
    refused(1, BUSY, on('remove', ts[0]), backup(ts[0], TARGETS[0]),
            devices=ts)


@case
def transaction_grouped_needs_backups():
    """This test will group what is no backup: refused before anything is
    done, also behind a backup."""
    _, ts = _pair()
    for word in 'add', 'clear', 'enable', 'disable', 'remove':
        refused(1, f"Action '{BITMAP}{word}' does not support transaction "
                'property completion-mode = grouped',
                backup(ts[0], TARGETS[0]), on(word, ts[1], 'x'),
                mode='grouped', devices=ts)


@case
def transaction_refuses_a_misfit():
    """This test will clear or disable a bitmap before an incremental onto a
    target that fitted: refused (I8), and nothing is cleared."""
    _, ts = _pair()
    for word in 'clear', 'disable':
        refused(1, f"Target '{TARGETS[0]}' fits generation 2 of bitmap 'b', "
                'which is at generation 3', on(word, ts[0]),
                backup(ts[0], TARGETS[0]), devices=ts)


# ---- Later actions see earlier ones ----

@case
def transaction_backup_of_a_new_bitmap():
    """This test will add c, merge b into it and copy by it at once."""
    _, ts = _pair()
    t = ts[0]
    os.unlink(TARGETS[1])
    answer = transaction(
        on('add', t, 'c'), action('merge', t, target='c', bitmaps=['b']),
        backup(t, TARGETS[1], bitmap='c', force=True))
    same(answer['actions'][2]['bytes-copied'], 6 * 64 * K, 'bytes')
    same((t.dirty(), t.dirty('c')), (W, set()))
    for granule in range(64):
        begin = granule * 64 * K
        same(_read(TARGETS[1], begin, 64 * K),
             dm.read(t.path, begin, 64 * K) if granule in W else
             bytes(64 * K), f'granule {granule}')
    t.ctl.add(t.dev, 'd', 64 * K)


@case
def transaction_anchor():
    """This test will clear b and copy everything at once: b ends with later
    writes only, and an incremental follows."""
    _, ts = _pair()
    t = ts[0]
    transaction(on('clear', t), backup(t, TARGETS[0], sync='full'))
    same(t.dirty(), set())
    true(_equal(t, TARGETS[0]), 'target')
    write_d(t)
    same(t.dirty(), D)
    _catch_up(ts)


@case
def transaction_two_bitmaps_of_one_device():
    """This test will copy one device by two bitmaps at the same time, grouped;
    two runs onto one target are refused."""
    _, ts = _pair()
    t = ts[0]
    t.ctl.add(t.dev, 'c', 4 * K)
    runs = [backup(t, TARGETS[0]), backup(t, TARGETS[1], bitmap='c',
                                          sync='full')]
    transaction(*runs, mode='grouped')
    same((t.dirty(), t.dirty('c')), (set(), set()))
    true(_equal(t, TARGETS[0]) and _equal(t, TARGETS[1]), 'targets')
    write_w(t)
    refused(1, f"Target '{TARGETS[0]}' is used by another run", runs[0],
            backup(t, TARGETS[0], bitmap='c', sync='full'), devices=ts)


@case
def transaction_rotation():
    """This test will rotate a checkpoint: disable the old bitmap, add a new
    one; and take it back (G04), or drop the old (G05)."""
    for good in True, False:
        t = tracked()
        t.fill(0)
        transaction(on('disable', t), on('add', t, 'b1'))
        t.fill(M)
        same((t.dirty(), t.info().flags, t.dirty('b1')), ({0}, 0, {16}))
        if good:
            transaction(on('remove', t))
            same((t.dirty('b1'), t.info('b1').flags), ({16}, abi.RECORDING))
            same(len(t.ctl.infos(t.dev)), 1, 'bitmaps')
        else:
            transaction(action('merge', t, target='b', bitmaps=['b1']),
                        on('remove', t, 'b1'), on('enable', t))
            t.fill(3 * M)
            same((t.dirty(), t.info().flags),
                 (bits('0 16 48'), abi.RECORDING))


@case
def transaction_writes_during_a_group():
    """This test will write D during a group that completes: D is dirty
    afterwards, as the mode says."""
    for mode, left in ('on-success', D), ('never', W | D), ('always', D):
        lowers, ts = _pair()
        r = Running(lowers, _backups(ts, mode, on_source_error='stop'),
                    'grouped')
        for t in ts:
            write_d(t)
        r.signal(signal.SIGUSR1, 0)
        same([t.dirty() for t in ts], [left] * 2, mode)
        _catch_up(ts)


# ---- kill -9 ----

def _kill_everywhere(mode, completion):
    lowers, ts = _pair()
    at = 0
    while True:
        at += 1
        for when in ('after',) if QEMU else ('before', 'after'):
            with open(DOCUMENT, 'w') as file:
                file.write(_document(_backups(ts, mode), completion))
            env = dict(os.environ, LD_PRELOAD=PRELOAD, DTR_KILL_AT=str(at),
                       DTR_KILL_WHEN=when)
            done = subprocess.run(['dtrack', 'transaction', DOCUMENT], env=env,
                                  capture_output=True, check=False)
            what = f'{mode} {completion}, killed {when} {at}'
            if not done.returncode:
                true(at > 10, f'only {at} ioctls')
                return
            same(done.returncode, -signal.SIGKILL, what)
            same([t.info().flags for t in ts], [abi.RECORDING] * 2,
                 f'{what}: flags')
            dirty = [t.dirty() for t in ts]
            true(all(d <= W for d in dirty), f'{what}: {dirty}')
            if mode != 'always' and completion == 'grouped':
                true(dirty in ([W, W], [set(), set()]),
                     f'{what}: half a group: {dirty}')
            _catch_up(ts)
            for t in ts:
                write_w(t, at & 0xff)


@case(limit=300)
def transaction_killed_grouped():
    """This test will kill a group before and after each of its ioctls: all of
    it has ended, or nothing; the next runs need no full copy."""
    for mode in ('on-success', 'always') if KERNEL == 'uml' else ('on-success',):
        _kill_everywhere(mode, 'grouped')


@case(limit=300, kernels=('uml',))
def transaction_killed_individual():
    """This test will do so to runs that end one by one."""
    _kill_everywhere('always', 'individual')
