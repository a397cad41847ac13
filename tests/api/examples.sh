#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The examples do what they say.
#
# usage: examples.sh FOLDER: where they were built
#
# Copyright (c) 2026, the vdpakit authors
set -euo pipefail
built=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

die()
{
	echo "FAIL: $*"
	exit 1
}

# The last block is half a chunk; sectors are numbered, so that none is mistaken
# for another one.
seq -f '%0511g' 1 2000 >disk
"$built/read_disk" "blk backend=file path=$work/disk" | cmp - disk ||
	die 'read_disk reads something else'
if "$built/read_disk" 'nonesuch' 2>error; then
	die 'read_disk reads nothing'
fi
grep -q 'vdpakit_dev_add: ' error || die "read_disk says: $(cat error)"

mkdir store
(cd store && head -c 5120 ../disk | "$built/kv_disk" >../out)
head -c 5120 disk | cmp - <(head -c 5120 out) || die 'kv_disk mixes values up'
[ "$(ls store | wc -l)" = 10 ] || die "the store has $(ls store)"
cmp store/3 <(head -c 2048 disk | tail -c 512) || die 'a key has another value'
cmp <(tail -c +5121 out) <(head -c $((1024 * 512 - 5120)) /dev/zero) ||
	die 'what no key stands for is not zeroes'

[ "$("$built/net_loopback" 1000)" = '1000 frames came back' ] ||
	die 'net_loopback loses frames'
[ "$("$built/mmio_bus")" = 'device 4 says 4' ] || die 'mmio_bus says nothing'
for e in read_disk kv_disk net_loopback mmio_bus; do
	lines=$(wc -l <"$SOURCES/$e.c")
	[ "$lines" -le 100 ] || die "$e.c has $lines lines"
done
