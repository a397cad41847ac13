#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# QEMU's vhost-user-blk-pci: the guest's root is on the disk, and on its second
# partition the guest makes a file system, fills it, verifies it.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: qemu-blk.sh qemu7|qemu10 split|packed QUEUES
. "$(dirname "$(realpath "$0")")/lib.sh"

tool "$1"
# shellcheck disable=SC2034
GUEST_QEMU=$tool GUEST_TIMEOUT=280 GUEST_SMP=$3 GUEST_ROOT=/dev/vda1 GUEST_HOLD=1
ring=$2 queues=$3
guest_disk "$work/disk"
disk d0 "$work/disk" "$queues"
open_doors
card=vhost-user-blk-pci,chardev=c0,num-queues=$queues,disable-legacy=on
[ "$ring" = split ] || card+=,packed=on
guest_start "$guest_here/in/blk.sh" /dev/vda2 -- \
	-chardev "socket,id=c0,path=$work/d0.sock" -device "$card"
guest_wait_for '^GUEST-RC=' || guest_died 'never came to its end'
for ((i = 0; i < queues; i++)); do
	[ "$(stat_of d0 $i 'write requests')" -gt 0 ] ||
		guest_died "queue $i was not used"
done
guest_qmp quit >/dev/null
guest_finish || guest_died "status $?"
bits=$(guest_log | sed -n 's/^blk: features //p')
[ "${bits:34:1}" = "$([ "$ring" = packed ] && echo 1 || echo 0)" ] ||
	guest_died "asked for $ring rings, got features $bits"
[ "${bits#* }" = "queues $queues" ] || guest_died "${bits#* }"
guest_log | grep -q "^blk: fio verified $queues jobs" ||
	guest_died 'fio did not run'
e2fsck -fn "$work/disk?offset=1048576" || die 'the root is not clean'
close_doors
