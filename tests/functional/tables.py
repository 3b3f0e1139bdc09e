# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of semantics.rst, cell by cell: what is written there is true."""
import os
import re

import abi
import dm
from kit import *

TEXT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    '../../Documentation/semantics.rst')
TARGET = '/tmp/table.img'


# ---- Reading ----

def _table(starts):
    """The rows of the simple table one of whose lines starts so: lists of
    cells. A row without a first cell goes on with the one before."""
    with open(TEXT) as file:
        lines = file.read().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(starts))
    top = max(i for i in range(at) if lines[i].startswith('=='))
    # below its head, if it has one
    while lines[top - 1].strip():
        top -= 1
    bars = [i for i in range(top, len(lines)) if lines[i].startswith('==')]
    end = next(i for i in range(at, len(lines)) if not lines[i].strip()) - 1
    first = next((i for i in bars[1:] if i < end), bars[0])
    columns = [m.span() for m in re.finditer('=+', lines[top])]
    columns[-1] = columns[-1][0], None
    rows = []
    for line in lines[first + 1:end]:
        cells = [line[slice(*span)].strip() for span in columns]
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1] = [f'{a} {b}'.strip() for a, b in zip(rows[-1], cells)]
    return [[re.sub(r'``| ?\[\d\]_', '', cell) for cell in row]
            for row in rows]


def _bits(cell):
    return bits(cell.replace(',', ' ').replace('none', ''))


# ---- Operations and states ----

def _grow(t, other, size=5 * M):
    t.lower.resize(size)
    t.reload('dirtytrack', t.line(), size,
             dm.SKIP_LOCKFS | (dm.READONLY if t.read_only else 0))


def _freeze(*modes):
    def freeze(t, other):
        for mode in modes:
            t.freeze(mode=mode, flags=abi.FREEZE_NO_OWNER)
            t.reclaim()
    return freeze


OPERATIONS = {
    'show': [lambda t, other: t.info()],
    'extents, raw bits, export': [
        lambda t, other: t.extents(),
        lambda t, other: t.ctl.bits(t.dev, 'b', 0, 4 * M, 8)],
    'add another of this name': [lambda t, other: t.ctl.add(t.dev, 'b')],
    'remove': [lambda t, other: t.ctl.remove(t.dev, 'b')],
    'clear': [lambda t, other: t.ctl.clear(t.dev, 'b')],
    'enable': [lambda t, other: t.ctl.enable(t.dev, 'b')],
    'disable': [lambda t, other: t.ctl.disable(t.dev, 'b')],
    'merge, as a source': [
        lambda t, other: t.ctl.merge(other.dev, 'b', [(t.dev, 'b')])],
    'merge, as the target': [
        lambda t, other: t.ctl.merge(t.dev, 'b', [(other.dev, 'b')])],
    'import': [lambda t, other: t.ctl.load(
        t.dev, 'b', 0, 4 * M, b'\1' * 8, abi.BITS_BEGIN | abi.BITS_COMMIT)],
    'freeze, conditional and always': [_freeze(abi.CONDITIONAL),
                                       _freeze(abi.ALWAYS)],
    'freeze, never': [_freeze(abi.NEVER)],
    'report, abdicate, reclaim': [lambda t, other: t.report([]),
                                  lambda t, other: t.abdicate(),
                                  lambda t, other: t.reclaim()],
    'device grows': [_grow],
    'device shrinks': [lambda t, other: _grow(t, other, 3 * M)],
}


def _in_state(state):
    t = tracked()
    t.read_only = state == 'read-only'
    t.fill(M)
    if state == 'disabled':
        t.ctl.disable(t.dev, 'b')
    elif state == 'frozen':
        t.freeze(flags=abi.FREEZE_NO_OWNER)
        t.fill(2 * M)
    elif state == 'read-only':
        t.reload('dirtytrack', t.line(), flags=dm.SKIP_LOCKFS | dm.READONLY)
    return t


def _cell(cell, state, operation, what):
    t, other = _in_state(state), tracked()
    before = t.state()
    if cell in ('yes', 'no change'):
        try:
            operation(t, other)
        except OSError as e:
            raise AssertionError(f'{what}: refused: {e}') from e
        true(cell == 'yes' or t.state() == before, f'{what}: a change')
    else:
        with fails(cell):
            operation(t, other)
        same(t.state(), before, f'{what}: after the refusal')
        same(other.dirty(), set(), f'{what}: the other bitmap')
    for device in t, other:
        device.ctl.close()
        device.remove()
        device.lower.remove()


