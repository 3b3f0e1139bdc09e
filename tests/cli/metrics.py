# SPDX-License-Identifier: GPL-2.0-or-later
"""Prometheus' text, as its format is defined."""
import os
import re
import shutil
import subprocess
import time

from kit import *
from nightkit import *

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)'
                    r'\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\} '
                    r'([0-9]+(?:\.[0-9]+)?)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def exposition(text):
    """Prometheus' text format, strictly: {(name, labels): value}."""
    samples, seen, current, kind = {}, set(), None, None
    true(text.endswith("\n"), "no newline at the end")
    lines = text[:-1].split("\n")
    for i, line in enumerate(lines):
        if line.startswith("# HELP "):
            current = line.split(" ")[2]
            true(len(line.split(" ", 3)[3]) > 5 and "\\" not in line, line)
            true(current not in seen, f"{current} comes twice")
            seen.add(current)
            match = re.fullmatch(rf"# TYPE {current} (counter|gauge)", lines[i + 1])
            true(match, lines[i + 1])
            kind = match[1]
            equal(kind == "counter", current.endswith("_total"), current)
        elif not line.startswith("# TYPE "):
            match = SAMPLE.fullmatch(line)
            true(match, f"no sample: {line}")
            equal(current, match[1], "a sample among another metric's")
            labels = LABEL.findall(match[2])
            equal(match[2], ",".join(f'{k}="{v}"' for k, v in labels))
            key = match[1], tuple(sorted(
                (k, re.sub(r"\\(.)", r"\1", v)) for k, v in labels))
            true(key not in samples, f"{line} comes twice")
            samples[key] = float(match[3])
    return samples


def case_metrics():
    got = exposition(succeeds("metrics", script=TREE + WRITES).out)
    data = (("device", "data"), ("number", "4001:7"))
    other = (("device", "other"), ("number", "4001:8"))
    want = {}
    for at in (data, other):
        want["dtrack_device_size_bytes", at] = SIZE
        want["dtrack_device_bitmaps", at] = int(at == data)
    for kind, nr, size in (("write", 37, 151552), ("discard", 3, 786432),
                           ("write-zeroes", 2, 262144), ("other", 0, 0)):
        at = data[0], ("kind", kind), data[1]
        want["dtrack_marked_requests_total", at] = nr
        want["dtrack_marked_bytes_total", at] = size
    want["dtrack_last_mark_seconds", data] = 5.123
    for name, value in (("size_bytes", SIZE), ("granularity_bytes", 65536),
                        ("dirty_bytes", 131072), ("successor_dirty_bytes", 0),
                        ("generation", 3), ("full_leaves", 0), ("recording", 1),
                        ("busy", 0), ("inconsistent", 0)):
        want["dtrack_bitmap_" + name, (("bitmap", "b"), *data)] = value
    equal(want, got)
    only = exposition(succeeds("metrics", "other", script=TREE).out)
    equal({other}, {labels for _, labels in only})
    equal({}, exposition(succeeds("metrics", script="").out))
    doc = succeeds("metrics", "--json", script=TREE + WRITES).json()
    equal({("name", "labels", "value")}, {tuple(sample) for sample in doc})
    equal(want, {(sample["name"], tuple(sorted(sample["labels"].items()))):
                 sample["value"] for sample in doc})
    equal(len(want), len(doc), "samples")
    equal("[]\n", succeeds("metrics", "--json", script="").out)


