#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kit-guest.sh - cases that leave things behind in a guest; harness/run
# compares the output.

unset DTR_ONLY
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

tidy() {
	local disk
	make_loop disk 1M
	make_dm tidy "0 $(sectors "$disk") linear $disk 0"
	test -b /dev/mapper/tidy
	assert_eq 2048 "$(sectors /dev/mapper/tidy)"
}

leaves_dm() { dmsetup create left --table '0 8 zero'; }

leaves_loop() {
	truncate -s 1M /tmp/file
	losetup /dev/loop5 /tmp/file
}

complains() { echo 'WARNING: CPU: 0 PID: 1 at fake' >/dev/kmsg; }

run_case tidy tidy
run_case leaves-dm leaves_dm
run_case leaves-loop leaves_loop
run_case complains complains
run_case tidy-again tidy
end_cases
