#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A guest's virtio_net on QEMU's -netdev vhost-vdpa: frames go round before and
# after the driver is taken away and put back, and after the guest reboots.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: qemu-net.sh qemu7|qemu10 split|packed direct|svq memfd|plain
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$top/tests/guest/lib.sh"

qemu=$1 ring=$2 path=$3 GUEST_RAM=$4
frames=500
tool "$qemu"
GUEST_QEMU=$tool
GUEST_DIR=$work/guest GUEST_WORK=$work/share GUEST_REBOOTS=1
mkdir -p "$GUEST_DIR" "$GUEST_WORK"
guest_need

spec="net0 vdpasim_net mac 52:54:00:12:34:56"
netdev=vhost-vdpa,id=n0,vhostdev=/dev/vhost-vdpa-0
card=virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56,disable-legacy=on,romfile=
[ "$ring" = split ] || card+=,packed=on
if [ "$path" = svq ]; then
	# QEMU's shadow rings are split, and it refuses a device that offers
	# more (bits 28, 34 and 35).
	spec+=" device_features 0x328830028"
	netdev+=,x-svq=on
fi
offer "$spec"
boot_and_count net0 2 "$top/tests/guest/in/reboot.sh" 1 net-reload.sh 1 \
	$frames -- -netdev "$netdev" -device "$card"
# Two boots, each with a reload between two rounds.
[ "$(guest_log | grep -c "sent=$frames received=$frames bad=0")" = 4 ] ||
	guest_died 'not every round was whole'
for name in 'rx packets' 'tx packets'; do
	n=$(stat_of "$name")
	[ "$n" -ge $((4 * frames)) ] || die "$name $n after 4 times $frames"
done
bits=$(guest_log | sed -n 's/^net: features //p' | head -n 1)
[ "${bits:34:1}" = "$([ "$ring" = packed ] && echo 1 || echo 0)" ] ||
	die "asked for $ring rings, got features $bits"
guest_log | grep -a '^frames'
