/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-net class: life, features, config space, state and counters.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/net/class.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/virtio_ids.h>

#include "base/err.h"
#include "base/parse.h"

#define NET_DEFAULT_MTU 1500

_Static_assert(sizeof(struct virtio_net_config) >= NET_CONFIG_BYTES, "ABI");

const uint64_t net_sim_features =
	BIT_ULL(VIRTIO_NET_F_MTU) | BIT_ULL(VIRTIO_NET_F_MAC) |
	BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) | BIT_ULL(VIRTIO_NET_F_STATUS) |
	BIT_ULL(VIRTIO_NET_F_CTRL_VQ) | BIT_ULL(VIRTIO_NET_F_CTRL_MAC_ADDR);

const uint64_t net_features = net_sim_features | BIT_ULL(VIRTIO_NET_F_MQ);

/* ---- queues ---- */

enum net_vq net_vq_of(const struct net_dev *net, uint16_t idx)
{
	bool has_mq = has_bit(soft_features(&net->soft), VIRTIO_NET_F_MQ);
	unsigned int n_data = has_mq ? 2U * net->n_pairs : 2;

	if (idx < n_data) {
		return idx & 1 ? NET_VQ_TX : NET_VQ_RX;
	}
	return idx == n_data ? NET_VQ_CTRL : NET_VQ_UNUSED;
}

static void net_submit(struct soft_dev *dev, uint16_t idx,
		       struct vq_chain **chains, unsigned int n)
{
	struct net_dev *net = net_dev_of(dev);

	if (idx & 1) {
		net->backend->submit(net, idx / 2, chains, n);
	} else {
		net_ctrl_submit(net, idx, chains, n);
	}
}

static unsigned int net_budget(struct soft_dev *dev, uint16_t idx)
{
	struct net_dev *net = net_dev_of(dev);

	return idx & 1 ? net->backend->budget(net, idx / 2) : SOFT_BURST;
}

static bool net_is_passive(struct soft_dev *dev, uint16_t idx)
{
	enum net_vq vq = net_vq_of(net_dev_of(dev), idx);

	return vq == NET_VQ_RX || vq == NET_VQ_UNUSED;
}

/* What is sent on a pair may be received on it in the same burst. */
static uint16_t net_leader(const struct soft_dev *dev, uint16_t idx)
{
	bool is_single = dev->vdev.nvqs == 3;

	return is_single ? 0 : idx & (uint16_t)~1U;
}

/* The control queue has a group of its own, so that it can have an address
 * space of its own: a VMM shadows it there. */
static uint32_t net_vq_group(const struct soft_dev *dev, uint16_t idx)
{
	const struct net_dev *net = container_of(dev, struct net_dev, soft);

	return net_vq_of(net, idx) == NET_VQ_CTRL ? 1 : 0;
}

/* ---- config space ---- */

static void config_init(struct net_dev *net,
			const struct vdpa_dev_config *config)
{
	uint16_t mtu = NET_DEFAULT_MTU;

	if (has_bit(config->mask, VDPA_ATTR_MAC)) {
		net_put_mac(net, config->mac);
	}
	if (has_bit(config->mask, VDPA_ATTR_MTU)) {
		mtu = config->mtu;
	}
	if (has_bit(net->soft.device_features, VIRTIO_NET_F_MQ)) {
		net->config.max_virtqueue_pairs = htole16(net->n_pairs);
	}
	net->config.mtu = htole16(mtu);
	net->config.status = htole16(VIRTIO_NET_S_LINK_UP);
}

static void net_get_config(struct soft_dev *dev, uint32_t offset, void *buf,
			   uint32_t len)
{
	const struct net_dev *net = net_dev_of(dev);
	struct virtio_net_config config = net->config;

	assert(range_fits(offset, len, NET_CONFIG_BYTES));
	net_get_mac(net, config.mac);
	memcpy(buf, (const char *)&config + offset, len);
}

/* The driver may write its MAC (QEMU does); all else in there is ours. */
static void net_set_config(struct soft_dev *dev, uint32_t offset,
			   const void *buf, uint32_t len)
{
	struct net_dev *net = net_dev_of(dev);
	uint8_t mac[6];

	if (offset < sizeof(mac)) {
		net_get_mac(net, mac);
		memcpy(mac + offset, buf,
		       min_of(len, (uint32_t)sizeof(mac) - offset));
		net_put_mac(net, mac);
	}
}

