#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vdpakit net with a card that is DPDK's: testpmd behind DPDK's vhost library
# sends without end, or counts what it gets.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"
cd "$work"
tool testpmd24
testpmd=$tool
options=()
# Where not every driver is loaded by itself.
driver=$(echo "$(dirname "$testpmd")"/usr/lib/*/dpdk/pmds-*/librte_net_vhost.so)
[ ! -e "$driver" ] || options+=(-d "$driver")

# start MODE: until it forwards: its socket is there before it listens
start()
{
	local deadline=$((SECONDS + 60))

	rm -f card.sock log.in
	: >log
	# The end of its input is its end.
	mkfifo log.in
	exec 8<>log.in
	stdbuf -oL "$testpmd" --no-huge -m 128 --no-pci -l 0,1 \
		--file-prefix "vdpakit-net$$" "${options[@]}" \
		--vdev "net_vhost0,iface=$work/card.sock" -- \
		--forward-mode="$1" --total-num-mbufs=4096 \
		--disable-link-check <&8 >log 2>&1 8>&- &
	server=$!
	until grep -q 'Press enter to exit' log; do
		kill -0 "$server" || failed 'testpmd did not start'
		[ $SECONDS -lt $deadline ] || failed 'testpmd is not ready'
	done
}
end()
{
	kill "$server"
	wait "$server" || failed "testpmd: status $?"
	exec 8>&-
}
failed()
{
	cat log >&2
	die "$@"
}

start txonly
"$vdpakit" net dump -c 50 card.sock >out 8>&- || failed 'no lines'
line='^[0-9:]{8}\.[0-9]{6} 64 bytes ([0-9a-f:]{17}) > 02:00:00:00:00:00 0x0800 IPv4$'
[ "$(grep -cE "$line" out)" = 50 ] || failed "dump says: $(cat out)"
"$vdpakit" net dump -c 1000 -w out card.sock >said 8>&- || failed 'no file'
[ "$(cat said)" = '1000 frames' ] || failed "dump says: $(cat said)"
[ "$("$e2e/pcap" frames out | grep -cE '^020000000000.{12}08004500.{96}$')" = \
	1000 ] || failed 'the file has other frames'
"$vdpakit" net dump -c 10 -w - card.sock 8>&- | cat >out
[ "$("$e2e/pcap" frames out | wc -l)" = 10 ] || failed 'dump -w -'
end

start rxonly
"$vdpakit" net send -c 5000 -s 1514 card.sock >said 8>&- || failed 'send'
end
grep -qE 'RX-packets: 5000 ' log || failed 'DPDK counted other than 5000 frames'
