# SPDX-License-Identifier: GPL-2.0-or-later
"""'dtrack run': what it copies and why, what it keeps and reads back."""
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time

from kit import *
from nightkit import *


def case_run():
    n = Nights()
    r = n.night("full", FIRST)
    true("ADD n granularity=0 flags=0" in r.log, r.log)
    true("TRANSACTION FREEZE n mode=0 set=1 flags=0" in r.log, r.log)
    first = n.content()
    equal(["a.raw", "a.raw.dtrack", "a.raw.dtrack.sums", "point.json", "verified"],
          sorted(os.listdir(n.path())))
    r = n.night("incremental")
    true("ADD" not in " ".join(r.log), r.log)
    true("TRANSACTION FREEZE n mode=0 set=0 flags=0" in r.log, r.log)
    true("TRANSACTION ABDICATE n run=1 flags=0" in r.log, r.log)
    n.night("incremental")
    equal(first, n.images(point=n.chain), "the first restore point")
    equal([n.chain], n.chains())
    equal("", run("run", n.config, "--check").err)


def case_run_qcow2():
    """A standard chain, that is whole also where the folder was moved to."""
    n = Nights(2, format="qcow2")
    contents = {}
    for kind, why in (("full", FIRST), ("incremental", ""), ("incremental", "")):
        n.change()
        r = n.run()
        equal((0, 1), (r.status, r.err.count("\n")), r.err)
        true(f" {kind} copy " in r.err and why in r.err, r.err)
        n.generation = (n.generation or 1) + 1
        point = n.status()["point"]
        n.chain = n.status()["chain"]
        contents[point] = n.content()
        equal(["a.qcow2", "a.qcow2.dtrack"],
              [f for f in sorted(os.listdir(n.path(point=point)))
               if f.startswith("a.") and not f.endswith(".sums")])
    moved = os.path.join(scratch, "moved")
    os.rename(n.folder, moved)
    n.folder = moved
    for point, content in contents.items():
        for i, data in enumerate(content):
            raw = os.path.join(scratch, "raw")
            image = n.path(f"{'ab'[i]}.qcow2", point=point)
            qemu_img("convert", "-O", "raw", image, raw)
            equal(data, open(raw, "rb").read(), image)
            qemu_img("check", image)
    # it goes on there, and notices what is gone
    n.configure(format="qcow2")
    true(" incremental copy 000004-" in n.run().err, "the moved chain")
    n.generation += 1
    os.remove(n.path("b.qcow2", point=sorted(contents)[1]))
    r = n.run()
    true(r.status == 0 and " full copy 000005-" in r.err and
         "b.qcow2': No such file or directory" in r.err, r.err)


def case_run_status():
    n = Nights()
    n.night("full", FIRST)
    n.change()
    doc = json.loads(n.run("--json").out)
    n.generation += 1
    equal(doc, n.status(), "document and file")
    equal(["format", "version", "job", "time", "seconds", "status", "kind", "why",
           "chain", "point", "bytes-copied", "bytes-total", "pruned", "warnings",
           "error", "last-success", "last-verified", "newest-restorable", "health",
           "reasons", "repository"], list(doc))
    equal(("dtrack-status", 1, n.config, "completed", "incremental", "", n.chain,
           STEP, STEP, 0, None),
          tuple(doc[k] for k in ("format", "version", "job", "status", "kind", "why",
                                 "chain", "bytes-copied", "bytes-total", "pruned",
                                 "error")))
    success = {"time": doc["time"], "kind": "incremental", "chain": n.chain,
               "point": doc["point"], "bytes-copied": STEP}
    equal(success, doc["last-success"])
    r = n.run("--json", more="FAIL TRANSACTION EBUSY\n")
    equal((1, "failed", success), (r.status, n.status()["status"],
                                   n.status()["last-success"]))
    equal(n.status(), json.loads(r.out))
    path = os.path.join(scratch, "elsewhere")
    n.configure(status=path)
    equal(0, n.run().status)
    equal("completed", json.load(open(path))["status"])
    equal("failed", n.status()["status"], "the file that is no longer written")


def case_run_group():
    n = Nights(2)
    n.night("full", FIRST)
    r = n.night("incremental")
    true("TRANSACTION FREEZE n mode=0 set=0 flags=0; FREEZE n mode=0 set=0 flags=0;"
         " " not in r.log, r.log)
    equal(1, sum("ABDICATE" in line for line in r.log), "calls that abdicate")
    # one that fails leaves neither
    with open(os.path.join(scratch, "source1"), "r+b") as f:
        f.truncate(65536)
    n.fails("b: Could not read '/dev/mock/8' at byte 65536: Input/output error")


