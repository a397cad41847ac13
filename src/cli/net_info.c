/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit net info: what a network card says of itself.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include <linux/virtio_net.h>

#include "base/err.h"
#include "cli/net.h"
#include "uapi/compat.h"

#define NAMES_MAX 64

static const struct arg_option options[] = {
	IO_FORMAT_OPTIONS,
};

void net_cmd_info_help(void)
{
	(void)printf("\nOptions:\n");
	args_print_help(stdout, options, ARRAY_SIZE(options));
}

struct bit_name {
	unsigned int bit;
	const char *name;
};

/* What may be asked for when sending, and in frames that are received. */
static const struct bit_name tx_names[] = {
	{ VIRTIO_NET_F_CSUM, "csum" },	    { VIRTIO_NET_F_HOST_TSO4, "tso4" },
	{ VIRTIO_NET_F_HOST_TSO6, "tso6" }, { VIRTIO_NET_F_HOST_ECN, "ecn" },
	{ VIRTIO_NET_F_HOST_UFO, "ufo" },   { VIRTIO_NET_F_HOST_USO, "uso" },
};
static const struct bit_name rx_names[] = {
	{ VIRTIO_NET_F_GUEST_CSUM, "csum" },
	{ VIRTIO_NET_F_GUEST_TSO4, "tso4" },
	{ VIRTIO_NET_F_GUEST_TSO6, "tso6" },
	{ VIRTIO_NET_F_GUEST_ECN, "ecn" },
	{ VIRTIO_NET_F_GUEST_UFO, "ufo" },
	{ VIRTIO_NET_F_GUEST_USO4, "uso4" },
	{ VIRTIO_NET_F_GUEST_USO6, "uso6" },
};

static void name_bits(uint64_t bits, const struct bit_name *names, size_t n,
		      char text[NAMES_MAX])
{
	size_t len = 0;

	(void)snprintf(text, NAMES_MAX, "none");
	for (size_t i = 0; i < n; i++) {
		if (has_bit(bits, names[i].bit)) {
			len += (size_t)snprintf(text + len, NAMES_MAX - len,
						"%s%s", len > 0 ? " " : "",
						names[i].name);
		}
	}
}

static json_t *hex(uint64_t bits)
{
	return json_sprintf("0x%llx", (unsigned long long)bits);
}

static json_t *info_json(const struct vdpakit_net_info *i)
{
	char tx[NAMES_MAX], rx[NAMES_MAX];

	name_bits(i->features, tx_names, ARRAY_SIZE(tx_names), tx);
	name_bits(i->offloads, rx_names, ARRAY_SIZE(rx_names), rx);
	return json_pack(
		"{s:o s:b s:s s:i s:i s:b s:i s:i s:i s:i s:i s:b s:o s:o "
		"s:s s:s}",
		"mac",
		json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", i->mac[0],
			     i->mac[1], i->mac[2], i->mac[3], i->mac[4],
			     i->mac[5]),
		"mac_random", (int)i->is_mac_random, "link",
		i->is_link_up ? "up" : "down", "mtu", (int)i->mtu, "speed_mbps",
		(int)i->speed_mbps, "full_duplex", (int)i->is_full_duplex,
		"pairs", (int)i->n_pairs, "active_pairs",
		(int)i->n_active_pairs, "max_pairs", (int)i->max_pairs,
		"queue_size", (int)i->queue_size, "buffer",
		(int)i->buffer_bytes, "packed", (int)i->is_packed, "features",
		hex(i->features), "offloads", hex(i->offloads), "tx_offloads",
		tx, "rx_offloads", rx);
}

static int show(struct net_end *end, void *priv)
{
	return io_print_info(priv, info_json(&end->info));
}

int net_cmd_info(const struct cli *cli, int argc, char **argv)
{
	const struct net_end_want want = { .wants_offloads = true };
	struct io_format format = { cli->is_json, cli->is_pretty };
	int r = cli_take(options, ARRAY_SIZE(options), argc, argv, &format);

	if (r >= 0) {
		r = io_check_words(r, 1, 1, "DEVICE, one word,");
	}
	return r < 0 ? r : net_with_device(cli, argv[0], &want, show, &format);
}
