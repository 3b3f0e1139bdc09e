# SPDX-License-Identifier: GPL-2.0-or-later
"""'dtrack backup': what it says, its document, signals, progress."""
import json
import os
import pty
import re
import signal
import subprocess
import time

from kit import *


def case_backup():
    f = Files()
    r = f.backup(*INCREMENTAL)
    equal((0, "completed: 131072 of 131072 bytes copied, held\n", ""),
          (r.status, r.out, r.err))
    with open(f.target, "rb") as t:
        got = t.read()
    equal(b"\0" * 65536 + f.data[65536:196608] + b"\0" * (SIZE - 196608), got)


def case_backup_json():
    f = Files()
    doc = f.backup(*INCREMENTAL, "--json").json()
    equal(["status", "consistency", "bytes-total", "bytes-copied", "bitmap"], list(doc))
    equal(("completed", "held", 131072, 131072),
          tuple(doc[k] for k in list(doc)[:4]))
    equal(KEYS, list(doc["bitmap"]))
    f = Files(fits=False)
    doc = f.backup("--json").json()
    equal({"status": "completed", "consistency": "live", "bytes-total": SIZE,
           "bytes-copied": SIZE, "bitmap": None}, doc)


def case_backup_consistency():
    """Not in use and not written to; written to. The manifest says the same."""
    for written, word in (("", "held"), ("THEN 2 successor=65536\n", "live")):
        f = Files()
        r = f.backup(*INCREMENTAL, script=f.script + written)
        equal(f"completed: 131072 of 131072 bytes copied, {word}\n", r.out)
        with open(f.manifest) as m:
            equal(word, json.load(m)["consistency"])


def case_backup_refused():
    f = Files()
    t = ["--target", f.target]
    for args, cls, status, words in (
            (["--sync", "bitmap"], "Usage", 2,
             "must provide a valid bitmap name for 'bitmap' sync mode"),
            (["--bitmap-mode", "always"], "Usage", 2,
             "Cannot specify bitmap sync mode without a bitmap"),
            (["--sync", "incremental", "--bitmap", "x"], "BitmapNotFound", 1,
             "Bitmap 'x' could not be found"),
            (["--sync", "bitmap", "--bitmap", "b"], "Usage", 2,
             "Bitmap sync mode must be given when providing a bitmap"),
            (["--sync", "full", "--bitmap", "b", "--bitmap-mode", "never"], "Usage", 2,
             "Bitmap sync mode 'never' has no meaningful effect when combined"
             " with sync mode 'full'"),
            (["--sync", "none"], "GenericError", 1, "sync mode none needs images"),
            (["--consistency", "image"], "GenericError", 1,
             "images are not supported yet")):
        name = DEV + (":" + args[args.index("--bitmap") + 1]
                      if "--bitmap" in args else "")
        r = fails(status, cls, f"backup {name}: {words}", "backup", DEV, *t, *args,
                  script=f.script)
        true("FREEZE" not in " ".join(r.log), r.log)
    equal("complete", f.state())


def case_backup_to_no_device():
    """Not a file in memory that is called like one."""
    true(os.stat("/dev").st_dev != os.stat("/").st_dev, "/dev is a file system of its own")
    f = Files()
    for name in "raw:/dev/no-such-device", "qcow2:/dev/no-such-device":
        fails(1, "GenericError", f"backup {DEV}: Target '/dev/no-such-device' does not exist, "
              "and a file in /dev would be in memory", "backup", DEV, "--target", name,
              script=f.script)
    true(not os.path.exists("/dev/no-such-device"), "it was made")
    if os.stat("/dev/shm").st_dev != os.stat("/dev").st_dev:
        target = f"/dev/shm/dtrack-test-{os.getpid()}"
        try:
            equal(0, run("backup", DEV, "--target", target, script=f.script).status)
        finally:
            for end in "", ".dtrack", ".dtrack.sums":
                if os.path.exists(target + end):
                    os.remove(target + end)


def case_backup_modes():
    for word, mode in (("conditional", 0), ("on-success", 0), ("never", 1), ("always", 2)):
        f = Files()
        r = f.backup("--sync", "bitmap", "--bitmap", "b", "--bitmap-mode", word)
        equal((0, ""), (r.status, r.err), word)
        true(f"TRANSACTION FREEZE b mode={mode} set=0 flags=0" in r.log, r.log)
        true(("RECLAIM" if mode == 1 else "ABDICATE") + " b run=1 flags=0" in r.log, r.log)


