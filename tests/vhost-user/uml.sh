#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# User-mode Linux, whose virtio_uml is a front end of its own, with a disk and a
# network card: a file system is made, filled, verified; frames go round.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: uml.sh uml61|uml612
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$top/tests/guest/uml.sh"

UML_DIR=$work/uml
mkdir -p "$UML_DIR"
truncate -s 64M "$work/disk"
# virtio_uml starts packed rings at 0, which is the wrong wrap counter: none.
disk d0 "$work/disk" 1 device_features b38007e44
names+=(n0)
devs+=(--dev "n0 vdpasim_net mac $mac device_features 308830028 $(
	)bind vhost_user path $work/n0.sock")
open_doors
# What the guest sees of the host's /tmp is its own.
mkdir "$UML_DIR/share"
cp "$guest_here"/in/*.sh "$UML_DIR/share/"
cat >"$UML_DIR/share/job" <<'JOB'
set -e
bash /tmp/share/blk.sh /dev/vda
bash /tmp/share/net-loopback.sh 2000
JOB
status=0
uml_boot "$1" /tmp/share/job -- \
	"virtio_uml.device=$work/d0.sock:2" \
	"virtio_uml.device=$work/n0.sock:1" || status=$?
[ $status = 0 ] || { uml_log >&2; die "status $status"; }
uml_log | grep -E '^(blk|net|frames)'
uml_log | grep -q '^blk: fio verified 1 jobs' || die 'fio did not run'
uml_log | grep -q '^frames sent=2000 received=2000 bad=0' ||
	die 'frames were lost'
e2fsck -fn "$work/disk" || die 'the file system is not clean'
close_doors
