#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# All C is formatted as clang-format 14 with our .clang-format would have it.
#
# Copyright (c) 2026, the vdpakit authors
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/../.."

for tool in clang-format-14 clang-format; do
	if "$tool" --version 2>/dev/null | grep 'version 14\.' >/dev/null; then
		find . -name 'build*' -prune -o -name '*.[ch]' -print | sort |
			xargs -r "$tool" --dry-run --Werror
		exit
	fi
done
echo 'SKIP: clang-format 14 is not installed (other versions differ)'
exit 77