def case_run_full_is_due():
    n = Nights(full_every="2 runs", keep=1)
    n.night("full", FIRST)
    n.night("incremental")
    n.night("full", "after 2 runs")
    n.night("incremental")
    n.configure(full_every="1 days")
    n.night("incremental")
    edit(n.path("point.json", point=n.chain), time="2001-01-01T00:00:00Z")
    n.night("full", "after 1 days")


def case_run_clock():
    n = Nights(full_every="30 days")
    n.night("full", FIRST)
    edit(n.path("point.json"), time="2099-01-01T00:00:00Z")
    said = f"dtrack: run {n.config}: the clock went back: " \
        "the last restore point is of 2099-01-01T00:00:00Z\n"
    first = n.point
    r = n.run()
    equal(0, r.status)
    true(r.err.startswith(said + f"dtrack: run {n.config}: full copy 000002-") and
         "(the clock is before the last full copy)" in r.err, r.err)
    n.generation += 1
    # by numbers, not by times, and nothing is overwritten
    n.chain = n.chains()[1]
    os.rename(n.path(chain=first, point=first),
              n.path(chain=first, point="000001-20990101T000000Z"))
    os.rename(os.path.join(n.folder, first),
              os.path.join(n.folder, "000001-20990101T000000Z"))
    n.night("incremental")
    equal("000003", n.point[:6])


def case_run_bitmap_unfit():
    for why, calls, keys in (
            ("bitmap 'n' is inconsistent", ["REMOVE n", "ADD n granularity=0 flags=0"],
             {"flags": 9}),
            ("bitmap 'n' does not record", ["ENABLE n"], {"flags": 0}),
            ("bitmap 'n' is not the one of the last restore point", [], {"uuid": 3}),
            ("bitmap 'n' is at generation 7, the last restore point at 2", [],
             {"generation": 7})):
        n = Nights()
        n.night("full", FIRST)
        r = n.night("full", "a: " + why, **keys)
        equal(calls, [line for line in r.log if line.split()[0] in
                      ("REMOVE", "ADD", "ENABLE", "CLEAR", "DISABLE")], why)
        equal(2, len(n.chains()), "chains")
    n = Nights()
    n.night("full", FIRST)
    n.generation = None
    r = n.night("full", "a: bitmap 'n' is lost")
    true("ADD n granularity=0 flags=0" in r.log, r.log)
    n.configure(device="granularity = 128K\n")
    r = n.night("full", "a: the granularity has changed")
    true("REMOVE n" in r.log and "ADD n granularity=131072 flags=0" in r.log, r.log)


def case_run_job_changed():
    n = Nights()
    n.night("full", FIRST)
    n.nr = 2
    two = Nights(2)
    shutil.rmtree(two.folder)
    n = Nights()
    n.night("full", FIRST)
    n.nr, n.script = 2, two.script
    n.configure()
    n.night("full", "the job's devices have changed")
    n = Nights()
    n.night("full", FIRST)
    edit(n.path("point.json"), images=[
        {**image, "device": "x"} for image in
        json.load(open(n.path("point.json")))["images"]])
    n.night("full", "a: it is not in the last restore point")


def case_run_broken_link():
    """Of the last restore point, and of one before."""
    def missing(n, **where):
        os.remove(n.path("a.raw", **where))
        return f"'{n.path('a.raw', **where)}': No such file or directory"

    def changed(n, **where):
        with open(n.path("a.raw", **where), "r+b") as f:
            f.write(b"x")
        return f"'{n.path('a.raw', **where)}': it does not have its checksum at byte 0"

    def cut(n, **where):
        stat = os.stat(n.path("a.raw", **where))
        os.truncate(n.path("a.raw", **where), 4096)
        os.utime(n.path("a.raw", **where), ns=(stat.st_atime_ns, stat.st_mtime_ns))
        return f"'{n.path('a.raw', **where)}' was changed since"

    def damaged(n, **where):
        os.truncate(n.path("point.json", **where), 100)
        return f"'{n.path('point.json', **where)}' is damaged: it is no JSON"

    def no_manifest(n, **where):
        os.remove(n.path("a.raw.dtrack", **where))
        return f"'{n.path('a.raw.dtrack', **where)}': No such file or directory"

    def cut_manifest(n):
        os.truncate(n.path("a.raw.dtrack"), 100)
        return f"The manifest '{n.path('a.raw.dtrack')}' is damaged: it is no JSON"

    def other_manifest(n):
        shutil.copy(n.path("a.raw.dtrack", point=n.chain), n.path("a.raw.dtrack"))
        return f"the manifest of '{n.path('a.raw')}' was changed since"

    def no_point(n, **where):
        shutil.rmtree(n.path(**where))
        return f"a restore point before '{n.path()}' is missing"

    for breaks, older in ((missing, True), (cut, True),
                          (damaged, True), (no_manifest, True), (cut_manifest, False),
                          (other_manifest, False), (missing, False), (changed, False),
                          (damaged, False), (no_manifest, False), (no_point, True)):
        n = Nights(keep=1)
        n.night("full", FIRST)
        n.night("incremental")
        n.night("incremental")
        number = "000002-"
        second = [p for p in os.listdir(os.path.join(n.folder, n.chain))
                  if p.startswith(number)][0]
        why = breaks(n, point=second) if older else breaks(n)
        old = n.chain
        n.night("full", why)
        # the rest of it is as good as ever, and this full copy was not due
        equal([old, n.chain], n.chains(), f"chains after {breaks.__name__}")
        n.night("incremental")
        true(old != n.chain, "the chain")


