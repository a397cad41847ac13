# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Boot a user-mode Linux to a script; for bash, to be sourced.
#
# Copyright (c) 2026, the vdpakit authors
#
# The kernel is a program (scripts/testbed) whose root is the host's own, so
# that a job has bash and all programs of the host, as root. It starts in a
# second; its virtio_uml is a vhost-user front end of its own.
#
# uml_boot KEY JOB [ARG...] [-- KERNEL-ARG...]
#                returns the job's status: 97 no GUEST-RC line, 98 the kernel
#                failed, 124 out of time
# uml_log        what it said, without carriage returns
#
# Set before: UML_DIR, a work folder; UML_PREFIX, array, to run it under;
# UML_TIMEOUT, seconds (60). A disk of the kernel's argument
# virtio_uml.device=SOCKET:2 is /dev/vda, a network card (SOCKET:1) eth0.

uml_here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
uml_top=$(realpath "$uml_here/../..")

uml_skip()
{
	echo "SKIP: $*" >&2
	exit 77
}

# uml_share KEY: what the first process wants
uml_share()
{
	local paths share=$UML_DIR/share

	paths=$("$uml_top/scripts/testbed" path "$1" "$1_modules" 2>&1) ||
		uml_skip "$paths"
	{
		read -r uml_kernel
		read -r uml_modules
	} <<<"$paths"
	mkdir -p "$share"/{bin,lib}
	ln -sfn "$uml_modules" "$share/lib/modules"
	[ -x "$share/bin/frames" ] || ${CC:-cc} -O2 -static \
		-o "$share/bin/frames" "$uml_here/frames.c"
}

uml_log()
{
	tr -d '\r\0' <"$UML_DIR/log"
}

uml_boot()
{
	local key=$1 job=() status=0 pid rc

	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		job+=("$1")
		shift
	done
	[ $# = 0 ] || shift
	uml_share "$key"
	# The kernel adds words of its own to the command line's end.
	printf '%q ' exec bash "${job[@]}" >"$UML_DIR/share/run"
	timeout -k 5 "${UML_TIMEOUT:-60}" "${UML_PREFIX[@]}" "$uml_kernel" \
		mem=256M root=host rootfstype=hostfs rootflags=/ ro init=/bin/bash \
		con0=fd:0,fd:1 con=null panic=-1 quiet "$@" -- \
		"$uml_here/uml-init" "$UML_DIR/share" \
		</dev/null >"$UML_DIR/log" 2>&1 &
	pid=$!
	wait "$pid" || status=$?
	if [ $status = 124 ] || [ $status = 137 ]; then
		# Processes of the guest's outlive the kernel.
		kill -9 -- "-$pid" 2>/dev/null || true
		return 124
	fi
	[ $status = 0 ] || return 98
	rc=$(uml_log | sed -n 's/^GUEST-RC=\([0-9]*\).*/\1/p' | tail -n 1)
	return "${rc:-97}"
}
