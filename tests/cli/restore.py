# SPDX-License-Identifier: GPL-2.0-or-later
"""'dtrack verify' and 'dtrack restore'."""
import fcntl
import json
import os
import subprocess
import time

from kit import *
from nightkit import FIRST, Nights


class Copy(Files):
    """A full copy of /dev/mock/7, and /dev/mock/9, which is another device."""

    def __init__(self, device=SIZE):
        super().__init__(fits=False)
        self.device = os.path.join(scratch, "device")
        self.script += f"FILE {self.device} 9\nFILE {self.source} 7\n"
        with open(self.device, "wb") as f:
            f.truncate(device)
        equal(0, self.backup().status, "the backup")

    def flip(self, path, *offsets):
        with open(path, "r+b") as f:
            for at in offsets:
                f.seek(at)
                byte = f.read(1)[0]
                f.seek(at)
                f.write(bytes([byte ^ 1]))

    def dtrack(self, *args):
        return run(*args, script=self.script)

    def fails(self, cls, line, *args):
        fails(1, cls, line, *args, script=self.script)


def document(status, found, checked=SIZE, total=SIZE, problems=(), live=False,
             images=None, medium=None):
    return {"status": status, "live": live, "bytes-total": total,
            "bytes-checked": checked, "bytes-different": sum(n for _, n in found),
            **({} if images is None else {"images": images}), "medium": images != 0 if medium is None else medium,
            "problems": list(problems),
            "ranges": [{"start": at, "length": n} for at, n in found]}


def case_verify():
    c = Copy()
    for line in ["verify", c.target], ["verify", DEV, c.target]:
        r = c.dtrack(*line)
        equal((0, "same: 4194304 of 4194304 bytes checked\n", ""), (r.status, r.out, r.err))
        images = 1 if len(line) == 2 else None
        equal(document("same", [], images=images), c.dtrack(*line, "--json").json())
    c.flip(c.target, 65535, 65536, SIZE - 1)
    for line in ["verify", c.target], ["verify", DEV, c.target]:
        r = c.dtrack(*line)
        equal((3, "0 131072\n4128768 65536\n",
               f"dtrack: verify {line[1]}: 196608 bytes differ\n"), (r.status, r.out, r.err))
        r = c.dtrack(*line, "--json")
        images = 1 if len(line) == 2 else None
        equal((3, "", document("different", [(0, 131072), (4128768, 65536)], images=images)),
              (r.status, r.err, r.json()))


def case_verify_cut():
    c = Copy()
    os.truncate(c.target, SIZE - 65536)
    r = c.dtrack("verify", c.target)
    equal((3, "4128768 65536\n",
           f"dtrack: verify {c.target}: the target is cut\n"
           f"dtrack: verify {c.target}: 65536 of 4194304 bytes have no checksum and were "
           f"not checked\ndtrack: verify {c.target}: 65536 bytes differ\n"),
          (r.status, r.out, r.err))
    r = c.dtrack("verify", DEV, c.target, "--json")
    equal(document("different", [(4128768, 65536)], SIZE - 65536,
                   problems=["the target is smaller than the device"]), r.json())
    os.remove(c.target)
    r = c.dtrack("verify", c.target, "--json")
    equal((3, document("different", [(0, SIZE)], 0, problems=["the target is missing"],
                       images=0)),
          (r.status, r.json()))


def case_verify_old():
    """What an older version has made is without checksums until it is copied."""
    f = Files()
    r = run("verify", f.target, script=f.script)
    equal((0, "same: 0 of 4194304 bytes checked\n",
           f"dtrack: verify {f.target}: 4194304 of 4194304 bytes have no checksum and were "
           "not checked\n"), (r.status, r.out, r.err))
    equal(0, f.backup(*INCREMENTAL).status)
    equal(document("same", [], 131072, images=1),
          run("verify", f.target, "--json", script=f.script).json())


