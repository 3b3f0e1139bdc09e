# SPDX-License-Identifier: GPL-2.0-or-later
"""States, runs and their outcomes by /dev/dirtytrack and by message: SEMANTICS
§1.3 and §5.2. The command, copies and merges are in the files beside."""
import ctypes
import itertools
import os

import abi
import dm
from kit import *

# Each operation, by /dev/dirtytrack and (where there is one) by message.
OPERATIONS = {
    'enable': (lambda t: t.ctl.enable(t.dev, 'b'), 'bitmap-enable b'),
    'disable': (lambda t: t.ctl.disable(t.dev, 'b'), 'bitmap-disable b'),
    'clear': (lambda t: t.ctl.clear(t.dev, 'b'), 'bitmap-clear b'),
    'remove': (lambda t: t.ctl.remove(t.dev, 'b'), 'bitmap-remove b'),
    'merge-from': (lambda t: t.ctl.merge(t.dev, 'x', [(t.dev, 'b')]),
                   'bitmap-merge x b'),
    'merge-into': (lambda t: t.ctl.merge(t.dev, 'b', [(t.dev, 'x')]),
                   'bitmap-merge b x'),
    'add': (lambda t: t.ctl.add(t.dev, 'b'), 'bitmap-add b'),
    'freeze': (lambda t: t.freeze(flags=abi.FREEZE_NO_OWNER),
               'bitmap-freeze b'),
    'freeze-never': (lambda t: t.freeze(mode=abi.NEVER), None),
    'freeze-always': (lambda t: t.freeze(mode=abi.ALWAYS), None),
    'load': (lambda t: t.ctl.load(t.dev, 'b', 0, 0, b'',
                                  abi.BITS_BEGIN | abi.BITS_COMMIT), None),
    'abdicate': (lambda t: t.abdicate(), 'bitmap-abdicate b'),
    'reclaim': (lambda t: t.reclaim(), 'bitmap-reclaim b'),
    'show': (lambda t: t.info(), None),
    'extents': (lambda t: t.extents(), None),
    'bits': (lambda t: t.ctl.bits(t.dev, 'b', 0, 4 * M, 8), None),
}
NOT_FROZEN = ('abdicate', 'reclaim')
LOOKING = ('show', 'extents', 'bits')


def _in_state(state):
    t = tracked(bitmaps={'b': 64 * K, 'x': 64 * K})
    t.fill(0)
    if state == 'disabled':
        t.ctl.disable(t.dev, 'b')
    run_id = t.freeze() if state in ('frozen', 'frozen-always') else 0
    return t, run_id


@case
def state_table_idle():
    """This test will do every operation to an enabled and to a disabled
    bitmap (states A and D)."""
    for state, (name, ways) in itertools.product(('enabled', 'disabled'),
                                                 OPERATIONS.items()):
        for way in filter(None, ways):
            t, _ = _in_state(state)
            do = (lambda t, way=way: t.message(way)) if way is ways[1] else way
            if name == 'add':
                with fails('EEXIST'):
                    do(t)
            elif name in NOT_FROZEN:
                before = t.state()
                with fails('ENODATA'):
                    do(t)
                same(t.state(), before, f'{state}: {name}')
            else:
                do(t)
            t.ctl.close()
            t.remove()


@case
def state_table_frozen():
    """This test will do every operation to a frozen bitmap: all that would
    change it are refused with EBUSY, by ioctl and by message, and change
    nothing; looking is allowed (I4, state F)."""
    t, run_id = _in_state('frozen')
    before = t.state()
    for name, ways in OPERATIONS.items():
        for way in filter(None, ways):
            do = (lambda: t.message(way)) if way is ways[1] else \
                (lambda: way(t))
            if name in LOOKING:
                do()
            else:
                with fails('EEXIST' if name == 'add' else 'EBUSY'):
                    do()
            same(t.state(), before, f'after {name}')
    t.fill(M)
    same(t.dirty(), {0}, 'frozen content')
    same(t.successor(), {16}, 'successor')
    same(t.info().successor_count, 64 * K, 'successor count')
    t.reclaim(run=run_id)
    same(t.dirty(), {0, 16}, 'after the run')


# ---- Merge ----

