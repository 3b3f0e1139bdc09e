# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of restore points, what a run removes, and what it says of all that."""
import json
import os
import re
import shutil
import time

from kit import *
from nightkit import *
from points import points


def states(n):
    return [p["state"] for p in points(n.folder)[1]]


def damages(n, chain=None):
    path = os.path.join(n.folder, chain or n.chain, "damage.json")
    if not os.path.exists(path):
        return None
    with open(path) as f:
        return [(d["point"], d["file"], d["by"], d["what"], d["ranges"])
                for d in json.load(f)["findings"]]


def age(n, **back):
    """All that was made and read so far was so much earlier."""
    for folder, _, files in os.walk(n.folder):
        if "verified" in files:
            path = os.path.join(folder, "verified")
            with open(path) as f:
                text = f.read()
            with open(path, "w") as f:
                f.write(re.sub(r"\d{4}-\S*Z", lambda m: earlier(m.group(), **back), text))
        if "point.json" in files:
            path = os.path.join(folder, "point.json")
            with open(path) as f:
                when = json.load(f)["time"]
            edit(path, time=earlier(when, **back))


def earlier(text, days=0, hours=0):
    form = "%Y-%m-%dT%H:%M:%SZ"
    at = time.mktime(time.strptime(text, form)) - days * 86400 - hours * 3600
    return time.strftime(form, time.localtime(at))


def verify(n, status, **where):
    r = run("verify", n.path(f"a.{n.form}", **where), script=n.kernel())
    equal(status, r.status, (r.out, r.err))
    return r


def rotten(path, at=0):
    return f"'{path}': it does not have its checksum at byte {at}"


# ---- What is known ----

def case_history_rot_below():
    """One bit rots in the full copy: what 'dtrack verify' finds is remembered, of all
    that depend on it; the next run begins a new chain. After a repair it is found to
    be well."""
    n = Nights(format="qcow2", verify="all")
    for kind, why in (("full", FIRST), *[("incremental", "")] * 3):
        n.night(kind, why)
    equal(4 * ["verified"], states(n))
    first, old = n.chain, n.chain
    full = n.path("a.qcow2", point=first)
    rot(full, SIZE - 65536)
    r = verify(n, 3)
    at, length, where = r.out.split()
    equal((full, "65536"), (where, length))
    ranges = [{"start": int(at), "length": 65536}]
    what = f"it does not have its checksum at byte {at}"
    equal([(first, "a.qcow2", "verify", what, ranges)], damages(n))
    equal(4 * ["damaged"], states(n))
    equal({rotten(full, at)}, {p["problem"] for p in points(n.folder)[1]})
    rot(full, SIZE - 65536)
    verify(n, 0)
    equal((None, 4 * ["verified"]), (damages(n), states(n)))
    rot(full, SIZE - 65536)
    verify(n, 3)
    n.night("full", rotten(full, at))
    equal((4 * ["damaged"] + ["verified"], sorted([old, n.chain])), (states(n), n.chains()))
    doc = n.status()
    equal(("warning", ["4 restore points are damaged: 'dtrack points' tells why"]),
          (doc["health"], doc["reasons"]))


def case_history_scrub():
    """Each night a part of the images is read anew: what has rotted below the new
    restore point makes the run fail, and the next one begins a new chain."""
    n = Nights(format="qcow2", verify="all")
    n.night("full", FIRST)
    full = n.path("a.qcow2")
    n.night("incremental")
    good = n.status()["last-success"]
    age(n, days=20)
    rot(full, SIZE - 65536)
    n.change()
    r = n.run()
    n.generation += 1
    found = re.search(r"at byte (\d+)$", r.err.rstrip())
    true(found, r.err)
    at = found.group(1)
    doc = n.status()
    equal((1, "failed", rotten(full, at)), (r.status, doc["status"], doc["error"]["message"]))
    equal((None, "failed"), (doc["last-success"], doc["health"]))
    true(good and "there is no restore point that is not damaged" in doc["reasons"], doc)
    equal(3 * ["damaged"], states(n))
    equal("scrub", damages(n)[0][2])
    n.night("full", rotten(full, at))


def case_history_scrub_share():
    """Not all in one night, and what was read lately not again."""
    n = Nights(full_every="1 runs", keep=9, verify="no", scrub_budget="1K")
    for i in range(3):
        n.night("full", "after 1 runs" if i else FIRST)
    equal(3 * ["unproven"], states(n))
    age(n, days=1)
    n.night("full", "after 1 runs")
    equal(["verified"] + 3 * ["unproven"], states(n))
    n.night("full", "after 1 runs")
    equal(["verified"] * 2 + 3 * ["unproven"], states(n))
    n.configure(full_every="1 runs", keep=9, verify="no", scrub_budget="1 hours")
    n.night("full", "after 1 runs")
    equal(["verified"] * 3 + 3 * ["unproven"], states(n))
    n.configure(full_every="1 runs", keep=9, verify="no", scrub_every="no")
    age(n, days=1)
    n.night("full", "after 1 runs")
    equal(["verified"] * 3 + 4 * ["unproven"], states(n))