def case_verify_refused():
    c = Copy()
    t = c.target
    usage("verify: too few arguments: verify [DEV] TARGET", "verify")
    usage(f"verify {DEV}: too many arguments: 'x'", "verify", DEV, t, "x")
    c.fails("GenericError", f"verify {t}x: Could not open '{t}x': No such file or directory",
            "verify", t + "x")
    c.fails("GenericError", f"verify {c.device}: Target '{c.device}' has no manifest to be "
            "verified against", "verify", c.device)
    c.fails("DeviceNotFound", "verify nope: Cannot find device 'nope'",
            "verify", "nope", t)
    with open(c.manifest) as f:
        m = json.load(f)
    with open(c.manifest, "w") as f:
        json.dump({**m, "state": "incomplete"}, f)
    c.fails("Stale", f"verify {t}: Target '{t}' is incomplete: the last run onto it did not "
            "end well", "verify", t)
    equal(0, c.dtrack("verify", DEV, t).status, "with a device")
    with open(c.manifest, "w") as f:
        json.dump({**m, "checksums": {**m["checksums"], "id": "0" * 16}}, f)
    c.fails("GenericError", f"verify {t}: The checksums '{c.manifest}.sums' are damaged: "
            "they are another manifest's", "verify", t)


def case_restore():
    c = Copy(SIZE + 512)
    r = c.dtrack("restore", c.target, "/dev/mock/9")
    equal((0, "completed: 4194304 of 4194304 bytes written\n"
              "the last 512 bytes of the device are as they were\n", ""),
          (r.status, r.out, r.err))
    with open(c.device, "rb") as f:
        equal(True, f.read() == c.data + bytes(512), "content")
    c.flip(c.device, 0, SIZE - 1)
    r = c.dtrack("restore", c.target, "/dev/mock/9", "--delta", "--json")
    equal((0, "", {"status": "completed", "bytes-total": SIZE, "bytes-written": 131072,
                   "bytes-damaged": 0, "bytes-unread": 0, "checked": True,
                   "bytes-checked": SIZE}),
          (r.status, r.err, r.json()))
    with open(c.device, "rb") as f:
        equal(True, f.read() == c.data + bytes(512), "content after --delta")


def case_speed_0():
    """No limit, as in QEMU."""
    f = Files(fits=False)
    equal(0, f.backup("--speed", "0").status)
    for verb in ["verify", DEV, f.target], ["verify", f.target]:
        equal(0, run(*verb, "--speed", "0", script=f.script).status, " ".join(verb))
    c = Copy()
    equal(0, c.dtrack("restore", c.target, "/dev/mock/9", "--speed", "0").status)


def case_restore_damaged():
    c = Copy()
    t = c.target
    c.flip(t, 3 * 65536)
    why = f"Target '{t}' is damaged: 65536 bytes from byte 196608 on are not what was written"
    r = c.dtrack("restore", t, "/dev/mock/9", "--delta", "--json")
    equal((1, f"dtrack: restore /dev/mock/9: {why}\n"
              "dtrack: restore /dev/mock/9: nothing was written to the device\n",
           {"status": "failed", "bytes-total": SIZE, "bytes-written": 0, "bytes-damaged": 0,
            "bytes-unread": 0, "checked": True, "restored-to": 0, "untouched-from": 0,
            "error": {"class": "GenericError", "message": why}}),
          (r.status, r.err, r.json()))
    for more in [], ["--delta"]:
        with open(c.device, "rb") as f:
            before = f.read()
        r = c.dtrack("restore", t, "/dev/mock/9", "--json", *more)
        doc = r.json()
        done, begun = doc["restored-to"], doc["untouched-from"]
        if more:
            equal((0, 0), (done, begun), "it is compared first")
        else:
            equal(True, doc["bytes-written"] == done <= 3 * 65536 < begun, r.err)
        with open(c.device, "rb") as f:
            device = f.read()
        equal(True, device[:done] == c.data[:done], "what was restored")
        equal(True, device[3 * 65536:][:65536] == before[3 * 65536:][:65536], "what is damaged")
        equal(True, device[begun:] == before[begun:], "the rest")
    r = c.dtrack("restore", t, "/dev/mock/9", "--jobs", "1")
    equal((1, "failed: 0 of 4194304 bytes written\n"),
          (r.status, r.out.replace(str(3 * 65536), "0")))
    r = c.dtrack("restore", t, "/dev/mock/9", "--force")
    equal((3, "completed: 4194304 of 4194304 bytes written, 65536 damaged\n",
           "dtrack: restore /dev/mock/9: 65536 bytes from byte 196608 on are not what was "
           "written; restored as they are\n"), (r.status, r.out, r.err))
    os.remove(c.manifest + ".sums")
    r = c.dtrack("restore", t, "/dev/mock/9")
    equal((0, "completed: 4194304 of 4194304 bytes written, without checksums\n",
           f"dtrack: restore /dev/mock/9: Could not open the checksums '{c.manifest}.sums': "
           "No such file or directory\n"), (r.status, r.out, r.err))


