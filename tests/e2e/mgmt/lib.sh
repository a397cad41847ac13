# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the tests of the daemon and the command share; for bash, to be sourced.
#
# Copyright (c) 2026, the vdpakit authors
#
# Sets: build (the build under test), vdpakit, vdpakitd, shim (what is tested),
# work (a folder of this test's own, removed at its end).
#
# skip TEXT...              exit 77, naming what is missing
# die TEXT...               exit 1
# is WHAT GOT WANT          equal, or die
# has WHAT GOT PART         contains, or die
# status_is WANT COMMAND... runs it; its exit status, or die. What it printed is
#                           in $out and $err
# one_line WHAT TEXT        exactly one line, or die
# wait_for COMMAND...       until it succeeds: the work folder changed, or a
#                           process ended; die after a while
# start_daemon [ARG...]     a daemon in $work: $rpc, $preload, $daemon_pid
# stop_daemon               SIGTERM; its exit status, its log in $work/log
set -euo pipefail

build=${VDPAKIT_BUILD:-$(realpath "$(dirname "$(realpath \
	"${BASH_SOURCE[0]}")")/../../..")/build}
# shellcheck disable=SC2034
vdpakit=$build/src/cli/vdpakit
vdpakitd=$build/src/daemon/vdpakitd
# shellcheck disable=SC2034
shim=$build/src/shim/libvdpakit-preload.so
work=$(mktemp -d "${TMPDIR:-/tmp}/vdpakit-e2e.XXXXXX")
rpc=$work/rpc.sock
preload=$work/preload.sock
daemon_pid=
# A job that runs inside of `vdpakit run` keeps what it has.
if [ -z "${VDPAKIT_E2E_JOB:-}" ]; then
	unset VDPAKIT_RPC VDPAKIT_SOCKET NOTIFY_SOCKET LISTEN_FDS LISTEN_PID
	export XDG_RUNTIME_DIR=$work
fi

export PATH=$build/src/cli:$PATH:/usr/sbin:/sbin
trap end EXIT

# Ends what the test left running: it may have died half-way.
end()
{
	local pids

	pids=$(jobs -p)
	if [ "$pids" ]; then
		# shellcheck disable=SC2086
		kill $pids 2>/dev/null || true
		# shellcheck disable=SC2086
		kill -s CONT $pids 2>/dev/null || true
		wait
	fi
	rm -rf "$work"
}

skip()
{
	echo "SKIP: $*" >&2
	exit 77
}

die()
{
	echo "FAIL: $*" >&2
	exit 1
}

is()
{
	[ "$2" = "$3" ] || die "$1: got '$2', want '$3'"
}

has()
{
	case $2 in
	*"$3"*) ;;
	*) die "$1: got '$2', which has no '$3'" ;;
	esac
}

status_is()
{
	local want=$1 got=0

	shift
	"$@" >"$work/out" 2>"$work/err" || got=$?
	out=$(cat "$work/out")
	err=$(cat "$work/err")
	[ "$got" = "$want" ] ||
		die "$*: status $got, want $want; out '$out' err '$err'"
}

one_line()
{
	is "$1: lines" "$(printf '%s' "$2" | grep -c ^)" 1
}

# There is no event for "a process has got so far" that a shell can wait for;
# this looks again whenever a reader of the named pipe could have been fed.
wait_for()
{
	local i

	for ((i = 0; i < 600; i++)); do
		! "$@" >/dev/null 2>&1 || return 0
		read -r -t 0.05 <>"$work/never" || true
	done
	die "waited in vain for: $*"
}

start_daemon()
{
	local helper line

	# The daemon says READY=1 when its sockets are there.
	rm -f "$work/ready"
	mkfifo "$work/ready"
	exec 7<>"$work/ready"
	python3 - "$work/notify" >&7 <<'PYTHON' &
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
print(s.recv(4096).decode().split('\n')[0], flush=True)
os.unlink(sys.argv[1])
PYTHON
	helper=$!
	read -r line <&7
	NOTIFY_SOCKET=$work/notify "$vdpakitd" --socket "$rpc" \
		--preload "$preload" "$@" 2>"$work/log" 7>&- &
	daemon_pid=$!
	read -r -t 60 line <&7 || die "not ready: $(cat "$work/log")"
	is 'the first notification' "$line" READY=1
	wait "$helper"
	exec 7>&-
	export VDPAKIT_RPC=$rpc
}

stop_daemon()
{
	local status=0

	kill "$daemon_pid"
	wait "$daemon_pid" || status=$?
	daemon_pid=
	return $status
}

mkfifo "$work/never"
for tool in jq python3; do
	command -v $tool >/dev/null ||
		skip "$tool is not installed (scripts/setup test)"
done
