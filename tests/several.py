# SPDX-License-Identifier: GPL-2.0-or-later
"""several - the cases of a layer, as many at a time as there are CPUs.

DTR_JOBS=N in the environment makes it N of them, 1 one after the other.
"""
import fcntl
import mmap
import os
import sys
import tempfile
import traceback

JOBS = int(os.environ.get("DTR_JOBS") or len(os.sched_getaffinity(0)))


class Turns:
    """Indices, each of which one of the processes gets. Locks are POSIX's, which a
    fork does not share."""

    def __init__(self):
        self.lock = tempfile.TemporaryFile()
        self.map = mmap.mmap(-1, 8)
        self.next = memoryview(self.map).cast("Q")

    def take(self):
        fcntl.lockf(self.lock, fcntl.LOCK_EX, 1, 0)
        self.next[0] += 1
        index = self.next[0] - 1
        fcntl.lockf(self.lock, fcntl.LOCK_UN, 1, 0)
        return index

    def say(self, fd, text):
        """In one piece."""
        fcntl.lockf(self.lock, fcntl.LOCK_EX, 1, 1)
        while text:
            text = text[os.write(fd, text):]
        fcntl.lockf(self.lock, fcntl.LOCK_UN, 1, 1)


def _work(turns, out, wanted, begin):
    """A process: what it and its children print of a case waits in a file."""
    good = True
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        cases, one = begin()
        names = wanted or list(cases)
        while (index := turns.take()) < len(names):
            good = one(names[index], cases.get(names[index])) and good
            sys.stdout.flush()
            said.seek(0)
            turns.say(out, said.read())
            said.seek(0)
            said.truncate()
    return good


def run(layer, wanted, begin, jobs=JOBS):
    """Runs the cases that are wanted, or all; whether all were good. begin() is
    called in each process and returns a function for each name, and what calls one:
    f(name, function or None), which prints the result and returns whether it is
    good."""
    turns, out, good = Turns(), os.dup(1), True
    sys.stdout.flush()
    for _ in range(jobs):
        if os.fork():
            continue
        status = 2
        try:
            status = 0 if _work(turns, out, wanted, begin) else 1
        except BaseException:
            turns.say(out, traceback.format_exc().encode())
        finally:
            os._exit(status)
    for _ in range(jobs):
        status = os.waitstatus_to_exitcode(os.wait()[1])
        good = good and status == 0
        if status not in (0, 1):  # it died, and a case with it
            print(f"not ok {layer} # a process of cases ended with status {status}", flush=True)
    return good
