# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether it is noticed that a tracker does not see all writes."""
import json
import os

import dm
from kit import *

UNTRACKED = 'what is written there is not tracked'


def _device():
    """Over a device that nobody has open; the harness does, of a loop's."""
    loop = Loop(8 * M)
    lower = Dm(new_name('lower'), loop.size, 'linear', f'{loop.path} 0')
    lower.size = loop.size
    return lower, Tracked(lower, bitmaps={'b': 64 * K})


def _check(t, status, *faults):
    """Exactly these faults, in their order."""
    answer = json.loads(run('dtrack', 'check', t.name, '--json',
                            status=status).stdout)
    found = [f['text'] for f in answer['findings'] if f['fault']]
    same(found, list(faults), 'faults')
    same(answer['faults'], len(faults), 'number of faults')
    return answer


@case(kernels=('uml',))
def check_finds_what_bypasses_the_tracker():
    """This test will write to the lower device by a mounted table beside, a
    loop device, and a file descriptor: each is found, and gone when it is."""
    lower, t = _device()
    same([f['kind'] for f in _check(t, 0)['findings']], ['no-writes'], 'notes')
    t.fill(0, 4 * K)
    same(_check(t, 0)['findings'], [], 'notes after a write')

    side = Dm(new_name('side'), lower.size, 'linear', f'{lower.path} 0')
    node = f"'/dev/mapper/{lower.name}'"
    held = f"{node} is held by dm-{side.dev[1]} ({side.name})"
    _check(t, 3, f'{held}: {UNTRACKED}')
    run('mkfs.ext4', '-q', side.path)
    os.makedirs('/tmp/mnt', exist_ok=True)
    run('mount', side.path, '/tmp/mnt')
    dm.cleanup.callback(run, 'umount', '/tmp/mnt', status=None)
    _check(t, 3, f'{held}, which is mounted on /tmp/mnt: {UNTRACKED}')
    run('umount', '/tmp/mnt')
    side.reload('linear', f'{t.path} 0', lower.size)
    _check(t, 0)

    loop = run('losetup', '--find', '--show', lower.path).stdout.strip()
    dm.cleanup.callback(run, 'losetup', '-d', loop, status=None)
    _check(t, 3, f"{node} is behind {os.path.basename(loop)}: "
           f'{UNTRACKED}')
    run('losetup', '-d', loop)
    _check(t, 0)

    fd = os.open(lower.path, os.O_RDWR)
    with open('/proc/self/comm') as file:
        comm = file.read().strip()
    _check(t, 3, f"{node} is open for writing in process {os.getpid()} "
           f'({comm}): {UNTRACKED}')
    os.close(fd)
    fd = os.open(lower.path, os.O_RDONLY)
    _check(t, 0)
    os.close(fd)


@case(kernels=('uml',))
def check_finds_what_is_no_tracker():
    """This test will disable, suspend and replace what tracks a device."""
    lower, t = _device()
    t.fill(0, 4 * K)
    t.ctl.disable(t.dev, 'b')
    _check(t, 3, "bitmap 'b' is disabled: it does not record")
    t.ctl.enable(t.dev, 'b')
    t.suspend()
    _check(t, 3, f"'{t.name}' is suspended: its I/O waits")
    # With another table loaded and not live it is still ours.
    t.load('linear', f'{lower.path} 0')
    _check(t, 3, f"'{t.name}' is suspended: its I/O waits")
    t.resume()
    _check(t, 3, f"'{t.name}' is of type 'linear' now: nothing tracks it")
    # And the other way round.
    t.load('dirtytrack', t.line())
    _check(t, 3, f"'{t.name}' is of type 'linear' now: nothing tracks it")
    t.clear()


@case(kernels=('uml',))
def counters_by_the_command():
    """This test will write, and see what 'check' and 'metrics' say of it."""
    lower, t = _device()
    for i in range(5):
        t.fill(i * M, 4 * K)
    dm.discard(t.path, 0, 64 * K)
    writes = _check(t, 0)['writes']
    true(0 <= writes.pop('idle-ms') < 20000, 'time since the last write')
    same(writes, {'writes': {'requests': 5, 'bytes': 20480},
                  'discards': {'requests': 1, 'bytes': 65536},
                  'zeroes': {'requests': 0, 'bytes': 0},
                  'others': {'requests': 0, 'bytes': 0}}, 'counters')
    lines = run('dtrack', 'metrics', t.name).stdout.splitlines()
    at = f'{{device="{t.name}",number="{t.dev[0]}:{t.dev[1]}"'
    for line in (f'dtrack_marked_requests_total{at},kind="write"}} 5',
                 f'dtrack_marked_bytes_total{at},kind="discard"}} 65536',
                 f'dtrack_bitmap_dirty_bytes{at},bitmap="b"}} '
                 f'{5 * 64 * K}'):
        true(line in lines, f'{line} is not in\n' + '\n'.join(lines))
    tree = [line.split() for line in run('dtrack', 'list', t.name)
            .stdout.splitlines()]
    same([line[0].lstrip('|`-') for line in tree],
         ['NAME', t.name, lower.name, 'b'], 'tree')
