#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# daemon.sh: memory and idle CPU time of vdpakitd; one line a figure
#
# memory: all that it has mapped (Rss), and its share of it where others have
# it too (Pss), with 1 and with 64 loopback net devices, and what each further
# one takes; without a driver, and with one that set up and enabled all queues
# of each.
# idle: CPU time and wake-ups (voluntary context switches of all threads) of
# the daemon over some seconds, with those drivers bound and no traffic; and of
# one whose 16 disks wait on vhost-user sockets.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: bench/daemon.sh BUILD
set -euo pipefail
build=$(realpath "$1")
seconds=5

work=$(mktemp -d)
daemon= client= log= to_client=
stop()
{
	if [ -n "$client" ]; then
		exec {to_client}>&-
		wait "$client" || true
		client=
	fi
	if [ -n "$daemon" ]; then
		kill "$daemon"
		wait "$daemon" || true
		exec {log}<&-
		daemon=
	fi
}
trap 'stop; rm -rf "$work"' EXIT

until_ready()
{
	local line=

	while [[ $line != *ready* ]]; do
		read -r line
	done
}

# start N [DISKS]: a daemon with N network cards, and disks on vhost-user
# sockets, when it is ready
start()
{
	local i specs=()

	for ((i = 0; i < $1; i++)); do
		specs+=(--dev "net$i vdpasim_net")
	done
	for ((i = 0; i < ${2-0}; i++)); do
		specs+=(--dev "disk$i blk backend mem capacity 64M$(
		) bind vhost_user path $work/disk$i.sock")
	done
	mkfifo "$work/log"
	"$build/src/daemon/vdpakitd" -s "$work/rpc" -p "$work/preload" \
		"${specs[@]}" 2>"$work/log" &
	daemon=$!
	exec {log}<"$work/log"
	until_ready <&"$log"
	rm "$work/log"
}

# drive N: a client that has the first N devices, when it is ready
drive()
{
	local i nodes=()

	for ((i = 0; i < $1; i++)); do
		nodes+=("/dev/vhost-vdpa-$i")
	done
	mkfifo "$work/in" "$work/out"
	VDPAKIT_SOCKET="$work/preload" \
		LD_PRELOAD="$build/src/shim/libvdpakit-preload.so" \
		"$build/bench/daemon/client" "${nodes[@]}" \
		<"$work/in" >"$work/out" &
	client=$!
	exec {to_client}>"$work/in"
	until_ready <"$work/out"
	rm "$work/in" "$work/out"
}

# rollup NAME: KiB
rollup()
{
	awk -v name="$1:" '$1 == name { print $2 }' "/proc/$daemon/smaps_rollup"
}

# memory DRIVER N
declare -A pss rss
memory()
{
	pss[$1.$2]=$(rollup Pss)
	rss[$1.$2]=$(rollup Rss)
}

# All threads: ticks of CPU time, and times that they went to sleep.
ticks()
{
	awk '{ print $14 + $15 }' "/proc/$daemon/stat"
}
wake_ups()
{
	awk '$1 == "voluntary_ctxt_switches:" { n += $2 } END { print n }' \
		/proc/"$daemon"/task/*/status
}

# idle DEVICES [NAME=VALUE]
idle()
{
	local t w hz

	hz=$(getconf CLK_TCK)
	t=$(ticks)
	w=$(wake_ups)
	sleep "$seconds" # the time that is measured
	t=$(($(ticks) - t))
	w=$(($(wake_ups) - w))
	echo "bench=daemon figure=idle${2:+ $2} devices=$1 seconds=$seconds" \
		"cpu_percent=$(bc -l <<<"scale=2; 100 * $t / $hz / $seconds")" \
		"wake_ups=$w"
}

for n in 1 64; do
	start $n
	memory none $n
	drive $n
	memory bound $n
	idle $n
	stop
done
start 0 16
idle 16 driver=vhost_user
stop
for driver in none bound; do
	one=${pss[$driver.1]} all=${pss[$driver.64]}
	echo "bench=daemon figure=memory driver=$driver devices=1 pss_kib=$one" \
		"rss_kib=${rss[$driver.1]}"
	echo "bench=daemon figure=memory driver=$driver devices=64" \
		"pss_kib=$all rss_kib=${rss[$driver.64]}" \
		"further_kib=$(((all - one) / 63))"
done
