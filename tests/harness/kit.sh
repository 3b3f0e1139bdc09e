#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kit.sh - cases that pass or fail on purpose; harness/run compares the output.

unset DTR_KERNEL DTR_ONLY
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

passes() { assert_eq a a; assert_fails -s 1 -m 'no' sh -c 'echo no >&2; exit 1'; }
stops_at_the_first_error() { false; echo "not reached"; }
differs() { assert_eq a b thing; }
should_fail() { assert_fails true; }
fails_otherwise() { assert_fails -s 2 sh -c 'exit 1'; }
says_otherwise() { assert_fails -m 'x' sh -c 'echo y >&2; exit 1'; }
undoes() { defer echo first; defer echo second; false; }
cannot_undo() { defer false; }
waits() { wait_for 1 test -e /nonexistent; }

run_case passes passes
run_case stops stops_at_the_first_error
run_case differs differs
run_case should-fail should_fail
run_case fails-otherwise fails_otherwise
run_case says-otherwise says_otherwise
run_case undoes undoes
run_case cannot-undo cannot_undo
run_case waits waits
skip skipped "a reason"
end_cases
