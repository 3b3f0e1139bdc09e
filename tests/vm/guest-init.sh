#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest-init.sh - process 1 of every guest, from the overlay on: set the
# machine up, load the module, run the command, say how it ended, power off.
#
# In the environment: dtr_out, dtr_err, dtr_status, the devices that lead out;
# dtr_moddir, the stock kernel's own modules, if it has any. The order in
# /run/order sets top, cwd, module, command and what to export.

: "${dtr_out:?} ${dtr_err:?} ${dtr_status:?}"
# shellcheck source=/dev/null
. /run/order
: "${top:?} ${cwd:?} ${module:?} ${command:?}"
PATH=$top/build:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LD_LIBRARY_PATH="$top/build" LC_ALL=C HOME=/root TERM=dumb
# No udev here: libdevmapper makes the nodes itself and waits for nobody
export DM_DISABLE_UDEV=1
unset image scratch dtr_scratch dtr_vm dtr_image

# say WORDS - a line of the status: 'begun', and last 'exit N' or 'fail WHY'.
say() {
	echo "$*" >>"$dtr_status"
}

finish() {
	say "$@"
	sync
	busybox poweroff -f
	exit
}

mount_all() {
	mkdir -p /dev/pts /dev/shm /run/lock
	mount -t devpts devpts /dev/pts
	mount -t tmpfs -o mode=1777 tmpfs /dev/shm
	mount -t debugfs debugfs /sys/kernel/debug
	[ ! -d /sys/kernel/config ] || mount -t configfs configfs /sys/kernel/config
	ln -sf /proc/self/fd /dev/fd
	ln -sf /proc/self/fd/0 /dev/stdin
	ln -sf /proc/self/fd/1 /dev/stdout
	ln -sf /proc/self/fd/2 /dev/stderr
	busybox ip link set lo up
	echo dtrack >/proc/sys/kernel/hostname
	if [ -n "${dtr_moddir-}" ]; then
		mkdir -p "/lib/modules/${dtr_moddir##*/}"
		mount --bind "$dtr_moddir" "/lib/modules/${dtr_moddir##*/}"
	fi
}

# Stock kernels have device mapper as a module, UML has it built in.
load_module() {
	local ko=${DTR_MODDIR:?}/dm-dirtytrack.ko name
	for name in $(modinfo -F depends "$ko" | tr , ' '); do
		modprobe "$name" || return 1
	done
	insmod "$ko"
}

# The command writes to pipes: it shall not see a terminal, or a device.
open_pipes() {
	mkfifo /run/out /run/err
	cat /run/out >"$dtr_out" &
	readers=$!
	cat /run/err >"$dtr_err" &
	readers="$readers $!"
	exec 8>/run/out 9>/run/err
}

close_pipes() {
	exec 8>&- 9>&-
	# shellcheck disable=SC2086
	wait $readers
}

run_command() {
	cd "$cwd" 2>/dev/null || cd "$top" || return 127
	(
		exec >&8 2>&9 8>&- 9>&- </dev/null
		exec setsid "${command[@]}"
	)
}

# Whoever outlives the command holds its pipes: end them, so that the readers
# see the end. Kernel threads have no command line.
end_stragglers() {
	local pid line
	for pid in /proc/[0-9]*; do
		pid=${pid#/proc/}
		case " 1 $readers " in *" $pid "*) continue ;; esac
		line=
		read -r -d '' line 2>/dev/null <"/proc/$pid/cmdline"
		[ -z "$line" ] || kill -KILL "$pid" 2>/dev/null
	done
}

# our_leaks - what kmemleak reports with one of our functions in the stack, on
# stdout. An object is reported once two scans in a row found no pointer to it,
# and it is 5 s old (MSECS_MIN_AGE in mm/kmemleak.c): hence the wait.
our_leaks() {
	local file=/sys/kernel/debug/kmemleak
	[ "$module" -eq 1 ] && [ "${DTR_KERNEL-}" = uml-debug ] || return 0
	[ -w "$file" ] || { echo "this kernel has no kmemleak"; return 0; }
	sleep 5.1
	echo scan >"$file"
	echo scan >"$file"
	awk 'function flush() { if (ours) printf "%s", text; text = ""; ours = 0 }
		/^unreferenced object/ { flush() }
		!/^  comm / && /dirtytrack|dtr_/ { ours = 1 }
		{ text = text $0 "\n" }
		END { flush() }' "$file" | head -n 120
}

main() {
	local rc leaks
	mount_all
	open_pipes
	say begun
	if [ "$module" -eq 1 ] && ! load_module 2>&9; then
		close_pipes
		finish fail "cannot load $DTR_MODDIR/dm-dirtytrack.ko"
	fi
	run_command
	rc=$?
	end_stragglers
	leaks=$(our_leaks)
	[ -z "$leaks" ] || printf '%s\n' "$leaks" >&9
	close_pipes
	[ -z "$leaks" ] ||
		finish fail "kmemleak: dm-dirtytrack leaks memory (the command: exit $rc)"
	finish exit "$rc"
}

main
