/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio net driver on a device of this process, and frames to check.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_NIC_H
#define TESTS_BUS_NIC_H

#include "bus/virtio_rig.h"
#include "virtio/net.h"

#define NIC_MTU	    65535
#define NIC_PAIRS   4
#define NIC_WAIT_MS 20000

extern const uint8_t nic_mac[6];

/**
 * struct nic_kind - which device, and which rings
 *
 * @mgmtdev: "net", "vdpasim_net"
 * @n_pairs: of net
 * @features: that it lacks, of those it could have
 */
struct nic_kind {
	const char *mgmtdev;
	uint16_t n_pairs;
	uint64_t lacks;
};

struct nic {
	struct vrig *r;
	struct virtio_device *vdev;
	struct vdpakit_net *net;
	struct vdpakit_net_queue *tx, *rx; /* of the first pair */
	char *mem; /* that the device may reach */
	unsigned int n_changed;
};

/* Its MTU is NIC_MTU. Asserts that all works. */
void nic_open(struct nic *nic, const struct nic_kind *kind,
	      struct vdpakit_net_options options);
/* The same on a bus of the caller's, without the queues' requests. Return: what
 * net_probe() says */
int nic_probe(struct nic *nic, struct vrig *r, const struct nic_kind *kind,
	      struct vdpakit_net_options options);
/* Releases the first pair. */
void nic_close(struct nic *nic);
/* Runs control until it is done. Return: its result */
int nic_request(struct nic *nic, struct net_request *req);

/* A frame to @dst, all of whose further bytes depend on @seed. */
void nic_fill(void *frame, uint32_t len, const uint8_t dst[6],
	      unsigned int seed);
/* Is it the frame that nic_fill() makes, to nic_mac? */
void nic_check(const struct vdpakit_net_received *got, uint32_t len,
	       unsigned int seed);

/* One frame; waits until it is taken. Return: as vdpakit_net_send() */
int nic_send(struct nic *nic, const struct vdpakit_net_frame *frame);
/* Waits for one frame. */
void nic_recv(struct nic *nic, struct vdpakit_net_received *ret);
/* Sends a frame of any memory, and receives, checks and gives back the same. */
void nic_round(struct nic *nic, uint32_t len, unsigned int seed);

#endif
