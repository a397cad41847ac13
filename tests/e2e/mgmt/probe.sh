#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# vdpakit probe and the help texts: what scripts and people rely on.
#
# Copyright (c) 2026, the vdpakit authors
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"

status_is 0 "$vdpakit" probe
is 'the keys' "$(printf '%s\n' "$out" | cut -d = -f 1 | xargs)" \
	'vdpakit kernel cpus uid open_files_max daemon preload loop loop_io_uring loop_epoll kernel_vdpa kernel_vhost_vdpa kernel_vduse netlink fuse cuse tun kvm io_uring userfaultfd memfd hugepages_free map_files yama_scope child_memory child_fds'
if printf '%s\n' "$out" | grep -vE \
	'^[a-z_]+=(yes|no \(.+\)|none|epoll|io_uring|[0-9][^ ]*)$'; then
	die 'a value of another kind'
fi
value()
{
	printf '%s\n' "$out" | sed -n "s/^$1=//p"
}
is 'preload' "$(value preload)" yes
is 'daemon' "$(value daemon)" yes
is 'memfd' "$(value memfd)" yes
is 'loop_epoll' "$(value loop_epoll)" yes
case $(value loop_io_uring) in
yes) is 'loop' "$(value loop)" io_uring ;;
*) is 'loop' "$(value loop)" epoll ;;
esac
is 'cpus' "$(value cpus)" "$(nproc)"
is 'uid' "$(value uid)" "$(id -u)"
if [ ! -e /dev/vduse/control ]; then
	is 'vduse' "$(value kernel_vduse)" \
		'no (/dev/vduse/control: No such file or directory)'
fi
cp "$vdpakit" "$work/alone"
has 'alone' "$("$work/alone" probe | grep ^preload=)" \
	'preload=no (there is no libvdpakit-preload.so'

# Every word of the tables is in the help, and is understood.
status_is 0 "$vdpakit" help --all
for words in 'mgmtdev show|list' 'dev show|list' 'dev add name NAME' \
	'dev del DEV' 'dev set name NAME mac MACADDR' \
	'dev config show|list' 'dev vstats show DEV' 'dev bind DEV DRIVER' \
	'dev unbind DEV' 'driver show|list' 'vdpakit status' \
	'vdpakit run [ OPTIONS ]' 'vdpakit probe' '--dev SPEC' '-j, --json'; do
	has 'help --all' "$out" "$words"
done
for words in '' help -h --help 'dev help' 'dev config help' 'dev vstats help' \
	'mgmtdev help' 'driver help' 'run help' 'run --help' 'probe help' \
	'status help' 'dev add help' 'dev -h'; do
	# shellcheck disable=SC2086
	status_is 0 "$vdpakit" $words
	has "vdpakit $words" "$out" "$([ "$words" = 'run --help' ] &&
		echo Options || echo Usage)"
	is "vdpakit $words" "$err" ''
done
status_is 0 "$vdpakit" -V
case $out in
'vdpakit '[0-9]*) ;;
*) die "-V: $out" ;;
esac
