#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vdpakit blk: disks in files are read, written and copied as the files show.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"
cd "$work"

# Data, a hole, data.
seq -f '%063g' 1 40000 >a
truncate -s 6M a
seq -f '%063g' 40000 60000 >>a
truncate -s 8M a
truncate -s 8M disk
disk="blk backend=file path=$work/disk"

"$vdpakit" blk write "$disk" a
cmp a disk || die 'the disk has something else'
"$vdpakit" blk read "$disk" | cmp - a || die 'read has something else'
"$vdpakit" blk read -o 1M -l 1000 "$disk" |
	cmp - <(tail -c +1048577 a | head -c 1000) || die 'read -o -l'
head -c 4096 a | "$vdpakit" blk write -o 5M "$disk"
cmp <(tail -c +5242881 disk | head -c 4096) <(head -c 4096 a) ||
	die 'write -o from standard input'

# Holes stay holes, in both directions, unless they are not to.
"$vdpakit" blk write "$disk" a
[ "$(du -k disk | cut -f 1)" -le 5000 ] || die 'holes were written'
"$vdpakit" blk copy -t 4 -d 3 -c 64k "$disk num_queues=4" ./b
cmp a b || die 'copy to a file'
[ "$(du -k b | cut -f 1)" -le 5000 ] || die 'holes were copied'
"$vdpakit" blk copy --dense "$disk" b
cmp a b || die 'dense copy'
[ "$(du -k b | cut -f 1)" -ge 8000 ] || die 'dense copies have holes'
"$vdpakit" blk write "blk backend=file path=$work/b" a
[ "$(du -k b | cut -f 1)" -le 5000 ] || die 'zeroes take room'

# From disk to disk.
truncate -s 8M c
"$vdpakit" blk copy --progress "$disk" "blk backend=file path=$work/c" 2>error
cmp a c || die 'disk to disk'
grep -q '100 % of 8 MiB' error || die "progress: $(cat error)"
"$vdpakit" blk copy -o 512 --target-offset 1024 -l 512 a \
	"blk backend=file path=$work/c"
cmp <(head -c 1024 a | tail -c 512) <(head -c 1536 c | tail -c 512) ||
	die 'copy -o --target-offset -l'

# Half a sector.
printf x | "$vdpakit" blk write --pad "$disk"
cmp <(printf x; head -c 511 /dev/zero) <(head -c 512 disk) || die '--pad'
refused '--pad' "$vdpakit" blk write "$disk" <<<'odd'

[[ $("$vdpakit" blk info "$disk read_only=on") == *$'\nread_only true\n'* ]] ||
	die 'info: read-only'
[ "$("$vdpakit" blk info -j "$disk" | jq .capacity)" = 8388608 ] ||
	die 'info -j'
[ "$("$vdpakit" blk bench -j -s 1 -w 50 vdpasim_blk | jq '.requests > 0')" = \
	true ] || die 'bench'
"$vdpakit" blk bench -s 1 -t 2 'blk backend=mem num_queues=2' >out
grep -q '^seconds=.* threads=2 ' out || die 'bench, for programs'

refused 'do not fit' "$vdpakit" blk copy a 'vdpasim_blk capacity=4M'
refused 'read-only' "$vdpakit" blk write "$disk read_only=on" a
refused 'no multiple' "$vdpakit" blk read -o 7 "$disk"
refused 'bytes only' "$vdpakit" blk read -l 9M "$disk"
refused 'bytes only' "$vdpakit" blk read -o 9M "$disk"
refused 'a new file would be ./nonesuch' "$vdpakit" blk copy "$disk" nonesuch
refused 'for a disk in it' "$vdpakit" blk read "$work/disk"
refused 'No such file' "$vdpakit" blk copy "$work/none" "$disk"
refused 'DEVICE' "$vdpakit" blk info
refused 'SOURCE and TARGET' "$vdpakit" blk copy "$disk"
refused '--depth' "$vdpakit" blk read -d 0 "$disk"
refused '--chunk' "$vdpakit" blk read -c 1G "$disk"
refused 'no option --fast' "$vdpakit" blk read --fast "$disk"
refused 'no command' "$vdpakit" blk dance "$disk"
refused 'No space' "$vdpakit" blk read "$disk" /dev/full

# Of a daemon: by node, by socket, by name with the preload library or without.
truncate -s 8M b
cat >job <<'JOB'
set -euo pipefail
for device in b0 b1 /dev/vhost-vdpa-0 b1.sock; do
	vdpakit blk write "$device" a
	vdpakit blk copy --dense "$device" ./copy
	cmp a copy
	rm copy
done
unset LD_PRELOAD VDPAKIT_SOCKET
vdpakit blk info b0 >/dev/null
vdpakit blk read b0 | cmp - a
vdpakit blk copy -t 2 b1 b0
! vdpakit blk read b2 2>error || exit 1
grep -q 'b2.*device not found' error
vdpakit dev unbind b0
! vdpakit blk read b0 2>error || exit 1
grep -q 'vdpakit dev bind b0' error
JOB
"$vdpakit" run --dev "b0 blk backend file path $work/disk" \
	--dev "b1 blk backend file path $work/b num_queues 2 bind vhost_user path $work/b1.sock" \
	-- bash "$work/job" || die 'of a daemon'
refused 'no management device nonesuch' "$vdpakit" -s "$work/none" blk read nonesuch
