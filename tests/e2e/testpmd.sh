# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Network cards that are DPDK's: vhost-user back ends of testpmd's; for bash,
# after lib.sh. To be run in $work.
#
# Copyright (c) 2026, the vdpakit authors
#
# start MODE CARD...      sockets CARD.sock, whose frames go by this mode of
#                         testpmd's; until they do: a socket is there before
#                         anybody listens. Nothing else may have descriptor 8
# end                     end it
# failed TEXT...          die, and say what testpmd said
tool testpmd24
testpmd=$tool
testpmd_options=()
# Where not every driver is loaded by itself.
driver=$(echo "$(dirname "$testpmd")"/usr/lib/*/dpdk/pmds-*/librte_net_vhost.so)
[ ! -e "$driver" ] || testpmd_options+=(-d "$driver")

start()
{
	local deadline=$((SECONDS + 60)) mode=$1 cards=() card

	shift
	for card; do
		rm -f "$card.sock"
		cards+=(--vdev
			"net_vhost${#cards[@]},iface=$work/$card.sock,tso=1")
	done
	rm -f log.in
	: >log
	# The end of its input is its end.
	mkfifo log.in
	exec 8<>log.in
	stdbuf -oL "$testpmd" --no-huge -m 256 --no-pci -l 0,1 \
		--file-prefix "vdpakit-net$$" "${testpmd_options[@]}" \
		"${cards[@]}" -- --forward-mode="$mode" \
		--total-num-mbufs=16384 --disable-link-check \
		<&8 >log 2>&1 8>&- &
	server=$!
	until grep -q 'Press enter to exit' log; do
		kill -0 "$server" || failed 'testpmd did not start'
		[ $SECONDS -lt $deadline ] || failed 'testpmd is not ready'
	done
}

end()
{
	kill "$server"
	# Now and then it crashes when all is done.
	wait "$server" || true
	grep -q '^Bye' log || failed 'testpmd did not end as it should'
	exec 8>&-
}

failed()
{
	cat log >&2
	die "$@"
}
