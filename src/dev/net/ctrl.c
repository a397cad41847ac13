/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-net control queue.
 *
 * A command is struct virtio_net_ctrl_hdr and its data, readable, then one
 * byte for the answer, writable. Whatever is wrong with it is answered with
 * VIRTIO_NET_ERR where there is room for an answer, and completed always.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <string.h>

#include "dev/net/net.h"

/* VIRTIO_NET_CTRL_MAC_ADDR_SET: exactly one address. */
static bool set_address(struct net_dev *net, const struct vq_chain *chain)
{
	uint8_t mac[6];
	uint32_t data = sizeof(struct virtio_net_ctrl_hdr);

	if (chain->readable_bytes != data + sizeof(mac) ||
	    vq_chain_read(chain, data, mac, sizeof(mac)) < 0) {
		return false;
	}
	memcpy(net->config.mac, mac, sizeof(mac));
	return true;
}

static bool execute(struct net_dev *net, const struct vq_chain *chain)
{
	uint64_t features = soft_features(&net->soft);
	struct virtio_net_ctrl_hdr hdr;

	if (vq_chain_read(chain, 0, &hdr, sizeof(hdr)) < 0) {
		return false;
	}
	if (hdr.class == VIRTIO_NET_CTRL_MAC &&
	    hdr.cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET &&
	    has_bit(features, VIRTIO_NET_F_CTRL_MAC_ADDR)) {
		return set_address(net, chain);
	}
	return false;
}

static void answer(struct net_dev *net, struct vq_chain *chain)
{
	struct net_counters *c = &net->counters;
	/* A command whose answer has no room is not executed either (H48). */
	bool ok = chain->writable_bytes > 0 && execute(net, chain);
	virtio_net_ctrl_ack ack = ok ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	uint32_t written = 0;

	net_count(&c->cvq_requests, 1);
	net_count(ok ? &c->cvq_successes : &c->cvq_errors, 1);
	if (vq_chain_write(chain, 0, &ack, sizeof(ack)) == 0) {
		written = sizeof(ack);
	}
	soft_complete(&net->soft, NET_VQ_CTRL, chain, written);
}

void net_ctrl_submit(struct net_dev *net, struct vq_chain **chains,
		     unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		answer(net, chains[i]);
	}
}