static int net_announce(struct soft_dev *dev, const uint8_t mac[6])
{
	struct net_dev *net = net_dev_of(dev);

	return net->backend->announce(net, mac);
}

/* ---- state ---- */

/* What a driver can have changed. */
struct net_state {
	__le32 version;
	uint8_t mac[6];
	__le16 n_active;
};
#define NET_STATE_VERSION 1

static int64_t net_save_state(struct soft_dev *dev, void *buf, size_t size)
{
	const struct net_dev *net = net_dev_of(dev);
	struct net_state state = {
		.version = htole32(NET_STATE_VERSION),
		.n_active = htole16(
			__atomic_load_n(&net->n_active, __ATOMIC_RELAXED)),
	};

	if (size < sizeof(state)) {
		return -ENOSPC;
	}
	net_get_mac(net, state.mac);
	memcpy(buf, &state, sizeof(state));
	return sizeof(state);
}

static int net_load_state(struct soft_dev *dev, const void *buf, size_t size)
{
	struct net_dev *net = net_dev_of(dev);
	struct net_state state;

	if (size != sizeof(state)) {
		return -EINVAL;
	}
	memcpy(&state, buf, sizeof(state));
	if (le32toh(state.version) != NET_STATE_VERSION ||
	    le16toh(state.n_active) > net->n_pairs) {
		return -EINVAL;
	}
	net_put_mac(net, state.mac);
	__atomic_store_n(&net->n_active, le16toh(state.n_active),
			 __ATOMIC_RELAXED);
	return 0;
}

/* The MAC address stays, as the simulator's does. */
static void net_reset(struct soft_dev *dev)
{
	__atomic_store_n(&net_dev_of(dev)->n_active, 0, __ATOMIC_RELAXED);
}

/* ---- counters ---- */

/* Of a pair, or, for the control queue, of the device. */
static const struct {
	const char *name;
	enum net_vq vq;
	size_t offset;
} counter_table[] = {
#define COUNTER(vq, name, type, field)                 \
	{                                              \
		name, vq, offsetof(struct type, field) \
	}
	COUNTER(NET_VQ_RX, "rx packets", net_counters, rx_packets),
	COUNTER(NET_VQ_RX, "rx bytes", net_counters, rx_bytes),
	COUNTER(NET_VQ_RX, "rx errors", net_counters, rx_errors),
	COUNTER(NET_VQ_RX, "rx overruns", net_counters, rx_overruns),
	COUNTER(NET_VQ_RX, "rx drops", net_counters, rx_drops),
	COUNTER(NET_VQ_TX, "tx packets", net_counters, tx_packets),
	COUNTER(NET_VQ_TX, "tx bytes", net_counters, tx_bytes),
	COUNTER(NET_VQ_TX, "tx errors", net_counters, tx_errors),
	COUNTER(NET_VQ_TX, "tx drops", net_counters, tx_drops),
	COUNTER(NET_VQ_TX, "tx announces", net_counters, tx_announces),
	COUNTER(NET_VQ_CTRL, "cvq requests", net_ctrl_counters, requests),
	COUNTER(NET_VQ_CTRL, "cvq successes", net_ctrl_counters, successes),
	COUNTER(NET_VQ_CTRL, "cvq errors", net_ctrl_counters, errors),
#undef COUNTER
};

void net_count_all(struct net_dev *net, uint16_t pair,
		   const struct net_counters *by)
{
	struct net_counters *counters = &net->pairs[pair].counters;

	for (size_t i = 0; i < ARRAY_SIZE(counter_table); i++) {
		size_t offset = counter_table[i].offset;
		uint64_t n;

		if (counter_table[i].vq == NET_VQ_CTRL) {
			continue;
		}
		n = *(const uint64_t *)((const char *)by + offset);
		if (n > 0) {
			net_count((uint64_t *)((char *)counters + offset), n);
		}
	}
}

static int net_emit_stats(struct soft_dev *dev, uint16_t idx, vdpa_stat_fn emit,
			  void *priv)
{
	const struct net_dev *net = net_dev_of(dev);
	enum net_vq vq = net_vq_of(net, idx);
	const char *base = (const char *)&net->ctrl;

	if (vq == NET_VQ_UNUSED) {
		return -EINVAL;
	}
	if (vq != NET_VQ_CTRL) {
		base = (const char *)&net->pairs[idx / 2].counters;
	}
	for (size_t i = 0; i < ARRAY_SIZE(counter_table); i++) {
		const uint64_t *c =
			(const uint64_t *)(base + counter_table[i].offset);

		if (counter_table[i].vq == vq) {
			emit(priv, counter_table[i].name,
			     __atomic_load_n(c, __ATOMIC_RELAXED));
		}
	}
	return 0;
}

