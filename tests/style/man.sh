#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What --help says, the man pages say too: options, commands, keys of devices;
# and every management device and bus driver has a page.
#
# Copyright (c) 2026, the vdpakit authors
set -u
top=$(dirname "$(realpath "$0")")/../..
vdpakit=$BUILD/src/cli/vdpakit
failed=0

# Is the word in the page, marked up or not?
expect()
{
	if ! tr -d '*' <"$top/$1" | grep -qF -- "$2"; then
		echo "$1 does not know $2"
		failed=1
	fi
}

help=$("$vdpakit" help --all) || exit 1
for option in $(grep -oE -- '--[a-zA-Z]+' <<<"$help" | sort -u); do
	expect src/cli/vdpakit.1.scd "$option"
done
while read -r line; do
	expect src/cli/vdpakit.1.scd "$line"
done < <(sed -nE 's/^ +(vdpakit (mgmtdev|dev|driver) [a-z]+( (add|del|set|show|name))?).*/\1/p' <<<"$help")

# check_io OBJECT COMMAND...: of what has a page of its own
check_io()
{
	local object=$1 page=src/cli/vdpakit-$1.1.scd help command option line

	shift
	help=$("$vdpakit" "$object" help; for command; do
		"$vdpakit" "$object" "$command" --help ||
			echo "--no-help-of-$command"; done)
	for option in $(grep -oE -- '--[a-zA-Z-]+' <<<"$help" | sort -u); do
		expect "$page" "$option"
	done
	while read -r line; do
		expect "$page" "$line"
	done < <(sed -nE "s/^ +(vdpakit $object [a-z]+).*/\\1/p" <<<"$help")
}
check_io blk info read write copy bench
check_io net info send dump bench tap

for option in $("$BUILD/src/daemon/vdpakitd" --help |
	grep -oE -- '--[a-z]+' | sort -u); do
	expect src/daemon/vdpakitd.8.scd "$option"
done

check_running()
{
	local page name key

	while read -r name; do
		page=$(cd "$top" && ls src/dev/*/"$name".4.scd) || failed=1
		for key in $("$vdpakit" -j mgmtdev show "$name" | jq -r \
			".mgmtdev.\"$name\".keys // {} | keys[]"); do
			expect "$page" "$key"
		done
	done < <("$vdpakit" -j mgmtdev show | jq -r '.mgmtdev | keys[]')
	while read -r name; do
		page=src/busdrv/$name.4.scd
		[ -f "$top/$page" ] || {
			echo "bus driver $name has no page"
			failed=1
			continue
		}
		for key in $("$vdpakit" -j driver show | jq -r \
			".driver.\"$name\".keys // {} | keys[]"); do
			expect "$page" "$key"
		done
	done < <("$vdpakit" -j driver show | jq -r '.driver | keys[]')
	return $failed
}

if [ "${1-}" = --inside ]; then
	check_running
	exit
fi
"$vdpakit" run -- "$0" --inside || failed=1
exit $failed
