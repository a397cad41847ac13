#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# QEMU's vfio-user-pci: the guest's own virtio-pci driver has a disk. Its root is
# on it, and on its second partition it makes a file system, fills it, verifies
# it. Before that another QEMU was killed outright while it used the disk.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: qemu-blk.sh qemu11 split|packed QUEUES MSI|IO-APIC
. "$(dirname "$(realpath "$0")")/lib.sh"

tool "$1"
# shellcheck disable=SC2034
GUEST_QEMU=$tool GUEST_TIMEOUT=280 GUEST_SMP=$3
ring=$2 queues=$3 kind=$4
[ "$kind" = MSI ] || GUEST_APPEND=pci=nomsi
[ "$ring" = packed ] || keys='device_features b38007e44'
guest_disk "$work/disk"
disk d0 "$work/disk" "$queues" ${keys-}
open_doors
function_of d0

held()
{
	grep -c ' /memfd:' "/proc/$daemon_pid/maps" || true
}
lets_go()
{
	[ "$(held)" = "$before" ]
}
before=$(held)

guest_start "$guest_here/in/blk.sh" /dev/vda2 -- "${function[@]}"
guest_wait_for '^blk: features' || guest_died 'found no disk'
kill -9 "$(cat "$GUEST_DIR/pid")"
guest_finish 2>/dev/null && guest_died 'killed, and yet passed'
wait_for is_free d0
wait_for lets_go # of the killed one's memory

GUEST_ROOT=/dev/vda1 GUEST_HOLD=1
guest_start "$guest_here/in/irq.sh" blk.sh /dev/vda2 -- "${function[@]}"
guest_wait_for '^GUEST-RC=' || guest_died 'never came to its end'
for ((i = 0; i < queues; i++)); do
	[ "$(stat_of d0 $i 'write requests')" -gt 0 ] ||
		guest_died "queue $i was not used"
done
guest_qmp quit >/dev/null
guest_finish || guest_died "status $?"
had_interrupts "$kind"
bits=$(guest_log | sed -n 's/^blk: features //p')
[ "${bits:34:1}" = "$([ "$ring" = packed ] && echo 1 || echo 0)" ] ||
	guest_died "asked for $ring rings, got features $bits"
[ "${bits#* }" = "queues $queues" ] || guest_died "${bits#* }"
guest_log | grep -q "^blk: fio verified $queues jobs" ||
	guest_died 'fio did not run'
e2fsck -fn "$work/disk?offset=1048576" || die 'the root is not clean'
wait_for is_free d0
close_doors
