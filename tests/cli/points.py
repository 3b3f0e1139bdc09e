# SPDX-License-Identifier: GPL-2.0-or-later
"""'dtrack points': what a job can be restored to."""
import os
import re
import shutil

from kit import *
from nightkit import *

COLUMNS = ["TIME", "KIND", "STATE", "DEVICE", "SIZE", "COPIED", "IMAGE"]


def points(what):
    """The rows, and the document, of 'dtrack points'."""
    r, j = run("points", what), run("points", what, "--json")
    equal((0, r.err), (r.status, j.err), "points")
    equal([], r.log, "what was asked of the kernel")
    head, *rows = [line.split() for line in r.out.splitlines()] or [COLUMNS]
    equal(COLUMNS, head)
    return [dict(zip(COLUMNS, row)) for row in rows], j.json(), r.err


def case_points():
    """The newest last; what is listed is what restore takes."""
    n = Nights(nr=2, full_every="2 runs")
    equal(([], [], f"dtrack: points {n.folder}: there is no restore point in "
                   f"'{n.folder}'\n"),
          points(n.folder))
    names, contents = [], []
    for kind, why in (("full", FIRST), ("incremental", ""), ("full", "after 2 runs")):
        n.night(kind, why)
        names.append((n.chain, n.point, kind, why or None))
        contents.append(n.content())
    rows, doc, err = points(n.config)
    equal("", err)
    equal((rows, doc), points(n.folder)[:2])
    equal(names, [(p["chain"], p["point"], p["kind"], p["why"]) for p in doc])
    equal([("verified", True, True), ("unproven", False, False), ("verified", True, True)],
          [(p["state"], bool(p["verified"]), bool(p["checked"])) for p in doc])
    equal([1, 2, 3], [p["number"] for p in doc])
    equal({("raw", None)}, {(p["format"], p["problem"]) for p in doc})
    images = [i for p in doc for i in p["images"]]
    equal([("a", "4M"), ("b", "4M")] * 3, [(r["DEVICE"], r["SIZE"]) for r in rows])
    equal(["4M", "4M", "128K", "128K", "4M", "4M"], [r["COPIED"] for r in rows])
    equal([i["path"] for i in images], [r["IMAGE"] for r in rows])
    equal([2 * [k] for k in ("full", "incremental", "full")],
          [[r["KIND"] for r in rows[at:at + 2]] for at in (0, 2, 4)])
    true(all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r["TIME"]) for r in rows), rows)
    for image, content in zip(images, [c for pair in contents for c in pair]):
        equal((SIZE, content), (image["size"], n.image(image["path"])))


def case_points_damaged():
    """What is wrong, and with which: those before it are as good as ever."""
    n = Nights(format="qcow2")
    for kind, why in (("full", FIRST), ("incremental", ""), ("incremental", "")):
        n.night(kind, why)
    paths = [r["IMAGE"] for r in points(n.folder)[0]]
    os.utime(paths[1])
    rows, doc, err = points(n.folder)
    equal(("", ["verified", "unproven", "unproven"]), (err, [r["STATE"] for r in rows]))
    os.truncate(paths[1], os.path.getsize(paths[1]) + 512)
    rows, doc, err = points(n.folder)
    why = f"'{paths[1]}' was changed since"
    equal(2 * f"dtrack: points {n.folder}: {why}\n", err)
    equal(["verified", "damaged", "damaged"], [r["STATE"] for r in rows])
    equal([None, why, why], [p["problem"] for p in doc])
    folder = os.path.dirname(paths[1])
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))
    for remove in (lambda: None, lambda: os.rmdir(folder)):
        remove()
        rows, doc, err = points(n.folder)
        equal(f"dtrack: points {n.folder}: a restore point before '{n.point}' is missing\n",
              err)
        equal(["verified", "damaged"], [r["STATE"] for r in rows])
    with open(os.path.join(os.path.dirname(paths[0]), "point.json"), "w") as f:
        f.write("{")
    rows, doc, err = points(n.folder)
    true(f"'{os.path.dirname(paths[0])}/point.json' is damaged: it is no JSON\n" in err, err)
    equal(["damaged", "damaged"], [p["state"] for p in doc])
    equal([[], 1], [doc[0]["images"], len(rows)])


def case_points_raw():
    """Each image is whole."""
    n = Nights()
    for kind, why in (("full", FIRST), ("incremental", "")):
        n.night(kind, why)
    shutil.rmtree(n.path(point=n.chain))
    equal(["unproven"], [p["state"] for p in points(n.folder)[1]])


def case_points_usage():
    n = Nights()
    usage(f"points {n.config}x: Could not read it: No such file or directory",
          "points", n.config + "x")
    with open(n.config, "w") as f:
        f.write("[job]\n")
    usage(f"points {n.config}: line 1: the section is empty", "points", n.config)
    usage("points: too few arguments: points CONFIG", "points")


def case_points_rotten():
    """What a run found when it read back what it had written."""
    n = Nights(verify="all")
    n.night("full", FIRST)
    rot(n.path("a.raw"))
    n.change()
    equal(1, n.run().status)
    rows, doc, err = points(n.folder)
    image = rows[1]["IMAGE"]
    why = f"'{image}': it does not have its checksum at byte 196608"
    equal(f"dtrack: points {n.folder}: {why}\n", err)
    equal([("verified", None), ("damaged", why)],
          [(p["state"], p["problem"]) for p in doc])
