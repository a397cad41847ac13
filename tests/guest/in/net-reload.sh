# SPDX-License-Identifier: BSD-2-Clause
# The same with the driver taken away and put back between rounds.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: net-reload.sh [ROUNDS [COUNT]]

for round in $(seq "${1:-3}"); do
	sh /job/net-loopback.sh "${2:-1000}" || exit 1
	ip link set eth0 down
	modprobe -r virtio_net || exit 1
	[ ! -e /sys/class/net/eth0 ] || exit 1
	modprobe virtio_net || exit 1
	echo "net: reloaded $round"
done
sh /job/net-loopback.sh "${2:-1000}"
