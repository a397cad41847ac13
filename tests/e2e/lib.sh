# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the end-to-end tests share; for bash, to be sourced first.
#
# Copyright (c) 2026, the vdpakit authors
#
# Sets: top (the tree), build (the build under test), vdpakit (its command),
# work (a folder of this test's own, removed at its end).
#
# skip TEXT...            exit 77, naming what is missing
# die TEXT...             exit 1
# tool KEY                sets $tool to a program of the test bed, or skips
# offer SPEC...           sets $GUEST_PREFIX: run QEMU with these devices
# boot_and_count DEV N JOB [ARG...] -- QEMU-ARG...
#                         boot (tests/guest/lib.sh), and when the job is done
#                         write the counters of N queues to $work/stats
# count DEV N             the latter alone, while something drives the device
# stat_of NAME            a counter of $work/stats
# refused WORDS CMD...    CMD fails, in one line that has these words
#
# Only vdpakit, the build's own programs and the test bed are used; no network,
# no name outside $work.
set -euo pipefail

top=$(realpath "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../..")
e2e=$top/tests/e2e
build=${VDPAKIT_BUILD:-$top/build}
vdpakit=$build/src/cli/vdpakit
work=$(mktemp -d "${TMPDIR:-/tmp}/vdpakit-e2e.XXXXXX")
export PATH=$build/src/cli:$PATH:/usr/sbin:/sbin
trap e2e_end EXIT

# Ends what the test left running: it may have died half-way.
e2e_end()
{
	local pids

	pids=$(jobs -p)
	if [ "$pids" ]; then
		# shellcheck disable=SC2086
		kill $pids 2>/dev/null || true
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

tool()
{
	if ! tool=$("$top/scripts/testbed" path "$1" 2>&1); then
		skip "$tool"
	fi
}

offer()
{
	local spec

	GUEST_PREFIX=("$vdpakit" run --log "${E2E_LOG:-warn}")
	for spec; do
		GUEST_PREFIX+=(--dev "$spec")
	done
	# So that the devices can be asked about from outside as well.
	# shellcheck disable=SC2016
	GUEST_PREFIX+=(-- sh -c 'echo "$VDPAKIT_RPC" >"$0"; exec "$@"'
		"$work/rpc")
}

count()
{
	local idx

	for ((idx = 0; idx < $2; idx++)); do
		VDPAKIT_RPC=$(<"$work/rpc") "$vdpakit" -j dev vstats show "$1" \
			qidx $idx
	done >"$work/stats"
}

stat_of()
{
	jq -rs --arg name "$1" \
		'[.. | objects | .[$name]? | numbers] | add // 0' "$work/stats"
}

refused()
{
	local words=$1

	shift
	if "$@" >"$work/out" 2>"$work/error"; then
		die "'$*' was not refused"
	fi
	[ "$(wc -l <"$work/error")" = 1 ] ||
		die "'$*' says: $(cat "$work/error")"
	grep -qF -- "$words" "$work/error" ||
		die "'$*' says: $(cat "$work/error")"
}

boot_and_count()
{
	local dev=$1 queues=$2

	shift 2
	GUEST_HOLD=1
	guest_start "$@"
	guest_wait_for '^GUEST-RC=' || guest_died 'never came to its end'
	count "$dev" "$queues" || guest_died 'no counters'
	guest_qmp quit >/dev/null
	guest_finish || guest_died "status $?"
}

guest_died()
{
	guest_log >&2
	cat "$GUEST_DIR/qemu.log" >&2
	die "$@"
}

[ -x "$vdpakit" ] || die "$vdpakit is not built"
command -v jq >/dev/null || skip 'jq is not installed (scripts/setup test)'
