# SPDX-License-Identifier: GPL-2.0-or-later
"""What is shown of devices and bitmaps: list, show, check, map."""
import json
import os
import random
import re
import subprocess
import time
import xml.etree.ElementTree

from kit import *


def case_show_json():
    script = (TWO + "BITMAP 4001:7 z uuid=0xab granularity=512 count=1024 generation=7"
              " full-leaves=2\n"
              "BITMAP 4001:8 other\n"
              "BITMAP 4001:7 a flags=35 successor=65536 pid=4711 comm=dtrack"
              " since=1700000000 bytes=1048576\n"
              "BITMAP 4001:7 i flags=12\n")
    z, a, i = succeeds("bitmap", "show", DEV, "--json", script=script).json()
    for b in (z, a, i):
        equal(KEYS, list(b), "keys")
    equal({"name": "z", "granularity": 512, "count": 1024, "recording": True,
           "busy": False, "persistent": False, "inconsistent": False,
           "size": 4194304, "uuid": "abababab-abab-abab-abab-abababababab",
           "generation": 7, "full-leaves": 2, "owner": None,
           "successor-count": 0}, z)
    equal({"pid": 4711, "comm": "dtrack", "since": "2023-11-14T22:13:20Z"}, a["owner"])
    equal((True, True, 65536, 1048576),
          (a["recording"], a["busy"], a["successor-count"], a["size"]))
    equal((False, True, True), (i["recording"], i["persistent"], i["inconsistent"]))
    equal([a], succeeds("bitmap", "show", DEV, "a", "--json", script=script).json())
    equal("[]\n", succeeds("bitmap", "show", "/dev/mock/7", "--json", script=ONE).out)
    fails(1, "BitmapNotFound", "bitmap show /dev/mock/7:x: Dirty bitmap 'x' not found",
          "bitmap", "show", DEV, "x")


def case_show_table():
    out = succeeds("bitmap", "show", DEV).out.splitlines()
    equal("NAME GRANULARITY COUNT STATE GENERATION OWNER UUID".split(), out[0].split())
    equal("b 64K 128K recording 3 01010101-0101-0101-0101-010101010101".split(),
          out[1].split())


def case_list():
    equal([{"name": "", "device": "4001:7", "size": 4194304, "lower": "7:0",
            "lower-start": 0, "bitmaps": 1},
           {"name": "", "device": "4001:8", "size": 4194304, "lower": "7:1",
            "lower-start": 0, "bitmaps": 0}],
          succeeds("list", "--json", script=TWO + B).json())
    equal("[]\n", succeeds("list", "--json", script="").out)
    equal(1, len(succeeds("list", "/dev/mock/8", "--json", script=TWO).json()))


def case_list_tree():
    script = TREE + "BITMAP 4001:7 second flags=0 granularity=4096\n"
    out = succeeds("list", script=script).out
    equal(["NAME      TYPE    DEVICE  SIZE DIRTY GRANULARITY STATE",
           "data      tracked 4001:7    4M",
           "|-mock/9  lower   4001:9",
           "|-b       bitmap            4M  128K         64K recording",
           "`-second  bitmap            4M    0B          4K disabled",
           "other     tracked 4001:8    4M",
           "`-mock/10 lower   4001:10"],
          [line.rstrip() for line in out.splitlines()])
    equal(["mock/10"], re.findall(r"mock/\d+", succeeds("list", "other",
                                                       script=script).out))
    # It went between the list and the look; one that is named must be there.
    succeeds("list", script=TREE + "FAIL INFO ENODEV 1\n")
    fails(1, "DeviceNotFound", "list data: Cannot find device 'data': "
          "it is not tracked", "list", "data",
          script=TREE + "SKIP INFO 1\nFAIL INFO ENODEV\n")


# ---- Check ----
NO_WRITES = f"WRITES 4001:7 0 0 0 0 0 0 0 0 {2 ** 64 - 1}\n"


def case_check():
    r = succeeds("check", "data", script=TREE + WRITES)
    equal("seen: 37 writes (148K) 3 discards (768K) 2 zeroes (256K), "
          "the last 5 s ago\n", r.out)
    equal({"faults": 0, "findings": [], "writes": {
        "writes": {"requests": 37, "bytes": 151552},
        "discards": {"requests": 3, "bytes": 786432},
        "zeroes": {"requests": 2, "bytes": 262144},
        "others": {"requests": 0, "bytes": 0}, "idle-ms": 5123}},
        succeeds("check", "data", "--json", script=TREE + WRITES).json())
    # A module that does not count.
    equal({"faults": 0, "findings": [], "writes": None},
          succeeds("check", "data", "--json", script=TREE).json())


