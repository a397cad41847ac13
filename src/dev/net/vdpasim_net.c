/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpasim_net: the loopback network device, as the kernel's simulator.
 *
 * Three queues: 0 receive, 1 transmit, 2 control; group 0 has the first two,
 * group 1 the control queue; two address spaces. What becomes of frames is in
 * loopback.c.
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
#include "dev/net/loopback.h"
#include "dev/net/net.h"

static const uint64_t sim_net_features =
	BIT_ULL(VIRTIO_NET_F_MTU) | BIT_ULL(VIRTIO_NET_F_MAC) |
	BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) | BIT_ULL(VIRTIO_NET_F_STATUS) |
	BIT_ULL(VIRTIO_NET_F_CTRL_VQ) | BIT_ULL(VIRTIO_NET_F_CTRL_MAC_ADDR);

/* ---- class ---- */

static void sim_net_submit(struct soft_dev *dev, uint16_t idx,
			   struct vq_chain **chains, unsigned int n)
{
	struct net_dev *net = net_dev_of(dev);

	if (idx == NET_VQ_CTRL) {
		net_ctrl_submit(net, chains, n);
		return;
	}
	net_loopback_submit(net, chains, n);
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

/* A frame is looped in one burst, and the control queue changes what that
 * burst looks at. */
static uint16_t sim_net_leader(const struct soft_dev *dev, uint16_t idx)
{
	(void)dev;
	(void)idx;
	return NET_VQ_RX;
}

static void sim_net_free(struct soft_dev *dev)
{
	free(net_dev_of(dev));
}

static const struct soft_class sim_net_class = {
	.device_id = VIRTIO_ID_NET,
	.leader = sim_net_leader,
	.submit = sim_net_submit,
	.budget = sim_net_budget,
	.is_passive = sim_net_is_passive,
	.get_config = net_get_config,
	.set_config = net_set_config,
	.emit_stats = net_emit_stats,
	.announce = net_loopback_announce,
	.save_state = net_save_state,
	.load_state = net_load_state,
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

static const struct vdpa_key sim_net_keys[] = {
	SOFT_KEY_POLL_US,
};

/* The bus has checked that they are in the table. */
static int apply_params(struct net_dev *net,
			const struct vdpa_dev_config *config)
{
	for (unsigned int i = 0; i < config->n_params; i++) {
		int ret = soft_set_poll_us(&net->soft, config->params[i].value);

		if (ret < 0) {
			return ret;
		}
	}
	return 0;
}

static int sim_net_new(const char *name, const struct vdpa_dev_config *config,
		       uint64_t features, struct net_dev **ret)
{
	struct net_dev *net = calloc(1, sizeof(*net));
	int r;

	if (!net) {
		return -ENOMEM;
	}
	r = apply_params(net, config);
	if (r < 0) {
		free(net);
		return r;
	}
	(void)snprintf(net->soft.vdev.name, VDPA_NAME_MAX, "%s", name);
	net->soft.class = &sim_net_class;
	net->soft.device_features = features;
	net->soft.config_size = NET_CONFIG_BYTES;
	net->soft.num_max = SOFT_SIM_NUM_MAX;
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
		.keys = sim_net_keys,
		.n_keys = ARRAY_SIZE(sim_net_keys),
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
