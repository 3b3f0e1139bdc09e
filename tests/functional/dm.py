# SPDX-License-Identifier: GPL-2.0-or-later
"""Device mapper and loop devices by their ioctls, for test cases.

Without dmsetup a reload costs microseconds instead of three processes, and
every errno is seen. Devices remove themselves at the end of the case.
"""
import contextlib
import errno
import fcntl
import mmap
import os
import struct
import time

K, M, G = 1 << 10, 1 << 20, 1 << 30
SECTOR = 512

# What the end of the case has to undo, last first.
cleanup = contextlib.ExitStack()

# ---- Direct I/O ----

BLKROSET, BLKGETSIZE64 = 0x125d, 0x80081272
BLKDISCARD, BLKZEROOUT, BLKFLSBUF = 0x1277, 0x127f, 0x1261


def _aligned(data):
    buf = mmap.mmap(-1, max(len(data), 1))
    buf[:len(data)] = data
    return buf


def open_direct(path, flags=os.O_RDWR):
    return os.open(path, flags | os.O_DIRECT | os.O_CLOEXEC)


def write(path, offset, data):
    """Writes data, whole sectors, past the page cache; returns when acked."""
    fd = open_direct(path)
    try:
        with _aligned(data) as buf:
            if os.pwrite(fd, memoryview(buf)[:len(data)], offset) != len(data):
                raise OSError(errno.EIO, 'short write')
    finally:
        os.close(fd)


def fill(path, offset, length, byte=2):
    write(path, offset, bytes([byte]) * length)


def read(path, offset, length):
    fd = open_direct(path, os.O_RDONLY)
    try:
        with mmap.mmap(-1, length) as buf:
            if os.preadv(fd, [buf], offset) != length:
                raise OSError(errno.EIO, 'short read')
            return buf[:]
    finally:
        os.close(fd)


def _range_ioctl(path, cmd, offset, length):
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.ioctl(fd, cmd, struct.pack('QQ', offset, length))
    finally:
        os.close(fd)


def discard(path, offset, length):
    _range_ioctl(path, BLKDISCARD, offset, length)


def write_zeroes(path, offset, length):
    _range_ioctl(path, BLKZEROOUT, offset, length)


