# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# splat.sh - recognise a kernel that complains about itself.
#
# Sourced. One list, used for the log of a whole run (tests/vm/run) and for
# what one test case added to it (tests/lib.sh).

splat_pattern='WARNING:|\bBUG[: ]|kernel BUG at|Oops|Kernel panic|general protection'
splat_pattern+='|Call Trace:|UBSAN:|KASAN|KFENCE'
splat_pattern+='|INFO: (task|rcu|lockdep|trying to register|possible)'
splat_pattern+='|INFO: [a-z_]* (detected|self-detected)'
splat_pattern+='|possible (circular|recursive|irq lock) |inconsistent lock state'
splat_pattern+='|suspicious RCU usage|bad unlock balance|held lock freed'
splat_pattern+='|lock held when returning|sleeping function called'
splat_pattern+='|scheduling while atomic|ODEBUG:|refcount_t:|list_(add|del) corruption'
splat_pattern+='|soft lockup|hard LOCKUP|unable to handle'
splat_pattern+='|Unable to handle|Bad page (state|map)|double free|stack-protector'
splat_pattern+='|Objects remaining|slab.*corrupt|nobody cared|divide error'
splat_pattern+='|kobject_add_internal failed|cannot create duplicate filename|DEBUG_LOCKS_WARN_ON'
splat_pattern+='|segfault at .* in (libdtrack|dtrack)|Unknown symbol|disagrees about version'

# What stock and UML kernels say at every boot, and is no complaint.
splat_harmless='KASAN: (init|shadow)|kasan: |KernelAddressSanitizer initialized'
splat_harmless+='|ODEBUG: selftest passed'

# splat_show LOG - the complaints in LOG, each with some lines of context, on
# stdout. Returns 1 when there is none.
splat_show() {
	local lines
	lines=$(grep -nE "$splat_pattern" "$1" | grep -vE "$splat_harmless" |
		head -n 5 | cut -d : -f 1)
	[ -n "$lines" ] || return 1
	# from the first complaint on
	tail -n "+$(printf '%s\n' "$lines" | head -n 1)" "$1" | head -n 60
}
