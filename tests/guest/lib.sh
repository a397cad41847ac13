# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Boot a stock kernel in QEMU to a script; for bash, to be sourced.
#
# Copyright (c) 2026, the vdpakit authors
#
# Theory of operation
#
# The kernel (scripts/testbed) and a small initramfs (mkinitramfs, built once
# and kept in the cache by the hash of all that goes into it) boot under QEMU's
# own CPU emulation in some three seconds: no KVM, no image, no network.  The
# script to run is put in a second cpio behind the first; what it prints goes
# to the serial port, which is a file, and its status is the line GUEST-RC=N
# there.  A guest that panics or hangs prints no such line: QEMU's own status
# says nothing.  One virtual CPU, because two in parallel are not reliable.
#
# guest_need             exit 77, naming it, if something is missing
# guest_boot JOB [ARG...] [-- QEMU-ARG...]
#                        start and finish in one; returns the job's status
# guest_start JOB [ARG...] [-- QEMU-ARG...]
#                        only start; then:
# guest_wait_for PATTERN until the serial log has it (grep -E); else status 1
# guest_wait_nth PATTERN N
#                        until the serial log has it N times
# guest_count PATTERN    how often the serial log has it now
# guest_tell LINE        the job, which reads it from /dev/ttyS1
# guest_qmp COMMAND [JSON]
# guest_finish           wait for the end; returns the job's status:
#                        97 no GUEST-RC line, 98 QEMU failed, 124 out of time
# guest_kill             end it now, for an EXIT trap
# guest_log              the serial log, without carriage returns
# guest_disk FILE        make it a disk image with a root for GUEST_ROOT on its
#                        first partition and 64 MiB of zeroes as its second
#
# JOB is a script for busybox's sh, in the guest /job/run.  Set before, if the
# default does not do:
#   GUEST_KERNEL   the test bed's key (kernel); "none": no kernel and no JOB,
#                  the firmware boots what it can
#   GUEST_DIR      work folder (default: a new one in $TMPDIR, left behind)
#   GUEST_QEMU     path of qemu-system-x86_64 (default: the one in PATH)
#   GUEST_PREFIX   array: command to run QEMU under
#   GUEST_RAM      "memfd" (default: shared with other processes) or "plain"
#   GUEST_MEM      size of its memory, MB (512)
#   GUEST_SMP      virtual CPUs (1), all in one thread of QEMU
#   GUEST_ROOT     disk in the guest that holds its root, as guest_disk makes it
#                  (default: none, all is in the initramfs)
#   GUEST_APPEND   more words for the kernel's command line
#   GUEST_MODULES  to load before the job, comma between (virtio_net,virtio_blk)
#   GUEST_TIMEOUT  seconds for all (120)
#   GUEST_REBOOTS  1: a reset boots again (else: ends QEMU)
#   GUEST_HOLD     1: stay up after the job, until guest_qmp quit
#   GUEST_WORK     folder to mount on /share in the guest (needs no network)
#   GUEST_HOST     1: offer the host's own root, read-only, for in/host.sh

guest_here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
guest_top=$(realpath "$guest_here/../..")
guest_pid=

guest_skip()
{
	echo "SKIP: $*" >&2
	exit 77
}

guest_need()
{
	local tool paths kernel=${GUEST_KERNEL:-kernel}

	[ "$kernel" != none ] || kernel=kernel
	[ "$(uname -m)" = x86_64 ] || guest_skip 'the guest is for x86-64 only'
	for tool in busybox cpio depmod xz mke2fs fio python3; do
		PATH=$PATH:/sbin:/usr/sbin command -v "$tool" >/dev/null ||
			guest_skip "$tool is not installed (scripts/setup test)"
	done
	command -v "${GUEST_QEMU:-qemu-system-x86_64}" >/dev/null ||
		guest_skip 'qemu-system-x86_64 is not installed' \
			'(scripts/setup test)'
	paths=$("$guest_top/scripts/testbed" path "$kernel" "${kernel}_root" \
		cache 2>&1) || guest_skip "$paths"
	{
		read -r guest_kernel
		read -r guest_root
		read -r guest_cache
	} <<<"$paths"
	guest_initramfs
}

# The initramfs of this tree: from the cache, or made now.
guest_initramfs()
{
	local cache key

	cache=$guest_cache/guest
	key=$(cat "$guest_here"/{init,mkinitramfs,frames.c,slots.c} \
		"$guest_root/version" "$(command -v busybox)" /sbin/mke2fs \
		/sbin/e2fsck "$(command -v fio)" | sha256sum | cut -c 1-16)
	guest_base=$cache/initramfs-$key.cpio
	guest_image=$cache/disk-$key.img
	[ ! -f "$guest_base" ] || return 0
	mkdir -p "$cache"
	(
		flock 9
		[ ! -f "$guest_base" ] || exit 0
		"$guest_here/mkinitramfs" "$guest_root" "$guest_base.new" \
			"$guest_image" && mv "$guest_base.new" "$guest_base"
	) 9>"$cache/lock" || guest_skip 'the initramfs could not be built'
}

guest_disk()
{
	[ "${guest_base-}" ] || guest_need
	cp --sparse=always "$guest_image" "$1"
}

