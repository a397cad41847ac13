#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# qemu-storage-daemon's disk for a guest: its root is there, and on the second
# partition it makes a file system, fills it, verifies it. What it wrote is in
# the image, and what libblkio reads through the other door.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: guest-blk.sh STORAGE-QEMU vhost-vdpa|vhost-user QEMU [QUEUES]
#        (STORAGE-QEMU and QEMU: qemu7, qemu10)
. "$(dirname "$(realpath "$0")")/lib.sh"

tools "$1_storage_daemon" "$3" blkio_copy
door=$2 queues=${4:-1}
# shellcheck disable=SC2034
GUEST_QEMU=${tool_of[$3]} GUEST_ROOT=/dev/vda1 GUEST_SMP=$queues \
	GUEST_TIMEOUT=280
guest_disk "$work/disk"
size=$(stat -c %s "$work/disk")
open_bus
# QEMU 10's vhost-vdpa-device-pci makes rings of 1024 come what may.
serve vb0 "$work/disk" "${tool_of[$1_storage_daemon]}" "num-queues=$queues" \
	queue-size=1024
add vb0
open_door vb0 "$door"
# shellcheck disable=SC2034
case $door in
vhost-vdpa)
	GUEST_PREFIX=("${under[@]}")
	card=(-device "vhost-vdpa-device-pci,vhostdev=$node")
	other=vhost-user
	;;
vhost-user)
	card=(-chardev "socket,id=c0,path=$node" -device "$(
		)vhost-user-blk-pci,chardev=c0,num-queues=$queues,$(
		)disable-legacy=on")
	other=vhost-vdpa
	;;
esac
guest_start "$guest_here/in/blk.sh" /dev/vda2 -- "${card[@]}"
guest_finish || guest_died "status $?"
guest_log | grep -q "^blk: fio verified $queues jobs" ||
	guest_died 'fio did not run on every queue'
guest_log | grep -q '^blk: 40 files verified' || guest_died 'too few files'

cp --sparse=always "$work/disk" "$work/image"
# The two partitions' first sectors, as the disk's own first sector has them.
for entry in 454 470; do
	start=$(od -An -tu4 -j $entry -N 4 "$work/image")
	e2fsck -fn "$work/image?offset=$((start * 512))" ||
		die 'a file system in the image is not clean'
done
open_door vb0 "$other"
copy_out "$work/out"
cmp "$work/image" "$work/out" || die "by $other: another content"
end_server vb0
close_doors
guest_log | grep -a '^blk:'
