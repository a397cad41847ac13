#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Cards of others under vdpakit's own network driver: frames of all sizes, with
# and without offloads, come back as they were sent.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: net-frames.sh CARD split|packed WITHOUT plain|offloads|segments
#
# CARD is testpmd22 or testpmd24: DPDK's vhost library on a vhost-user socket;
# vduse: the same of testpmd24 on VDUSE, and its vhost-vdpa node; or bridge: the
# node of a loopback of another vdpakit. WITHOUT are feature bits that the driver
# does not take, hexadecimal: 8000 is MRG_RXBUF. With offloads checksums are left
# to the card, and with segments the cutting into packets, too.
. "$(dirname "$(realpath "$0")")/lib.sh"

card=$1
shift
what=$3
mac=52:54:00:12:34:56
client=$build/tests/e2e/nic_frames
node="n0 vhost_vdpa path /dev/vhost-vdpa-0"

# DPDK's card on a socket, in the background; its end is that of its input.
start_testpmd()
{
	local driver options=() args=net_vhost0,iface=$work/card.sock,queues=1

	[ "$what" != segments ] || args+=,tso=1,legacy-ol-flags=1
	# Where not every driver is loaded by itself.
	driver=$(echo "$(dirname "$tool")"/usr/lib/*/dpdk/pmds-*/librte_net_vhost.so)
	[ ! -e "$driver" ] || options+=(-d "$driver")
	mkfifo "$work/in"
	exec 8<>"$work/in"
	"$tool" --no-huge -m 256 --no-pci -l 0,1 --file-prefix "vdpakit$$" \
		"${options[@]}" --vdev "$args" -- --forward-mode=io \
		--total-num-mbufs=8192 --disable-link-check \
		<&8 >"$work/log" 2>&1 8>&- &
}

case $card in
testpmd*)
	tool "$card"
	start_testpmd
	run=("$client" "n0 vhost_user path $work/card.sock type net mac $mac wait 60")
	;;
vduse)
	tool testpmd24
	run=("$vdpakit" run --log "${E2E_LOG:-warn}" -- \
		"$top/tests/vduse/with-card.sh" "$tool" "frames$$" 1 "$work/log" \
		"$client" "$node")
	;;
bridge)
	run=("$vdpakit" run --log "${E2E_LOG:-warn}" --dev
		"x0 net backend loopback mac $mac mtu 65535" -- "$client" "$node")
	;;
*)
	die "no such card: $card"
	;;
esac

status=0
said=$(timeout 100 "${run[@]}" "$@" 8>&-) || status=$?
if [ $status != 0 ]; then
	[ ! -e "$work/log" ] || tail -n 50 "$work/log" >&2
	die "the client ended with status $status: $said"
fi
echo "$said"
case $what in
plain)
	[[ $said =~ \ asking\ 0\ gso\ 0\  ]] ||
		die 'frames came back with something to do'
	;;
segments)
	[[ $said =~ \ asking\ [1-9][0-9]*\ gso\ [1-9] ]] ||
		die 'no segments came back'
	;;
esac
