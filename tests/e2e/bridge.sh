#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A disk of one daemon as a device of another, whose clients are libblkio's
# programs: what is copied in comes out, and is in the file.
#
#   bridge.sh vhost-vdpa|vhost-user on|off
#
# The second argument says whether the second daemon bounces data.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

door=${1:?door} bounce=${2:?bounce}
tool blkio_copy
copy=$tool
tool blkio_bench
bench=$tool
node=/dev/vhost-vdpa-0
dev="b0 vhost_vdpa path=$node bounce=$bounce"
case $door in
vhost-vdpa)
	path=$node
	client=()
	;;
vhost-user)
	path=$work/b0.sock
	dev+=" bind vhost_user path=$path"
	client=(env -u LD_PRELOAD)
	;;
esac
cat >"$work/job" <<'JOB'
set -euo pipefail
copy=$1 bench=$2 work=$3 driver=virtio-blk-$4 path=path=$5
"$copy" --input-file="$work/in" --output-blkio=$driver $path
truncate -s 16M "$work/out"
"$copy" --input-blkio=$driver $path --output-file="$work/out"
cmp "$work/in" "$work/out"
cmp "$work/in" "$work/disk"
"$bench" --runtime=1 --readwrite=randread $driver $path >"$work/bench"
JOB
dd if=/dev/urandom of="$work/in" bs=1M count=16 status=none
truncate -s 16M "$work/disk"
timeout 100 "$vdpakit" run --dev "a0 blk backend=file path=$work/disk" -- \
	"$vdpakit" run --dev "$dev" -- "${client[@]}" \
	bash "$work/job" "$copy" "$bench" "$work" "$door" "$path"
