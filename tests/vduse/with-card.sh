#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Run a command with a network card that DPDK's vhost library makes, through
# VDUSE or as a vhost-user back end: what it is sent, it sends back.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: vdpakit run ... -- with-card.sh TESTPMD NAME PAIRS LOG COMMAND...
#
# NAME is that of a VDUSE device, or the path of a vhost-user socket. TESTPMD is of
# DPDK 23.07 or later then: 22.11 does not know VDUSE; and NAME has to be nobody
# else's, as a file of that name is in one folder of the whole machine.
# Gives COMMAND's status. LOG gets what testpmd says: with what it counted, at
# its end.
set -euo pipefail

testpmd=$1 name=$2 pairs=$3 log=$4
shift 4
options=()
iface=/dev/vduse/$name dev=$name
add=(mgmtdev vduse)
case $name in
/*)
	iface=$name dev=card0
	add=(mgmtdev vhost_user type net path "$name" mac 52:54:00:12:34:56)
	;;
esac
# Where not every driver is loaded by itself.
driver=$(echo "$(dirname "$testpmd")"/usr/lib/*/dpdk/pmds-*/librte_net_vhost.so)
[ ! -e "$driver" ] || options+=(-d "$driver")

# Interactive or not, the end of its input is its end.
mkfifo "$log.in"
exec 8<>"$log.in"
"$testpmd" --no-huge -m 256 --no-pci -l 0,1 --file-prefix "vdpakit-${name//\//_}" \
	"${options[@]}" \
	--vdev "net_vhost0,iface=$iface,queues=$pairs" -- \
	--forward-mode=io --total-num-mbufs=8192 --disable-link-check \
	--rxq="$pairs" --txq="$pairs" <&8 >"$log" 2>&1 8>&- &
server=$!
end()
{
	local status=0

	kill "$server" || true
	wait "$server" || status=$?
	exec 8>&-
	[ "$name" != "$dev" ] ||
		rm -f "/var/run/vduse/$name" "${XDG_RUNTIME_DIR-}/vduse/$name"
	return $status
}
vdpakit dev add name "$dev" "${add[@]}" wait 60 || { end; exit 1; }
status=0
"$@" 8>&- || status=$?
vdpakit dev del "$dev"
# DPDK 24.11 was seen to crash when it is told to end while it takes leave of a
# vhost-user front end. By then it has said all that it has counted.
end || [ "$name" != "$dev" ] ||
	{ echo "testpmd ended with status $?" >&2; exit 1; }
exit $status
