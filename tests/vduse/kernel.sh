#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a real kernel's VDUSE does is what transcript.kernel-VERSION says.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: kernel.sh PROBE KEY     KEY of the test bed's kernel
#
# After a change of the probe: UPDATE=1 kernel.sh ... writes the transcript anew.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d "${TMPDIR:-/tmp}/vdpakit-vduse.XXXXXX")
trap 'rm -rf "$work"' EXIT

status=0
# shellcheck disable=SC2016
GUEST_KERNEL=$2 "$here/in-guest.sh" "$1" --timeout-command \
	'echo 1 >"/sys/class/vduse/$1/msg_timeout"' >"$work/said" || status=$?
[ $status = 0 ] || { cat "$work/said" >&2; exit $status; }
version=$(sed -n '1s/^# Linux \([0-9]*\.[0-9]*\).*/\1/p' "$work/said")
transcript=$here/transcript.kernel-$version
grep -v '^#' "$work/said" >"$work/transcript"
[ ! "${UPDATE-}" ] || cp "$work/transcript" "$transcript"
[ -e "$transcript" ] || { echo "SKIP: no transcript of $version" >&2; exit 77; }
diff -u "$transcript" "$work/transcript" >&2
