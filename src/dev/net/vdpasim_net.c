/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpasim_net: the loopback network device, as the kernel's simulator.
 *
 * Theory of operation
 *
 * Three queues: 0 receive, 1 transmit, 2 control; group 0 has the first two,
 * group 1 the control queue; two address spaces. A frame that is sent comes
 * back on the receive queue when it is addressed to the device (its MAC,
 * multicast, broadcast); others are counted as dropped. Nothing waits for
 * receive buffers: a frame that finds none is an overrun, as on a wire.
 *
 *   transmit burst --> per frame: filter, take receive chains, copy, complete
 *
 * Frames come back with a clean header: no offload is offered, so whatever the
 * sender's header says means nothing. With MRG_RXBUF a frame is spread over as
 * many receive chains as it needs.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/net/vdpasim_net.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ids.h>

#include "base/err.h"
#include "base/parse.h"
#include "dev/net/net.h"

#define SIM_VQ_NUM_MAX 256
/* Receive chains that one frame may take. */
#define FRAME_CHAINS_MAX 32

static const uint64_t sim_net_features =
	BIT_ULL(VIRTIO_NET_F_MTU) | BIT_ULL(VIRTIO_NET_F_MAC) |
	BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) | BIT_ULL(VIRTIO_NET_F_STATUS) |
	BIT_ULL(VIRTIO_NET_F_CTRL_VQ) | BIT_ULL(VIRTIO_NET_F_CTRL_MAC_ADDR);

/* ---- loopback ---- */

enum verdict {
	FRAME_TAKEN,
	FRAME_BAD,
	FRAME_NOT_OURS,
};

static enum verdict look_at(const struct net_dev *net,
			    const struct vq_chain *tx)
{
	uint8_t dst[6];

	if (tx->is_faulty ||
	    tx->readable_bytes < NET_HDR_BYTES + NET_FRAME_MIN ||
	    tx->readable_bytes > NET_HDR_BYTES + NET_FRAME_MAX ||
	    vq_chain_read(tx, NET_HDR_BYTES, dst, sizeof(dst)) < 0) {
		return FRAME_BAD;
	}
	return net_accepts(net, dst) ? FRAME_TAKEN : FRAME_NOT_OURS;
}

/* The chains of one frame on the receive side. */
struct receive {
	struct vq_chain *chains[FRAME_CHAINS_MAX];
	unsigned int n;
	uint32_t room; /* bytes, header included */
};

/* Takes chains until the frame fits; gives all back when it does not. */
static int receive_take(struct net_dev *net, uint32_t need, struct receive *rx)
{
	unsigned int max =
		has_bit(soft_features(&net->soft), VIRTIO_NET_F_MRG_RXBUF)
			? FRAME_CHAINS_MAX
			: 1;
	bool is_bad = false;

	rx->n = 0;
	rx->room = 0;
	while (rx->n < max && rx->room < need && !is_bad) {
		struct vq_chain **slot = &rx->chains[rx->n];

		if (soft_fetch(&net->soft, NET_VQ_RX, slot, 1) == 0) {
			soft_unfetch(&net->soft, NET_VQ_RX, rx->n);
			return -ENOBUFS;
		}
		rx->room += min_of((*slot)->writable_bytes, need - rx->room);
		/* The header must lie in the first chain. */
		is_bad = (*slot)->is_faulty ||
			 (rx->n == 0 && rx->room < NET_HDR_BYTES);
		rx->n++;
	}
	if (rx->room >= need && !is_bad) {
		return 0;
	}
	/* Buffers that can hold nothing: back to the driver, empty, or they
	 * would be in the way of every later frame. */
	for (unsigned int i = 0; i < rx->n; i++) {
		soft_complete(&net->soft, NET_VQ_RX, rx->chains[i], 0);
	}
	return -EMSGSIZE;
}

/* Copies header and frame; every chain of @rx is completed. */
static void receive_fill(struct net_dev *net, struct receive *rx,
			 const struct vq_chain *tx)
{
	const struct virtio_net_hdr_v1 hdr = {
		.num_buffers = htole16((uint16_t)rx->n),
	};
	uint32_t done = NET_HDR_BYTES;

	(void)vq_chain_write(rx->chains[0], 0, &hdr, NET_HDR_BYTES); /* fits */
	for (unsigned int i = 0; i < rx->n; i++) {
		struct vq_chain *chain = rx->chains[i];
		uint32_t off = i == 0 ? (uint32_t)NET_HDR_BYTES : 0;
		uint32_t n = min_of(chain->writable_bytes - off,
				    tx->readable_bytes - done);

		/* Neither side is faulty and both ranges were measured. */
		(void)vq_chain_copy(chain, off, tx, done, n);
		soft_complete(&net->soft, NET_VQ_RX, chain, off + n);
		done += n;
	}
}

static void loop_back(struct net_dev *net, const struct vq_chain *tx)
{
	uint32_t frame_bytes = tx->readable_bytes - NET_HDR_BYTES;
	struct net_counters *c = &net->counters;
	struct receive rx;
	int ret;

	ret = receive_take(net, tx->readable_bytes, &rx);
	if (ret < 0) {
		net_count(ret == -ENOBUFS ? &c->rx_overruns : &c->rx_errors, 1);
		return;
	}
	receive_fill(net, &rx, tx);
	net_count(&c->rx_packets, 1);
	net_count(&c->rx_bytes, frame_bytes);
}

