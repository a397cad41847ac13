#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# qemu-storage-daemon's vhost-user disk for a guest that knows vhost-vdpa only:
# its root is there, and on the second partition it makes a file system, fills
# it, verifies it. What it wrote is in the image. The back end has mapped the
# guest's memory itself.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: guest-blk.sh STORAGE-QEMU QEMU [QUEUES] (both: qemu7, qemu10)
. "$(dirname "$(realpath "$0")")/lib.sh"

tools "$1_storage_daemon" "$2"
queues=${3:-1}
# shellcheck disable=SC2034
GUEST_QEMU=${tool_of[$2]} GUEST_ROOT=/dev/vda1 GUEST_SMP=$queues \
	GUEST_TIMEOUT=280 GUEST_HOLD=1
guest_disk "$work/disk"
open_bus
export_disk vb0 "$work/disk" "${tool_of[$1_storage_daemon]}" \
	"num-queues=$queues"
bridge vb0
open_door vb0 vhost-vdpa
# shellcheck disable=SC2034
GUEST_PREFIX=("${under[@]}")
guest_start "$guest_here/in/blk.sh" /dev/vda2 -- \
	-device "vhost-vdpa-device-pci,vhostdev=$node"
guest_wait_for '^GUEST-RC=' || guest_died 'never came to its end'
maps=$(grep -c memfd: "/proc/${server_pid[vb0]}/maps") ||
	guest_died 'the back end maps nothing of the guest'
guest_qmp quit >/dev/null
guest_finish || guest_died "status $?"
guest_log | grep -q "^blk: fio verified $queues jobs" ||
	guest_died 'fio did not run on every queue'
guest_log | grep -q '^blk: 40 files verified' || guest_died 'too few files'
# The two partitions' first sectors, as the disk's own first sector has them.
for entry in 454 470; do
	start=$(od -An -tu4 -j $entry -N 4 "$work/disk")
	e2fsck -fn "$work/disk?offset=$((start * 512))" ||
		die 'a file system in the image is not clean'
done
"$vdpakit" dev del vb0
close_doors
guest_log | grep -a '^blk:'
echo "back end: $maps mappings of the guest's memory"
