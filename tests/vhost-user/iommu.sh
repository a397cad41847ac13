#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A guest with a vIOMMU: QEMU translates for the disk, address by address, as
# the back end asks for it.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: iommu.sh qemu7|qemu10 split|packed
. "$(dirname "$(realpath "$0")")/lib.sh"

tool "$1"
# shellcheck disable=SC2034
GUEST_QEMU=$tool GUEST_TIMEOUT=280 GUEST_ROOT=/dev/vda1 GUEST_HOLD=1 \
	GUEST_APPEND="intel_iommu=on iommu.strict=1"
ring=$2 door_keys="iommu on"
guest_disk "$work/disk"
disk d0 "$work/disk" 1
open_doors
card=vhost-user-blk-pci,chardev=c0,num-queues=1,disable-legacy=on
card+=,iommu_platform=on,ats=on
[ "$ring" = split ] || card+=,packed=on
guest_start "$guest_here/in/blk.sh" /dev/vda2 -- \
	-device intel-iommu,device-iotlb=on \
	-chardev "socket,id=c0,path=$work/d0.sock" -device "$card"
guest_wait_for '^GUEST-RC=' || guest_died 'never came to its end'
guest_qmp quit >/dev/null
guest_finish || guest_died "status $?"
bits=$(guest_log | sed -n 's/^blk: features //p')
[ "${bits:33:2}" = "1$([ "$ring" = packed ] && echo 1 || echo 0)" ] ||
	guest_died "asked for a vIOMMU and $ring rings, got features $bits"
guest_log | grep -q "^blk: fio verified 1 jobs" || guest_died 'fio did not run'
e2fsck -fn "$work/disk?offset=1048576" || die 'the root is not clean'
close_doors
