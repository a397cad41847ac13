#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Clients are killed outright while they are busy: the devices are free again,
# nothing of the client is kept, and the next one finds them as new (H73).
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: client-kill.sh blkio ROUNDS
#        client-kill.sh qemu7|qemu10 ROUNDS
. "$(dirname "$(realpath "$0")")/lib.sh"

client=$1 rounds=$2
truncate -s 64M "$work/disk"
disk d0 "$work/disk" 2
card n0
case $client in
blkio)
	tool blkio_bench
	bench=$tool
	;;
*)
	tool "$client"
	# shellcheck disable=SC2034
	GUEST_QEMU=$tool
	guest_need
	vectors=
	[ "$client" != qemu7 ] || vectors=,vectors=0 # as in qemu-net.sh
	;;
esac
open_doors

is_busy()
{
	[ "$(stat_of d0 0 'write requests')" -gt 10 ]
}
# A random part of a fifth of a second, which is no event to wait for.
any_moment()
{
	read -r -t "$(printf '0.%03d' $((RANDOM % 200)))" <>"$work/never" ||
		true
}

# (It polls, as it aborts when it has waited half a second for an answer, which
# a busy machine's disk may take.)
start_blkio()
{
	"$bench" --poll --runtime=60 --readwrite=randwrite --num-threads=2 \
		virtio-blk-vhost-user "path=$work/d0.sock" >"$work/bench" &
	pid=$!
	wait_for is_busy
}

start_qemu()
{
	guest_start "$guest_here/in/load.sh" -- \
		-chardev "socket,id=c0,path=$work/d0.sock" \
		-device vhost-user-blk-pci,chardev=c0,disable-legacy=on \
		-chardev "socket,id=c1,path=$work/n0.sock" \
		-netdev vhost-user,id=n0,chardev=c1 -device "$(
		)virtio-net-pci,netdev=n0,mac=$mac,disable-legacy=on,$(
		)romfile=$vectors"
	guest_wait_nth '^slots: [0-9]+ so far' 2 || guest_died 'writes nothing'
	pid=$(<"$GUEST_DIR/pid")
}

note_held
for ((i = 1; i <= rounds; i++)); do
	if [ "$client" = blkio ]; then
		start_blkio
	else
		start_qemu
	fi
	! holds_no_more || die 'a busy client holds nothing'
	any_moment
	kill -9 "$pid"
	wait "${guest_pid:-$pid}" 2>/dev/null || true
	wait_for holds_no_more
done
echo "$held after $rounds kills, $noted before"
close_doors
