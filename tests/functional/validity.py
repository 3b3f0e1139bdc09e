# SPDX-License-Identifier: GPL-2.0-or-later
"""What is allowed, and the words where it is not: SEMANTICS §5.1 and §1.3 by
the command, bitmaps that are merged (M01-M10), freezes without a run."""
import os

import abi
import dm
from kit import *
from runs import *

BUSY = "Bitmap 'b' is currently in use by another operation and cannot be used"
READONLY = "Bitmap 'b' is readonly and cannot be modified"

# ---- §5.1: what a run may be asked for ----

NAME_MISSING = "must provide a valid bitmap name for '%s' sync mode"
MODE_MISSING = 'Bitmap sync mode must be given when providing a bitmap'
MODE_ALONE = 'Cannot specify bitmap sync mode without a bitmap'
MODE_CONFLICT = "Bitmap sync mode must be 'on-success' when using sync mode " \
                "'incremental'"
NEVER_FULL = "Bitmap sync mode 'never' has no meaningful effect when " \
             "combined with sync mode '%s'"
NONE_OUTPUT = "sync mode 'none' does not produce meaningful bitmap outputs"
NO_IMAGES = 'sync mode none needs images'
OK = None

# By sync mode: no bitmap, no bitmap but a mode, a bitmap without mode,
# on-success, never, always.
VALIDITY = {
    'full': (OK, MODE_ALONE, MODE_MISSING, OK, NEVER_FULL % 'full', OK),
    'top': (OK, MODE_ALONE, MODE_MISSING, OK, NEVER_FULL % 'top', OK),
    'bitmap': (NAME_MISSING % 'bitmap', NAME_MISSING % 'bitmap', MODE_MISSING,
               OK, OK, OK),
    'incremental': (NAME_MISSING % 'incremental', NAME_MISSING % 'incremental',
                    OK, OK, MODE_CONFLICT, MODE_CONFLICT),
    'none': (NO_IMAGES, MODE_ALONE, MODE_MISSING, NONE_OUTPUT, NONE_OUTPUT,
             NONE_OUTPUT),
}
COLUMNS = ((None, None), (None, 'on-success'), ('b', None),
           ('b', 'on-success'), ('b', 'never'), ('b', 'always'))


def row(sync):
    """One row of the table. What is wrong is told before the target is looked
    at, which would be refused, too."""
    t = tracked(bitmaps={'b': 64 * K})
    write_w(t)
    with open(TARGET, 'wb') as file:
        file.truncate(M)
    dm.cleanup.callback(remove_target)
    for (bitmap, mode), text in zip(COLUMNS, VALIDITY[sync]):
        line = words(t, sync, mode, bitmap)
        if text == OK:
            refused(t, line, 'Source and target image have different sizes '
                    '(4194304 and 1048576 bytes)', 'GenericError')
        elif text == NO_IMAGES:
            refused(t, line, text, 'GenericError')
        else:
            refused(t, line, text, 'Usage', 2)
    # a name that is not there is told before the mode is looked at
    for mode in None, 'on-success', 'never', 'always':
        line = words(t, sync, mode, 'gone')
        if sync == 'incremental' and mode in ('never', 'always'):
            refused(t, line, MODE_CONFLICT, 'Usage', 2)
        else:
            refused(t, line, "Bitmap 'gone' could not be found",
                    'BitmapNotFound')
    same(os.path.exists(TARGET + '.dtrack'), False, 'a manifest')
    same(read_file(TARGET), bytes(M), 'the target')


for _sync in VALIDITY:
    def _row(sync=_sync):
        row(sync)
    _row.__doc__ = f"This test will walk the row '{_sync}' of SEMANTICS §5.1."
    case(_row, called=f'v-{_sync}')


@case
def v_busy_comes_before_other_faults():
    """This test will ask for runs with a busy bitmap that are wrong in another
    way, too: QEMU's order."""
    t = tracked()
    t.freeze()
    for sync, mode, text, kind in (
            ('none', 'always', BUSY, 'Busy'), ('full', 'never', BUSY, 'Busy'),
            ('full', None, MODE_MISSING, 'Usage'),
            ('incremental', 'never', MODE_CONFLICT, 'Usage')):
        refused(t, words(t, sync, mode), text, kind,
                2 if kind == 'Usage' else 1)


