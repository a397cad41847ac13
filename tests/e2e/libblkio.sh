#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# libblkio's own programs on a vhost-vdpa disk: what is copied in comes out.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

tool blkio_info
info=$tool
tool blkio_copy
copy=$tool
tool blkio_bench
bench=$tool
cat >"$work/job" <<'JOB'
set -euo pipefail
info=$1 copy=$2 bench=$3 work=$4
driver=virtio-blk-vhost-vdpa
path=path=/dev/vhost-vdpa-0
"$info" $driver $path capacity queue-size num-queues max-queues \
	needs-mem-regions mem-region-alignment max-segments | tee "$work/info"
"$copy" --input-file="$work/in" --output-blkio=$driver $path
truncate -s 16M "$work/out"
"$copy" --input-blkio=$driver $path --output-file="$work/out"
cmp "$work/in" "$work/out"
for mode in randread randwrite read write; do
	"$bench" --runtime=1 --readwrite=$mode $driver $path
done
JOB
dd if=/dev/urandom of="$work/in" bs=1M count=16 status=none
timeout 100 "$vdpakit" run --dev "d0 vdpasim_blk capacity 16M" -- \
	bash "$work/job" "$info" "$copy" "$bench" "$work"
grep -q '^16777216$' "$work/info" || die "capacity: $(cat "$work/info")"