def case_history_verify_chain():
    """The whole chain of each new restore point."""
    n = Nights(format="qcow2", verify="chain")
    n.night("full", FIRST)
    full = n.path("a.qcow2")
    n.night("incremental")
    rot(full, SIZE - 65536)
    n.change()
    r = n.run()
    n.generation += 1
    true(r.status == 1 and "does not have its checksum" in r.err, r.err)
    equal(3 * ["damaged"], states(n))


def case_history_restore_remembers():
    """What a restore finds in a chain, too."""
    n = Nights()
    n.night("full", FIRST)
    rot(n.path("a.raw"))
    disk = os.path.join(scratch, "disk")
    open(disk, "wb").close()
    os.truncate(disk, SIZE)
    r = run("restore", "--force", n.path("a.raw"), "/dev/mock/9",
            script=f"FILE {disk}\nDEV 4001:9 {SIZE} 7:0\n")
    equal(3, r.status, r.err)
    equal([(n.point, "a.raw", "restore", "it does not have its checksum at byte 196608",
            [{"start": 196608, "length": 65536}])], damages(n))
    equal(["damaged"], states(n))


def case_history_old_mark():
    """What version 0.1.0 has noted of a chain; its 'verified' proves nothing."""
    n = Nights(verify="all")
    n.night("full", FIRST)
    n.night("incremental")
    with open(n.path("verified", point=n.chain), "r+") as f:
        f.truncate(21)
    equal(["unproven", "verified"], states(n))
    equal([True, True], [bool(p["verified"]) for p in points(n.folder)[1]])
    broken = os.path.join(n.folder, n.chain, "broken")
    with open(broken, "w") as f:
        f.write(rotten(n.path("a.raw"), 5) + "\n")
    equal(["unproven", "damaged"], states(n))
    verify(n, 0)
    true(not os.path.exists(broken), "it is still there")
    equal(["unproven", "verified"], states(n))
    with open(os.path.join(n.folder, n.chain, "damage.json"), "w") as f:
        f.write("{")
    equal(["damaged", "damaged"], states(n))
    n.night("full", f"'{n.folder}/{n.chain}/damage.json' is damaged: it is no JSON")


def case_history_copied():
    """A folder that was copied without its times: nothing is damaged, all is read
    before the chain goes on."""
    for form in "raw", "qcow2":
        n = Nights(format=form, verify="all")
        n.night("full", FIRST)
        n.night("incremental")
        copy = os.path.join(scratch, "copy")
        shutil.copytree(n.folder, copy, copy_function=shutil.copyfile)
        shutil.rmtree(n.folder)
        os.rename(copy, n.folder)
        equal((2 * ["unproven"], {None}),
              (states(n), {p["problem"] for p in points(n.folder)[1]}), form)
        n.night("incremental")
        equal(3 * ["verified"], states(n), form)
        # changed by somebody who has it open, say
        path = n.path(f"a.{form}", point=n.chain)
        rot(path, 3 * 65536 if form == "raw" else SIZE - 65536)
        os.utime(path)
        old = n.chain
        n.change()
        r = n.run()
        equal((0, "incremental" if form == "raw" else "full"),
              (r.status, n.status()["kind"]), r.err)
        true(f"'{path}': it does not have its checksum at byte " in r.err, r.err)
        equal("damaged", states(n)[0])
        equal("run", damages(n, old)[0][2])
        shutil.rmtree(n.folder)


# ---- What is removed ----

def case_history_cut_before_read_back():
    """A full copy whose run is killed before it is read back does not count: the next
    run reads it, and goes on over it only if it holds what was written."""
    for bad in False, True:
        n = Nights(keep=1, full_every="1 runs")
        n.night("full", FIRST)
        last = calls_of(n)[-1].split()
        equal("INFO", last[1], "the call behind the copy")
        second, = n.chains()
        n.change()
        killed(n, last[0], when="after")
        n.generation += 1
        n.chain = n.chains()[-1]
        n.configure(keep=1, full_every="2 runs")
        if bad:
            path = n.path("a.raw", point=n.chain)
            rot(path)
            n.night("full", rotten(path, 196608))
            equal([n.chain], n.chains())
        else:
            n.night("incremental")
            equal(["verified", "unproven"], states(n)[-2:])
            # whether the copy was due is not known any more
            equal([second, n.chain], n.chains())
        shutil.rmtree(n.folder)


def case_history_unproven_removes_nothing():
    """With 'verify = no' old chains go when 'dtrack verify' has read a newer one."""
    n = Nights(keep=1, full_every="1 runs", verify="no")
    n.night("full", FIRST)
    first = n.chain
    r = n.night("full", "after 1 runs")
    true(f"; '{first}' is kept: '{n.chain}' begins with a full copy that was not read "
         "back\n" in r.err, r.err)
    second = n.chain
    verify(n, 0)
    r = n.night("full", "after 1 runs")
    equal([second, n.chain], n.chains())
    true(", 1 old chain removed; " in r.err, r.err)


