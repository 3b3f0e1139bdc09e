# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs on a bitmap: what they ask the kernel, and what they say."""
import os
import re
import subprocess

from kit import *


def case_extents():
    script = ONE + B + "EXTENT 1048576 65536\nSTEP 131072\n"
    equal("65536 131072\n1048576 65536\n",
          succeeds("bitmap", "extents", DEV, "b", script=script).out)
    equal([{"start": 65536, "length": 131072}, {"start": 1048576, "length": 65536}],
          succeeds("bitmap", "extents", DEV, "b", "--json", script=script).json())
    empty = ONE + "BITMAP 4001:7 b\n"
    equal("", succeeds("bitmap", "extents", DEV, "b", script=empty).out)
    equal("[]\n", succeeds("bitmap", "extents", DEV, "b", "--json", script=empty).out)


def case_extents_error_in_the_middle():
    script = (ONE + B + "EXTENT 1048576 65536\nEXTENT 2097152 65536\nPIECE 1\n"
              "SKIP EXTENTS 2\nFAIL EXTENTS ESTALE\n")
    r = run("bitmap", "extents", DEV, "b", "--json", script=script)
    equal(1, r.status)
    equal({"error": {"class": "Stale", "message":
                     "Bitmap 'b' changed while it was read"}}, r.json())


def case_requests():
    """Each verb makes one request, exactly this."""
    script = TWO + B + "BITMAP 4001:8 o\n"
    for args, request in (
            (["add", DEV, "n"], "ADD n granularity=0 flags=0"),
            (["add", DEV, "n", "--granularity", "4K", "--disabled"],
             "ADD n granularity=4096 flags=1"),
            (["add", DEV, "n", "--persistent"], "ADD n granularity=0 flags=2"),
            (["remove", DEV, "b"], "REMOVE b"),
            (["clear", DEV, "b"], "CLEAR b"),
            (["enable", DEV, "b"], "ENABLE b"),
            (["disable", DEV, "b"], "DISABLE b"),
            (["merge", DEV, "b"], "MERGE b <-"),
            (["merge", DEV, "b", "b", "/dev/mock/8:o"],
             "MERGE b <- 4001:7:b 4001:8:o"),
            (["freeze", DEV, "b"], "FREEZE b mode=0 set=0 flags=1"),
            (["abdicate", DEV, "b"], "ABDICATE b run=0 flags=0"),
            (["reclaim", DEV, "b"], "RECLAIM b run=0 flags=0"),
            (["reclaim", DEV, "b", "--force"], "RECLAIM b run=0 flags=1")):
        r = succeeds("bitmap", *args, script=script)
        equal("", r.out, " ".join(args))
        equal([request], [x for x in r.log
                          if not re.match("OPEN|VERSION|INFO", x)], " ".join(args))
        equal("{}\n", succeeds("bitmap", *args, "--json", script=script).out)


def case_bitmap_errors():
    for verb, fail in (("remove", "REMOVE"), ("clear", "CLEAR"),
                       ("enable", "ENABLE"), ("disable", "DISABLE"),
                       ("merge", "MERGE"), ("freeze", "FREEZE"),
                       ("abdicate", "ABDICATE"), ("reclaim", "RECLAIM")):
        fails(1, "Busy", f"bitmap {verb} /dev/mock/7:b: {BUSY}", "bitmap", verb,
              DEV, "b", script=ONE + B + f"FAIL {fail} EBUSY\n")
    fails(1, "Exists", "bitmap add /dev/mock/7:b: Bitmap already exists: b",
          "bitmap", "add", DEV, "b")
    fails(1, "GenericError",
          "bitmap add /dev/mock/7:n: Granularity must be power of 2 and at least 512",
          "bitmap", "add", DEV, "n", "--granularity", "0")
    fails(1, "GenericError", "bitmap add /dev/mock/7:: Bitmap name cannot be empty",
          "bitmap", "add", DEV, "")


def case_export_import():
    path = os.path.join(scratch, "file")
    still = ONE + "BITMAP 4001:7 b flags=0\nEXTENT 65536 131072\n"
    equal("", succeeds("bitmap", "export", DEV, "b", path, script=still).out)
    equal({}, succeeds("bitmap", "export", DEV, "b", path, "--json", script=still).json())
    for more, flags in (([], 2), (["--merge"], 6)):
        args = ["bitmap", "import", DEV, "b", path, *more]
        r = succeeds(*args)
        equal("", r.out)
        equal(["BITS_LOAD b flags=1 start=0 length=0",
               "BITS_LOAD b flags=0 start=0 length=4194304 65536+131072",
               f"BITS_LOAD b flags={flags} start=0 length=0"],
              [x for x in r.log if x.startswith("BITS")], "requests")
        equal({}, succeeds(*args, "--json").json())


