#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# uml.sh - start User-mode Linux on what run prepared, and wait for its end.
#
# In the environment: image (from kernel-uml), scratch (order; the pipes out
# and err; the files status and console), memory in MiB, vm_dir.
# The machine's files are the root over hostfs, mounted read-only for ever;
# the three serial lines carry stdout, stderr and the status.

set -eu

: "${image:?} ${scratch:?} ${memory:?} ${vm_dir:?}"

echo $$ >"$scratch/pid"

# Its memory is a file on /dev/shm; where that is too small, it is on disk.
unset TMPDIR TMP TEMP
shm_free=$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1) || shm_free=0
[ "${shm_free:-0}" -gt "$memory" ] || export TMPDIR=$scratch

mkdir "$scratch/uml"
exec 3>"$scratch/out" 4>"$scratch/err" 5>"$scratch/status"
exec "$image/linux" mem="${memory}M" uml_dir="$scratch/uml" \
	rootfstype=hostfs root=/dev/root ro hostname=dtrack \
	con=null con0=null,fd:1 ssl=null ssl0=null,fd:3 ssl1=null,fd:4 \
	ssl2=null,fd:5 console=tty0 ignore_loglevel printk.devkmsg=on panic=-1 \
	init="$vm_dir/uml-init.sh" dtr_scratch="$scratch" dtr_vm="$vm_dir" \
	>"$scratch/console" 2>"$scratch/machine" </dev/null
