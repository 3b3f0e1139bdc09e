#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""equal.py DEVICE IMAGE - whether both are the same, byte for byte.

The device is read past the page cache, which knows nothing of what a mounted
file system has written. Not by dd and cmp: an emulated machine takes four times
as long for what goes through a pipe.
"""
import mmap
import os
import sys

MIB = 1 << 20


def main(device, image):
    room, at = mmap.mmap(-1, MIB), 0
    fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
    with open(image, 'rb', buffering=0) as file:
        while n := os.preadv(fd, [room], at):
            if file.read(n) != room[:n]:
                sys.exit(f'they differ between bytes {at} and {at + n}')
            at += n
        if file.read(1):
            sys.exit(f'the image is longer than the {at} bytes of the device')


main(*sys.argv[1:])
