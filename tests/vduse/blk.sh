#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# qemu-storage-daemon's disk for libblkio, by one door and by the other: what
# was written through one is in the image, and is read through the other. The
# process is one of its own, beside a daemon that runs.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: blk.sh qemu7|qemu10
. "$(dirname "$(realpath "$0")")/lib.sh"

tools "$1_storage_daemon" blkio_copy
qsd=${tool_of[$1_storage_daemon]}
size=32M
open_bus
truncate -s $size "$work/disk"
serve vb0 "$work/disk" "$qsd" num-queues=2
add vb0
is 'type' "$(show vb0 type)" block
is 'management device' "$(show vb0 mgmtdev)" vduse
is 'queues' "$(show vb0 max_vqs)" 2

# round WRITER READER
round()
{
	dd if=/dev/urandom of="$work/in" bs=1M count=${size%M} status=none
	open_door vb0 "$1"
	copy_in "$work/in"
	cmp "$work/in" "$work/disk" || die "by $1: the image differs"
	open_door vb0 "$2"
	copy_out "$work/out"
	cmp "$work/in" "$work/out" || die "by $1, then $2: another content"
}

round vhost-vdpa vhost-user
round vhost-user vhost-vdpa
round vhost-vdpa vhost-vdpa
round vhost-user vhost-user
# Off the bus and on again, with the same process; then another device of the
# same name.
"$vdpakit" dev del vb0
add vb0
round vhost-vdpa vhost-user
end_server vb0
serve vb0 "$work/disk" "$qsd" num-queues=1
add vb0
open_door vb0 vhost-vdpa
copy_out "$work/out"
cmp "$work/in" "$work/out" || die 'by the next process: another content'
end_server vb0
close_doors
