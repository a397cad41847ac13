#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# DPDK's virtio-user on a network device: what testpmd sends comes back and is
# sent again, also after its port was stopped and started.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: dpdk.sh DOOR testpmd22|testpmd24 split|packed [OPTION=VALUE...]
#
# DOOR is vhost-vdpa; vhost-user, where vdpakit listens and testpmd connects;
# vhost-user-server, the other way round; or vduse, or bridge: as vhost-vdpa, but
# the card is another testpmd's, by VDUSE or by vhost-user. OPTIONs are those of net_virtio_user: in_order, mrg_rxbuf,
# vectorized.
. "$(dirname "$(realpath "$0")")/lib.sh"

door=$1
tool "$2"
testpmd=$tool
mac=52:54:00:12:34:56
spec="net0 vdpasim_net mac $mac"
device=net_virtio_user0,mac=$mac,queue_size=256
run=("$vdpakit" run --log "${E2E_LOG:-warn}")
case $door in
vhost-vdpa | vduse | bridge)
	device+=,path=/dev/vhost-vdpa-0
	;;
vhost-user)
	device+=,path=$work/net0.sock
	spec+=" bind vhost_user path $work/net0.sock"
	;;
vhost-user-server)
	device+=,path=$work/net0.sock,server=1
	spec+=" bind vhost_user path $work/net0.sock server off"
	spec+=" reconnect_ms 50"
	;;
esac
card=
case $door in
vduse) card=card$$ ;;
bridge) card=$work/card.sock ;;
esac
if [ "$card" ]; then
	[ "$door" = bridge ] || tool testpmd24
	run+=(-- "$top/tests/vduse/with-card.sh" "$tool" "$card" 1
		"$work/card")
else
	run+=(--dev "$spec" --)
fi
ring=$3
[ "$ring" = split ] || device+=,packed_vq=1
shift 3
eal=(--no-huge -m 256 --no-pci -l 0,1 --file-prefix "vdpakit$$"
	--log-level=pmd.net.virtio.*:info)
# Which of its receive functions DPDK has to choose then. Not told otherwise, it
# asks for in_order.
case $ring,$* in
split,*vectorized=1*)
	path='using vectorized Rx'
	;;
split,*in_order=0*)
	path='using (standard|mergeable buffer) Rx'
	;;
split,*)
	path='using inorder Rx'
	;;
packed,*vectorized=1*)
	path='using packed ring vectorized Rx'
	grep -qw avx512f /proc/cpuinfo ||
		skip 'DPDK vectorizes packed rings with AVX-512 only'
	;;
packed,*)
	path='using packed ring (standard|mergeable buffer) Rx'
	;;
esac
for option; do
	device+=,$option
	[ "$option" != vectorized=1 ] || eal+=(--force-max-simd-bitwidth=512)
done

# The loopback takes frames to the device's own address.
coproc pmd { exec timeout 100 "${run[@]}" stdbuf -oL "$testpmd" "${eal[@]}" \
	--vdev "$device" -- -i --forward-mode=io --eth-peer=0,$mac \
	--total-num-mbufs=4096 2>&1; }
pmd_pid=$pmd_PID

failed()
{
	cat "$work/log" >&2
	[ ! -e "$work/card" ] || cat "$work/card" >&2
	die "$@"
}

# expect REGEX: reads on until what testpmd said since the last match has it.
expect()
{
	local char said=

	while IFS= read -r -d '' -n 1 -t 60 -u "${pmd[0]}" char; do
		said+=$char
		printf %s "$char" >>"$work/log"
		[[ ! $said =~ $1 ]] || return 0
	done
	failed "testpmd never said $1"
}
tell()
{
	echo "$1" >&"${pmd[1]}"
}
received()
{
	tell 'show port stats 0'
	expect 'RX-packets: ([0-9]+)[^0-9]'
	n=${BASH_REMATCH[1]}
}
# More frames than were ever put in must come back: they go round.
go_round()
{
	local before deadline=$((SECONDS + 20))

	received
	before=$n
	tell 'start tx_first 4'
	while received && [ $((n - before)) -lt 20000 ]; do
		[ $SECONDS -lt $deadline ] ||
			failed "only $((n - before)) frames came back"
	done
	tell stop
	expect 'Done\.'
}

expect 'Port 0: 52:54:00:12:34:56'
for round in 1 2 3; do
	go_round
	tell 'port stop 0'
	expect 'Done'
	tell 'port start 0'
	expect 'Done'
done
go_round
received
echo "rx $n"
tell quit
exec {pmd[1]}>&- || true
cat <&"${pmd[0]}" >>"$work/log"
wait "$pmd_pid" || failed "testpmd ended with status $?"
grep -E 'path on port' "$work/log" | sort -u
if [ "$card" ]; then
	# Both sides have counted, the card until its end.
	n_card=$(sed -n 's/^ *RX-packets: \([0-9]*\).*/\1/p' "$work/card" |
		tail -n 1)
	[ "${n_card:-0}" -ge "$n" ] || failed "the card saw ${n_card:-0} frames"
	echo "card: $n_card frames"
fi
grep -qE "$path" "$work/log" || failed "DPDK is not $path"
