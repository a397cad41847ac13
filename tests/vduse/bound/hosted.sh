# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# A device of another process, which we host, for the kernel's own driver: a disk
# that takes VDUSE twice.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: hosted.sh PROGRAM     examples/vduse_blk
. "$(dirname "$(realpath "$0")")/lib.sh"
program=$1
shim=$build/src/shim/libvdpakit-preload.so

mkfifo "$work/said"
exec {said}<>"$work/said"
serve()
{
	local line

	LD_PRELOAD=$shim VDPAKIT_SOCKET=$preload "$program" ram0 \
		>"$work/said" 2>"$work/program.log" &
	server=$!
	read -r -t 60 line <&"$said" && [ "$line" = '/dev/vduse/ram0 is there' ] ||
		die "the process: $line $(cat "$work/program.log")"
}

start_daemon
serve
is 'files of VDUSE' "$(ls /dev/vduse)" control
vdpakit dev add name ram0 mgmtdev vduse
vdpakit dev bind ram0 vduse
disk=/dev/$(node ram0 block)
status_is 0 blockdev --getsize64 "$disk"
is 'capacity' "$out" 16777216
dd if=/dev/urandom of="$work/data" bs=1M count=16 status=none
dd if="$work/data" of="$disk" bs=64k oflag=direct conv=fsync status=none
dd if="$disk" of="$work/back" bs=1M iflag=direct status=none
cmp "$work/data" "$work/back" || die 'what was read is not what was written'
sane
vdpakit dev del ram0
kill $server || true
wait $server || [ $? = 143 ] || die "the process ended with $?: $(
	)$(cat "$work/program.log") $(tail -n 5 "$work/log")"
stop_daemon
only_control
echo 'hosted: all content verified'
