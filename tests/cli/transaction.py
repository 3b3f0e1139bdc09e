# SPDX-License-Identifier: GPL-2.0-or-later
"""'dtrack transaction': its document, and what each action does."""
import json
import os
import re
import signal
import subprocess
import time

from kit import *

BITMAP = "block-dirty-bitmap-"


def action(word, **data):
    return {"type": word if word in ("abort", "blockdev-backup") else BITMAP + word,
            "data": {k.replace("_", "-"): v for k, v in data.items()}}


def transaction(actions, *args, script=TWO + B, mode=None, text=None):
    if text is None:
        doc = {"actions": actions}
        if mode:
            doc["properties"] = {"completion-mode": mode}
        text = json.dumps(doc)
    text = text.encode() if isinstance(text, str) else text
    p = subprocess.run([DTRACK, "transaction", "-", *args], env=environment(script),
                       input=text, timeout=LIMIT, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, check=False)
    return Result(p.returncode, p.stdout.decode(), p.stderr.decode(), read_log())


def malformed(why, text):
    r = transaction(None, text=text)
    equal((2, "", f"dtrack: transaction -: {why}\n"),
          (r.status, r.out, r.err), text)
    equal([], r.log, "what was asked of the kernel")
    r = transaction(None, "--json", text=text)
    equal((2, {"error": {"class": "Usage", "message": why}}), (r.status, r.json()))


def case_transaction_malformed():
    for text, why in (
            ("", "it is no JSON: it ends too early"),
            ("{", "it is no JSON: it ends too early"),
            ("{'actions': []}", "it is no JSON at ''actions': []}'"),
            ("{\"actions\": [{'a': 1, 'a': 1}]}", "it is no JSON at ''a': 1, 'a': 1}]'"),
            ('{"actions": [], /* */ "actions": []}',
             "it is no JSON: quoted object property name expected at byte 16"),
            ('{"actions": [],}', "it is no JSON: unexpected character at byte 15"),
            ('{"actions": [NaN]}', "actions[0]: must be an object"),
            ("[]", "it must be an object"),
            ("null ", "it must be an object"),
            ("{}", "actions: is missing"),
            ('{"actions": {}}', "actions: must be an array"),
            ('{"actions": []} x', "something follows the document at byte 16"),
            ('{"actions": []}{}', "something follows the document at byte 15"),
            ('{"actions": [], "x": 1}', "x: unknown key"),
            ('{"actions": [], "actions": []}', "actions: given twice"),
            ('{"actions": [], "\\u0061ctions": []}', "actions: given twice"),
            ('{"actions": [], "properties": []}', "properties: must be an object"),
            ('{"actions": [], "properties": {"x": 1}}', "properties.x: unknown key"),
            ('{"actions": [], "properties": {"completion-mode": "both"}}',
             "properties.completion-mode: 'both' is none of individual, grouped"),
            ('{"actions": [], "properties": {"completion-mode": 1}}',
             "properties.completion-mode: must be a string"),
            ('{"actions": [1]}', "actions[0]: must be an object"),
            ('{"actions": [{}]}', "actions[0].type: is missing"),
            ('{"actions": [{"type": "abort"}, {"type": "abort", "y": {}}]}',
             "actions[1].y: unknown key"),
            ('{"actions": [{"type": "drive-backup", "data": {}}]}',
             "actions[0].type: 'drive-backup' is an action of QEMU alone: "
             "use 'blockdev-backup', whose 'target' may be made by it"),
            ('{"actions": [{"type": "blockdev-snapshot-sync", "data": {}}]}',
             "actions[0].type: 'blockdev-snapshot-sync' is an action of QEMU alone: "
             "there are no snapshots; 'blockdev-backup' copies"),
            ('{"actions": [{"type": "drive-mirror", "data": {}}]}',
             "actions[0].type: 'drive-mirror' is none of block-dirty-bitmap-add, "
             "block-dirty-bitmap-remove, block-dirty-bitmap-clear, "
             "block-dirty-bitmap-enable, block-dirty-bitmap-disable, "
             "block-dirty-bitmap-merge, blockdev-backup, abort"),
            ('{"actions": [{"type": "abort", "data": {"x": 1}}]}',
             "actions[0].data.x: unknown key"),
            ('{"actions": [' * 9, "it is no JSON: nesting too deep at byte 52"),
            ('{"actions": [' + ", ".join(['{"type": "abort"}'] * 257) + ']}',
             "actions: has more than 256 items"),
            (b"\xff", "it is no JSON: invalid utf-8 string at byte 0"),
            ('{"actions": []}' + " " * (4 << 20), "it is longer than 4194304 bytes")):
        malformed(why, text)


