#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Each header compiles alone; the installed ones also as C99 and as C++.
#
# Copyright (c) 2026, the vdpakit authors
set -uo pipefail
cd "$(dirname "$(realpath "$0")")/../.." || exit 1

status=0
# compile HEADER COMPILER...
compile()
{
	local header=$1

	shift
	echo "#include $header" |
		"$@" -fsyntax-only -Wall -Wextra -Wno-unused-parameter \
			-Werror -Iinclude - || {
		echo "FAIL: $header alone, by $*"
		status=1
	}
}

cxx=$(command -v g++ clang++ | head -n 1)
while read -r file; do
	compile "\"${file#src/}\"" "${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -Isrc \
		-Itests -x c
done < <(find src -name '*.h' | sort)
while read -r file; do
	header="<${file#include/}>"
	compile "$header" "${CC:-gcc}" -std=c99 -Wpedantic -x c
	[ -z "$cxx" ] || compile "$header" "$cxx" -std=c++11 -Wpedantic -x c++
done < <(find include -name '*.h' | sort)
[ $status = 0 ] || exit 1
[ "$cxx" ] || {
	echo 'SKIP: no C++ compiler for the installed headers'
	exit 77
}
