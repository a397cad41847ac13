/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Net backend loopback: what is sent comes back.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_NET_LOOPBACK_H
#define DEV_NET_LOOPBACK_H

#include "dev/net/net.h"

/* A burst of the transmit queue: every chain is completed. @n: at most
 * SOFT_BURST. */
void net_loopback_submit(struct net_dev *net, struct vq_chain **chains,
			 unsigned int n);

/* Nobody is on this network but the driver: there is no one to tell, and no one
 * who could send to an old place. It is counted. */
int net_loopback_announce(struct soft_dev *dev, const uint8_t mac[6]);

#endif