def case_transaction_data():
    good = {"add": {"node": DEV, "name": "n"},
            "clear": {"node": DEV, "name": "n"},
            "merge": {"node": DEV, "target": "n", "bitmaps": []},
            "blockdev-backup": {"device": DEV, "target": "t", "sync": "full"}}

    def bad(why, word, drop=None, **more):
        data = {k: v for k, v in {**good[word], **more}.items() if k != drop}
        malformed(f"actions[1].data{why}", json.dumps(
            {"actions": [action("abort"), action(word, **data)]}))

    bad(".node: must be a string", "clear", node=1)
    malformed("actions[0].data: is missing", '{"actions": [{"type": "%sclear"}]}' % BITMAP)
    malformed("actions[0].data: must be an object",
              '{"actions": [{"type": "%sclear", "data": []}]}' % BITMAP)
    malformed("actions[0].data.name: given twice",
              '{"actions": [{"type": "%sclear", "data": {"node": "d", "name": "a",'
              ' "name": "b"}}]}' % BITMAP)
    for word in ("add", "clear"):
        bad(".node: is missing", word, drop="node")
        bad(".name: is missing", word, drop="name")
        bad(".name: must be a string", word, name=None)
        bad(".name: has a NUL inside", word, name="a\0b")
        bad(".foo: unknown key", word, foo=1)
    bad(".granularity: unknown key", "clear", granularity=1)
    bad(".granularity: must be a whole number", "add", granularity="64K")
    bad(".granularity: must be a whole number", "add", granularity=1.5)
    bad(".granularity: is out of range", "add", granularity=-1)
    bad(".granularity: is out of range", "add", granularity=1 << 63)
    bad(".disabled: must be true or false", "add", disabled=1)
    bad(".target: is missing", "merge", drop="target")
    bad(".bitmaps: is missing", "merge", drop="bitmaps")
    bad(".bitmaps: must be an array", "merge", bitmaps="b")
    bad(".bitmaps[0]: must be a string or an object", "merge", bitmaps=[1])
    bad(".bitmaps[1].name: is missing", "merge", bitmaps=["b", {"node": DEV}])
    bad(".bitmaps[0].node: is missing", "merge", bitmaps=[{"name": "b"}])
    bad(".bitmaps[0].name: is missing", "merge", bitmaps=[{}])
    bad(".bitmaps[0].x: unknown key", "merge", bitmaps=[{"node": DEV, "x": 1}])
    bad(".bitmaps[0].name: must be a string", "merge", bitmaps=[{"name": []}])
    bad(".bitmaps: has more than 256 items", "merge", bitmaps=["b"] * 257)
    bad(".device: is missing", "blockdev-backup", drop="device")
    bad(".node: given already, by another key", "blockdev-backup", node=DEV)
    bad(".sync: is missing", "blockdev-backup", drop="sync")
    bad(".target: is missing", "blockdev-backup", drop="target")
    bad(".sync: 'x' is none of full, top, incremental, bitmap, none",
        "blockdev-backup", sync="x")
    bad(".bitmap-mode: 'x' is none of conditional, on-success, never, always",
        "blockdev-backup", bitmap_mode="x")
    bad(".on-source-error: 'enospc' is none of report, ignore, stop",
        "blockdev-backup", on_source_error="enospc")
    bad(".on-target-error: must be a string", "blockdev-backup", on_target_error=0)
    bad(".consistency: 'x' is none of image, live", "blockdev-backup", consistency="x")
    bad(".force: must be true or false", "blockdev-backup", force="yes")
    bad(".speed: must be a whole number", "blockdev-backup", speed="1M")
    bad(".target-timeout: must be a whole number", "blockdev-backup", **{"target-timeout": "9"})
    for seconds in 0, 1 << 31:
        bad(".target-timeout: is out of range", "blockdev-backup", **{"target-timeout": seconds})
    for name in "", "1", "a b", "é", "-x":
        bad(f".job-id: Invalid job ID '{name}': letters, digits, '-', '.' and '_', "
            "the first a letter", "blockdev-backup", job_id=name)
    for word in ("add", "clear", "merge"):
        bad(".device: given already, by another key", word, device=DEV)
        bad(".job-id: unknown key", word, job_id="j")
    bad(".bitmaps[0].device: given already, by another key", "merge",
        bitmaps=[{"name": "b", "node": DEV, "device": DEV}])


