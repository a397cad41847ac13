#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A guest's disk that QEMU 10 reaches through libblkio: virtio-blk in front,
# QEMU's block layer between, virtio-blk-vhost-vdpa behind.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$top/tests/guest/lib.sh"

tool qemu10
GUEST_QEMU=$tool
GUEST_DIR=$work/guest
mkdir -p "$GUEST_DIR"
offer "d0 vdpasim_blk capacity 128M"
guest_boot "$top/tests/guest/in/blk.sh" -- -blockdev "$(
)virtio-blk-vhost-vdpa,node-name=b0,path=/dev/vhost-vdpa-0,cache.direct=on" \
	-device virtio-blk-pci,drive=b0,disable-legacy=on ||
	guest_died "status $?"
guest_log | grep -a '^blk:'
