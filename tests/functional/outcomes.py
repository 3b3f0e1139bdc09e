# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs leave: the table of SEMANTICS §5.3, cell by cell.

Two differences from QEMU's table: a run that stops at 2M stops there, and
target errors are a target that is full (ENOSPC at 2M) and a device that fails
there: it is written directly, so that each write says what came of it.
"""
import abi
import dm
from kit import *
from runs import *

ALL = bits('0-63')

# How a run ends: what it has copied by then, as granules of the set below, and
# whether D was written during it.
ENDINGS = {
    'success': (64, True),
    'source-fails': (32, False),
    'target-full': (32, False),
    'target-dead': (32, False),
    'cancel-mid': (32, True),
    'cancel-pending': (64, True),
    'kill-mid': (32, True),
    'kill-pending': (64, True),
}
RUNS = (('incremental', None), ('bitmap', 'on-success'), ('bitmap', 'never'),
        ('bitmap', 'always'), ('full', 'on-success'), ('full', 'always'),
        ('top', 'on-success'), ('top', 'always'))


def left_by(mode, todo, copied, success, written):
    """The algebra of SEMANTICS §5.2."""
    if mode == 'always':
        return written | todo - copied
    if mode != 'never' and success:
        return written
    return W | written


def run_to(s, ending, line):
    """Runs to the ending; the answer, or None of a run that was killed."""
    if ending.endswith('-mid'):
        s.lower.breaks()
        job = s.stopped(*line)
        s.lower.mend()
    elif ending.endswith('-pending') or ending == 'success':
        job = s.held(*line)
    else:
        if ending == 'source-fails':
            s.lower.breaks()
        return s.backup(*line, status=1)
    same(s.t.info().flags, abi.RECORDING | abi.BUSY | abi.OWNED, 'flags')
    s.write_d()
    same((s.dirty(), s.t.info().count), (W, 393216), 'frozen content')
    same(s.t.successor(), D, 'successor')
    if ending == 'success':
        return job.go_on()
    return job.kill() if ending.startswith('kill') else job.cancel()


def cell(sync, mode, ending):
    """One cell of the table."""
    below, during = ENDINGS[ending]
    todo = ALL if sync in ('full', 'top') else W
    copied = {g for g in todo if g < below}
    s, line, blank, torn = scene(), [sync, mode], 0xee, ()
    if ending == 'target-full':
        # granule 32 does not fit, whatever the manifest takes
        s.put_on_small(len(copied) * 64 * K + 48 * K)
        blank, torn = 0, {32}
    if ending == 'target-dead':
        device = Holed(Loop(s.t.size, byte=0xee))
        device.breaks()
        s.target = device.path
    elif todo == W:
        line.append('--force')
    answer = run_to(s, ending, line)

    success = ending == 'success'
    always = mode == 'always'
    s.bitmap_is(left_by(mode, todo, copied, success, D if during else set()),
                always or success and mode != 'never')
    if answer:
        s.ended(answer, 'completed' if success else
                'cancelled' if during else 'failed', len(copied) * 64 * K,
                len(todo) * 64 * K, s.dirty(),
                s.t.info().generation - s.before.generation,
                error_of(s, ending))
    if ending == 'target-dead':
        device.mend()
        return
    s.target_has(copied, torn, blank)
    g = s.before.generation
    same(manifest(s.target), ('complete' if success else 'incomplete', None,
                              g + (mode != 'never')), 'manifest')


def error_of(s, ending):
    """Class and words of the answer."""
    if ending == 'success':
        return None
    if ending == 'source-fails':
        return s.source_error(2 * M)
    if ending == 'target-dead':
        return ('GenericError', f"Could not write to '{s.target}' at byte "
                                f'{2 * M}: Input/output error')
    return s.target_full() if ending == 'target-full' else CANCELED


def register(sync, mode, ending):
    def function():
        cell(sync, mode, ending)
    name = '-'.join(('s53', *filter(None, (sync, mode)), ending))
    function.__doc__ = f'This test will end a run so: {name[4:]}.'
    case(function, called=name)


for _sync, _mode in RUNS:
    for _ending in ENDINGS:
        register(_sync, _mode, _ending)
