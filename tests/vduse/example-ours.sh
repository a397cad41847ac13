#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# examples/vduse_blk as a device of ours: libblkio writes it and reads it back,
# also after the disk has moved to another client.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: example-ours.sh PROGRAM
if [ ! "${IN_VDPAKIT-}" ]; then
	. "$(dirname "$(realpath "$0")")/../e2e/lib.sh"
	tool blkio_copy
	self=$(realpath "$0") program=$(realpath "$1")
	cd "$work"
	IN_VDPAKIT=1 "$vdpakit" run -- bash -euo pipefail "$self" \
		"$program" "$tool"
	exit
fi

mkfifo said
"$1" ram0 >said &
device=$!
trap 'kill $device 2>/dev/null || true' EXIT
read -r line <said
[ "$line" = '/dev/vduse/ram0 is there' ]
vdpakit dev add name ram0 mgmtdev vduse
vdpakit dev show

blkio=(virtio-blk-vhost-vdpa path=/dev/vhost-vdpa-0)
for ((i = 0; i < 3; i++)); do
	dd if=/dev/urandom of=data bs=1M count=16 status=none
	"$2" --input-file=data --output-blkio="${blkio[0]}" "${blkio[1]}"
	: >back
	"$2" --input-blkio="${blkio[0]}" "${blkio[1]}" --output-file=back
	cmp data back
done
vdpakit dev del ram0
kill $device
wait $device || [ $? = 143 ]
echo 'vduse_blk: all content verified'
