#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vdpakit net with a card that is DPDK's: testpmd behind DPDK's vhost library
# sends without end, or counts what it gets.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"
cd "$work"
. "$e2e/testpmd.sh"

start txonly card
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

start rxonly card
"$vdpakit" net send -c 5000 -s 1514 card.sock >said 8>&- || failed 'send'
end
grep -qE 'RX-packets: 5000 ' log || failed 'DPDK counted other than 5000 frames'
