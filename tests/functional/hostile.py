# SPDX-License-Identifier: GPL-2.0-or-later
"""What comes from outside is refused, and changes nothing (I9)."""
import ctypes
import mmap
import os

import abi
import dm
from kit import *

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                     '../../build/tests/functional')


@case
def hostile_table_lines():
    """This test will load table lines that are wrong in one respect each: each
    is refused, and the live table and its bitmaps are as they were."""
    loop = Loop(4 * M)
    t = Tracked(loop, bitmaps={'b': 64 * K})
    t.fill(0)
    path = loop.path
    ok = f'{path} 0'
    before = t.state()
    for args, size in (
            ('', 4 * M), (path, 4 * M), ('/dev/nowhere 0', 4 * M),
            ('/dev/null 0', 4 * M), (f'{path} x', 4 * M),
            (f'{path} -1', 4 * M), (f'{path} 8192', 4 * M),
            (f'{path} 1', 4 * M), (ok, 4 * M + 512),
            (f'{path} 18446744073709551615', 512),
            (f'{path} 18446744073709551616', 512),
            (f'{path} 36028797018963968', 512), (ok, 1 << 63),
            (f'{ok} x', 4 * M), (f'{ok} 1', 4 * M), (f'{ok} -1', 4 * M),
            (f'{ok} 0 clean', 4 * M), (f'{ok} 2 clean', 4 * M),
            (f'{ok} 4294967297 clean', 4 * M), (f'{ok} 1000 clean', 4 * M),
            (f'{ok} 1 unknown', 4 * M), (f'{ok} 1 Clean', 4 * M),
            (f'{ok} 1 bitmap', 4 * M), (f'{ok} 2 bitmap n', 4 * M),
            (f'{ok} 3 bitmap n x', 4 * M), (f'{ok} 3 bitmap n 64k', 4 * M),
            (f'{ok} 3 bitmap n 0', 4 * M), (f'{ok} 3 bitmap n -1', 4 * M),
            (f'{ok} 3 bitmap n 256', 4 * M), (f'{ok} 3 bitmap n 65535', 4 * M),
            (f'{ok} 3 bitmap n 4294967296', 4 * M),
            (f'{ok} 3 bitmap a:b 4096', 4 * M),
            (f'{ok} 3 bitmap a/b 4096', 4 * M),
            (f'{ok} 3 bitmap a"b 4096', 4 * M),
            (f'{ok} 3 bitmap {"n" * 1024} 4096', 4 * M),
            (f'{ok} 6 bitmap n 4096 bitmap n 4096', 4 * M),
            (f'{ok} 3 bitmap b 4096', 4 * M),
            (f'{ok} 2 metadata {path}', 4 * M)):
        with fails('EINVAL', 'ENOENT', 'ENODEV', 'EEXIST', 'ENOTBLK',
                   'EOPNOTSUPP', 'ERANGE'):
            t.load('dirtytrack', args, size)
        same(t.state(), before, f'after {args!r}')
        same(t.table(dm.QUERY_INACTIVE), None, 'the inactive table')
    many = ' '.join(f'bitmap n{i} 65536' for i in range(256))
    with fails('EOVERFLOW'):
        t.load('dirtytrack', f'{ok} 768 {many}')
    same(t.state(), before, 'after 257 bitmaps')
    # one target to a device
    with fails('EINVAL'):
        dm._dm(dm.DM_TABLE_LOAD, t.name, 0, dm._table(
            [(0, 4096, 'dirtytrack', ok), (4096, 4096, 'linear', ok)]), 2)
    same(t.state(), before, 'after two lines')


@case
def hostile_messages():
    """This test will send messages that are wrong: each is refused and changes
    nothing."""
    t = tracked(bitmaps={'b': 64 * K, 'x': 4 * K})
    t.fill(0)
    before = t.state()
    for message in (
            'x', 'bitmap', 'bitmap-add', 'bitmap-add n 4096 more',
            'bitmap-add n 0', 'bitmap-add n 64k', 'bitmap-add n -1',
            'bitmap-add n 18446744073709551616', 'bitmap-add n 513',
            'bitmap-add a:b', 'bitmap-add a/b', 'bitmap-add a"b',
            'bitmap-add a\udcffb', f'bitmap-add {"n" * 1024}', 'bitmap-add b',
            'bitmap-remove', 'bitmap-remove b x', 'bitmap-remove n',
            'bitmap-clear', 'bitmap-clear n', 'bitmap-clear b x',
            'bitmap-enable', 'bitmap-enable n', 'bitmap-disable n',
            'bitmap-merge', 'bitmap-merge n', 'bitmap-merge n b',
            'bitmap-merge b n', 'bitmap-merge b x n',
            'bitmap-merge b ' + 'x ' * 257,
            'bitmap-freeze', 'bitmap-freeze n', 'bitmap-freeze b x',
            'bitmap-abdicate b', 'bitmap-abdicate n', 'bitmap-reclaim b',
            'bitmap-reclaim', 'BITMAP-ADD n', 'bitmap-add-n', 'bitmap-ad n'):
        with fails('EINVAL', 'ENOENT', 'EEXIST', 'ENODATA'):
            t.message(message)
        same(t.state(), before, f'after {message!r}')


