# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# A disk as the kernel's own /dev/vhost-vdpa-0, libblkio as its client.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: vhost.sh BLKIO_COPY BLKIO_BENCH
. "$(dirname "$(realpath "$0")")/lib.sh"
copy=$1 bench=$2
driver=virtio-blk-vhost-vdpa
path=path=/dev/vhost-vdpa-0

truncate -s 16M "$work/disk" "$work/out"
dd if=/dev/urandom of="$work/in" bs=1M count=16 status=none
start_daemon --dev "d0 blk backend file path $work/disk bind vduse"
[ -c /dev/vhost-vdpa-0 ] || die 'no /dev/vhost-vdpa-0'
for _ in 1 2; do
	"$copy" --input-file="$work/in" --output-blkio=$driver $path
	cmp "$work/in" "$work/disk"
	"$copy" --input-blkio=$driver $path --output-file="$work/out"
	cmp "$work/in" "$work/out"
done
# It aborts when it has waited half a second for an answer, which a busy machine
# may take: so it polls, and of those that wait one must get to its end.
for mode in randread randwrite; do
	"$bench" --poll --runtime=1 --readwrite=$mode $driver $path
done
waits()
{
	"$bench" --runtime=1 --readwrite=randwrite $driver $path
}
waits || waits || waits || die 'blkio-bench waits in vain'

# A client that is killed, and one that has the device open while it is
# deleted: it goes on, and the device goes when it has ended.
in_use()
{
	vdpakit dev show d0 | grep -q 'in use'
}
"$bench" --poll --runtime=60 --readwrite=randread $driver $path &
client=$!
wait_for in_use
kill -9 $client
wait $client || true
wait_for eval '! in_use'
"$bench" --poll --runtime=60 --readwrite=randread $driver $path &
client=$!
wait_for in_use
vdpakit dev del d0 &
deleting=$!
being_removed()
{
	status_is 1 vdpakit dev unbind d0
	has 'unbind' "$err" 'is being removed'
}
wait_for being_removed
kill -0 $deleting || die 'it was deleted under its client'
kill $client
wait $client || true
wait $deleting || die 'not deleted'
only_control
sane
stop_daemon
