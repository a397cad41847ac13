#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A job of bound/ whose arguments are the test bed's libblkio programs.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: bound-vhost.sh vhost|bridge
set -euo pipefail
here=$(dirname "$(realpath "$0")")
if ! tools=$("$here/../../scripts/testbed" path blkio_copy blkio_bench 2>&1)
then
	echo "SKIP: $tools" >&2
	exit 77
fi
# shellcheck disable=SC2086
exec "$here/bound.sh" "${1:?job}" vhost_vdpa $tools
