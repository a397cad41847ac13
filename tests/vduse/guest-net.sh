#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A card of DPDK's vhost library for a guest: frames come back, before and after
# the driver is taken away and put back, and both sides have counted them.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: guest-net.sh qemu7|qemu10 netdev|device
. "$(dirname "$(realpath "$0")")/../e2e/lib.sh"
. "$top/tests/guest/lib.sh"

tool testpmd24
testpmd=$tool
tool "$1"
# shellcheck disable=SC2034
GUEST_QEMU=$tool GUEST_TIMEOUT=280
GUEST_DIR=$work/guest
mkdir -p "$GUEST_DIR"
frames=1000
# shellcheck disable=SC2034
GUEST_PREFIX=("$vdpakit" run --log "${E2E_LOG:-warn}" --
	"$top/tests/vduse/with-card.sh" "$testpmd" "card$$" 1 "$work/card")
case $2 in
netdev)
	card=(-netdev "vhost-vdpa,id=n0,vhostdev=/dev/vhost-vdpa-0" -device
		"virtio-net-pci,netdev=n0,disable-legacy=on,romfile=")
	;;
device)
	card=(-device "vhost-vdpa-device-pci,vhostdev=/dev/vhost-vdpa-0")
	;;
esac
if ! guest_boot "$top/tests/guest/in/net-reload.sh" 1 $frames -- "${card[@]}"
then
	cat "$work/card" >&2
	guest_died 'the guest failed'
fi
[ "$(guest_log | grep -c "sent=$frames received=$frames bad=0")" = 2 ] ||
	guest_died 'not every round was whole'
n=$(sed -n 's/^ *RX-packets: \([0-9]*\).*/\1/p' "$work/card" | tail -n 1)
[ "${n:-0}" -ge $((2 * frames)) ] || die "the card saw ${n:-0} frames"
echo "card: $n frames"
guest_log | grep -a '^frames'
