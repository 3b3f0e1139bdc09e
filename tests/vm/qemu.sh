#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# qemu.sh - start a stock kernel in QEMU on what run prepared, and wait for its
# end.
#
# In the environment: image (from kernel-stock), scratch (order; the pipes out
# and err; the files status and console), memory in MiB, icount, accel.
# The machine's files are the root over 9p, read-only; three virtio-serial
# ports carry stdout, stderr and the status, the serial line the kernel log.

set -eu

: "${image:?} ${scratch:?} ${memory:?} ${vm_dir:?} ${icount:?} ${accel:?}"
# shellcheck source=common.sh
. "$vm_dir/common.sh"

append="console=ttyS0 ignore_loglevel printk.devkmsg=on panic=-1 oops=panic"
# An emulated CPU on a busy machine stands still for longer than a real one
append+=" watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120"
# An emulated TSC is found to be unstable sooner or later, and the kernel then
# patches itself while both CPUs run: better before the second one is up
append+=" tsc=unstable"
append+=" dtr_scratch=$scratch dtr_vm=$vm_dir dtr_image=$image"

machine=(qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
	-cpu max -m "$memory" -kernel "$image/vmlinuz" -initrd "$image/initrd"
	-virtfs "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"
	-device virtio-serial-pci)

# port NAME FILE - a virtio-serial port that writes to FILE
port() {
	machine+=(-chardev "file,id=$1,path=$2,append=on"
		-device "virtserialport,chardev=$1,name=$1")
}

# Some machines have a /dev/kvm that hangs a stock kernel in its decompressor:
# ten seconds must show a first line of kernel log.
kvm_works() {
	[ -w /dev/kvm ] || return 1
	timeout 10 qemu-system-x86_64 -nodefaults -display none \
		-no-reboot -accel kvm -cpu max -m 512 -kernel "$image/vmlinuz" \
		-serial "file:$scratch/probe" -append "console=ttyS0 panic=-1" \
		>/dev/null 2>&1 </dev/null || :
	grep -q 'Linux version' "$scratch/probe" 2>/dev/null
}

if [ "$icount" -eq 1 ]; then
	machine+=(-accel "tcg,thread=single" -icount "shift=0,sleep=off" -smp 1)
elif [ "$accel" = kvm ] && kvm_works; then
	machine+=(-accel kvm -smp 2)
else
	[ "$accel" = tcg ] || note "/dev/kvm does not answer: emulating"
	machine+=(-accel "tcg,thread=multi" -smp 2)
fi

port dtr.out "$scratch/out"
port dtr.err "$scratch/err"
port dtr.status "$scratch/status"
machine+=(-serial "file:$scratch/console" -append "$append")

echo $$ >"$scratch/pid"
exec "${machine[@]}" >"$scratch/machine" 2>&1 </dev/null
