#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest.sh - full and incremental backup of a mounted ext4, checked bit for bit.
#
# Runs inside the virtual machine (see run). The device is a loop device on
# memory. The file system is mounted throughout; fsfreeze holds it still for
# each backup and the comparison after it, so that 'bit for bit' means
# something on a device in use.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=/tmp/demo
mnt=$dir/mnt
dev=/dev/mapper/demo
image=$dir/backup.img

step() { printf '\n== %s\n' "$*"; }
show() { printf '   $ %s\n' "$*"; "$@"; }
mib() { echo "$(($1 / 1048576)).$(($1 % 1048576 * 10 / 1048576)) MiB"; }
json() { python3 -c 'import json,sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }
# Monotonic, in hundredths of a second.
now() { awk '{ sub(/\./, "", $1); print $1 }' /proc/uptime; }
dirty() { dtrack bitmap show demo nightly --json | json 'd[0]["count"]'; }

die() {
	echo "VERDICT: FAILED: $*"
	exit 1
}

# Some 160 MiB of this machine's own programs and libraries. Looking at all there
# are would take minutes: find is told to stop by its pipe.
copy_real_files() {
	find /usr/bin /usr/lib -xdev -type f -size +64k -size -16M -print0 2>/dev/null |
		python3 -c '
import os, shutil, sys
left, rest = 160 << 20, b""
while left > 1 << 20:
    piece = os.read(0, 4096)
    if not piece:
        break
    *paths, rest = (rest + piece).split(b"\0")
    for path in paths:
        size = os.path.getsize(path)
        if size > left:
            continue
        left -= size
        to = sys.argv[1].encode() + path
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.copyfile(path, to)
' "$mnt"
}

# Files added, edited in place, appended to, renamed and deleted, and an
# archive unpacked: the machine's C headers.
change_files() {
	local file

	mkdir "$mnt/new"
	tar -C /usr -cf "$dir/headers.tar" include/linux include/x86_64-linux-gnu
	tar -C "$mnt/new" -xf "$dir/headers.tar"
	rm "$dir/headers.tar"
	head -c 3000000 /dev/urandom >"$mnt/added.bin"
	find "$mnt/usr/bin" -type f | sort >"$dir/files"
	sed -n 1,5p "$dir/files" | xargs -d '\n' rm
	file=$(sed -n 6p "$dir/files")
	printf 'edited in the middle' | dd of="$file" bs=1 seek=40000 conv=notrunc status=none
	echo 'appended' >>"$(sed -n 7p "$dir/files")"
	mv "$(sed -n 8p "$dir/files")" "$mnt/renamed"
	sync -f "$mnt"
}

# backup OPTION...: fsfreeze, run, compare; sets total, copied, took.
backup() {
	local begin result

	fsfreeze -f "$mnt"
	begin=$(now)
	printf '   $ dtrack backup demo --target %s %s\n' "$image" "$*"
	result=$(dtrack backup demo --target "$image" "$@" --json 2>/dev/null) || {
		fsfreeze -u "$mnt"
		die "backup: $result"
	}
	took=$(($(now) - begin))
	python3 "$here/equal.py" "$dev" "$image" || {
		fsfreeze -u "$mnt"
		die "the backup differs from the device"
	}
	fsfreeze -u "$mnt"
	total=$(json 'd["bytes-total"]' <<<"$result")
	copied=$(json 'd["bytes-copied"]' <<<"$result")
	printf '   copied %s of %s in %d.%02d s; device and backup are equal bit for bit\n' \
		"$(mib "$copied")" "$(mib "$total")" $((took / 100)) $((took % 100))
}

check_backup() {
	show e2fsck -fn "$image" 2>/dev/null | tail -n 1
	mkdir "$dir/restored"
	mount -o ro,loop "$image" "$dir/restored"
	diff -r --no-dereference "$mnt" "$dir/restored" || die "files differ"
	echo "   $(find "$dir/restored" -type f | wc -l) files compared one by one: equal"
	umount "$dir/restored"
}

mkdir -p "$mnt"
[ -e /dev/loop-control ] || modprobe loop
step "A tracked device of 1 GiB with an ext4 file system"
truncate -s 1G "$dir/disk"
loop=$(losetup --direct-io=off -f --show "$dir/disk")
mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$loop"
show dtrack create demo "$loop"
show dtrack bitmap add demo nightly
mount "$dev" "$mnt"

step "Real data from this machine"
copy_real_files
sync -f "$mnt"
echo "   $(find "$mnt" -type f | wc -l) files, $(du -sh "$mnt" | cut -f 1)"

step "Full backup, while mounted; the bitmap starts anew with it"
backup --sync full --bitmap nightly --bitmap-mode on-success
full=$copied

step "A day's work: an archive unpacked, files added, edited, renamed, deleted"
change_files
show dtrack bitmap show demo
echo "   dirty: $(mib "$(dirty)")"

step "Incremental backup, while mounted: only what changed"
backup --sync incremental --bitmap nightly

step "The backup as a file system"
check_backup

umount "$mnt"
show dtrack remove demo
losetup -d "$loop"
echo
echo "VERDICT: OK: the incremental copied $(mib "$copied") where a full backup copies $(mib "$full")"