static void transmit(struct net_dev *net, struct vq_chain *tx)
{
	struct net_counters *c = &net->counters;
	enum verdict verdict = look_at(net, tx);

	if (verdict == FRAME_BAD) {
		net_count(&c->tx_errors, 1);
	} else {
		net_count(&c->tx_packets, 1);
		net_count(&c->tx_bytes, tx->readable_bytes - NET_HDR_BYTES);
	}
	if (verdict == FRAME_TAKEN) {
		loop_back(net, tx);
	} else if (verdict == FRAME_NOT_OURS) {
		net_count(&c->rx_drops, 1);
	}
	soft_complete(&net->soft, NET_VQ_TX, tx, 0);
}

static void sim_net_submit(struct soft_dev *dev, uint16_t idx,
			   struct vq_chain **chains, unsigned int n)
{
	struct net_dev *net = net_dev_of(dev);

	if (idx == NET_VQ_CTRL) {
		net_ctrl_submit(net, chains, n);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		transmit(net, chains[i]);
	}
}

/* Frames wait until there is a receive queue at all. */
static unsigned int sim_net_budget(struct soft_dev *dev, uint16_t idx)
{
	return idx == NET_VQ_TX && !soft_is_running(dev, NET_VQ_RX)
		       ? 0
		       : SOFT_BURST;
}

static bool sim_net_is_passive(struct soft_dev *dev, uint16_t idx)
{
	(void)dev;
	return idx == NET_VQ_RX;
}

static void sim_net_free(struct soft_dev *dev)
{
	free(net_dev_of(dev));
}

static const struct soft_class sim_net_class = {
	.device_id = VIRTIO_ID_NET,
	.is_single_worker = true,
	.submit = sim_net_submit,
	.budget = sim_net_budget,
	.is_passive = sim_net_is_passive,
	.get_config = net_get_config,
	.set_config = net_set_config,
	.emit_stats = net_emit_stats,
	.free = sim_net_free,
};

/* The control queue has a group of its own, so that it can have an address
 * space of its own: a VMM shadows it there. */
static uint32_t sim_net_vq_group(const struct soft_dev *dev, uint16_t idx)
{
	(void)dev;
	return idx == NET_VQ_CTRL ? 1 : 0;
}

/* ---- management ---- */

static int sim_net_new(const char *name, const struct vdpa_dev_config *config,
		       uint64_t features, struct net_dev **ret)
{
	struct net_dev *net = calloc(1, sizeof(*net));

	if (!net) {
		return -ENOMEM;
	}
	(void)snprintf(net->soft.vdev.name, VDPA_NAME_MAX, "%s", name);
	net->soft.class = &sim_net_class;
	net->soft.device_features = features;
	net->soft.config_size = NET_CONFIG_BYTES;
	net->soft.num_max = SIM_VQ_NUM_MAX;
	net->soft.vq_group = sim_net_vq_group;
	net->soft.vdev.nvqs = NET_VQ_N;
	net->soft.vdev.ngroups = 2;
	net->soft.vdev.nas = 2;
	net_config_init(net, config);
	*ret = net;
	return 0;
}

static int sim_net_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
			   const struct vdpa_dev_config *config)
{
	uint64_t features = mgmtdev->supported_features;
	struct net_dev *net;
	int ret;

	if (has_bit(config->mask, VDPA_ATTR_FEATURES)) {
		if (config->device_features & ~features) {
			return err(-EINVAL,
				   "device_features 0x%llx are more than the "
				   "0x%llx that vdpasim_net has",
				   (unsigned long long)config->device_features,
				   (unsigned long long)features);
		}
		features = config->device_features;
	}
	ret = sim_net_new(name, config, features, &net);
	if (ret < 0) {
		return ret;
	}
	ret = soft_dev_init(&net->soft, mgmtdev->bus);
	if (ret < 0) {
		free(net);
		return ret;
	}
	ret = vdpa_device_register(mgmtdev->bus, mgmtdev, &net->soft.vdev);
	if (ret < 0) {
		soft_dev_free(&net->soft);
	}
	return ret;
}

static void sim_net_dev_del(struct vdpa_mgmtdev *mgmtdev,
			    struct vdpa_device *vdev)
{
	(void)mgmtdev;
	vdpa_device_unregister(vdev);
	soft_dev_free(soft_dev_of(vdev));
}

static int sim_net_dev_set_attr(struct vdpa_mgmtdev *mgmtdev,
				struct vdpa_device *vdev,
				const struct vdpa_dev_config *config)
{
	(void)mgmtdev;
	net_set_mac(net_dev_of(soft_dev_of(vdev)), config->mac);
	return 0;
}

static const struct vdpa_mgmtdev_ops sim_net_mgmtdev_ops = {
	.dev_add = sim_net_dev_add,
	.dev_del = sim_net_dev_del,
	.dev_set_attr = sim_net_dev_set_attr,
};

int vdpasim_net_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret)
{
	struct vdpa_mgmtdev *mgmtdev = calloc(1, sizeof(*mgmtdev));
	int r;

	if (!mgmtdev) {
		return -ENOMEM;
	}
	*mgmtdev = (struct vdpa_mgmtdev){
		.name = "vdpasim_net",
		.ops = &sim_net_mgmtdev_ops,
		.classes = BIT_ULL(VIRTIO_ID_NET),
		.attr_mask = BIT_ULL(VDPA_ATTR_MAC) | BIT_ULL(VDPA_ATTR_MTU) |
			     BIT_ULL(VDPA_ATTR_FEATURES),
		.supported_features = sim_net_features | soft_ring_features,
		.max_supported_vqs = NET_VQ_N,
	};
	r = vdpa_mgmtdev_register(bus, mgmtdev);
	if (r < 0) {
		free(mgmtdev);
		return r;
	}
	*ret = mgmtdev;
	return 0;
}

void vdpasim_net_unregister(struct vdpa_mgmtdev *mgmtdev)
{
	vdpa_mgmtdev_unregister(mgmtdev);
	free(mgmtdev);
}