/* ---- life ---- */

static void net_free(struct soft_dev *dev)
{
	free(net_dev_of(dev));
}

static const struct soft_class net_class = {
	.device_id = VIRTIO_ID_NET,
	.leader = net_leader,
	.submit = net_submit,
	.budget = net_budget,
	.is_passive = net_is_passive,
	.get_config = net_get_config,
	.set_config = net_set_config,
	.emit_stats = net_emit_stats,
	.announce = net_announce,
	.save_state = net_save_state,
	.load_state = net_load_state,
	.reset = net_reset,
	.free = net_free,
};

/* The keys of the management devices that are the device's own. The bus has
 * checked that they are in the table. */
static int apply_params(struct net_dev *net,
			const struct vdpa_dev_config *config)
{
	for (unsigned int i = 0; i < config->n_params; i++) {
		const struct vdpa_param *param = &config->params[i];
		int ret = 0;

		if (strcmp(param->key, "poll_us") == 0) {
			ret = soft_set_poll_us(&net->soft, param->value);
		}
		if (ret < 0) {
			return ret;
		}
	}
	return 0;
}

/* Those that were asked for, or all that make sense. */
static uint64_t features_of(const struct net_dev *net,
			    const struct vdpa_mgmtdev *mgmtdev,
			    const struct vdpa_dev_config *config)
{
	uint64_t all = mgmtdev->supported_features;

	if (has_bit(config->mask, VDPA_ATTR_FEATURES)) {
		return config->device_features;
	}
	return net->n_pairs > 1 ? all : all & ~BIT_ULL(VIRTIO_NET_F_MQ);
}

static int pairs_of(const struct vdpa_dev_config *config, uint16_t *ret)
{
	uint16_t n = 1;

	if (has_bit(config->mask, VDPA_ATTR_MAX_VQP)) {
		n = config->max_vq_pairs;
	}
	if (n < 1 || n > NET_PAIRS_MAX) {
		return err(-EINVAL, "max_vqp: %u is not in 1 to %u", n,
			   NET_PAIRS_MAX);
	}
	*ret = n;
	return 0;
}

static int net_dev_new(const struct vdpa_mgmtdev *mgmtdev, const char *name,
		       const struct vdpa_dev_config *config,
		       struct net_dev **ret)
{
	struct net_dev *net;
	uint16_t n_pairs;
	int r = pairs_of(config, &n_pairs);

	if (r < 0) {
		return r;
	}
	net = calloc(1, sizeof(*net) + n_pairs * sizeof(net->pairs[0]));
	if (!net) {
		return -ENOMEM;
	}
	net->n_pairs = n_pairs;
	net->soft.device_features = features_of(net, mgmtdev, config);
	r = apply_params(net, config);
	if (r < 0) {
		free(net);
		return r;
	}
	(void)snprintf(net->soft.vdev.name, VDPA_NAME_MAX, "%s", name);
	net->soft.class = &net_class;
	net->soft.config_size = NET_CONFIG_BYTES;
	net->soft.num_max = SOFT_SIM_NUM_MAX;
	net->soft.vq_group = net_vq_group;
	net->soft.vdev.nvqs = 2U * n_pairs + 1;
	net->soft.vdev.ngroups = 2;
	net->soft.vdev.nas = 2;
	config_init(net, config);
	*ret = net;
	return 0;
}

int net_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
		const struct vdpa_dev_config *config,
		const struct net_backend *backend)
{
	struct net_dev *net;
	int ret = net_dev_new(mgmtdev, name, config, &net);

	if (ret < 0) {
		return ret;
	}
	net->backend = backend;
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

void net_dev_del(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev)
{
	(void)mgmtdev;
	vdpa_device_unregister(vdev);
	soft_dev_free(soft_dev_of(vdev));
}

int net_dev_set(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev,
		const struct vdpa_dev_config *config)
{
	struct net_dev *net = net_dev_of(soft_dev_of(vdev));

	(void)mgmtdev;
	net_put_mac(net, config->mac);
	soft_config_changed(&net->soft);
	return 0;
}
