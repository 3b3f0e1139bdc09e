# SPDX-License-Identifier: GPL-2.0-or-later
"""'dtrack run': its lock, hooks, mistakes in a job, and what is installed."""
import fcntl
import os
import re
import shutil
import stat
import subprocess

from kit import *
from nightkit import *


def case_run_locked():
    n = Nights()
    n.night("full", FIRST)
    for path in (n.config, os.path.join(n.folder, "lock")):
        with open(path) as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            n.fails(f"Another run has locked '{path}'", status=None)
            equal("completed", n.status()["status"], "the status of the other")
    n.night("incremental")


def case_run_hooks():
    n = Nights(before="env >$DTRACK_FOLDER/../before; ls -l /proc/self/fd"
                      " >$DTRACK_FOLDER/../fds; cat; echo said",
               after="env >$DTRACK_FOLDER/../after")
    r = n.run()
    equal(0, r.status)
    true(r.err.startswith("said\ndtrack: run "), r.err)
    equal("", r.out)

    def variables(name):
        with open(os.path.join(scratch, name)) as f:
            return dict(line.rstrip("\n").split("=", 1) for line in f
                        if line.startswith("DTRACK_"))
    equal({"DTRACK_JOB": n.config, "DTRACK_FOLDER": n.folder}, variables("before"))
    chain = n.chains()[0]
    equal({"DTRACK_JOB": n.config, "DTRACK_FOLDER": n.folder,
           "DTRACK_STATUS": "completed", "DTRACK_KIND": "full", "DTRACK_WHY": FIRST,
           "DTRACK_CHAIN": chain, "DTRACK_POINT": chain, "DTRACK_BYTES": str(SIZE),
           "DTRACK_ERROR": ""}, variables("after"))
    with open(os.path.join(scratch, "fds")) as f:
        fds = f.read()
    true("job.conf" not in fds and "dirtytrack" not in fds and "lock" not in fds, fds)


def case_run_hooks_fail():
    n = Nights()
    n.night("full", FIRST)
    n.configure(before="exit 3", after="echo $DTRACK_STATUS $DTRACK_ERROR")
    before = n.listing()
    r = n.run()
    why = "The hook 'before' failed: exit status 3"
    equal((1, f"failed {why}\ndtrack: run {n.config}: {why}\n"), (r.status, r.err))
    equal(before, n.listing())
    equal([], r.log, "what was asked of the kernel")
    equal((why, n.point), (n.status()["error"]["message"],
                           n.status()["last-success"]["point"]))
    n.configure(after="kill -9 $$")
    r = n.run()
    lines = r.err.splitlines()
    true(r.status == 1 and "incremental copy 000002" in lines[0] and
         lines[1].endswith("The hook 'after' failed: signal 9"), r.err)
    equal("000002", n.status()["last-success"]["point"][:6])


def case_run_usage():
    n = Nights()
    for text, why in (("", "there is no [job]"),
                      ("[job]\nfolder = /f\nkeep = 0\n",
                       "line 3: keep: '0' is no number of 1 to 1000000")):
        with open(n.config, "w") as f:
            f.write(text)
        usage(f"run {n.config}: {why}", "run", n.config)
        usage(f"run {n.config}: {why}", "run", n.config, "--check")
    os.remove(n.config)
    usage(f"run {n.config}: Could not read it: No such file or directory",
          "run", n.config)
    # A name without a '/' is a job's, unless there is such a file.
    for verb in "run", "points":
        usage(f"{verb} nosuch: There is neither a file 'nosuch' here nor a job "
              "'/etc/dtrack/nosuch.conf'", verb, "nosuch")
        usage(f"{verb} ./nosuch: Could not read it: No such file or directory",
              verb, "./nosuch")
    usage(f"run {n.folder}: Could not read it: Invalid argument", "run", n.folder)
    usage("run: too few arguments: run CONFIG", "run")


def case_run_job_by_name():
    """As 'dtrack run db' is told to find /etc/dtrack/db.conf."""
    n = Nights()
    etc = os.path.join(scratch, "etc-dtrack")
    os.mkdir(etc)
    shutil.copy(n.config, os.path.join(etc, "db.conf"))
    script = n.kernel()
    r = run("run", "db", script=script, cwd=scratch)
    true(r.status == 0 and r.err.startswith("dtrack: run db: full copy 000001-"), r.err)
    equal("/etc/dtrack/db.conf", n.status()["job"])
    true("000001-" in succeeds("points", "db", script=script, cwd=scratch).out, "points")
    open(os.path.join(etc, "db.old"), "w").close()
    for verb in "run", "points":
        said = run("__complete", verb, "d", script=script)
        equal((0, "db\n"), (said.status, said.out))
    # a file here comes first
    with open(os.path.join(scratch, "db"), "w") as f:
        f.write("[job]\n")
    for verb in "run", "points":
        usage(f"{verb} db: line 1: the section is empty", verb, "db", script=script,
              cwd=scratch)