# guest_pack JOB [ARG...]: the initramfs with the job in it
guest_pack()
{
	local job=$1

	shift
	mkdir -p "$GUEST_DIR/job"
	{
		printf 'set --'
		printf " '%s'" "$@"
		printf '\n'
		cat "$job"
	} >"$GUEST_DIR/job/run"
	cp "$guest_here"/in/*.sh "$GUEST_DIR/job/"
	{
		cat "$guest_base"
		(cd "$GUEST_DIR" && find job | cpio -o -H newc --quiet -R 0:0)
	} >"$GUEST_DIR/initrd"
}

guest_start()
{
	local qemu job=() mem=${GUEST_MEM:-512}

	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		job+=("$1")
		shift
	done
	[ $# = 0 ] || shift
	: "${GUEST_DIR:=$(mktemp -d)}"
	rm -rf "$GUEST_DIR"/{job,serial.log,qmp.sock}
	: >"$GUEST_DIR/serial.log"
	[ -p "$GUEST_DIR/control.in" ] ||
		mkfifo "$GUEST_DIR"/control.{in,out}
	qemu=("${GUEST_QEMU:-qemu-system-x86_64}" -nodefaults -no-user-config
		-display none -vga none -monitor none
		-serial "file:$GUEST_DIR/serial.log"
		-serial "pipe:$GUEST_DIR/control"
		-qmp "unix:$GUEST_DIR/qmp.sock,server=on,wait=off"
		-pidfile "$GUEST_DIR/pid"
		-accel tcg,thread=single -cpu max
		-smp "${GUEST_SMP:-1}" -m "$mem")
	if [ "${GUEST_KERNEL-}" != none ]; then
		[ "${guest_base-}" ] || guest_need
		guest_pack "${job[@]}"
		qemu+=(-kernel "$guest_kernel" -initrd "$GUEST_DIR/initrd"
			-append "console=ttyS0 panic=-1 quiet ipv6.disable=1 $(
			)no_timer_check $(
			)mods=${GUEST_MODULES-virtio_net,virtio_blk}$(
			)${GUEST_HOLD:+ hold}${GUEST_ROOT:+ root=$GUEST_ROOT}$(
			)${GUEST_APPEND:+ $GUEST_APPEND}")
	fi
	case ${GUEST_RAM:-memfd} in
	memfd)
		qemu+=(-M q35,memory-backend=ram -object
			"memory-backend-memfd,id=ram,size=${mem}M,share=on")
		;;
	plain)
		qemu+=(-M q35)
		;;
	*)
		echo "guest: GUEST_RAM=$GUEST_RAM is not known" >&2
		return 2
		;;
	esac
	[ "${GUEST_REBOOTS-}" = 1 ] || qemu+=(-no-reboot)
	if [ "${GUEST_WORK-}" ]; then
		rm -f "$GUEST_WORK/boots"
		qemu+=(-virtfs "local,path=$GUEST_WORK,mount_tag=work,$(
		)security_model=none,multidevs=remap")
	fi
	[ "${GUEST_HOST-}" != 1 ] || qemu+=(-virtfs "local,path=/,readonly=on,$(
		)mount_tag=host,security_model=none,multidevs=remap")
	timeout -k 10 "${GUEST_TIMEOUT:-120}" "${GUEST_PREFIX[@]}" \
		"${qemu[@]}" "$@" </dev/null >"$GUEST_DIR/qemu.log" 2>&1 &
	guest_pid=$!
}

guest_log()
{
	tr -d '\r\0' <"$GUEST_DIR/serial.log"
}

guest_wait_nth()
{
	local tail n

	exec {tail}< <(exec tail -c +1 -f --pid="$guest_pid" -s 0.1 \
		"$GUEST_DIR/serial.log" 2>/dev/null)
	n=$(grep -acE -m "$2" -- "$1" <&"$tail") || true
	exec {tail}<&-
	[ "$n" -ge "$2" ]
}

guest_wait_for()
{
	guest_wait_nth "$1" 1
}

guest_count()
{
	grep -acE -- "$1" "$GUEST_DIR/serial.log" || true
}

guest_tell()
{
	echo "$1" >"$GUEST_DIR/control.in"
}

guest_qmp()
{
	"$guest_here/qmp" "$GUEST_DIR/qmp.sock" "$@"
}

guest_finish()
{
	local status=0 rc

	wait "$guest_pid" || status=$?
	guest_pid=
	if [ $status = 124 ] || [ $status = 137 ]; then
		echo "guest: out of time (${GUEST_TIMEOUT:-120} s)" >&2
		return 124
	fi
	if [ $status != 0 ]; then
		echo "guest: QEMU or what it ran under: status $status" >&2
		cat "$GUEST_DIR/qemu.log" >&2
		return 98
	fi
	rc=$(guest_log | sed -n 's/^GUEST-RC=\([0-9]*\).*/\1/p' | tail -n 1)
	return "${rc:-97}"
}

# For an EXIT trap: end a guest that still runs.
guest_kill()
{
	[ "$guest_pid" ] || return 0
	kill "$guest_pid" 2>/dev/null || true
	wait "$guest_pid" 2>/dev/null || true
	guest_pid=
}

guest_boot()
{
	guest_start "$@" && guest_finish
}
