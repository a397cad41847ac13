#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The daemon is killed outright while a guest writes numbered blocks; QEMU
# connects to the next one with what was in flight, and the guest goes on: it
# finds every block as it was acknowledged last (H73).
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: kill.sh qemu7|qemu10 split|packed random ROUNDS
#        kill.sh qemu7|qemu10 split|packed handshake
#
# "random": at any moment of writing. "handshake": as well, and each time again
# while QEMU introduces itself to the next daemon, first at its first message,
# then at its second, and so on, until there are no more.
. "$(dirname "$(realpath "$0")")/lib.sh"

tool "$1"
# shellcheck disable=SC2034
GUEST_QEMU=$tool GUEST_TIMEOUT=${KILL_TIMEOUT:-280}
ring=$2 moments=$3 rounds=${4-}
queues=2 GUEST_SMP=2
progress='^slots: [0-9]+ so far'
reconnect=reconnect=1
[ "$1" = qemu7 ] || reconnect=reconnect-ms=100

truncate -s 64M "$work/disk"
disk d0 "$work/disk" $queues
card=vhost-user-blk-pci,chardev=c0,num-queues=$queues,disable-legacy=on
[ "$ring" = split ] || card+=,packed=on

# A random part of a quarter of a second, which is no event to wait for.
any_moment()
{
	read -r -t "$(printf '0.%03d' $((RANDOM % 250)))" <>"$work/never" ||
		true
}

go_on()
{
	guest_wait_nth "$progress" $(($(guest_count "$progress") + 3)) ||
		guest_died "$1: the guest does not go on"
}

proxy_says()
{
	local line

	read -r -t 60 line <&"${proxy[0]}" || guest_died 'the proxy is silent'
	[[ $line =~ ^$1 ]] || guest_died "the proxy says $line, not $1"
	said=$line
}

# The next daemon; it is killed at message N of its first client.
open_announced()
{
	open_doors
	echo "$daemon_pid $*" >&"${proxy[1]}"
	proxy_says connected
}

# Kills at message N of the next handshake; false when there were less.
kill_at()
{
	echo kill >&"${proxy[1]}"
	wait "$daemon_pid" 2>/dev/null || true
	proxy_says 'gone after'
	[[ $said =~ [0-9]+ ]]
	[ "${BASH_REMATCH[0]}" -ge "$1" ] || return 1
	open_announced "$1"
	proxy_says 'killed at'
	echo "$said"
	wait "$daemon_pid" 2>/dev/null || true
	proxy_says 'gone after'
	open_announced
}

socket=$work/d0.sock
if [ "$moments" = handshake ]; then
	socket=$work/proxy.sock
	coproc proxy { exec python3 "$(dirname "$(realpath "$0")")/proxy" \
		"$socket" "$work/d0.sock"; }
	proxy_says listening
fi
open_doors
[ "$moments" != handshake ] || echo "$daemon_pid" >&"${proxy[1]}"
guest_start "$guest_here/in/load.sh" -- \
	-chardev "socket,id=c0,path=$socket,$reconnect" -device "$card"
go_on start
if [ "$moments" = handshake ]; then
	proxy_says connected
	n=1
	while any_moment && kill_at $n; do
		go_on "$said"
		n=$((n + 1))
	done
	[ $n -gt 15 ] || die "a handshake of $n messages"
	open_announced
	go_on 'the last'
fi
for ((i = 1; i <= rounds; i++)); do
	any_moment
	kill_doors
	open_doors
	go_on "kill $i"
done
guest_tell stop
guest_finish || guest_died "status $?"
guest_log | grep '^slots written'
close_doors
