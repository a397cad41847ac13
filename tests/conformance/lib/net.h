/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames and control commands of a network device that loops back.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_NET_H
#define CONFORMANCE_NET_H

#include "client.h"

#define NET_RX	 0
#define NET_TX	 1
#define NET_CTRL 2

#define NET_F_MTU	    (1ULL << 3)
#define NET_F_MAC	    (1ULL << 5)
#define NET_F_MRG_RXBUF	    (1ULL << 15)
#define NET_F_STATUS	    (1ULL << 16)
#define NET_F_CTRL_VQ	    (1ULL << 17)
#define NET_F_CTRL_MAC_ADDR (1ULL << 23)
#define NET_FEATURES                                            \
	(NET_F_MTU | NET_F_MAC | NET_F_STATUS | NET_F_CTRL_VQ | \
	 NET_F_CTRL_MAC_ADDR)

#define NET_HDR	      12
#define NET_RX_BYTES  2048
#define NET_FRAME_MIN 14

#define NET_CTRL_MAC	      1
#define NET_CTRL_MAC_ADDR_SET 1
#define NET_ACK_OK	      0
#define NET_ACK_ERR	      1

extern const uint8_t net_broadcast[6];

/* A running network device with its three queues. */
void net_start(struct client *cl, struct conf *c, uint16_t num, uint64_t want);
/* The address in the config space. */
void net_get_mac(struct client *cl, uint8_t mac[6]);

/* Makes @n receive buffers available and kicks. */
void net_post(struct client *cl, unsigned int n);
/* Makes one frame of @len bytes available, filled from @tag on, without a
 * kick. Return: its head; -1 no room. */
int net_add(struct client *cl, const uint8_t dst[6], uint32_t len, uint8_t tag);
/* Sends one and waits until the device is done with it. Return: whether it is
 * in time. */
bool net_send(struct client *cl, const uint8_t dst[6], uint32_t len,
	      uint8_t tag);
/* Waits for a frame, and checks that it is that one, all of it. Return: whether
 * it came in time. */
bool net_recv(struct client *cl, const uint8_t dst[6], uint32_t len,
	      uint8_t tag);
/* Does a broadcast come back? */
bool net_works(struct client *cl, uint8_t tag);

/* A control command. Return: the acknowledgement; -1 it never came. */
int net_command(struct client *cl, uint8_t class, uint8_t cmd, const void *data,
		uint32_t len);

#endif
