# SPDX-License-Identifier: BSD-2-Clause
# A disk: make a file system, fill it, read it back after unmounting.  Where the
# root has fio, it writes and verifies there too, from every CPU.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: blk.sh [DEVICE [FILES]]

disk=${1:-/dev/vda}
files=${2:-40}
cd /tmp || exit 1
[ -b "$disk" ] || { echo "blk: no $disk"; exit 1; }
name=$(basename "$disk")
sys=$(realpath "/sys/class/block/$name")
[ ! -e "$sys/partition" ] || sys=$(dirname "$sys")
echo "blk: $name driver" \
	"$(basename "$(readlink "$sys/device/driver")")" \
	"sectors $(cat "/sys/class/block/$name/size")"
echo "blk: features $(cat "$sys/device/features")" \
	"queues $(ls "$sys/mq" | wc -l)"
modprobe ext4 || exit 1
/sbin/mke2fs -q -t ext4 -F "$disk" || exit 1
mount -t ext4 "$disk" /mnt || exit 1
for i in $(seq "$files"); do
	mkdir -p "/mnt/d$((i % 7))" || exit 1
	dd if=/dev/urandom of="/mnt/d$((i % 7))/f$i" bs=$((i * 331)) count=8 \
		2>/dev/null || exit 1
done
(cd /mnt && find . -type f -exec md5sum {} +) >/tmp/sums || exit 1
if command -v fio >/dev/null; then
	fio --name=v --directory=/mnt --size=2M --rw=randwrite --bsrange=512-64k \
		--bs_unaligned=0 --direct=1 --ioengine=libaio --iodepth=16 \
		--numjobs="$(nproc)" --verify=crc32c --verify_fatal=1 \
		--fallocate=none --eta=never --output=/tmp/fio ||
		{ cat /tmp/fio; exit 1; }
	echo "blk: fio verified $(grep -c 'err= 0' /tmp/fio) jobs"
fi
sync
umount /mnt || exit 1
echo 3 >/proc/sys/vm/drop_caches
/sbin/e2fsck -fn "$disk" || exit 1
mount -t ext4 -o ro "$disk" /mnt || exit 1
(cd /mnt && md5sum -c /tmp/sums >/dev/null) || { echo 'blk: content differs'; exit 1; }
umount /mnt
echo "blk: $(wc -l </tmp/sums) files verified"
