# SPDX-License-Identifier: GPL-2.0-or-later
"""Nights of 'dtrack run' by chance, and what it promises, by a model of its own:
what is good stays, what is called good can be had back, what is called done is.

PROMISES=N is a number of seeds for each case, FIRST=N the first, SEED=N the only one;
NIGHTS=N of each. DTR_LATER=NAME,... are promises and events to do without, 'all' goes
on behind what is broken, and tells all of it.
"""
import json
import os
import shutil
import signal

from world import *

# What happens, and how often. What is not kept yet waits in LATER.
EVENTS = {"nothing": 8, "rots": 4, "reboots": 2, "is_copied": 1, "clock_jumps": 1,
          "opens": 1, "sticks": 1, "is_another_disk": 0.4, "keeps_aside": 1, "loses": 0.5}
RUNS = {"plain": 10, "killed": 3, "killed_late": 1, "terminated": 1, "unmounted": 1, "foreign": 1}
LATER = set(os.environ.get("DTR_LATER", "another-disk,damaged,keep").split(","))
NIGHTS = int(os.environ.get("NIGHTS", "14"))


class Broken(Exception):
    pass


class Promises:
    """The checks."""

    def __init__(self, world):
        self.w, self.rng = world, world.rng
        self.broken, self.calls = {}, 12
        self.listed, self.excused, self.bad_nights = {}, 0, 0
        rng = self.rng
        keys = {"keep": rng.randint(1, 3),
                "full_every": rng.choice(("2 runs", "3 runs", "5 runs", "4 days")),
                "verify": rng.choice(("full", "all", "no") + (() if "chain" in LATER else ("chain",)))}
        self.w.configure(**keys)
        self.w.says(f"{self.w.form}, {len(self.w.disks)} disks, {keys}")

    def breaks(self, promise, what):
        if "all" in LATER:
            self.w.says(f"BROKEN {promise}: {what}")
            self.broken[promise] = self.broken.get(promise, 0) + 1
        elif promise not in LATER:
            raise Broken(f"{promise}: {what}")

    # ---- Nights ----

    def pick(self, weights):
        names = [n for n in weights if n not in LATER]
        return self.rng.choices(names, [weights[n] for n in names])[0]

    def night(self):
        w = self.w
        w.clock += self.rng.randint(18, 28) * HOUR
        w.write()
        event = self.pick(EVENTS)
        if event != "nothing":
            getattr(w, event)()
        kind = self.pick(RUNS)
        getattr(self, kind)(event == "nothing")
        if self.rng.random() < 0.3:
            w.closes()
        if self.rng.random() < 0.3:
            w.unsticks()

    def plain(self, quiet=False):
        r = self.run()
        # Whatever had happened before, of two such nights one is good.
        self.bad_nights = self.bad_nights + 1 if r.status and quiet else int(r.status != 0)
        if self.bad_nights > 1:
            self.breaks("alive", f"two nights without a reason to fail: {r.err!r}")

    def killed(self, _):
        if self.rng.random() < 0.5:
            self.run({"DTR_KILL_AT": str(self.rng.randint(3, 30)),
                      "DTR_KILL_WHEN": self.rng.choice(("before", "after"))})
        else:
            self.run({"DTR_FILES_AT": str(self.rng.randint(1, 60))})

    def killed_late(self, _):
        """All is copied: when it is to be read back."""
        self.run({"DTR_KILL_AT": str(max(1, self.calls - self.rng.randint(0, 2))),
                  "DTR_KILL_WHEN": "after"})

    def terminated(self, _):
        self.run({"DTR_FILES_AT": str(self.rng.randint(1, 60)),
                  "DTR_FILES_SIGNAL": str(int(signal.SIGTERM))})

    def unmounted(self, _):
        """The repository's disk is not there: an empty folder is."""
        w = self.w
        if not w.points():
            return self.plain()
        os.rename(w.folder, w.folder + ".disk")
        os.mkdir(w.folder)
        r = w.command("run", w.config)
        left = w.folders()
        shutil.rmtree(w.folder)
        os.rename(w.folder + ".disk", w.folder)
        w.says(f"run on the empty folder: exit {r.status} {r.err!r}")
        if not r.status or left:
            self.breaks("unmounted", f"a run into an empty folder: {r.err!r}")

    def foreign(self, _):
        """Another job has the same folder by mistake."""
        w = self.w
        if not w.points():
            return self.plain()
        config = os.path.join(w.where, "other.conf")
        disk = w.other_disk()
        with open(config, "w") as f:
            f.write(w.job(w.folder, [disk], {"keep": 1, "full_every": "1 runs"}))
        before = w.folders()
        r = w.command("run", config, disks=[*w.disks, disk])
        w.says(f"another job's run: exit {r.status} {r.err!r}")
        if not r.status or w.folders() != before:
            self.breaks("foreign", f"another job's run: {r.err!r}, "
                                   f"gone: {sorted(before - w.folders())}")

    # ---- A run ----

    def run(self, env=None):
        w = self.w
        folders, before = w.folders(), w.points()
        good = {p for p in before if w.good(p)}
        marred = {p for p in before if not w.exact(p)} | w.marred
        now = [digest(bytes(d.data)) for d in w.disks]
        log = os.path.join(w.where, "calls")
        r = w.command("run", w.config, env={"DTR_KILL_LOG": log, **(env or {})})
        if not env and os.path.exists(log):
            self.calls = len(open(log).readlines())
        if os.path.exists(log):
            os.remove(log)
        w.says(f"run{env or ''}: exit {r.status} {r.err!r}")
        for p in w.folders() - folders:
            w.truth[p] = now
        after = w.points()
        self.listing()
        self.removed(before - after, good, after)
        self.others()
        for p in after - before:
            self.made(p, marred)
        self.status(r, after - before)
        return r

    def listing(self):
        w = self.w
        r = w.command("points", w.folder, "--json")
        if r.status:
            raise Broken(f"points: exit {r.status}: {r.err!r}")
        self.listed = {f"{p['chain']}/{p['point']}": p for p in json.loads(r.out)}
        for name, p in self.listed.items():
            if name in w.truth:
                self.named(name, p)

    def checked(self, p):
        return self.w.when((p.get("checked") or p.get("verified") or "")[:20])

    def claim(self, name):
        """Whether it is called verified, and rightly so: no rot can be known
        that came later."""
        p = self.listed.get(name)
        if not p or p["state"] != "verified":
            return False
        at = self.checked(p)
        # what says when may have rotted itself
        return self.w.exact(name) or any(at is None or b > at for b in self.w.bends(name))

    def named(self, name, p):
        """What a point is called."""
        w = self.w
        if p["state"] == "verified" and not self.claim(name):
            self.breaks("verified", f"{name} is called verified, checked "
                        f"{p.get('checked') or p.get('verified')} ({self.checked(p)}), and went "
                        f"bad at {w.bends(name) or 'its making'}")
        if p["state"] == "damaged" and w.good(name) and name not in w.marred and \
                not self.chain_bent(name):
            self.breaks("damaged", f"{name} is called damaged and is not: {p['problem']!r}")

    def chain_bent(self, name):
        """A chain with a hole is told by all that comes behind."""
        chain = os.path.join(self.w.folder, name.split("/")[0]) + "/"
        return any(path.startswith(chain) for path in self.w.bent) or \
            any(p.startswith(name.split("/")[0]) for p in self.w.marred)

    def made(self, name, marred):
        """A new point has what was there in its night."""
        w = self.w
        if w.exact(name):
            return
        before = [p for p in w.truth if p.split("/")[0] == name.split("/")[0] and p < name]
        if not any(w.bends(p) or p in marred for p in before):
            raise Broken(f"exact: {name} does not hold what was there in its night")
        w.marred.add(name)

    def others(self):
        gone = sorted(n for p, n in self.w.others.items() if not os.path.exists(p))
        for path in [p for p in self.w.others if not os.path.exists(p)]:
            del self.w.others[path]
        if gone:
            self.breaks("others", f"what is not the job's was removed: {gone}")

    # ---- What was removed ----

    def removed(self, gone, good, after):
        if not gone:
            return
        w, keep = self.w, self.w.keys["keep"]
        chains = sorted({p.split("/")[0] for p in gone})
        newest = max(gone)
        newer = [p for p in after if p > newest]
        if not any(self.claim(p) for p in newer):
            self.breaks("newer-verified", f"{sorted(gone)} was removed, and nothing newer is verified: "
                        f"{[(p, self.listed[p]['state']) for p in newer if p in self.listed]}")
        if good and not any(w.good(p) for p in after):
            if any(self.claim(p) for p in newer):
                self.excused += 1
            else:
                self.breaks("last-good", f"{sorted(good & gone)} was the last that could be had back")
        if w.blank and good:
            self.breaks("another-disk", f"{chains} was removed for what another disk holds")
        for path, _ in w.readers:
            if any(path.startswith(os.path.join(w.folder, c) + "/") for c in chains):
                self.breaks("open", f"{path} is open and was removed")
        if good & gone:
            self.kept(chains, after, keep)

    def kept(self, chains, after, keep):
        """So many as the job keeps remain; those that nobody had planned beside."""
        left = {}
        for name, p in self.listed.items():
            chain = name.split("/")[0]
            if name in after:
                left.setdefault(chain, []).append(p)
        left = {c: ps for c, ps in left.items() if ps[0]["state"] != "damaged"}
        planned = [c for c, ps in left.items() if not self.surprising(ps[0])]
        newest = max(left, default="")
        wanted = len(left) if newest in planned else len([c for c in planned if c < newest])
        if wanted < keep:
            self.breaks("keep", f"{chains} was removed, and {len(left)} are left, "
                                f"{len(planned)} of them planned")

    def surprising(self, point):
        why = point["why"] or ""
        return not (why.startswith("after ") or why == FIRST or "interrupted" in why)

    # ---- What was said ----

    def status(self, r, new):
        w = self.w
        sound = [p for p in new if p in self.listed and self.listed[p]["state"] != "damaged"]
        if r.status == 0 and not sound:
            self.breaks("exit", f"exit 0 without a new restore point: {r.err!r}")
        if r.status == 0 and w.keys["verify"] in ("all", "chain") and \
                not any(self.listed[p]["state"] == "verified" for p in sound):
            self.breaks("exit-verified", "all is to be verified, and the new point is not: "
                        f"{[self.listed[p] for p in sound]}")
        path = os.path.join(w.folder, "status.json")
        if r.status < 0 or not os.path.exists(path):
            return
        with open(path) as f:
            doc = json.load(f)
        last = doc["last-success"]
        if last:
            name = f"{last['chain']}/{last['point']}"
            if name not in self.listed or self.listed[name]["state"] == "damaged":
                self.breaks("last-success", f"{name} is {self.listed.get(name)}")
        if "health" in doc and doc["health"] == "ok":
            self.healthy(doc, r)

    def healthy(self, doc, r):
        w = self.w
        sound = [n for n, p in self.listed.items() if p["state"] != "damaged"]
        if r.status:
            self.breaks("health", f"ok, after {r.err!r}")
        if not sound or not any(w.exact(n) or self.claim(n) or w.bends(n) or n in w.marred
                                for n in sound):
            self.breaks("health", "ok without a restore point")

    # ---- All of it ----

    def restores(self, names):
        """What is called verified, on another disk."""
        w, spare = self.w, self.w.spare()
        for name in sorted(w.points().intersection(names, self.listed)):
            p = self.listed[name]
            at = self.checked(p)
            if p["state"] != "verified" or name not in w.truth or \
                    any(at is None or b > at for b in w.bends(name)):
                continue
            for i in range(len(w.disks)):
                spare.empty()
                r = w.command("restore", f"{w.form}:{w.image(name, i)}",
                              spare.name, disks=[*w.disks, spare])
                if r.status or digest(spare.read()) != w.truth[name][i]:
                    self.breaks("restore", f"{name} is verified, and cannot be had back: "
                                           f"exit {r.status} {r.err!r}")

    def all(self, nights):
        for _ in range(nights):
            self.night()
            names = sorted(self.listed)
            self.restores(self.rng.sample(names, min(1, len(names))))
        self.restores(sorted(self.listed))


def try_seed(seed, form, scratch, world=World, nights=NIGHTS):
    w = p = None
    try:
        w = world(seed, form, scratch)
        p = Promises(w)
        p.all(nights)
        if p.broken:
            raise Broken(str(p.broken))
    except Exception as e:
        print(f"# SEED={seed} ({form}): {type(e).__name__}: {e}")
        for line in w.events if w else []:
            print(f"#   {line}")
        raise Broken(f"SEED={seed}: {e}") from e
    finally:
        if w:
            w.ends()


def some(form, first, nr, scratch, **how):
    """A seed after the other; with what is broken later, all of them."""
    if "SEED" in os.environ:
        return try_seed(int(os.environ["SEED"]), form, scratch, **how)
    nr = int(os.environ.get("PROMISES", nr))
    first = int(os.environ.get("FIRST", first))
    print(f"# seeds {first} to {first + nr - 1}")
    failures = []
    for seed in range(first, first + nr):
        try:
            try_seed(seed, form, scratch, **how)
        except Broken as e:
            failures.append(str(e))
            if "all" not in LATER:
                raise
    if failures:
        raise Broken(f"{len(failures)} of {nr}: " + "; ".join(failures))
