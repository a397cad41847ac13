# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# The kernel's own /dev/vhost-vdpa-0 as a device of ours (a disk of ours is
# behind it, so data goes through the kernel's VDUSE): libblkio through a second
# daemon, our own driver on packed and split rings, and the same daemon on both
# sides of the kernel, which must not wait for itself.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: bridge.sh BLKIO_COPY BLKIO_BENCH
. "$(dirname "$(realpath "$0")")/lib.sh"
export copy=$1 bench=$2 work
node=/dev/vhost-vdpa-0
size=16M

new_input()
{
	dd if=/dev/urandom of="$work/in" bs=$size count=1 status=none
	rm -f "$work/out"
	truncate -s $size "$work/out"
}

# Its node is closed by a thread, soon after r0 is gone.
can_be_deleted()
{
	! vdpakit dev show d0 | grep -q 'in use' && vdpakit dev del d0
}

truncate -s $size "$work/disk"
start_daemon --dev "d0 blk backend file path $work/disk num_queues 2 bind vduse"
[ -c $node ] || die "no $node"

# One daemon below the kernel, one above it.
cat >"$work/job" <<'JOB'
set -euo pipefail
driver=virtio-blk-vhost-vdpa path=path=/dev/vhost-vdpa-0
vdpakit dev show
"$copy" --input-file="$work/in" --output-blkio=$driver $path
"$copy" --input-blkio=$driver $path --output-file="$work/out"
"$bench" --runtime=1 --readwrite=randread $driver $path >"$work/bench"
JOB
for bounce in off on; do
	new_input
	vdpakit run --dev "r0 vhost_vdpa path=$node bounce=$bounce" -- \
		bash "$work/job"
	cmp "$work/in" "$work/disk"
	cmp "$work/in" "$work/out"
done

# Our own driver, which takes packed rings where they are offered.
for packed in true false; do
	new_input
	is 'packed' "$(vdpakit -j blk info $node | jq .packed)" $packed
	vdpakit blk copy "$work/in" $node
	cmp "$work/in" "$work/disk"
	vdpakit blk copy $node "$work/out"
	cmp "$work/in" "$work/out"
	[ $packed = true ] || break
	# The same without them: only bits of the device class and VERSION_1.
	vdpakit dev del d0
	vdpakit dev add name d0 mgmtdev blk device_features 300001244 \
		backend file path "$work/disk" num_queues 2
	vdpakit dev bind d0 vduse
	[ -c $node ] || die "no $node any more"
done

# The same daemon above and below: it asks the kernel, which asks it.
new_input
vdpakit dev add name r0 mgmtdev vhost_vdpa path $node
vdpakit dev bind r0 vhost_user path "$work/r0.sock"
blkio=(virtio-blk-vhost-user "path=$work/r0.sock")
"$copy" --input-file="$work/in" --output-blkio="${blkio[@]}"
cmp "$work/in" "$work/disk"
"$copy" --input-blkio="${blkio[@]}" --output-file="$work/out"
cmp "$work/in" "$work/out"
vdpakit dev del r0
wait_for can_be_deleted
only_control
sane
stop_daemon