def case_readonly_device():
    """Refused before anything is written; a kernel lets it be opened."""
    c = Copy()
    os.chmod(c.device, 0o400)
    why = "Device '/dev/mock/9' is read-only"
    c.fails("ReadOnly", f"restore /dev/mock/9: {why}", "restore", c.target, "/dev/mock/9")
    c.fails("ReadOnly", f"backup {DEV}: {why}", "backup", DEV, "--target", "/dev/mock/9")
    equal(3, c.dtrack("verify", DEV, "/dev/mock/9").status, "only looked at")


def case_restore_refused():
    c = Copy(SIZE - 512)
    t = c.target
    usage(f"restore {t}: too few arguments: restore TARGET DEV", "restore", t)
    c.fails("GenericError", "restore /dev/mock/9: Device '/dev/mock/9' is too small: it has "
            "4193792 bytes, and the target 4194304", "restore", t, "/dev/mock/9")
    c.fails("DeviceNotFound", f"restore {t}: Cannot find device '{t}': it "
            "is no block device", "restore", t, t)
    c.fails("GenericError", f"restore /dev/mock/9: Could not open '{t}x': No such file or "
            "directory", "restore", t + "x", "/dev/mock/9")


def case_restore_and_run():
    """A half-restored device looks like any other: no run copies it, nor a backup, and
    none is restored that is being copied."""
    n = Nights(full_every="1 runs", keep=1)
    n.night("full", FIRST)
    image = n.path("a.raw")
    script = n.kernel()
    p = subprocess.Popen([DTRACK, "restore", image, DEV, "--speed", "64K"],
                         env=environment(script), stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE)
    lock = os.path.join(scratch, "run-dtrack", "device-4001:7")
    while _is_free(lock):
        true(p.poll() is None, "it ended")
        time.sleep(0.01)
    r = n.fails("full copy (after 1 runs): a: Device '/dev/mock/7' is being restored, and no "
                "copy of it can be made now", cls="Busy")
    true("FREEZE" not in " ".join(r.log), r.log)
    fails(1, "Busy", f"backup {DEV}: Device '{DEV}' is being restored, and no copy of it "
          "can be made now", "backup", DEV, "--target", scratch + "/new", script=script)
    fails(1, "Busy", f"restore {DEV}: Device '{DEV}' is being backed up or restored by "
          "another process", "restore", image, DEV, script=script)
    p.kill()
    p.communicate(timeout=LIMIT)
    with open(lock) as f:
        fcntl.flock(f, fcntl.LOCK_SH)   # as a run does
        fails(1, "Busy", f"restore {DEV}: Device '{DEV}' is being backed up or restored by "
              "another process", "restore", image, DEV, script=script)
        n.night("full", "after 1 runs")


def _is_free(path):
    try:
        with open(path) as f:
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