def case_transaction_qmp_keys():
    """What a client of QMP may send: it is followed, changes nothing, or is
    refused with the reason."""
    data = {"device": DEV, "target": "t", "sync": "full"}

    def bad(why, **more):
        malformed(f"actions[0].data{why}", json.dumps(
            {"actions": [action("blockdev-backup", **data, **more)]}))

    bad(".auto-finalize: can only be true: there is no job-finalize; 'completion-mode': "
        "'grouped' lets all runs end together", auto_finalize=False)
    bad(".auto-dismiss: must be true or false", auto_dismiss="yes")
    bad(".compress: can only be false: targets are not compressed", compress=True)
    bad(".discard-source: can only be false: a run changes nothing on its device",
        discard_source=True)
    bad(".on-cbw-error: can only be 'break-snapshot': a write to the device never fails "
        "because of a run", on_cbw_error="break-guest-write")
    bad(".cbw-timeout: must be a whole number", cbw_timeout="1")
    bad(".min-cluster-size: can only be 0: the unit of a copy is the bitmap's granule",
        min_cluster_size=1 << 20)
    bad(".filter-node-name: must be a string", filter_node_name=1)
    bad(".x-perf: must be an object", x_perf=True)
    bad(".x-perf.max-workers: is out of range", x_perf={"max-workers": 0})
    bad(".x-perf.foo: unknown key", x_perf={"foo": 0})
    malformed("actions[1].data.job-id: Job ID 'j' already in use", json.dumps(
        {"actions": [action("blockdev-backup", **data, job_id="j")] * 2}))
    f = Files()
    with open(f.source, "rb") as source:
        want = source.read()
    # as libvirt sends it, and more
    r = transaction([action(
        "blockdev-backup", device=DEV, target=f.target, sync="full", job_id="backup-vda-1.x_y",
        auto_finalize=True, auto_dismiss=False, filter_node_name="cbw", compress=False,
        discard_source=False, on_cbw_error="break-snapshot", cbw_timeout=45,
        min_cluster_size=0, speed=0,
        x_perf={"use-copy-range": True, "max-workers": 1000, "max-chunk": 65536})],
                    "--json", script=f.script)
    equal((0, ""), (r.status, r.err))
    equal((["type", "job-id"], "backup-vda-1.x_y"),
          (list(r.json()["actions"][0])[:2], r.json()["actions"][0]["job-id"]))
    with open(f.target, "rb") as target:
        true(target.read() == want, "the copy")
    # one worker: one granule after the other
    f = Files(fits=False)
    r = transaction([action("blockdev-backup", node=DEV, target=f.target, sync="full",
                            x_perf={"max-workers": 1})], script=f.script)
    equal((0, ""), (r.status, r.err))


def case_transaction_device_for_node():
    r = transaction([
        action("add", device=DEV, name="c"), action("clear", device=DEV, name="b"),
        action("merge", device=DEV, target="c",
               bitmaps=[{"device": "/dev/mock/8", "name": "o"}])],
        script=TWO + B + "BITMAP 4001:8 o\n")
    equal((0, ""), (r.status, r.err))
    equal(["TRANSACTION ADD c granularity=65536 flags=0; CLEAR b; MERGE c <- 4001:8:o"],
          [x for x in r.log if x.startswith("TRANSACTION")])


def case_transaction_file():
    path = os.path.join(scratch, "document")
    fails(1, "GenericError",
          f"transaction {path}: Could not read '{path}': No such file or directory",
          "transaction", path)
    fails(1, "GenericError",
          f"transaction {scratch}: Could not read '{scratch}': Is a directory",
          "transaction", scratch)
    with open(path, "w") as f:
        json.dump({"actions": [action("clear", node=DEV, name="b")]}, f)
    r = succeeds("transaction", path)
    true("TRANSACTION CLEAR b" in r.log, r.log)
    usage("transaction: too few arguments: transaction FILE|-", "transaction")


