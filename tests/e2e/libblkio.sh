#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# libblkio's own programs on a disk: what is copied in comes out, one program
# after the other.
#
#   libblkio.sh vhost-vdpa|vhost-user
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

door=${1:?door}
tool blkio_info
info=$tool
tool blkio_copy
copy=$tool
tool blkio_bench
bench=$tool
case $door in
vhost-vdpa)
	path=/dev/vhost-vdpa-0
	dev="d0 vdpasim_blk capacity 16M"
	client=()
	;;
vhost-user)
	path=$work/d0.sock
	dev="d0 vdpasim_blk capacity=16M bind vhost_user path=$path"
	# Nothing of ours in the front end: the socket is all that it needs.
	client=(env -u LD_PRELOAD)
	;;
esac
cat >"$work/job" <<'JOB'
set -euo pipefail
info=$1 copy=$2 bench=$3 work=$4 driver=virtio-blk-$5 path=path=$6
"$info" $driver $path capacity queue-size num-queues max-queues \
	needs-mem-regions mem-region-alignment max-segments | tee "$work/info"
"$copy" --input-file="$work/in" --output-blkio=$driver $path
truncate -s 16M "$work/out"
"$copy" --input-blkio=$driver $path --output-file="$work/out"
cmp "$work/in" "$work/out"
# It aborts when it has waited half a second for an answer, which a busy machine
# may take: so it polls, and of those that wait one must get to its end.
for mode in randread randwrite read write; do
	"$bench" --poll --runtime=1 --readwrite=$mode $driver $path
done
waits()
{
	"$bench" --runtime=1 --readwrite=randwrite $driver $path
}
waits || waits || waits
JOB
dd if=/dev/urandom of="$work/in" bs=1M count=16 status=none
timeout 100 "$vdpakit" run --dev "$dev" -- "${client[@]}" \
	bash "$work/job" "$info" "$copy" "$bench" "$work" "$door" "$path"
grep -q '^16777216$' "$work/info" || die "capacity: $(cat "$work/info")"
# The socket goes with the run.
[ ! -e "$work/d0.sock" ] || die 'the socket is still there'
