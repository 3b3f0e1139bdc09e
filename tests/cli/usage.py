# SPDX-License-Identifier: GPL-2.0-or-later
"""Help, completion, mistakes in the words, and a kernel without the module."""
import os
import re
import subprocess

from kit import *

VERBS = ["create", "remove", "list", "check", "map", "metrics",
         "bitmap add", "bitmap remove",
         "bitmap clear", "bitmap enable", "bitmap disable", "bitmap merge",
         "bitmap show", "bitmap extents", "bitmap export", "bitmap import",
         "bitmap freeze", "bitmap abdicate", "bitmap reclaim", "backup",
         "restore", "verify", "transaction", "run", "points"]


# ---- Help and usage ----

def case_help():
    for verb in VERBS:
        r = succeeds(*verb.split(), "--help")
        true(r.out.startswith(f"Usage: dtrack {verb} "), r.out)
        equal(r.out, succeeds("help", *verb.split()).out)
        true("--json" in r.out and "--help" in r.out, r.out)
        equal([], r.log, "what --help asked the kernel")
        equal(r.out, succeeds(*verb.split(), "-h").out)
    r = succeeds("help")
    equal(r.out, succeeds("--help").out)
    equal(r.out, succeeds("-h").out)
    for verb in VERBS:
        true(re.search(rf"^  {verb} ", r.out, re.M), f"no {verb} in help")
    r = succeeds("bitmap", "--help")
    for args in ("help", "bitmap"), ("bitmap",), ("bitmap", "-h"):
        equal(r.out, succeeds(*args).out)
    true("create" not in r.out and "bitmap add" in r.out, r.out)


def completed(*words, script=None):
    """What bash offers for the last word, by the script that is installed."""
    said = subprocess.run(
        ["bash", "-c", '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
         '_dtrack; printf "%s\\n" "${COMPREPLY[@]}"', "bash",
         os.path.join(ROOT, "tools/completion/dtrack"), DTRACK, *words],
        env=environment(TREE + B if script is None else script), timeout=LIMIT,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, check=True)
    equal(b"", said.stderr, "stderr")
    return said.stdout.decode().split()


def case_completion_of_verbs_and_options():
    """All verbs, and of each the very options of its --help."""
    firsts = list(dict.fromkeys(verb.split()[0] for verb in VERBS))
    equal({*firsts, "help", "--help", "--version"}, set(completed("")))
    equal(set(firsts), set(completed("help", "")))
    for verb in VERBS:
        *before, last = verb.split()
        for typed in (last[:-1], last):
            true(last in completed(*before, typed), f"{verb}: {typed}")
            true(last in completed("help", *before, typed), f"help {verb}")
        text = succeeds(*verb.split(), "--help").out
        options = re.findall(r"^  (--[a-z-]+)", text, re.M)
        equal(sorted(options), sorted(completed(*verb.split(), "--")), verb)
        for option in options:
            equal([option], [o for o in completed(*verb.split(), option)
                             if o == option], verb)
        # What takes one of a list.
        for option, words in re.findall(r"^  (--[a-z-]+) [A-Z]+ .*: ([a-z, -]+)$",
                                        text, re.M):
            equal(words.split(", "), completed(*verb.split(), option, ""), verb)


def case_manual():
    """It has all verbs and options."""
    with open(os.path.join(ROOT, "Documentation/man/dtrack.8.rst"), encoding="utf-8") as f:
        text = f.read()
    options = text[text.index("\nOPTIONS\n"):text.index("\nBACKUPS\n")]
    for verb in VERBS:
        true(re.search(rf"\*\*(dtrack )?(bitmap )?{verb.split()[-1]}\*\*", text), verb)
        for option in re.findall(r"^  (--[a-z-]+)", succeeds(*verb.split(), "--help").out, re.M):
            true(f"**{option}**" in options, f"{verb}: {option}")


