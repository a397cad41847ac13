#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# QEMU 10's qemu-io and qemu-img with its libblkio driver.  (Not qemu-img bench:
# its buffers are not aligned as that driver wants them, whatever the device.)
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

tool qemu10_io
io=$tool
tool qemu10_img
img=$tool
cat >"$work/job" <<'JOB'
set -euo pipefail
io=$1 img=$2 work=$3
disk=driver=virtio-blk-vhost-vdpa,path=/dev/vhost-vdpa-0,cache.direct=on
"$io" --image-opts "$disk" -c 'write -P 0x5a 0 1M' -c 'read -P 0x5a 0 1M' \
	-c 'write -z 64k 64k' -c 'read -P 0 64k 64k' -c 'read -P 0x5a 128k 64k' \
	-c 'discard 512k 64k' -c 'flush' -c 'read -P 0 8M 64k' \
	-c 'aio_write -P 0x11 2M 512k' -c 'aio_write -P 0x22 3M 4k' \
	-c 'aio_flush' -c 'read -P 0x11 2M 512k' -c 'read -P 0x22 3M 4k' \
	>"$work/io" 2>&1 || { cat "$work/io"; exit 1; }
! grep -iE 'error|fail' "$work/io"
"$img" convert -n -f raw --target-image-opts "$work/in" "$disk"
"$img" compare --image-opts "driver=file,filename=$work/in" "$disk"
JOB
dd if=/dev/urandom of="$work/in" bs=1M count=32 status=none
timeout 100 "$vdpakit" run --dev "d0 vdpasim_blk capacity 32M" -- \
	bash "$work/job" "$io" "$img" "$work"
