# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# lib.sh - the kit that test scripts in shell are written with, in a guest and
# on the machine itself.
#
#	. "$(dirname "$0")/../lib.sh"
#	case_one() { make_loop disk 16M; dtrack create t "$disk"; defer ...; }
#	run_case area-scenario case_one
#	end_cases
#
# A case is a function. It runs in a subshell of its own under `set -e`, its
# output is shown when it fails, and what it deferred is undone in any case. In
# a guest a case also fails when it leaves a dm or loop device behind, or when
# the kernel log gained a splat. DTR_ONLY=PATTERN runs the cases that match.

set -u
lib_home=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=vm/splat.sh
. "$lib_home/vm/splat.sh"
# shellcheck source=several.sh
. "$lib_home/several.sh"

cases_failed=0
lib_scratch=$(mktemp -d)
trap 'rm -rf "$lib_scratch"' EXIT

# ---- Results ----

ok() {
	printf 'ok %s\n' "$1"
}

# not_ok NAME WHY...
not_ok() {
	local name=$1
	shift
	cases_failed=$((cases_failed + 1))
	printf 'not ok %s%s\n' "$name" "${*:+ # $*}"
}

# skip NAME WHY... - only for what this machine cannot do, never for a failure.
skip() {
	local name=$1
	shift
	printf 'skip %s # %s\n' "$name" "$*"
}

# end_cases - the last line of a script: exits with 1 if any case failed.
end_cases() {
	wait_aside || cases_failed=$((cases_failed + 1))
	exit $((cases_failed > 0))
}

# ---- Assertions: say what is wrong on stderr, and return 1 ----

fail() {
	printf '%s\n' "$*" >&2
	return 1
}

# assert_eq EXPECTED ACTUAL [WHAT]
assert_eq() {
	[ "$1" = "$2" ] || fail "${3:-value}: expected '$1', got '$2'"
}

# assert_match REGEX TEXT [WHAT] - an extended regular expression, anywhere.
assert_match() {
	[[ $2 =~ $1 ]] || fail "${3:-text}: expected a match of '$1', got '$2'"
}

# assert_fails [-s STATUS] [-m REGEX] COMMAND... - COMMAND fails, with STATUS,
# and says what matches REGEX on stderr. What it said is then in $complaint.
complaint=
assert_fails() {
	local want='' regex='' status=0
	while :; do
		case $1 in
		-s) want=$2; shift 2 ;;
		-m) regex=$2; shift 2 ;;
		*) break ;;
		esac
	done
	"$@" 2>"$lib_scratch/complaint" || status=$?
	complaint=$(cat "$lib_scratch/complaint")
	[ "$status" -ne 0 ] || fail "succeeded, but must not: $*" || return 1
	if [ -n "$want" ] && [ "$want" -ne "$status" ]; then
		fail "expected status $want, got $status from: $*
$complaint"
		return 1
	fi
	[ -z "$regex" ] || assert_match "$regex" "$complaint" "stderr of $*"
}

# wait_for SECONDS COMMAND... - until COMMAND succeeds; for what has no event
# to wait for. Fails after SECONDS.
wait_for() {
	local limit=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$limit" ] || fail "did not come true in time: $*" || return 1
		sleep 0.05
	done
}

# require PROGRAM... - without them the script cannot run, which is a failure.
require() {
	local name
	for name; do
		command -v "$name" >/dev/null && continue
		not_ok "${0##*/}" "cannot run: there is no $name"
		exit 1
	done
}

# ---- Undoing ----

deferred=()

# defer COMMAND... - run COMMAND when the case ends, last deferred first.
defer() {
	deferred+=("$(printf '%q ' "$@")")
}

