/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-net class: config space and counters.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/net/net.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#define NET_DEFAULT_MTU 1500

_Static_assert(sizeof(struct virtio_net_config) >= NET_CONFIG_BYTES, "ABI");

void net_config_init(struct net_dev *net, const struct vdpa_dev_config *config)
{
	uint16_t mtu = NET_DEFAULT_MTU;

	if (has_bit(config->mask, VDPA_ATTR_MAC)) {
		memcpy(net->config.mac, config->mac, sizeof(config->mac));
	}
	if (has_bit(config->mask, VDPA_ATTR_MTU)) {
		mtu = config->mtu;
	}
	net->config.mtu = htole16(mtu);
	net->config.status = htole16(VIRTIO_NET_S_LINK_UP);
}

void net_get_config(struct soft_dev *dev, uint32_t offset, void *buf,
		    uint32_t len)
{
	const struct net_dev *net = net_dev_of(dev);

	assert(range_fits(offset, len, NET_CONFIG_BYTES));
	memcpy(buf, (const char *)&net->config + offset, len);
}

/* The driver may write its MAC (QEMU does); all else in there is ours. */
void net_set_config(struct soft_dev *dev, uint32_t offset, const void *buf,
		    uint32_t len)
{
	struct net_dev *net = net_dev_of(dev);
	uint32_t end = sizeof(net->config.mac);

	if (offset < end) {
		memcpy(net->config.mac + offset, buf,
		       min_of(len, end - offset));
	}
}

struct mac_change {
	struct net_dev *net;
	const uint8_t *mac;
};

static void set_mac_on_worker(void *priv)
{
	struct mac_change *change = priv;

	memcpy(change->net->config.mac, change->mac,
	       sizeof(change->net->config.mac));
}

void net_set_mac(struct net_dev *net, const uint8_t mac[6])
{
	struct mac_change change = { net, mac };

	soft_call_config(&net->soft, set_mac_on_worker, &change);
	soft_config_changed(&net->soft);
}

/* What a driver can have changed: its MAC address. */
struct net_state {
	__le32 version;
	uint8_t mac[6];
	uint8_t padding[2];
};
#define NET_STATE_VERSION 1

int64_t net_save_state(struct soft_dev *dev, void *buf, size_t size)
{
	struct net_state state = { .version = htole32(NET_STATE_VERSION) };

	if (size < sizeof(state)) {
		return -ENOSPC;
	}
	memcpy(state.mac, net_dev_of(dev)->config.mac, sizeof(state.mac));
	memcpy(buf, &state, sizeof(state));
	return sizeof(state);
}

int net_load_state(struct soft_dev *dev, const void *buf, size_t size)
{
	struct net_state state;

	if (size != sizeof(state)) {
		return -EINVAL;
	}
	memcpy(&state, buf, sizeof(state));
	if (le32toh(state.version) != NET_STATE_VERSION) {
		return -EINVAL;
	}
	memcpy(net_dev_of(dev)->config.mac, state.mac, sizeof(state.mac));
	return 0;
}

bool net_accepts(const struct net_dev *net, const uint8_t dst[6])
{
	bool is_multicast = dst[0] & 1; /* broadcast too */

	return is_multicast || memcmp(dst, net->config.mac, 6) == 0;
}

static const struct {
	const char *name;
	enum net_vq vq;
	size_t offset;
} counter_table[] = {
#define COUNTER(vq, name, field)                               \
	{                                                      \
		name, vq, offsetof(struct net_counters, field) \
	}
	COUNTER(NET_VQ_RX, "rx packets", rx_packets),
	COUNTER(NET_VQ_RX, "rx bytes", rx_bytes),
	COUNTER(NET_VQ_RX, "rx errors", rx_errors),
	COUNTER(NET_VQ_RX, "rx overruns", rx_overruns),
	COUNTER(NET_VQ_RX, "rx drops", rx_drops),
	COUNTER(NET_VQ_TX, "tx packets", tx_packets),
	COUNTER(NET_VQ_TX, "tx bytes", tx_bytes),
	COUNTER(NET_VQ_TX, "tx errors", tx_errors),
	COUNTER(NET_VQ_TX, "tx drops", tx_drops),
	COUNTER(NET_VQ_TX, "tx announces", tx_announces),
	COUNTER(NET_VQ_CTRL, "cvq requests", cvq_requests),
	COUNTER(NET_VQ_CTRL, "cvq successes", cvq_successes),
	COUNTER(NET_VQ_CTRL, "cvq errors", cvq_errors),
#undef COUNTER
};

void net_count_all(struct net_dev *net, const struct net_counters *by)
{
	for (size_t i = 0; i < ARRAY_SIZE(counter_table); i++) {
		size_t offset = counter_table[i].offset;
		uint64_t n = *(const uint64_t *)((const char *)by + offset);

		if (n > 0) {
			net_count((uint64_t *)((char *)&net->counters + offset),
				  n);
		}
	}
}

int net_emit_stats(struct soft_dev *dev, uint16_t idx, vdpa_stat_fn emit,
		   void *priv)
{
	const struct net_dev *net = net_dev_of(dev);
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(counter_table); i++) {
		const uint64_t *c =
			(const uint64_t *)((const char *)&net->counters +
					   counter_table[i].offset);

		if (counter_table[i].vq == idx) {
			emit(priv, counter_table[i].name,
			     __atomic_load_n(c, __ATOMIC_RELAXED));
			found = true;
		}
	}
	return found ? 0 : -EINVAL;
}
