# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# The daemon is killed outright while a driver of the kernel's writes numbered
# blocks, and started again: every block is found as it was acknowledged last.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: kill.sh split|packed KILLS
. "$(dirname "$(realpath "$0")")/lib.sh"
case $1 in
split) blk=b38007e44 net=308830028 ;;
packed) blk=f38007e44 net=708830028 ;;
esac
kills=$2

truncate -s 64M "$work/disk"
# It is ready when its log says so: quicker here than what plays systemd.
start()
{
	local tail

	"$vdpakitd" --socket "$rpc" --preload "$preload" \
		--dev "d0 blk backend file path $work/disk num_queues 2 $(
		)device_features $blk bind vduse" \
		--dev "n0 vdpasim_net mac 52:54:00:12:34:56 $(
		)device_features $net bind vduse" 2>"$work/log" &
	daemon_pid=$!
	exec {tail}< <(exec tail -c +1 -f --pid=$daemon_pid -s 0.02 \
		"$work/log" 2>/dev/null)
	grep -q 'vdpakitd: ready' <&"$tail" ||
		die "not ready: $(cat "$work/log")"
	exec {tail}<&-
}
export VDPAKIT_RPC=$rpc
start
disk=$(node d0 block)
card=$(node n0 net)
ip link set "$card" up
mkfifo "$work/stop"
exec 8<>"$work/stop"
slots "/dev/$disk" 8 <&8 >"$work/slots" 2>&1 &
load=$!

# A random part of a quarter of a second, which is no event to wait for.
any_moment()
{
	read -r -t "$(printf '0.%03d' $((RANDOM % 250)))" <>"$work/never" ||
		true
}

lines()
{
	grep -c 'so far' "$work/slots" || true
}

go_on()
{
	local n

	n=$(($(lines) + 3))
	wait_for eval "kill -0 $load && [ \$(lines) -ge $n ]"
}

lost()
{
	"$vdpakit" -j -p dev vstats show n0 qidx 0 || true
	"$vdpakit" -j -p dev vstats show n0 qidx 1 || true
	ip -s link show "$card"
	cat "$work/log"
	die "kill $1: frames were lost"
}

go_on
for ((i = 0; i < kills; i++)); do
	any_moment
	kill -9 "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null || true
	start
	has "restart $i" "$(cat "$work/log")" 'found /dev/vduse/d0'
	go_on
	frames "$card" 100 || lost $i
	sane
done
echo stop >&8
wait $load || die "slots: $(cat "$work/slots")"
grep '^slots written' "$work/slots"
vdpakit dev del d0
stop_daemon
only_control