def case_transaction_actions():
    r = transaction([
        action("add", node=DEV, name="c", granularity=4096, disabled=True),
        action("merge", node=DEV, target="c",
               bitmaps=["b", {"node": "/dev/mock/8", "name": "o"}]),
        action("clear", node=DEV, name="b"), action("enable", node=DEV, name="c"),
        action("disable", node=DEV, name="b"), action("remove", node=DEV, name="b")],
        script=TWO + B + "BITMAP 4001:8 o\n")
    equal((0, ""), (r.status, r.err))
    equal(["TRANSACTION ADD c granularity=4096 flags=1; MERGE c <- 4001:7:b 4001:8:o;"
           " CLEAR b; ENABLE c; DISABLE b; REMOVE b"],
          [x for x in r.log if x.startswith("TRANSACTION")])
    lines = [line.split() for line in r.out.splitlines()]
    equal("ACTION TYPE NODE BITMAP STATUS COPIED TOTAL".split(), lines[0])
    equal(["0", BITMAP + "add", DEV, "c", "completed"], lines[1])
    r = transaction([action("add", node=DEV, name="c"),
                     action("add", node=DEV, name="d", persistent=True)])
    true("TRANSACTION ADD c granularity=65536 flags=0; ADD d granularity=65536 flags=2"
         in r.log, r.log)
    r = transaction([])
    equal((0, "", []), (r.status, r.err, [x for x in r.log if "TRANSACTION" in x]))


def case_transaction_json():
    doc = transaction([action("disable", node=DEV, name="b"),
                       action("add", node=DEV, name="n")], "--json").json()
    equal(["status", "completion-mode", "actions"], list(doc))
    equal(("completed", "individual"), (doc["status"], doc["completion-mode"]))
    for a, word, recording in zip(doc["actions"], ("disable", "add"), (False, True)):
        equal(["type", "status", "bitmap"], list(a))
        equal((BITMAP + word, "completed"), (a["type"], a["status"]))
        equal(KEYS, list(a["bitmap"]))
        equal(recording, a["bitmap"]["recording"])
    equal({"status": "completed", "completion-mode": "grouped", "actions": []},
          transaction([], "--json", mode="grouped").json())


def refused_transaction(index, word, why, cls, actions, status=1, **kwargs):
    r = transaction(actions, **kwargs)
    line = f"action {index} ({word}): {why}"
    equal((status, "", f"dtrack: transaction -: {line}\n"), (r.status, r.out, r.err))
    r = transaction(actions, "--json", **kwargs)
    doc = r.json()
    equal((status, f"dtrack: transaction -: {line}\n"), (r.status, r.err))
    equal(["status", "error", "completion-mode", "actions"], list(doc))
    equal(("failed", {"class": cls, "message": line}), (doc["status"], doc["error"]))
    for i, a in enumerate(doc["actions"]):
        equal("failed" if i == index else "cancelled", a["status"], f"action {i}")
    equal({"class": cls, "message": why}, doc["actions"][index]["error"])
    return r


def case_transaction_refused():
    clear = action("clear", node=DEV, name="b")
    refused_transaction(1, BITMAP + "enable", "Dirty bitmap 'x' not found", "BitmapNotFound",
                        [clear, action("enable", node=DEV, name="x"), clear])
    refused_transaction(1, "abort", "Transaction aborted using Abort action", "GenericError",
                        [clear, {"type": "abort"}])
    refused_transaction(1, BITMAP + "add", "Bitmap already exists: b", "Exists",
                        [action("remove", node=DEV, name="b"),
                         action("add", node=DEV, name="b")])
    refused_transaction(1, BITMAP + "remove", BUSY, "Busy",
                        [action("remove", node=DEV, name="b")] * 2)
    refused_transaction(0, BITMAP + "add", "Bitmap name cannot be empty", "GenericError",
                        [action("add", node=DEV, name="")])
    refused_transaction(0, BITMAP + "add", "Granularity must be power of 2 and at least 512",
                        "GenericError", [action("add", node=DEV, name="n", granularity=0)],
                        script=TWO + B + "FAIL TRANSACTION EINVAL\nBLAME 0\n")
    refused_transaction(0, BITMAP + "clear", "Action 'block-dirty-bitmap-clear' does not "
                        "support transaction property completion-mode = grouped",
                        "GenericError", [clear], mode="grouped")
    no = "Cannot find device '{0}'"
    for a in (action("clear", node="/dev/nosuch", name="b"),
              action("merge", node=DEV, target="b",
                     bitmaps=[{"node": "/dev/nosuch", "name": "b"}])):
        r = transaction([clear, a], "--json")
        equal((1, {"error": {"class": "DeviceNotFound", "message":
                             f"action 1 ({a['type']}): " + no.format("/dev/nosuch")}}),
              (r.status, r.json()))
        true("TRANSACTION" not in " ".join(r.log), r.log)


