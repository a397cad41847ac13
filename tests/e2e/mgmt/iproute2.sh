#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The unmodified vdpa of iproute2 manages the daemon, and sees what we see.
#
# Copyright (c) 2026, the vdpakit authors
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"

command -v vdpa >/dev/null || skip 'vdpa is not installed (scripts/setup test)'

cat >"$work/job" <<'JOB'
. "$1"
same()
{
	is "vdpa -j $*" "$(vdpakit -j "$@" |
		jq -c 'del(.dev[]?["driver","path","status"], .mgmtdev[]?["keys","own_keys"])')" \
		"$(vdpa -j "$@" | jq -c .)"
}
# refused TEXT ERRNO-TEXT WORDS...: the tool fails, with these two lines
refused()
{
	local want

	want="${1:+Error: $1.
}kernel answers: $2"
	shift 2
	status_is 1 vdpa "$@"
	is "vdpa $*" "$err" "$want"
}

for words in 'mgmtdev show' 'mgmtdev show vdpasim_net' 'dev show' \
	'dev show n0' 'dev config show' 'dev config show n0' \
	'dev config show b0'; do
	# shellcheck disable=SC2086
	same $words
done
is 'config, text' "$(vdpa dev config show n0)" "$(vdpakit dev config show n0)"
has 'dev, text' "$(vdpakit dev show n0)" "$(vdpa dev show n0)"
is 'mgmtdev, text' "$(vdpa mgmtdev show vdpasim_net)" \
	"$(vdpakit mgmtdev show vdpasim_net | grep -v '^  key ')"

vdpa dev add name n1 mgmtdev vdpasim_net mac 52:54:00:00:00:09 mtu 9000
has 'added' "$(vdpakit dev config show n1)" 'mac 52:54:00:00:00:09 link up link_announce false mtu 9000'
same dev config show n1

# Several pairs of queues.
vdpakit dev add name n3 mgmtdev net backend loopback max_vqp 4
has 'pairs' "$(vdpa dev config show n3)" 'max_vq_pairs 4 mtu 1500'
same dev show n3
same dev config show n3
same mgmtdev show net
vdpakit dev del n3

# Statement 66, where the tool has the words for it.
refused 'vdpa: there is a device n1 already' 'File exists' \
	dev add name n1 mgmtdev vdpasim_net
refused 'vdpa: Fail to find the specified management device' \
	'No such device' dev add name n2 mgmtdev nobody
refused 'integer out of range' 'Numerical result out of range' \
	dev add name n2 mgmtdev vdpasim_net mtu 67
refused 'vdpa: At least one pair of VQs is required' 'Invalid argument' \
	dev add name n2 mgmtdev vdpasim_net max_vqp 0
refused 'vdpa: Some provided attributes are not supported: 0x400' \
	'Operation not supported' \
	dev add name b2 mgmtdev vdpasim_blk mac 52:54:00:00:00:09
# Statement 69; the tool's status is 0 all the same.
has 'vstats too early' "$(vdpa dev vstats show n1 qidx 0 2>&1)" \
	'Error: vdpa: feature negotiation not complete.'
has 'vstats of blk' "$(vdpa dev vstats show b0 qidx 0 2>&1)" \
	'kernel answers: Operation not supported'
# Statement 70.
refused 'vdpa: device not found' 'No such device' dev del n2
refused 'vdpa: device not found' 'No such device' dev show n2

vdpa dev del n1
status_is 1 vdpakit dev show n1

# Many devices: more than a datagram holds.
for ((i = 0; i < 60; i++)); do
	vdpa dev add name "many$i" mgmtdev vdpasim_net
done
is 'many' "$(vdpa -j dev show | jq '.dev | length')" 62
same dev show
same dev config show

# Statement 6: a deletion ends when the device is closed.
exec 5<>/dev/vhost-vdpa-0
vdpa dev del n0 5>&- &
pid=$!
wait_for sh -c "vdpakit dev unbind n0 2>&1 | grep 'being removed'" 5>&-
has 'still there' "$(vdpa dev show n0 5>&-)" n0
exec 5>&-
wait "$pid"
refused 'vdpa: device not found' 'No such device' dev show n0
JOB
VDPAKIT_E2E_JOB=1 timeout 60 "$vdpakit" run --dev 'n0 vdpasim_net mac 52:54:00:01:02:03' \
	--dev 'b0 vdpasim_blk' -- \
	bash "$work/job" "$(dirname "$(realpath "$0")")/lib.sh"
