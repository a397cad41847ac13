#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two machines, which are namespaces, each with a card that `vdpakit net tap`
# makes its interface; DPDK forwards between the cards. What one sends by TCP,
# in segments that are left to the cards, the other one gets.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"
if [ "${1-}" != inside ]; then
	unshare -rn sh -c ': 3<>/dev/net/tun' 2>"$work/error" ||
		skip "no TAP interfaces: $(cat "$work/error")"
	command -v ip >/dev/null || skip 'ip is not installed'
	unshare -rn bash "$0" inside
	exit
fi
cd "$work"
. "$e2e/testpmd.sh"
start io a b

# join CARD ADDRESS: sets $joined
cat >join <<'JOIN'
join()
{
	mkfifo said
	vdpakit net tap --name "$1" "$work/$1.sock" >said &
	joined=$!
	exec 7<said
	read -r name <&7
	rm said
	[ "$name" = "$1" ]
	ip addr add "$2/24" dev "$1"
}
part()
{
	kill "$joined"
	wait "$joined"
	cat <&7
}
JOIN
cat >other <<'OTHER'
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
. "$work/join"
join b 10.0.0.2
python3 "$e2e/stream" receive 10.0.0.2 16 "$work/listens" &
wait $!
part
OTHER
export work e2e
. "$work/join"
join a 10.0.0.1 || failed 'a: no interface'
mkfifo listens
exec 6<>listens
unshare -n bash "$work/other" >counts 6<&- 7<&- 8>&- &
other=$!
read -r -t 60 _ <&6 || failed 'the other side does not listen'
python3 "$e2e/stream" send 10.0.0.2 16 8>&- || failed 'other bytes arrived'
wait $other || failed "the other side: status $?"
part >>counts
end
[ "$(grep -c ^to_device=[1-9] counts)" = 2 ] || failed "counts: $(cat counts)"
# 16 MiB in frames of 1514 bytes would be 11000 and more.
grep -qE '^to_device=[0-9]{1,4} ' <(tail -n 1 counts) ||
	failed "segments were made by the host: $(cat counts)"