@case
def v_wrong_usage():
    """This test will ask for what no run understands: exit 2, nothing done."""
    t = tracked()
    for more, text in (
            (['--sync', 'bitmaps'],
             "--sync: 'bitmaps' is none of full, top, incremental, bitmap, "
             'none'),
            (['--bitmap', 'b'], '--sync must be given with --bitmap'),
            (['--sync', 'full', '--bitmap', 'b', '--bitmap-mode', 'maybe'],
             "--bitmap-mode: 'maybe' is none of conditional, on-success, "
             'never, always'),
            (['--consistency', 'image'], 'images are not supported yet')):
        refused(t, ['dtrack', 'backup', t.name, '--target', TARGET, *more],
                text, None, 1 if 'images' in text else 2)
    refused(t, ['dtrack', 'backup', t.name], '--target must be given', 'Usage',
            2)
    true(not os.path.exists(TARGET), 'a target was made')


# ---- §1.3: the states, by the command ----

CHANGES = ('enable b', 'disable b', 'clear b', 'remove b', 'merge x b',
           'merge b x', 'freeze b')
# What a read-only device refuses.
CONTENT = ('clear b', 'remove b', 'merge b x', 'freeze b')


def verb(t, line):
    word, *args = line.split()
    return ['dtrack', 'bitmap', word, t.name, *args]


def with_x():
    t = tracked(bitmaps={'b': 64 * K, 'x': 64 * K})
    t.fill(0)
    return t


@case
def state_frozen_by_a_run():
    """This test will try all verbs that change a bitmap while a run has it:
    each is refused in QEMU's words; looking shows whose it is (state F)."""
    s = scene()
    s.t.ctl.add(s.t.dev, 'x', 64 * K)
    job = s.held('bitmap', 'on-success', '--force', at='TRANSACTION')
    for line in *CHANGES, 'abdicate b', 'reclaim b':
        refused(s.t, verb(s.t, line), BUSY, 'Busy')
    refused(s.t, verb(s.t, 'add b'), 'Bitmap already exists: b', 'Exists')
    s.write_d()
    shown, = cli('bitmap', 'show', s.t.name, 'b')
    same((shown['busy'], shown['recording'], shown['count'],
          shown['successor-count'], shown['owner']['pid'],
          shown['owner']['comm']),
         (True, True, 393216, 131072, job.process.pid, 'dtrack'), 'show')
    same(granules((e['start'], e['length']) for e in
                  cli('bitmap', 'extents', s.t.name, 'b')), W, 'extents')
    s.completed(job.go_on(), 393216, D, 1)


@case
def state_frozen_without_owner():
    """This test will do so while a script has it frozen: nobody owns it, and
    anybody may end it."""
    t = with_x()
    cli('bitmap', 'freeze', t.name, 'b')
    for line in CHANGES:
        refused(t, verb(t, line), BUSY, 'Busy')
    for sync, mode in ('bitmap', 'never'), ('incremental', None):
        refused(t, words(t, sync, mode), BUSY, 'Busy')
    shown, = cli('bitmap', 'show', t.name, 'b')
    same((shown['busy'], shown['owner']), (True, None), 'show')
    cli('bitmap', 'abdicate', t.name, 'b')
    same(t.dirty(), set(), 'after abdicate')


@case
def state_not_frozen():
    """This test will end a freeze that is not there, of a bitmap that records
    and of one that does not."""
    t = with_x()
    for _ in range(2):
        refused(t, verb(t, 'abdicate b'), 'Cannot relinquish control if '
                "there's no successor present")
        refused(t, verb(t, 'reclaim b'),
                'Cannot reclaim a successor when none is present')
        refused(t, verb(t, 'reclaim b') + ['--force'],
                'Cannot reclaim a successor when none is present')
        cli('bitmap', 'disable', t.name, 'b')


@case
def state_idle():
    """This test will do everything that is allowed to a bitmap that records
    and to one that does not (states A and D)."""
    t = with_x()
    for flags in abi.RECORDING, 0:
        for line, left in (('merge b x', {0}), ('freeze b', {0}),
                           ('reclaim b', {0}), ('freeze b', {0}),
                           ('abdicate b', set()), ('merge b x', {0}),
                           ('merge x b', {0}), ('clear b', set())):
            run(*verb(t, line))
            same(t.dirty(), left, line)
            same(t.info().flags & ~(abi.BUSY | abi.MISSING), flags, line)
        for _ in range(2):
            cli('bitmap', 'disable', t.name, 'b')
        # the second time there has been a run meanwhile
        same(t.info().flags, 0 if flags else abi.MISSING, 'flags')
    for _ in range(2):
        cli('bitmap', 'enable', t.name, 'b')
    same(t.info().flags, abi.RECORDING, 'flags')
    cli('bitmap', 'remove', t.name, 'b')
    for line in 'remove b', 'clear b', 'merge x b', 'freeze b', 'show b':
        refused(t, verb(t, line), "Dirty bitmap 'b' not found",
                'BitmapNotFound')