class TwoFiles:
    """Two devices with a source each, and targets that fit."""

    def __init__(self, sizes=(SIZE, SIZE)):
        self.script = "DEV 4001:7 4194304 7:0\nDEV 4001:8 4194304 7:1\n"
        self.targets = []
        for i, size in enumerate(sizes):
            f = Files(size=size)
            for name in ("source", "target", "target.dtrack"):
                os.rename(os.path.join(scratch, name),
                          os.path.join(scratch, name.replace("t", f"t{i}", 1)
                                       if name[0] == "t" else f"{name}{i}"))
            self.targets.append(os.path.join(scratch, f"t{i}arget"))
            self.script += (f"FILE {f.source}{i} {7 + i}\nBITMAP 4001:{7 + i} b uuid=1"
                            " generation=3 count=131072\n")
        self.script += "EXTENT 65536 131072\n"

    def actions(self, **more):
        return [action("blockdev-backup", device=f"/dev/mock/{7 + i}", bitmap="b",
                       target=target, **{"sync": "incremental", **more})
                for i, target in enumerate(self.targets)]

    def states(self):
        return [json.load(open(t + ".dtrack"))["state"] for t in self.targets]


def case_transaction_backup():
    f = TwoFiles()
    r = transaction(f.actions(), script=f.script)
    equal((0, ""), (r.status, r.err))
    equal([["0", "blockdev-backup", DEV, "b", "completed", "128K", "128K"],
           ["1", "blockdev-backup", "/dev/mock/8", "b", "completed", "128K", "128K"]],
          [line.split() for line in r.out.splitlines()[1:]])
    equal(["complete"] * 2, f.states())
    f = TwoFiles()
    doc = transaction(f.actions(), "--json", script=f.script, mode="grouped").json()
    equal(("completed", "grouped"), (doc["status"], doc["completion-mode"]))
    for a in doc["actions"]:
        equal(["type", "status", "consistency", "bytes-total", "bytes-copied", "bitmap"],
              list(a))
        equal(("completed", "held", 131072, 131072), tuple(a.values())[1:5])
        equal(KEYS, list(a["bitmap"]))


def case_transaction_backup_options():
    f = TwoFiles()
    for more, mode, set_ in (({"sync": "bitmap", "bitmap_mode": "always"}, 2, 0),
                             ({"sync": "full", "bitmap_mode": "on-success",
                               "consistency": "live", "speed": 0}, 0, 1),
                             ({"sync": "bitmap", "bitmap_mode": "never", "force": True,
                               "on_source_error": "ignore", "on_target_error": "stop"},
                              1, 0)):
        r = transaction(f.actions(**more)[:1], script=f.script)
        equal((0, ""), (r.status, r.err), more)
        true(f"TRANSACTION FREEZE b mode={mode} set={set_} flags=0" in r.log, r.log)
        f = TwoFiles()
    refused_transaction(0, "blockdev-backup",
                        "Bitmap sync mode must be given when providing a bitmap", "Usage",
                        f.actions(sync="bitmap"), status=2, script=f.script)
    refused_transaction(1, "blockdev-backup", "Bitmap 'x' could not be found",
                        "BitmapNotFound",
                        [f.actions()[0], dict(f.actions()[1], data=dict(
                            f.actions()[1]["data"], bitmap="x"))], script=f.script)
    equal(["complete"] * 2, f.states())


