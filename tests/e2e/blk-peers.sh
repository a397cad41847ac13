#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vdpakit blk, our own virtio driver, on disks of qemu-storage-daemon: what is
# written is in the image file, what is discarded reads as zeroes, and all of it
# comes out again.
#
# usage: blk-peers.sh vhost-user|vduse      how the disk is offered
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

kind=$1
command -v qemu-storage-daemon >/dev/null ||
	skip 'qemu-storage-daemon is not installed (scripts/setup test)'
cat >"$work/job" <<'JOB'
set -euo pipefail
kind=$1 work=$2
export TMPDIR=$work
case $kind in
vhost-user)
	device=$work/socket
	export="type=vhost-user-blk,addr.type=unix,addr.path=$device"
	;;
vduse)
	device=vb0
	export="type=vduse-blk,name=vb0"
	;;
esac
qemu-storage-daemon --daemonize --pidfile "$work/pid" \
	--blockdev "file,node-name=f,filename=$work/image,locking=off,discard=unmap" \
	--export "$export,id=e,node-name=f,writable=on,num-queues=2"
trap 'kill "$(<"$work/pid")"; tail --pid="$(<"$work/pid")" -f /dev/null' EXIT
[ "$kind" = vhost-user ] || vdpakit dev add name vb0 mgmtdev vduse

vdpakit blk info "$device" | tee "$work/info"
vdpakit blk copy --dense -t 2 "$work/in" "$device"
cmp "$work/in" "$work/image"
vdpakit blk copy -t 2 "$device" "$work/out"
cmp "$work/in" "$work/out"
# With holes: these are zeroes on the disk, by discard or by write zeroes.
vdpakit blk write "$device" "$work/sparse"
cmp "$work/sparse" "$work/image"
vdpakit blk read "$device" | cmp - "$work/sparse"
vdpakit blk bench -j -s 1 -w 30 "$device" >"$work/bench"
JOB
dd if=/dev/urandom of="$work/in" bs=1M count=16 status=none
truncate -s 16M "$work/image" "$work/sparse"
dd if="$work/in" of="$work/sparse" bs=1M count=2 seek=7 conv=notrunc status=none
timeout -k 5 100 "$vdpakit" run -- bash "$work/job" "$kind" "$work"
grep -q '^capacity 16777216$' "$work/info" || die "capacity: $(<"$work/info")"
[ "$(jq '.requests > 0 and .errors == 0' "$work/bench")" = true ] ||
	die "bench: $(<"$work/bench")"
