#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two disks of two processes, which are of different makes, in one run, both in
# use at once: what each is given is on it, and one is copied to the other.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/../e2e/lib.sh"

tool qemu7_storage_daemon
qsd7=$tool
tool qemu10_storage_daemon
qsd10=$tool
tool blkio_copy
copy=$tool
cat >"$work/job" <<'JOB'
set -euo pipefail
qsd7=$1 qsd10=$2 copy=$3 work=$4
driver=virtio-blk-vhost-vdpa
export TMPDIR=$work
path()
{
	echo "path=$(vdpakit -j dev show "$1" | jq -r '.dev[].path')"
}

# Each with its own process; --daemonize: when it returns, the disk is there.
serve()
{
	"$1" --daemonize --pidfile "$work/$2.pid" \
		--blockdev "driver=file,node-name=f,filename=$work/$2.img" \
		--export "type=vduse-blk,id=e,name=$2,node-name=f,writable=on"
}
end()
{
	local name pid

	for name in va vb; do
		vdpakit dev del $name || true
		pid=$(<"$work/$name.pid") # which goes with the process
		kill "$pid"
		tail --pid="$pid" -f /dev/null
	done
}
serve "$qsd7" va
serve "$qsd10" vb
trap end EXIT
a=$(path va) b=$(path vb)
[ "$a" != "$b" ]

for i in 1 2 3; do
	"$copy" --input-file="$work/in" --output-blkio=$driver "$a" &
	pid=$!
	"$copy" --input-file="$work/other" --output-blkio=$driver "$b"
	wait $pid
	cmp "$work/in" "$work/va.img"
	cmp "$work/other" "$work/vb.img"
	"$copy" --input-blkio=$driver "$a" --output-blkio=$driver "$b"
	cmp "$work/in" "$work/vb.img"
done
JOB
for name in in other; do
	dd if=/dev/urandom of="$work/$name" bs=1M count=16 status=none
done
truncate -s 16M "$work/va.img" "$work/vb.img"
timeout -k 5 90 "$vdpakit" run --log "${E2E_LOG:-warn}" --dev 'va vduse' \
	--dev 'vb vduse' -- bash "$work/job" "$qsd7" "$qsd10" "$copy" "$work"