def case_export_import_errors():
    path = os.path.join(scratch, "file")
    name = "bitmap export /dev/mock/7:b: "
    fails(1, "Stale", name + "Bitmap 'b' changed while it was read",
          "bitmap", "export", DEV, "b", path, script=ONE + B + "FAIL BITS_GET ESTALE\n")
    fails(1, "GenericError",
          name + f"Could not write '{scratch}': it exists and is no regular file",
          "bitmap", "export", DEV, "b", scratch)
    fails(1, "BitmapNotFound",
          "bitmap export /dev/mock/7:x: Dirty bitmap 'x' not found",
          "bitmap", "export", DEV, "x", path)
    equal(False, os.path.exists(path), "the file")

    name = "bitmap import /dev/mock/7:b: "
    fails(1, "GenericError", name + f"Could not read '{path}': No such file or directory",
          "bitmap", "import", DEV, "b", path)
    succeeds("bitmap", "export", DEV, "b", path)
    fails(1, "Busy", name + BUSY, "bitmap", "import", DEV, "b", path,
          script=ONE + B + "FAIL BITS_LOAD EBUSY\n")
    fails(1, "GenericError",
          name + f"The sizes differ: the bitmap file '{path}' is of a device of"
          " 4194304 bytes, '/dev/mock/7' has 8388608",
          "bitmap", "import", DEV, "b", path, "--merge",
          script="DEV 4001:7 8388608\n" + B)
    fails(1, "GenericError",
          name + f"The granularities differ: the bitmap file '{path}' has 65536,"
          " bitmap 'b' 4096; only a merge takes another one",
          "bitmap", "import", DEV, "b", path,
          script=ONE + "BITMAP 4001:7 b granularity=4096\n")
    with open(path, "r+b") as f:
        f.truncate(100)
    fails(1, "GenericError",
          name + f"The bitmap file '{path}' is damaged: length: it has 100 bytes, not 155",
          "bitmap", "import", DEV, "b", path)
    with open(path, "r+b") as f:
        f.seek(8)
        f.write(b"\2")
    fails(1, "GenericError",
          name + f"The bitmap file '{path}' is not understood: version: it is of a newer one",
          "bitmap", "import", DEV, "b", path)


def case_merge_sources():
    script = TWO + B
    fails(1, "BitmapNotFound",
          "bitmap merge /dev/mock/7:b: Dirty bitmap 'x' not found",
          "bitmap", "merge", DEV, "b", "b", "x", script=script)
    r = run("bitmap", "merge", DEV, "b", "/dev/mock/9:b", "--json", script=script)
    equal("DeviceNotFound", r.json()["error"]["class"])
    r = run("bitmap", "merge", DEV, "b", "/dev/mock/8:", "--json", script=script)
    equal("BitmapNotFound", r.json()["error"]["class"])


def case_one_line():
    """Whatever is in a name, an error is one line and JSON is JSON."""
    for name in ("a\nb", "a\rb", "a\x1b[31m", b"a\xff", b"\xc0\xaf", "\u00e4\u2603"):
        r = run("bitmap", "clear", DEV, name, "--json")
        equal(1, r.status)
        equal(1, r.err.count("\n"), f"lines of {r.err!r}")
        true("\x1b" not in r.err and "\r" not in r.err, r.err)
        r.out.encode()  # no lone bytes
        equal("BitmapNotFound", r.json()["error"]["class"])
    r = run("bitmap", "clear", DEV, "\u2603")
    true("'\u2603'" in r.err, r.err)


def case_long_names():
    for verb in ("add", "clear"):
        r = run("bitmap", verb, DEV, "n" * 5000, "--json")
        equal((1, 1), (r.status, r.err.count("\n")))
        true(r.json()["error"]["message"], "no message")
    long = "--" + "y" * 3000
    usage(f"bitmap merge d:t: '{long}' is no option of this verb",
          "bitmap", "merge", "d", "t", long)


def case_stdout_full():
    with open("/dev/full", "w") as full:
        p = subprocess.run([DTRACK, "bitmap", "show", DEV], stdout=full,
                           env=environment(ONE + B), stderr=subprocess.PIPE,
                           check=False, timeout=LIMIT)
    equal((1, b"dtrack: stdout: No space left on device\n"), (p.returncode, p.stderr))
