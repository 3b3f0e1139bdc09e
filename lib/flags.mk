# SPDX-License-Identifier: LGPL-2.1-or-later
# How the library and the tools are compiled; CFLAGS and LDFLAGS stay the user's.

BASE_CFLAGS := -std=gnu11 -Wall -Wextra -Werror -Wstrict-prototypes \
	-Wmissing-prototypes -Wshadow -Wvla -fno-common \
	-fstack-protector-strong -D_FILE_OFFSET_BITS=64 -D_GNU_SOURCE
BASE_LDFLAGS := -Wl,-z,relro -Wl,-z,now
LIB_LDFLAGS := -Wl,-z,defs

ifeq ($(SANITIZE),1)
BASE_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
BASE_LDFLAGS += -fsanitize=address,undefined
LIB_LDFLAGS :=
else
BASE_CFLAGS += -D_FORTIFY_SOURCE=2
endif
