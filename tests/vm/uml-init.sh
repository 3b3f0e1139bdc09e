#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# uml-init.sh - process 1 of the User-mode Linux guest.
#
# The root is the machine's own, over hostfs and read-only. Puts an overlay on
# it and goes there. The kernel passes NAME=VALUE on its command line to us as
# environment.

: "${dtr_scratch:?} ${dtr_vm:?}"

mount -t proc proc /proc
mount -t tmpfs tmpfs /run
# Raw: the lines carry bytes, not text
for line in /dev/ttyS0 /dev/ttyS1 /dev/ttyS2; do
	stty -F "$line" raw -echo
done
# shellcheck source=guest-root.sh
. "$dtr_vm/guest-root.sh"
guest_root / /run/guest "$dtr_scratch"
export dtr_out=/dev/ttyS0 dtr_err=/dev/ttyS1 dtr_status=/dev/ttyS2
exec chroot /run/guest/root "$dtr_vm/guest-init.sh"
