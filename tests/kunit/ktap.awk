# SPDX-License-Identifier: GPL-2.0-or-later
#
# ktap.awk - KTAP of KUnit suites to a line for each case, or for each row of a
# table:
#	ok KERNEL:SUITE.CASE[/ROW]	not ok KERNEL:SUITE.CASE[/ROW] # WHY
#
# Input: for each suite 'suite NAME', and what its debugfs file holds. Variables:
# kernel. A suite without a plan, with another number of cases than it planned,
# without an end or without a case has failed. Exit status 1 if anything has.

# result OK NAME WHY
function result(good, name, why) {
	gsub(/[ \t]+/, "-", name)
	if (why ~ /^# SKIP/)
		printf "skip %s:%s.%s # %s\n", kernel, suite, name, substr(why, 8)
	else if (good)
		printf "ok %s:%s.%s\n", kernel, suite, name
	else
		blame("." name, first_complaint)
	first_complaint = ""
}

# blame WHAT WHY - of the suite; a part of it, or all if empty
function blame(what, why) {
	printf "not ok %s:%s%s # %s\n", kernel, suite, what, why ? why : "failed"
	failed = 1
}

function end_of_suite() {
	if (suite == "")
		return
	if (plan == "")
		blame("", "has no plan: did it run?")
	else if (plan == 0 || seen != plan)
		blame("", "planned " plan " cases, showed " seen)
	if (!ended)
		blame("", "has no end")
	suite = ""
}

# parts LINE - sets good, name and why of a result line
function parts(line) {
	good = line ~ /^ *ok /
	sub(/^ *(not )?ok [0-9]+ */, "", line)
	why = ""
	if (match(line, / # SKIP.*/)) {
		why = substr(line, RSTART + 1)
		line = substr(line, 1, RSTART - 1)
	}
	name = line
}

/^suite / {
	end_of_suite()
	suite = $2
	plan = ""; seen = 0; ended = 0; rows = 0; bad_rows = 0
	subtest = ""; first_complaint = ""
	next
}
/^        # Subtest: / { subtest = $3; rows = 0; bad_rows = 0; next }
/^    1\.\.[0-9]+$/ { plan = substr($1, 4); next }
/^        (not )?ok [0-9]+ / {
	parts($0)
	rows++
	bad_rows += !good
	result(good, subtest "/" name, why)
	next
}
/^    (not )?ok [0-9]+ / {
	parts($0)
	seen++
	# The rows of a table have had their say, unless the table is the trouble.
	if (!rows || (!good && !bad_rows))
		result(good, name, why)
	rows = 0; bad_rows = 0; subtest = ""
	next
}
/^(not )?ok 1 / { ended = 1; next }
/FAILED at / {
	sub(/.*FAILED at /, "")
	sub(/^.*\//, "")
	if (first_complaint == "")
		first_complaint = $0
	print "    " $0
	next
}
/^ *(KTAP version|# Subtest: |# module: |1\.\.1$)/ { next }
{ print "  " $0 }
END {
	end_of_suite()
	exit failed
}
