#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# examples/vduse_blk on the kernel's VDUSE: a disk of the kernel's own driver,
# then one of libblkio's, with the same content.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: example.sh PROGRAM KEY     KEY of the test bed's kernel
set -euo pipefail
here=$(dirname "$(realpath "$0")")

die()
{
	echo "FAIL: $*" >&2
	exit 1
}

if [ ! "${IN_GUEST-}" ]; then
	copy=$("$here/../../scripts/testbed" path blkio_copy 2>&1) ||
		{ echo "SKIP: $copy" >&2; exit 77; }
	GUEST_KERNEL=$2 IN_GUEST=1 exec "$here/in-guest.sh" bash "$0" "$(realpath "$1")" "$copy"
fi

# bind DRIVER
bind()
{
	local dev=/sys/bus/vdpa/devices/ram0

	[ ! -e $dev/driver ] || echo ram0 >$dev/driver/unbind
	echo "$1" >$dev/driver_override
	echo ram0 >"/sys/bus/vdpa/drivers/$1/bind"
}

cd /tmp
echo 0 >/sys/bus/vdpa/drivers_autoprobe
mkfifo said
"$1" ram0 >said &
device=$!
read -r line <said && [ "$line" = '/dev/vduse/ram0 is there' ] ||
	die 'the device did not come'
vdpa dev add name ram0 mgmtdev vduse
vdpa dev show

bind virtio_vdpa
[ "$(</sys/block/vda/size)" = 32768 ] || die 'size'
dd if=/dev/urandom of=data bs=1M count=16 status=none
dd if=data of=/dev/vda bs=64k oflag=direct conv=fsync status=none
dd if=/dev/vda of=back bs=1M iflag=direct status=none
cmp data back || die 'what virtio_blk read is not what it wrote'
dd if=data of=/dev/vda bs=512 count=9 skip=100 seek=32759 oflag=direct \
	conv=notrunc,fsync status=none
dd if=data of=data bs=512 count=9 skip=100 seek=32759 conv=notrunc status=none

bind vhost_vdpa
blkio=(virtio-blk-vhost-vdpa path=/dev/vhost-vdpa-0)
"$2" --input-blkio="${blkio[0]}" "${blkio[1]}" --output-file=back
cmp data back || die 'what libblkio read is not what virtio_blk wrote'
dd if=/dev/urandom of=data bs=1M count=16 status=none
"$2" --input-file=data --output-blkio="${blkio[0]}" "${blkio[1]}"
bind virtio_vdpa
dd if=/dev/vda of=back bs=1M iflag=direct status=none
cmp data back || die 'what virtio_blk read is not what libblkio wrote'

vdpa dev del ram0
kill $device
wait $device || [ $? = 143 ] || die "the device ended with $?"
echo 'vduse_blk: all content verified'
