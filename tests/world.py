# SPDX-License-Identifier: GPL-2.0-or-later
"""A world for a job of 'dtrack run': its devices, its kernel, its folder and its
clock, and what may happen to them between two nights. What was on the devices
in each night is known here and nowhere else."""
import calendar
import glob
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("O", os.path.join(HERE, "../build")))
DTRACK = os.path.join(BUILD, "dtrack")
PRELOAD = {name: os.path.join(BUILD, f"tests/lib/{name}.so")
           for name in ("mock", "preload-kill", "preload-night")}
LIMIT = 120
G = 65536
BYTES = 16 * G
NAME = re.compile(r"\d{6,}-\d{8}T\d{6}Z")
FIRST = "there is no restore point yet"
HOUR, DAY = 3600, 86400


def digest(data):
    return hashlib.blake2b(data, digest_size=16).digest()


def spans(granules):
    """Of a set, as few ranges as there are."""
    start = None
    for g in sorted(granules) + [None]:
        if start is not None and g != last + 1:
            yield start * G, (last + 1 - start) * G
            start = None
        if start is None:
            start = g
        last = g


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err


class Kernel:
    """What it knows of bitmaps, from one process to the next."""

    def __init__(self, where, nr):
        self.path, self.nr = os.path.join(where, "kernel"), nr
        self.uuid, self.bitmaps, self.dirty, self.seen = 1, {}, {}, []

    def load(self):
        if not os.path.exists(self.path):
            return
        for dev in self.seen:
            self.bitmaps.pop(dev, None)
            self.dirty.pop(dev, None)
        for line in open(self.path).read().splitlines():
            word = line.split()
            if word[0] == "BITMAP":
                self.bitmaps[word[1]] = line
            elif word[0] == "EXTENT":
                self.dirty.setdefault(word[3], set()).update(
                    range(int(word[1]) // G, (int(word[1]) + int(word[2])) // G))
            else:
                self.uuid = int(word[2])
        os.remove(self.path)

    def wrote(self, dev, granules):
        if dev in self.bitmaps:
            self.dirty.setdefault(dev, set()).update(granules)

    def reboots(self):
        self.bitmaps, self.dirty = {}, {}

    def script(self, devs):
        lines = []
        for dev, line in self.bitmaps.items():
            if dev in devs:
                lines.append(f"{line} count={len(self.dirty.get(dev, ())) * G}")
        for dev, granules in self.dirty.items():
            if dev in devs:
                lines += [f"EXTENT {at} {length} {dev}" for at, length in spans(granules)]
        self.seen = devs
        return "\n".join(lines) + f"\nKEEP {self.path} {self.uuid}\n"


class Device:
    def __init__(self, where, minor, rng):
        self.dev, self.path = f"4001:{minor}", os.path.join(where, f"disk{minor}")
        self.minor, self.rng, self.name = minor, rng, f"/dev/mock/{minor}"
        self.data = bytearray()
        self.fill(rng.randbytes(BYTES))

    def fill(self, data):
        self.data[:] = data
        with open(self.path, "wb") as f:
            f.write(data)

    def write(self, granules):
        with open(self.path, "r+b") as f:
            for g in granules:
                piece = bytes(G) if self.rng.random() < 0.2 else self.rng.randbytes(G)
                self.data[g * G:(g + 1) * G] = piece
                f.seek(g * G)
                f.write(piece)

    def script(self):
        return (f"FILE {self.path} {self.minor}\n"
                f"DEV {self.dev} {BYTES} 4001:{self.minor + 20}\n"
                f"DM {self.dev} t{self.minor} dirtytrack - 4001:{self.minor + 20} 0\n")


class Spare:
    """A disk to restore to."""

    def __init__(self, where):
        self.dev, self.minor, self.name = "", 13, "/dev/mock/13"
        self.path = os.path.join(where, "spare")

    def empty(self):
        with open(self.path, "wb") as f:
            f.truncate(BYTES)

    def read(self):
        with open(self.path, "rb") as f:
            return f.read()

    def script(self):
        return f"FILE {self.path} {self.minor}\n"


class World:
    """One job. The rest is what may happen to it."""

    def __init__(self, seed, form, scratch):
        self.rng = rng = random.Random(seed)
        self.where, self.form = os.path.join(scratch, f"w{seed}"), form
        self.folder = os.path.join(self.where, "folder")
        for path in self.where, self.folder:
            os.mkdir(path)
        self.config = os.path.join(self.where, "job.conf")
        self.disks = self.make_disks(rng.choice((1, 1, 2)))
        self.clock, self.at, self.windows = 1_796_000_000, 0, []
        self.events = []
        self.truth = {}      # of each folder of a point: what was on the disks then
        self.bent = {}       # files that are not what they were: when that came
        self.marred = set()  # points that were copied from what was bad
        self.others = {}     # what is not the job's, and must stay
        self.readers = []    # of images that somebody has open
        self.stuck = None
        self.blank = False   # another disk is there under the old name
        self.aside = None
        self.cache = {}

    def make_disks(self, nr):
        self.kernel = Kernel(self.where, nr)
        return [Device(self.where, 7 + i, self.rng) for i in range(nr)]

    def other_disk(self):
        return Device(self.where, 12, self.rng)

    def spare(self):
        return Spare(self.where)

    def ends(self):
        self.closes()
        shutil.rmtree(self.where, ignore_errors=True)

    def says(self, text):
        self.at += 1
        self.events.append(f"{self.at} {text}")

    # ---- The job ----

    def configure(self, **keys):
        self.keys = keys
        with open(self.config, "w") as f:
            f.write(self.job(self.folder, self.disks, keys))

    def job(self, folder, disks, keys):
        text = f"[job]\nfolder = {folder}\nformat = {self.form}\n"
        text += "".join(f"{key.replace('_', '-')} = {value}\n" for key, value in keys.items())
        for disk, name in zip(disks, "abc"):
            text += f"[device {name}]\ndevice = {disk.name}\nbitmap = n\n"
        return text

    def command(self, *args, env=None, disks=None):
        """A process at its own time."""
        self.at += 1
        start = self.clock
        while any(a < start + HOUR and start < b + HOUR for a, b, _ in self.windows):
            start += 3 * HOUR
        self.clock = start + HOUR
        self.windows.append((start, start + HOUR, self.at))
        env = {**os.environ, "LC_ALL": "C", "DTR_CLOCK": str(start), **(env or {})}
        if self.stuck:
            env["DTR_STUCK"] = str(self.stuck)
        return self.process(args, env, disks or self.disks)

    def process(self, args, env, disks):
        script = os.path.join(self.where, "script")
        with open(script, "w") as f:
            f.write("".join(d.script() for d in disks) + self.kernel.script([d.dev for d in disks]))
        p = subprocess.run(
            [DTRACK, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=LIMIT, check=False,
            env={**env, "LD_LIBRARY_PATH": BUILD, "DTR_MOCK": script, "DTR_NO_SYNC": "1",
                 "LD_PRELOAD": ":".join(PRELOAD[n] for n in ("preload-kill", "preload-night", "mock"))})
        self.kernel.load()
        return Result(p.returncode, p.stdout.decode(), p.stderr.decode())

    def when(self, text):
        """Index of the command that ran at a time; None: there was none."""
        try:
            t = calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
        except (TypeError, ValueError):
            return None
        return next((at for a, b, at in self.windows if a <= t <= b), None)

    # ---- What is there ----

    def folders(self):
        """CHAIN/POINT of all that look like the job's."""
        return {f"{c}/{p}" for c in os.listdir(self.folder) if NAME.fullmatch(c)
                and os.path.isdir(os.path.join(self.folder, c))
                for p in os.listdir(os.path.join(self.folder, c)) if NAME.fullmatch(p)}

    def points(self):
        return {p for p in self.folders() if p in self.truth and
                os.path.exists(os.path.join(self.folder, p, "point.json"))}

    def image(self, point, i):
        return os.path.join(self.folder, point, f"{'ab'[i]}.{self.form}")

    def below(self, point):
        """It and what its content lies in."""
        if self.form == "raw":
            return [point]
        chain = point.split("/")[0]
        return sorted(p for p in self.folders()
                      if p.split("/")[0] == chain and p <= point and p in self.truth)

    def bends(self, point):
        """When something that it depends on went bad, or was lost: each time."""
        where = [os.path.join(self.folder, p) + "/" for p in self.below(point)]
        return [at for path, at in self.bent.items() if path.startswith(tuple(where))]

    def content(self, point, i):
        path = self.image(point, i)
        try:
            key = tuple(os.stat(self.image(p, i)).st_mtime_ns for p in self.below(point))
        except FileNotFoundError:
            return None
        key = (point, i, key, len(self.bent), self.at if self.bends(point) else 0)
        if key not in self.cache:
            self.cache[key] = self.read(path)
        return self.cache[key]

    def read(self, path):
        if self.form == "qcow2":
            raw = os.path.join(self.where, "raw")
            p = subprocess.run(["qemu-img", "convert", *self.past_the_cache, "-O", "raw", path, raw],
                               check=False,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if p.returncode:
                return None
            path = raw
        return digest(self.bytes_of(path))

    past_the_cache = ()

    def bytes_of(self, path):
        with open(path, "rb") as f:
            return f.read()

    def exact(self, point):
        return point in self.truth and \
            all(self.content(point, i) == self.truth[point][i]
                for i in range(len(self.disks)))

    def good(self, point):
        """What was on the disks can be had of it, by whatever the command asks."""
        return self.exact(point) and not self.bends(point)

    # ---- The day ----

    def write(self):
        for disk in self.disks:
            granules = self.rng.sample(range(BYTES // G), self.rng.randint(0, 5))
            disk.write(granules)
            self.kernel.wrote(disk.dev, granules)

    def reboots(self):
        self.kernel.reboots()
        self.says("reboots")

    def clock_jumps(self):
        days = self.rng.choice((-400, -30, -3, 3, 30, 400))
        self.clock += days * DAY
        self.says(f"the clock jumps by {days} days")

    def rots(self, what=None):
        """A bit of a file, and nobody wrote it."""
        points = sorted(self.points())
        if not points:
            return
        point = self.rng.choice(points[-6:])
        files = sorted(glob.glob(os.path.join(self.folder, point, "*")))
        kind = what or self.rng.choice(("image", "image", "image", "any"))
        if kind == "image":
            files = [f for f in files if f.endswith("." + self.form)]
        files = [f for f in files if os.path.isfile(f) and os.path.getsize(f)]
        if not files:
            return
        self.rots_file(self.rng.choice(files))

    def rots_file(self, path):
        stat = os.stat(path)
        at, bit = self.rng.randrange(stat.st_size), self.rng.randrange(8)
        self.flip(path, at, bit)
        keeps = self.rng.random() < 0.8
        if keeps:
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        self.says(f"bit {bit} of byte {at} of {path[len(self.folder) + 1:]} rots"
                  f"{'' if keeps else ', and its mtime changes'}")
        self.bent[path] = self.at

    def flip(self, path, at, bit):
        with open(path, "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1 << bit]))
            f.flush()
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def loses(self):
        """An image."""
        points = sorted(self.points())
        if not points:
            return
        path = self.image(self.rng.choice(points), 0)
        if os.path.exists(path):
            os.remove(path)
            # Who had it open has what is in no folder any more.
            self.readers = [r for r in self.readers if r[0] != path]
            self.says(f"{path[len(self.folder) + 1:]} is removed")
            self.bent[path] = self.at

    def is_copied(self):
        """To another disk, as 'cp -r' does it."""
        self.closes()
        new = self.folder + ".new"
        shutil.copytree(self.folder, new, copy_function=shutil.copyfile)
        shutil.rmtree(self.folder)
        os.rename(new, self.folder)
        self.says("the folder is copied")

    def is_another_disk(self):
        """Under the old name; nothing on it is of the old one."""
        self.kernel.reboots()
        for disk in self.disks:
            disk.fill(self.rng.choice((bytes(BYTES), self.rng.randbytes(BYTES))))
        self.blank = True
        self.says("another disk is there under the old name")

    def keeps_aside(self):
        """Somebody renames a chain, to keep it; or has folders of the same kind."""
        chains = sorted({p.split("/")[0] for p in self.points()})
        kind = self.rng.choice(("chain", "chain", "own", "own point"))
        if kind == "chain" and chains:
            chain = self.rng.choice(chains)
            name = self.rng.choice(("keep-" + chain, chain + ".keep", f"{900000 + self.at}" + chain[6:],
                                    "trash-me-not"))
            if self.is_open(chain) or os.path.exists(os.path.join(self.folder, name)):
                return
            os.rename(os.path.join(self.folder, chain), os.path.join(self.folder, name))
            self.forget(chain)
            self.others = {p: n for p, n in self.others.items()
                           if not p.startswith(os.path.join(self.folder, chain) + "/")}
            self.says(f"{chain} is renamed to {name}")
            # whose name is still one of the job's: what it holds has a book, or none
            self.own(name)
        elif kind != "chain" and chains:
            name = f"{self.rng.randrange(1, 999):06}-20200101T000000Z"
            if kind == "own point" and chains:
                name = os.path.join(self.rng.choice(chains), name)
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                return
            os.makedirs(os.path.join(path, "inside"))
            with open(os.path.join(path, "inside", "gold"), "w") as f:
                f.write("gold")
            self.says(f"somebody has {name}")
            self.own(name)

    def own(self, name):
        for d, _, files in os.walk(os.path.join(self.folder, name)):
            for f in files:
                self.others[os.path.join(d, f)] = name

    def forget(self, chain):
        for path in [p for p in self.bent if p.startswith(os.path.join(self.folder, chain) + "/")]:
            del self.bent[path]

    def opens(self):
        """An image, as 'qemu-nbd -r' does for who looks into it."""
        points = sorted(self.points())
        if points:
            path = self.image(self.rng.choice(points[:3]), 0)
            if os.path.exists(path):
                self.readers.append((path, open(path, "rb")))
                self.says(f"somebody opens {path[len(self.folder) + 1:]}")

    def closes(self):
        for path, f in self.readers:
            f.close()
            self.says(f"and closes {path[len(self.folder) + 1:]}")
        self.readers = []

    def is_open(self, chain):
        return any(f"/{chain}/" in path for path, _ in self.readers)

    def sticks(self):
        """An old image cannot be unlinked."""
        points = sorted(self.points())
        if points and os.path.exists(self.image(points[0], 0)):
            self.stuck = os.stat(self.image(points[0], 0)).st_ino
            self.says(f"{points[0]} cannot be removed")

    def unsticks(self):
        if self.stuck:
            self.says("it can be removed")
        self.stuck = None
