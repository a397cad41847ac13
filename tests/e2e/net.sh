#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vdpakit net: frames are sent, come back, and are written as they were.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"
cd "$work"
pcap=$e2e/pcap
# Sends back what is to its own address.
card='vdpasim_net mac=52:54:00:12:34:56'

# wait_for FILE BYTES: until it has so many
wait_for()
{
	local deadline=$((SECONDS + 60))

	until [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -ge "$2" ]; do
		[ $SECONDS -lt $deadline ] || die "$1 never had $2 bytes"
	done
}

# Of files of all forms.
for form in '<us' '>us' '<ns' '>ns'; do
	"$pcap" make "$form" 100 in
	"$vdpakit" net send --echo -w out "$card" in >said
	grep -q '^100 frames, .* all came back$' said || die "$form: $(cat said)"
	cmp <("$pcap" frames in) <("$pcap" frames out) ||
		die "$form: other frames came back"
	"$vdpakit" net send -e -w again "$card" - <out >said
	cmp <("$pcap" frames in) <("$pcap" frames again) ||
		die "$form: what was written cannot be read"
done

# Made up: each is another one; more than there are buffers; all sizes.
"$vdpakit" net send -e -c 3 -s 25 -w out "$card"
{
	for i in 0 1 2; do
		printf '5254001234565254001234568'
		printf '8b5%016x%02x%02x%02x\n' $i $((22 + i)) $((23 + i)) \
			$((24 + i))
	done
} >want
cmp want <("$pcap" frames out) || die 'made up otherwise'
for size in 22 60 1514 9000 65553; do
	"$vdpakit" net send -e -c 400 -s $size "$card mtu=65535" >said
	[ "$(cat said)" = "400 frames, $((400 * size)) bytes, all came back" ] ||
		die "size $size: $(cat said)"
done
"$vdpakit" net send -c 1 -t ff:ff:ff:ff:ff:ff 'net backend=loopback' >said
[ "$(cat said)" = '1 frame, 60 bytes' ] || die "one frame: $(cat said)"
refused 'frame 1 did not come back within 1 s' "$vdpakit" net send -e \
	--timeout 1 -t 52:54:00:12:34:57 "$card"

# A dump has its header at once, and ends at a signal.
for signal in INT TERM; do
	rm -f out
	# Not bash's child, which would have SIGINT ignored.
	env --default-signal=INT "$vdpakit" net dump -w out "$card" >said &
	wait_for out 24
	kill -$signal $!
	wait $! || die "dump: SIG$signal: status $?"
	[ "$(cat said)" = '0 frames' ] || die "dump says: $(cat said)"
	[ "$("$pcap" frames out)" = '' ] || die 'dump made something up'
done

info=$("$vdpakit" net info -j 'net backend=loopback max_vqp=4 mtu=9000')
[ "$(jq -r '"\(.pairs) \(.mtu) \(.link)"' <<<"$info")" = '4 9000 up' ] ||
	die "info -j: $info"
[[ $("$vdpakit" net info "$card") == 'mac 52:54:00:12:34:56'* ]] ||
	die 'info'

"$vdpakit" net bench --seconds 1 "$card" >out
grep -q '^seconds=.* loopback=0' out || die "bench says: $(cat out)"
"$vdpakit" net bench --seconds 1 -j -l --pairs 2 -s 1514 \
	'net backend=loopback max_vqp=2 mac=52:54:00:12:34:56' >out
[ "$(jq '.frames > 0 and .pairs == 2 and .lost == 0 and
	.received == .frames' out)" = true ] || die "bench says: $(cat out)"

# Files that are none, or not whole.
"$pcap" make '<us' 3 in
head -c -1 in >cut
refused 'cut ends within a frame' "$vdpakit" net send "$card" cut
head -c 30 in >cut
refused 'cut ends within a frame' "$vdpakit" net send "$card" cut
: >cut
refused 'cut is empty' "$vdpakit" net send "$card" cut
head -c 5 in >cut
refused 'ends within' "$vdpakit" net send "$card" cut
printf '%24s' '' >cut
refused 'cut is no pcap file' "$vdpakit" net send "$card" cut
{ printf '\x0a\x0d\x0d\x0a'; tail -c +5 in; } >cut
refused 'pcapng' "$vdpakit" net send "$card" cut
{ head -c 20 in; printf '\x65\0\0\0'; } >cut
refused 'link type 101' "$vdpakit" net send "$card" cut
frame()
{
	head -c 24 in
	printf '\0\0\0\0\0\0\0\0%b%b%100s' "$1" "$2" ''
}
frame '\x0d\0\0\0' '\x0d\0\0\0' >cut
refused 'frame 1 has 13 bytes, not 14 to' "$vdpakit" net send "$card" cut
frame '\0\0\0\x80' '\0\0\0\x80' >cut
refused 'frame 1 has 2147483648 bytes' "$vdpakit" net send "$card" cut
frame '\x40\0\0\0' '\x41\0\0\0' >cut
refused 'only 64 of 65 bytes' "$vdpakit" net send "$card" cut
refused 'No such file' "$vdpakit" net send "$card" none
refused 'No such file' "$vdpakit" net dump -w none/out "$card"
refused 'No space' "$vdpakit" net dump -w /dev/full "$card"

refused "frame 1: card.vq1: the frame is longer" \
	"$vdpakit" net send -s 1600 "$card"
refused '--size' "$vdpakit" net bench -s 1600 "$card"
refused '--size: 21 is too few' "$vdpakit" net send -s 21 "$card"
refused '--count' "$vdpakit" net send -c 0 "$card"
refused '--to' "$vdpakit" net send -t 52:54 "$card"
refused 'are of frames that are made up' "$vdpakit" net send -c 1 "$card" in
refused '--write is with --echo' "$vdpakit" net send -w out "$card" in
refused '--promisc' "$vdpakit" net dump --promisc "$card"
refused '--depth' "$vdpakit" net bench -d 0 "$card"
refused 'DEVICE' "$vdpakit" net info
refused 'DEVICE' "$vdpakit" net dump "$card" "$card"
refused 'no option --fast' "$vdpakit" net send --fast "$card"
refused 'no command' "$vdpakit" net dance "$card"
refused 'no network device' "$vdpakit" net info 'vdpasim_blk'
refused 'neither a vhost-vdpa node' "$vdpakit" net info "$work/in"
refused 'no management device nonesuch' "$vdpakit" -s "$work/none" net info \
	nonesuch

# Of a daemon: by node, by socket, by name with the preload library or without.
cat >job <<'JOB'
set -euo pipefail
for device in n0 n1 /dev/vhost-vdpa-0 n1.sock; do
	vdpakit net send -e "$device" in | grep -q '^3 frames.*all came back'
	vdpakit net send -e -c 300 -s 1400 "$device" >/dev/null
done
unset LD_PRELOAD VDPAKIT_SOCKET
vdpakit net info n0 | grep -q '^pairs 2$'
vdpakit net send -e n0 - <in >/dev/null
JOB
"$vdpakit" run \
	--dev "n0 net backend loopback max_vqp 2 mac 52:54:00:12:34:56" \
	--dev "n1 $card bind vhost_user path $work/n1.sock" \
	-- bash "$work/job" || die 'of a daemon'
