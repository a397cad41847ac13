#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The layers hold, and scripts/check-layers sees it when they do not.
#
# Copyright (c) 2026, the vdpakit authors
set -euo pipefail
check=$(dirname "$(realpath "$0")")/../../scripts/check-layers
"$check"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# tree FILE HEADER: a tree of one file with one include
tree()
{
	rm -rf "$work/t"
	mkdir -p "$(dirname "$work/t/$1")"
	echo "#include \"$2\"" >"$work/t/$1"
}
allowed()
{
	tree "$@"
	"$check" "$work/t" || { echo "FAIL: $1 may include $2"; exit 1; }
}
forbidden()
{
	tree "$@"
	! "$check" "$work/t" >/dev/null ||
		{ echo "FAIL: $1 may not include $2"; exit 1; }
}

allowed src/bus/a.c vq/vq.h
allowed src/bus/a.c bus/bus.h
allowed src/dev/net/a.c base/err.h
allowed src/dev/net/a.c soft/soft.h
allowed src/dev/net/a.c dev/net/class.h
allowed src/dev/remote/a.c uapi/vduse.h
allowed src/busdrv/virtio_vdpa/a.c virtio/virtio.h
allowed src/bus/test_a.c lib/test.h
allowed src/dev/test_a.c vq/vq_driver.h
allowed src/shim/test_a.c base/fd.h
forbidden src/mem/a.c bus/bus.h
forbidden src/mem/a.c loop/loop.h
forbidden src/vq/a.c cdev/cdev.h
forbidden src/dev/net/a.c vq/vq.h
forbidden src/dev/net/a.c filter/pcap.h
forbidden src/busdrv/a.c dev/net/class.h
forbidden src/busdrv/test_a.c dev/net/class.h
forbidden src/shim/a.c mem/iotlb.h
forbidden src/shim/test_a.c cdev/cdev.h
forbidden src/bus/a.c lib/test.h
forbidden src/bus/a.c bus.h
forbidden src/new/a.c base/err.h
forbidden include/vdpakit/a.h base/err.h
