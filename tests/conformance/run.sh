#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# run.sh BUILDDIR PROGRAM [FILTER]: run one conformance program with a daemon of
# its own, or on a kernel's devices when CONFORMANCE_KERNEL=1.
# CONFORMANCE_RUN_ARGS: more options of `vdpakit run`.
#
# Copyright (c) 2026, the vdpakit authors
set -euo pipefail

build=$1
program=$2
shift 2

# cmocka calls a skipped test "not ok", which TAP readers take for a failure.
skips_are_ok() {
	sed 's/^not ok \([0-9]* # SKIP\)/ok \1/'
}

if [ "${CONFORMANCE_KERNEL:-0}" = 1 ]; then
	"$program" "$@" | skips_are_ok
	exit
fi

unset CONFORMANCE_NODE CONFORMANCE_NET_NAME
export CONFORMANCE_VDPAKIT=$build/src/cli/vdpakit
# shellcheck disable=SC2086 # several words
"$build/src/cli/vdpakit" run ${CONFORMANCE_RUN_ARGS:-} \
	--dev "net0 vdpasim_net mac 52:54:00:12:34:56" \
	--dev "blk0 vdpasim_blk" -- "$program" "$@" | skips_are_ok
