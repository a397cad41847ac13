#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The libraries show vdpakit_* and nothing else, and all that the headers
# declare.
#
# Copyright (c) 2026, the vdpakit authors
set -euo pipefail
top=$(dirname "$(realpath "$0")")/../..
lib=$BUILD/src/lib
shown=$(nm -D --defined-only "$lib/libvdpakit.so.0" | awk '$2 != "A" { print $3 }' |
	sed 's/@.*//' | sort)
# Instrumentation has symbols of its own.
other=$(grep -Ev '^(vdpakit_|_*(asan|ubsan|tsan|sanitizer|gcov|lsan|odr))' <<<"$shown" || true)
[ -z "$other" ] || { echo "FAIL: the library shows $other"; exit 1; }

declared=$(grep -ohE '\bvdpakit_[a-z0-9_]+\(' \
	<(cat "$top"/include/vdpakit/{kit,blk,net,netctl,mmio,ops,soft}.h |
		tr '\n\t' '  ' | grep -oE 'VDPAKIT_API [^;]*;') |
	tr -d '(' | sort -u)
for name in $declared; do
	grep -qx "$name" <<<"$shown" || { echo "FAIL: there is no $name"; exit 1; }
done
[ "$(wc -l <<<"$declared")" -gt 30 ] || { echo 'FAIL: no declarations'; exit 1; }
