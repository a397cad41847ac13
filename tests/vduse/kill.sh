#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The device's process is killed outright while its client writes, and started
# again: the client goes on with no more than a pause. A guest writes numbered
# blocks and finds each as it was acknowledged last; what libblkio copies
# arrives.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: kill.sh qemu7|qemu10 CLIENT vhost-vdpa|vhost-user ROUNDS
#        (CLIENT: qemu7, qemu10 or blkio)
. "$(dirname "$(realpath "$0")")/lib.sh"

tools "$1_storage_daemon" blkio_copy
qsd=${tool_of[$1_storage_daemon]} client=$2 door=$3 rounds=$4
size=128M queues=2
truncate -s $size "$work/disk"
open_bus
# QEMU 10's vhost-vdpa-device-pci makes rings of 1024 come what may.
serve vb0 "$work/disk" "$qsd" num-queues=$queues queue-size=1024
add vb0
open_door vb0 "$door"

restart()
{
	kill_server vb0
	any_moment 100
	serve vb0 "$work/disk" "$qsd" num-queues=$queues queue-size=1024
}

is_begun()
{
	cmp -n 1048576 "$work/in" "$1"
}

by_guest()
{
	local i card

	tools "$client"
	# shellcheck disable=SC2034
	GUEST_QEMU=${tool_of[$client]} GUEST_TIMEOUT=280 GUEST_SMP=$queues
	if [ "$door" = vhost-vdpa ]; then
		# shellcheck disable=SC2034
		GUEST_PREFIX=("${under[@]}")
		card=(-device "vhost-vdpa-device-pci,vhostdev=$node")
	else
		card=(-chardev "socket,id=c0,path=$node" -device "$(
			)vhost-user-blk-pci,chardev=c0,disable-legacy=on,$(
			)num-queues=$queues")
	fi
	guest_start "$guest_here/in/load.sh" -- "${card[@]}"
	go_on start
	for ((i = 1; i <= rounds; i++)); do
		any_moment 250
		restart
		go_on "kill $i"
	done
	guest_tell stop
	guest_finish || guest_died "status $?"
	guest_log | grep '^slots written'
}

# One disk after the other is copied in and out, and each must arrive whole.
# (blkio-bench ends with requests under way, and qemu-storage-daemon has an
# assertion against that, killed before or not.)
by_blkio()
{
	local i pid

	for ((i = 1; i <= rounds; i++)); do
		dd if=/dev/urandom of="$work/in" bs=1M count=${size%M} \
			status=none
		copy_in "$work/in" &
		pid=$!
		wait_for is_begun "$work/disk"
		any_moment 100
		restart
		wait "$pid" || die "kill $i: blkio-copy ended with status $?"
		cmp "$work/in" "$work/disk" || die "kill $i: data was lost"
		copy_out "$work/out" &
		pid=$!
		wait_for is_begun "$work/out"
		restart
		wait "$pid" || die "kill $i: blkio-copy ended with status $?"
		cmp "$work/in" "$work/out" || die "kill $i: other data was read"
	done
}

case $client in
blkio)
	by_blkio
	;;
*)
	by_guest
	;;
esac
end_server vb0
close_doors
