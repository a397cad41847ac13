# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the tests of the vhost-user door share; for bash, to be sourced first.
#
# Copyright (c) 2026, the vdpakit authors
#
# As of tests/e2e/mgmt/lib.sh, and:
#
# tool KEY                 sets $tool to a program of the test bed, or skips
# disk NAME FILE QUEUES [KEY VALUE]...
#                          a disk in a file, to be offered on $work/NAME.sock
#                          ($door_keys: more for the socket's side)
# card NAME [PAIRS]        a looping network card, the same
#                          ($card_keys: more for the card)
# ($door: the bus driver, vhost_user unless set)
# open_doors               start the daemon and bind all of these
# kill_doors               kill it outright; then open_doors may follow
# close_doors              end it; its log must hold no complaint
# in_use                   how many of the doors have a client
# stat_of NAME QUEUE COUNTER
#                          a counter of a device's queue, 0 if there is none
# note_held, holds_no_more  what the daemon has of clients (descriptors, maps of
#                          memory): now; and is it no more than that again?
# guest_need, guest_start and so on: of tests/guest/lib.sh
#
# VHOST_USER_PEER=qsd offers the disks by the system's qemu-storage-daemon, to
# tell whose fault it is when a client fails.

. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../e2e/mgmt/lib.sh"
top=$(realpath "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../..")
. "$top/tests/guest/lib.sh"

# shellcheck disable=SC2034
GUEST_DIR=$work/guest
mkdir -p "$GUEST_DIR"
mac=52:54:00:12:34:56
devs=()
names=()

tool()
{
	if ! tool=$("$top/scripts/testbed" path "$1" 2>&1); then
		skip "$tool"
	fi
}

disk()
{
	local name=$1 file=$2 queues=$3

	shift 3
	names+=("$name")
	devs+=(--dev "$name blk backend file path $file$(
		) num_queues $queues $* bind ${door:-vhost_user}$(
		) path $work/$name.sock ${door_keys-}")
	qsd_args+=(--blockdev "file,node-name=$name,filename=$file,locking=off"
		--export "vhost-user-blk,id=$name,node-name=$name,$(
		)writable=on,num-queues=$queues,$(
		)addr.type=unix,addr.path=$work/$name.sock")
}

card()
{
	local name=$1 pairs=${2:-1} kind=vdpasim_net

	[ "$pairs" = 1 ] || kind="net backend loopback max_vqp $pairs"
	names+=("$name")
	devs+=(--dev "$name $kind mac $mac ${card_keys-}$(
		) bind ${door:-vhost_user} path $work/$name.sock")
}

open_doors()
{
	local name

	if [ "${VHOST_USER_PEER-}" = qsd ]; then
		for name in "${names[@]}"; do
			rm -f "$work/$name.sock"
		done
		qemu-storage-daemon "${qsd_args[@]}" &
		daemon_pid=$!
	else
		start_daemon --log "${E2E_LOG:-info}" "${devs[@]}"
	fi
	for name in "${names[@]}"; do
		wait_for test -S "$work/$name.sock"
	done
}

kill_doors()
{
	kill -9 "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null || true
}

close_doors()
{
	[ "${VHOST_USER_PEER-}" != qsd ] || { kill "$daemon_pid"; return; }
	stop_daemon || die "the daemon ended with status $?"
	# Who was told that it is ready does not wait to hear that it ends.
	! grep -v NOTIFY_SOCKET "$work/log" | grep -E '^(err|warn)|ERROR' ||
		die 'the daemon complained'
}

stat_of()
{
	[ "${VHOST_USER_PEER-}" != qsd ] || { echo 1; return; }
	"$vdpakit" -j dev vstats show "$1" qidx "$2" | jq -r --arg name "$3" \
		'[.. | objects | .[$name]? | numbers] | add // 0'
}

look()
{
	n_fds=$(find "/proc/$daemon_pid/fd" -type l | wc -l)
	n_maps=$(grep -c ' /memfd:' "/proc/$daemon_pid/maps") || true
	held="$n_fds descriptors and $n_maps maps"
}

note_held()
{
	look
	noted=$held n_fds_noted=$n_fds n_maps_noted=$n_maps
}

# Not "as many": a daemon that has just said that it is ready may not have closed
# the socket by which it did.
holds_no_more()
{
	look
	[ "$n_fds" -le "$n_fds_noted" ] && [ "$n_maps" -le "$n_maps_noted" ]
}

guest_died()
{
	guest_log >&2
	cat "$GUEST_DIR/qemu.log" "$work/log" >&2 || true
	die "$@"
}
