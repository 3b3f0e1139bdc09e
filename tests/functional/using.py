# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices in use: what is on top of them is found, held still, or refused."""
import json
import os
import struct
import subprocess

import abi
import dm
from kit import *
from runs import *

POINT = '/tmp/using'


def _ext4(path):
    run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=0', path)


def _mount(path, point=POINT):
    os.makedirs(point, exist_ok=True)
    run('mount', path, point)
    dm.cleanup.callback(run, 'umount', point, status=None)


def _above(t):
    """Two linear devices, one on top of the other, as LUKS on a volume group; the
    file system begins at 1 MiB."""
    lower = dm.Dm(new_name('lv'), t.size - M, 'linear', f'{t.path} 2048')
    return dm.Dm(new_name('luks'), t.size - M, 'linear', f'{lower.path} 0')


def _partition(t):
    """A partition of a loop device over the tracked one."""
    entry = struct.pack('<BBBBBBBBII', 0, 0, 2, 0, 0x83, 0, 2, 0, 2048,
                        (t.size - M) // 512)
    dm.write(t.path, 0, bytes(446) + entry + bytes(48) + b'\x55\xaa')
    loop = run('losetup', '-P', '--show', '-f', t.path).stdout.strip()
    dm.cleanup.callback(run, 'losetup', '-d', loop, status=None)
    return loop + 'p1'


def _elsewhere(path):
    """Mounted in a namespace of its own only; the pid of a shell there, which
    writes what it reads to a file."""
    os.makedirs(POINT, exist_ok=True)
    shell = subprocess.Popen(['unshare', '-m', 'sh', '-c',
                              f'mount {path} {POINT} && echo up && '
                              'while read -r name; do '
                              f'echo something >{POINT}/$name; '
                              'echo written; done'],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True)
    dm.cleanup.callback(shell.wait)
    dm.cleanup.callback(shell.stdin.close)
    same(shell.stdout.readline(), 'up\n', 'mount')
    return shell


def _write(name):
    with open(f'{POINT}/{name}', 'w', encoding='ascii') as file:
        file.write('something\n')
    os.sync()


def _is_frozen_for(t, point=POINT, called=POINT, write=_write):
    """A run with --fsfreeze cannot freeze what is frozen: so it has found it.
    Otherwise it freezes it, and lets it go on."""
    fresh_target()
    freezing = [*words(t, 'full', 'on-success'), '--fsfreeze', '--consistency',
                'live']
    run('fsfreeze', '-f', point)
    dm.cleanup.callback(run, 'fsfreeze', '-u', point, status=None)
    refused(t, freezing, f"Could not freeze '{called}': it is frozen already, it "
            'is not known by whom')
    run('fsfreeze', '-u', point)
    run(*freezing)
    write('thawed')


@case(kernels=('uml',))
def fsfreeze_finds_what_is_on_top():
    """This test will mount a file system on a device on a device on the tracked
    one: --fsfreeze freezes it, and the copy without says what it is of."""
    t = Tracked(Loop(32 * M), bitmaps={'b': 64 * K})
    top = _above(t)
    _ext4(top.path)
    _mount(top.path)
    _is_frozen_for(t)
    done = run(*words(t, 'incremental'))
    true(f'({top.name}) is mounted on {POINT}): the copy is live' in done.stderr,
         done.stderr)


@case(kernels=('uml',))
def fsfreeze_finds_partitions():
    """This test will do so with a partition of a loop device over it."""
    t = Tracked(Loop(32 * M), bitmaps={'b': 64 * K})
    top = _partition(t)
    _ext4(top)
    _mount(top)
    _is_frozen_for(t)


@case(kernels=('uml',))
def fsfreeze_in_other_namespaces():
    """This test will mount the device in another mount namespace only: it is
    frozen there, and told of."""
    t = Tracked(Loop(32 * M), bitmaps={'b': 64 * K})
    _ext4(t.path)
    shell = _elsewhere(t.path)
    true(t.path not in open('/proc/self/mounts', encoding='ascii').read(),
         'it is mounted here, too')

    def write(name):
        shell.stdin.write(f'{name}\n')
        shell.stdin.flush()
        same(shell.stdout.readline(), 'written\n', name)

    pid = shell.pid
    space = f' in the mount namespace of process {pid} (sh)'
    _is_frozen_for(t, f'/proc/{pid}/root{POINT}', POINT + space, write)
    done = run(*words(t, 'incremental'))
    true(f'mounted on {POINT}{space}' in done.stderr, done.stderr)


@case(kernels=('uml',))
def fsfreeze_that_cannot_be_kept():
    """This test will use a device without a file system, by a process that has it
    open for writing, by one that has claimed it, and by one beside a file system:
    --fsfreeze is refused before anything is frozen; without it the copy says that
    it is live."""
    t = Tracked(Loop(32 * M), bitmaps={'b': 64 * K})
    fresh_target()
    freezing = [*words(t, 'full', 'on-success'), '--fsfreeze',
                '--consistency', 'live']
    for flags, how in ((os.O_RDWR, 'open for writing in process '),
                       (os.O_RDONLY | os.O_EXCL, 'used by another program')):
        fd = os.open(t.path, flags)
        refused(t, freezing, f"Could not freeze all that uses '{t.name}': no file "
                f'system is to be seen where it is in use: {how}', part=True)
        true(not os.path.exists(TARGET), 'a target was made')
        done = run(*words(t, 'full', 'on-success'))
        true(f'the device is in use ({how}' in done.stderr, done.stderr)
        os.close(fd)
        fresh_target()
    backup(t, 'full', 'on-success', '--fsfreeze')
    lv = [dm.Dm(new_name('lv'), 16 * M, 'linear', f'{t.path} {i * 32768}')
          for i in range(2)]
    _ext4(lv[0].path)
    _mount(lv[0].path)
    # A volume that nobody uses does not matter.
    run(*freezing)
    fd = os.open(lv[1].path, os.O_RDWR)
    refused(t, freezing, f'({lv[1].name}) is open for writing in process ',
            part=True)
    os.close(fd)
    run(*freezing)


@case(kernels=('uml',))
def devices_that_are_open_are_in_use():
    """This test will have devices open for writing, without a claim: they are not
    restored onto, created over or written as a target, and are compared live."""
    t = tracked(bitmaps={'b': 64 * K})
    fresh_target()
    backup(t, 'full', 'on-success')
    other = Loop(4 * M)
    how = f'is in use: open for writing in process {os.getpid()} '
    for path, line in (
            (t.path, ['dtrack', 'restore', TARGET, t.name]),
            (other.path, ['dtrack', 'create', t.name + 'x', other.path]),
            (other.path, words(t, 'full', 'on-success', target=other.path))):
        fd = os.open(path, os.O_RDWR)
        refused(t, line, how, 'Busy', part=True)
        os.close(fd)
    fd = os.open(t.path, os.O_RDWR)
    it = json.loads(run('dtrack', 'verify', t.name, TARGET, '--json').stdout)
    same(it['live'], True, 'live while it is open for writing')
    os.close(fd)
    it = json.loads(run('dtrack', 'verify', t.name, TARGET, '--json').stdout)
    same(it['live'], False, 'live')
    run('dtrack', 'restore', TARGET, t.name)


@case(kernels=('uml',))
def target_on_an_overlay_with_blanks():
    """This test will have a target on an overlay whose upper directory is on the
    tracked device and has a blank and a comma in its name."""
    t = Tracked(Loop(32 * M), bitmaps={'b': 64 * K})
    _ext4(t.path)
    _mount(t.path)
    for name in 'up per', 'w,ork', 'lo wer', 'all':
        os.makedirs(f'{POINT}/{name}')
    os.makedirs('/tmp/using-lower', exist_ok=True)
    os.makedirs('/tmp/using-all', exist_ok=True)
    run('mount', '-t', 'overlay', 'overlay', '-o',
        f'lowerdir=/tmp/using-lower,upperdir={POINT}/up per,'
        f'workdir={POINT}/w\\,ork', '/tmp/using-all')
    dm.cleanup.callback(run, 'umount', '/tmp/using-all', status=None)
    refused(t, words(t, 'full', 'on-success', target='/tmp/using-all/t'),
            f"Target '/tmp/using-all/t' lies on the tracked device '{t.name}'")


def _has(name, content):
    """Whether the copy, once its journal is replayed, has the file."""
    os.makedirs('/tmp/using-copy', exist_ok=True)
    run('mount', '-o', 'loop', TARGET, '/tmp/using-copy')
    with open(f'/tmp/using-copy/{name}', 'rb') as file:
        same(file.read(), content, name)
    run('umount', '/tmp/using-copy')


@case(kernels=('uml',))
def files_just_written_are_in_the_copy():
    """This test will write files to a mounted file system and, without a sync,
    run an incremental, then one in a transaction, then one of a file system that
    is frozen and cannot be written: each has what was written before."""
    t = Tracked(Loop(32 * M), bitmaps={'b': 64 * K})
    _ext4(t.path)
    _mount(t.path)
    fresh_target()
    backup(t, 'full', 'on-success')
    data = os.urandom(200 * K)
    for name, how in ('one', 'backup'), ('two', 'transaction'), ('three', 'frozen'):
        with open(f'{POINT}/{name}', 'wb') as file:
            file.write(data)
        if how == 'transaction':
            text = json.dumps({'actions': [{'type': 'blockdev-backup', 'data': {
                'device': t.name, 'target': TARGET, 'sync': 'incremental',
                'bitmap': 'b'}}]})
            copied = json.loads(run('dtrack', 'transaction', '-', '--json',
                                    input=text).stdout)['actions'][0]['bytes-copied']
        elif how == 'frozen':
            run('fsfreeze', '-f', POINT)
            dm.cleanup.callback(run, 'fsfreeze', '-u', POINT, status=None)
            copied = backup(t, 'incremental')['bytes-copied']
            run('fsfreeze', '-u', POINT)
        else:
            copied = backup(t, 'incremental')['bytes-copied']
        true(copied >= len(data), f'{how} copied {copied}')
        _has(name, data)
