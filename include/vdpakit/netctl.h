/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network devices: opening them, and what their control queue does. See net.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VDPAKIT_NETCTL_H
#define VDPAKIT_NETCTL_H

#include <vdpakit/kit.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdpakit_net;

/**
 * struct vdpakit_net_options - zero-initialise, then set size
 *
 * @size: sizeof(struct vdpakit_net_options)
 * @n_pairs: 0: as many as the device has, at most VDPAKIT_NET_PAIRS_MAX
 * @queue_size: buffers that a queue holds, a power of two; 0: what the device
 *              likes, at most 256
 * @buffer_bytes: of each receive buffer, at least 128; 0: 2048, or where
 *                buffers cannot be merged what a frame of the device's MTU needs
 * @without: bits 1 << VIRTIO_NET_F_*: features that are not taken even where
 *           the device has them
 * @no_packed: split rings even where the device has packed ones
 * @in_order: buffers are used in order where the device can: slower, unless the
 *            device is hardware that likes it
 * @poll_us: vdpakit_net_wait() looks for so long before it sleeps
 * @changed: vdpakit_net_get_info() has news, or the device needs a reset:
 *           called on the bus's thread; NULL: nobody listens
 * @priv: its argument
 */
struct vdpakit_net_options {
	size_t size;
	uint16_t n_pairs;
	uint16_t queue_size;
	uint32_t buffer_bytes;
	uint64_t without;
	bool no_packed;
	bool in_order;
	unsigned int poll_us;
	void (*changed)(void *priv);
	void *priv;
};

#define VDPAKIT_NET_PAIRS_MAX 64

/**
 * vdpakit_net_open() - the virtio net driver on a device
 * @kit: bus
 * @name: of one of its devices
 * @options: NULL: all defaults
 * @ret: written on success
 *
 * Return: 0; -ENODEV no such device; -EBUSY somebody uses it; -ENOTTY it is no
 *         network device; -EPROTO what it says of itself makes no sense;
 *         -EOPNOTSUPP it lacks VIRTIO_F_VERSION_1, or cannot reach this bus's
 *         memory; -EINVAL; -ETIMEDOUT; -EDEADLK
 * Source: virtio 1.2, "Device Initialization"
 */
VDPAKIT_API int vdpakit_net_open(struct vdpakit *kit, const char *name,
				 const struct vdpakit_net_options *options,
				 struct vdpakit_net **ret);
/* What is under way is dropped. Takes NULL. */
VDPAKIT_API void vdpakit_net_close(struct vdpakit_net *net);

/**
 * vdpakit_net_reset() - start the device again, after DEVICE_NEEDS_RESET
 * @net: no thread is in a call on a queue of it
 *
 * Frames under way may have been sent: their users are reclaimed. What was
 * received and not given back is gone. Pairs in use and an address that was
 * set are set again; all else that the control queue did is forgotten.
 *
 * Return: 0; -EPROTO the device is another one now; as vdpakit_net_open()
 */
VDPAKIT_API int vdpakit_net_reset(struct vdpakit_net *net);

/**
 * struct vdpakit_net_info - what the device says of itself, checked
 *
 * @mac: its address
 * @is_mac_random: it has none, and this one was made up
 * @is_link_up: also where the device does not say
 * @wants_announce: it asks its driver to tell the network where it is:
 *                  vdpakit_net_ack_announce()
 * @mtu: 0: it does not say
 * @n_pairs: there are queues of
 * @n_active_pairs: of these the device uses to receive
 * @max_pairs: the device has
 * @queue_size: of the first receive queue
 * @buffer_bytes: of each receive buffer
 * @speed_mbps: 0: it does not say
 * @is_full_duplex: also where it does not say
 * @is_packed: packed rings
 * @features: in force: virtio's numbers
 * @offloads: of these, VIRTIO_NET_F_GUEST_*: what received frames may ask for
 * @generation: how many times any of it has changed
 */
struct vdpakit_net_info {
	uint8_t mac[6];
	bool is_mac_random;
	bool is_link_up;
	bool wants_announce;
	bool is_full_duplex;
	bool is_packed;
	bool needs_reset;
	uint16_t mtu;
	uint16_t n_pairs;
	uint16_t n_active_pairs;
	uint16_t max_pairs;
	uint16_t queue_size;
	uint32_t buffer_bytes;
	uint32_t speed_mbps;
	uint64_t features;
	uint64_t offloads;
	uint32_t generation;
};
/* Any thread; no system call. @size: sizeof(*ret). */
VDPAKIT_API void vdpakit_net_get_info(const struct vdpakit_net *net,
				      struct vdpakit_net_info *ret,
				      size_t size);

/*
 * The control queue: one command, waited for. All return: 0; -EOPNOTSUPP the
 * device has no such commands; -EINVAL makes no sense; -EREMOTEIO the device
 * refused; -ETIMEDOUT it did not answer within VDPAKIT_NET_CTRL_TIMEOUT_S, and
 * needs a reset; -EIO; -ENODEV; -EDEADLK
 *
 * Source: virtio 1.2, "Control Virtqueue"
 */
#define VDPAKIT_NET_CTRL_TIMEOUT_S 5

/* A unicast address of the device's. */
VDPAKIT_API int vdpakit_net_set_mac(struct vdpakit_net *net,
				    const uint8_t mac[6]);

/* What else it receives, and what it does not. */
#define VDPAKIT_NET_PROMISC   (1U << 0) /* all */
#define VDPAKIT_NET_ALLMULTI  (1U << 1)
#define VDPAKIT_NET_ALLUNI    (1U << 2)
#define VDPAKIT_NET_NOMULTI   (1U << 3)
#define VDPAKIT_NET_NOUNI     (1U << 4)
#define VDPAKIT_NET_NOBCAST   (1U << 5)
#define VDPAKIT_NET_MODE_MASK ((1U << 6) - 1)
/* One command for each that differs from what was set last. */
VDPAKIT_API int vdpakit_net_set_rx_mode(struct vdpakit_net *net,
					unsigned int mode);

/* Further addresses that it receives, instead of those set last. */
#define VDPAKIT_NET_FILTER_MAX 256 /* of both tables together */
VDPAKIT_API int vdpakit_net_set_filter(struct vdpakit_net *net,
				       const uint8_t (*unicast)[6],
				       unsigned int n_unicast,
				       const uint8_t (*multicast)[6],
				       unsigned int n_multicast);

/* VLANs that it receives: @id 0 to 4095. */
VDPAKIT_API int vdpakit_net_add_vlan(struct vdpakit_net *net, unsigned int id);
VDPAKIT_API int vdpakit_net_del_vlan(struct vdpakit_net *net, unsigned int id);

/* How many pairs it receives on: 1 to n_pairs. vdpakit_net_open() sets all. */
VDPAKIT_API int vdpakit_net_set_pairs(struct vdpakit_net *net, unsigned int n);

/* What received frames may ask for: bits 1 << VIRTIO_NET_F_GUEST_* of features.
 */
VDPAKIT_API int vdpakit_net_set_offloads(struct vdpakit_net *net,
					 uint64_t offloads);

/* The network was told where the device is: it need not ask again. */
VDPAKIT_API int vdpakit_net_ack_announce(struct vdpakit_net *net);

#ifdef __cplusplus
}
#endif

#endif