def case_check_faults():
    script = TREE + NO_WRITES + "BITMAP 4001:7 off flags=0\n"
    r = run("check", "data", script=script)
    equal((3, "fault: bitmap 'off' is disabled: it does not record\n"
           "note: 'data' has seen no write since it was made\n", ""),
          (r.status, r.out, r.err))
    r = run("check", "data", "--json", script=script)
    equal((3, {"faults": 1, "findings": [
        {"kind": "not-recording", "fault": True, "bitmap": "off",
         "text": "bitmap 'off' is disabled: it does not record"},
        {"kind": "no-writes", "fault": False, "bitmap": None,
         "text": "'data' has seen no write since it was made"}],
        "writes": dict.fromkeys(("writes", "discards", "zeroes", "others"),
                                {"requests": 0, "bytes": 0}) |
        {"idle-ms": None}}), (r.status, r.json()))
    # Only the bitmap that is asked for matters.
    equal("note: 'data' has seen no write since it was made\n",
          succeeds("check", "data", "b", script=script).out)
    r = run("check", "gone", script="DM 4001:6 gone linear - 4001:9 0\n")
    equal((3, "fault: 'gone' is of type 'linear' now: nothing tracks it\n", ""),
          (r.status, r.out, r.err))
    fails(1, "BitmapNotFound", "check data:x: Dirty bitmap 'x' not found",
          "check", "data", "x", script=TREE)


# ---- Map ----

DIRT = "EXTENT 0 65536\nEXTENT 1048576 1048576\nEXTENT 3145728 4096\n"


def case_map():
    script = TREE + DIRT
    equal(["data:b: 1M of 4M dirty (26.7 %)", "[2...####....1...]",
           "256K a cell"],
          succeeds("map", "data", "b", "--width", "16", script=script)
          .out.splitlines())
    equal(80, len(succeeds("map", "data", "b", script=script).out.splitlines()[1]))
    p = subprocess.run([DTRACK, "map", "data", "b", "--width", "4"],
                       env=environment(script) | {"LC_ALL": "C.UTF-8"},
                       timeout=LIMIT, stdout=subprocess.PIPE, check=True)
    equal("[\u2581\u2588\u00b7\u2581]",
          p.stdout.decode().splitlines()[1].replace("\u2582", "\u2581"))


