#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# qemu-storage-daemon's vduse-blk export, which must not see its client's memory
# (bounce=on): a disk for libblkio's programs, then for a guest whose memory
# has no file. While the guest has the disk, all that the daemon maps of memory
# files is the domain.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: vduse-bounce.sh qemu7|qemu10
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$top/tests/guest/lib.sh"

tool "$1_storage_daemon"
storage_daemon=$tool
GUEST_RAM=plain
tool blkio_copy
copy=$tool
tool qemu10
GUEST_QEMU=$tool
GUEST_DIR=$work/guest
mkdir -p "$GUEST_DIR"
guest_need

cat >"$work/serve" <<'SERVE'
set -euo pipefail
storage_daemon=$1 work=$2
shift 2
echo "$VDPAKIT_RPC" >"$work/rpc"
"$storage_daemon" --daemonize --pidfile "$work/pid" \
	--blockdev "driver=file,node-name=f,filename=$work/disk" \
	--export type=vduse-blk,id=e,name=vb0,node-name=f,writable=on
cp "$work/pid" "$work/serving" # it removes its own when it ends
vdpakit dev add name vb0 mgmtdev vduse bounce on bounce_size 8M
exec "$@"
SERVE
cat >"$work/copy" <<'JOB'
set -euo pipefail
copy=$1 work=$2
disk=(virtio-blk-vhost-vdpa path=/dev/vhost-vdpa-0)
"$copy" --input-file="$work/in" --output-blkio="${disk[0]}" "${disk[1]}"
truncate -s 64M "$work/out"
"$copy" --input-blkio="${disk[0]}" "${disk[1]}" --output-file="$work/out"
cmp "$work/in" "$work/out"
cmp "$work/in" "$work/disk"
JOB
truncate -s 64M "$work/disk"
dd if=/dev/urandom of="$work/in" bs=1M count=64 status=none
prefix=("$vdpakit" run --log warn -- bash "$work/serve" "$storage_daemon"
	"$work")
timeout 100 "${prefix[@]}" bash "$work/copy" "$copy" "$work" ||
	die 'what was copied in did not come out'
tail --pid="$(<"$work/serving")" -f /dev/null # it ends with its daemon

# shellcheck disable=SC2034 # for guest_start
GUEST_PREFIX=("${prefix[@]}") GUEST_HOLD=1
guest_start "$top/tests/guest/in/blk.sh" -- \
	-device vhost-vdpa-device-pci,vhostdev=/dev/vhost-vdpa-0
guest_wait_for '^GUEST-RC=' || guest_died 'never came to its end'
count vb0 1 || guest_died 'no counters'
grep -E ' /(memfd:|dev/shm/)' "/proc/$(<"$work/serving")/maps" >"$work/maps"
guest_qmp quit >/dev/null
guest_finish || guest_died "status $?"
guest_log | grep -q '^blk: 40 files verified' || guest_died 'not verified'
grep -q 'memfd:\[vduse-domain\]' "$work/maps" || die 'it maps no domain'
# ... and the page that tells it when it may signal by itself, to be read only.
! grep -v -e 'memfd:\[vduse-domain\]' -e 'r--s .*memfd:vdpakit-words' \
	"$work/maps" || die 'it maps more'
[ "$(stat_of bounced_chains)" -gt 100 ] || die "$(<"$work/stats")"
[ "$(stat_of bounce_faults)" = 0 ] || die "$(<"$work/stats")"
[ "$(stat_of bounce_breaks)" = 0 ] || die "$(<"$work/stats")"
guest_log | grep -a '^blk:'
echo "bounced: $(stat_of bounced_chains) requests, $(stat_of bounced_bytes) bytes"
