#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vdpakit run: exit statuses, environment, arguments, signals.
#
# Copyright (c) 2026, the vdpakit authors
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"

nothing_left()
{
	is "$1: folders left" "$(echo "$work"/vdpakit-run-*)" \
		"$work/vdpakit-run-*"
}

# The status is the command's.
status_is 0 "$vdpakit" run true
status_is 7 "$vdpakit" run -- sh -c 'exit 7'
status_is 255 "$vdpakit" run -- sh -c 'exit 255'
status_is $((128 + 9)) "$vdpakit" run -- sh -c 'kill -9 $$'
status_is $((128 + 15)) "$vdpakit" run -- sh -c 'kill $$'
is 'nothing is printed' "$out$err" ''
nothing_left 'after commands'

# Or says that there was none.
status_is 127 "$vdpakit" run -- no-such-command
one_line 'no command' "$err"
has 'no command' "$err" 'no-such-command: No such file or directory'
status_is 126 "$vdpakit" run -- /
one_line 'no program' "$err"
touch "$work/plain"
status_is 126 "$vdpakit" run -- "$work/plain"
while IFS='|' read -r want words; do
	eval "status_is 125 \"\$vdpakit\" run $words -- touch \"\$work/ran\""
	one_line "run $words" "$err"
	has "run $words" "$err" "vdpakit: run: $want"
	[ ! -e "$work/ran" ] || die "run $words: the command was run"
done <<'TABLE'
there is no option --foo|--foo
--dev '--': '--' is not like|--dev
--log: 'loud' is not|--log loud
--workers: 'x' is not a number|--workers x
--workers: 65 is above|--workers 65
--workers: at least 1|--workers 0
--dev 'n0': 'n0' is not like|--dev n0
--dev 'n0 nobody': Fail to find the specified management device|--dev "n0 nobody"
--dev 'n0 vdpasim_net': there is a device n0 already|--dev "n0 vdpasim_net" --dev "n0 vdpasim_net"
--dev 'n0 vdpasim_net mtu=67': integer out of range|--dev "n0 vdpasim_net mtu=67"
--dev 'n0 vdpasim_net mtu': mtu: a value is missing|--dev "n0 vdpasim_net mtu"
--dev 'n0 vdpasim_net x=1': vdpasim_net takes no 'x'|--dev "n0 vdpasim_net x=1"
TABLE
status_is 125 "$vdpakit" run
has 'no command at all' "$err" 'a command is missing'
nothing_left 'after failures'

# What the command finds.
status_is 0 "$vdpakit" run --dev 'n0 vdpasim_net' --dev 'b0 vdpasim_blk capacity=1M' \
	-- "$vdpakit" -j dev show
is 'devices' "$(printf '%s' "$out" | jq -c '.dev | keys')" '["b0","n0"]'
# shellcheck disable=SC2016
status_is 0 "$vdpakit" run -- sh -c \
	'stat -c %a "$(dirname "$VDPAKIT_RPC")" "$VDPAKIT_RPC" "$VDPAKIT_SOCKET"'
is 'modes' "$out" "$(printf '700\n600\n600')"
# shellcheck disable=SC2016
LD_PRELOAD=libdl.so.2 status_is 0 "$vdpakit" run -- sh -c 'echo "$LD_PRELOAD"'
is 'LD_PRELOAD' "$out" "$(realpath "$shim"):libdl.so.2"
# shellcheck disable=SC2016
status_is 0 "$vdpakit" run -- "$vdpakit" run --dev 'inner vdpasim_net' -- \
	sh -c 'echo "$LD_PRELOAD"; "$0" -j dev show | jq -c ".dev | keys"' \
	"$vdpakit"
is 'a run in a run' "$out" "$(printf '%s\n["inner"]' "$(realpath "$shim")")"
status_is 0 "$vdpakit" run -- cat <<<word
is 'standard input' "$out" word
status_is 0 "$vdpakit" run -- echo -n --dev x -- y
is 'arguments' "$out" '--dev x -- y'
status_is 0 "$vdpakit" run -- "$vdpakit" -j status
is 'private' "$(printf '%s' "$out" | jq '.status.private')" true

# A long runtime folder does not hold a socket's path: /tmp does.
long=$work/$(printf 'x%.0s' {1..90})
mkdir "$long"
# shellcheck disable=SC2016
XDG_RUNTIME_DIR=$long status_is 0 "$vdpakit" run -- sh -c 'echo "$VDPAKIT_RPC"'
has 'long folder' "$out" /tmp/vdpakit-run-

# Signals to run alone reach the command; run has its status. (What a shell
# puts into the background ignores SIGINT and SIGQUIT.)
for signal in INT TERM HUP QUIT USR1 USR2; do
	mkfifo "$work/up"
	env --default-signal "$vdpakit" run -- bash -c "trap 'echo got; exit 42' $signal
		echo up >'$work/up'
		while :; do read -r -t 1 <>'$work/never' || true; done" \
		>"$work/out" 2>&1 &
	pid=$!
	read -r _ <"$work/up"
	kill -s "$signal" "$pid"
	status=0
	wait "$pid" || status=$?
	is "SIG$signal: status" "$status" 42
	is "SIG$signal: output" "$(cat "$work/out")" got
	rm "$work/up"
done
# Stopping one stops the other, and so for going on. (In an orphaned process
# group, as ours may be, SIGTSTP does nothing: so a group of its own.)
mkfifo "$work/up"
set -m
"$vdpakit" run -- bash -c "echo \$\$ >'$work/up'; read -r _ <'$work/up'" &
pid=$!
set +m
read -r child <"$work/up"
state_is()
{
	[ "$(sed 's/.*) //' "/proc/$1/stat" | cut -c 1)" = "$2" ]
}
kill -s TSTP "$pid"
wait_for state_is "$pid" T
wait_for state_is "$child" T
kill -s CONT "$pid"
wait_for state_is "$child" S
echo on >"$work/up"
wait "$pid"
rm "$work/up"
nothing_left 'after signals'

# Moved away from its daemon and library, it says so.
mkdir "$work/alone"
cp "$vdpakit" "$work/alone"
status_is 125 "$work/alone/vdpakit" run true
one_line 'no daemon' "$err"
has 'no daemon' "$err" 'there is no vdpakitd'
cp "$vdpakitd" "$work/alone"
status_is 125 "$work/alone/vdpakit" run true
has 'no library' "$err" 'there is no libvdpakit-preload.so'