def case_run_prune():
    n = Nights(full_every="2 runs", keep=2)
    chains = []
    for i in range(7):
        r = n.night("incremental" if i % 2 else "full",
                    "after 2 runs" if i else FIRST)
        chains += [n.chain] * (i % 2 == 0)
        equal(chains[-2:], n.chains(), f"chains of night {i}")
        equal(i in (4, 6), "1 old chain removed" in r.err, r.err)
    # one that is broken does not count, but is newer than one that is kept
    os.remove(n.path("a.raw", chain=chains[3], point=chains[3]))
    n.night("full", f"'{n.path('a.raw')}': No such file or directory")
    equal(sorted([chains[2], chains[3], n.chain]), n.chains())


def case_run_not_pruned():
    """The only complete chain stays while the new one is not."""
    n = Nights(full_every="1 runs", keep=1)
    n.night("full", FIRST)
    source = os.path.join(scratch, "source0")
    content, = n.content()
    os.truncate(source, 65536)
    n.fails("full copy (after 1 runs): "
            "a: Could not read '/dev/mock/7' at byte 65536: Input/output error")
    with open(source, "wb") as f:
        f.write(content)
    n.night("full", "after 1 runs")
    equal([n.chain], n.chains())


def _stays(n, path, warning, why):
    """Each night has a restore point and a warning, until it can be removed."""
    for _ in range(2):
        n.change()
        r = n.run()
        n.generation += 1
        lines = r.err.splitlines()
        said = f"dtrack: run {n.config}: warning: {warning}"
        equal((0, [said]), (r.status, lines[:-1]))
        true(f" full copy " in lines[-1] and f"({why})" in lines[-1], lines)
        doc = n.status()
        equal(("completed", [warning], None),
              (doc["status"], doc["warnings"], doc["error"]))
        true(os.path.exists(path), f"{path} was removed")
        warning = warning.replace(os.path.join(n.folder, "0"),
                                  os.path.join(n.folder, "trash-0"))


def case_run_not_removed():
    """What cannot be removed does not stop the backups: an old image that is
    immutable, and a restore point that was not finished."""
    n = Nights(keep=1, full_every="1 runs")
    n.night("full", FIRST)
    trash = os.path.join(n.folder, f"trash-{n.chain}")
    image = os.path.join(trash, n.point, "a.raw")
    with immutable(n.path("a.raw")):
        _stays(n, image, f"Could not remove '{trash}': Operation not permitted",
               "after 1 runs")
    n.night("full", "after 1 runs")
    equal([n.chain], n.chains())
    n.configure()
    partial = n.path(point="000900-20240101T000000Z")
    os.makedirs(partial)
    with open(os.path.join(n.folder, "making"), "w") as f:
        f.write(f"{n.chain}/000900-20240101T000000Z\n")
    image = os.path.join(partial, "x")
    open(image, "w").close()
    with immutable(image):
        r = n.run()
        n.generation += 1
        warning = f"Could not remove '{partial}': Operation not permitted"
        equal((0, [warning]), (r.status, n.status()["warnings"]))
    n.night("incremental")
    n.night("incremental")


def warned(n, why):
    """Of a night: its line says so, its status too, and it is well for all that."""
    doc = n.status()
    true(doc["status"] == "completed", doc)
    true(any(re.search(why, w) for w in doc["warnings"]), doc["warnings"])
    return doc