@case
def merge_all_or_nothing():
    """This test will merge a good and a bad source: an error, and the target
    is as it was (M05, M06, M08)."""
    t = tracked(bitmaps={'b': 64 * K, 'x': 64 * K})
    other = tracked(8 * M)
    t.fill(0)
    t.ctl.clear(t.dev, 'b')
    t.fill(M)
    frozen = tracked(bitmaps={'f': 64 * K})
    run_id = frozen.freeze('f')
    before = t.state()
    with fails('ENOENT'):
        t.message('bitmap-merge b x missing')
    with fails('ENOENT'):
        t.ctl.merge(t.dev, 'b', [(t.dev, 'x'), (t.dev, 'missing')])
    with fails('ERANGE'):
        t.ctl.merge(t.dev, 'b', [(t.dev, 'x'), (other.dev, 'b')])
    with fails('ENODEV'):
        t.ctl.merge(t.dev, 'b', [(t.dev, 'x'), ((1, 3), 'b')])
    with fails('EBUSY'):
        t.ctl.merge(t.dev, 'b', [(t.dev, 'x'), (frozen.dev, 'f')])
    same(t.state(), before, 'state')
    frozen.reclaim('f', run_id)


# ---- Runs ----

def _outcome(mode, whole, ok, during, copied):
    """What SEMANTICS §5.2 says: S, W' and U in granules."""
    written = D if during else set()
    todo = (bits('0-63') if whole else W) - copied
    if mode == abi.ALWAYS:
        return written | todo
    if mode == abi.CONDITIONAL and ok:
        return written
    return W | written


@case
def run_outcomes():
    """This test will end runs of every mode and set, with and without writes
    during, in success or not, with all, some and nothing copied: the bitmap
    and its generation are what §5.2 and the header say."""
    for mode, whole, ok, during, part in itertools.product(
            (abi.CONDITIONAL, abi.NEVER, abi.ALWAYS), (0, 1), (0, 1), (0, 1),
            ('all', 'some', 'none')):
        t = tracked()
        write_w(t)
        generation = t.info().generation
        run_id = t.freeze(mode=mode, set=whole)
        if during:
            write_d(t)
        todo = bits('0-63') if whole else W
        copied = {'all': todo, 'none': set(),
                  'some': {g for g in todo if g < 32}}[part]
        t.report([(g * 64 * K, 64 * K) for g in sorted(copied)], run=run_id)
        same(t.dirty(), W, 'frozen content')
        same(t.info().count, 393216, 'frozen count')
        what = f'mode {mode} set {whole} ok {ok} D {during} copied {part}'
        if ok and mode == abi.NEVER:
            with fails('EINVAL'):
                t.abdicate(run=run_id)
            ok = 0
        end = (t.abdicate if ok else t.reclaim)(run=run_id)
        same(t.dirty(), _outcome(mode, whole, ok, during, copied), what)
        stepped = bool(ok or mode == abi.ALWAYS)
        same(end, generation + stepped, f'{what}: generation')
        same(t.info().last_run, run_id if stepped else 0, f'{what}: last run')
        same(t.info().flags, abi.RECORDING, f'{what}: flags')
        t.ctl.close()
        t.remove()


@case
def run_fine_and_coarse_always():
    """This test will report parts of a 4K and of a 1M bitmap (B20-B22)."""
    t = tracked(bitmaps={'fine': 4 * K, 'coarse': M})
    for offset in 0, M + 8 * K, 2 * M:
        t.fill(offset, 4 * K)
    same(t.dirty('fine', 4 * K), bits('0 258 512'), 'before')
    run_id = t.freeze('fine', abi.ALWAYS)
    t.report([(0, 4 * K)], 'fine', run_id)
    t.reclaim('fine', run_id)
    same(t.dirty('fine', 4 * K), bits('258 512'), 'B20')
    t.ctl.clear(t.dev, 'coarse')
    t.fill(M)
    t.fill(3 * M)
    run_id = t.freeze('coarse', abi.ALWAYS)
    with fails('EINVAL'):
        t.report([(M, 128 * K)], 'coarse', run_id)
    t.report([(M, M)], 'coarse', run_id)
    t.reclaim('coarse', run_id)
    same(t.dirty('coarse', M), bits('3'), 'B22')