@case(kernels=('uml',))
def malformed_message_is_explained():
    """This test will send malformed messages: the kernel log names the field."""
    t = tracked(bitmaps={'b': 64 * K})
    t.freeze('b', abi.NEVER, flags=abi.FREEZE_NO_OWNER)
    log = os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK)
    dm.cleanup.callback(os.close, log)
    os.lseek(log, 0, os.SEEK_END)
    granularity = ('Granularity must be power of 2, at least 512 and at most '
                   '2147483648')
    words = 'Wrong number of words in message'
    for message, why in (
            ('x b', 'Unknown message'), ('bitmap-add', words),
            ('bitmap-remove b x', words), ('bitmap-add n 64k', granularity),
            ('bitmap-add n 513', granularity), ('bitmap-add n 0', granularity),
            ('bitmap-add a:b', 'Invalid bitmap name'),
            (f'bitmap-add {"n" * 1024} 512', 'Invalid bitmap name'),
            ('bitmap-abdicate b', "A freeze in mode 'never' cannot abdicate")):
        with fails('EINVAL'):
            t.message(message)
        line = os.read(log, 8192).decode().split(';', 1)[1]
        same(line, f'device-mapper: dirtytrack: {t.dev[0]}:{t.dev[1]}: '
             f'{why}\n', message)


def _sweep(program):
    if not os.path.exists(program):
        raise Skip('no 32-bit C library on the machine that built it')
    t = tracked(bitmaps={'f': 64 * K, 'b': 64 * K})
    t.fill(0)
    t.freeze('f', flags=abi.FREEZE_NO_OWNER)
    t.fill(M)
    lower = os.stat(t.lower.path).st_rdev
    before = t.state()
    done = run(program, *t.dev, os.major(lower), os.minor(lower), status=None)
    true(done.returncode == 0, f'surprises: {done.stdout.splitlines()[:5]} '
         f'{done.stderr}')
    same(t.state(), before, 'state')
    t.reclaim('f')


@case
def hostile_ioctls_64_bit():
    """This test will send every command every kind of bad struct."""
    _sweep(f'{BUILD}/ioctl-sweep-64')


# User-mode Linux runs no 32-bit programs.
@case(kernels=STOCK_KERNELS)
def hostile_ioctls_32_bit():
    """This test will do the same as a 32-bit program."""
    _sweep(f'{BUILD}/ioctl-sweep-32')


@case
def hostile_result_address():
    """This test will give structs that can be read and not written: what then
    fails with EFAULT has changed nothing."""
    t = tracked()
    t.fill(0)
    before = t.state()
    page = mmap.mmap(-1, 8192)
    arg = abi.STRUCTS[abi.FREEZE].from_buffer(page)
    libc = ctypes.CDLL(None, use_errno=True)
    address = ctypes.addressof(arg)
    for cmd in (abi.FREEZE, abi.ADD, abi.CLEAR, abi.DISABLE, abi.REMOVE):
        kind = abi.STRUCTS[cmd]
        libc.mprotect(ctypes.c_void_p(address), 8192, 3)
        ctypes.memset(address, 0, 8192)
        struct = kind.from_address(address)
        struct.size = ctypes.sizeof(kind)
        struct.dev.major, struct.dev.minor = t.dev
        struct.name = b'n' if cmd == abi.ADD else b'b'
        libc.mprotect(ctypes.c_void_p(address), 8192, 1)
        result = libc.ioctl(t.ctl.fd, cmd, ctypes.c_void_p(address))
        same((result, ctypes.get_errno()), (-1, 14), f'command {cmd & 255}')
        same(t.state(), before, f'after command {cmd & 255}')
    libc.mprotect(ctypes.c_void_p(address), 8192, 3)
    del arg, struct


