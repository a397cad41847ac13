#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What is installed is enough: an example is built from headers, pkg-config file
# and library of the installed tree, and runs, linked to either library.
#
# Copyright (c) 2026, the vdpakit authors
set -euo pipefail
top=$(realpath "$(dirname "$(realpath "$0")")/../..")
command -v pkg-config >/dev/null || { echo 'SKIP: pkg-config is missing'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

meson install -C "$BUILD" --no-rebuild --destdir "$work/root" \
	--tags devel,runtime >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
pc=$(find "$work/root" -name vdpakit.pc)
[ "$pc" ] || { echo 'FAIL: there is no vdpakit.pc'; exit 1; }
lib=$(find "$work/root" -name libvdpakit.so)
[ "$lib" ] || { echo 'FAIL: there is no libvdpakit.so'; exit 1; }
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$work/root

head -c 1000000 /dev/urandom >"$work/disk"
truncate -s 1000448 "$work/disk"
# check KIND: the program reads a disk
check()
{
	LD_LIBRARY_PATH=${lib%/*} "$work/$1" \
		"blk backend=file path=$work/disk" | cmp - "$work/disk" ||
		{ echo "FAIL: read_disk, $1"; exit 1; }
}

# shellcheck disable=SC2046
${CC:-cc} -o "$work/shared" "$top/examples/read_disk.c" \
	$(pkg-config --cflags --libs vdpakit)
check shared
[[ $(readelf -d "$work/shared") == *libvdpakit.so.0* ]] ||
	{ echo 'FAIL: not linked to libvdpakit.so.0'; exit 1; }

# shellcheck disable=SC2046
${CC:-cc} -o "$work/static" "$top/examples/read_disk.c" \
	$(pkg-config --cflags vdpakit) "${lib%.so}.a" \
	$(pkg-config --libs --static vdpakit | sed 's/-lvdpakit//')
check static
[[ $(readelf -d "$work/static") != *libvdpakit* ]] ||
	{ echo 'FAIL: not linked statically'; exit 1; }
# Names of ours do not get in the way of the program's.
nm -g --defined-only "${lib%.so}.a" | awk 'NF == 3 { print $3 }' |
	grep -v '^vdpakit_' >"$work/names" || true
[ ! -s "$work/names" ] ||
	{ echo "FAIL: libvdpakit.a shows $(head -n 3 "$work/names")"; exit 1; }
