# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the tests of the vfio-user door share; for bash, to be sourced first.
#
# Copyright (c) 2026, the vdpakit authors
#
# As of tests/vhost-user/lib.sh, and:
#
# function_of NAME         sets $function: QEMU's arguments for that device
# is_free NAME             has it no client, and is it reset?
# had_interrupts KIND      did the guest's driver have these: MSI, IO-APIC?

# shellcheck disable=SC2034
door=vfio_user
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../vhost-user/lib.sh"

function_of()
{
	function=(-device "{\"driver\":\"vfio-user-pci\",\"socket\":$(
		){\"type\":\"unix\",\"path\":\"$work/$1.sock\"}}")
}

is_free()
{
	"$vdpakit" dev show "$1" | grep -q 'status 0x0' &&
		! "$vdpakit" dev show "$1" | grep -q ' connected'
}

had_interrupts()
{
	local queue=

	# 9p has interrupts, too; those without MSI-X have no queue's name.
	[ "$1" != MSI ] || queue='-(req|input)'
	guest_log | grep -E "^irq:.*$1.*virtio[0-9]+$queue" >/dev/null ||
		guest_died "no interrupts by $1"
}
