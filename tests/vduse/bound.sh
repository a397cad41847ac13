#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Devices of vdpakitd on the vDPA bus of a kernel (dev bind NAME vduse): runs a
# job of bound/ in a guest.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: bound.sh JOB MODULES [ARG...]
#
# MODULES say who takes the devices: virtio_vdpa or vhost_vdpa, and what else is
# wanted. The job finds the programs frames and slots in its PATH.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
job=$1
export GUEST_MODULES=vduse,$2
shift 2
# The jobs take well under a minute; machines are busy.
export GUEST_TIMEOUT=${GUEST_TIMEOUT:-280}

GUEST_SHARE=$(mktemp -d "${TMPDIR:-/tmp}/vdpakit-bound.XXXXXX")
export GUEST_SHARE
trap 'rm -rf "$GUEST_SHARE"' EXIT
for program in frames slots; do
	${CC:-cc} -O2 -static -pthread -o "$GUEST_SHARE/$program" \
		"$here/../guest/$program.c"
done
status=0
PATH=$GUEST_SHARE:$PATH "$here/in-guest.sh" bash "$here/bound/$job.sh" "$@" ||
	status=$?
exit $status