def case_backup_fails():
    f = Files(size=131072)
    r = f.backup(*INCREMENTAL, "--json")
    doc = r.json()
    equal((1, "failed", 131072, 65536),
          (r.status, doc["status"], doc["bytes-total"], doc["bytes-copied"]))
    equal("GenericError", doc["error"]["class"])
    equal("Could not read '/dev/mock/7' at byte 131072: Input/output error",
          doc["error"]["message"])
    equal(KEYS, list(doc["bitmap"]))
    equal(f"dtrack: backup {DEV}:b: {doc['error']['message']}\n", r.err)
    true("RECLAIM b run=1 flags=0" in r.log and "REPORT b run=1 65536+65536" in r.log,
         r.log)
    equal("incomplete", f.state())


def case_backup_taken_away():
    f = Files()
    r = f.backup(*INCREMENTAL, "--json",
                 script=f.script + "FAIL REPORT ESTALE\nFAIL RECLAIM ESTALE\n")
    equal({"class": "Stale", "message": "The freeze of bitmap 'b' was taken away"},
          r.json()["error"])


def case_backup_cancelled():
    for sig in (signal.SIGINT, signal.SIGTERM):
        f = Files(fits=False)
        run_ = Running(f, "--speed", "64K", "--sync", "full", "--bitmap", "b",
                       "--bitmap-mode", "always", "--json")
        run_.wait_log("REPORT")
        run_.p.send_signal(sig)
        r = run_.end()
        doc = r.json()
        equal((1, "cancelled", {"class": "GenericError", "message": "Operation canceled"}),
              (r.status, doc["status"], doc["error"]))
        true(0 < doc["bytes-copied"] < SIZE, doc)
        true("RECLAIM b run=1 flags=0" in r.log, r.log)
        equal("incomplete", f.state())


def stopped(f, *args):
    run_ = Running(f, *INCREMENTAL, "--on-source-error", "stop", *args)
    said = run_.wait_stopped()
    true(re.fullmatch(rf"dtrack: backup {DEV}:b: Could not read '{DEV}' at byte 131072: "
                      r"Input/output error; stopped: SIGUSR1 tries again, "
                      r"SIGTERM cancels \(process \d+\)\n", said), said)
    return run_


def case_backup_stop_resumed():
    f = Files(size=131072)
    run_ = stopped(f)
    run_.p.send_signal(signal.SIGUSR1)
    true("trying again" in run_.wait_stopped(), "not resumed")
    run_.wait_stopped()
    with open(f.source, "wb") as s:
        s.write(f.data)
    run_.p.send_signal(signal.SIGUSR1)
    r = run_.end()
    equal((0, "completed: 131072 of 131072 bytes copied, held\n"), (r.status, r.out))
    equal("complete", f.state())


