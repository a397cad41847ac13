# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the tests of the bridge share (vhost-user back ends as our devices); for
# bash, to be sourced first.
#
# Copyright (c) 2026, the vdpakit authors
#
# As of tests/vduse/lib.sh, and:
#
# export_disk NAME FILE QSD [OPTION]...
#                          qemu-storage-daemon QSD offers FILE as a vhost-user
#                          disk on $work/NAME.back; OPTIONs are of its export
# kill_server NAME         kill it outright
# bridge NAME [KEY VALUE]...
#                          put it on the bus

. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../vduse/lib.sh"

export_disk()
{
	local name=$1 file=$2 qsd=$3

	shift 3
	rm -f "$work/$name.pid" "$work/$name.back"
	"$qsd" --pidfile "$work/$name.pid" \
		--blockdev "driver=file,node-name=f,filename=$file,locking=off" \
		--export "type=vhost-user-blk,id=e,node-name=f,writable=on,$(
		)addr.type=unix,addr.path=$work/$name.back$(
		)$(printf ',%s' "$@")" >"$work/$name.log" 2>&1 &
	server_pid[$name]=$!
	wait_for is_served "$name"
	[ -s "$work/$name.pid" ] || die "$name: $(<"$work/$name.log")"
}

bridge()
{
	local name=$1

	shift
	"$vdpakit" dev add name "$name" mgmtdev vhost_user type blk \
		path "$work/$name.back" "$@"
}