undo() {
	local status=$? i
	set +e
	for ((i = ${#deferred[@]} - 1; i >= 0; i--)); do
		eval "${deferred[i]}" || {
			echo "cannot undo: ${deferred[i]}" >&2
			[ "$status" -ne 0 ] || status=1
		}
	done
	exit "$status"
}

# ---- Devices: each is gone when the case ends ----
# Results go to the variable that the caller names, as defer has no effect in a
# $(subshell); the locals are spelled so that they do not hide it.

# make_scratch VAR - a new directory.
make_scratch() {
	local lib_dir
	lib_dir=$(mktemp -d)
	defer rm -rf "$lib_dir"
	printf -v "$1" %s "$lib_dir"
}

# make_loop VAR SIZE - a loop device over a sparse file on /tmp.
make_loop() {
	local lib_file lib_dev
	lib_file=$(mktemp)
	truncate -s "$2" "$lib_file"
	have_block loop
	lib_dev=$(losetup --find --show "$lib_file")
	rm -f "$lib_file"
	defer losetup -d "$lib_dev"
	printf -v "$1" %s "$lib_dev"
}

# make_dm NAME TABLE... - a mapped device /dev/mapper/NAME; one argument a line.
make_dm() {
	local name=$1
	shift
	printf '%s\n' "$@" | dmsetup create "$name"
	defer dmsetup remove --retry "$name"
}

# sectors DEVICE - its size in sectors of 512 bytes, on stdout.
sectors() {
	blockdev --getsz "$1"
}

# have_block NAME - load a stock kernel's module; UML has all built in.
have_block() {
	[ -d "/sys/module/$1" ] || modprobe "$1"
}

# have_target NAME - whether the kernel has, or can load, this dm target.
have_target() {
	dmsetup targets | grep -q "^$1 " || modprobe -q "dm-$1"
}

# ---- Running cases ----

in_guest() {
	[ -n "${DTR_KERNEL-}" ]
}

# What a case must not leave behind, one a line. Reads /sys only: starting a
# process in a guest costs more than all of this.
devices_present() {
	local path name
	for path in /sys/block/dm-*/dm/name; do
		[ -e "$path" ] || continue
		read -r name <"$path"
		echo "dm:$name"
	done
	for path in /sys/block/loop*/loop/backing_file; do
		[ -e "$path" ] || continue
		path=${path#/sys/block/}
		echo "loop:${path%%/*}"
	done
}

remove_device() {
	case $1 in
	dm:*) dmsetup remove --force "${1#dm:}" ;;
	loop:*) losetup -d "/dev/${1#loop:}" ;;
	esac
}

# leftovers BEFORE - devices that were not there before; removes them, so that
# the next case is judged by itself.
leftovers() {
	local dev found=
	while read -r dev; do
		[ -n "$dev" ] || continue
		[[ $'\n'$1$'\n' == *$'\n'"$dev"$'\n'* ]] && continue
		found+=" $dev"
		remove_device "$dev" >/dev/null 2>&1
	done < <(devices_present)
	[ -z "$found" ] || echo "left behind:$found"
}

# log_mark MARK - a line in the kernel log that new_splats finds again.
log_mark() {
	echo "$1" >/dev/kmsg
}

# new_splats MARK - complaints of the kernel since MARK, on stdout; from the
# beginning, when the mark has left the log.
new_splats() {
	dmesg >"$lib_scratch/dmesg"
	if grep -qF -e "$1" "$lib_scratch/dmesg"; then
		sed -i "1,/$1\$/d" "$lib_scratch/dmesg"
	fi
	splat_show "$lib_scratch/dmesg"
}

# run_case NAME FUNCTION [ARGUMENT...] - not behind `||`, `&&` or `if`: there
# the shell would ignore the case's `set -e`.
run_case() {
	local name=$1 status before='' why='' mark log=$lib_scratch/case
	shift
	# shellcheck disable=SC2254 # a pattern
	case $name in ${DTR_ONLY:-*}) ;; *) return 0 ;; esac
	mark="dtr-case $name $RANDOM"
	if in_guest; then
		before=$(devices_present)
		log_mark "$mark"
	fi
	(
		deferred=()
		trap undo EXIT
		set -e
		"$@"
	) >"$log" 2>&1 </dev/null
	status=$?
	[ "$status" -eq 0 ] || why="exit $status"
	if in_guest; then
		why+=${why:+; }$(leftovers "$before")
		why=${why%; }
		new_splats "$mark" >>"$log" && why+="${why:+; }the kernel complains"
	fi
	if [ -z "$why" ]; then
		ok "$name"
		return
	fi
	sed 's/^/  /' "$log"
	not_ok "$name" "$why"
}

# case_aside NAME FUNCTION [ARGUMENT...] - run_case by several.sh; not in a guest,
# where what is left behind could be another case's.
case_aside() {
	aside case_alone "$@"
}

case_alone() {
	lib_scratch=$(mktemp -d "$lib_scratch/XXXXXX")
	run_case "$@"
	return "$cases_failed"
}
