#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Bad command lines: one line on standard error that says what is wrong, exit
# status 1, nothing changed.
#
# Copyright (c) 2026, the vdpakit authors
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"

start_daemon --dev 'n0 vdpasim_net'
before=$(vdpakit -j dev show)

# what the message has | the words
while IFS='|' read -r want words; do
	# shellcheck disable=SC2086
	status_is 1 "$vdpakit" $words
	one_line "vdpakit $words" "$err"
	has "vdpakit $words" "$err" "vdpakit: $want"
	is "vdpakit $words: output" "$out" ''
	is "vdpakit $words: devices" "$("$vdpakit" -j dev show)" "$before"
done <<'TABLE'
there is no object 'foo'|foo
there is no object 'devs'|devs
there is no option -x|-x dev show
there is no option --jason|--jason dev
-s takes a value: PATH|dev show -s
--json takes no value|--json=1 dev
dev: there is no command 'foo'|dev foo
dev: there is no command 'shown'|dev shown
dev config: there is no command 'foo'|dev config foo
dev vstats: there is no command 'list'|dev vstats list
dev show: 'n1' is one word too many|dev show n0 n1
dev show: device not found|dev show n1
mgmtdev show: Fail to find the specified mgmt device|mgmtdev show nobody
mgmtdev show: 'a/b/c' is not like MGMTDEV or BUS/MGMTDEV|mgmtdev show a/b/c
dev add: name NAME is missing|dev add
dev add: name: a value is missing|dev add name
dev add: mgmtdev MGMTDEV is missing|dev add name n1
dev add: name is given twice|dev add name n1 name n2 mgmtdev vdpasim_net
dev add: Fail to find the specified management device|dev add name n1 mgmtdev nobody
dev add: there is a device n0 already|dev add name n0 mgmtdev vdpasim_net
dev add: '../n1' cannot name a device|dev add name ../n1 mgmtdev vdpasim_net
dev add: 'n/1' cannot name a device|dev add name n/1 mgmtdev vdpasim_net
dev add: mac: 'zz'|dev add name n1 mgmtdev vdpasim_net mac zz
dev add: mac: a value is missing|dev add name n1 mgmtdev vdpasim_net mac
dev add: mtu: 65536 is above the limit of 65535|dev add name n1 mgmtdev vdpasim_net mtu 65536
dev add: mtu: '-1' is not a number|dev add name n1 mgmtdev vdpasim_net mtu -1
dev add: integer out of range|dev add name n1 mgmtdev vdpasim_net mtu 67
dev add: At least one pair of VQs is required|dev add name n1 mgmtdev vdpasim_net max_vqp 0
dev add: device_features: 'xyz'|dev add name n1 mgmtdev vdpasim_net device_features xyz
dev add: Missing features 0x20 for provided attributes|dev add name n1 mgmtdev vdpasim_net mac 52:54:00:00:00:01 device_features 8
dev add: vdpasim_net takes no 'colour'|dev add name n1 mgmtdev vdpasim_net colour blue
dev add: max_vqp: 17 is not in 1 to 16|dev add name b1 mgmtdev net backend loopback max_vqp 17
dev add: backend loopback is needed|dev add name b1 mgmtdev net
dev add: Some provided attributes are not supported: 0x400|dev add name b1 mgmtdev vdpasim_blk mac 52:54:00:00:00:01
dev del: a word is missing: del DEV|dev del
dev del: device not found|dev del n1
dev del: 'n1' is one word too many|dev del n0 n1
dev set: name NAME and what to change are needed|dev set
dev set: name NAME and what to change are needed|dev set name n0
dev set: mac: a value is missing|dev set name n0 mac
dev set: name NAME and what to change are needed|dev set colour blue
dev set: vdpasim_net takes no 'colour'|dev set name n0 colour blue
dev set: mac: 'zz'|dev set name n0 mac zz
dev set: Invalid MAC address|dev set name n0 mac 01:00:00:00:00:00
dev set: Invalid MAC address|dev set name n0 mac 00:00:00:00:00:00
dev set: device not found|dev set name n1 mac 52:54:00:00:00:01
dev vstats show: a word is missing|dev vstats show
dev vstats show: 'qidx': DEV qidx QUEUE_INDEX is needed|dev vstats show n0 qidx
dev vstats show: 'q9': DEV qidx QUEUE_INDEX is needed|dev vstats show n0 q9 0
dev vstats show: qidx: 'x' is not a number|dev vstats show n0 qidx x
dev vstats show: qidx: 4294967296 is above|dev vstats show n0 qidx 4294967296
dev vstats show: n0: qidx 4294967295 is above|dev vstats show n0 qidx 4294967295
dev vstats show: feature negotiation not complete|dev vstats show n0 qidx 0
dev bind: a word is missing: bind DEV DRIVER|dev bind n0
dev bind: there is no bus driver nobody|dev bind n0 nobody
dev bind: device n1 not found|dev bind n1 vhost_vdpa
dev bind: x: a value is missing|dev bind n0 vhost_vdpa x
dev unbind: device n1 not found|dev unbind n1
driver show: 'x' is one word too many|driver show x
status: 'x' is one word too many|status x
probe: 'x' is one word too many|probe x
help: there is no object 'foo'|help foo
TABLE

status_is 1 "$vdpakit" dev show $'\xff'
one_line 'not UTF-8' "$err"
has 'not UTF-8' "$err" 'a word is not UTF-8'
status_is 1 "$vdpakit" dev show ''
has 'an empty name' "$err" 'device not found'
status_is 1 "$vdpakit" dev add name "$(printf 'n%.0s' {1..64})" \
	mgmtdev vdpasim_net
one_line 'a long name' "$err"

# Where nobody listens, and where somebody else does.
status_is 1 "$vdpakit" -s "$work/none" dev show
one_line 'no daemon' "$err"
has 'no daemon' "$err" 'start vdpakitd'
status_is 1 "$vdpakit" -s "$(printf 'x%.0s' {1..200})" dev show
has 'a long path' "$err" "too long for a socket's path"
status_is 1 "$vdpakit" -s "$preload" dev show
has 'the wrong socket' "$err" 'no daemon at'
# shellcheck disable=SC2016
status_is 1 bash -c '"$1" dev show >/dev/full' - "$vdpakit"
has 'a full disk' "$err" 'output: '
is 'nothing has changed' "$("$vdpakit" -j dev show)" "$before"
stop_daemon