def size_of(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return struct.unpack('Q', fcntl.ioctl(fd, BLKGETSIZE64, bytes(8)))[0]
    finally:
        os.close(fd)


def sync_file(path):
    """A flush without data."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def paint(file, offset, length, byte):
    """Fills a part of a file, by pieces: fresh memory is slow in UML."""
    piece = memoryview(bytes([byte]) * min(length, 64 * K))
    file.seek(offset)
    for begin in range(0, length, 64 * K):
        file.write(piece[:length - begin])


# ---- Loop devices ----

LOOP_CLR_FD, LOOP_SET_CAPACITY, LOOP_CONFIGURE = 0x4c01, 0x4c07, 0x4c0a
LOOP_CTL_GET_FREE = 0x4c82


class Loop:
    """A block device on a sparse file in memory."""
    _next = 0

    def __init__(self, size, byte=None, path=None):
        if path is None:
            Loop._next += 1
            path = f'/tmp/loop.{os.getpid()}.{Loop._next}'
            with open(path, 'wb') as file:
                file.truncate(size)
                if byte is not None:
                    paint(file, 0, size, byte)
            cleanup.callback(os.unlink, path)
        self.file = path
        fd = os.open(path, os.O_RDWR)
        control = os.open('/dev/loop-control', os.O_RDWR)
        try:
            nr = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            self.path = f'/dev/loop{nr}'
            device = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(device, LOOP_CONFIGURE,
                        struct.pack('II', fd, 0) + bytes(296))
            # A case before may have left the node read-only.
            fcntl.ioctl(device, BLKROSET, struct.pack('i', 0))
            # Who has it open for writing uses it.
            self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            os.close(device)
        finally:
            os.close(control)
            os.close(fd)
        self.size = size
        cleanup.callback(self.remove)

    def remove(self):
        if self.fd < 0:
            return
        fcntl.ioctl(self.fd, LOOP_CLR_FD)
        os.close(self.fd)
        self.fd = -1

    def resize(self, size):
        os.truncate(self.file, size)
        fcntl.ioctl(self.fd, LOOP_SET_CAPACITY)
        self.size = size


# ---- Device mapper ----

(DM_DEV_CREATE, DM_DEV_REMOVE, DM_DEV_SUSPEND, DM_DEV_STATUS, DM_TABLE_LOAD,
 DM_TABLE_CLEAR, DM_TABLE_STATUS, DM_TARGET_MSG) = 3, 4, 6, 7, 9, 10, 12, 14
READONLY, SUSPEND, STATUS_TABLE, SKIP_LOCKFS, NOFLUSH = (
    1 << 0, 1 << 1, 1 << 4, 1 << 10, 1 << 11)
QUERY_INACTIVE, BUFFER_FULL = 1 << 12, 1 << 8

_HEADER = struct.Struct('III II IiIII Q 128s129s7x')
_SPEC = struct.Struct('QQiI16s')
assert _HEADER.size == 312 and _SPEC.size == 40


def _dm(nr, name, flags=0, data=b'', targets=0, room=16 * K):
    """One ioctl; flags, dev, number of targets, what followed the header, and
    number of the last event."""
    buf = bytearray(len(data) + room)
    buf[:312] = _HEADER.pack(4, 0, 0, len(buf), 312, targets, 0, flags, 0, 0,
                             0, name.encode(), b'')
    buf[312:312 + len(data)] = data
    fd = os.open('/dev/mapper/control', os.O_RDWR)
    try:
        fcntl.ioctl(fd, 0xc138fd00 | nr, buf)
    finally:
        os.close(fd)
    head = _HEADER.unpack_from(buf)
    if head[7] & BUFFER_FULL and room < M:
        return _dm(nr, name, flags, data, targets, M)
    return head[7], head[10], head[5], bytes(buf[head[4]:head[3]]), head[8]


def _table(lines):
    data = b''
    for start, length, kind, args in lines:
        text = args.encode() + b'\0'
        text += bytes(-len(text) % 8)
        data += _SPEC.pack(start, length, 0, _SPEC.size + len(text),
                           kind.encode()) + text
    return data


class Dm:
    """A mapped device. A table is (kind, args), or a list of lines."""

    def __init__(self, name, size, kind=None, args='', flags=0):
        self.name = name
        self.size = size
        dev = _dm(DM_DEV_CREATE, name)[1]
        self.dev = os.major(dev), os.minor(dev)
        self.path = f'/dev/dm-{self.dev[1]}'
        self.alive = True
        cleanup.callback(self.remove)
        if kind:
            try:
                self.load(kind, args, size, flags)
                self.resume()
            except OSError:
                self.remove()
                raise
            # device-mapper nodes are what libdevmapper users look for
            node = f'/dev/mapper/{name}'
            if not os.path.lexists(node):
                os.symlink(self.path, node)

    def load(self, kind, args, size=None, flags=0):
        lines = [(0, (size or self.size) // SECTOR, kind, args)]
        _dm(DM_TABLE_LOAD, self.name, flags, _table(lines), 1)

    def clear(self):
        _dm(DM_TABLE_CLEAR, self.name)

    def resume(self, flags=0):
        _dm(DM_DEV_SUSPEND, self.name, flags)

    def suspend(self, flags=SKIP_LOCKFS):
        _dm(DM_DEV_SUSPEND, self.name, flags | SUSPEND)

    def reload(self, kind, args, size=None, flags=SKIP_LOCKFS):
        """What 'dmsetup reload; dmsetup resume' does."""
        self.load(kind, args, size, flags & READONLY)
        self.resume(flags)
        self.size = size or self.size

    def message(self, text):
        _dm(DM_TARGET_MSG, self.name, 0,
            struct.pack('Q', 0) + text.encode(errors='surrogateescape') +
            b'\0')

    def _status(self, flags):
        _, _, nr, data, _ = _dm(DM_TABLE_STATUS, self.name, flags)
        if not nr:
            return None
        return data[_SPEC.size:data.index(b'\0', _SPEC.size)].decode()

    def status(self):
        return self._status(0)

    def table(self, flags=0):
        return self._status(STATUS_TABLE | flags)

    def event_nr(self):
        return _dm(DM_DEV_STATUS, self.name)[4]

    def remove(self):
        """The last user may be the kernel's own look at a new disk."""
        node = f'/dev/mapper/{self.name}'
        deadline = time.monotonic() + 60
        while self.alive:
            try:
                _dm(DM_DEV_REMOVE, self.name)
                self.alive = False
                if os.path.islink(node):
                    os.unlink(node)
            except OSError as e:
                if e.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def inflight(self):
        """Writes in flight, by the kernel's count."""
        with open(f'/sys/block/dm-{self.dev[1]}/inflight') as file:
            return int(file.read().split()[1])


class Delay(Dm):
    """Passes reads; keeps writes until release()."""

    def __init__(self, name, lower, size, ms=10 ** 9, below=None):
        super().__init__(name, size, 'delay',
                         f'{lower} 0 0 {below or lower} 0 {ms}')

    def release(self):
        """dm-delay lets all it has go when it is suspended."""
        self.suspend()
        self.resume()


