# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What jobs in a guest share; for bash, to be sourced first.
#
# Copyright (c) 2026, the vdpakit authors
#
# As of tests/e2e/mgmt/lib.sh, and:
#
# node NAME KIND           the kernel's "block" or "net" node of a device, as
#                          soon as there is one: vda, eth0
# sane                     the daemon's log has no complaint, or die
# only_control             nothing of ours is left in the kernel, or die
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../../e2e/mgmt/lib.sh"
jobs_here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
guest_in=$(realpath "$jobs_here/../../guest/in")

# As udev has it.
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd

has_node()
{
	ls -d /sys/bus/vdpa/devices/"$1"/virtio*/"$2"/*
}

node()
{
	wait_for has_node "$1" "$2"
	basename "$(has_node "$1" "$2")"
}

sane()
{
	# Who was told that it is ready does not wait to hear that it ends.
	! grep -v NOTIFY_SOCKET "$work/log" | grep -E '^(err|warn)|ERROR' ||
		die "the daemon complained: $(cat "$work/log")"
}

only_control()
{
	is 'files of VDUSE' "$(ls /dev/vduse)" control
	is 'devices of the kernel' "$(ls /sys/bus/vdpa/devices)" ''
	is 'logs' "$(ls "$work" | grep inflight || true)" ''
}
