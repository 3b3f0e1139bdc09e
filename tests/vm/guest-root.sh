# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest-root.sh - make a writable root out of the machine's read-only one.
#
# Sourced by process 1 of a guest before it changes its root; read by bash and
# by the initramfs' busybox.

# guest_root LOWER STATE SCRATCH - an overlay of LOWER at STATE/root with tmpfs
# on /tmp and /run, and the order of the run in /run/order. The directories
# that SCRATCH/visible names stay visible where they lie below /tmp or /run.
guest_root() {
	lower=$1 state=$2 scratch=$3 root=$2/root
	mkdir -p "$state"
	mount -t tmpfs -o mode=0755 tmpfs "$state"
	mkdir -p "$state/upper" "$state/work" "$root" "$state/tmpfs"
	mount -t overlay -o \
		"lowerdir=$lower,upperdir=$state/upper,workdir=$state/work" \
		overlay "$root"
	mkdir -p "$state/tmpfs/tmp" "$state/tmpfs/run"
	mount -t tmpfs -o mode=1777 tmpfs "$state/tmpfs/tmp"
	mount -t tmpfs -o mode=0755 tmpfs "$state/tmpfs/run"
	cp "$scratch/order" "$state/tmpfs/run/order"
	while IFS= read -r dir; do
		case $dir in
		/tmp/* | /run/*)
			mkdir -p "$state/tmpfs$dir"
			mount --bind "$root$dir" "$state/tmpfs$dir"
			;;
		esac
	done <"$scratch/visible"
	mount --rbind "$state/tmpfs/tmp" "$root/tmp"
	mount --rbind "$state/tmpfs/run" "$root/run"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys"
	mount -t devtmpfs devtmpfs "$root/dev"
}
