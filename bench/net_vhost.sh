#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# net_vhost.sh: 64-byte frames that go round between DPDK's virtio-user and a
# vhost-user back end, ours and DPDK's vhost PMD; one line a figure
#
# The client is testpmd on one CPU: what it receives it sends.  The back end is
# on another: testpmd again with net_vhost, which does the same, or vdpakitd with
# the loopback of a net device.  Both run in turn, several times; what is quoted
# are medians of the frames that came back to the client, and of the ratio of two
# neighbouring runs.  with= says what virtio-user was told: in_order takes part
# in the negotiation, vectorized is its way through its rings (without mergeable
# buffers; for packed rings it needs AVX-512).
#
# Before and after each two runs the way of a cache line from one CPU to the
# other is measured: where it changed by half, the system moved the CPUs, and the
# two runs are thrown away.  The limit is what bench/net has: the copies of a
# frame to the back end and out of it between two bare rings, on one CPU.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: bench/net_vhost.sh BUILD [RING [WITH]]
# BENCH_MS: of one run (500).  BENCH_REPEAT: pairs of runs of each (5).
set -euo pipefail
build=$(realpath "$1")
only_ring=${2:-}
only_with=${3:-}
ms=${BENCH_MS:-500}
repeat=${BENCH_REPEAT:-5}
mac=52:54:00:12:34:56

skip()
{
	echo "bench=net_vhost skipped=$1"
	exit 0
}
command -v dpdk-testpmd >/dev/null || skip no_testpmd
mapfile -t cpus < <(taskset -cp $$ | sed 's/.*: //' | tr , '\n' |
	while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done)
[ ${#cpus[@]} -ge 2 ] || skip one_cpu

work=$(mktemp -d "${TMPDIR:-/tmp}/vdpakit-net.XXXXXX")
sock=$work/sock
server= client=
trap 'stop; rm -rf "$work"' EXIT

# testpmd CPU NAME OPTION...: on a CPU, told what to do through its input
testpmd()
{
	local cpu=$1 name=$2

	shift 2
	exec stdbuf -oL dpdk-testpmd --no-huge -m 256 --no-pci \
		--lcores "0@$cpu,1@$cpu" --force-max-simd-bitwidth=512 \
		--file-prefix "vdpakit$$-$name" "$@" 2>&1
}

# read_until FD REGEX
read_until()
{
	local line=

	until [[ $line =~ $2 ]]; do
		IFS= read -r -t 30 line <&"$1" || {
			echo "net_vhost.sh: nobody said $2" >&2
			exit 1
		}
	done
}

start_ours()
{
	taskset -c "${cpus[1]}" "$build/src/daemon/vdpakitd" --workers 1 \
		-s "$work/rpc" -p "$work/preload" --dev "n0 net \
		backend=loopback mac=$mac poll_us=1000000 \
		bind vhost_user path=$sock" >"$work/from_server" 2>&1 &
	server=$!
	exec {server_out}<"$work/from_server"
	read_until "$server_out" 'ready'
}
start_peer()
{
	testpmd "${cpus[1]}" peer --vdev "net_vhost0,iface=$sock,queues=1" -- \
		-i --auto-start --forward-mode=io --total-num-mbufs=4096 \
		<"$work/to_server" >"$work/from_server" &
	server=$!
	exec {server_in}>"$work/to_server" {server_out}<"$work/from_server"
	read_until "$server_out" 'packets/burst'
}

stop()
{
	local pid

	for pid in $client $server; do
		kill "$pid"
		wait "$pid" || true
	done
	client= server=
	rm -f "$sock"
}

# run WHO OPTIONS: sets mpps
run()
{
	rm -f "$work"/{to,from}_{server,client}
	mkfifo "$work"/{to,from}_{server,client}
	"start_$1"
	testpmd "${cpus[0]}" client --vdev \
		"net_virtio_user0,path=$sock,mac=$mac,queue_size=256,$2" -- \
		-i --forward-mode=io --eth-peer="0,$mac" \
		--total-num-mbufs=4096 \
		<"$work/to_client" >"$work/from_client" &
	client=$!
	exec {client_in}>"$work/to_client" {client_out}<"$work/from_client"
	echo 'start tx_first 8' >&"$client_in"
	read_until "$client_out" 'packets/burst'
	sleep 0.2
	echo 'show port stats 0' >&"$client_in"
	read_until "$client_out" 'Rx-pps'
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
	echo 'show port stats 0' >&"$client_in"
	read_until "$client_out" 'Rx-pps: +([0-9]+)'
	mpps=$(awk -v n="${BASH_REMATCH[1]}" 'BEGIN { print n / 1e6 }')
	stop
	exec {client_in}>&- {client_out}<&- {server_out}<&-
	[ "$1" = ours ] || exec {server_in}>&-
}

probe_ns()
{
	"$build/bench/latency" probe | sed 's/.* ns=//'
}
median()
{
	sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
# ratio A B: median of the ratios of the lines of two files
ratio()
{
	paste "$1" "$2" | awk '{ printf "%.3f\n", $1 / ($2 ? $2 : 1) }' | median
}

# one_pair OPTIONS: both in turn. Return: did the machine hold still?
one_pair()
{
	local before after ours

	before=$(probe_ns)
	run ours "$1"
	ours=$mpps
	run peer "$1"
	after=$(probe_ns)
	awk -v a="$before" -v b="$after" \
		'BEGIN { exit !(a < 1.5 * b && b < 1.5 * a) }' || return 1
	echo "$ours" >>"$work/ours"
	echo "$mpps" >>"$work/peer"
	echo "$after" >>"$work/probe"
	"$build/bench/net" limit | sed 's/.* mpps=//' >>"$work/limit"
}

# measure RING WITH OPTIONS
measure()
{
	local who i n=0 case="ring=$1 with=$2 frame_bytes=64"

	[ -z "$only_ring" ] || [ "$only_ring" = "$1" ] || return 0
	[ -z "$only_with" ] || [ "$only_with" = "$2" ] || return 0
	rm -f "$work"/{ours,peer,probe,limit}
	for ((i = 0; i < 2 * repeat && n < repeat; i++)); do
		! one_pair "$3" || n=$((n + 1))
	done
	if [ $n = 0 ]; then
		echo "bench=net_vhost $case noisy=yes"
		return
	fi
	for who in ours peer; do
		echo "bench=net_vhost who=$who $case" \
			"mpps=$(median <"$work/$who")"
	done
	echo "bench=net_vhost figure=ours_to_peer $case" \
		"ratio=$(ratio "$work/ours" "$work/peer") pairs=$n" \
		"discarded=$((i - n)) probe_ns=$(median <"$work/probe")"
	echo "bench=net_vhost figure=ours_to_copy $case" \
		"limit_mpps=$(median <"$work/limit")" \
		"ratio=$(ratio "$work/ours" "$work/limit")"
}

measure split - in_order=0
measure split in_order in_order=1
measure split vectorized in_order=0,mrg_rxbuf=0,vectorized=1
measure packed - packed_vq=1,in_order=0
measure packed in_order packed_vq=1,in_order=1
measure packed vectorized packed_vq=1,in_order=1,mrg_rxbuf=0,vectorized=1
