# SPDX-License-Identifier: GPL-2.0-or-later
"""'dtrack run' that was killed or cancelled, and the one after it."""
import json
import os
import re
import signal
import subprocess
import time

from kit import *
from nightkit import *


def case_run_killed():
    """At each ioctl; what it left is no restore point, and is gone after the
    next run."""
    n = Nights(full_every="100 runs")
    n.night("full", FIRST)
    n.night("incremental")
    calls = calls_of(n)
    partials = 0
    for call in calls:
        number, name = call.split()
        before = set(n.listing())
        killed(n, number)
        partial = set(n.listing()) - before
        partials += bool(partial)
        if name == "TRANSACTION":
            true(partial, f"no partial restore point at {call}")
        if number == calls[-1].split()[0]:
            break   # the kernel has made its last step
        n.night("incremental")
        equal(set(), {p for p in partial if os.path.exists(p)}, f"left at {call}")
    true(partials > 4, f"{partials} partial restore points")


def case_run_killed_first():
    n = Nights()
    killed(n, "REPORT")
    first = n.chains()
    equal(1, len(first))
    n.generation = 1
    n.night("full", FIRST)
    equal([n.chain], n.chains())
    equal("000002", n.chain[:6])


def run_id(n, point):
    with open(n.path("a.raw.dtrack", point=point)) as f:
        return int(json.load(f)["bitmap"]["run"], 16)


def case_run_adopts():
    for state in ("complete", "incomplete"):
        n = Nights()
        n.night("full", FIRST)
        n.night("incremental")
        content, point = n.content(), n.point
        os.remove(n.path("point.json"))
        edit(n.path("a.raw.dtrack"), state=state)
        n.night("incremental", last_run=f"0x{run_id(n, point):x}")
        equal(content, n.images(point=point), f"{state}: the restore point")
        doc = json.load(open(n.path("point.json", point=point)))
        equal((2, 1), (doc["number"], doc["previous"]))
    # a first one, too
    n = Nights()
    n.night("full", FIRST)
    os.remove(n.path("point.json"))
    n.night("incremental")
    # unfinished, and the step was another's
    n = Nights()
    n.night("full", FIRST)
    n.night("incremental")
    os.remove(n.path("point.json"))
    edit(n.path("a.raw.dtrack"), state="incomplete")
    with open(os.path.join(n.folder, "making"), "w") as f:
        f.write(f"{n.chain}/{n.point}\n")
    n.night("full", "a: bitmap 'n' is at generation 3, the last restore point at 2")


def case_run_last_point_without_its_file():
    """Whoever lost it, or put a folder there, keeps the images."""
    n = Nights(keep=9)
    n.night("full", FIRST)
    n.night("incremental")
    n.night("incremental")
    lost, content = n.path(), n.content()
    os.remove(n.path("point.json"))
    edit(n.path("a.raw.dtrack"), state="incomplete")
    empty = os.path.join(n.folder, "000001-20240101T000000Z")
    os.makedirs(os.path.join(empty, "gold"))
    r = n.run()
    warning = f"'{os.path.relpath(lost, n.folder)}' has no point.json, and is not what an " \
        "interrupted run has left: it is kept"
    true(r.status == 0 and warning in n.status()["warnings"], r.err)
    equal(content, [n.image(os.path.join(lost, "a.raw"))])
    true(os.path.exists(os.path.join(empty, "gold")), "a folder without a restore point")


def case_run_point_without_its_file():
    """No leftover of a run if others lie on it: they are restored by it."""
    n = Nights(format="qcow2")
    n.night("full", FIRST)
    n.night("incremental")
    middle = n.point
    n.night("incremental")
    content, chain, point = n.content(), n.chain, n.point
    os.remove(n.path("point.json", point=middle))
    n.night("full", f"a restore point before '{n.path()}' is missing")
    true(os.path.exists(n.path("a.qcow2", chain=chain, point=middle)), "it was removed")
    equal(content, n.images(chain=chain, point=point), "the image above it")