@case
def state_readonly():
    """This test will load a table read-only: what would change content is
    refused, a differential is not (state R)."""
    s = scene()
    t = s.t
    t.ctl.add(t.dev, 'x', 64 * K)
    t.reload('dirtytrack', t.line(), flags=dm.SKIP_LOCKFS | dm.READONLY)
    for line in CONTENT:
        refused(t, verb(t, line), READONLY, 'ReadOnly')
    for sync, mode in (('bitmap', 'on-success'), ('bitmap', 'always'),
                       ('incremental', None), ('full', 'on-success'),
                       ('full', 'always')):
        refused(t, words(t, sync, mode), READONLY, 'ReadOnly')
    flags = abi.RECORDING | abi.READONLY
    answer = s.backup('bitmap', 'never', '--force')
    s.completed(answer, 393216, W, 0, flags=flags)
    s.target_has(W)
    answer = backup(t, 'full', bitmap=None)
    same(answer['bytes-copied'], 4 * M, 'without a bitmap')
    s.target_is_device()
    for line in 'disable b', 'merge x b', 'enable b':
        if line == 'merge x b':
            refused(t, verb(t, line), "Bitmap 'x' is readonly and cannot be "
                    'modified', 'ReadOnly')
        else:
            run(*verb(t, line))
    same(t.dirty(), W, 'b')


# ---- Freezes of scripts ----

def _script_cycle(freeze, end, left, step):
    t = tracked()
    write_w(t)
    generation = t.info().generation
    freeze(t)
    write_d(t)
    same((t.dirty(), t.successor()), (W, D), 'frozen')
    same(t.info().flags, abi.RECORDING | abi.BUSY, 'flags')
    end(t)
    same((t.dirty(), t.info().generation - generation), (left, step), 'after')
    same(t.info().flags, abi.RECORDING, 'flags after')


def _by(how, word):
    if how == 'command':
        return lambda t: run('dtrack', 'bitmap', word, t.name, 'b')
    return lambda t: t.message(f'bitmap-{word} b')


@case
def freeze_cycles_of_scripts():
    """This test will freeze and end by the command and by message, each way
    round."""
    for how, other in (('command', 'command'), ('message', 'message'),
                       ('command', 'message'), ('message', 'command')):
        _script_cycle(_by(how, 'freeze'), _by(other, 'abdicate'), D, 1)
        _script_cycle(_by(how, 'freeze'), _by(other, 'reclaim'), W | D, 0)


# ---- M01-M10: merge ----

def _disabled(t, **grains):
    for name, granularity in grains.items():
        t.ctl.add(t.dev, name, granularity, abi.ADD_DISABLED)


def _fine():
    """M01's source: 4K {1,255-256}."""
    t = tracked(bitmaps={'fine': 4 * K})
    t.fill(4 * K, 4 * K)
    t.fill(M - 4 * K, 8 * K)
    t.ctl.disable(t.dev, 'fine')
    _disabled(t, mid=64 * K, coarse=M, back=4 * K)
    return t


def _merged(t, target, *sources):
    run('dtrack', 'bitmap', 'merge', t.name, target, *sources)
    return t.dirty(target, t.info(target).granularity)


@case
def m01_fine_into_coarse():
    """This test will merge 4K {1,255-256} into 64K and 1M: outward."""
    t = _fine()
    same(_merged(t, 'mid', 'fine'), bits('0 15-16'), '64K')
    same(_merged(t, 'coarse', 'fine'), bits('0-1'), '1M')
    same(t.dirty('fine', 4 * K), bits('1 255-256'), 'the source')


@case
def m02_coarse_into_fine():
    """This test will merge 1M {0-1} into 4K: all that the granules cover."""
    t = _fine()
    _merged(t, 'coarse', 'fine')
    same(_merged(t, 'back', 'coarse'), bits('0-511'), '4K')


@case
def m03_back_into_its_source():
    """This test will merge 64K {0,15-16} into 4K {1,255-256}."""
    t = _fine()
    _merged(t, 'mid', 'fine')
    same(_merged(t, 'fine', 'mid'), bits('0-15 240-271'), '4K')


