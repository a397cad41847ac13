# SPDX-License-Identifier: BSD-2-Clause
# Run another job of /job, reboot, run it again.  Needs a /share mount.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: reboot.sh REBOOTS JOB [ARG...]

reboots=$1
shift
sh "/job/$@" || exit 1
if [ "$BOOT" -le "$reboots" ]; then
	echo "guest: rebooting after boot $BOOT"
	reboot -f
fi
