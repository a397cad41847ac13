# SPDX-License-Identifier: BSD-2-Clause
# Run a command of the host's own tree, as root, with the guest's kernel: the
# host's root is below, what is written goes to memory, and /share is SHARE,
# by the same name as there.  Needs GUEST_HOST and GUEST_WORK.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: host.sh SHARE          SHARE has a script "run" for bash
#
# What the script says comes to SHARE/out; it fails if the kernel complained.

share=$1
modprobe overlay || exit 95
mkdir -p /lower /upper /host
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose \
	host /lower || exit 95
mount -t tmpfs upper /upper && mkdir /upper/new /upper/work || exit 95
mount -t overlay -o lowerdir=/lower,upperdir=/upper/new,workdir=/upper/work \
	host /host || exit 95
mount --bind /dev /host/dev
mkdir -p /host/dev/pts /host/dev/shm
mount -t devpts devpts /host/dev/pts
mount -t tmpfs shm /host/dev/shm
mount -t proc proc /host/proc
mount -t sysfs sys /host/sys
mount -t tmpfs run /host/run
modules=/lib/modules/$(uname -r)
mkdir -p "/host$modules"
mount --bind "$modules" "/host$modules"
mount --bind /share "/host$share" || exit 95
ip link set lo up
dmesg -c >/tmp/boot
chroot /host /bin/bash "$share/run" >/share/out 2>&1 </dev/null
rc=$?
if dmesg | grep -E 'BUG:|Oops|WARNING:|refcount_t'; then
	dmesg
	[ $rc != 0 ] || rc=94
fi
exit $rc
