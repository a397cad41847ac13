#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# blk.sh: block devices behind a vhost-user socket, ours and qemu-storage-
# daemon's, under the same client; one line a figure
#
# Each case runs on both in turn, many times and shortly, since what else the
# machine and its disk do changes within seconds; either is the first of a pair
# every other time, since the second finds the first one's blocks in the caches
# of whoever has the disk. What is quoted are medians of I/O operations a second
# (and of the latencies), and of the ratio of two neighbouring runs.  disk=null moves no data: it is what the rings and the
# queues cost.  disk=file is one file, O_DIRECT, filled before; plain fio with
# io_uring on that file is the limit.  disk=cached is the same file through the
# page cache.  wait=poll: the client looks for what is used all the time;
# wait=sleep: it sleeps when there is nothing.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: bench/blk.sh BUILD [DISK...]     (default: null file cached)
# BENCH_MS: of one run (100).  BENCH_REPEAT: runs of each (31).
set -euo pipefail
build=$(realpath "$1")
shift
disks=("${@:-null file cached}")
ms=${BENCH_MS:-100}
repeat=${BENCH_REPEAT:-31}
file_bytes=$((256 << 20))

work=$(mktemp -d "${TMPDIR:-/var/tmp}/vdpakit-blk.XXXXXX")
daemon= log= peer=
stop()
{
	if [ -n "$daemon" ]; then
		kill "$daemon"
		wait "$daemon" || true
		exec {log}<&-
		rm "$work/log"
		daemon=
	fi
	if [ -n "$peer" ]; then
		kill "$peer"
		tail --pid="$peer" -f /dev/null
		peer=
	fi
}
trap 'stop; rm -rf "$work"' EXIT

# peer BLOCKDEV: qemu-storage-daemon with one disk
peer()
{
	qemu-storage-daemon --daemonize --pidfile "$work/peer.pid" \
		--blockdev "$1,node-name=disk" \
		--export "type=vhost-user-blk,id=e,node-name=disk,writable=on,\
addr.type=unix,addr.path=$work/peer.sock"
	peer=$(<"$work/peer.pid")
}

# ours KEY...: vdpakitd with one disk, when it is ready
ours()
{
	local line=

	mkfifo "$work/log"
	"$build/src/daemon/vdpakitd" -s "$work/rpc" -p "$work/preload" \
		--dev "disk blk $* bind vhost_user path $work/ours.sock" 2>"$work/log" &
	daemon=$!
	exec {log}<"$work/log"
	while [[ $line != *ready* ]]; do
		read -r line <&"$log"
	done
}

# get KEY LINE
get()
{
	sed -n "s/.*\b$1=\([0-9.]*\).*/\1/p" <<<"$2"
}
median()
{
	sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# compare DISK RW BYTES DEPTH [sleep]: both in turn
compare()
{
	local disk=$1 rw=$2 bytes=$3 depth=$4 wait=${5:-poll} i who line
	local -a pair=(ours peer)
	local case="disk=$disk rw=$rw bytes=$bytes depth=$depth wait=$wait"

	rm -f "$work"/runs.*
	for ((i = 0; i < repeat; i++)); do
		for who in "${pair[@]}"; do
			line=$("$build/bench/blk/client" "$work/$who.sock" \
				"$rw" "$bytes" "$depth" "$ms" ${5:-})
			get iops "$line" >>"$work/runs.$who"
			get p50_us "$line" >>"$work/runs.$who.p50"
			get p99_us "$line" >>"$work/runs.$who.p99"
		done
		pair=("${pair[1]}" "${pair[0]}")
	done
	for who in ours peer; do
		echo "bench=blk who=$who $case" \
			"iops=$(median <"$work/runs.$who")" \
			"p50_us=$(median <"$work/runs.$who.p50")" \
			"p99_us=$(median <"$work/runs.$who.p99")"
	done
	echo "bench=blk figure=ours_to_peer $case ratio=$(paste \
		"$work/runs.ours" "$work/runs.peer" |
		awk '{ printf "%.3f\n", $1 / $2 }' | median)"
}

# limit DISK RW BYTES DEPTH DIRECT: fio on the file, against our last runs
limit()
{
	local rw=$2 iops

	case $2 in
	seqread) rw=read ;;
	seqwrite) rw=write ;;
	read | write) rw=rand$2 ;;
	esac
	iops=$(fio --name=limit --filename="$work/disk" --ioengine=io_uring \
		--rw="$rw" --bs="$3" --iodepth="$4" --direct="$5" \
		--runtime="$(((ms + 999) / 1000))" --time_based --norandommap \
		--invalidate=0 \
		--overwrite=1 --output-format=json |
		jq '[.jobs[0].read.iops, .jobs[0].write.iops] | max | floor')
	echo "bench=blk figure=ours_to_fio disk=$1 rw=$2 bytes=$3 depth=$4" \
		"fio_iops=$iops ratio=$(awk -v f="$iops" \
			-v o="$(median <"$work/runs.ours")" \
			'BEGIN { printf "%.3f", o / f }')"
}

on_null()
{
	local rw

	ours backend null capacity 1G
	peer driver=null-co,size=1073741824,read-zeroes=off
	for rw in read write; do
		compare null $rw 4096 1
		compare null $rw 4096 1 sleep
		compare null $rw 4096 128
	done
	compare null seqread 131072 32
	stop
}

# on_file NAME DIRECT
on_file()
{
	local rw direct=off cache=cache.direct=off

	if [ "$2" = 1 ]; then
		direct=on
		cache=cache.direct=on
	fi
	ours backend file path "$work/disk" direct $direct lock off
	peer "driver=file,filename=$work/disk,aio=io_uring,$cache,locking=off"
	for rw in read write; do
		compare "$1" $rw 4096 1 sleep
		limit "$1" $rw 4096 1 "$2"
		compare "$1" $rw 4096 128 sleep
		limit "$1" $rw 4096 128 "$2"
	done
	for rw in seqread seqwrite; do
		compare "$1" $rw 131072 32 sleep
		limit "$1" $rw 131072 32 "$2"
	done
	stop
}

dd if=/dev/urandom of="$work/disk" bs=1M count=$((file_bytes >> 20)) \
	conv=fsync status=none
for disk in ${disks[*]}; do
	case $disk in
	null) on_null ;;
	file) on_file file 1 ;;
	cached) on_file cached 0 ;;
	*)
		echo "blk.sh: no disk is called $disk" >&2
		exit 2
		;;
	esac
done
