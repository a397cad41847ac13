#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The nbdkit plugin: NBD clients on a disk of ours, over several connections.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"
cd "$work"

plugin=$build/plugins/nbdkit/nbdkit-vdpakit-plugin.so
for program in nbdkit nbdinfo nbdcopy qemu-io; do
	command -v $program >/dev/null ||
		skip "$program is not installed (scripts/setup test)"
done
[ -e "$plugin" ] || skip 'built without nbdkit-plugin-dev'

seq -f '%0511g' 1 40000 >a
truncate -s 24M a disk
disk="blk backend=file path=$work/disk num_queues=4"

cat >job <<'JOB'
set -euo pipefail
nbdinfo --json "$uri" >info
nbdcopy --connections=4 --requests=16 a "$uri"
nbdcopy --connections=4 "$uri" b
qemu-io -f raw -c 'write -P 7 4M 1M' -c 'discard 8M 4M' \
	-c 'write -z 16M 3000k' -c flush -c 'write -f -P 9 20M 64k' "$uri"
qemu-io -f raw -c 'read -P 7 4M 1M' -c 'read -P 0 8M 4M' \
	-c 'read -P 0 16M 3000k' -c 'read -P 9 20M 64k' "$uri"
JOB
nbdkit -U - "$plugin" "$disk" --run "export uri; bash $work/job" >log 2>&1 ||
	die "the job failed: $(cat log)"
cmp a b || die 'what was copied in does not come out'
cmp -n $((4 << 20)) a disk || die 'the disk has something else'
for what in can_multi_conn can_flush can_trim can_zero; do
	[ "$(jq ".exports[0].$what" info)" = true ] || die "$what: $(cat info)"
done
[ "$(jq '.exports[0]."export-size"' info)" = $((24 << 20)) ] ||
	die "size: $(cat info)"

nbdkit -U - "$plugin" "$disk read_only=on" \
	--run 'nbdinfo --is readonly "$uri"' || die 'not read-only'

# refused WORDS ARG...
refused()
{
	local words=$1

	shift
	# It would serve for ever.
	rm -f "$work/sock"
	if timeout 60 nbdkit -f -U "$work/sock" "$plugin" "$@" >log 2>&1; then
		die "'$*' was not refused"
	fi
	grep -qF -- "$words" log || die "'$*' says: $(cat log)"
}
refused 'is missing'
refused 'management device' nonesuch
refused 'only device' "$disk" speed=fast
refused 'twice' "$disk" "$disk"
refused 'No such file' "blk backend=file path=$work/none"
