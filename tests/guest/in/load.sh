# SPDX-License-Identifier: BSD-2-Clause
# Numbered blocks to a disk, and numbered frames if there is a network card,
# until the second serial port says stop.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: load.sh [DEVICE [THREADS]]

frames=
if [ -e /sys/class/net/eth0 ]; then
	ip link set eth0 up || exit 1
	while [ ! -e /tmp/stop ]; do
		frames eth0 500 || exit 1
	done &
	frames=$!
fi
slots "${1:-/dev/vda}" "${2:-8}" </dev/ttyS1
rc=$?
touch /tmp/stop
if [ "$frames" ]; then
	wait "$frames" || { echo 'load: frames were lost'; rc=1; }
fi
exit $rc