@case
def hostile_limits():
    """This test will add bitmaps up to the limits of number and memory."""
    t = tracked(bitmaps={f'n{i}': 64 * K for i in range(256)})
    before = t.state()
    with fails('EOVERFLOW'):
        t.ctl.add(t.dev, 'one-more')
    same(t.state(), before, 'state')
    same(len(t.status().split()), 2 + 6 * 256 + 9, 'words of status')
    t.ctl.remove(t.dev, 'n7')
    t.ctl.add(t.dev, 'one-more')
    # 1 MiB allowed; 64 GiB at 512 bytes need 16 MiB and a live map
    knob = '/sys/module/dm_dirtytrack/parameters/max_memory_mb'
    big = Tracked(Dm(new_name('zero'), 64 * G, 'zero'))
    with open(knob) as file:
        old = file.read()
    dm.cleanup.callback(lambda: open(knob, 'w').write(old))
    with open(knob, 'w') as file:
        file.write('1')
    with fails('EOVERFLOW'):
        big.ctl.add(big.dev, 'b', 512)
    big.ctl.add(big.dev, 'b', 1 * M)
    with fails('EOVERFLOW'):
        big.load('dirtytrack', big.line('bitmap new 512'))
    with open(knob, 'w') as file:
        file.write('40')
    big.ctl.add(big.dev, 'new', 512)


@case
def hostile_callers():
    """This test will ask as nobody, and as root without CAP_SYS_ADMIN: looking
    is for who may open the file, changing needs the capability."""
    t = tracked()
    t.fill(0)
    before = t.state()

    def nobody():
        os.setgid(65534)
        os.setuid(65534)
        os.open('/dev/dirtytrack', os.O_RDONLY)
    same(wait(start(nobody)), 13, 'nobody opens it: EACCES')

    def without_capability():
        libc = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        caps = (ctypes.c_uint32 * 6)()
        libc.capget(header, caps)
        for i in 0, 1, 2:
            caps[i] &= ~(1 << 21)
        if libc.capset(header, caps):
            raise OSError(ctypes.get_errno(), 'capset')
        ctl = abi.Control()
        same(ctl.info(t.dev, 'b').count, 64 * K, 'count')
        same(ctl.extents(t.dev, 'b'), [(0, 64 * K)], 'extents')
        for op in (lambda: ctl.add(t.dev, 'n'), lambda: ctl.clear(t.dev, 'b'),
                   lambda: ctl.remove(t.dev, 'b'),
                   lambda: ctl.freeze(t.dev, 'b'),
                   lambda: ctl.enable(t.dev, 'b'),
                   lambda: ctl.disable(t.dev, 'b'),
                   lambda: ctl.reclaim(t.dev, 'b', 0, abi.END_FORCE),
                   lambda: ctl.merge(t.dev, 'b', []),
                   lambda: ctl.load(t.dev, 'b', 0, 0, b'', abi.BITS_BEGIN)):
            with fails('EPERM'):
                op()
    same(wait(start(without_capability)), 0, 'root without CAP_SYS_ADMIN')
    same(t.state(), before, 'state')


# ---- Memory that runs out on command ----

def _quiet():
    """Injected failures say so in the kernel log, which is read for splats."""
    for knobs in 'failslab', 'fail_page_alloc', 'fail_usercopy':
        path = f'/sys/kernel/debug/{knobs}/verbose'
        if os.path.exists(path):
            with open(path, 'w') as file:
                file.write('0')


def _fail_nth(n):
    fd = os.open('/proc/self/fail-nth', os.O_RDWR)
    if n:
        os.write(fd, str(n).encode())
    else:
        _disarm(fd)
    os.close(fd)


def _settle(t):
    """Nothing frozen, all recording, none but the first two bitmaps."""
    for info in t.ctl.infos(t.dev):
        name = info.name.decode()
        if info.flags & abi.BUSY:
            t.ctl.reclaim(t.dev, name, 0, abi.END_FORCE)
        if name not in ('b', 'x'):
            t.ctl.remove(t.dev, name)
        else:
            t.ctl.enable(t.dev, name)


def _disarm(fd):
    """How many were left; looking may itself be what fails."""
    while True:
        try:
            left = os.pread(fd, 16, 0)
            os.pwrite(fd, b'0', 0)
            return left
        except OSError as e:
            same(e.errno, errno.EFAULT, 'fail-nth')
            left = b'0'