def case_backup_closed_files():
    """None of a run's files takes the place of stdout or stderr."""
    f = Files(fits=False)
    p = subprocess.Popen(
        ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash", DTRACK, "backup", DEV,
         "--target", f.target, "--speed", "64K", "--progress"],
        env=environment(f.script))
    end = time.monotonic() + LIMIT
    while not os.path.exists(f.manifest):
        true(time.monotonic() < end and p.poll() is None, "it did not begin")
        time.sleep(0.01)
    equal(["/dev/null"] * 3, [os.readlink(f"/proc/{p.pid}/fd/{i}") for i in range(3)])
    p.send_signal(signal.SIGTERM)
    equal(1, p.wait(LIMIT))
    # A result that did not get out is none; what is not asked for is not missed.
    for closed, status in (("<&-", 0), (">&-", 1), ("2>&-", 0), ("<&- >&- 2>&-", 1)):
        p = subprocess.run(
            ["bash", "-c", f'exec "$@" {closed}', "bash", DTRACK, "backup", DEV,
             "--target", f.target, "--progress"], timeout=LIMIT, check=False,
            env=environment(f.script), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        equal(status, p.returncode, closed)
        with open(f.target, "rb") as t:
            equal(True, t.read() == f.data, closed)


def case_backup_stop_cancelled():
    f = Files(size=131072)
    run_ = stopped(f)
    true("REPORT b run=1 65536+65536" in read_log(), "what was copied is not reported")
    run_.p.send_signal(signal.SIGTERM)
    equal((1, "cancelled: 65536 of 131072 bytes copied, live\n"),
          (lambda r: (r.status, r.out))(run_.end()))


def case_backup_stop_timeout():
    f = Files(size=131072)
    began = time.monotonic()
    r = stopped(f, "--stop-timeout", "1").end()
    equal((1, "failed: 65536 of 131072 bytes copied, live\n"), (r.status, r.out))
    true(time.monotonic() - began >= 1, "too soon")


def case_backup_ignore():
    f = Files(size=131072)
    r = f.backup(*INCREMENTAL, "--on-source-error", "ignore")
    equal(1, r.status)
    equal(1, r.err.count("\n"), r.err)


def case_backup_second_signal():
    """A target that hangs must not keep a second SIGINT from ending it."""
    f = Files(fits=False)
    run_ = Running(f, "--speed", "64K", "--on-source-error", "stop")
    run_.wait_log("SOURCE")
    end = time.monotonic() + LIMIT
    while run_.p.poll() is None:
        run_.p.send_signal(signal.SIGINT)
        true(time.monotonic() < end, "it does not end")
        time.sleep(0.001)
    true(run_.p.returncode in (1, -signal.SIGINT), run_.p.returncode)
    run_.p.communicate()


def case_backup_progress():
    f = Files()
    r = f.backup(*INCREMENTAL, "--progress")
    true(re.search(rf"^dtrack: backup {DEV}:b: 100%, 128K of 128K, \S+/s, 0:00 left\n\Z", r.err,
                   re.M), r.err)
    equal("", f.backup(*INCREMENTAL, "--force").err)


def case_backup_progress_json():
    f = Files()
    r = f.backup(*INCREMENTAL, "--progress=json")
    equal(0, r.status)
    last = [json.loads(line) for line in r.err.splitlines()][-1]
    equal(["event", "object", "bytes-done", "bytes-total", "seconds",
           "bytes-per-second", "seconds-left"], list(last))
    equal(("progress", f"{DEV}:b", 131072, 131072, 0),
          tuple(last[key] for key in ("event", "object", "bytes-done",
                                      "bytes-total", "seconds-left")))
    usage(f"backup {DEV}: --progress: 'xml' is none of json", "backup", DEV,
          "--target", f.target, "--progress=xml")


def case_backup_bar():
    """On a terminal, and wiped at the end."""
    f = Files()
    ours, theirs = pty.openpty()
    p = subprocess.Popen([DTRACK, "backup", DEV, "--target", f.target, *INCREMENTAL],
                         env=environment(f.script), stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    out = p.communicate(timeout=LIMIT)[0]
    said = b""
    try:
        while True:
            said += os.read(ours, 65536)
    except OSError:
        pass
    os.close(ours)
    equal(b"completed: 131072 of 131072 bytes copied, held\n", out)
    true(re.search(rb"\[#{30}\] 100%  128K of 128K", said), said)
    true(said.endswith(b"\r\x1b[K"), said)


def case_killed():
    """The shim that functional tests kill runs with."""
    f = Files()
    log = os.path.join(scratch, "kill.log")
    env = environment(f.script, preload=KILL + ":" + MOCK, DTR_KILL_LOG=log)
    cmd = [DTRACK, "backup", DEV, "--target", f.target, *INCREMENTAL]
    subprocess.run(cmd, env=env, timeout=LIMIT, check=True, stdout=subprocess.DEVNULL)
    with open(log) as g:
        calls = [line.split()[1] for line in g]
    at = calls.index("ABDICATE") + 1
    for when, state in (("before", False), ("after", True)):
        f = Files()
        env = environment(f.script, preload=KILL + ":" + MOCK, DTR_KILL_AT=str(at),
                          DTR_KILL_WHEN=when)
        p = subprocess.run(cmd, env=env, timeout=LIMIT, check=False,
                           stdout=subprocess.DEVNULL)
        equal(-signal.SIGKILL, p.returncode)
        equal(state, any(x.startswith("ABDICATE") for x in read_log()), when)
        equal("incomplete", f.state())
