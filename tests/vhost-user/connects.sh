#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Ten thousand front ends, one after the other, that leave in whatever way: the
# daemon has as many descriptors, maps and as much memory as before (H70).
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: connects.sh [COUNT]
. "$(dirname "$(realpath "$0")")/lib.sh"

count=${1:-10000}
client=$(dirname "$(realpath "$0")")/front-end
truncate -s 1M "$work/disk"
disk d0 "$work/disk" 2
card n0
open_doors

rss()
{
	awk '$1 == "Rss:" { print $2 }' "/proc/$daemon_pid/smaps_rollup"
}

note_held
for name in d0 n0; do
	python3 "$client" "$work/$name.sock" 500
done
wait_for holds_no_more
memory=$(rss)
for name in d0 n0; do
	python3 "$client" "$work/$name.sock" $((count / 2))
done
wait_for holds_no_more
grown=$(($(rss) - memory))
echo "$held, before $noted; $grown KiB more after $count front ends"
# A sanitizer keeps for a while what was freed.
grep -qa '__[at]san_init' "$vdpakitd" || [ $grown -lt 256 ] ||
	die "memory grew by $grown KiB"
stop_daemon || die "the daemon ended with status $?"
