/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-net class: what the management devices make network devices of.
 *
 * Theory of operation
 *
 * A device has n_pairs pairs of queues, and a control queue:
 *
 *   0 rx, 1 tx, 2 rx, 3 tx, ... 2 * n_pairs control
 *
 * A driver that does not take VIRTIO_NET_F_MQ has one pair, and its control
 * queue is 2: what a queue is depends on the features that were accepted. Each
 * pair has a worker of its own; with one pair the control queue is that
 * worker's too, else it has its own.
 *
 *   class.c      life, features, config space, state, counters
 *   ctrl.c       the control queue's commands
 *   loopback.c   a back end: what becomes of frames
 *
 * What commands change, the MAC address and the number of active pairs, all
 * workers read: atomics, looked at once a burst.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_NET_CLASS_H
#define DEV_NET_CLASS_H

#include <string.h>

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

#define NET_PAIRS_MAX 16

/* All that the simulator has, and what the class has beyond it. */
extern const uint64_t net_sim_features;
extern const uint64_t net_features;

enum net_vq {
	NET_VQ_RX,
	NET_VQ_TX,
	NET_VQ_CTRL,
	NET_VQ_UNUSED,
	NET_VQ_N,
};

/* Counters; written by the owner worker, read by anyone. */
struct net_counters {
	uint64_t rx_packets, rx_bytes, rx_errors, rx_overruns, rx_drops;
	uint64_t tx_packets, tx_bytes, tx_errors, tx_drops, tx_announces;
};

struct net_ctrl_counters {
	uint64_t requests, successes, errors;
};

/* No line of the cache has counters of two pairs, or what all workers read: they
 * would share it. */
struct net_pair {
	char padding[64];
	struct net_counters counters;
};

struct net_dev;

/**
 * struct net_backend - what becomes of frames
 *
 * @submit: a burst of a pair's transmit queue, at most SOFT_BURST; complete
 *          each chain. Worker of the pair
 * @budget: how many may be submitted now, 0: none. Worker of the pair
 * @announce: tell the network where @mac is now. Owner of queue 0. Return: 0;
 *            -errno
 */
struct net_backend {
	const char *name;
	void (*submit)(struct net_dev *net, uint16_t pair,
		       struct vq_chain **chains, unsigned int n);
	unsigned int (*budget)(struct net_dev *net, uint16_t pair);
	int (*announce)(struct net_dev *net, const uint8_t mac[6]);
};

extern const struct net_backend net_backend_loopback;

struct net_dev {
	struct soft_dev soft;

	/* set at creation */
	const struct net_backend *backend;
	uint16_t n_pairs;
	struct virtio_net_config config; /* without the MAC address */

	/* any thread, atomic */
	uint64_t mac; /* its bytes, from the lowest address on */
	uint16_t n_active; /* pairs; 0: those that run */

	/* owner worker writes, any thread reads, atomic */
	struct net_ctrl_counters ctrl;
	struct net_pair pairs[]; /* n_pairs */
};

static inline struct net_dev *net_dev_of(struct soft_dev *dev)
{
	return container_of(dev, struct net_dev, soft);
}

static inline uint16_t net_rx_idx(uint16_t pair)
{
	return (uint16_t)(2 * pair);
}

static inline uint16_t net_tx_idx(uint16_t pair)
{
	return (uint16_t)(2 * pair + 1);
}

/* What a queue is to a driver with the features that are in force. */
enum net_vq net_vq_of(const struct net_dev *net, uint16_t idx);

/* Does this pair of queues carry frames? */
static inline bool net_is_active(const struct net_dev *net, uint16_t pair)
{
	uint16_t n = __atomic_load_n(&net->n_active, __ATOMIC_RELAXED);

	return n == 0 || pair < n;
}

static inline void net_get_mac(const struct net_dev *net, uint8_t mac[6])
{
	uint64_t bytes = __atomic_load_n(&net->mac, __ATOMIC_RELAXED);

	memcpy(mac, &bytes, 6);
}

/* For workers: nobody is told. */
static inline void net_put_mac(struct net_dev *net, const uint8_t mac[6])
{
	uint64_t bytes = 0;

	memcpy(&bytes, mac, 6);
	__atomic_store_n(&net->mac, bytes, __ATOMIC_RELAXED);
}

/* Would a device with this address let a frame to @dst in? */
static inline bool net_accepts(const uint8_t mac[6], const uint8_t dst[6])
{
	bool is_multicast = dst[0] & 1; /* broadcast too */

	return is_multicast || memcmp(dst, mac, 6) == 0;
}

static inline void net_count(uint64_t *counter, uint64_t by)
{
	/* One writer: a plain sum, stored so that readers see whole values. */
	__atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

/* What a burst counted, each at most once. */
void net_count_all(struct net_dev *net, uint16_t pair,
		   const struct net_counters *by);

/* ---- for management devices ---- */

/**
 * net_dev_add() - make a device and put it on the bus
 * @config: MAC, MTU, number of pairs, features, and the key poll_us
 *
 * Return: 0; -errno
 */
int net_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
		const struct vdpa_dev_config *config,
		const struct net_backend *backend);
/* dev_del() and dev_set_attr() of management devices. */
void net_dev_del(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev);
int net_dev_set(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev,
		const struct vdpa_dev_config *config);

/* ctrl.c: a burst of control queue commands. */
void net_ctrl_submit(struct net_dev *net, uint16_t idx,
		     struct vq_chain **chains, unsigned int n);

#endif
