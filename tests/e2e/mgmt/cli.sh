#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The management commands, in text and in JSON, against one daemon.
#
# Copyright (c) 2026, the vdpakit authors
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"

start_daemon --dev 'n0 vdpasim_net mac=52:54:00:01:02:03'

is 'dev show' "$(vdpakit dev show)" \
	'n0: type network mgmtdev vdpasim_net vendor_id 0 max_vqs 3 max_vq_size 1024 driver vhost_vdpa path /dev/vhost-vdpa-0 status 0x0'
is 'dev show -j' "$(vdpakit -j dev show)" \
	'{"dev":{"n0":{"type":"network","mgmtdev":"vdpasim_net","vendor_id":0,"max_vqs":3,"max_vq_size":1024,"driver":"vhost_vdpa","path":"/dev/vhost-vdpa-0","status":0}}}'
is 'options may follow' "$(vdpakit dev show -jp n0 | head -n 2)" \
	"$(printf '{\n    "dev": {')"
is 'words may be short' "$(vdpakit d s n0)" "$(vdpakit dev list)"
is 'show is the default' "$(vdpakit dev)" "$(vdpakit dev show)"

# Statement 67: two keys with a blank at the end.
is 'config -j' "$(vdpakit -j dev config show n0)" \
	'{"config":{"n0":{"mac":"52:54:00:01:02:03","link ":"up","link_announce ":false,"mtu":1500}}}'
is 'config' "$(vdpakit dev config)" \
	'n0: mac 52:54:00:01:02:03 link up link_announce false mtu 1500 '

vdpakit dev set name n0 mac 52:54:00:00:00:0a
has 'dev set' "$(vdpakit dev config show n0)" 'mac 52:54:00:00:00:0a '

vdpakit dev add name b0 mgmtdev vdpasim_blk capacity 64M
is 'config of blk' "$(vdpakit -j dev config show b0)" '{"config":{"b0":{}}}'
is 'both' "$(vdpakit -j dev show | jq -c '.dev | keys')" '["b0","n0"]'
vdpakit dev add name n1 mgmtdev vdpasim_net mtu 9000 device_features 320830028
has 'mtu' "$(vdpakit dev config show n1)" 'mtu 9000'

# Several pairs of queues: wherever the kernel's tool shows them.
vdpakit dev add name n2 mgmtdev net backend loopback max_vqp 4
has 'pairs' "$(vdpakit dev config show n2)" 'max_vq_pairs 4 mtu 1500'
is 'pairs -j' "$(vdpakit -j dev config show n2 |
	jq .config.n2.max_vq_pairs)" 4
is 'queues' "$(vdpakit -j dev show n2 | jq .dev.n2.max_vqs)" 9
vdpakit dev del n2

is 'mgmtdev' "$(vdpakit -j mgmtdev show vdpasim_net |
	jq -c '.mgmtdev.vdpasim_net | .supported_classes, .max_supported_vqs')" \
	"$(printf '["net"]\n3')"
has 'keys' "$(vdpakit mgmtdev show vdpasim_blk)" '  key capacity SIZE: '
has 'driver' "$(vdpakit driver show)" 'vhost_vdpa: devices n0 b0 n1'

# Unbound, a device is there and nobody sees it; the name of its path is free.
vdpakit dev unbind n0
is 'unbound' "$(vdpakit -j dev show n0 | jq -c '.dev.n0 | has("driver")')" false
vdpakit dev bind n0 vhost_vdpa
has 'bound' "$(vdpakit dev show n0)" 'path /dev/vhost-vdpa-0'

# Statement 69.
status_is 1 vdpakit dev vstats show n0 qidx 0
has 'vstats too early' "$err" 'feature negotiation not complete'

vdpakit dev del n0
status_is 1 vdpakit dev show n0
one_line 'show of a deleted one' "$err"
vdpakit dev del n1
vdpakit dev del b0
is 'nothing left' "$(vdpakit -j dev show)" '{"dev":{}}'
is 'nothing left' "$(vdpakit dev show)" ''

has 'status' "$(vdpakit status)" 'open_files 0'
is 'status -j' "$(vdpakit -j status | jq '.status.devices')" 0
is 'not private' "$(vdpakit -j status | jq '.status.private')" false
is '-s' "$(env -u VDPAKIT_RPC "$vdpakit" -s "$rpc" -j dev)" '{"dev":{}}'
stop_daemon
# One line for each event in a device's life.
has 'the log' "$(cat "$work/log")" 'info: n0: added by vdpasim_net'
has 'the log' "$(cat "$work/log")" 'info: n0: bound to vhost_vdpa'
has 'the log' "$(cat "$work/log")" 'info: b0: deleted'
