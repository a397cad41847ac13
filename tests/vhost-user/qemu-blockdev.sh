#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# QEMU 10's qemu-io and qemu-img with its libblkio driver virtio-blk-vhost-user:
# what goes in is in the file behind the disk.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

tool qemu10_io
io=$tool
tool qemu10_img
img=$tool
dd if=/dev/urandom of="$work/in" bs=1M count=32 status=none
truncate -s 32M "$work/disk"
disk d0 "$work/disk" 4
open_doors
options=driver=virtio-blk-vhost-user,path=$work/d0.sock,cache.direct=on
"$io" --image-opts "$options" \
	-c 'write -P 0x5a 0 1M' -c 'read -P 0x5a 0 1M' \
	-c 'write -z 64k 64k' -c 'read -P 0 64k 64k' -c 'read -P 0x5a 128k 64k' \
	-c 'discard 512k 64k' -c 'flush' \
	-c 'aio_write -P 0x11 2M 512k' -c 'aio_write -P 0x22 3M 4k' \
	-c 'aio_flush' -c 'read -P 0x11 2M 512k' -c 'read -P 0x22 3M 4k' \
	>"$work/io" 2>&1 || die "$(cat "$work/io")"
! grep -iE 'error|fail' "$work/io" || die 'qemu-io'
"$img" convert -n -f raw --target-image-opts "$work/in" "$options"
cmp "$work/in" "$work/disk"
close_doors
