#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Processes that make devices and then behave badly: whoever uses such a device
# gets an error in time, and can leave; who uses another device of the same
# daemon, or has its own process there, notices nothing.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: hostile.sh PROGRAM
. "$(dirname "$(realpath "$0")")/lib.sh"

program=$1
tools qemu7_storage_daemon blkio_copy blkio_info
size=1M
mkfifo "$work/said"
exec 6<>"$work/said"
open_bus
truncate -s $size "$work/disk"
serve good "$work/disk" "${tool_of[qemu7_storage_daemon]}"
add good
good=(virtio-blk-vhost-vdpa "path=$(show good path)")

# All that can be done with the good device, from open to close.
round()
{
	blkio=("${good[@]}")
	dd if=/dev/urandom of="$work/in" bs=1M count=1 status=none
	copy_in "$work/in" || die "$1: the good device failed"
	copy_out "$work/out" || die "$1: the good device failed"
	cmp "$work/in" "$work/out" || die "$1: the good device lies"
}

says()
{
	local line

	read -r -t 60 line <&6 || die "it did not say $1"
	is 'the hostile process' "$line" "$1"
}

# start HOW TIMEOUT: a process that does HOW, on the bus; $bad_path
start()
{
	"${under[@]}" "$program" bad "$1" >&6 2>"$work/hostile" 6>&- &
	hostile=$!
	says up
	add bad timeout "$2"
	bad_path=$(show bad path)
}

stop()
{
	kill -9 $hostile 2>/dev/null || true
	wait $hostile 2>/dev/null || true
	! grep . "$work/hostile" || die "it found something"
	"$vdpakit" dev del bad
	# Its own process is gone: nobody but us can destroy it.
	"${under[@]}" python3 - <<'PYTHON'
import fcntl, os
fd = os.open('/dev/vduse/control', os.O_RDWR)
fcntl.ioctl(fd, 0x41008103, bytearray(b'bad'.ljust(256, b'\0')))
PYTHON
}

use()
{
	exec "${under[@]}" "${tool_of[blkio_copy]}" --input-file="$work/new" \
		--output-blkio=virtio-blk-vhost-vdpa "path=$bad_path" 6>&-
}

is_over()
{
	[ ! -e "/proc/$1" ]
}

truncate -s $size "$work/new"
for how in silent refuse die garbage; do
	start $how 1
	since=$SECONDS
	(use) >"$work/used" 2>&1 && die "$how: a use of it succeeded"
	# A machine that is busy is slow; 30 s is what it takes by default.
	[ $((SECONDS - since)) -lt 25 ] || die "$how: it took too long"
	says asked
	echo "$how: after $((SECONDS - since)) s: $(head -n 1 "$work/used")"
	round $how
	stop
done

# For as long as the client waits, the others do not.
for how in silent garbage; do
	start $how 600
	(use) >"$work/used" 2>&1 &
	user=$!
	says asked
	for i in 1 2 3 4 5; do
		round "$how, $i"
	done
	! is_over $user || die "$how: its client did not wait: $(<"$work/used")"
	kill -9 $user
	wait $user 2>/dev/null || true
	stop
	round "$how, over"
done
end_server good
stop_daemon || die "the daemon ended with status $?"
# Only the time-outs are told of.
! grep -vE 'NOTIFY_SOCKET|bad: ' "$work/log" | grep -E '^(err|warn)|ERROR' ||
	die 'the daemon complained'
