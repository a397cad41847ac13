#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# virtio_blk.sh: our own block driver and libblkio on the same vhost-vdpa disk
# that moves no data, in turn; random reads of 4 KiB, one line a figure
#
# The disk's queue polls. figure=iops: thousands of requests a second, medians of
# all runs; ratio: ours by libblkio's, the median of neighbouring runs.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: bench/virtio_blk.sh BUILD     BENCH_REPEAT: runs of each (5)
set -euo pipefail
build=$(realpath "$1")
top=$(realpath "$(dirname "$(realpath "$0")")/..")
bench=$("$top/scripts/testbed" path blkio_bench)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/job" <<'JOB'
set -euo pipefail
bench=$1 vdpakit=$2 repeat=$3 node=/dev/vhost-vdpa-0
for depth in 1 128; do
	for ((i = 0; i < repeat; i++)); do
		theirs=$("$bench" --runtime=1 --blocksize=4096 --poll \
			--iodepth=$depth --readwrite=randread \
			virtio-blk-vhost-vdpa path=$node | jq .aggregate.kiops)
		ours=$("$vdpakit" blk bench -j -s 1 -d $depth \
			--poll-us 1000000 $node | jq '.iops / 1000')
		echo "$depth $ours $theirs"
	done
done
JOB
"$build/src/cli/vdpakit" run --dev 'd0 blk backend=null poll_us=1000000' -- \
	bash "$work/job" "$bench" "$build/src/cli/vdpakit" \
	"${BENCH_REPEAT:-5}" >"$work/runs"
python3 - "$work/runs" <<'PYTHON'
import statistics
import sys

runs = [line.split() for line in open(sys.argv[1], encoding='ascii')]
for depth in ('1', '128'):
    pairs = [(float(o), float(t)) for d, o, t in runs if d == depth]
    ours = statistics.median(o for o, _ in pairs)
    theirs = statistics.median(t for _, t in pairs)
    ratio = statistics.median(o / t for o, t in pairs)
    print(f'bench=virtio_blk figure=iops depth={depth} runs={len(pairs)} '
          f'kiops={ours:.0f} libblkio_kiops={theirs:.0f} ratio={ratio:.2f}')
PYTHON