# ---- Ownership ----

@case
def freeze_belongs_to_its_file():
    """This test will try to end and to report for somebody else's freeze, and
    take it away by force: its owner then gets ESTALE."""
    t = tracked()
    write_w(t)
    run_id = t.freeze(mode=abi.ALWAYS)
    info = t.info()
    same(info.owner_pid, os.getpid(), 'owner')
    true(info.flags & abi.OWNED and info.owner_since, 'owned')
    other = abi.Control()
    before = t.state()
    for run in 0, run_id:
        with fails('EBUSY'):
            other.abdicate(t.dev, 'b', run)
        with fails('EBUSY'):
            other.reclaim(t.dev, 'b', run)
        with fails('EBUSY'):
            other.report(t.dev, 'b', run, [(0, 64 * K)])
    with fails('ESTALE'):
        other.abdicate(t.dev, 'b', run_id ^ 1)
    with fails('EINVAL'):
        other.call(abi.ABDICATE, t.dev, 'b', flags=abi.END_FORCE)
    with fails('EBUSY'):
        t.message('bitmap-reclaim b')
    same(t.state(), before, 'state')
    t.report([(0, 64 * K)], run=run_id)
    other.reclaim(t.dev, 'b', 0, abi.END_FORCE)
    same(t.dirty(), W - {0}, 'after the forced reclaim')
    for op in (lambda: t.abdicate(run=run_id), lambda: t.reclaim(run=run_id),
               lambda: t.report([(0, 64 * K)], run=run_id)):
        with fails('ESTALE'):
            op()
    # a new freeze by another is not the old owner's either
    new = other.freeze(t.dev, 'b')
    with fails('ESTALE'):
        t.abdicate(run=run_id)
    other.close()
    same(t.info().run, 0, 'run after its file was closed')
    true(new != run_id, 'run ids')


@case
def freeze_without_owner():
    """This test will freeze without an owner: it outlives the file, any may
    end it, and reports with run 0 count."""
    t = tracked()
    write_w(t)
    other = abi.Control()
    other.freeze(t.dev, 'b', abi.ALWAYS, flags=abi.FREEZE_NO_OWNER)
    other.close()
    info = t.info()
    true(info.flags & abi.BUSY and not info.flags & abi.OWNED, 'flags')
    same(info.owner_pid, 0, 'owner')
    t.report([(0, 64 * K)])
    t.abdicate()
    same(t.dirty(), W - {0}, 'after the run')


@case
def extents_generation():
    """This test will read extents and bits relying on a generation that has
    passed: ESTALE."""
    t = tracked()
    write_w(t)
    generation = t.info().generation
    array = (abi.Range * 8)()
    at = ctypes.addressof(array)
    t.ctl.call(abi.EXTENTS, t.dev, 'b', nr=8, ranges=at, generation=generation)
    with fails('ESTALE'):
        t.ctl.call(abi.EXTENTS, t.dev, 'b', nr=8, ranges=at,
                   generation=generation + 1)
    t.ctl.clear(t.dev, 'b')
    with fails('ESTALE'):
        t.ctl.call(abi.EXTENTS, t.dev, 'b', nr=8, ranges=at,
                   generation=generation)
    with fails('ESTALE'):
        t.ctl.call(abi.BITS_GET, t.dev, 'b', length=4 * M, buffer=at,
                   generation=generation)
    with fails('ENODATA'):
        t.successor()
    with fails('EINVAL'):
        t.ctl.call(abi.EXTENTS, t.dev, 'b', nr=8, ranges=at,
                   cursor=4 * M + 1)


@case
def extents_by_cursor():
    """This test will read many extents one, two and three at a time: the
    result is the same."""
    t = tracked(bitmaps={'b': 4 * K})
    for granule in *range(0, 1024, 7), 1023, 500, 501:
        t.fill(granule * 4 * K, 4 * K)
    everything = t.extents()
    true(len(everything) > 100, 'many extents')
    for room in 1, 2, 3:
        same(t.ctl.extents(t.dev, 'b', room=room), everything, f'{room}')