def copying(n, **kwargs):
    p = subprocess.Popen([DTRACK, "run", n.config], env=environment(n.kernel()),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)
    end = time.monotonic() + LIMIT
    while "EXTENTS" not in " ".join(read_log()):
        true(time.monotonic() < end and p.poll() is None, "it ended")
        time.sleep(0.01)
    return p


def case_run_cancelled():
    n = Nights()
    n.night("full", FIRST)
    n.configure(speed="4K", after="echo $DTRACK_STATUS")
    n.change()
    before = n.listing()
    p = copying(n)
    p.send_signal(signal.SIGTERM)
    equal(f"cancelled\ndtrack: run {n.config}: Operation canceled\n".encode(),
          p.communicate(timeout=LIMIT)[1])
    equal((1, "cancelled", before), (p.returncode, n.status()["status"], n.listing()))
    true(any("RECLAIM n" in line for line in read_log()), read_log())
    n.configure()
    n.night("incremental")


def wait_taken(pid, sig):
    """Until a signal that was sent is pending no longer."""
    pending = 1 << sig - 1
    while pending & 1 << sig - 1:
        with open(f"/proc/{pid}/status") as f:
            pending = int(re.search(r"^ShdPnd:\s*(\w+)$", f.read(), re.M)[1], 16)


def case_run_cancelled_by_timeout():
    """timeout(1) signals the process and then its group: that is one wish."""
    for form in ("raw", "qcow2"):
        n = Nights(format=form)
        n.night("full", FIRST)
        n.configure(speed="4K", after="echo $DTRACK_STATUS", format=form)
        n.change()
        before = n.listing()
        p = copying(n, start_new_session=True)
        p.send_signal(signal.SIGTERM)
        wait_taken(p.pid, signal.SIGTERM)
        os.killpg(p.pid, signal.SIGTERM)
        equal(f"cancelled\ndtrack: run {n.config}: Operation canceled\n".encode(),
              p.communicate(timeout=LIMIT)[1])
        equal((1, "cancelled", before), (p.returncode, n.status()["status"], n.listing()))
        true(any("RECLAIM n" in line for line in read_log()), read_log())


def case_run_cancelled_again():
    """Who asks again a while later does not wait for a hook that does not end."""
    n = Nights()
    begun, end = (os.path.join(scratch, name) for name in ("begun", "end"))
    n.configure(before=f"trap '' TERM; touch {begun}; "
                       f"while [ ! -e {end} ]; do sleep 0.05; done")
    p = subprocess.Popen([DTRACK, "run", n.config], env=environment(n.kernel()),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + LIMIT
    while not os.path.exists(begun):
        true(time.monotonic() < until and p.poll() is None, "it ended")
        time.sleep(0.01)
    p.send_signal(signal.SIGTERM)
    time.sleep(1.1)
    true(p.poll() is None, "the first one ended it")
    p.send_signal(signal.SIGTERM)
    equal(1, p.wait(LIMIT))
    open(end, "w").close()
    # in order it would have said so
    equal((b"", b""), p.communicate(timeout=LIMIT))


def case_run_hangup():
    """In order, however often the terminal says so; but not below nohup."""
    n = Nights()
    n.night("full", FIRST)
    n.configure(speed="4K", after="echo $DTRACK_STATUS")
    n.change()
    p = copying(n)
    for _ in range(5):
        p.send_signal(signal.SIGHUP)
        time.sleep(0.01)
    equal(f"cancelled\ndtrack: run {n.config}: Operation canceled\n".encode(),
          p.communicate(timeout=LIMIT)[1])
    equal((1, "cancelled"), (p.returncode, n.status()["status"]))
    n.configure(speed="64K", after="echo $DTRACK_STATUS")
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        p = copying(n)
    finally:
        signal.signal(signal.SIGHUP, old)
    p.send_signal(signal.SIGHUP)
    said = p.communicate(timeout=LIMIT)[1].decode()
    equal(0, p.returncode, said)
    true(said.startswith("completed\n"), said)
