#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# qemu-storage-daemon's vduse-blk export as the device, libblkio's programs as
# its clients: what is copied in is in the image file, and comes out again.
#
# usage: vduse-blk.sh wait|dev|iproute2     who adds the device, and when
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

form=$1
command -v qemu-storage-daemon >/dev/null ||
	skip 'qemu-storage-daemon is not installed (scripts/setup test)'
[ "$form" != iproute2 ] || command -v vdpa >/dev/null ||
	skip 'vdpa of iproute2 is not installed (scripts/setup test)'
tool blkio_info
info=$tool
tool blkio_copy
copy=$tool
cat >"$work/job" <<'JOB'
set -euo pipefail
form=$1 info=$2 copy=$3 work=$4
driver=virtio-blk-vhost-vdpa
path=path=/dev/vhost-vdpa-0
# With --daemonize it returns when its exports are there. It keeps a log named
# after the export where TMPDIR says: one for the whole machine otherwise.
export TMPDIR=$work
serve=(qemu-storage-daemon --pidfile "$work/pid"
	--blockdev "file,node-name=f,filename=$work/image,locking=off"
	--export "vduse-blk,id=e,name=vb0,node-name=f,writable=on,num-queues=2")
end()
{
	kill "$(<"$work/pid")" || true
	tail --pid="$(<"$work/pid")" -f /dev/null || true
}

case $form in
wait)
	"${serve[@]}" &
	vdpakit dev add name vb0 mgmtdev vduse wait 60
	;;
dev)
	"${serve[@]}" --daemonize
	;;
iproute2)
	"${serve[@]}" --daemonize
	vdpa dev add name vb0 mgmtdev vduse
	vdpa -j dev show vb0 | grep -q '"type":"block","mgmtdev":"vduse"'
	;;
esac
trap end EXIT
"$info" $driver $path capacity max-queues | tee "$work/info"
"$copy" --input-file="$work/in" --output-blkio=$driver $path
cmp "$work/in" "$work/image"
truncate -s 16M "$work/out"
"$copy" --input-blkio=$driver $path --output-file="$work/out"
cmp "$work/in" "$work/out"
JOB
dd if=/dev/urandom of="$work/in" bs=1M count=16 status=none
truncate -s 16M "$work/image"
args=()
[ "$form" != dev ] || args=(--dev 'vb0 vduse')
timeout -k 5 90 "$vdpakit" run "${args[@]}" -- bash "$work/job" "$form" \
	"$info" "$copy" "$work"
grep -q '^16777216$' "$work/info" || die "capacity: $(cat "$work/info")"
grep -q '^2$' "$work/info" || die "queues: $(cat "$work/info")"
