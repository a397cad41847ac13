#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A guest that writes numbered blocks, and sends numbered frames, goes from one
# QEMU to another and back: no block is lost or written twice, and what devices
# wrote to its memory came along.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: migrate.sh qemu10 split|packed MIGRATIONS [disk|postcopy]
#
# (QEMU 7.2 without KVM loses memory of the guest in migrations by itself: this
# fails with its own virtio-blk-pci, too.)
# Both QEMUs have a disk of the daemon on the same file, and a card of their
# own; "disk" leaves out the cards. With "postcopy", which leaves them out, too,
# the guest goes on at the destination as soon as the migration has begun, and
# its memory, also what the daemon touches, follows.
. "$(dirname "$(realpath "$0")")/lib.sh"

tool "$1"
# shellcheck disable=SC2034
GUEST_QEMU=$tool GUEST_TIMEOUT=250 GUEST_MEM=384
ring=$2 migrations=$3 only=${4-} vectors= door_keys=
bandwidth=2000000000
if [ "$only" = postcopy ]; then
	# shellcheck disable=SC2034
	door_keys="postcopy on"
	bandwidth=50000000 # so that there is something left to follow
fi
[ "$1" != qemu7 ] || vectors=,vectors=0 # as in qemu-net.sh
progress='^slots: [0-9]+ so far'

truncate -s 64M "$work/disk"
for side in 0 1; do
	disk d$side "$work/disk" 1 lock off
	[ "$only" ] || card n$side
	mkdir -p "$work/side$side"
done
open_doors

# start SIDE [QEMU-ARG...]
start()
{
	local side=$1 cards packed=

	shift
	[ "$ring" = split ] || packed=,packed=on
	GUEST_DIR=$work/side$side
	cards=(-chardev "socket,id=c0,path=$work/d$side.sock"
		-device "vhost-user-blk-pci,chardev=c0,num-queues=1,$(
		)disable-legacy=on$packed")
	[ "$only" ] || cards+=(
		-chardev "socket,id=c1,path=$work/n$side.sock"
		-netdev vhost-user,id=n0,chardev=c1
		-device "virtio-net-pci,netdev=n0,mac=$mac,romfile=,$(
		)disable-legacy=on$packed$vectors")
	guest_start "$guest_here/in/load.sh" -- "${cards[@]}" "$@"
}

# qmp SIDE COMMAND [JSON]
qmp()
{
	local side=$1

	shift
	"$guest_here/qmp" "$work/side$side/qmp.sock" "$@"
}

migrated()
{
	qmp "$1" query-migrate | jq -e '.status == "completed" or
		.status == "failed"'
}

# Memory may follow the guest.
allow_postcopy()
{
	local side

	for side; do
		qmp "$side" migrate-set-capabilities '{"capabilities": [
			{"capability": "postcopy-ram", "state": true}]}' \
			>/dev/null
	done
}
is_active()
{
	qmp "$1" query-migrate | jq -e '.status == "active"'
}

start 0
guest_wait_nth "$progress" 3 || guest_died 'writes nothing'
here=0
for ((i = 1; i <= migrations; i++)); do
	there=$((1 - here))
	source_pid=$guest_pid
	start $there -incoming "unix:$work/migration"
	wait_for qmp $there query-status
	[ "$only" != postcopy ] || allow_postcopy $here $there
	qmp $here migrate-set-parameters \
		'{"max-bandwidth": '$bandwidth'}' >/dev/null
	qmp $here migrate "{\"uri\": \"unix:$work/migration\"}" >/dev/null
	if [ "$only" = postcopy ]; then
		wait_for is_active $here
		qmp $here migrate-start-postcopy >/dev/null
	fi
	wait_for migrated $here
	qmp $here query-migrate >"$work/migrated"
	is "migration $i" "$(jq -r .status "$work/migrated")" completed
	[ "$only" != postcopy ] ||
		jq -e '.ram["postcopy-requests"] > 0' "$work/migrated" ||
		die "migration $i: nothing was asked for afterwards"
	qmp $here quit >/dev/null
	wait "$source_pid" || guest_died "QEMU ended with status $?"
	guest_wait_nth "$progress" 3 ||
		guest_died "migration $i: the guest does not go on"
	jq -r '"migration '$i': downtime \(.downtime) ms, " +
		"\(.ram.transferred) bytes"' "$work/migrated"
	here=$there
done
guest_tell stop
guest_finish || guest_died "status $?"
guest_log | grep '^slots written'
close_doors