def _failing_everywhere(t, op, undo, what):
    """Fails the first, second, … allocation of op until it gets through."""
    for n in range(1, 200):
        before = t.state()
        fd = os.open('/proc/self/fail-nth', os.O_RDWR)
        # the write arms it; our own next allocations are the kernel's too
        os.write(fd, str(n).encode())
        try:
            op()
            error = 0
        except OSError as e:
            error = e.errno
        left = _disarm(fd)
        os.close(fd)
        if error == errno.EFAULT:
            # Not memory but a copy to or from the user, the last one perhaps:
            # then the command was done and only its answer is missing.
            _settle(t)
            continue
        if error:
            same(error, errno.ENOMEM, f'{what}, allocation {n}: errno')
            same(t.state(), before, f'{what}, allocation {n}: state')
            continue
        if int(left) > 0:
            undo()
            return n
        undo()
    raise AssertionError(f'{what}: it never got through')


@case(kernels=('uml-debug',), limit=120)
def hostile_memory_at_each_ioctl():
    """This test will fail each allocation of each ioctl in turn: it succeeds,
    or it is ENOMEM and nothing has changed."""
    _quiet()
    t = tracked(bitmaps={'b': 4 * K, 'x': 4 * K})
    write_w(t)
    other = abi.Control()
    runs = []
    raw = t.ctl.bits(t.dev, 'b', 0, 4 * M, 128)
    for what, op, undo in (
            ('add', lambda: t.ctl.add(t.dev, 'n', 4 * K),
             lambda: t.ctl.remove(t.dev, 'n')),
            ('info', lambda: t.info(), lambda: None),
            ('extents', lambda: t.extents(), lambda: None),
            ('list', lambda: t.ctl.list(), lambda: None),
            ('clear', lambda: t.ctl.clear(t.dev, 'x'), lambda: None),
            ('disable', lambda: t.ctl.disable(t.dev, 'x'),
             lambda: t.ctl.enable(t.dev, 'x')),
            ('merge', lambda: t.ctl.merge(t.dev, 'x', [(t.dev, 'b')]),
             lambda: t.ctl.clear(t.dev, 'x')),
            ('freeze', lambda: runs.append(t.freeze()),
             lambda: t.reclaim(run=runs.pop())),
            ('freeze always', lambda: runs.append(t.freeze(mode=abi.ALWAYS)),
             lambda: t.reclaim(run=runs.pop())),
            ('freeze always all',
             lambda: runs.append(t.freeze(mode=abi.ALWAYS, set=abi.SET_ALL)),
             lambda: t.reclaim(run=runs.pop())),
            ('load', lambda: other.load(t.dev, 'x', 0, 4 * M, raw,
                                        abi.BITS_BEGIN | abi.BITS_COMMIT),
             lambda: t.ctl.clear(t.dev, 'x'))):
        # the summary state of x must not depend on the round
        t.ctl.clear(t.dev, 'x')
        n = _failing_everywhere(t, op, undo, what)
        print(f'# {what}: {n - 1} allocations')
        if what.startswith('freeze'):
            t.ctl.clear(t.dev, 'b')
            write_w(t)


@case(kernels=('uml-debug',), limit=120)
def hostile_memory_at_table_load():
    """This test will fail each allocation of a table's load, and of its
    resume: a load fails cleanly, a resume never does."""
    _quiet()
    t = Tracked(Loop(8 * M), 4 * M, bitmaps={'b': 4 * K})
    write_w(t)
    _failing_everywhere(
        t, lambda: t.load('dirtytrack', t.line('bitmap n 4096'), 8 * M),
        t.clear, 'load')
    dirty = t.dirty('b', 4 * K)
    for n in range(1, 60):
        size = (8 * M, 4 * M)[n % 2]
        t.load('dirtytrack', t.line(), size)
        t.suspend()
        _fail_nth(n)
        try:
            t.resume(dm.SKIP_LOCKFS)
        except OSError as e:
            # device-mapper's own allocations may fail before our turn
            _fail_nth(0)
            true(e.errno in (errno.ENOMEM, errno.EFAULT), f'resume: {e}')
            t.resume(dm.SKIP_LOCKFS)
        _fail_nth(0)
        t.fill(size - 4 * K, 4 * K)
        now = t.dirty('b', 4 * K)
        true(size // (4 * K) - 1 in now, f'{n}: a write at the end is lost')
        same({g for g in dirty if g * 4 * K < 4 * M} - now, set(),
             f'{n}: lost granules')