def case_metrics_jobs():
    """Of those of /etc/dtrack, or of those that are named."""
    n = Nights()
    etc = os.path.join(scratch, "etc-dtrack")
    os.mkdir(etc)
    shutil.copy(n.config, os.path.join(etc, "db.conf"))
    db = ("config", "/etc/dtrack/db.conf"), ("name", "db")
    script = n.kernel()
    none = {("dtrack_job_has_status", db): 0}
    equal(none, exposition(succeeds("metrics", "db", script=script).out))
    before = int(time.time())
    equal(0, run("run", "db", script=script, cwd=scratch).status)
    # no module is needed
    got = exposition(succeeds("metrics", os.path.join(n.folder, "status.json"),
                              script="OPEN ENOENT\n").out)
    for name in "last_run", "last_success":
        when = got.pop((f"dtrack_job_{name}_timestamp_seconds", db))
        true(before <= when <= time.time(), f"{name}: {when}")
    true(got.pop(("dtrack_job_last_run_duration_seconds", db)) < LIMIT, got)
    # what else there is now, or will be
    known = {k: v for k, v in got.items()
             if not re.search("verified|restorable|health", k[0])}
    want = {("dtrack_job_has_status", db): 1, ("dtrack_job_last_run_copied_bytes", db): SIZE,
            ("dtrack_job_last_run_warnings", db): 0,
            **{("dtrack_job_last_run_status", (*db, ("status", word))): int(word == "completed")
               for word in ("completed", "failed", "cancelled")}}
    equal(want, known)
    status = os.path.join(n.folder, "status.json")
    edit(status, status="failed", health="warning", warnings=["x", "y"],
         **{"last-verified": {"time": "2026-01-02T03:04:05Z"}, "last-success": None,
            "newest-restorable": {"time": "2026-01-02T03:04:06Z"}, "time": 7})
    got = exposition(succeeds("metrics", script=script).out)
    for name, value in (("last_verified", 1767323045), ("newest_restorable", 1767323046),
                        ("last_success", None), ("last_run", None)):
        equal(value, got.get((f"dtrack_job_{name}_timestamp_seconds", db)), name)
    equal(2, got["dtrack_job_last_run_warnings", db])
    for health in "ok", "warning", "failed":
        equal(int(health == "warning"), got["dtrack_job_health", (db[0], ("health", health), db[1])])
        true(("dtrack_device_size_bytes", (("device", "t0"), ("number", "4001:7"))) in got, got)
    # one that is wrong does not hide the others, and is missed by nobody
    with open(os.path.join(etc, "bad.conf"), "w") as f:
        f.write("[job]\n")
    r = run("metrics", script=script)
    equal((0, "dtrack: metrics: /etc/dtrack/bad.conf: line 1: the section is empty\n"),
          (r.status, r.err))
    more = exposition(r.out)
    bad = ("config", "/etc/dtrack/bad.conf"), ("name", "bad")
    equal(0, more.pop(("dtrack_job_has_status", bad)))
    equal(got, more)
    doc = run("metrics", "--json", script=script).json()
    equal({**more, ("dtrack_job_has_status", bad): 0},
          {(sample["name"], tuple(sorted(sample["labels"].items()))): sample["value"]
           for sample in doc})
    # damaged: as if there were none
    for text in "{", "[]", '{"format": "x"}':
        with open(status, "w") as f:
            f.write(text)
        equal(0, exposition(succeeds("metrics", "db", script=script).out)
              ["dtrack_job_has_status", db])
    usage("metrics bad: /etc/dtrack/bad.conf: line 1: the section is empty", "metrics", "bad",
          script=script)


def case_metrics_hostile_names():
    script = ('DEV 4001:7 4194304 4001:9\nDM 4001:7 a"b\\c dirtytrack - x\n'
              "BITMAP 4001:7 \xff{} flags=9\n")
    p = subprocess.run([DTRACK, "metrics"], timeout=LIMIT, stdout=subprocess.PIPE,
                       env=environment(script), check=True)
    got = exposition(p.stdout.decode())
    equal({'a"b\\c'}, {dict(labels)["device"] for _, labels in got})
    equal({'a"b\\c'}, {sample["labels"]["device"] for sample in
                       succeeds("metrics", "--json", script=script).json()})
    equal(1, got["dtrack_bitmap_inconsistent",
                 (("bitmap", "\xff{}"), ("device", 'a"b\\c'),
                  ("number", "4001:7"))])
