# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs of 'dtrack run' for test cases: a fixture with a night's kernel, and what
may happen to its files in between."""
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import struct
import subprocess

from kit import *

STEP = 131072
FIRST = "there is no restore point yet"


# Beside the chains.
OWN = ("status.json", "lock", "repository.json", "making")


class Nights:
    """A job of devices a, b ..., each night with a kernel whose bitmaps are
    where the last one left them."""

    def __init__(self, nr=1, **keys):
        self.folder = os.path.join(scratch, "folder")
        self.config = os.path.join(scratch, "job.conf")
        self.nr, self.generation = nr, None
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        # the job is a new one, too
        shutil.rmtree(os.path.join(scratch, "var-lib-dtrack"), ignore_errors=True)
        self.script = ""
        for i in range(nr):
            source = os.path.join(scratch, f"source{i}")
            with open(source, "wb") as f:
                f.write(os.urandom(SIZE))
            self.script += (f"FILE {source} {7 + i}\n"
                            f"DEV 4001:{7 + i} 4194304 4001:{20 + i}\n"
                            f"DM 4001:{7 + i} t{i} dirtytrack - 4001:{20 + i} 0\n")
        self.configure(**keys)

    def configure(self, device="", **keys):
        keys = {"format": "raw", **keys}
        self.form = keys["format"]
        with open(self.config, "w") as f:
            f.write(f"[job]\nfolder = {self.folder}\n")
            for key, value in keys.items():
                f.write(f"{key.replace('_', '-')} = {value}\n")
            for i in range(self.nr):
                f.write(f"[device {'ab'[i]}]\ndevice = /dev/mock/{7 + i}\n"
                        f"bitmap = n\n{device}")

    def kernel(self, more="", **keys):
        """None: there are no bitmaps."""
        if self.generation is None:
            return self.script + more
        keys = {"uuid": "0xcc", "generation": self.generation, "count": STEP, **keys}
        line = " ".join(f"{k.replace('_', '-')}={v}" for k, v in keys.items())
        return self.script + "".join(f"BITMAP 4001:{7 + i} n {line}\n"
                                     for i in range(self.nr)) + \
            f"EXTENT 65536 {STEP}\n" + more

    def run(self, *args, more="", **keys):
        return run("run", self.config, *args, script=self.kernel(more, **keys))

    def change(self):
        for i in range(self.nr):
            with open(os.path.join(scratch, f"source{i}"), "r+b") as f:
                f.seek(65536)
                f.write(os.urandom(STEP))

    def content(self):
        return [open(os.path.join(scratch, f"source{i}"), "rb").read()
                for i in range(self.nr)]

    def night(self, kind, why="", **keys):
        """One that ends well: the restore point, as its line has it."""
        self.change()
        r = self.run(**keys)
        name = r"(\d{6,}-\d{8}T\d{6}Z)"
        line = f"dtrack: run {self.config}: " + \
            (rf"full copy {name} \({re.escape(why)}\): {SIZE * self.nr}"
             if kind == "full" else
             rf"incremental copy {name} of chain {name}: {STEP * self.nr}") + \
            r" bytes copied(, \d old chains? removed)?(; '.*' is kept: .*)?\n"
        m = re.fullmatch(line, r.err)
        true(r.status == 0 and m, f"exit {r.status}, {r.err!r} is not {line}")
        self.generation = (self.generation or 1) + 1
        if kind == "full":
            self.chain = m.group(1)
        else:
            equal(self.chain, m.group(2), "the chain")
        self.point = m.group(1)
        equal(self.content(), self.images(), "the images")
        true(self.status()["status"] == "completed", self.status())
        return r

    def path(self, *names, chain=None, point=None):
        return os.path.join(self.folder, chain or self.chain, point or self.point,
                            *names)

    def images(self, **where):
        return [self.image(self.path(f"{'ab'[i]}.{self.form}", **where))
                for i in range(self.nr)]

    def image(self, path):
        if self.form == "qcow2":
            raw = os.path.join(scratch, "raw")
            qemu_img("convert", "-O", "raw", path, raw)
            path = raw
        with open(path, "rb") as f:
            return f.read()

    def status(self):
        with open(os.path.join(self.folder, "status.json")) as f:
            return json.load(f)

    def fails(self, why, *args, cls="GenericError", status="failed", **keys):
        """Nothing changes but the status."""
        before = self.listing()
        r = self.run(*args, **keys)
        equal((1, f"dtrack: run {self.config}: {why}\n"), (r.status, r.err))
        equal(before, self.listing(), "the folder")
        if status:
            doc = self.status()
            equal((status, cls), (doc["status"], doc["error"]["class"]), "the status")
            true(r.err.endswith(doc["error"]["message"] + "\n"), doc)
        return r

    def listing(self):
        return sorted(os.path.join(d, f) for d, _, files in os.walk(self.folder)
                      for f in [*files, ""]
                      if f not in OWN)

    def chains(self):
        return sorted(c for c in os.listdir(self.folder)
                      if c not in OWN)


def qemu_img(*args):
    return subprocess.run(["qemu-img", *args], check=True, timeout=LIMIT,
                          stdout=subprocess.PIPE).stdout.decode()


def edit(path, **keys):
    with open(path) as f:
        doc = json.load(f)
    doc.update(keys)
    with open(path, "w") as f:
        json.dump(doc, f)


def rot(path, at=3 * 65536):
    """A byte of a file is another one, and nobody has written it."""
    stat = os.stat(path)
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@contextlib.contextmanager
def immutable(path):
    """A file that root cannot remove either."""
    FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL = 0x80086601, 0x40086602, 0x10
    # nobody has it open: that would keep it by itself
    held = os.open(path, os.O_PATH)

    def flag(on):
        fd = os.open(f"/proc/self/fd/{held}", os.O_RDONLY)
        flags, = struct.unpack("l", fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8)))
        flags = flags | FS_IMMUTABLE_FL if on else flags & ~FS_IMMUTABLE_FL
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("l", flags))
        os.close(fd)
    flag(True)
    try:
        yield
    finally:
        flag(False)
        os.close(held)


def killed(n, at, when="before", **keys):
    p = subprocess.run([DTRACK, "run", n.config],
                       env=environment(n.kernel(**keys), f"{KILL}:{MOCK}",
                                       DTR_KILL_AT=at, DTR_KILL_WHEN=when),
                       timeout=LIMIT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, check=False)
    equal((-signal.SIGKILL, b""), (p.returncode, p.stderr), f"killed at {at}")


def calls_of(n):
    """The ioctls of a run, as 'NUMBER NAME'."""
    path = os.path.join(scratch, "calls")
    if os.path.exists(path):
        os.remove(path)
    subprocess.run([DTRACK, "run", n.config], timeout=LIMIT, check=True,
                   env=environment(n.kernel(), f"{KILL}:{MOCK}", DTR_KILL_LOG=path),
                   stderr=subprocess.DEVNULL)
    n.generation += 1
    with open(path) as f:
        return f.read().splitlines()