@case
def bits_get_and_load():
    """This test will read raw bits, load them elsewhere, merge, and find loads
    refused that are late or for a frozen bitmap."""
    t = tracked(bitmaps={'b': 64 * K, 'x': 64 * K})
    write_w(t)
    raw = t.ctl.bits(t.dev, 'b', 0, 4 * M, 8)
    same(int.from_bytes(raw, 'little'), sum(1 << g for g in W), 'bits')
    t.ctl.disable(t.dev, 'b')
    t.ctl.clear(t.dev, 'x')
    t.fill(640 * K)
    generation = t.info('x').generation
    both = abi.BITS_BEGIN | abi.BITS_COMMIT
    t.ctl.load(t.dev, 'x', 0, 4 * M, raw, both | abi.BITS_MERGE)
    same(t.dirty('x'), W | {10}, 'merged')
    t.ctl.load(t.dev, 'x', 0, 4 * M, raw, both)
    same(t.dirty('x'), W, 'replaced')
    same(t.info('x').generation, generation + 2, 'generation')
    t.fill(640 * K)
    same(t.dirty('x'), W | {10}, 'it goes on recording')
    # what was begun before a change of the generation is late
    t.ctl.load(t.dev, 'x', 0, 0, b'', abi.BITS_BEGIN)
    t.ctl.clear(t.dev, 'x')
    with fails('ESTALE'):
        t.ctl.load(t.dev, 'x', 0, 0, b'', abi.BITS_COMMIT)
    t.ctl.load(t.dev, 'x', 0, 0, b'', abi.BITS_BEGIN)
    run_id = t.freeze('x')
    with fails('EBUSY'):
        t.ctl.load(t.dev, 'x', 0, 4 * M, raw, abi.BITS_COMMIT)
    t.reclaim('x', run_id)
    other = abi.Control()
    with fails('ESTALE'):
        other.load(t.dev, 'x', 0, 4 * M, raw, abi.BITS_COMMIT)
    other.close()


@case
def load_relies_on_a_generation():
    """This test will load bits in calls that rely on a generation: ESTALE for
    another one at the beginning, on the way and at the commit, also by another
    bitmap's name, and nothing has changed."""
    t = tracked(bitmaps={'b': 64 * K, 'x': 64 * K})
    buffer = ctypes.create_string_buffer(b'\x05', 8)
    generation = t.info().generation

    def load(flags, generation, length=512 * K, name='b'):
        return t.ctl.call(abi.BITS_LOAD, t.dev, name, length=length,
                          buffer=ctypes.addressof(buffer), flags=flags,
                          generation=generation).generation

    both = abi.BITS_BEGIN | abi.BITS_COMMIT
    for wrong in generation - 1 or 7, generation + 1, (1 << 64) - 1:
        for flags in abi.BITS_BEGIN, both, both | abi.BITS_MERGE:
            with fails('ESTALE'):
                load(flags, wrong)
    with fails('ESTALE'):
        load(0, generation)     # none of these began a load
    same(load(abi.BITS_BEGIN, generation), generation, 'it has begun')
    same(load(0, generation), generation, 'it goes on')
    for flags in 0, abi.BITS_COMMIT, abi.BITS_COMMIT | abi.BITS_MERGE:
        with fails('ESTALE'):
            load(flags, generation + 1)
        with fails('ESTALE'):
            load(flags, 0, name='x')
    with fails('ESTALE'):
        load(abi.BITS_BEGIN, generation + 1)    # and the one there was goes on
    same(t.info().generation, generation, 'generation')
    same((t.dirty(), t.dirty('x')), (set(), set()), 'content')
    same(load(abi.BITS_COMMIT, generation, 0), generation + 1, 'committed')
    same(t.dirty(), {0, 2}, 'content')
    same(load(both, 0), generation + 2, 'on no generation')
    load(abi.BITS_BEGIN, 0)
    t.ctl.clear(t.dev, 'b')
    for relied_on in 0, generation + 2, generation + 3:
        for flags in 0, abi.BITS_COMMIT:
            with fails('ESTALE'):
                load(flags, relied_on)
    same(t.dirty(), set(), 'content')


# ---- The end of devices and modules ----