def case_map_cells_add_up():
    """Whatever the width: each byte is counted in one cell."""
    extents = [(0, 65536), (1048576, 1048576), (3145728, 4096),
               (4194304 - 512, 512)]
    script = TREE + "".join(f"EXTENT {s} {n}\n" for s, n in extents)
    for nr in (1, 2, 3, 7, 64, 78, 1000, 4096):
        doc = succeeds("map", "data", "b", "--json", "--width", str(nr),
                       script=script).json()
        edges = [SIZE * i // nr for i in range(nr + 1)]
        want = [sum(max(0, min(e, s + n) - max(b, s)) for s, n in extents)
                for b, e in zip(edges, edges[1:])]
        equal({"name": "b", "size": SIZE, "cells": want,
               "dirty": sum(n for _, n in extents)}, doc)
    # Beyond the device's end, which has moved.
    equal([0, 512], succeeds("map", "data", "b", "--json", "--width", "2",
                             script=TREE + "EXTENT 4193792 1024\n"
                             "EXTENT 8388608 512\n").json()["cells"])


def case_map_svg():
    path = os.path.join(scratch, "map.svg")
    script = TREE.replace(" b ", " <&> ") + DIRT
    succeeds("map", "data", "<&>", "--svg", path, script=script)
    root = xml.etree.ElementTree.parse(path).getroot()
    ns = "{http://www.w3.org/2000/svg}"
    equal(ns + "svg", root.tag)
    true(root.find(ns + "text").text.startswith("data:<&>: "), "title")
    cells = root.findall(ns + "rect")
    equal(2048, len(cells))
    equal(65536 + 1048576 + 4096,
          sum(int(c.find(ns + "title").text.split()[1]) for c in cells), "sum")
    equal(["#700018"] * 512, [c.get("fill") for c in cells[512:1024]])
    equal({"#eeeeee"}, {c.get("fill") for c in cells[1024:1536]})
    r = run("map", "data", "<&>", "--svg", "/dev/full", script=script)
    equal((1, "", "dtrack: map data:<&>: Could not write '/dev/full': "
           "No space left on device\n"), (r.status, r.out, r.err))


def case_map_errors():
    fails(1, "BitmapNotFound", "map data:x: Dirty bitmap 'x' not found",
          "map", "data", "x", script=TREE)
    usage("map data:b: --width: at most 4096", "map", "data", "b", "--width",
          "4097", script=TREE)
    fails(1, "Stale", "map data:b: Bitmap 'b' changed while it was read",
          "map", "data", "b", script=TREE + DIRT + "FAIL EXTENTS ESTALE\n")


# ---- Text of others in JSON ----

def any_bytes(length):
    """A word of anything but what ends a word or a name."""
    letters = [c for c in range(1, 256) if c not in b"\t\n\v\f\r /"]
    return bytes(random.choice(letters) for _ in range(length)).decode(errors="surrogateescape")


def case_json_of_any_bytes():
    """Whatever a name is made of: of the kernel, of a file, of a process."""
    seed = int(os.environ.get("SEED", time.time_ns()))
    random.seed(seed)
    print(f"# SEED={seed}")
    for word in ["\udce2\udc82", "x\udcff", "\udced\udca0\udc80", "\udcc0\udc80",
                 *(any_bytes(9) for _ in range(20))]:
        script = (f"DEV 4001:7 4194304 4001:9\nDM 4001:7 {word} dirtytrack - 4001:9 0\n"
                  f"BITMAP 4001:7 {word} flags=47 pid=7 comm={word}\n")
        for args in (["list"], ["list", DEV], ["bitmap", "show", DEV], ["check", DEV],
                     ["map", DEV, word], ["metrics"], ["bitmap", "clear", DEV, word],
                     ["bitmap", "add", DEV, word], ["bitmap", "show", word],
                     ["backup", DEV, "--target", word + "/t"], ["frob", word],
                     ["verify", word], ["restore", word, DEV], ["points", word],
                     ["bitmap", "import", DEV, "b", word], ["run", word],
                     ["transaction", word], ["create", word, word]):
            try:
                r = run(*args, "--json", script=script, cwd=scratch)
                r.json()
                r.err.encode()
            except ValueError as e:
                raise Failed(f"{args}: {e}: {r.out!r}") from e


def case_json_owner_cut():
    """The kernel cuts a process's name after 15 bytes, also inside a character."""
    comm = "üüüüüüü".encode() + "ü".encode()[:1]
    script = ONE + f"BITMAP 4001:7 b flags=47 pid=7 comm={comm.decode(errors='surrogateescape')}\n"
    equal("üüüüüüü?", succeeds("bitmap", "show", DEV, "--json", script=script)
          .json()[0]["owner"]["comm"])


def case_json_paths():
    """Of what is found on a target, and of a job."""
    folder = os.path.join(scratch, "a\udcff")
    os.mkdir(folder)
    f = Files(fits=False)
    full, incremental = (os.path.join(folder, name) for name in "fi")
    for generation, args in (3, [full, "--sync", "full", "--bitmap", "b", "--bitmap-mode",
                                 "conditional"]), (4, [incremental + ",backing=" + full,
                                                       *INCREMENTAL]):
        r = run("backup", DEV, "--target", "qcow2:" + args[0], *args[1:],
                script=f.script.replace("generation=3", f"generation={generation}"))
        equal(0, r.status, r.err)
    os.remove(full + ".dtrack")
    r = run("verify", "qcow2:" + incremental, "--json")
    equal((3, f"'{scratch}/a?/f' has no manifest"), (r.status, r.json()["problems"][0]))
    r = run("run", os.path.join(folder, "job"), "--json")
    equal(2, r.status)
    r.json()


def case_json_backing_name():
    """A manifest could not hold it: it is refused before the freeze."""
    f = Files(fits=False)
    first, second = (os.path.join(scratch, name) for name in ("a\udcff", "b"))
    equal("", run("backup", DEV, "--target", "qcow2:" + first, "--sync", "full", "--bitmap", "b",
                 "--bitmap-mode", "conditional", script=f.script).err)
    r = run("backup", DEV, "--target", f"qcow2:{second},backing=qcow2:{first}", *INCREMENTAL,
            "--json", script=f.script.replace("generation=3", "generation=4"))
    why = f"The name of the backing file '{scratch}/a?' is not UTF-8: a manifest cannot hold it"
    equal((1, f"dtrack: backup {DEV}:b: {why}\n", why),
          (r.status, r.err, r.json()["error"]["message"]))
    true("FREEZE" not in " ".join(r.log) and not os.path.exists(second), r.log)
