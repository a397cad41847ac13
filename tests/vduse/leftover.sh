#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A device process that its job forgot ends with the job's daemon.
#
# usage: leftover.sh PROGRAM     examples/vduse_blk
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/../e2e/lib.sh"

program=$(realpath "$1")
mkfifo "$work/said"
cat >"$work/job" <<'JOB'
"$1" ram0 >"$2/said" &
echo $! >"$2/pid"
read -r line <"$2/said"
[ "$line" = '/dev/vduse/ram0 is there' ] && exit 7
JOB
status=0
timeout 60 "$vdpakit" run --dev 'ram0 vduse' -- \
	bash "$work/job" "$program" "$work" || status=$?
[ $status = 7 ] || die "run ended with $status, not with its job's status"
timeout 30 tail --pid="$(<"$work/pid")" -f /dev/null ||
	die 'the device process is still there'
