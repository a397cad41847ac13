#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# QEMU 10's vhost-vdpa-device-pci: the guest sees the vDPA device itself.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: qemu-device.sh net|blk split|packed memfd|plain
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$top/tests/guest/lib.sh"

kind=$1 ring=$2 GUEST_RAM=$3
tool qemu10
GUEST_QEMU=$tool
GUEST_DIR=$work/guest GUEST_WORK=$work/share GUEST_REBOOTS=1
mkdir -p "$GUEST_DIR" "$GUEST_WORK"
guest_need

# QEMU takes the device's features as they are: split means not to offer more.
case $kind in
net)
	spec="d0 vdpasim_net mac 52:54:00:12:34:56"
	job=(net-reload.sh 1 500)
	[ "$ring" = packed ] || spec+=" device_features 0x338830028"
	;;
blk)
	spec="d0 vdpasim_blk capacity 128M"
	job=(blk.sh)
	[ "$ring" = packed ] || spec+=" device_features 0x338007646"
	;;
esac
offer "$spec"
guest_boot "$top/tests/guest/in/reboot.sh" 1 "${job[@]}" -- \
	-device vhost-vdpa-device-pci,vhostdev=/dev/vhost-vdpa-0 ||
	guest_died "status $?"
case $kind in
net)
	[ "$(guest_log | grep -c 'received=500 bad=0')" = 4 ] ||
		guest_died 'not every round was whole'
	;;
blk)
	[ "$(guest_log | grep -c 'files verified')" = 2 ] ||
		guest_died 'the disk was not verified on each boot'
	;;
esac
bits=$(guest_log | sed -n 's/^[a-z]*: features //p' | head -n 1)
[ "${bits:34:1}" = "$([ "$ring" = packed ] && echo 1 || echo 0)" ] ||
	die "asked for $ring rings, got features $bits"
guest_log | grep -aE '^(frames|blk:)'
