#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Clients that end with requests under way, one after the other: the storage
# daemon, which would end by an assertion if it were reset then, lives on.
#
# usage: ends.sh qemu7|qemu10
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

tools "$1_storage_daemon" blkio_bench blkio_copy
size=8M
open_bus
truncate -s $size "$work/disk"
serve vb0 "$work/disk" "${tool_of[$1_storage_daemon]}" num-queues=2
add vb0
open_door vb0 vhost-vdpa
for ((i = 0; i < 6; i++)); do
	# It gives up after half a second without an answer, which a busy
	# machine may take: an end like any other.
	"${under[@]}" "${tool_of[blkio_bench]}" --runtime=1 --iodepth=16 \
		--readwrite=randread "${blkio[@]}" >/dev/null || true
done
dd if=/dev/urandom of="$work/in" bs=1M count=${size%M} status=none
copy_in "$work/in"
cmp "$work/in" "$work/disk" || die 'the image differs'
end_server vb0
