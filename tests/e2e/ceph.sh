#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A disk on an RBD image of a Ceph cluster of one monitor and one OSD in memory:
# what is copied in comes out, and a disk whose image grows is told so.
#
# Copyright (c) 2026, the vdpakit authors
. "$(dirname "$(realpath "$0")")/lib.sh"

for program in ceph-mon ceph-osd rbd; do
	command -v $program >/dev/null ||
		skip "$program is not installed (scripts/setup ceph)"
done
"$vdpakit" run -- vdpakit mgmtdev show blk | grep -q rbd ||
	skip 'built without librbd'
tool blkio_copy
copy=$tool
tool blkio_info
info=$tool
cd "$work"
export CEPH_CONF=$work/ceph.conf

# A port that was free a moment ago: the monitor's is in its map from the start.
port=$(python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
fsid=$(</proc/sys/kernel/random/uuid)
osd=$(</proc/sys/kernel/random/uuid)
cat >ceph.conf <<CONF
[global]
fsid = $fsid
mon_host = [v2:127.0.0.1:$port]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_bind_msgr1 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = $work
admin_socket = $work/\$name.\$pid.asok
log_file = $work/\$name.log
keyring = $work/keyring
mon_data = $work/mon
osd_data = $work/osd
osd_objectstore = memstore
memstore_device_bytes = 256M
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
CONF

start_cluster()
{
	mkdir mon osd
	ceph-authtool --create-keyring keyring --gen-key -n mon. \
		--cap mon 'allow *'
	monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$port]" \
		monmap
	ceph-mon --mkfs -i a --monmap monmap --keyring keyring
	ceph-mon -i a -f &
	timeout 30 ceph osd new "$osd"
	ceph-osd -i 0 --mkfs --osd-uuid "$osd"
	ceph-osd -i 0 -f &
	timeout 30 ceph osd pool create rbd 4 4
	timeout 30 rbd create --size 32M d0
}

start_cluster >cluster.log 2>&1 || {
	cat cluster.log >&2
	die 'no cluster'
}
cat >job <<'JOB'
set -euo pipefail
copy=$1 info=$2
path=path=/dev/vhost-vdpa-0
"$copy" --input-file=in --output-blkio=virtio-blk-vhost-vdpa $path
truncate -s 32M out
"$copy" --input-blkio=virtio-blk-vhost-vdpa $path --output-file=out
cmp in out
rbd resize --size 48M d0
# Until librbd has heard of it; each look is a client that comes and goes.
until "$info" virtio-blk-vhost-vdpa $path capacity | grep -q 50331648; do
	:
done
JOB
dd if=/dev/urandom of=in bs=1M count=32 status=none
timeout 100 "$vdpakit" run \
	--dev "d0 blk backend=rbd image=d0 conf=$work/ceph.conf num_queues=2" \
	-- bash job "$copy" "$info"
# What another client sees.
timeout 30 rbd export --no-progress d0 image
cmp -n 32M in image
