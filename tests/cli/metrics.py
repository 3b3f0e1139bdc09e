# SPDX-License-Identifier: GPL-2.0-or-later
"""Prometheus' text, as its format is defined."""
import re
import subprocess

from kit import *

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