def case_run_check():
    n = Nights(before="touch $DTRACK_FOLDER/x")
    equal([], succeeds("run", n.config, "--check").log)
    equal({}, succeeds("run", n.config, "--check", "--json").json())
    equal([], os.listdir(n.folder))


def case_run_check_surroundings():
    """The folder, and the programs that a job needs."""
    n = Nights(format="qcow2")
    def wrong(why, **kwargs):
        r = fails(1, "GenericError", f"run {n.config}: {why}", "run", n.config, "--check",
                  **kwargs)
        equal([], r.log)
    succeeds("run", n.config, "--check")
    os.chmod(n.folder, 0o777)
    why = f"'{n.folder}' can be written to by others than root (mode 777)"
    wrong(why)
    equal((1, f"dtrack: run {n.config}: {why}\n"), (lambda r: (r.status, r.err))(n.run()))
    os.chmod(n.folder, 0o755)
    bare = os.path.join(scratch, "bare")
    os.mkdir(bare)
    path = os.environ["PATH"]
    os.environ["PATH"] = bare
    try:
        wrong("format = qcow2 needs 'qemu-img', which is not there")
        os.symlink("/bin/true", os.path.join(bare, "qemu-img"))
        wrong("format = qcow2 needs 'qemu-nbd', which is not there")
        n.configure()
        succeeds("run", n.config, "--check")
    finally:
        os.environ["PATH"] = path
    os.rmdir(n.folder)
    wrong(f"folder: '{n.folder}': No such file or directory")
    open(n.folder, "w").close()
    wrong(f"folder: '{n.folder}' is no folder")
    os.remove(n.folder)
    # the hook may mount it
    n.configure(before="true")
    succeeds("run", n.config, "--check")


def case_run_one_bitmap_twice():
    """Once by the device's path and once by its name."""
    n = Nights()
    with open(n.config, "a") as f:
        f.write("[device t0]\nbitmap = n\n")
    n.fails("t0: It has bitmap 'n' of one device with [device a]: 't0' is '/dev/mock/7'")
    true("FREEZE" not in " ".join(run("run", n.config, script=n.kernel()).log), "it froze")


def case_run_deaf():
    """Nobody reads what it says: it has ended well all the same."""
    n = Nights(format="qcow2", after="true")
    for generation in None, 2:
        n.generation = generation
        r, w = os.pipe()
        os.close(r)
        p = subprocess.run([DTRACK, "run", n.config], env=environment(n.kernel()),
                           timeout=LIMIT, stdin=subprocess.DEVNULL, stdout=w, stderr=w,
                           check=False, restore_signals=True)
        os.close(w)
        equal((0, "completed"), (p.returncode, n.status()["status"]))
    # what is asked for, and does not get out, is no result
    r, w = os.pipe()
    os.close(r)
    n.generation = 3
    p = subprocess.run([DTRACK, "run", n.config, "--json"], env=environment(n.kernel()),
                       timeout=LIMIT, stdin=subprocess.DEVNULL, stdout=w,
                       stderr=subprocess.PIPE, check=False)
    os.close(w)
    equal((1, "completed", b"dtrack: stdout: Broken pipe"),
          (p.returncode, n.status()["status"], p.stderr.splitlines()[-1]))


def case_run_journal():
    """Priorities, where stderr is the journal, and nowhere else."""
    n = Nights()
    for wrong, first in (0, "<6>"), (1, ""):
        path = os.path.join(scratch, "journal")
        with open(path, "w") as f:
            stat_ = os.fstat(f.fileno())
            stream = f"{stat_.st_dev}:{stat_.st_ino + wrong}"
            for status in 0, 1:
                n.configure(before=f"exit {status}")
                subprocess.run([DTRACK, "run", n.config], timeout=LIMIT, check=False,
                               env=environment(n.kernel(), JOURNAL_STREAM=stream),
                               stdin=subprocess.DEVNULL, stderr=f)
        with open(path) as f:
            lines = f.read().splitlines()
        equal([True, True], [lines[0].startswith(first + "dtrack: run "),
                             lines[1].startswith(first.replace("6", "3") + "dtrack: run ")],
              lines)
        n.generation = 2


def case_run_no_folder():
    n = Nights()
    os.rmdir(n.folder)
    r = n.run()
    equal((1, f"dtrack: run {n.config}: There is no folder '{n.folder}': "
              "make it, or mount its disk\n"), (r.status, r.err))
    true(not os.path.exists(n.folder), "it was made")
    open(n.folder, "w").close()
    r = n.run()
    equal((1, f"dtrack: run {n.config}: Could not open '{n.folder}/lock': "
              "Not a directory\n"), (r.status, r.err))
    os.remove(n.folder)


def case_run_refused():
    n = Nights()
    n.night("full", FIRST)
    n.fails("a: Bitmap 'n' is currently in use by another operation and cannot be used",
            cls="Busy", flags=3)
    script = n.script
    n.script = script.replace("t0 dirtytrack", "t0 linear")
    n.fails("a: '/dev/mock/7' is of type 'linear' now: nothing tracks it")
    n.script = script.replace("DEV 4001:7", "DEV 4001:9")
    n.generation = None
    n.fails("a: Cannot find device '/dev/mock/7': it is not tracked; "
            "'dtrack create' makes it",
            cls="DeviceNotFound")


