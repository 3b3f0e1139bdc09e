# SPDX-License-Identifier: GPL-2.0-or-later
# What a human types.  `make help` lists it; Kbuild says what the module is of.

KVER	?= $(shell uname -r)
KDIR	?= /lib/modules/$(KVER)/build
PREFIX	?= /usr/local
DESTDIR	?=
O	:= $(CURDIR)/build

export PREFIX DESTDIR O

.PHONY: all tools module manual demo check canary bench soak mutants lint install deb clean help

all: tools module manual	## library, command, manual, module for this kernel

tools:				## library and command, in build/
	$(MAKE) -C lib
	$(MAKE) -C tools

module:				## dm-dirtytrack.ko for KVER (default: running kernel)
	@test -d "$(KDIR)" || { echo "no headers of kernel $(KVER) in $(KDIR): install linux-headers-$(KVER)" >&2; exit 1; }
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

manual:				## manual pages, in build/man/
	$(MAKE) -C Documentation

demo:				## the main job on a mounted ext4, in a virtual machine
	tests/setup
	$(MAKE) -s tools
	tests/demo/run

check:				## all tests, last line: N passed, N failed, N skipped
	tests/setup
	$(MAKE) -s -j$(shell nproc) tools
	tests/run

canary:				## the module in a PREEMPT_RT and in the newest kernel; not in check
	tests/setup
	$(MAKE) -s tools
	tests/canary/run

bench:				## cost of the write path, bitmap core and copies
	tests/setup
	$(MAKE) -s tools
	tests/bench/run --full

soak:				## random sequences against the model, for DTR_SOAK_SECONDS (an hour)
	tests/setup
	$(MAKE) --no-print-directory tools
	tests/functional/soak

mutants:			## show that each patch of tests/mutants is caught
	tests/setup
	tests/mutants/run

lint:				## checkpatch, sparse, kernel-doc, shellcheck, codespell
	tests/setup
	tests/lint/run

install: all			## command, library, headers, manual and module
	$(MAKE) -C lib install
	$(MAKE) -C tools install
	$(MAKE) -C Documentation install
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(DESTDIR),INSTALL_MOD_PATH=$(DESTDIR)) modules_install
	$(if $(DESTDIR),,depmod -a $(KVER))

deb:				## Debian packages, in build/deb/
	tests/setup
	rm -rf $(O)/deb
	mkdir -p $(O)/deb/source
	tar -c --exclude=./build --exclude=./.git . | tar -x -C $(O)/deb/source
	cd $(O)/deb/source && \
		env -u O -u PREFIX -u DESTDIR -u MAKEFLAGS dpkg-buildpackage -us -uc -b

clean:				## remove what was built
	rm -rf build
	test ! -d "$(KDIR)" || $(MAKE) -C $(KDIR) M=$(CURDIR) clean

help:				## this list
	@sed -n 's/^\([a-z]*\):[^#]*## */\1	/p' Makefile
