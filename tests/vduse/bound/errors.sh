# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# What the kernel does not let us do, and what we say then.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

start_daemon
vdpakit dev add name b0 mgmtdev vdpasim_blk
for bad in 'name a/b' 'name control' 'attach maybe' 'inflight there' \
	'size 1'; do
	# shellcheck disable=SC2086
	status_is 1 vdpakit dev bind b0 vduse $bad
	one_line "$bad" "$err"
done

# By hand, and a name that is taken.
vdpakit dev bind b0 vduse attach off
status_is 1 vdpa dev show b0
vdpa dev add name b0 mgmtdev vduse
status_is 0 blockdev --getsize64 "/dev/$(node b0 block)"
vdpakit dev add name b1 mgmtdev vdpasim_blk
status_is 1 vdpakit dev bind b1 vduse name b0
has 'taken' "$err" 'another process serves a device of that name'

# Somebody else deletes it: it can be unbound then.
vdpa dev del b0
status_is 0 vdpakit dev unbind b0
only_control
stop_daemon
sane

# Without CAP_NET_ADMIN: a disk by hand, a network card not at all.
vdpakitd="setpriv --bounding-set -net_admin --inh-caps -net_admin $vdpakitd"
printf '#!/bin/sh\nexec %s "$@"\n' "$vdpakitd" >"$work/weak"
chmod +x "$work/weak"
vdpakitd=$work/weak
start_daemon --dev 'b0 vdpasim_blk' --dev 'n0 vdpasim_net'
status_is 1 vdpakit dev bind b0 vduse
has 'disk' "$err" 'needs CAP_NET_ADMIN'
has 'disk' "$err" 'vdpa dev add name b0 mgmtdev vduse'
status_is 1 vdpakit dev bind n0 vduse
has 'card' "$err" 'a network device needs CAP_NET_ADMIN'
only_control
vdpakit dev bind b0 vduse attach off
vdpa dev add name b0 mgmtdev vduse
dd if="/dev/$(node b0 block)" of=/dev/null bs=64k count=16 status=none
vdpa dev del b0
vdpakit dev unbind b0
only_control

# Nobody loaded the module.
modprobe -r vduse
status_is 1 vdpakit dev bind b0 vduse
has 'no module' "$err" 'modprobe vduse'
has 'probe' "$(vdpakit probe)" 'kernel_vduse=no'
modprobe vduse
has 'probe' "$(vdpakit probe)" 'kernel_vduse=yes'
vdpakit dev bind b0 vduse attach off
vdpakit dev bind b0 vhost_vdpa
only_control
stop_daemon
