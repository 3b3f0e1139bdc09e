# SPDX-License-Identifier: GPL-2.0-or-later
"""Nights of 'dtrack run' by chance: see tests/promise.py."""
import kit
import promise


def case_promises_raw():
    promise.some("raw", 1, 20, kit.scratch)


def case_promises_raw_too():
    promise.some("raw", 100001, 20, kit.scratch)


def case_promises_qcow2():
    promise.some("qcow2", 200001, 4, kit.scratch)
