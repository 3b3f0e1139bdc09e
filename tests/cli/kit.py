# SPDX-License-Identifier: GPL-2.0-or-later
"""What every case uses: the command under a kernel of canned replies, and
assertions.

A case is a function case_NAME in one of the areas that run lists; the name, with
hyphens, is the case's. It fails by an exception. Its files are in the directory
scratch, which is empty when it begins.
"""
import json
import os
import select
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
BUILD = os.path.abspath(os.environ.get("O", os.path.join(ROOT, "build")))
DTRACK = os.path.join(BUILD, "asan/dtrack")
MOCK = os.path.join(BUILD, "tests/lib/mock.so")
KILL = os.path.join(BUILD, "tests/lib/preload-kill.so")
LIMIT = 60

DEV = "/dev/mock/7"
ONE = "DEV 4001:7 4194304 7:0\n"
TWO = ONE + "DEV 4001:8 4194304 7:1\n"
B = "BITMAP 4001:7 b uuid=1 generation=3 count=131072\nEXTENT 65536 131072\n"
BUSY = "Bitmap 'b' is currently in use by another operation and cannot be used"

KEYS = ["name", "granularity", "count", "recording", "busy", "persistent",
        "inconsistent", "size", "uuid", "generation", "full-leaves", "owner",
        "successor-count"]
SIZE = 4 << 20

# What is below is a device of the mock's, too.
TREE = ("DEV 4001:7 4194304 4001:9\nDM 4001:7 data dirtytrack - 4001:9 0\n"
        "DEV 4001:8 4194304 4001:10\nDM 4001:8 other dirtytrack - 4001:10 0\n" +
        B[:B.index("EXTENT")])
WRITES = "WRITES 4001:7 37 151552 3 786432 2 262144 0 0 5123\n"

# Of one process of cases; run makes it anew for each case.
scratch = os.path.join(tempfile.gettempdir(), f"dtr-cli-{os.getpid()}")


# ---- Assertions ----

class Failed(Exception):
    pass


def equal(want, got, what="value"):
    if want != got:
        raise Failed(f"{what}: expected {want!r}, got {got!r}")


def true(cond, what):
    if not cond:
        raise Failed(what)


# ---- The command ----

class Result:
    def __init__(self, status, out, err, log):
        self.status, self.out, self.err, self.log = status, out, err, log

    def json(self):
        """As strictly as anybody reads it: in UTF-8, and all of it."""
        return json.loads(self.out.encode(errors="surrogateescape").decode())


def environment(script, preload=MOCK, **more):
    path = os.path.join(scratch, "script")
    with open(path, "w", errors="surrogateescape") as f:
        f.write(script)
    log = os.path.join(scratch, "log")
    if os.path.exists(log):
        os.remove(log)
    return dict(os.environ, LD_PRELOAD=preload, DTR_MOCK=path, DTR_MOCK_LOG=log,
                LC_ALL="C", ASAN_OPTIONS="verify_asan_link_order=0", **more)


def read_log():
    try:
        with open(os.path.join(scratch, "log"), errors="replace") as f:
            return [line.rstrip("\n") for line in f]
    except FileNotFoundError:
        return []


def run(*args, script=ONE + B, **kwargs):
    p = subprocess.run([DTRACK, *args], env=environment(script), timeout=LIMIT,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, check=False, **kwargs)
    out = p.stdout.decode(errors="surrogateescape") if p.stdout else ""
    return Result(p.returncode, out,
                  p.stderr.decode(errors="surrogateescape"), read_log())


def succeeds(*args, **kwargs):
    r = run(*args, **kwargs)
    equal((0, ""), (r.status, r.err), " ".join(args))
    return r


def fails(status, cls, line, *args, **kwargs):
    """As a line and, with --json, as a document; the line is the same."""
    r = run(*args, **kwargs)
    equal((status, "", "dtrack: " + line + "\n"), (r.status, r.out, r.err),
          " ".join(args))
    j = run(*args, "--json", **kwargs)
    equal((status, r.err), (j.status, j.err), " ".join(args) + " --json")
    doc = j.json()
    equal(["error"], list(doc), "the document's keys")
    equal(["class", "message"], list(doc["error"]), "the error's keys")
    equal(cls, doc["error"]["class"], " ".join(args) + " --json")
    true(r.err.endswith(": " + doc["error"]["message"] + "\n"), doc)
    return r


def usage(line, *args, **kwargs):
    return fails(2, "Usage", line, *args, **kwargs)


# ---- Backups ----

class Files:
    def __init__(self, fits=True, size=SIZE):
        self.source = os.path.join(scratch, "source")
        self.target = os.path.join(scratch, "target")
        self.manifest = self.target + ".dtrack"
        for path in (self.source, self.target, self.manifest):
            if os.path.exists(path):
                os.remove(path)
        self.data = bytes(i % 251 + 1 for i in range(65536)) * (SIZE // 65536)
        with open(self.source, "wb") as f:
            f.write(self.data[:size])
        self.script = f"FILE {self.source}\n" + ONE + B
        if fits:
            with open(self.target, "wb") as f:
                f.truncate(SIZE)
            with open(self.manifest, "w") as f:
                json.dump({"format": "dtrack-manifest", "version": 1,
                           "state": "complete", "size": SIZE, "sync": "full",
                           "mode": "conditional", "bitmap": {
                               "name": "b", "granularity": 65536, "from": None,
                               "uuid": "01010101-0101-0101-0101-010101010101",
                               "to": 3, "run": "0" * 16}}, f)

    def state(self):
        with open(self.manifest) as f:
            return json.load(f)["state"]

    def backup(self, *args, **kwargs):
        return run("backup", DEV, "--target", self.target, *args,
                   **{"script": self.script, **kwargs})


INCREMENTAL = ["--sync", "incremental", "--bitmap", "b"]


class Running:
    """A backup that is slow or stopped, to be sent signals."""

    def __init__(self, f, *args):
        self.p = subprocess.Popen(
            [DTRACK, "backup", DEV, "--target", f.target, *args],
            env=environment(f.script), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            bufsize=0)

    def wait_log(self, word):
        end = time.monotonic() + LIMIT
        while word not in " ".join(read_log()):
            true(time.monotonic() < end, f"no {word}: {read_log()}")
            true(self.p.poll() is None, f"it ended before {word}")
            time.sleep(0.01)

    def wait_stopped(self):
        """Until it says that it has stopped; what it said."""
        true(select.select([self.p.stderr], [], [], LIMIT)[0], "it said nothing")
        return self.p.stderr.readline().decode()

    def end(self):
        out, err = self.p.communicate(timeout=LIMIT)
        return Result(self.p.returncode, out.decode(), err.decode(), read_log())
