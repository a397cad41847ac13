#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# qemu-storage-daemon's vhost-user disk for libblkio, by one door and by the
# other: what was written through one is in the image, and is read through the
# other. Its process is killed, also while a client uses it, and another one goes
# on: the device stays. So for drivers of ours, in the daemon's stead.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: blk.sh qemu7|qemu10
. "$(dirname "$(realpath "$0")")/lib.sh"

tools "$1_storage_daemon" blkio_copy blkio_bench
qsd=${tool_of[$1_storage_daemon]}
size=32M
open_bus
truncate -s $size "$work/disk"
status_is 1 bridge vb0
has 'nobody there' "$err" 'start the back end first'
export_disk vb0 "$work/disk" "$qsd" num-queues=2
bridge vb0
is 'type' "$(show vb0 type)" block
is 'management device' "$(show vb0 mgmtdev)" vhost_user
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
# Idle, and in use.
kill_server vb0
export_disk vb0 "$work/disk" "$qsd" num-queues=2
round vhost-vdpa vhost-vdpa
open_door vb0 vhost-vdpa
"${under[@]}" "${tool_of[blkio_bench]}" --runtime=60 "${blkio[@]}" \
	>"$work/bench" 2>&1 &
bench=$!
busy()
{
	[ "$(stat_of vb0 0 backend_regions)" -gt 0 ]
}
wait_for busy
kill_server vb0
is_lost()
{
	[ "$(stat_of vb0 0 backend_lost)" = 1 ]
}
wait_for is_lost
# Or it has given up by itself, if it was about to begin.
kill "$bench" 2>/dev/null || true
wait "$bench" || true
export_disk vb0 "$work/disk" "$qsd" num-queues=2
round vhost-vdpa vhost-user
"$vdpakit" dev del vb0
bridge vb0 bounce on bounce_size 8M
round vhost-vdpa vhost-user
"$vdpakit" dev del vb0
"$vdpakit" blk read "vhost_user path $work/vb0.back type blk" "$work/by-us"
cmp "$work/in" "$work/by-us" || die 'by our own driver: another content'
# That was meant.
sed -i "/the back end at .* is lost: /d" "$work/log"
close_doors
