# SPDX-License-Identifier: GPL-2.0-or-later
"""Backups of real devices onto servers: what is on the other side and what the
bitmap says fit each other, however a run ends. Everything else about servers
needs no kernel and is in tests/targets."""
import os
import re
import signal
import subprocess

import dm
from kit import *
from runs import *

SOCKET = '/tmp/nbd-socket'
EXPORT = f'nbd+unix:///?socket={SOCKET}'


def _served(*args):
    """An nbdkit that has TARGET, which is empty unless it is there."""
    if os.path.exists(SOCKET):
        os.unlink(SOCKET)
    if not os.path.exists(TARGET):
        fresh_target()
        with open(TARGET, 'wb') as file:
            file.truncate(4 * M)
    server = subprocess.Popen(
        ['nbdkit', '-f', '-U', SOCKET, *args[:1], 'file', TARGET, *args[1:]])
    dm.cleanup.callback(server.wait)
    dm.cleanup.callback(server.kill)
    wait_for(lambda: os.path.exists(SOCKET), 'the server')
    return server


def _covered(t, image=TARGET):
    """Whatever is not on the other side is dirty."""
    wrong = {at // (64 * K) for at in range(0, t.size, 64 * K)
             if dm.read(t.path, at, 64 * K) != read_file(image, at, 64 * K)}
    true(wrong <= t.dirty(), f'{wrong - t.dirty()} differ and are clean')
    return wrong


@case(kernels=('uml',))
def targets_nbd_incremental():
    """This test will copy a device to a server, and then what was written."""
    t = Tracked(Loop(4 * M, byte=0x11), bitmaps={'b': 64 * K})
    _served()
    backup(t, 'full', 'on-success', target=EXPORT)
    same(_covered(t), set(), 'after the full backup')
    same(t.dirty(), set(), 'after the full backup')
    write_w(t)
    backup(t, 'incremental', target=EXPORT)
    same(_covered(t), set(), 'after the incremental backup')
    same(t.dirty(), set(), 'after the incremental backup')


@case(kernels=('uml',))
def targets_nbd_server_killed():
    """This test will kill the server midway, in each mode: what it has not got
    for certain is dirty, and the next run, to its heir, copies it."""
    t = Tracked(Loop(4 * M, byte=0x11), bitmaps={'b': 64 * K})
    for mode in 'always', 'on-success':
        fresh_target()
        t.ctl.clear(t.dev, 'b')
        t.fill(0, 4 * M, 0x22)
        server = _served('--filter=delay', 'wdelay=400ms')
        it = subprocess.Popen(
            words(t, 'bitmap', mode, target=EXPORT) +
            ['--jobs', '4', '--request-size', '64K', '--json'],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: any(read_file(TARGET, 8 * 64 * K, 1)), 'some writes')
        server.send_signal(signal.SIGKILL)
        out, err = it.communicate(timeout=150)
        same((it.returncode, err.count('\n')), (1, 1), f'the run: {err}')
        true('the server is lost: ' in err, err)
        true(json.loads(out)['bytes-copied'] < 4 * M, out)
        _covered(t)
        if mode == 'on-success':
            same(t.dirty(), set(range(64)), 'after the failure')
        _served()
        backup(t, 'bitmap', mode, target=EXPORT)
        same((_covered(t), t.dirty()), (set(), set()), 'after the next run')


@case(kernels=('uml',))
def targets_nbd_memory():
    """This test will keep all requests of a run in flight: it has the 16 MiB at the
    peak that any run has, shared libraries among them."""
    t = Tracked(Loop(16 * M, byte=0x11))
    fresh_target()
    with open(TARGET, 'wb') as file:
        file.truncate(16 * M)
    _served('--filter=delay', 'wdelay=200ms')
    it = subprocess.Popen(words(t, 'full', bitmap=None, target=EXPORT))
    wait_for(lambda: any(read_file(TARGET, 12 * M, 1)), 'the last quarter')
    with open(f'/proc/{it.pid}/status', encoding='ascii') as file:
        peak = int(re.search(r'VmHWM:\s+(\d+) kB', file.read())[1])
    same(it.wait(150), 0, 'the run')
    true(peak <= 16 * K, f'{peak} KiB at the peak')


@case(kernels=('uml',))
def targets_qcow2_server_killed():
    """This test will kill the qemu-nbd of a run: the chain is as it was, and so
    is the bitmap."""
    fresh_target('/tmp/0')
    fresh_target('/tmp/1')
    t = Tracked(Loop(4 * M, byte=0x11), bitmaps={'b': 4 * K})
    backup(t, 'full', 'on-success', target='qcow2:/tmp/0')
    for at in range(0, 4 * M, 20 * K):
        t.fill(at, 4 * K, 0x33)
    before = t.extents()
    it = subprocess.Popen(
        words(t, 'incremental', target='qcow2:/tmp/1,backing=/tmp/0') +
        ['--speed', '64K'], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: os.path.exists('/tmp/1.incomplete') and
             os.path.getsize('/tmp/1.incomplete') > 512 * K, 'some clusters')
    run('pkill', '-KILL', '-x', 'qemu-nbd')
    err = it.communicate(timeout=150)[1]
    same(it.returncode, 1, err)
    true('the server is lost: ' in err, err)
    same(t.extents(), before, 'dirty extents')
    true(not os.path.exists('/tmp/1'), 'half an image')
    backup(t, 'incremental', target='qcow2:/tmp/1,backing=/tmp/0')
    same(t.extents(), [], 'dirty extents in the end')
    same(cli('verify', t.name, '/tmp/1')['status'], 'same', 'the image')
    same(cli('verify', t.name, '/tmp/0', status=3)['status'], 'different',
         'the one below')
