#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vdpakitd: options, start, stop, sockets of others.
#
# Copyright (c) 2026, the vdpakit authors
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"

no_sockets()
{
	if [ -e "$rpc" ] || [ -e "$preload" ]; then
		die "$1: a socket is left"
	fi
}

start_daemon --log debug --workers 3 --foreground --dev 'n0 vdpasim_net'
is 'workers' "$("$vdpakit" -j status | jq .status.workers)" 3
is 'modes' "$(stat -c %a "$rpc" "$preload")" "$(printf '600\n600')"

# A second one does not take the sockets away.
status_is 1 "$vdpakitd" --socket "$rpc" --preload "$work/p2"
one_line 'a second daemon' "$err"
has 'a second daemon' "$err" 'somebody listens there already'
[ ! -e "$work/p2" ] || die 'the second daemon left a socket'
is 'the first one lives' "$("$vdpakit" -j dev show | jq -c '.dev | keys')" \
	'["n0"]'

# It ends by each of three signals, and takes its sockets along; a client with
# a device open is cut off.
stop_daemon
no_sockets 'a daemon that was stopped'
has 'the log' "$(cat "$work/log")" 'stopping: Terminated'
for signal in INT HUP; do
	start_daemon --dev 'n0 vdpasim_net'
	mkfifo "$work/up"
	LD_PRELOAD=$shim VDPAKIT_SOCKET=$preload bash -c "
		exec 5<>/dev/vhost-vdpa-0
		echo up >'$work/up'
		read -r _ <'$work/never'" &
	client=$!
	read -r _ <"$work/up"
	rm "$work/up"
	kill -s "$signal" "$daemon_pid"
	wait "$daemon_pid"
	[ ! -e "$rpc" ] || die "SIG$signal: a socket is left"
	kill "$client"
	wait "$client" 2>/dev/null || true
done

# The loops are what was asked for, or what is best here.
best=$("$vdpakit" probe | sed -n 's/^loop=//p')
for kind in auto epoll io_uring; do
	if [ "$kind" = io_uring ] && [ "$best" != io_uring ]; then
		status_is 1 "$vdpakitd" --socket "$rpc" --preload "$preload" \
			--loop io_uring
		has 'without io_uring' "$err" 'cannot set up io_uring'
		continue
	fi
	start_daemon --loop "$kind" --dev 'b0 vdpasim_blk'
	is "--loop $kind" "$("$vdpakit" -j status | jq -r .status.loop)" \
		"${kind/auto/$best}"
	has "--loop $kind" "$(LD_PRELOAD=$shim VDPAKIT_SOCKET=$preload \
		stat -L -c %F /dev/vhost-vdpa-0)" 'character special file'
	stop_daemon
	is "vdpakit run --loop $kind" "$("$vdpakit" run --loop "$kind" -- \
		"$vdpakit" -j status | jq -r .status.loop)" "${kind/auto/$best}"
done
status_is 125 "$vdpakit" run --loop kqueue -- true
has 'run --loop kqueue' "$err" "'kqueue' is not auto, io_uring or epoll"

# A dead one's sockets are replaced.
start_daemon
kill -9 "$daemon_pid"
wait "$daemon_pid" 2>/dev/null || true
[ -e "$rpc" ] || die 'a killed daemon has removed its socket'
start_daemon
is 'a new one' "$("$vdpakit" -j dev show)" '{"dev":{}}'
stop_daemon

# What is no socket is left alone.
echo mine >"$work/file"
status_is 1 "$vdpakitd" --socket "$work/file" --preload "$work/p"
has 'a file' "$err" 'is not a socket: move it away'
is 'the file' "$(cat "$work/file")" mine

while IFS='|' read -r want words; do
	eval "status_is 1 timeout 20 \"\$vdpakitd\" --socket \"\$rpc\" --preload \"\$preload\" $words"
	one_line "vdpakitd $words" "$err"
	has "vdpakitd $words" "$err" "$want"
	no_sockets "vdpakitd $words"
done <<'TABLE'
there is no option --foo|--foo
'foo' is no option|foo
--log: 'loud' is not|--log loud
--workers: 'x' is not a number|--workers x
--workers: at least 1 is needed|--workers 0
--loop: 'kqueue' is not auto, io_uring or epoll|--loop kqueue
--workers: 65 is above the limit of 64|--workers 65
--private: 77 is no open descriptor|--private 77
--private: 1 is no open descriptor above 2|--private 1
--dev 'n0 nobody': Fail to find the specified|--dev "n0 nobody"
--dev 'n0 vdpasim_net mtu 70000': mtu: 70000 is above|--dev "n0 vdpasim_net mtu 70000"
--dev 'n0 vdpasim_net': there is a device n0 already|--log warn --dev "n0 vdpasim_net" --dev "n0 vdpasim_net"
TABLE
status_is 1 "$vdpakitd" --socket "$work/a/b/c" --preload "$preload"
has 'no folder' "$err" "$work/a/b: No such file or directory"
status_is 1 "$vdpakitd" --socket "$(printf '/x%.0s' {1..60})" \
	--preload "$preload"
has 'a long path' "$err" 'longer than the 107 bytes'

status_is 0 "$vdpakitd" --help
for option in socket preload dev workers loop log private foreground version help; do
	has '--help' "$out" "--$option"
done
status_is 0 "$vdpakitd" --version
is '--version' "$out" "vdpakitd $("$vdpakit" -V | cut -d ' ' -f 2)"
