# SPDX-License-Identifier: GPL-2.0-or-later
"""What Documentation tells people to type, and the example program."""
import os
import re

import dm
from kit import *

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../..')
MARK = '== end of line'


# ---- Texts ----

def _blocks(path):
    """[line, code, what it prints] of each block of shell; a block of text
    after it is what it prints, without one it prints nothing."""
    found, kind, at = [], None, 0
    with open(path) as file:
        for number, line in enumerate(file, 1):
            start = re.match(r'\.\. code-block:: (\w+)$', line)
            if start:
                kind = start[1]
                if kind == 'shell':
                    found.append([number, '', ''])
                at = {'shell': 1, 'text': 2}[kind]
            elif line.strip() and not line.startswith('    '):
                kind = None
            elif kind:
                found[-1][at] += line[4:] or '\n'
    return [[number, code.strip('\n'), text.strip('\n')]
            for number, code, text in found]


def _run_blocks(path):
    """Runs them in one shell that ends at the first command that fails; each
    has to print what the text says, on whichever stream."""
    blocks = _blocks(path)
    true(blocks, f'{path} has no block of shell')
    script = 'exec 2>&1 </dev/null\nset -eu\n' + ''.join(
        f'{code}\necho "{MARK} {number}"\n' for number, code, _ in blocks)
    printed = run('bash', '-c', script, status=None,
                  env={**os.environ, 'LC_ALL': 'C'}).stdout
    for number, code, expected in blocks:
        got, mark, printed = printed.partition(f'{MARK} {number}\n')
        where = f'{os.path.basename(path)}:{number}'
        true(mark, f'{where}: the shell ended: {got.strip()}')
        same(got.strip('\n'), expected, f'{where}: {code.splitlines()[-1]}')


def _named(name, byte):
    """A device of 4 MiB, tracked under a name that a text uses."""
    loop = Loop(4 * M, byte=byte)
    run('dtrack', 'create', name, loop.path)
    dm.cleanup.callback(run, 'dtrack', 'remove', name)
    return f'/dev/mapper/{name}'


@case
def examples_checkpoints():
    """This test will type what checkpoints.rst says, and compare what comes of
    it with what it says; all copies equal their device at the end."""
    data, logs = _named('data', 0x11), _named('logs', 0x22)
    os.makedirs('/backup', exist_ok=True)
    run('mount', '-t', 'tmpfs', 'tmpfs', '/backup')
    dm.cleanup.callback(run, 'umount', '/backup')
    _run_blocks(f'{TOP}/Documentation/checkpoints.rst')
    now = {'data': dm.read(data, 0, 4 * M), 'logs': dm.read(logs, 0, 4 * M)}
    for name, device, later in (('data', 'data', set()), ('logs', 'logs', set()),
                                ('t0', 'data', {7}), ('t1', 'data', {7}),
                                ('t2', 'data', {7})):
        with open(f'/backup/{name}.img', 'rb') as file:
            copy = file.read()
        same(len(copy), 4 * M, f'size of {name}.img')
        same({at // (64 * K) for at in range(0, 4 * M, 64 * K)
              if copy[at:at + 64 * K] != now[device][at:at + 64 * K]}, later,
             f'granules of {name}.img that are not those of the device')
