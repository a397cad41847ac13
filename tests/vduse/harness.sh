#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# in-guest.sh itself: what it gives the command, and what comes back.
#
# Copyright (c) 2026, the vdpakit authors
set -euo pipefail
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d "${TMPDIR:-/tmp}/vdpakit-guest.XXXXXX")
trap 'rm -rf "$work"' EXIT

die()
{
	echo "FAIL: $*" >&2
	[ ! -e "$work/said" ] || cat "$work/said" >&2
	exit 1
}

# guest STATUS COMMAND [ARG...]
guest()
{
	local want=$1 status=0

	shift
	"$here/in-guest.sh" "$@" >"$work/said" 2>&1 || status=$?
	[ $status != 77 ] || { cat "$work/said" >&2; exit 77; }
	[ $status = "$want" ] || die "status $status, expected $want"
}

cd "$work"
echo here >mine
export GREETING="it's me"
mkdir share
# shellcheck disable=SC2016
GUEST_SHARE=$work/share guest 7 bash -c '
	set -e
	[ "$(cat mine)" = here ]
	[ "$GREETING" = "$1" ]
	[ -c /dev/vduse/control ]
	ls -d /sys/bus/vdpa/drivers/{vhost,virtio}_vdpa
	[ "$(uname -r)" != "$2" ]
	modprobe ext4
	echo gone >mine
	cp mine share/kept
	exit 7' - "it's me" "$(uname -r)"
[ "$(<mine)" = here ] || die 'what the guest wrote stayed'
[ "$(<share/kept)" = gone ] || die 'the share was not kept'
guest 94 bash -c 'echo "BUG: so it seems" >/dev/kmsg'
grep -q 'BUG: so it seems' said || die 'the complaint was not told'
