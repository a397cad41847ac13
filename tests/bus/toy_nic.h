/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network device that offers, says and answers what the test wants, on rings
 * that are right: for what a driver asks of a device, and for devices that lie.
 *
 * Frames come back with the header that they were sent with, or with the
 * test's, in receive buffers of the device's choice. All runs in the test's own
 * thread, in a simulation.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_TOY_NIC_H
#define TESTS_BUS_TOY_NIC_H

#include <linux/virtio_net.h>

#include "bus/nic.h"
#include "soft/soft.h"

#define TOY_CONFIG   24
#define TOY_COMMANDS 16
#define TOY_DATA     64

struct toy_command {
	uint8_t class, cmd;
	uint8_t data[TOY_DATA]; /* as much as fits */
	uint32_t len;
};

struct toy_nic {
	struct soft_dev soft;
	struct virtio_net_config config;
	struct virtio_net_hdr_v1 sent; /* of the frame that came last */
	struct virtio_net_hdr_v1 hdr; /* instead of it, when has_hdr */
	bool has_hdr;
	bool lies_on_buffers; /* hdr.num_buffers, however many there are */
	bool has_written; /* says written instead of the truth */
	uint32_t written;
	bool is_silent; /* commands are not answered */
	uint8_t ack;
	uint32_t answer_bytes;
	struct toy_command commands[TOY_COMMANDS];
	unsigned int n_commands;
};

/* On the bus of @r, bound to virtio_vdpa; @features besides those of rings. It
 * has 3 queues, an address and a link. Lives until toy_del(). */
struct toy_nic *toy_add(struct vrig *r, uint64_t features);
/* Nobody uses it. */
void toy_del(struct toy_nic *toy);
struct virtio_device *toy_vdev(struct toy_nic *toy);

#endif
