#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A guest gets more memory while it writes numbered blocks, and uses it for the
# next ones: its front end changes the memory table under the rings.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: hotplug.sh qemu7|qemu10 split|packed
. "$(dirname "$(realpath "$0")")/lib.sh"

tool "$1"
# shellcheck disable=SC2034
GUEST_QEMU=$tool GUEST_MEM=384 GUEST_TIMEOUT=280
progress='^slots: [0-9]+ so far'
packed=
[ "$2" = split ] || packed=,packed=on
truncate -s 64M "$work/disk"
disk d0 "$work/disk" 1
open_doors
cat >"$work/job" <<'JOB'
memory()
{
	sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo
}
echo online >/sys/devices/system/memory/auto_online_blocks
before=$(memory)
sh /job/load.sh || exit 1
echo "hotplug: $before KiB before, $(memory) after"
[ "$(memory)" -gt $((before + 200000)) ] || exit 1
# More than there was: some of it is in what is new.
mount -t tmpfs -o size=400M tmp /mnt
dd if=/dev/vda of=/mnt/a bs=1M count=32 iflag=direct || exit 1
for i in b c d e f g h i j k l; do
	dd if=/dev/vda of=/mnt/$i bs=1M count=32 iflag=direct 2>/dev/null
	cmp /mnt/a /mnt/$i || exit 1
done
JOB
guest_start "$work/job" -- -m slots=4,maxmem=2G \
	-chardev "socket,id=c0,path=$work/d0.sock" -device \
	"vhost-user-blk-pci,chardev=c0,num-queues=1,disable-legacy=on$packed"
guest_wait_nth "$progress" 2 || guest_died 'writes nothing'
for i in 1 2; do
	guest_qmp object-add '{"qom-type": "memory-backend-memfd",
		"id": "m'$i'", "size": 134217728, "share": true}' >/dev/null
	guest_qmp device_add '{"driver": "pc-dimm", "id": "dimm'$i'",
		"memdev": "m'$i'"}' >/dev/null
	guest_wait_nth "$progress" $(($(guest_count "$progress") + 3)) ||
		guest_died "memory $i: the guest does not go on"
done
guest_tell stop
guest_finish || guest_died "status $?"
guest_log | grep -E '^(slots written|hotplug)'
close_doors
