# SPDX-License-Identifier: GPL-2.0-or-later
"""Backup runs by build/libdtrack.so, in this process: no program is started,
and what happens during a run happens in its own callbacks."""
import ctypes
import os

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       '../../build/libdtrack.so.0')

SYNCS = {word: i for i, word in enumerate(
    ('full', 'top', 'incremental', 'bitmap', 'none'))}
POLICIES = {word: i for i, word in enumerate(('report', 'ignore', 'stop'))}
PROGRESS, STOPPED, RESUMED = range(3)
STATES = ('ready', 'completed', 'failed', 'cancelled')
FORCE = 1

Notify = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int,
                          ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p)


class Dev(ctypes.Structure):
    _fields_ = [('major', ctypes.c_uint32), ('minor', ctypes.c_uint32)]


class Options(ctypes.Structure):
    _fields_ = [('size', ctypes.c_size_t), ('flags', ctypes.c_uint),
                ('target', ctypes.c_char_p), ('bitmap', ctypes.c_char_p),
                ('sync', ctypes.c_int), ('mode', ctypes.c_int),
                ('consistency', ctypes.c_int),
                ('on_source_error', ctypes.c_int),
                ('on_target_error', ctypes.c_int),
                ('stop_timeout', ctypes.c_uint), ('jobs', ctypes.c_uint),
                ('speed', ctypes.c_uint64), ('notify', Notify),
                ('opaque', ctypes.c_void_p)]


class Result(ctypes.Structure):
    _fields_ = [('state', ctypes.c_int), ('consistency', ctypes.c_int),
                ('bytes_total', ctypes.c_uint64),
                ('bytes_copied', ctypes.c_uint64)]


class Library:
    """One handle."""

    def __init__(self):
        self.so = so = ctypes.CDLL(LIBRARY)
        so.dtrack_errmsg.restype = ctypes.c_char_p
        so.dtrack_errclass.restype = ctypes.c_char_p
        self.h = ctypes.c_void_p()
        if so.dtrack_new(ctypes.byref(self.h)):
            raise MemoryError

    def why(self):
        return (self.so.dtrack_errclass(self.h).decode() + ': ' +
                self.so.dtrack_errmsg(self.h).decode())

    def free(self):
        self.so.dtrack_free(self.h)

    def run(self, dev, notify, **options):
        return Run(self, dev, notify, **options)


class Run:
    """notify(run, event, done, total) must not raise."""

    def __init__(self, library, dev, notify, target, sync, bitmap=None,
                 mode=None, flags=0, on_source_error='report',
                 on_target_error='report'):
        self.library, self.so = library, library.so
        self.notify = Notify(lambda _, event, done, total, message:
                             notify(self, event, done, total))
        o = Options(ctypes.sizeof(Options), flags, target.encode(),
                    bitmap.encode() if bitmap else None, SYNCS[sync],
                    -1 if mode is None else mode, 0,
                    POLICIES[on_source_error], POLICIES[on_target_error],
                    60, 1, 0, self.notify, None)
        self.run = ctypes.c_void_p()
        ret = self.so.dtrack_run_new(library.h, Dev(*dev), ctypes.byref(o),
                                     ctypes.byref(self.run))
        if ret:
            raise OSError(-ret, library.why())

    def execute(self):
        """0 or a negative errno; state and bytes copied."""
        result = Result()
        ret = self.so.dtrack_run_execute(self.run)
        self.so.dtrack_run_result(self.run, ctypes.byref(result),
                                  ctypes.sizeof(result))
        self.free()
        return ret, STATES[result.state], result.bytes_total, \
            result.bytes_copied

    def free(self):
        self.so.dtrack_run_free(self.run)

    def cancel(self):
        self.so.dtrack_run_cancel(self.run)

    def resume(self):
        self.so.dtrack_run_resume(self.run)
