#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# VDUSE here does what VDUSE of a kernel does, but for what `differences` says.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: ours.sh PROBE
#
# After a change: UPDATE=1 ours.sh ... shows the differences that there are.
. "$(dirname "$(realpath "$0")")/../e2e/lib.sh"

kernel=$top/tests/vduse/transcript.kernel-7.2
accepted=$top/tests/vduse/differences
probe=$(realpath "$1")

# shellcheck disable=SC2016
"$vdpakit" run -- "$probe" --timeout-command \
	'vdpakit dev set name $1 timeout 1' >"$work/said" 2>"$work/log" || {
	tail -n 20 "$work/said" "$work/log" >&2
	die 'the probe did not come to its end'
}
grep -v '^#' "$work/said" >"$work/ours"
diff -U 0 "$kernel" "$work/ours" | sed 1,2d | grep '^[-+]' >"$work/found" || true
if [ "${UPDATE-}" ]; then
	cat "$work/found"
	exit 0
fi
grep '^[-+]' "$accepted" >"$work/accepted"
diff -u --label accepted --label found "$work/accepted" "$work/found" >&2 ||
	die 'other differences from the kernel than are known'
