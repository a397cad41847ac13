#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The guest harness itself, on QEMU's own devices: no vdpakit in it.
#
# Copyright (c) 2026, the vdpakit authors
set -euo pipefail
. "$(dirname "$(realpath "$0")")/lib.sh"

work=$(mktemp -d)
trap 'guest_kill; rm -rf "$work"' EXIT
GUEST_DIR=$work/guest
GUEST_WORK=$work/share
mkdir -p "$GUEST_DIR" "$GUEST_WORK"
guest_need

# A datagram socket whose peer is itself is a loopback.
loop=local.type=unix,local.path=$work/loop,remote.type=unix,remote.path=$work/loop
net=(-netdev "dgram,id=n0,$loop"
	-device virtio-net-pci,netdev=n0,disable-legacy=on,romfile=)
truncate -s 64M "$work/disk"
disk=(-blockdev "file,node-name=d0,filename=$work/disk"
	-device virtio-blk-pci,drive=d0,disable-legacy=on)

die()
{
	echo "FAIL: $*" >&2
	guest_log >&2
	exit 1
}

GUEST_RAM=memfd GUEST_REBOOTS=1 guest_boot "$guest_here/in/reboot.sh" 1 \
	net-reload.sh 1 300 -- "${net[@]}" || die "network, status $?"
[ "$(guest_log | grep -c 'received=300 bad=0')" = 4 ] ||
	die 'frames were not counted'
GUEST_RAM=plain guest_boot "$guest_here/in/blk.sh" -- "${disk[@]}" ||
	die "disk, status $?"
guest_disk "$work/root"
root=(-blockdev "file,node-name=d0,filename=$work/root"
	-device virtio-blk-pci,drive=d0,num-queues=2,disable-legacy=on)
GUEST_SMP=2 GUEST_ROOT=/dev/vda1 guest_boot "$guest_here/in/blk.sh" \
	/dev/vda2 -- "${root[@]}" || die "root on a disk, status $?"
guest_log | grep -q '^blk: fio verified 2 jobs' || die 'fio did not run'
/sbin/e2fsck -fn "$work/root?offset=1048576" >&2 ||
	die 'the root was not left clean'

# What must not pass: a job's status, silence, and a job that never ends.
echo 'exit 7' >"$work/job"
guest_boot "$work/job" && die 'status 7 got lost' || [ $? = 7 ] ||
	die "status 7 came as another"
echo 'echo READY; exec cat /dev/ttyS0' >"$work/job"
guest_start "$work/job"
guest_wait_for READY || die 'no READY'
guest_qmp quit >/dev/null
guest_finish 2>/dev/null && die 'no status, yet passed' || [ $? = 97 ] ||
	die 'no status came as another'
GUEST_TIMEOUT=2 guest_boot "$work/job" 2>/dev/null &&
	die 'out of time, yet passed' || [ $? = 124 ] ||
	die 'out of time came as another'
