# SPDX-License-Identifier: GPL-2.0-or-later
#
# gen.awk - from the ABI's header, a C program that prints each ioctl's number,
# each struct's size, each member's offset and size, and each constant.

/^struct [a-z_]+ \{/ {
	name = $2
	structs[++nr] = name
	next
}
name && /^\};/ { name = ""; next }
name && /;/ {
	member = $0
	sub(/;.*/, "", member)
	sub(/\[.*/, "", member)
	sub(/.*[ \t]/, "", member)
	body = body sprintf("\tMEMBER(%s, %s);\n", name, member)
	next
}
/^#define DTRACK_IOC_TYPE/ { next }
/^#define DTRACK_IOC_[A-Z_]+[ \t]/ { ioctls = ioctls sprintf("\tIOCTL(%s);\n", $2); next }
/^#define DTRACK_DEVICE/ { next }
/^#define DTRACK_[A-Z0-9_]+[ \t]/ { numbers = numbers sprintf("\tNUMBER(%s);\n", $2); next }
/^\tDTRACK_[A-Z_]+ = / { numbers = numbers sprintf("\tNUMBER(%s);\n", $1); next }

END {
	print "#include <stddef.h>"
	print "#include <stdio.h>"
	print "#include <linux/dm-dirtytrack.h>"
	print "#define IOCTL(x) printf(\"ioctl %s 0x%08lx\\n\", #x, (unsigned long)x)"
	print "#define NUMBER(x) printf(\"number %s %llu\\n\", #x, (unsigned long long)x)"
	print "#define STRUCT(s) printf(\"struct %s size %zu\\n\", #s, sizeof(struct s))"
	print "#define MEMBER(s, m) printf(\"member %s.%s at %zu size %zu\\n\", \\"
	print "\t#s, #m, offsetof(struct s, m), sizeof(((struct s *)0)->m))"
	print "int main(void)\n{"
	printf "%s%s", ioctls, numbers
	for (i = 1; i <= nr; i++)
		printf "\tSTRUCT(%s);\n", structs[i]
	printf "%s", body
	print "\treturn 0;\n}"
}
