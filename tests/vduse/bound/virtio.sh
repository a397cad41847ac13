# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Two disks and a network card for the kernel's own drivers, and away again.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: virtio.sh split|packed
. "$(dirname "$(realpath "$0")")/lib.sh"

# Without RING_PACKED, or with it: what drivers of the kernel take if they can.
case $1 in
split) packed=0 blk=b38007e44 net=308830028 ;;
packed) packed=1 blk=f38007e44 net=708830028 ;;
esac
truncate -s 64M "$work/disk"
start_daemon \
	--dev "b0 vdpasim_blk bind vduse" \
	--dev "d0 blk backend file path $work/disk num_queues 2 $(
		)device_features $blk bind vduse name disk-0" \
	--dev "n0 vdpasim_net mac 52:54:00:12:34:56 $(
		)device_features $net bind vduse"
has 'd0' "$(vdpa dev show disk-0)" 'type block mgmtdev vduse'
has 'n0' "$(vdpa dev config show n0)" 'mac 52:54:00:12:34:56'
has 'n0 here' "$(vdpakit dev show n0)" 'driver vduse path /dev/vduse/n0 in use'

disk=$(node disk-0 block)
is 'queues' "$(ls "/sys/block/$disk/mq" | wc -l)" "$(nproc)"
bash "$guest_in/blk.sh" "/dev/$disk" 20
fio --name=sim --filename=/dev/"$(node b0 block)" --size=8M --rw=randwrite \
	--bsrange=512-64k --bs_unaligned=0 --direct=1 --ioengine=libaio \
	--iodepth=16 --verify=crc32c --verify_fatal=1 --output="$work/fio" ||
	die "fio: $(cat "$work/fio")"
card=$(node n0 net)
ip link set "$card" up
frames "$card" 300
ring=$(cut -c 35 "/sys/bus/vdpa/devices/disk-0/$(basename \
	/sys/bus/vdpa/devices/disk-0/virtio*)/features")
is 'RING_PACKED' "$ring" $packed

# The driver leaves, and comes back to the same device.
kernel_device=$(basename /sys/bus/vdpa/devices/disk-0/virtio*)
echo disk-0 >/sys/bus/vdpa/drivers/virtio_vdpa/unbind
has 'd0 without a driver' "$(vdpakit dev show d0)" 'path /dev/vduse/disk-0'
echo disk-0 >/sys/bus/vdpa/drivers/virtio_vdpa/bind
dd if="/dev/$(node disk-0 block)" of="$work/back" bs=64k iflag=direct \
	status=none
cmp "$work/disk" "$work/back"
[ "$kernel_device" ]

# In use: not to be unbound, but to be deleted.
status_is 1 vdpakit dev unbind d0
has 'unbind' "$err" 'in use'
vdpakit dev del d0
status_is 1 vdpa dev show disk-0
[ ! -e /dev/vduse/disk-0 ] || die 'disk-0 is left'
sane
# The rest goes with the daemon.
stop_daemon
only_control
sane
