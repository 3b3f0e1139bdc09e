# SPDX-License-Identifier: GPL-2.0-or-later
"""What Documentation tells people to type, and the example program."""
import glob
import json
import os
import re
import signal
import subprocess
import sys

import abi
import dm
from kit import *

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../..')
BUILT = f'{TOP}/build/tests'
FILE = '/tmp/copy.img'
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
    has to print what the text says, on whichever stream. Blanks at the end of
    a line of a table are not looked at."""
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
        # By chance nothing was written during the copy.
        got = re.sub(r'bytes copied, image$', 'bytes copied, live', got, flags=re.M)
        same(re.sub(' +\n', '\n', got).strip('\n'), expected,
             f'{where}: {code.splitlines()[-1]}')


def _named(name, byte):
    """A device of 4 MiB, tracked under a name that a text uses."""
    loop = Loop(4 * M, byte=byte)
    run('dtrack', 'create', name, loop.path)
    dm.cleanup.callback(run, 'dtrack', 'remove', name)
    return f'/dev/mapper/{name}'


@case(limit=180)
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


def _directories(*paths):
    """What a text mounts on; the first has a file system already."""
    for path in paths:
        os.makedirs(path, exist_ok=True)
        dm.cleanup.callback(run, 'umount', path, status=None)
    run('mount', '-t', 'tmpfs', 'tmpfs', paths[0])


def _volume(name):
    """What a text calls /dev/vg/NAME. Nobody has it open: see 'check'."""
    file = f'/tmp/{name}'
    with open(file, 'wb') as volume:
        volume.truncate(32 * M)
    dm.cleanup.callback(os.unlink, file)
    loop = run('losetup', '-f', '--show', file).stdout.strip()
    dm.cleanup.callback(run, 'losetup', '-d', loop)
    os.makedirs('/dev/vg', exist_ok=True)
    os.symlink(loop, f'/dev/vg/{name}')
    dm.cleanup.callback(os.unlink, f'/dev/vg/{name}')


def _copied(folder):
    """Bytes that each restore point in a folder took."""
    copied = []
    for path in sorted(glob.glob(f'{folder}/0*/0*/point.json')):
        with open(path, encoding='utf-8') as file:
            copied.append(json.load(file)['images'][0]['copied'])
    return copied


@case(kernels=('uml',))
def examples_nightly():
    """This test will type what nightly.rst says: full copies and incrementals
    are where they should be."""
    _volume('data')
    _volume('spare')
    dm.cleanup.callback(run, 'dtrack', 'remove', 'data', status=None)
    _directories('/backup', '/srv')
    try:
        _run_blocks(f'{TOP}/Documentation/nightly.rst')
    except AssertionError:
        print(run('cat', '/var/log/dtrack.log', status=None).stdout,
              file=sys.stderr)
        raise
    same([n if n == 32 * M else n < 2 * M for n in _copied('/backup/db')],
         [32 * M, True, 32 * M, 32 * M, True, True], 'bytes copied')


def _end_server():
    """Of offsite.rst, should it have stopped halfway."""
    run('sh', '-c', 'kill -9 $(cat /run/nbdkit.pid)', status=None)


@case(kernels=('uml',))
def examples_offsite():
    """This test will type what offsite.rst says."""
    _volume('data')
    dm.cleanup.callback(run, 'dtrack', 'remove', 'data', status=None)
    run('dtrack', 'create', 'data', '/dev/vg/data')
    run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0',
        '/dev/mapper/data')
    _directories('/offsite', '/srv')
    dm.cleanup.callback(_end_server)
    run('mount', '/dev/mapper/data', '/srv')
    with open('/etc/hosts', 'a', encoding='ascii') as file:
        print('127.0.0.1 offsite', file=file)
    _run_blocks(f'{TOP}/Documentation/offsite.rst')


# ---- The example program ----

def _command(t, path=FILE):
    return [f'{BUILT}/functional/incremental', t.name, 'b', path]


def _environment(**more):
    """With the library that was installed, not the one beside the command."""
    return {**os.environ, **more,
            'LD_LIBRARY_PATH': f'{BUILT}/functional/stage/usr/lib'}


def _incremental(t, said):
    """A run, and whether FILE is the device afterwards."""
    done = run(*_command(t), env=_environment())
    same(done.stdout, said, 'what it says')
    with open(FILE, 'rb') as file:
        true(file.read() == dm.read(t.path, 0, t.size),
             'the copy differs from the device')


def _no_file():
    for path in FILE, FILE + '.state':
        if os.path.exists(path):
            os.unlink(path)


def _device():
    _no_file()
    dm.cleanup.callback(_no_file)
    t = Tracked(Loop(4 * M, byte=0x11))
    dm.fill(t.path, 3 * M, M, 0x22)
    return t


@case
def example_program():
    """This test will copy with the example: in full, then what changed; in
    full again when the copy, its state or the bitmap are others."""
    t = _device()
    _incremental(t, 'full: 4194304 bytes\n')
    same((t.dirty(), t.info().generation), (set(), 2), 'after the full copy')
    _incremental(t, 'incremental: 0 bytes\n')
    write_w(t)
    _incremental(t, 'incremental: 393216 bytes\n')
    same((t.dirty(), t.info().generation), (set(), 4), 'after the incremental')
    t.ctl.clear(t.dev, 'b')
    write_w(t, 5)
    _incremental(t, 'full: 4194304 bytes\n')
    t.ctl.remove(t.dev, 'b')
    _incremental(t, 'full: 4194304 bytes\n')
    os.unlink(FILE)
    _incremental(t, 'full: 4194304 bytes\n')
    with open(FILE + '.state', 'w') as file:
        file.write('nonsense')
    _incremental(t, 'full: 4194304 bytes\n')


@case
def example_program_fails():
    """This test will let the example's target be full: it says so, and the
    bitmap is as it was; the same for a bitmap that is busy."""
    t = _device()
    t.ctl.add(t.dev, 'b')
    write_w(t)
    os.makedirs('/tmp/small', exist_ok=True)
    run('mount', '-t', 'tmpfs', '-o', 'size=2M', 'tmpfs', '/tmp/small')
    dm.cleanup.callback(run, 'umount', '/tmp/small')
    before = t.state()
    path = '/tmp/small/copy.img'
    done = run(*_command(t, path), status=1, env=_environment())
    same(done.stderr, f'incremental: {path}: No space left on device\n',
         'words')
    same(t.state(), before, 'state')
    t.freeze()
    done = run(*_command(t), status=1, env=_environment())
    same(done.stderr, "incremental: b: Bitmap 'b' is currently in use by "
         'another operation and cannot be used\n', 'words when busy')


@case(limit=300)
def example_program_killed():
    """This test will kill -9 the example before and after each of its ioctls:
    nothing is frozen, no dirty granule is lost, the next copy is right."""
    preload = {'LD_PRELOAD': f'{BUILT}/lib/preload-kill.so'}
    log = '/tmp/example-ioctls'
    t = _device()
    _incremental(t, 'full: 4194304 bytes\n')
    run(*_command(t), env=_environment(DTR_KILL_LOG=log, **preload))
    with open(log) as file:
        names = [line.split()[1] for line in file]
    os.unlink(log)
    end = next(i for i, n in enumerate(names, 1) if 'ABDICATE' in n)
    true(any('REPORT' in n for n in names[:end]), f'reports in {names}')
    for at in range(1, len(names) + 1):
        for when in 'before', 'after':
            what = f'killed {when} {at} {names[at - 1]}'
            write_w(t, at)
            killed = subprocess.run(
                _command(t), check=False, stdout=subprocess.DEVNULL,
                env=_environment(DTR_KILL_AT=str(at), DTR_KILL_WHEN=when,
                                 **preload))
            same(killed.returncode, -signal.SIGKILL, what)
            ended = at > end or (at == end and when == 'after')
            same((t.info().flags, t.dirty()),
                 (abi.RECORDING, set() if ended else W), what)
            write_d(t, at)
            _incremental(t, 'full: 4194304 bytes\n' if ended else
                         'incremental: 458752 bytes\n')
            same(t.dirty(), set(), f'{what}, and copied again')
