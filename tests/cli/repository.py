# SPDX-License-Identifier: GPL-2.0-or-later
"""'dtrack run': whose the folder is."""
import json
import os
import re
import shutil

from kit import *
from nightkit import *

MEMORY = os.path.join(scratch, "var-lib-dtrack")
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def owner(n):
    with open(os.path.join(n.folder, "repository.json")) as f:
        return json.load(f)


def memory():
    name, = os.listdir(MEMORY)
    with open(os.path.join(MEMORY, name)) as f:
        return name, json.load(f)


def case_repository_made():
    """By the first run, in an empty folder; the job remembers it."""
    n = Nights(2)
    os.mkdir(os.path.join(n.folder, "lost+found"))
    n.night("full", FIRST)
    doc = owner(n)
    equal(["format", "version", "uuid", "job", "machine", "host", "devices", "made"],
          list(doc))
    equal(("dtrack-repository", 1, n.config, os.uname().nodename, ["a", "b"]),
          tuple(doc[k] for k in ("format", "version", "job", "host", "devices")))
    true(re.fullmatch(UUID, doc["uuid"]), doc)
    if os.path.exists("/etc/machine-id"):
        with open("/etc/machine-id") as f:
            true(re.fullmatch("[0-9a-f]{16}", doc["machine"]) and
                 doc["machine"] not in f.read(), doc)
    name, known = memory()
    equal(n.config.replace("/", "%2F") + ".json", name)
    equal({"format": "dtrack-job", "version": 1, "job": n.config,
           "repository": doc["uuid"], "folder": n.folder}, known)
    equal(doc["uuid"], n.status()["repository"])
    n.night("incremental")
    equal(doc, owner(n), "after another run")


def case_repository_made_by_half():
    """A run that was killed over its first file is in the way of none."""
    n = Nights()
    for name in "repository.json.new", "status.json.new":
        open(os.path.join(n.folder, name), "w").close()
    n.night("full", FIRST)


def case_repository_unmounted():
    """An empty folder where the job has a repository is no place for a full copy."""
    n = Nights()
    n.night("full", FIRST)
    disk = n.folder + ".disk"
    os.rename(n.folder, disk)
    os.mkdir(n.folder)
    uuid = memory()[1]["repository"]
    r = n.fails(f"'{n.folder}' is empty, and the job has a repository ({uuid}): its disk is "
                "not mounted; 'dtrack run --init' begins anew", status=None)
    equal([], os.listdir(n.folder), "what is below the disk")
    equal([], r.log, "what was asked of the kernel")
    # with it all is well, and without it one may begin anew
    os.rmdir(n.folder)
    os.rename(disk, n.folder)
    n.night("incremental")
    shutil.rmtree(n.folder)
    os.mkdir(n.folder)
    r = n.run("--init")
    true(r.status == 0 and f" full copy 000001-" in r.err, r.err)
    true(owner(n)["uuid"] not in (uuid, None), "the uuid")
    equal(owner(n)["uuid"], memory()[1]["repository"])
    n.generation += 1
    n.chain = n.status()["chain"]
    n.night("incremental")
    # where there is one already nothing begins
    n.fails(f"'{n.folder}' is a repository already (of job '{n.config}')", "--init",
            status=None)


def case_repository_of_another_job():
    """A job that was copied, and its folder forgotten: nothing of the other's is
    touched, not even the status."""
    n = Nights(keep=1, full_every="1 runs")
    n.night("full", FIRST)
    status, first = n.status(), n.config
    n.config = os.path.join(scratch, "copy.conf")
    shutil.copy(first, n.config)
    n.fails(f"'{n.folder}' is the repository of job '{first}' of this machine, this is job "
            f"'{n.config}'; 'dtrack run --adopt' takes it over", status=None)
    equal(status, n.status(), "the status of the other job")
    uuid = owner(n)["uuid"]
    equal(0, n.run("--adopt").status)
    equal((n.config, uuid), (owner(n)["job"], owner(n)["uuid"]))
    n.generation += 1
    n.chain = n.status()["chain"]
    n.config = first
    n.fails(f"'{n.folder}' is the repository of job '{scratch}/copy.conf' of this machine, "
            f"this is job '{first}'; 'dtrack run --adopt' takes it over", status=None)


def case_repository_of_another_machine():
    n = Nights()
    n.night("full", FIRST)
    edit(os.path.join(n.folder, "repository.json"), machine="0123456789abcdef",
         host="elsewhere")
    n.fails(f"'{n.folder}' is the repository of job '{n.config}' of another machine named "
            f"elsewhere, this is job '{n.config}' of this one; 'dtrack run --adopt' takes "
            "it over", status=None)
    equal(0, n.run("--adopt").status)
    n.generation += 1
    n.night("incremental")


def case_repository_of_0_1_0():
    """It says nothing of its job: its restore points tell."""
    n = Nights()
    n.night("full", FIRST)
    os.remove(os.path.join(n.folder, "repository.json"))
    shutil.rmtree(MEMORY)
    n.night("incremental")
    equal(["a"], owner(n)["devices"])
    os.remove(os.path.join(n.folder, "repository.json"))
    edit(n.path("point.json"), images=[
        {**image, "device": "x"} for image in
        json.load(open(n.path("point.json")))["images"]])
    n.fails(f"'{n.folder}' has restore points of other devices than the job's; "
            "'dtrack run --adopt' takes it over", status=None)
    equal(0, n.run("--adopt").status)


def case_repository_damaged():
    n = Nights()
    n.night("full", FIRST)
    path = os.path.join(n.folder, "repository.json")
    for text in "{", '{"format": "dtrack-repository", "version": 2}', "[]":
        with open(path, "w") as f:
            f.write(text)
        n.fails(f"Could not read '{path}': it is damaged, or of a newer version",
                status=None)
    equal(0, n.run("--adopt").status)
    n.generation += 1
    n.night("incremental")


def case_repository_writable():
    """Who may write to the folder may have a run remove what he likes."""
    n = Nights()
    n.night("full", FIRST)
    os.chmod(n.folder, 0o757)
    n.fails(f"'{n.folder}' can be written to by others than root (mode 757)", status=None)
    os.chown(n.folder, 0, 1)
    os.chmod(n.folder, 0o775)
    n.fails(f"'{n.folder}' can be written to by others than root (mode 775)", status=None)
    os.chown(n.folder, 0, 0)
    n.night("incremental")


def case_repository_not_remembered():
    """Where /var/lib cannot be written the run says so, and goes on."""
    n = Nights()
    open(MEMORY, "w").close()
    r = n.run()
    lines = r.err.splitlines()
    true(r.status == 0 and re.search(
        r"warning: Could not write '.*\.json': Not a directory; a disk that is not mounted "
        "would not be noticed$", lines[0]), r.err)


def case_repository_usage():
    n = Nights()
    usage(f"run {n.config}: --adopt and --init exclude each other", "run", n.config,
          "--adopt", "--init")