@case
def m03_chain_through_all():
    """This test will merge through a chain of granularities up and down, and
    several at once, on a device whose end is in no granule's."""
    t = tracked(2 * M + 512, bitmaps=())
    grains = {'g512': 512, 'g4k': 4 * K, 'g64k': 64 * K, 'g1m': M,
              'g2g': 2 * G, 'sum': 512}
    for name, granularity in grains.items():
        t.ctl.add(t.dev, name, granularity)
        t.ctl.disable(t.dev, name)
    t.ctl.enable(t.dev, 'g512')
    t.fill(M - 512, 512)
    t.fill(2 * M, 512)
    t.ctl.disable(t.dev, 'g512')
    same(_merged(t, 'g4k', 'g512'), {255, 512}, '4K')
    same(_merged(t, 'g64k', 'g4k'), {15, 32}, '64K')
    same(_merged(t, 'g1m', 'g64k'), {0, 2}, '1M')
    same(t.info('g1m').count, M + 512, 'count of 1M')
    same(_merged(t, 'g2g', 'g1m'), {0}, '2G')
    same(t.info('g2g').count, 2 * M + 512, 'count of 2G')
    same(_merged(t, 'sum', 'g512', 'g64k', 'g4k'),
         bits('1920-2047 4096'), 'three at once')
    same(_merged(t, 'sum', 'g2g'), bits('0-4096'), 'all')


@case
def m04_into_itself():
    """This test will merge a bitmap into itself, and its union with others."""
    t = _fine()
    same(_merged(t, 'fine', 'fine'), bits('1 255-256'), 'alone')
    _merged(t, 'mid', 'fine')
    same(_merged(t, 'fine', 'fine', 'mid'), bits('0-15 240-271'), 'and 64K')


@case
def m05_source_missing():
    """This test will merge a good source and one that is not there."""
    t = with_x()
    t.ctl.clear(t.dev, 'b')
    refused(t, verb(t, 'merge b x missing'),
            "Dirty bitmap 'missing' not found", 'BitmapNotFound')
    refused(t, verb(t, 'merge missing x'), "Dirty bitmap 'missing' not found",
            'BitmapNotFound')


@case
def m06_source_of_another_size():
    """This test will merge a good source and one of another size (M08's
    words)."""
    t, other = with_x(), tracked(8 * M)
    t.ctl.clear(t.dev, 'b')
    for sources in f'x {other.name}:b', f'{other.name}:b':
        refused(t, verb(t, f'merge b {sources}'),
                'Bitmaps are of different sizes (destination size is 4194304, '
                "source size is 8388608) and can't be merged")


@case
def m07_from_another_device():
    """This test will unite a bitmap of another device and a local one."""
    t, e = with_x(), tracked()
    e.fill(2 * M)
    t.ctl.clear(t.dev, 'b')
    same(_merged(t, 'b', f'{e.name}:b', 'x'), {0, 32}, 'b')
    same(e.dirty(), {32}, 'the source')


@case
def m09_no_source():
    """This test will merge nothing: nothing happens."""
    t = with_x()
    generation = t.info().generation
    same(_merged(t, 'b'), {0}, 'b')
    same(cli('bitmap', 'merge', t.name, 'b'), {}, 'document')
    same(t.info().generation, generation, 'generation')


@case
def m10_into_one_that_records():
    """This test will merge into a bitmap that records: it goes on."""
    t = with_x()
    t.ctl.clear(t.dev, 'b')
    same(_merged(t, 'b', 'x'), {0}, 'merged')
    t.fill(M)
    same(t.dirty(), {0, 16}, 'written since')
    same(t.info().flags, abi.RECORDING, 'flags')


@case
def m11_busy_source_or_target():
    """This test will merge from and into frozen bitmaps, here and on another
    device, with a good source before: nothing is merged."""
    t, e = with_x(), tracked()
    e.freeze()
    t.ctl.add(t.dev, 'y', 64 * K)
    refused(t, verb(t, f'merge y x {e.name}:b'), BUSY, 'Busy')
    t.freeze()
    for line in 'merge y x b', 'merge b x':
        refused(t, verb(t, line), BUSY, 'Busy')


