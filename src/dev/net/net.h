/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-net class: headers, the control queue, counters. What becomes of
 * frames is a backend's business (loopback.c).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_NET_NET_H
#define DEV_NET_NET_H

#include <linux/virtio_net.h>

#include "soft/soft.h"

/* Bytes before each frame: struct virtio_net_hdr_v1. */
#define NET_HDR_BYTES sizeof(struct virtio_net_hdr_v1)
/* The config space ends with supported_hash_types, as the simulator's, however
 * much longer the system's struct may be. */
#define NET_CONFIG_BYTES 24
/* Shortest frame that has both addresses and a type. */
#define NET_FRAME_MIN 14
/* Longest: 64 KiB of payload, the header and a VLAN tag. */
#define NET_FRAME_MAX (65536 + 18)

enum net_vq {
	NET_VQ_RX,
	NET_VQ_TX,
	NET_VQ_CTRL,
	NET_VQ_N,
};

/* Counters; written by the owner worker, read by anyone. */
struct net_counters {
	uint64_t rx_packets, rx_bytes, rx_errors, rx_overruns, rx_drops;
	uint64_t tx_packets, tx_bytes, tx_errors, tx_drops, tx_announces;
	uint64_t cvq_requests, cvq_successes, cvq_errors;
};

struct net_dev {
	struct soft_dev soft;

	/* owner worker of queue 0 only */
	struct virtio_net_config config;

	/* owner worker writes, any thread reads, atomic */
	struct net_counters counters;
};

static inline struct net_dev *net_dev_of(struct soft_dev *dev)
{
	return container_of(dev, struct net_dev, soft);
}

static inline void net_count(uint64_t *counter, uint64_t by)
{
	/* One writer: a plain sum, stored so that readers see whole values. */
	__atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

/* What a burst counted, each at most once. */
void net_count_all(struct net_dev *net, const struct net_counters *by);

/**
 * net_config_init() - the config space of a new device
 * @net: its soft.device_features are set
 * @config: attributes that were given
 */
void net_config_init(struct net_dev *net, const struct vdpa_dev_config *config);

/* Members of struct soft_class that every net device has. */
void net_get_config(struct soft_dev *dev, uint32_t offset, void *buf,
		    uint32_t len);
void net_set_config(struct soft_dev *dev, uint32_t offset, const void *buf,
		    uint32_t len);
int net_emit_stats(struct soft_dev *dev, uint16_t idx, vdpa_stat_fn emit,
		   void *priv);

int64_t net_save_state(struct soft_dev *dev, void *buf, size_t size);
int net_load_state(struct soft_dev *dev, const void *buf, size_t size);

/* `dev set ... mac`. Control thread. */
void net_set_mac(struct net_dev *net, const uint8_t mac[6]);

/* Would a device with this config let a frame to @dst in? */
bool net_accepts(const struct net_dev *net, const uint8_t dst[6]);

/* A burst of control queue commands. */
void net_ctrl_submit(struct net_dev *net, struct vq_chain **chains,
		     unsigned int n);

#endif
