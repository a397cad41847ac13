#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# virtiofsd's file system, as our device, shown on a vhost-user socket of ours: a
# user-mode Linux mounts it, and both sides see what the other wrote.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: fs.sh uml61|uml612
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$top/tests/guest/uml.sh"

# QEMU 7.2's, which Debian 12 has; a later one is a program of its own.
virtiofsd=/usr/lib/qemu/virtiofsd
[ -x $virtiofsd ] || skip "there is no $virtiofsd"
UML_DIR=$work/uml
mkdir -p "$UML_DIR/share" "$work/shared"
seq 100000 >"$work/shared/ours"
cat >"$UML_DIR/share/job" <<'JOB'
set -e
modprobe virtiofs
mkdir -p /tmp/fs
mount -t virtiofs home /tmp/fs
tac /tmp/fs/ours >/tmp/fs/theirs
umount /tmp/fs
mount -t virtiofs home /tmp/fs
seq 100000 | tac | cmp - /tmp/fs/theirs
umount /tmp/fs
echo "fs: read and written"
JOB
open_bus
"$virtiofsd" --socket-path="$work/fs.back" -o "source=$work/shared" \
	-o sandbox=chroot >"$work/virtiofsd.log" 2>&1 &
# Its process ends with its connection.
"$vdpakit" dev add name fs0 mgmtdev vhost_user type fs tag home \
	path "$work/fs.back" wait 30
"$vdpakit" dev bind fs0 vhost_user path "$work/fs0.sock"
status=0
uml_boot "$1" /tmp/share/job -- "virtio_uml.device=$work/fs0.sock:26" ||
	status=$?
if [ $status != 0 ]; then
	uml_log >&2
	cat "$work/virtiofsd.log" "$work/log" >&2
	die "status $status"
fi
uml_log | grep '^fs: read and written' || die 'nothing was done'
seq 100000 | tac | cmp - "$work/shared/theirs" ||
	die 'the host sees another content'
"$vdpakit" dev del fs0
close_doors