@case
def device_removed_while_file_is_open():
    """This test will remove a device with a frozen bitmap whose owner is
    there: every command gets ENODEV, closing does no harm."""
    t = tracked()
    write_w(t)
    run_id = t.freeze()
    t.ctl.load(tracked().dev, 'b', 0, 0, b'', abi.BITS_BEGIN)
    dev = t.dev
    t.remove()
    for op in (lambda: t.ctl.info(dev, 'b'), lambda: t.ctl.extents(dev, 'b'),
               lambda: t.ctl.abdicate(dev, 'b', run_id),
               lambda: t.ctl.reclaim(dev, 'b', run_id),
               lambda: t.ctl.add(dev, 'n'), lambda: t.ctl.clear(dev, 'b')):
        with fails('ENODEV'):
            op()
    true(dev not in t.ctl.list(), 'the list')


@case
def module_stays_while_in_use():
    """This test will try to unload the module under a device, under an open
    file and under an inactive table; then unload and load it."""
    rmmod = ('rmmod', 'dm_dirtytrack')
    t = tracked()
    run(*rmmod, status=1)
    t.ctl.close()
    run(*rmmod, status=1)
    t.remove()
    ctl = abi.Control()
    run(*rmmod, status=1)
    ctl.close()
    inactive = Dm(new_name(), M)
    inactive.load('dirtytrack', f'{Loop(M).path} 0')
    run(*rmmod, status=1)
    true(inactive.dev not in [d for d in _list()], 'not listed before resume')
    inactive.remove()
    run(*rmmod)
    true(not os.path.exists('/dev/dirtytrack'), '/dev/dirtytrack is gone')
    run('insmod', f'{os.environ["DTR_MODDIR"]}/dm-dirtytrack.ko')
    t = tracked()
    t.fill(0)
    same(t.dirty(), {0}, 'after loading it again')


def _list():
    ctl = abi.Control()
    try:
        return ctl.list()
    finally:
        ctl.close()


@case
def all_by_dmsetup():
    """This test will do a whole cycle with dmsetup alone: create, messages,
    status, table, reload, remove."""
    loop, name = Loop(4 * M), new_name('dmsetup')
    line = f'0 8192 dirtytrack {loop.path} 0 4 bitmap b 65536 clean'
    run('dmsetup', 'create', name, '--table', line)
    dm.cleanup.callback(run, 'dmsetup', 'remove', name, status=None)
    dm.fill(f'/dev/mapper/{name}', M, 4 * K)
    for message in ('bitmap-add c', 'bitmap-add d 4096', 'bitmap-disable d',
                    'bitmap-freeze b'):
        run('dmsetup', 'message', name, 0, *message.split())
    words = run('dmsetup', 'status', name).stdout.split()
    same(words[:5], ['0', '8192', 'dirtytrack', '4194304', '3'], 'status')
    same([words[i:i + 4] for i in (5, 11, 17)],
         [['b', '65536', '65536', 'rb'], ['c', '65536', '0', 'r'],
          ['d', '4096', '0', '-']], 'bitmaps')
    same([words[i] for i in (10, 16, 22)], ['1', '1', '2'], 'generations')
    same(words[23:31], ['1', '4096', *['0'] * 6], 'counters')
    true(len(words) == 32 and words[31].isdigit(), 'words of status')
    major, minor = os.major(os.stat(loop.path).st_rdev), \
        os.minor(os.stat(loop.path).st_rdev)
    same(run('dmsetup', 'table', name).stdout.split(),
         ['0', '8192', 'dirtytrack', f'{major}:{minor}', '0', '4', 'bitmap',
          'b', '65536', 'clean'], 'table')
    run('dmsetup', 'reload', name, '--table', line)
    run('dmsetup', 'resume', name)
    for message in ('bitmap-abdicate b', 'bitmap-merge d c',
                    'bitmap-enable d', 'bitmap-clear c', 'bitmap-remove c'):
        run('dmsetup', 'message', name, 0, *message.split())
    words = run('dmsetup', 'status', name).stdout.split()
    same([words[i:i + 4] for i in (5, 11)],
         [['b', '65536', '0', 'r'], ['d', '4096', '0', 'r']], 'bitmaps')
    run('dmsetup', 'remove', name)
