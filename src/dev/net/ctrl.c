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
#include <endian.h>
#include <string.h>

#include "dev/net/class.h"

#define DATA_BYTES_MAX 8

static bool set_address(struct net_dev *net, const void *data)
{
	net_put_mac(net, data);
	return true;
}

/* A burst that another worker has begun with the old number ends with it. */
static bool set_pairs(struct net_dev *net, const void *data)
{
	struct virtio_net_ctrl_mq mq;
	uint16_t n;

	memcpy(&mq, data, sizeof(mq));
	n = le16toh(mq.virtqueue_pairs);
	if (n < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || n > net->n_pairs) {
		return false;
	}
	__atomic_store_n(&net->n_active, n, __ATOMIC_RELAXED);
	return true;
}

/* Each has exactly so many bytes of data, and the feature that it needs. */
static const struct {
	uint8_t class, cmd;
	unsigned int feature;
	uint32_t data_bytes;
	bool (*execute)(struct net_dev *net, const void *data);
} commands[] = {
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET,
	  VIRTIO_NET_F_CTRL_MAC_ADDR, 6, set_address },
	{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_F_MQ,
	  sizeof(struct virtio_net_ctrl_mq), set_pairs },
};

static bool execute(struct net_dev *net, const struct vq_chain *chain)
{
	uint64_t features = soft_features(&net->soft);
	struct virtio_net_ctrl_hdr hdr;
	uint8_t data[DATA_BYTES_MAX];

	if (vq_chain_read(chain, 0, &hdr, sizeof(hdr)) < 0) {
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		uint32_t len = commands[i].data_bytes;

		if (hdr.class == commands[i].class &&
		    hdr.cmd == commands[i].cmd &&
		    has_bit(features, commands[i].feature)) {
			return chain->readable_bytes == sizeof(hdr) + len &&
			       vq_chain_read(chain, sizeof(hdr), data, len) ==
				       0 &&
			       commands[i].execute(net, data);
		}
	}
	return false;
}

static void answer(struct net_dev *net, uint16_t idx, struct vq_chain *chain)
{
	struct net_ctrl_counters *c = &net->ctrl;
	/* A command whose answer has no room is not executed either (H48). */
	bool ok = chain->writable_bytes > 0 && execute(net, chain);
	virtio_net_ctrl_ack ack = ok ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	uint32_t written = 0;

	net_count(&c->requests, 1);
	net_count(ok ? &c->successes : &c->errors, 1);
	if (vq_chain_write(chain, 0, &ack, sizeof(ack)) == 0) {
		written = sizeof(ack);
	}
	soft_complete(&net->soft, idx, chain, written);
}

void net_ctrl_submit(struct net_dev *net, uint16_t idx,
		     struct vq_chain **chains, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		answer(net, idx, chains[i]);
	}
}
