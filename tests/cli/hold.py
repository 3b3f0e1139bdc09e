# SPDX-License-Identifier: GPL-2.0-or-later
"""'dtrack run': what is held still for the copy is released, whatever happens."""
import os
import signal
import subprocess
import time

from kit import *
from nightkit import *


class Held(Nights):
    """A job whose hooks say in a file that they run."""

    def __init__(self, nr=1, **keys):
        self.said = os.path.join(scratch, "said")
        super().__init__(nr, **{"hold": self.say("hold"),
                                "release": self.say("release"), **keys})

    def say(self, word):
        return f"echo {word} >>{self.said}"

    def hooks(self, hold=None, release=None, **keys):
        self.configure(hold=hold or self.say("hold"),
                       release=release or self.say("release"), **keys)

    def heard(self):
        """What was said since the last time."""
        with open(self.said) as f:
            said = f.read().split()
        os.remove(self.said)
        return said

    def await_said(self, word):
        end = time.monotonic() + LIMIT
        while not os.path.exists(self.said) or word not in open(self.said).read():
            true(time.monotonic() < end, f"nobody said {word}")
            time.sleep(0.01)

    def start(self, awaited):
        self.change()
        p = subprocess.Popen([DTRACK, "run", self.config], env=environment(self.kernel()),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.await_said(awaited)
        return p

    def end(self, p):
        """Its status and its lines, when nobody has its files open any more."""
        err = p.communicate(timeout=LIMIT)[1].decode()
        prefix = f"dtrack: run {self.config}: "
        return p.returncode, [line.removeprefix(prefix) for line in err.splitlines()]


def case_run_hold():
    """For the copy alone: neither before the bitmaps are looked at, nor while
    it is read back. One pair for all devices."""
    n = Held(nr=2)
    log = os.path.join(scratch, "log")
    n.hooks(hold=f"env >{n.said}.env; cp {log} {n.said}.1",
            release=f"env >>{n.said}.env; cp {log} {n.said}.2; "
                    f"test -z \"$(ls -d {n.folder}/0*/0*/point.json 2>&-)\" || exit 7")
    n.night("full", FIRST)
    with open(n.said + ".env") as f:
        variables = sorted(line.strip() for line in f if line.startswith("DTRACK_"))
    equal(sorted(2 * [f"DTRACK_JOB={n.config}", f"DTRACK_FOLDER={n.folder}",
                      "DTRACK_KIND=full", f"DTRACK_WHY={FIRST}"]), variables)
    with open(n.said + ".1") as f:
        before = f.read()
    with open(n.said + ".2") as f:
        after = f.read()
    true(before.count("ADD n") == 2 and "FREEZE" not in before, before)
    true(after.count("ABDICATE n") == 2, after)
    n.hooks()
    n.night("incremental")
    equal(["hold", "release"], n.heard())


def case_run_hold_fails():
    """What was held halfway is released, and nothing was frozen."""
    n = Held()
    n.night("full", FIRST)
    n.heard()
    n.hooks(hold=n.say("half") + "; exit 3")
    r = n.fails("The hook 'hold' failed: exit status 3")
    equal(["half", "release"], n.heard())
    true("FREEZE" not in " ".join(r.log), r.log)
    n.hooks(hold=n.say("half") + "; exit 3", release=n.say("release") + "; exit 4")
    n.fails("The hook 'hold' failed: exit status 3; "
            "The hook 'release' failed: exit status 4")
    equal(["half", "release"], n.heard())
    n.hooks()
    n.night("incremental")


def case_run_release_fails():
    """The restore point is one, but somebody has to look."""
    n = Held(release="exit 4")
    r = n.run()
    lines = r.err.splitlines()
    true(r.status == 1 and "full copy 000001" in lines[0], r.err)
    equal(f"dtrack: run {n.config}: The hook 'release' failed: exit status 4", lines[1])
    equal(("failed", "000001"), (n.status()["status"],
                                 n.status()["last-success"]["point"][:6]))


def case_run_hold_too_long():
    """Neither hook may take for ever; what it has begun ends with it."""
    n = Held()
    n.night("full", FIRST)
    n.heard()
    n.hooks(hold=f"{n.say('half')}; sleep 1000", hook_timeout=1)
    n.fails("The hook 'hold' failed: it took more than 1 s")
    equal(["half", "release"], n.heard())
    n.hooks(release=f"trap '{n.say('term')}' TERM; {n.say('release')}; "
                    "while :; do sleep 1; done", hook_timeout=1)
    n.change()
    r = n.run()
    true(r.status == 1 and r.err.endswith(
        "The hook 'release' failed: it took more than 1 s\n"), r.err)
    equal(["hold", "release", "term"], n.heard())


def case_run_hold_limit():
    """The copy is given up rather than that the devices stand still for ever."""
    n = Held()
    n.night("full", FIRST)
    n.heard()
    n.hooks(hold_limit=1, speed="4K")
    n.fails("It took more than the 1 s of hold-limit")
    equal(["hold", "release"], n.heard())
    n.hooks(hold_limit=1000)
    n.night("incremental")


def mounts():
    """Two devices are mounted, as far as the command knows: the kernel's lines of two
    file systems that there are everywhere."""
    root = os.path.join(scratch, "root")
    os.makedirs(os.path.join(root, "proc/self"), exist_ok=True)
    with open("/proc/self/mountinfo") as f:
        lines = {fields[4]: fields for fields in map(str.split, f)}
    with open(os.path.join(root, "proc/self/mountinfo"), "w") as f:
        for i, point in enumerate(("/proc", "/sys")):
            fields = lines[point]
            f.write(" ".join([*fields[:2], f"4001:{7 + i}", *fields[3:]]) + "\n")
            device = os.path.join(root, f"sys/dev/block/4001:{7 + i}")
            os.makedirs(device, exist_ok=True)
            with open(os.path.join(device, "uevent"), "w") as event:
                event.write(f"DEVNAME=mock/{7 + i}\n")
    return f"ROOT {root}\n"


def freezes():
    return [line for line in read_log() if line.startswith(("FIFREEZE", "FITHAW"))]


def case_run_hold_limit_between_freezes():
    """It is looked at before each file system, not when all stand still."""
    n = Held(nr=2)
    n.night("full", FIRST)
    n.heard()
    n.hooks(fsfreeze="copy")
    n.night("incremental", more=mounts())
    equal(2 * ["FIFREEZE"] + 2 * ["FITHAW"], freezes())
    equal(["hold", "release"], n.heard())
    n.hooks(fsfreeze="copy", hold_limit=3)
    n.fails("It took more than the 3 s of hold-limit", more=mounts() + "SLOW 3000\n")
    equal(["FIFREEZE", "FITHAW"], freezes())
    equal(["hold", "release"], n.heard())
    n.hooks(hold=n.say("hold") + "; sleep 1.1", fsfreeze="copy", hold_limit=1)
    n.fails("It took more than the 1 s of hold-limit", more=mounts())
    equal([], freezes())
    equal(["hold", "release"], n.heard())
    n.hooks(fsfreeze="copy")
    n.fails("Could not freeze '/sys': it is frozen already, it is not known by whom", cls="GenericError",
            more=mounts() + "SKIP FIFREEZE 1\nFAIL FIFREEZE EBUSY\n")
    equal(["FIFREEZE", "FIFREEZE failed", "FITHAW"], freezes())


def case_run_hold_cancelled():
    """While the hook runs, and while it is copied."""
    for hold, speed in (("; sleep 1000", "64K"), ("", "4K")):
        n = Held()
        n.night("full", FIRST)
        n.heard()
        n.hooks(hold=n.say("hold") + hold, speed=speed)
        p = n.start("hold")
        p.send_signal(signal.SIGTERM)
        equal((1, ["Operation canceled"]), n.end(p))
        equal("cancelled", n.status()["status"])
        equal(["hold", "release"], n.heard())
        n.hooks()
        n.night("incremental")


def case_run_hold_killed():
    """Whatever becomes of the run: in the hook, and in the copy."""
    for hold, speed in (("; sleep 1000", "64K"), ("", "4K")):
        n = Held()
        n.night("full", FIRST)
        n.heard()
        n.hooks(hold=n.say("hold") + hold, speed=speed, hold_limit=90,
                hook_timeout=90)
        p = n.start("hold")
        p.kill()
        equal((-signal.SIGKILL, []), n.end(p))
        equal(["hold", "release"], n.heard())


def case_run_hold_second_signal():
    n = Held(speed="4K")
    p = n.start("hold")
    while p.poll() is None:
        p.send_signal(signal.SIGINT)
        time.sleep(0.001)
    n.end(p)
    equal(["hold", "release"], n.heard())


def case_run_hold_keeper_killed():
    """Then the run itself releases."""
    n = Held()
    n.night("full", FIRST)
    n.heard()
    n.hooks(speed="16K")
    p = n.start("hold")
    while "FREEZE" not in " ".join(read_log()):
        true(p.poll() is None, "it ended")
        time.sleep(0.01)
    p.send_signal(signal.SIGSTOP)
    with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
        keeper = int(f.read().split()[0])
    os.kill(keeper, signal.SIGTERM)     # in vain
    time.sleep(0.1)
    equal(["hold"], open(n.said).read().split())
    os.kill(keeper, signal.SIGKILL)
    p.send_signal(signal.SIGCONT)
    status, lines = n.end(p)
    true(status == 0 and lines[0].startswith("incremental copy 000002"), lines)
    equal(["hold", "release"], n.heard())


def case_run_live():
    """Nothing is held still, the next run does."""
    n = Held(fsfreeze="copy", hold_limit=9)
    r = n.run("--live")
    true(r.status == 0 and "full copy 000001" in r.err, r.err)
    true(not os.path.exists(n.said), "a hook was run")
    n.generation = 2
    r = n.run()
    true(r.status == 0 and "incremental copy 000002" in r.err, r.err)
    equal(["hold", "release"], n.heard())
