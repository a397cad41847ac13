#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Run a program of this machine with another kernel: Debian's, with vDPA in it.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: in-guest.sh COMMAND [ARG...]
#
# COMMAND runs as root in a guest (tests/guest/lib.sh) that has this machine's
# files, in the same folder and with the same environment. It may write where
# it likes and nothing of that stays, but for $GUEST_SHARE: a folder by the same
# name here and there (default: a new one, removed at the end). There is no
# network.  Prints what COMMAND prints, when it has ended, and gives its status;
# 77 if something is missing here; 94 if the kernel complained; 95 to 98, 124:
# the guest failed, as in tests/guest.
#
# Loaded before: vduse, vhost_vdpa, virtio_vdpa and virtio's block and network
# drivers, or what GUEST_MODULES says; modprobe(8) has more.  A new vDPA device
# goes to vhost_vdpa, which is loaded first; /sys/bus/vdpa moves it:
#	echo virtio_vdpa >/sys/bus/vdpa/devices/NAME/driver_override
#	echo NAME >/sys/bus/vdpa/drivers/vhost_vdpa/unbind
#	echo NAME >/sys/bus/vdpa/drivers/virtio_vdpa/bind
# or GUEST_MODULES=vduse,virtio_vdpa,virtio_blk leaves no choice.
set -euo pipefail
. "$(dirname "$(realpath "$0")")/../guest/lib.sh"

[ $# -gt 0 ] || { sed -n 's/^# usage: //p' "$0" >&2; exit 2; }
guest_need
work=$(mktemp -d "${TMPDIR:-/tmp}/vdpakit-guest.XXXXXX")
trap 'guest_kill; rm -rf "$work"' EXIT
trap 'exit 143' TERM INT
share=$(realpath "${GUEST_SHARE:-$work}")
GUEST_DIR=$work
GUEST_WORK=$share
GUEST_HOST=1
: "${GUEST_MEM:=1024}"
: "${GUEST_MODULES=vduse,vhost_vdpa,virtio_vdpa,virtio_blk,virtio_net}"
{
	export -p
	echo 'export PATH=$PATH:/usr/sbin:/sbin'
	printf 'cd %q\n' "$PWD"
	printf 'exec'
	printf ' %q' "$@"
	echo
} >"$share/run"
: >"$share/out"

status=0
guest_boot "$guest_here/in/host.sh" "$share" || status=$?
cat "$share/out"
case $status in
9[0-9] | 124)
	guest_log >&2
	;;
esac
exit $status