@case(limit=120)
def tables_operations_and_states():
    """This test will do each operation in each state: it succeeds, or is
    refused with the errno that the table has, and changes nothing."""
    seen = set()
    for name, *cells in _table('show     '):
        for state, cell in zip(('recording', 'disabled', 'frozen',
                                'read-only'), cells):
            for operation in OPERATIONS.get(name, ()):
                if cell != 'as before':
                    _cell(cell, state, operation, f'{name}, {state}: {cell}')
            seen.add(name)
    same(seen, set(OPERATIONS) | {'a write'}, 'operations of the table')


# ---- Merge ----

def _filled(t, cell, name):
    """A disabled bitmap as in '4 KiB: 1, 255-256'."""
    number, unit, content = re.match(r'(\d+) ([KM])iB: (.*)', cell).groups()
    granularity = int(number) * {'K': K, 'M': M}[unit]
    t.ctl.add(t.dev, name, granularity, abi.ADD_DISABLED)
    raw = bytearray(-(-t.size // granularity // 8))
    for bit in _bits(content):
        raw[bit // 8] |= 1 << bit % 8
    t.ctl.load(t.dev, name, 0, t.size, bytes(raw),
               abi.BITS_BEGIN | abi.BITS_COMMIT)
    return granularity


@case
def tables_merge():
    """This test will merge across granularities as the table has it."""
    rows = _table('4 KiB: 1, 255-256        64 KiB')
    same(len(rows), 4, 'rows')
    for source, target, after in rows:
        t = tracked()
        _filled(t, source, 'source')
        granularity = _filled(t, target, 'target')
        t.ctl.merge(t.dev, 'target', [(t.dev, 'source')])
        same(t.dirty('target', granularity), _bits(after),
             f'{source} into {target}')


# ---- Runs ----

def _backup(t, sync, bitmap, mode):
    words = ['dtrack', 'backup', t.name, '--target', TARGET, '--sync', sync]
    words += ['--bitmap', 'b'] if bitmap else []
    words += ['--bitmap-mode', mode] if mode else []
    return run(*words, status=None)


def _remove_target():
    for path in TARGET, TARGET + '.dtrack':
        if os.path.exists(path):
            os.unlink(path)


def _chain():
    """F, a full backup, and W."""
    _remove_target()
    t = tracked()
    same(_backup(t, 'full', True, 'on-success').returncode, 0, 'full')
    write_w(t)
    return t


@case(limit=120)
def tables_validity():
    """This test will ask for each sync mode with each bitmap mode, with and
    without a bitmap: it is done, or refused with the table's words, and the
    bitmap is as it was."""
    words = dict(_table('E1   must'))
    dm.cleanup.callback(_remove_target)
    t = _chain()
    columns = ([(False, None)], [(False, mode) for mode in abi.MODES],
               [(True, None)], [(True, 'conditional'), (True, 'on-success')],
               [(True, 'never')], [(True, 'always')])
    rows = _table('``full``         yes      E8')
    same(len(rows), 5, 'sync modes')
    for sync, *cells in rows:
        for cell, asked in zip(cells, columns):
            for bitmap, mode in asked:
                what = f'{sync}, {bitmap}, {mode}: {cell}'
                before = t.state()
                done = _backup(t, sync, bitmap, mode)
                same(done.returncode == 0, cell == 'yes', what)
                if cell == 'yes':
                    if not bitmap:      # a manifest without bitmap fits none
                        t.remove()
                        t = _chain()
                    continue
                text = words[cell].replace('SYNC', sync)
                true(done.stderr.endswith(f': {text}\n'),
                     f'{what}: {done.stderr.strip()}, expected: {text}')
                same(t.state(), before, what)


def _outcome(sync, mode, end):
    """The dirty granules after a run: W before, D during it."""
    t = tracked()
    write_w(t)
    t.freeze(mode=abi.MODES[mode], flags=abi.FREEZE_NO_OWNER,
             set=abi.SET_ALL if sync == 'full' else abi.SET_BITMAP)
    write_d(t)
    todo = sorted(bits('0-63') if sync == 'full' else W)
    if end == 'failure':
        todo = [g for g in todo if g < 32]
    t.report([(g * 64 * K, 64 * K) for g in todo])
    if end == 'success' and mode != 'never':
        t.abdicate()
    else:
        t.reclaim()
    return t.dirty()


@case
def tables_outcomes():
    """This test will end runs of each mode in each way."""
    rows = _table('``bitmap``       ``conditional``')
    same(len(rows), 5, 'rows')
    for sync, mode, *cells in rows:
        for end, cell in zip(('success', 'failure', 'cancelled'), cells):
            same(_outcome(sync, mode, end), _bits(cell),
                 f'{sync}, {mode}, {end}')