def case_history_lost_bitmaps():
    """Full copies that were not due do not shorten the history that was promised."""
    n = Nights(keep=2, full_every="4 runs")
    for i in range(4):
        n.night("incremental" if i else "full", "" if i else FIRST)
    for _ in range(3):
        n.generation = None
        r = n.night("full", "a: bitmap 'n' is lost")
        true("removed" not in r.err, r.err)
    # the first of these came when one was due
    chains = n.chains()
    equal(4, len(chains))
    equal([False, False, True, True],
          [json.load(open(os.path.join(n.folder, c, c, "point.json")))["surprising"]
           for c in chains])


def case_history_two_reboots():
    """Ten nights, and then two reboots: all of them are still there."""
    n = Nights(keep=2, full_every="30 days")
    n.night("full", FIRST)
    n.night("incremental")
    first = n.chain
    age(n, days=1)
    n.night("incremental")
    for _ in range(2):
        n.generation = None
        n.night("full", "a: bitmap 'n' is lost")
    equal(3, len(n.chains()))
    equal(first, n.chains()[0])


def case_history_clock_jumps():
    """Neither do copies that are full because a clock has jumped, there and back."""
    n = Nights(keep=1, full_every="30 days")
    n.night("full", FIRST)
    for _ in range(4):
        age(n, days=1)
        n.night("incremental")
    first = n.chain
    age(n, days=400)
    n.night("full", "after 30 days")
    age(n, days=-500)
    n.change()
    r = n.run()
    n.generation += 1
    true("(the clock is before the last full copy)" in r.err, r.err)
    equal((3, first), (len(n.chains()), n.chains()[0]))


def case_history_other_disk():
    """A blank disk under the old name: its copy removes nothing until somebody says
    that it is meant."""
    n = Nights(keep=1, full_every="1 runs")
    n.night("full", FIRST)
    first = n.chain
    source = os.path.join(scratch, "source0")
    with open(source, "r+b") as f:
        f.truncate(0)
        f.truncate(SIZE)
    r = n.run()
    n.generation += 1
    warning = ("'a' has next to nothing in common with the restore point before: if it is "
               "a copy of another disk, and meant, 'dtrack run --accept' says so; until "
               "then it removes nothing")
    equal((0, [warning], 2), (r.status, n.status()["warnings"], len(n.chains())))
    equal("warning", n.status()["health"])
    r = n.run()
    n.generation += 1
    true(r.status == 0 and f"; '{first}' is kept: " in r.err, r.err)
    equal(3, len(n.chains()))
    r = n.run("--accept")
    n.generation += 1
    equal((0, 1), (r.status, len(n.chains())), r.err)
    true(first not in n.chains(), n.chains())
    # half of it is another's: that is no other disk
    n = Nights(keep=1, full_every="1 runs")
    n.night("full", FIRST)
    with open(source, "r+b") as f:
        f.write(os.urandom(SIZE - 2 * 65536))
    n.night("full", "after 1 runs")
    equal([n.chain], n.chains())


def case_history_consistency():
    """What was held still is not replaced by a copy that was not."""
    n = Nights(keep=1, full_every="1 runs", hold="true", release="true")
    n.night("full", FIRST)
    first = n.chain
    n.change()
    r = n.run("--live", successor=65536)
    n.generation += 1
    second, = set(n.chains()) - {first}
    equal(["held", "live"], [p["consistency"] for p in points(n.folder)[1]])
    true(f"; '{first}' is kept: no newer restore point is verified and as consistent as its "
         f"'{first}'\n" in r.err, r.err)
    n.night("full", "after 1 runs", successor=65536)
    equal([n.chain], n.chains())
    equal("held", n.status()["newest-restorable"]["consistency"])
    # what does not say it is taken for what the job asks for
    doc = json.load(open(n.path("point.json")))
    del doc["consistency"]
    with open(n.path("point.json"), "w") as f:
        json.dump(doc, f)
    n.change()
    n.run("--live", successor=65536)
    equal(2, len(n.chains()))


# ---- What is said ----

def case_history_too_old():
    """A run that fails is no reason for alarm as long as a restore point is new."""
    n = Nights()
    n.night("full", FIRST)
    equal(("ok", []), (n.status()["health"], n.status()["reasons"]))
    n.configure(before="exit 3")
    n.run()
    why = "the last run has failed: The hook 'before' failed: exit status 3"
    equal(("warning", [why]), (n.status()["health"], n.status()["reasons"]))
    age(n, hours=37)
    n.run()
    doc = n.status()
    equal("failed", doc["health"])
    true(doc["reasons"][0].endswith(": more than 36 hours old"), doc)
    equal((n.point, "verified"), (doc["newest-restorable"]["point"],
                                  doc["last-verified"]["state"]))
    n.configure(before="exit 3", max_age="2 days")
    n.run()
    equal("warning", n.status()["health"])


def case_history_rotten_is_no_success():
    """Each copy is found rotten: the last success is the one before."""
    n = Nights(verify="all")
    n.night("full", FIRST)
    good = n.point
    rot(n.path("a.raw"))
    n.change()
    equal(1, n.run().status)
    doc = n.status()
    equal((good, good), (doc["last-success"]["point"], doc["newest-restorable"]["point"]))
    equal("warning", doc["health"])