def case_transaction_backup_fails():
    why = "Could not read '/dev/mock/8' at byte 131072: Input/output error"
    for mode, other in (("individual", "completed"), ("grouped", "cancelled")):
        f = TwoFiles((SIZE, 131072))
        r = transaction(f.actions(), "--json", script=f.script, mode=mode)
        doc = r.json()
        equal((1, "failed"), (r.status, doc["status"]), mode)
        equal([other, "failed"], [a["status"] for a in doc["actions"]], mode)
        equal({"class": "GenericError", "message": "action 1 (blockdev-backup): " + why},
              doc["error"])
        equal({"class": "GenericError", "message": why}, doc["actions"][1]["error"])
        lines = r.err.splitlines()
        equal(f"dtrack: transaction -: action 1 (blockdev-backup): {why}", lines[-1])
        equal(["dtrack: transaction -: action 0 (blockdev-backup): Operation canceled"]
              if other == "cancelled" else [], lines[:-1])
        equal(["incomplete" if other == "cancelled" else "complete", "incomplete"],
              f.states())
        # The table, too: the line is of what failed alone.
        f = TwoFiles((SIZE, 131072))
        r = transaction(f.actions(), script=f.script, mode=mode)
        equal((1, [other, "failed"]),
              (r.status, [line.split()[4] for line in r.out.splitlines()[1:]]), mode)


class RunningTransaction(Running):
    def __init__(self, f, actions, mode):
        path = os.path.join(scratch, "document")
        with open(path, "w") as file:
            json.dump({"actions": actions, "properties": {"completion-mode": mode}}, file)
        self.p = subprocess.Popen(
            [DTRACK, "transaction", path, "--json"], env=environment(f.script),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)


def stopped_transaction(f, mode, **more):
    t = RunningTransaction(f, f.actions(on_source_error="stop", **more), mode)
    said = t.wait_stopped()
    true(re.fullmatch(r"dtrack: transaction \S+: action 1 \(blockdev-backup\): Could not read"
                      r" '/dev/mock/8' at byte 131072: Input/output error; stopped: SIGUSR1"
                      r" tries again, SIGTERM cancels \(process \d+\)\n", said), said)
    t.wait_log("REPORT b run=1")
    return t


def case_transaction_cancelled():
    for sig in (signal.SIGINT, signal.SIGTERM):
        f = TwoFiles((SIZE, 131072))
        t = stopped_transaction(f, "grouped")
        t.p.send_signal(sig)
        r = t.end()
        doc = r.json()
        equal((1, "cancelled", ["cancelled"] * 2),
              (r.status, doc["status"], [a["status"] for a in doc["actions"]]))
        true("TRANSACTION RECLAIM b run=1 flags=0; RECLAIM b run=2 flags=0" in r.log, r.log)
        equal(["incomplete"] * 2, f.states())
    f = TwoFiles((SIZE, 131072))
    t = stopped_transaction(f, "individual")
    t.wait_log("ABDICATE b run=1")
    t.p.terminate()
    r = t.end()
    equal((1, "cancelled", ["completed", "cancelled"]),
          (r.status, r.json()["status"], [a["status"] for a in r.json()["actions"]]))
    f = TwoFiles((SIZE, 131072))
    doc = (lambda t: (t.p.terminate(), t.end())[1])(stopped_transaction(
        f, "grouped", sync="bitmap", bitmap_mode="always")).json()
    equal("Operation canceled; bitmap 'b' no longer has what was copied: target"
          f" '{f.targets[0]}' must be kept", doc["actions"][0]["error"]["message"])


def case_transaction_resumed():
    f = TwoFiles((SIZE, 131072))
    t = stopped_transaction(f, "grouped")
    with open(os.path.join(scratch, "source1"), "r+b") as s:
        s.truncate(SIZE)
    t.p.send_signal(signal.SIGUSR1)
    true("action 1 (blockdev-backup): trying again" in t.wait_stopped(), "not resumed")
    r = t.end()
    equal((0, "completed"), (r.status, r.json()["status"]))
    equal(["complete"] * 2, f.states())


def case_transaction_second_signal():
    f = TwoFiles((SIZE, 131072))
    t = stopped_transaction(f, "individual")
    end = time.monotonic() + LIMIT
    while t.p.poll() is None:
        t.p.send_signal(signal.SIGINT)
        true(time.monotonic() < end, "it does not end")
    equal(1, t.p.returncode)
    t.p.communicate()