def case_completion_of_names():
    script = TREE + "BITMAP 4001:7 c$1\n"
    equal(["data", "other"], completed("check", "", script=script))
    equal(["data"], completed("bitmap", "show", "da", script=script))
    equal(["data"], completed("remove", "d", script=script))
    equal(["b", "c\\$1"], completed("map", "data", "", script=script))
    equal(["b", "c\\$1"], completed("map", "--width", "7", "data", "", script=script))
    equal(["b"], completed("backup", "data", "--bitmap", "b", script=script))
    equal(["b"], completed("bitmap", "merge", "data", "b", "b", script=script))
    equal(["json"], completed("backup", "data", "--progress", "=", script=script))
    equal(["json"], completed("backup", "--progress", "=", "j", script=script))
    equal(["data", "other"], completed("backup", "--progress", "=", "json", "",
                                       script=script))
    # Where files are meant, and where nothing is known, the shell goes on.
    for words in (("bitmap", "export", "data", "b", ""), ("create", "n", ""),
                  ("backup", "data", "--target", ""), ("nosuch", ""),
                  ("check", "data", "b", "")):
        equal([], completed(*words, script=script))
    equal([], completed("check", "", script="OPEN EACCES\n"))
    equal([], completed("map", "data", "", script=script + "FAIL INFO ENOMEM\n"))


def case_help_lists_what_is_parsed():
    for verb in VERBS:
        text = succeeds(*verb.split(), "--help").out
        for name, arg in re.findall(r"^  --([a-z-]+)( [A-Z]+)?", text, re.M):
            if name in ("help", "json"):
                continue
            r = run(*verb.split(), f"--{name}")
            true("is no option" not in r.err, f"{verb} --{name}: {r.err}")
            equal(bool(arg), f"option '--{name}' needs an argument" in r.err,
                  f"{verb} --{name} takes an argument")


def case_version():
    true(re.fullmatch(r"dtrack \d+\.\d+\.\d+\n", succeeds("--version").out),
         "--version")
    equal(succeeds("--version").out, succeeds("-V").out)


def case_usage():
    equal((2, "dtrack: a verb is missing; see 'dtrack help'\n"),
          (lambda r: (r.status, r.err))(run()))
    usage("'x' is no verb; see 'dtrack help'", "x")
    usage("'bitmap x' is no verb; see 'dtrack help'", "bitmap", "x", "y")
    usage("'bitmap' is no verb; see 'dtrack help'", "bitmap", "--x")
    usage("'-x' is no verb; see 'dtrack help'", "-x")
    usage("'frob' is no verb; see 'dtrack help'", "help", "frob")
    usage("create t: too few arguments: create NAME DEVICE", "create", "t")
    usage("list a: too many arguments: 'b'", "list", "a", "b")
    usage("bitmap add d: too few arguments: bitmap add DEV BITMAP",
          "bitmap", "add", "d")
    usage("bitmap merge d: too few arguments: bitmap merge DEV TARGET [SOURCE...]",
          "bitmap", "merge", "d")
    usage("bitmap show: too few arguments: bitmap show DEV [BITMAP]",
          "bitmap", "show")
    usage("bitmap export d:b: too few arguments: bitmap export DEV BITMAP FILE",
          "bitmap", "export", "d", "b")
    usage("bitmap import d:b: too many arguments: 'x'",
          "bitmap", "import", "d", "b", "f", "x")
    usage("bitmap export d:b: '--merge' is no option of this verb",
          "bitmap", "export", "d", "b", "f", "--merge")
    usage("bitmap clear d:b: '--x' is no option of this verb",
          "bitmap", "clear", "d", "b", "--x")
    usage("bitmap clear d:b: '--force' is no option of this verb",
          "bitmap", "clear", "d", "b", "--force")
    usage("bitmap clear d:b: '-x' is no option of this verb",
          "bitmap", "clear", "d", "b", "-x")
    equal((2, "dtrack: backup d: option '--target' needs an argument\n"),
          (lambda r: (r.status, r.err))(run("backup", "d", "--target")))
    # What is meant may come behind the mistake, or not be there.
    usage("backup d:b: '--x' is no option of this verb",
          "backup", "--x", "d", "--bitmap", "b")
    equal("dtrack: backup -x: --jobs: must be at least 1\n",
          run("backup", "--jobs", "0", "--", "-x").err)
    usage("list: '--x' is no option of this verb", "list", "--x")


