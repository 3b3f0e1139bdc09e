# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# several.sh - parts of a layer, as many at a time as there are CPUs.
#
#	. "$(dirname "$0")/../several.sh"
#	for test; do aside one "$test"; done
#	wait_aside || failed=1
#
# DTR_JOBS=N in the environment makes it N of them, 1 one after the other. A
# part has the variables of the script and cannot change them.

several_jobs=${DTR_JOBS:-$(nproc)} several_running=0 several_status=0

# aside COMMAND... - run it in the background, when there is room. What it says
# comes in one piece, when it has ended.
aside() {
	[ "$several_running" -lt "$several_jobs" ] || several_one
	several_part "$@" &
	several_running=$((several_running + 1))
}

# The command is behind no `||`, where the shell would ignore its `set -e`.
several_part() {
	local status said
	set +e
	said=$(mktemp)
	("$@") >"$said" 2>&1 </dev/null
	status=$?
	# one after the other: all have this file open, each by itself
	flock "${BASH_SOURCE[0]}" cat "$said"
	rm -f "$said"
	exit "$status"
}

several_one() {
	wait -n || several_status=1
	several_running=$((several_running - 1))
}

# wait_aside - until all have ended; fails if one of them has.
wait_aside() {
	while [ "$several_running" -gt 0 ]; do
		several_one
	done
	return "$several_status"
}
