# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the tests of hosted VDUSE devices share; for bash, to be sourced first.
#
# Copyright (c) 2026, the vdpakit authors
#
# As of tests/vhost-user/lib.sh (so of tests/e2e/mgmt/lib.sh and
# tests/guest/lib.sh), and:
#
# tools KEY...             programs of the test bed: ${tool_of[KEY]}, or skips
# under                    array: command that lets a process find the daemon's
#                          files in /dev (set by open_bus)
# open_bus [ARG...]        start the daemon
# serve NAME FILE QSD [OPTION]...
#                          qemu-storage-daemon QSD makes the disk NAME of FILE,
#                          or goes on with it; OPTIONs are of its export
# kill_server NAME         kill it outright
# end_server NAME          SIGTERM; it must take its device with it
# add NAME [KEY VALUE]...  put it on the bus
# show NAME KEY            what `dev show` says of it
# open_door NAME DOOR      show it by vhost-vdpa or vhost-user: $node is where,
#                          $blkio what libblkio's programs have to be told
# copy_in FILE, copy_out FILE
#                          the whole disk, through the last door
# any_moment MS            a random part of it, which is no event to wait for
# go_on TEXT               until the guest's load.sh writes on

. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../vhost-user/lib.sh"

declare -A tool_of server_pid
# Where qemu-storage-daemon keeps what is in flight.
mkdir "$work/tmp"

tools()
{
	local key

	for key; do
		tool "$key"
		tool_of[$key]=$tool
	done
}

open_bus()
{
	under=(env "LD_PRELOAD=$shim" "VDPAKIT_SOCKET=$preload")
	start_daemon --log "${E2E_LOG:-info}" "$@"
}

serve()
{
	local name=$1 file=$2 qsd=$3

	shift 3
	rm -f "$work/$name.pid"
	TMPDIR=$work/tmp "${under[@]}" "$qsd" --pidfile "$work/$name.pid" \
		--blockdev "driver=file,node-name=f,filename=$file" \
		--export "type=vduse-blk,id=e,name=$name,node-name=f,$(
		)writable=on$(printf ',%s' "$@")" >"$work/$name.log" 2>&1 &
	server_pid[$name]=$!
	wait_for is_served "$name"
	[ -s "$work/$name.pid" ] || die "$name: $(<"$work/$name.log")"
}

# The last act of its start is to write its process id.
is_served()
{
	[ -s "$work/$1.pid" ] || [ ! -e "/proc/${server_pid[$1]}" ]
}

kill_server()
{
	kill -9 "${server_pid[$1]}"
	wait "${server_pid[$1]}" 2>/dev/null || true
}

end_server()
{
	local status=0

	"$vdpakit" dev del "$1"
	kill "${server_pid[$1]}"
	wait "${server_pid[$1]}" || status=$?
	is "$1: status of its process" "$status" 0
	! "${under[@]}" test -e "/dev/vduse/$1" || die "/dev/vduse/$1 stays"
}

add()
{
	local name=$1

	shift
	"$vdpakit" dev add name "$name" mgmtdev vduse "$@"
}

show()
{
	"$vdpakit" -j dev show "$1" | jq -r ".dev[] | .$2"
}

# A client that has ended is gone as soon as the device's process has heard of
# it: only then can the device be bound to another.
open_door()
{
	local name=$1

	case $2 in
	vhost-vdpa)
		[ "$(show "$name" driver)" = vhost_vdpa ] ||
			wait_for "$vdpakit" dev bind "$name" vhost_vdpa
		node=$(show "$name" path)
		blkio=(virtio-blk-vhost-vdpa "path=$node")
		;;
	vhost-user)
		node=$work/$name.sock
		wait_for "$vdpakit" dev bind "$name" vhost_user path "$node"
		blkio=(virtio-blk-vhost-user "path=$node")
		;;
	esac
}

copy_in()
{
	"${under[@]}" "${tool_of[blkio_copy]}" --input-file="$1" \
		--output-blkio="${blkio[0]}" "${blkio[1]}"
}

copy_out()
{
	rm -f "$1"
	truncate -s "$size" "$1"
	"${under[@]}" "${tool_of[blkio_copy]}" --input-blkio="${blkio[0]}" \
		"${blkio[1]}" --output-file="$1"
}

any_moment()
{
	read -r -t "$(printf '0.%03d' $((RANDOM % $1)))" <>"$work/never" ||
		true
}

go_on()
{
	local progress='^slots: [0-9]+ so far'

	guest_wait_nth "$progress" $(($(guest_count "$progress") + 3)) ||
		guest_died "$1: the guest does not go on"
}