def case_usage_order():
    """'restore TARGET DEV', but 'verify DEV TARGET'."""
    path = os.path.join(scratch, "t")
    open(path, "w").close()
    for target in path, "qcow2:" + path, "raw:" + path, "nbd://h/", "nbd+unix:///?socket=s":
        usage(f"restore {target}: TARGET comes first, then DEV: '{target}' is no block device",
              "restore", DEV, target)
        usage(f"verify {target}: DEV comes first, then TARGET: '{target}' is no block device",
              "verify", target, DEV)


def case_usage_values():
    add = ["bitmap", "add", "d", "b", "--granularity"]
    size = "is no size: digits and one of K, M, G, T"
    for bad in ("x", "", "64KB", "-1", "1.5M"):
        usage(f"bitmap add d:b: --granularity: '{bad}' {size}", *add, bad)
    usage("bitmap add d:b: --granularity: '16777216T' is too great", *add, "16777216T")
    backup = ["backup", "d", "--target", "t"]
    usage("backup d: --sync: 'x' is none of full, top, incremental, bitmap, none",
          *backup, "--sync", "x")
    usage("backup d: --bitmap-mode: 'x' is none of conditional, on-success, never, always",
          *backup, "--bitmap-mode", "x")
    usage("backup d: --jobs: must be at least 1", *backup, "--jobs", "0")
    usage("backup d: --jobs: '2K' is no number", *backup, "--jobs", "2K")
    usage("backup d: --jobs: '9999999999' is too great", *backup, "--jobs", "9999999999")
    usage("backup d: --speed: '-1' is no size: digits and one of K, M, G, T", *backup,
          "--speed", "-1")
    usage("backup d: --target must be given", "backup", "d")
    usage("backup d:b: --sync must be given with --bitmap",
          *backup, "--bitmap", "b", "--bitmap-mode", "always")


def case_usage_asks_nothing():
    for args in (["bitmap", "add", "d"], ["backup", "d"],
                 ["backup", "d", "--target", "t", "--sync", "bitmap"],
                 ["backup", "d", "--target", "t", "--bitmap-mode", "never"]):
        equal([], run(*args).log, " ".join(args))


# ---- Without a module, without permission ----

def case_no_module():
    why = ("Could not load the kernel module dm-dirtytrack: "
           "it is not installed for this kernel")
    for args, name in ((["list"], "list"), (["bitmap", "show", "d"], "bitmap show d"),
                       (["create", "t", "/dev/null"], "create t"),
                       (["backup", "d", "--target", "t"], "backup d")):
        r = run(*args, "--json", script="OPEN ENOENT\n")
        equal((1, f"dtrack: {name}: {why}\n"), (r.status, r.err))
        equal({"error": {"class": "GenericError", "message": why}}, r.json())


def case_no_permission():
    fails(1, "Permission",
          "bitmap show d: Could not open '/dev/dirtytrack': Permission denied",
          "bitmap", "show", "d", script="OPEN EACCES\n")
    fails(1, "Permission",
          "bitmap clear /dev/mock/7:b: Operation not permitted: CAP_SYS_ADMIN is needed",
          "bitmap", "clear", DEV, "b", script=ONE + B + "FAIL CLEAR EPERM\n")


def case_other_abi():
    r = run("list", "--json", script="ABI 7\n")
    equal(1, r.status)
    equal({"error": {"class": "GenericError", "message":
                     "the kernel module speaks ABI version 7, libdtrack 1"}}, r.json())


def case_create_name():
    """What device-mapper would refuse without a word."""
    for name, why in (("a/b", "1 to 127 bytes without '/'"),
                      ("n" * 128, "1 to 127 bytes without '/'"),
                      ("control", "device-mapper has reserved it"),
                      (".", "device-mapper has reserved it"),
                      ("..", "device-mapper has reserved it")):
        fails(1, "GenericError", f"create {name}: '{name}' is no name for a device: {why}",
              "create", name, "/dev/null")


def case_unknown_device():
    no = "Cannot find device '{0}'"
    fails(1, "DeviceNotFound", "bitmap show nosuch: " + no.format("nosuch"),
          "bitmap", "show", "nosuch")
    fails(1, "DeviceNotFound", "list /dev/nosuch: " + no.format("/dev/nosuch"),
          "list", "/dev/nosuch")
    r = run("bitmap", "show", "/dev/mock/9", "--json")
    equal("DeviceNotFound", r.json()["error"]["class"])
