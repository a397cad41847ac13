#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# QEMU's vfio-user-pci: the guest's own virtio-pci driver has a network card.
# Frames go round before and after the driver is taken away and put back, and
# after the guest reboots.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: qemu-net.sh qemu11 split|packed PAIRS MSI|IO-APIC
. "$(dirname "$(realpath "$0")")/lib.sh"

tool "$1"
# shellcheck disable=SC2034
GUEST_QEMU=$tool GUEST_WORK=$work/share GUEST_REBOOTS=1 GUEST_HOLD=1
ring=$2 pairs=$3 kind=$4 frames=500
# shellcheck disable=SC2034
GUEST_SMP=$pairs GUEST_TIMEOUT=280
[ "$kind" = MSI ] || GUEST_APPEND=pci=nomsi
[ "$ring" = packed ] || card_keys='device_features 308830028'
mkdir -p "$GUEST_WORK"
card n0 "$pairs"
open_doors
function_of n0
guest_start "$guest_here/in/reboot.sh" 1 irq.sh net-reload.sh 1 $frames -- \
	"${function[@]}"
guest_wait_for '^GUEST-RC=' || guest_died 'never came to its end'
# The guest drives its card again since it rebooted: that counts from 0.
for ((idx = 0; idx < 2 * pairs; idx++)); do
	n=$(($(stat_of n0 $idx 'rx packets') + $(stat_of n0 $idx 'tx packets')))
	[ "$n" -ge $frames ] || guest_died "queue $idx carried $n frames"
done
guest_qmp quit >/dev/null
guest_finish || guest_died "status $?"
had_interrupts "$kind"
# Two boots, each with a reload between two rounds, on each CPU.
[ "$(guest_log | grep -c "sent=$frames received=$frames bad=0")" = \
	$((4 * pairs)) ] ||
	guest_died 'not every round was whole'
bits=$(guest_log | sed -n 's/^net: features //p' | head -n 1)
[ "${bits:34:1}" = "$([ "$ring" = packed ] && echo 1 || echo 0)" ] ||
	guest_died "asked for $ring rings, got features $bits"
wait_for is_free n0
close_doors