def case_run_prune_read():
    """A chain that somebody reads stays: who holds its lock as 'dtrack restore' does,
    who has a file of it open, and who has it in a program that knows no lock."""
    n = Nights(full_every="1 runs", keep=1)
    n.night("full", FIRST)
    old = n.chain
    folder = os.open(os.path.join(n.folder, old), os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_SH)
    r = n.run()
    n.generation += 1
    equal(f"dtrack: run {n.config}: warning: chain '{old}' is kept: "
          f"'{n.folder}/{old}' is being read", r.err.splitlines()[0])
    warned(n, f"chain '{old}' is kept")
    equal(2, len(n.chains()))
    os.close(folder)
    for flags in os.O_RDONLY, os.O_RDWR:
        image = n.path("a.raw", chain=old, point=old)
        fd = os.open(image, flags)
        r = n.run()
        n.generation += 1
        true(f": warning: chain '{old}' is kept: '{image}' is open in process "
             f"{os.getpid()} (" in r.err, r.err)
        equal((0, 2), (r.status, len(n.chains())), r.err)
        os.close(fd)
    n.night("full", "after 1 runs")
    equal([n.chain], n.chains())


def case_run_prune_restored():
    """By the command itself: what is restored and what is verified stays so long."""
    for verb in ["restore"], ["verify"]:
        n = Nights(full_every="1 runs", keep=1)
        n.night("full", FIRST)
        old = n.chain
        image = n.path("a.raw")
        device = os.path.join(scratch, "spare")
        with open(device, "wb") as f:
            f.truncate(SIZE)
        device = ["/dev/mock/9"] * (verb == ["restore"])
        p = subprocess.Popen([DTRACK, *verb, image, *device, "--speed", "64K"],
                             env=environment(f"FILE {scratch}/spare 9\n" + n.kernel()),
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while True:
            try:
                fd = os.open(os.path.join(n.folder, old), os.O_RDONLY)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                break
            finally:
                os.close(fd)
            true(p.poll() is None, "it ended")
            time.sleep(0.01)
        r = n.run()
        n.generation += 1
        true(f"'{n.folder}/{old}' is being read" in r.err, r.err)
        equal((0, 2), (r.status, len(n.chains())), r.err)
        p.kill()
        p.communicate(timeout=LIMIT)
        n.night("full", "after 1 runs")
        equal([n.chain], n.chains())


def case_run_foreign_files():
    """What is not ours is neither counted nor removed, and whoever names a folder
    by its date keeps it."""
    n = Nights(keep=1, full_every="1 runs")
    folders = ["12345-x", "20240101-photos", "000007-20240101", "000007-20240101T000000Zx",
               "000007-20240101T00000Z", "trash-20240101-photos"]
    for name in folders:
        os.makedirs(os.path.join(n.folder, name, "inside"))
        open(os.path.join(n.folder, name, "inside", "gold"), "w").close()
    files = ["notes", "0000009-20240101T000000Z", ".hidden", "trash-x"]
    for name in files:
        open(os.path.join(n.folder, name), "w").close()
    r = n.fails(f"'{n.folder}' is not empty, and no repository; "
                "'dtrack run --init' makes one of it", status=None)
    n.change()
    equal(0, n.run("--init").status)
    n.generation = 2
    equal("000010", n.status()["point"][:6], "a number behind all")
    n.night("full", "after 1 runs")
    equal(sorted([*folders, *files, n.chain]), n.chains())
    for name in folders:
        true(os.path.exists(os.path.join(n.folder, name, "inside", "gold")), name)
    # In a chain of ours as well.
    n.configure(keep=1)
    os.makedirs(os.path.join(n.folder, n.chain, "000001-x", "gold"))
    n.night("incremental")
    true(os.path.exists(os.path.join(n.folder, n.chain, "000001-x", "gold")), "in a chain")


def case_run_prune_folders_of_others():
    """A folder with a chain's name counts as none, and one in a chain keeps it."""
    n = Nights(keep=1, full_every="2 runs")
    n.night("full", FIRST)
    first = n.chain
    gold = os.path.join(n.folder, first, "000005-20200101T000000Z", "gold")
    other = "000009-20200101T000000Z"
    for path in gold, os.path.join(n.folder, other, "gold"):
        os.makedirs(path)

    def night(kind):
        n.change()
        r = n.run()
        n.generation += 1
        true(r.status == 0 and f": {kind} copy " in r.err and "removed" not in r.err, r.err)
        return r.err
    night("incremental")
    equal([first, other], n.chains())
    said = night("full")
    true(f"chain '{first}' is kept: '000005-20200101T000000Z' in it has no point.json\n" in said,
         said)
    true(os.path.exists(gold) and {first, other} < set(n.chains()), n.chains())


def case_run_prune_renamed():
    """Who renames a chain wants to keep it, also by a name like a chain's."""
    n = Nights(keep=1, full_every="1 runs")
    n.night("full", FIRST)
    kept = "000500-20200101T000000Z"
    os.rename(os.path.join(n.folder, n.chain), os.path.join(n.folder, kept))
    n.change()
    r = n.run()
    true(r.status == 0 and f"warning: chain '{kept}' is kept: it does not have the name of "
         "its first restore point\n" in r.err and "removed" not in r.err, r.err)
    equal(2, len(n.chains()), n.chains())


def case_run_verify():
    """A copy of an image that has rotted is found when it is read back; then
    the chain ends, and no old one is removed."""
    n = Nights(keep=1, full_every="2 runs", verify="all")
    n.night("full", FIRST)
    rot(n.path("a.raw"))
    n.change()
    r = n.run()
    n.generation += 1
    path = re.escape(os.path.join(n.folder, n.chain)) + r"/000002-\w+/a\.raw"
    why = rf"'{path}': it does not have its checksum at byte 196608"
    lines = r.err.splitlines()
    true(r.status == 1 and " incremental copy 000002-" in lines[0] and
         re.search(why + "$", lines[1]), r.err)
    equal("failed", n.status()["status"])
    equal("000001", n.status()["last-success"]["point"][:6])
    r = n.run()
    n.generation += 1
    true(r.status == 0 and
         re.search(rf"full copy 000003-\w+ \({why}\): .*, 1 old chain removed$", r.err),
         r.err)


def _verify_keeps_old(form, at, where):
    """A full copy that loses a bit on its way: the old chain stays until there
    is a new one that is whole."""
    n = Nights(keep=1, full_every="1 runs", format=form)
    n.night("full", FIRST)
    last = calls_of(n)[-1].split()
    old = n.chains()
    equal("INFO", last[1], "the call behind the copy")
    p = subprocess.Popen([DTRACK, "run", n.config], stderr=subprocess.PIPE,
                         env=environment(n.kernel(), f"{KILL}:{MOCK}",
                                         DTR_KILL_AT=last[0],
                                         DTR_KILL_SIGNAL=str(int(signal.SIGSTOP))))
    true(os.WIFSTOPPED(os.waitpid(p.pid, os.WUNTRACED)[1]), "it did not stop")
    new = [c for c in n.chains() if c not in old][0]
    rot(n.path(f"a.{form}", chain=new, point=new), at)
    p.send_signal(signal.SIGCONT)
    said = p.communicate(timeout=LIMIT)[1].decode()
    image = n.path(f"a.{form}", chain=new, point=new)
    found = re.search(rf": ('{re.escape(image)}': it does not have its checksum at byte "
                      rf"{where})\n$", said)
    true(p.returncode == 1 and found, said)
    equal([*old, new], n.chains())
    n.generation += 1
    n.night("full", found.group(1))
    equal([n.chain], n.chains())


def case_run_verify_keeps_old():
    _verify_keeps_old("raw", 3 * 65536, 3 * 65536)


def case_run_verify_keeps_old_qcow2():
    _verify_keeps_old("qcow2", SIZE - 65536, r"\d+")


def case_run_verify_of_the_night():
    """What an image below holds was read back in its night; dtrack verify reads it anew."""
    n = Nights(format="qcow2", verify="all")
    n.night("full", FIRST)
    full = n.path("a.qcow2")
    rot(full, SIZE - 65536)
    n.change()
    r = n.run()
    copy = re.search(r" incremental copy (000002-\w+) ", r.err)
    true(r.status == 0 and copy, r.err)
    r = run("verify", n.path("a.qcow2", point=copy.group(1)), script=n.kernel())
    true(r.status == 3 and re.fullmatch(rf"\d+ 65536 {re.escape(full)}\n", r.out),
         (r.status, r.out, r.err))


def case_run_verify_not():
    """By default only full copies are read back."""
    for verify in "full", "no":
        n = Nights(verify=verify)
        n.night("full", FIRST)
        rot(n.path("a.raw"))
        n.change()
        r = n.run()
        equal((0, 1), (r.status, r.err.count("\n")), r.err)


def case_night_long_chain():
    """Of images: by so many names qemu still finds the lowest."""
    for nr, kind in (99, "incremental"), (100, "full"):
        n = Nights(format="qcow2", full_every="1000 runs")
        n.night("full", FIRST)
        first, where = n.point, os.path.join(n.folder, n.chain)
        for i in range(2, nr + 1):
            copy = f"{i:06}{first[6:]}"
            shutil.copytree(os.path.join(where, first), os.path.join(where, copy))
            edit(os.path.join(where, copy, "point.json"), number=i, previous=i - 1)
        n.night(kind, "after 100 runs: qemu opens no longer chain")
