#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# run-user.sh BUILDDIR PROGRAM [FILTER]: run one conformance program on
# vhost-user sockets, with a daemon of its own behind them.
# CONFORMANCE_RUN_ARGS: more options of `vdpakit run`.
# CONFORMANCE_PEER=qemu: qemu-storage-daemon is behind them instead (block
# only), to see what another back end makes of the same test.
#
# Copyright (c) 2026, the vdpakit authors
set -euo pipefail

build=$1
program=$2
shift 2
dir=$(mktemp -d)
peer=
# shellcheck disable=SC2329 # called by trap
clean_up() {
	[ -z "$peer" ] || kill "$peer" 2>/dev/null || true # it may have died
	rm -rf "$dir"
}
trap clean_up EXIT

# cmocka calls a skipped test "not ok", which TAP readers take for a failure.
skips_are_ok() {
	sed 's/^not ok \([0-9]* # SKIP\)/ok \1/'
}

export CONFORMANCE_BLK=$dir/blk
if [ "${CONFORMANCE_PEER:-}" = qemu ]; then
	export CONFORMANCE_KERNEL=1
	truncate -s 128M "$dir/image"
	qemu-storage-daemon --daemonize --pidfile "$dir/pid" \
		--blockdev "file,node-name=f,filename=$dir/image,discard=unmap" \
		--export "vhost-user-blk,id=e,node-name=f,writable=on,\
addr.type=unix,addr.path=$dir/blk"
	peer=$(<"$dir/pid")
	"$program" "$@" | skips_are_ok
	exit
fi

export CONFORMANCE_NET=$dir/net
export CONFORMANCE_IOMMU=$dir/iommu
export CONFORMANCE_VDPAKIT=$build/src/cli/vdpakit
export CONFORMANCE_VDPAKITD=$build/src/daemon/vdpakitd
# shellcheck disable=SC2086 # several words
"$build/src/cli/vdpakit" run ${CONFORMANCE_RUN_ARGS:-} \
	--dev "net0 vdpasim_net mac 52:54:00:12:34:56 bind vhost_user path $dir/net" \
	--dev "blk0 vdpasim_blk bind vhost_user path $dir/blk" \
	--dev "blk1 vdpasim_blk bind vhost_user path $dir/iommu iommu on" \
	-- "$program" "$@" | skips_are_ok
