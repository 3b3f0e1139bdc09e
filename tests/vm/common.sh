# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# common.sh - where the harness keeps things, and how it complains.
#
# Sourced by every script in tests/vm. Sets:
#   vm_dir    this directory
#   top       the project's root
#   cache     kernels built or fetched once; outlives the tree

vm_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck disable=SC2034 # for those who source this file
top=$(cd "$vm_dir/../.." && pwd -P)
cache=${DTR_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/dm-dirtytrack}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

note() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# logged LOG COMMAND... - run COMMAND with its output in LOG; show the end of
# LOG when it fails.
logged() {
	local log=$1 rc=0
	shift
	"$@" >>"$log" 2>&1 </dev/null || rc=$?
	[ "$rc" -eq 0 ] && return 0
	note "'$*' failed with status $rc; the end of $log:"
	tail -n 30 "$log" >&2
	return "$rc"
}

# kernel_names WORD - the kernels of the table that can do WORD (empty: all), on
# one line.
kernel_names() {
	awk -v word="$1" '!/^#/ && NF && (word == "" || "," $4 "," ~ "," word ",") {
		printf "%s%s", sep, $1; sep = " " } END { print "" }' "$vm_dir/kernels"
}

# find_kernel NAME - sets kernel_backend, kernel_source and kernel_can.
find_kernel() {
	# shellcheck disable=SC2034 # for the caller
	read -r kernel_backend kernel_source kernel_can < <(
		awk -v name="$1" '!/^#/ && $1 == name { print $2, $3, $4 }' \
			"$vm_dir/kernels") ||
		die "unknown kernel '$1': expected one of $(kernel_names "")"
}

# kernel_is WORD - whether the kernel that was found can do that.
kernel_is() {
	[[ ,$kernel_can, == *,$1,* ]]
}

# lock_cache NAME - hold an exclusive lock on one cache entry until exit, so
# that two runs never build the same kernel side by side.
lock_cache() {
	mkdir -p "$cache" || die "cannot create the cache directory $cache"
	exec {lock_fd}>"$cache/$1.lock" || die "cannot write to $cache"
	flock -n "$lock_fd" && return 0
	note "waiting for another run that prepares $1"
	flock -w 3600 "$lock_fd" || die "gave up after an hour: $cache/$1.lock"
}