def installed():
    """What 'make install' puts where."""
    prefix = os.path.join(scratch, "usr")
    subprocess.run(["make", "-s", "-C", os.path.join(ROOT, "tools"), "install",
                    f"O={BUILD}", f"PREFIX={prefix}"], check=True, timeout=600,
                   stdout=subprocess.DEVNULL)
    return prefix


def case_run_units():
    prefix = installed()
    units = os.path.join(prefix, "lib/systemd/system")
    equal(["dtrack@.service", "dtrack@.timer"], sorted(os.listdir(units)))
    with open(os.path.join(units, "dtrack@.service")) as f:
        text = f.read()
    true(f"\nExecStart={prefix}/bin/dtrack run /etc/dtrack/%i.conf\n" in text and
         "@BINDIR@" not in text and "\nType=oneshot\n" in text, text)
    # what a run does in it is held back by none of these
    true(not re.search("^(Private|Protect|NoNew|RestrictNamespaces|DevicePolicy|Mount|ReadOnly)",
                       text, re.M), text)
    with open(os.path.join(units, "dtrack@.timer")) as f:
        text = f.read()
    true("\nOnCalendar=" in text and "\nWantedBy=timers.target\n" in text, text)
    if not shutil.which("systemd-analyze"):
        return
    for name in os.listdir(units):
        os.rename(os.path.join(units, name),
                  os.path.join(units, name.replace("@", "@db")))
    for name in os.listdir(units):
        p = subprocess.run(["systemd-analyze", "verify", "--man=no",
                            "--recursive-errors=no", os.path.join(units, name)],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=LIMIT, check=False)
        equal((0, b""), (p.returncode, p.stdout), f"systemd-analyze verify {name}")


def case_run_cron():
    """The example's line, by sh: silent, or with the last line of the log."""
    n = Nights()
    examples = os.path.join(installed(), "share/doc/dtrack/examples")
    with open(os.path.join(examples, "dtrack.cron")) as f:
        jobs = [line for line in f if line[0].isdigit()]
    equal(1, len(jobs), "jobs")
    *when, user, command = jobs[0].split(None, 6)
    equal((["0", "2", "*", "*", "*"], "root"), (when, user))
    log = os.path.join(scratch, "dtrack.log")
    for name, path in (("/etc/dtrack/db.conf", n.config), ("/var/log/dtrack.log", log)):
        true(name in command, f"{command!r} has no {name}")
        command = command.replace(name, path)

    def cron():
        return subprocess.run(
            ["sh", "-c", command], timeout=LIMIT, check=False,
            env={**environment(n.kernel()), "PATH": os.path.dirname(DTRACK) + ":/bin"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    p = cron()
    equal((0, b""), (p.returncode, p.stdout), command)
    with open(log) as f:
        true(re.fullmatch(r"dtrack: run .*: full copy .* bytes copied\n", f.read()), log)
    n.configure(before="echo no; exit 1")
    p = cron()
    equal(f"dtrack: run {n.config}: The hook 'before' failed: exit status 1\n".encode(),
          p.stdout)
    # the job beside it is one
    with open(os.path.join(examples, "db.conf")) as f:
        text = f.read()
    true("\nfolder = /backup/db\n" in text, text)
    with open(n.config, "w") as f:
        f.write(text.replace("/backup/db", n.folder))
    equal("", succeeds("run", n.config, "--check").out)


def case_run_status_not_written():
    """Then there is none, rather than one that says of an older run that all is
    well; and of two errors both are told."""
    n = Nights()
    n.night("full", FIRST)
    status = os.path.join(n.folder, "status.json")
    os.mkdir(status + ".new")
    n.change()
    r = n.run()
    n.generation += 1
    why = f"Could not write '{status}': Is a directory"
    lines = r.err.splitlines()
    true(r.status == 1 and " incremental copy 000002-" in lines[0], r.err)
    equal([f"dtrack: run {n.config}: {why}"], lines[1:])
    true(not os.path.exists(status), "the old status is there")
    n.configure(before="exit 3")
    n.fails(f"The hook 'before' failed: exit status 3; {why}", status=None)
    os.rmdir(status + ".new")
    n.configure()
    n.night("incremental")


def case_run_status_is_no_file():
    """'status = /dev/null' must not make a file of it."""
    n = Nights(status=os.path.join(scratch, "pipe"))
    os.mkfifo(os.path.join(scratch, "pipe"))
    r = n.run()
    equal((1, f"dtrack: run {n.config}: Could not write '{scratch}/pipe': it exists and is "
              "no regular file"), (r.status, r.err.splitlines()[-1]))
    true(" full copy 000001-" in r.err, r.err)
    equal(["pipe"], [f for f in os.listdir(scratch) if f.startswith("pipe")])
    true(stat.S_ISFIFO(os.stat(os.path.join(scratch, "pipe")).st_mode), "it is a pipe")
