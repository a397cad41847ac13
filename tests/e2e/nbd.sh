#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A disk on an NBD server that is killed again and again while libblkio's
# blkio-copy writes to it: what was copied in comes out.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

servers=5
writes_each=40

command -v nbdkit >/dev/null || skip 'nbdkit is not installed (scripts/setup test)'
"$vdpakit" run -- vdpakit mgmtdev show blk | grep -q nbd ||
	skip 'built without libnbd'
tool blkio_copy

# serve LOG: starts a server; returns when it listens
serve()
{
	rm -f "$work/sock"
	nbdkit -f --exit-with-parent -P "$work/ready" -U "$work/sock" \
		--filter=log --filter=delay file "$work/disk" \
		logfile="$1" delay-write=2ms &
	server=$!
	read -r _ <"$work/ready"
}

# has_written N: waits until the server has seen its share of writes
has_written()
{
	local n=0 line

	while ((n < writes_each)); do
		read -r -t 60 line <&"$log" ||
			die "server $1 has not seen $writes_each writes"
		[[ $line != *' Write id='* ]] || n=$((n + 1))
	done
}

# The log of a server that will be killed is read as it is written.
serve_to_die()
{
	rm -f "$work/log"
	mkfifo "$work/log"
	exec {log}<>"$work/log"
	serve "$work/log"
}

cat >"$work/job" <<'JOB'
set -euo pipefail
copy=$1 work=$2
path=path=/dev/vhost-vdpa-0
"$copy" --input-file="$work/in" --output-blkio=virtio-blk-vhost-vdpa $path
truncate -s 64M "$work/out"
"$copy" --input-blkio=virtio-blk-vhost-vdpa $path --output-file="$work/out"
cmp "$work/in" "$work/out"
JOB
mkfifo "$work/ready"
dd if=/dev/urandom of="$work/in" bs=1M count=64 status=none
truncate -s 64M "$work/disk"
serve_to_die
timeout 100 "$vdpakit" run --dev "d0 blk backend=nbd socket=$work/sock" -- \
	bash "$work/job" "$tool" "$work" &
job=$!
for ((n = 0; n < servers; n++)); do
	has_written $n
	kill -9 $server
	wait $server 2>/dev/null || true
	exec {log}>&-
	if ((n + 1 < servers)); then
		serve_to_die
	else
		serve /dev/null
	fi
done
wait $job
cmp "$work/in" "$work/disk"
