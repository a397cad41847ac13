# SPDX-License-Identifier: BSD-2-Clause
# A network device on a loopback: what drives it, and do frames go round? Each
# CPU sends some, on the queue that is its own where there are several.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: net-loopback.sh [COUNT [WINDOW]]

device=/sys/class/net/eth0/device
[ -e $device ] || { echo 'net: no eth0'; exit 1; }
echo "net: eth0 driver $(basename $(readlink $device/driver))" \
	"mac $(cat /sys/class/net/eth0/address)" \
	"mtu $(cat /sys/class/net/eth0/mtu)"
# Bit 0 comes first.
echo "net: features $(cat $device/features)"
ip link set eth0 up || exit 1
for cpu in $(seq 0 $(($(nproc) - 1))); do
	taskset "$(printf %x $((1 << cpu)))" frames eth0 "${1:-3000}" \
		"${2:-64}" || exit 1
done
