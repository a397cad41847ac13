#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The network card's own boot ROM, iPXE, drives the device: it names the card,
# and its DHCP requests (broadcast, so the loopback brings them back) count.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: qemu-ipxe.sh qemu7|qemu10 memfd|plain
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$top/tests/guest/lib.sh"

tool "$1"
GUEST_QEMU=$tool GUEST_RAM=$2 GUEST_KERNEL=none
GUEST_DIR=$work/guest
mkdir -p "$GUEST_DIR"
offer "net0 vdpasim_net mac 52:54:00:12:34:56"
guest_start -- -machine graphics=off -boot n \
	-netdev vhost-vdpa,id=n0,vhostdev=/dev/vhost-vdpa-0 \
	-device virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56,disable-legacy=on
# iPXE says so when it has given up on DHCP: by then several requests went out.
for line in 'net0: 52:54:00:12:34:56 using' 'Configuring .*net0' \
	'No configuration methods'
do
	guest_wait_for "$line" || guest_died "iPXE never said $line"
done
count net0 2
guest_qmp quit >/dev/null
guest_finish 2>/dev/null || [ $? = 97 ] || guest_died 'QEMU failed'
guest_log | grep -a 'net0:'
for name in 'rx packets' 'tx packets'; do
	n=$(stat_of "$name")
	[ "$n" -ge 2 ] || die "$name $n"
	echo "$name $n"
done
