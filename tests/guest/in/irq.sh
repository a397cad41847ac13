# SPDX-License-Identifier: BSD-2-Clause
# Run another job of /job, and say by which interrupts virtio drivers are told.
#
# Copyright (c) 2026, the vdpakit authors
#
# usage: irq.sh JOB [ARG...]

sh "/job/$@" || exit 1
grep virtio /proc/interrupts | tr -s ' ' | sed 's/^/irq:/'
