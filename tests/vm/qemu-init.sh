#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# qemu-init.sh - /init of the initramfs for stock kernels.
#
# Loads the modules that lead to the machine's root over 9p, puts an overlay on
# it, and goes there. The kernel passes NAME=VALUE on its command line to us as
# environment.

: "${dtr_scratch:?} ${dtr_vm:?} ${dtr_image:?}"

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mkdir -p /dev /sys /run
mount -t devtmpfs devtmpfs /dev
mount -t sysfs sysfs /sys
while read -r name; do
	insmod "/modules/$name" || echo "initramfs: cannot load $name" >/dev/kmsg
done </modules/order

mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose \
	host /mnt || echo "initramfs: cannot mount the root over 9p" >/dev/kmsg

# shellcheck disable=SC1091
. /guest-root.sh
guest_root /mnt /run/guest "/mnt$dtr_scratch"

# port NAME - the device of a virtio-serial port
port() {
	for dir in /sys/class/virtio-ports/*; do
		[ "$(cat "$dir/name")" = "$1" ] && echo "/dev/${dir##*/}"
	done
}
dtr_out=$(port dtr.out)
dtr_err=$(port dtr.err)
dtr_status=$(port dtr.status)
for dir in "/mnt$dtr_image"/lib/modules/*; do
	dtr_moddir=${dir#/mnt}
done
export dtr_out dtr_err dtr_status dtr_moddir
exec chroot /run/guest/root "$dtr_vm/guest-init.sh"