@case
def m12_merged_then_copied():
    """This test will unite two bitmaps in a third, which does not record, and
    copy that: an incremental from the point where both began."""
    s = anchored(write=False)
    t = s.t
    _disabled(t, sum=64 * K)
    s.fill(0)
    t.ctl.add(t.dev, 'later', 64 * K)
    t.ctl.disable(t.dev, 'b')
    s.fill(M)
    s.fill(2 * M)
    _merged(t, 'sum', 'b', 'later')
    s.begun = bytes(s.now)
    answer = backup(t, 'bitmap', 'on-success', '--force', bitmap='sum')
    same((answer['bytes-copied'], answer['bitmap']['count'],
          answer['bitmap']['recording']), (3 * 64 * K, 0, False), 'answer')
    s.target_has({0, 16, 32})
    same((t.dirty(), t.dirty('later')), ({0}, {16, 32}), 'the sources')


# ---- The rest by the command ----

@case
def t09_gap_makes_targets_unfit():
    """This test will disable and enable a bitmap between two runs: its chain
    has a gap, and an incremental onto the target is refused."""
    s = anchored(write=False)
    cli('bitmap', 'disable', s.t.name, 'b')
    s.fill(0)
    cli('bitmap', 'enable', s.t.name, 'b')
    s.fill(64 * K)
    same(cli('bitmap', 'extents', s.t.name, 'b'),
         [{'start': 65536, 'length': 65536}], 'extents')
    refused(s.t, s.words('incremental'),
            f"Target '{TARGET}' fits generation 2 of bitmap 'b', which is at "
            'generation 3', 'Stale')


@case
def t10_shown():
    """This test will show three granularities after two writes: counts and
    extents as the command has them."""
    t = tracked(M + 512, bitmaps={'fine': 4 * K, 'b': 64 * K, 'coarse': M})
    t.fill(4 * K, 4 * K)
    t.fill(M - 4 * K, 4 * K + 512)
    for name, count, extents in (
            ('fine', 8704, [(4096, 4096), (M - 4096, 4608)]),
            ('b', 131584, [(0, 65536), (M - 65536, 66048)]),
            ('coarse', M + 512, [(0, M + 512)])):
        shown, = cli('bitmap', 'show', t.name, name)
        same((shown['count'], shown['size']), (count, M + 512), name)
        same(cli('bitmap', 'extents', t.name, name),
             [{'start': start, 'length': length} for start, length in extents],
             name)
    same([b['name'] for b in cli('bitmap', 'show', t.name)],
         ['fine', 'b', 'coarse'], 'order')


@case
def t13_incremental_of_one_chain():
    """This test will copy by one of two bitmaps that began at different
    times: the other keeps what it has."""
    s = anchored(write=False)
    s.fill(0)
    cli('bitmap', 'add', s.t.name, 'B')
    s.fill(M)
    s.begun = bytes(s.now)
    answer = backup(s.t, 'bitmap', 'on-success', '--force', bitmap='B')
    same((answer['status'], answer['bytes-copied']), ('completed', 65536),
         'run of B')
    s.target_has({16})
    same((s.t.dirty('B'), s.t.dirty()), (set(), {0, 16}), 'bitmaps')
    refused(s.t, s.words('incremental'), f"Target '{TARGET}' is no copy that "
            "bitmap 'b' belongs to: it was made with bitmap 'B', uuid " +
            cli('bitmap', 'show', s.t.name, 'B')[0]['uuid'])


@case
def t14_words():
    """This test will add bitmaps of bad granularity and name: QEMU's words."""
    t = tracked()
    for text in '0', '1', '256', '511', '513', '4097', '4G', '4294967295':
        done = refused_with(t, ['add', 'n', '--granularity', text])
        true(done in ('Granularity must be power of 2 and at least 512',
                      "Parameter 'granularity' expects uint32_t"), done)
    for text, value in (('512', 512), ('4K', 4096), ('1G', 1 << 30),
                        ('2G', 1 << 31)):
        cli('bitmap', 'add', t.name, f'g{text}', '--granularity', text)
        same(t.info(f'g{text}').granularity, value, text)
    same(refused_with(t, ['add', '']), 'Bitmap name cannot be empty', '')
    same(refused_with(t, ['add', 'n' * 1024]),
         f'Bitmap name too long: {"n" * 1024}', '')
    same(refused_with(t, ['add', 'b']), 'Bitmap already exists: b', '')
    cli('bitmap', 'add', t.name, 'n' * 1023, '--disabled')
    same(t.info('n' * 1023).flags, 0, 'flags')


def refused_with(t, line):
    """The words of a refusal that changed nothing."""
    before, (word, *args) = t.state(), line
    error = cli('bitmap', word, t.name, *args, status=1)['error']
    same(t.state(), before, f'state after {line}')
    return error['message']
