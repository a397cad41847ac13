#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Whoever is killed, and when: nothing is left behind (H73).
#
# Copyright (c) 2026, the vdpakit authors
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"

no_folder()
{
	[ "$(echo "$work"/vdpakit-run-*)" = "$work/vdpakit-run-*" ]
}

# The processes that have a folder of ours in their arguments or environment.
echo "$work/vdpakit-run" >"$work/pattern"
leftovers()
{
	grep -lsaFf "$work/pattern" /proc/[0-9]*/{cmdline,environ} |
		cut -d / -f 3 | sort -u
}
none_left()
{
	[ -z "$(leftovers)" ]
}

nothing_left()
{
	wait_for no_folder
	wait_for none_left
}

# start: a run whose command is up and holds a device open.
# Sets run, daemon, child.
start()
{
	mkfifo "$work/up"
	"$vdpakit" run --dev 'n0 vdpasim_net' -- bash -c \
		"exec 5<>/dev/vhost-vdpa-0; echo \$\$ >'$work/up'
		while :; do read -r -t 1 <>'$work/never' || true; done" \
		2>"$work/err" &
	run=$!
	read -r child <"$work/up"
	rm "$work/up"
	daemon=$(VDPAKIT_RPC=$(echo "$work"/vdpakit-run-*/rpc.sock) \
		"$vdpakit" -j status | jq .status.pid)
}

gone()
{
	[ ! -e "/proc/$1" ]
}

# run killed: the daemon sees the end, the command is told.
start
kill -9 "$run"
wait "$run" 2>/dev/null || true
wait_for gone "$daemon"
wait_for gone "$child"
nothing_left

# The daemon killed: run says so, the command goes on with errors, its status
# is run's.
mkfifo "$work/up"
status=0
"$vdpakit" run --dev 'n0 vdpasim_net' -- bash -c "
	exec 5<>/dev/vhost-vdpa-0
	\"\$0\" -j status | jq .status.pid >'$work/up'
	read -r _ <'$work/up'
	if stat /dev/vhost-vdpa-0 2>/dev/null; then exit 1; fi
	exit 3" "$vdpakit" 2>"$work/err" &
run=$!
read -r daemon <"$work/up"
kill -9 "$daemon"
wait_for grep -q 'the devices are gone' "$work/err"
echo on >"$work/up"
wait "$run" || status=$?
is 'status without a daemon' "$status" 3
one_line 'without a daemon' "$(cat "$work/err")"
has 'without a daemon' "$(cat "$work/err")" 'vdpakitd was killed (Killed)'
rm "$work/up"
nothing_left

# The daemon asked to end: the same, with another word for it.
start
kill "$daemon"
wait_for grep -q 'vdpakitd ended (status 0): the devices are gone' "$work/err"
kill "$run"
wait "$run" 2>/dev/null || true
nothing_left

# Both killed at once: the next run removes the folder.
start
kill -9 "$run" "$daemon" "$child"
wait "$run" 2>/dev/null || true
wait_for gone "$daemon"
no_folder && die 'the folder went by itself'
"$vdpakit" run true
nothing_left

# Killed at any moment of its start: some 40 of them, evenly spread over what a
# whole run takes.
took=$({ TIMEFORMAT=%R; time "$vdpakit" run --dev 'n0 vdpasim_net' true; } 2>&1)
for ((i = 0; i < 40; i++)); do
	"$vdpakit" run --dev 'n0 vdpasim_net' -- \
		bash -c "read -r _ <'$work/never'" 2>/dev/null &
	run=$!
	read -r -t "$(awk "BEGIN { print 1.2 * $took * $i / 40 + 0.001 }")" \
		<>"$work/never" || true
	kill -9 "$run"
	wait "$run" 2>/dev/null || true
done
wait_for none_left
"$vdpakit" run true
nothing_left
