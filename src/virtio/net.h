/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio net driver: what opens and closes it, for who has the control
 * thread (src/lib). What queues do, and vdpakit_net_get_info(), is called by
 * anybody as <vdpakit/net.h> says.
 *
 * Theory of operation
 *
 *   net_probe()      in a turn (bus/bus.h): the device runs, on one pair
 *   net_request()    NET_BEGIN: all its pairs; then it is open
 *   net_remove()     in a turn
 *
 * The control queue's answers may be long in coming, and the control thread
 * waits for nobody: a request ends with its done(), now or later.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include <vdpakit/net.h>

#include "base/list.h"
#include "loop/loop.h"
#include "virtio/dma.h"
#include "virtio/virtio.h"

/**
 * net_probe() - the driver on a device
 * @vdev: nobody has it
 * @pool: memory that it is to reach
 * @control: the control thread's loop
 * @options: NULL: all defaults
 * @ret: written on success
 *
 * Return: as vdpakit_net_open()
 * Context: control thread, in a turn where the device may wait
 *          (virtio_vdpa_run())
 */
int net_probe(struct virtio_device *vdev, struct dma_pool *pool,
	      struct loop *control, const struct vdpakit_net_options *options,
	      struct vdpakit_net **ret);
/* What was requested ends first, with -EIO. NET_BEGIN is next. What fails leaves
 * the device in need of a reset. Return: as vdpakit_net_reset(). Context: as
 * above */
int net_reset(struct vdpakit_net *net);
/* Resets the device and puts it. What was requested ends first, with -ENODEV.
 * Takes NULL. Context: as above */
void net_remove(struct vdpakit_net *net);
/* Borrowed. */
struct virtio_device *net_vdev(const struct vdpakit_net *net);

enum net_op {
	NET_BEGIN, /* what has to be set after net_probe() and net_reset() */
	NET_SET_MAC, /* mac */
	NET_SET_RX_MODE, /* n: the mode */
	NET_SET_FILTER, /* filter */
	NET_ADD_VLAN, /* n: the id */
	NET_DEL_VLAN, /* n: the id */
	NET_SET_PAIRS, /* n: how many */
	NET_SET_OFFLOADS, /* offloads */
	NET_ACK_ANNOUNCE,
	NET_OP_N
};

struct net_filter {
	const uint8_t (*unicast)[6];
	const uint8_t (*multicast)[6];
	unsigned int n_unicast;
	unsigned int n_multicast;
};

/**
 * struct net_request - one call of <vdpakit/netctl.h>
 *
 * @done: on the control thread: its result, with err_text() when that is an
 *        error
 */
struct net_request {
	enum net_op op;
	union {
		uint8_t mac[6];
		unsigned int n;
		uint64_t offloads;
		struct net_filter filter;
	};
	void (*done)(struct net_request *req, int result);
	/* the driver's own */
	struct list node;
};

/**
 * net_request() - begin one
 * @req: the caller's again in done(), which may come before this returns
 *
 * They are done one after the other. Context: control thread
 */
void net_request(struct vdpakit_net *net, struct net_request *req);

#endif
