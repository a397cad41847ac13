#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vdpakit net tap, in a namespace of its own: what the host sends through a card
# that loops comes back to it.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"
if [ "${1-}" != inside ]; then
	unshare -rn true 2>"$work/error" ||
		skip "no namespace of one's own: $(cat "$work/error")"
	unshare -rn sh -c ': 3<>/dev/net/tun' 2>"$work/error" ||
		skip "no TAP interfaces: $(cat "$work/error")"
	command -v ip >/dev/null || skip 'ip is not installed'
	unshare -rn bash "$0" inside
	exit
fi
cd "$work"
mac=52:54:00:12:34:56

# join OPTION... DEVICE: sets $name and $joined once frames can pass
join()
{
	rm -f said
	mkfifo said
	# Not bash's child as it is, which would have SIGINT ignored.
	env --default-signal=INT "$vdpakit" net tap "$@" >said &
	joined=$!
	exec 7<said
	read -r name <&7 || die "tap: no interface for '$*'"
}
# part SIGNAL: sets $counts
part()
{
	kill "-$1" "$joined"
	wait "$joined" || die "tap: SIG$1: status $?"
	read -r counts <&7 || die 'tap: no counts'
	exec 7<&-
	! grep -q "^ *$name:" /proc/net/dev || die "$name is still there"
}

join "vdpasim_net mac=$mac mtu=9000"
"$e2e/packets" "$name" $mac 9000 || die 'one pair'
part TERM
[[ $counts =~ ^to_device=([0-9]+)\ to_host=([0-9]+)\ dropped=[0-9]+$ ]] &&
	[ "${BASH_REMATCH[1]}" -ge 1005 ] && [ "${BASH_REMATCH[2]}" -ge 1005 ] ||
	die "counts: $counts"

join --name wire0 "net backend=loopback max_vqp=4 mac=$mac"
[ "$name" = wire0 ] || die "name: $name"
"$e2e/packets" wire0 $mac 1500 || die 'four pairs'
refused 'there is an interface of that name' \
	"$vdpakit" net tap -n wire0 "vdpasim_net mac=$mac"
part INT

join "net backend=loopback max_vqp=2 mac=$mac" 2>error
ip link del "$name"
! wait "$joined" || die 'tap goes on without an interface'
exec 7<&-
grep -qx 'vdpakit: net tap: .*: the interface was deleted' error ||
	die "without an interface: $(cat error)"

refused 'there is an interface of that name' \
	"$vdpakit" net tap --name lo "vdpasim_net mac=$mac"
refused "no interface's name" "$vdpakit" net tap --name '' vdpasim_net
refused "no interface's name" "$vdpakit" net tap --name a/b vdpasim_net
refused "no interface's name" \
	"$vdpakit" net tap --name abcdefghijklmnop vdpasim_net
refused 'CAP_NET_ADMIN' setpriv --bounding-set=-net_admin \
	"$vdpakit" net tap "vdpasim_net mac=$mac"
refused 'DEVICE' "$vdpakit" net tap
